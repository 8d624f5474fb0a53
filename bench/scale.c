/*
 * What a question costs when a model has grown: with 512 experts against 8. Models are learned from a stream that is
 * made up (bench/scale_stream.h), in process, and asked one record at a time as the server asks them. All domains
 * have the same labels, since labels have a cost of their own. Exits with 1 where the bar is missed.
 *
 * usage: scale [FOLDER]
 *   FOLDER  keeps the models, for another run
 */
#include <sys/stat.h>
#include <unistd.h>

#include "api/folder.h"
#include "bench/bench.h"
#include "bench/learning.h"
#include "bench/scale_stream.h"
#include "core/gate.h"
#include "core/kernels.h"
#include "core/log.h"

enum {
    FEW_EXPERTS = 8,
    MANY_EXPERTS = 512,
    SHARED_LABELS = 16,
    EXPERT_RECORDS = 51200, /* learned, whatever the number of domains */
    BATCH = 512,
    EXEMPLARS = 50000,
    ASKED = 2000,
    MAP_GIB = 16,
    PASSES = 9
};

static const double experts_bar = 1.25;

/* ---- learning ---- */

/* One domain after another, `each` records of each, from where an earlier run has ended. */
static atoll_status learn(atoll_learner *learner, const scale_stream *stream, uint32_t each, atoll_error *error)
{
    atoll_stats stats;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        atoll_learner_stats(learner, &stats);
    } while (stats.version < stats.journal_last && !*stats.failure);
    scale_record *made = malloc(BATCH * sizeof *made);
    atoll_record records[BATCH];
    uint32_t count = 0;
    atoll_status status = made ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a batch");
    for (uint64_t i = stats.records; i < (uint64_t)each * stream->domains && status == ATOLL_OK; i++) {
        scale_make(stream, (uint32_t)(i / each), i % each, &made[count]);
        records[count] = scale_view(&made[count]);
        if (++count < BATCH && i + 1 < (uint64_t)each * stream->domains)
            continue;
        status = bench_learn(learner, records, count, error);
        count = 0;
    }
    free(made);
    return status;
}

/* ---- two models ---- */

typedef struct trial {
    const char *name;
    scale_stream stream;
    uint32_t each, exemplars, experts; /* records of each domain, and the caps */
    atoll_learner *learner;
    atoll_asker *asker;
    double passes[PASSES]; /* median latency in microseconds */
    uint32_t right;
} trial;

static atoll_status make(trial *t, const char *folder, atoll_error *error)
{
    char path[512];
    atoll_config config;
    atoll_config_defaults(&config);
    config.memory_exemplars = t->exemplars;
    config.experts_max = t->experts;
    config.gate = ATOLL_GATE_DOMAIN;
    config.budget_bytes = UINT64_C(12) << 30;
    snprintf(path, sizeof path, "%s/%s", folder, t->name);
    t->asker = atoll_asker_new();
    mkdir(path, 0700);
    atoll_status status = atoll_learner_open(path, &config, (size_t)MAP_GIB << 30, &t->learner, error);
    if (status || (status = learn(t->learner, &t->stream, t->each, error)))
        return status;
    /* Hints have said which expert is whose; from here on the gate decides. */
    bench_call call = BENCH_CALL;
    config.gate = ATOLL_GATE_TOPK;
    status = atoll_learner_configure(t->learner, &config, bench_configured, &call, error);
    return status ? status : bench_await(&call, error);
}

/* ---- asking ---- */

/* ASKED records that were not learned, of domains in a random order, one by one: the median of their latencies. */
static atoll_status ask(trial *t, uint32_t pass, atoll_error *error)
{
    static double us[ASKED];
    bench_answers a = {0};
    atoll_status status = ATOLL_OK;
    atoll_rng rng;
    atoll_rng_seed(&rng, 99, pass);
    for (uint32_t i = 0; i < ASKED && status == ATOLL_OK; i++) {
        scale_record made;
        scale_make(&t->stream, atoll_rng_below(&rng, t->stream.domains), t->each + pass * ASKED + i, &made);
        atoll_record record = scale_view(&made);
        a.label = made.label;
        record.label = record.domain = (atoll_slice){0};
        status = bench_ask(t->learner, t->asker, &record, &a, &us[i], error);
    }
    t->passes[pass] = bench_median_of(us, ASKED);
    t->right += a.right;
    return status;
}

/* The two take turns, so that whatever else runs slows both. */
static atoll_status measure(trial *few, trial *many, const char *folder, double bar, bool *held, atoll_error *error)
{
    double ratio[PASSES];
    atoll_stats stats[2];
    atoll_status status = make(few, folder, error);
    if (status || (status = make(many, folder, error)))
        return status;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        if ((status = ask(few, pass, error)) || (status = ask(many, pass, error)))
            return status;
        ratio[pass] = many->passes[pass] / few->passes[pass];
    }
    atoll_learner_stats(few->learner, &stats[0]);
    atoll_learner_stats(many->learner, &stats[1]);
    double middle = bench_median_of(ratio, PASSES);
    printf("{\"few_experts\":%u,\"many_experts\":%u,\"few_labels\":%u,\"many_labels\":%u,"
           "\"few_exemplars\":%u,\"many_exemplars\":%u,\"few_us\":%.1f,\"many_us\":%.1f,"
           "\"few_accuracy\":%.3f,\"many_accuracy\":%.3f,\"ratio\":%.3f,\"bar\":%.2f}\n",
           stats[0].experts_active, stats[1].experts_active, stats[0].labels, stats[1].labels,
           stats[0].exemplars, stats[1].exemplars, bench_median_of(few->passes, PASSES),
           bench_median_of(many->passes, PASSES), (double)few->right / (PASSES * ASKED),
           (double)many->right / (PASSES * ASKED), middle, bar);
    fflush(stdout);
    *held &= middle <= bar;
    return ATOLL_OK;
}

static void close_trial(trial *t)
{
    if (t->learner)
        atoll_learner_close(t->learner);
    atoll_asker_free(t->asker);
}

static atoll_status measure_experts(const char *folder, bool *held, atoll_error *error)
{
    trial few = {.name = "few", .stream = {FEW_EXPERTS, SHARED_LABELS}, .each = EXPERT_RECORDS / FEW_EXPERTS,
                 .exemplars = EXEMPLARS, .experts = MANY_EXPERTS};
    trial many = {.name = "many", .stream = {MANY_EXPERTS, SHARED_LABELS}, .each = EXPERT_RECORDS / MANY_EXPERTS,
                  .exemplars = EXEMPLARS, .experts = MANY_EXPERTS};
    atoll_status status = measure(&few, &many, folder, experts_bar, held, error);
    close_trial(&few);
    close_trial(&many);
    return status;
}

int main(int argc, char **argv)
{
    char fresh[] = "/tmp/atoll-scale-XXXXXX";
    const char *folder = argc > 1 ? argv[1] : mkdtemp(fresh);
    atoll_error error = {0};
    bool held = true;
    atoll_log_set_level(ATOLL_LOG_WARN);
    if (!folder || atoll_kernels_init(&error))
        return bench_fail("no folder, or no OpenBLAS to work with");
    mkdir(folder, 0700);
    atoll_status status = measure_experts(folder, &held, &error);
    if (argc == 1)
        atoll_folder_delete(folder, NULL);
    if (status)
        return bench_fail(error.detail);
    return held ? 0 : 1;
}
