/*
 * What a question costs when a model remembers a million records instead of ten thousand, and what its index then
 * finds of the ten nearest. Both models learn the same 10,000 records of a stream that is made up, in process; the
 * larger one's memory and index are then filled with further records of the stream, without learning them: nothing
 * else that an answer reads grows with them, and learning a million takes minutes. They are asked one record at a time
 * as the server asks them, in turns. Exits with 1 where a bar is missed.
 *
 * usage: million [vectors | texts] [MANY]
 *   one stream only; another number than a million
 */
#include <sys/stat.h>
#include <unistd.h>

#include "api/folder.h"
#include "bench/bench.h"
#include "bench/learning.h"
#include "bench/scale_stream.h"
#include "core/half.h"
#include "core/kernels.h"
#include "core/log.h"
#include "learner/inside.h"
#include "learner/publish.h"

enum {
    FEW = 10000,
    BATCH = 500,
    FLUSH_EVERY = 8192,
    LABELS = 16,
    DOMAINS = 64,          /* of texts */
    CLUSTERS = 2000,       /* of vectors, */
    LATENT = 32,           /* on a manifold of so many dimensions */
    DIM = 256,
    ASKED = 400,
    PASSES = 9,
    QUERIES = 200,         /* for the recall */
    NEAREST = 10
};

static const double latency_bar = 2.5, recall_bar = .95;

/* ---- the streams ---- */

typedef struct example {
    scale_record text;
    float vector[DIM];
    atoll_record record;
} example;

static const scale_stream texts = {DOMAINS, LABELS};

static void make_text(uint64_t number, example *out)
{
    scale_make(&texts, (uint32_t)(number * 7919 % DOMAINS), number, &out->text);
    out->record = scale_view(&out->text);
    out->record.domain = (atoll_slice){0};
}

/* A point near a centre, through a random layer, with noise: clusters of unequal size, as learned embeddings have. */
static void make_vector(uint64_t number, example *out)
{
    static float layer[DIM][LATENT], centre[CLUSTERS][LATENT];
    static bool ready;
    atoll_rng rng;
    atoll_rng_seed(&rng, 5, UINT64_MAX);
    for (uint32_t i = 0; i < DIM * LATENT && !ready; i++)
        layer[i / LATENT][i % LATENT] = atoll_rng_normal(&rng) * 0.2f;
    for (uint32_t i = 0; i < CLUSTERS * LATENT && !ready; i++)
        centre[i / LATENT][i % LATENT] = atoll_rng_normal(&rng);
    ready = true;
    atoll_rng_seed(&rng, 5, number);
    uint32_t cluster = scale_zipf(&rng, CLUSTERS);
    float point[LATENT];
    for (uint32_t i = 0; i < LATENT; i++)
        point[i] = centre[cluster][i] + 0.6f * atoll_rng_normal(&rng);
    for (uint32_t i = 0; i < DIM; i++)
        out->vector[i] = tanhf(atoll_dot(layer[i], point, LATENT)) + 0.2f * atoll_rng_normal(&rng);
    snprintf(out->text.label, sizeof out->text.label, "label %u", cluster % LABELS);
    out->record = (atoll_record){.vector = out->vector, .vector_dim = DIM,
                                 .label = {out->text.label, strlen(out->text.label)}};
}

typedef void (*make_example)(uint64_t number, example *out);

/* ---- a model ---- */

typedef struct trial {
    const char *name;
    make_example make;
    uint32_t exemplars;
    atoll_learner *learner;
    atoll_asker *asker;
    double passes[PASSES]; /* median latency in microseconds */
    double recall;
    uint32_t right;
} trial;

static atoll_status learn(trial *t, atoll_error *error)
{
    example *made = malloc(BATCH * sizeof *made);
    atoll_record records[BATCH];
    atoll_status status = made ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a batch");
    for (uint32_t at = 0; at < FEW && status == ATOLL_OK; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            t->make(at + i, &made[i]);
            records[i] = made[i].record;
        }
        status = bench_learn(t->learner, records, BATCH, error);
    }
    free(made);
    return status;
}

typedef struct encoding {
    atoll_text_scratch *text;
    atoll_term term[ATOLL_FEATURES_MAX];
    uint32_t terms, bucket[ATOLL_FEATURES_MAX];
    float weight[ATOLL_FEATURES_MAX], dense[DIM], embedding[ATOLL_EMBEDDING_MAX_DIM];
    int8_t code[DIM];
} encoding;

static void encode(const atoll_encoder *encoder, const atoll_record *record, encoding *e)
{
    atoll_encoded encoded = {.bucket = e->bucket, .weight = e->weight, .dense = e->dense, .embedding = e->embedding};
    e->terms = 0;
    if (record->text.data)
        atoll_terms_extract(e->text, record->text, encoder->buckets, e->term, &e->terms, NULL);
    atoll_encoder_weigh(encoder, e->term, e->terms, &encoded);
    if (record->vector) {
        atoll_encoder_scale(encoder, record->vector, &encoded);
        atoll_encoder_code(e->dense, DIM, e->code);
    }
    atoll_encoder_embed(encoder, &encoded);
}

/* Who owns what is labelled so: the owner of the first exemplar that is. */
static uint32_t owner_of(const atoll_memory_view *view, uint32_t label)
{
    for (uint32_t slot = 0; slot < FEW; slot++)
        if (atoll_memory_at(view, slot)->exemplar && atoll_memory_at(view, slot)->exemplar->label == label)
            return atoll_memory_at(view, slot)->owner;
    return 1;
}

static void *nothing(void *arg)
{
    return arg;
}

/* Ends the thread that learns, which frees what was replaced even while it rests. Closing finds another to wait for. */
static atoll_status halt(atoll_learner *learner, atoll_error *error)
{
    atomic_store(&learner->stopping, true);
    atoll_journal_wake(learner->journal);
    pthread_join(learner->thread, NULL);
    return pthread_create(&learner->thread, NULL, nothing, NULL)
               ? atoll_fail(error, ATOLL_INTERNAL, "no thread can be started") : ATOLL_OK;
}

/* As the learner would place them. It has ended, so that nobody else touches its state. */
static atoll_status fill(trial *t, atoll_error *error)
{
    atoll_state *state = &t->learner->state;
    uint32_t owner[LABELS];
    example *made = malloc(sizeof *made);
    encoding *e = calloc(1, sizeof *e);
    atoll_status status = made && e && (e->text = atoll_text_scratch_new())
                              ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory to fill a model");
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t label = 0; label < LABELS; label++)
        owner[label] = owner_of(&view, label);
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 3);
    for (uint32_t i = FEW; i < t->exemplars && status == ATOLL_OK; i++) {
        uint32_t label, slot;
        float rounded[ATOLL_EMBEDDING_MAX_DIM];
        t->make(i, made);
        encode(&state->model.encoder, &made->record, e);
        label = atoll_names_find(&state->labels, made->record.label.data, made->record.label.bytes);
        atoll_exemplar like = {.seq = i, .label = label, .domain = UINT32_MAX, .terms = e->terms, .term = e->term,
                               .vector_dim = made->record.vector_dim, .embedding_dim = DIM,
                               .code = made->record.vector ? e->code : NULL};
        status = atoll_memory_offer(state->memory, &like, e->embedding, owner[label % LABELS], &rng, &slot, error);
        if (status || slot == ATOLL_SLOT_NONE)
            continue;
        view = atoll_memory_freeze(state->memory);
        atoll_half_to_float(atoll_memory_at(&view, slot)->exemplar->embedding, rounded, DIM);
        status = atoll_index_put(state->index, slot, rounded, error);
        if (status == ATOLL_OK && i % FLUSH_EVERY == 0)
            status = atoll_index_flush(state->index, error);
    }
    if (e)
        atoll_text_scratch_free(e->text);
    free(e);
    free(made);
    return status ? status : atoll_publish(t->learner, error);
}

static atoll_status make(trial *t, const char *folder, atoll_error *error)
{
    char path[512];
    atoll_config config;
    atoll_config_defaults(&config);
    config.memory_exemplars = t->exemplars;
    config.checkpoint_every_ms = 86400000;
    config.budget_bytes = UINT64_C(64) << 30;
    snprintf(path, sizeof path, "%s/%s", folder, t->name);
    t->asker = atoll_asker_new();
    mkdir(path, 0700);
    atoll_status status = atoll_learner_open(path, &config, (size_t)16 << 30, &t->learner, error);
    if (status || (status = learn(t, error)) || (status = halt(t->learner, error)))
        return status;
    return fill(t, error);
}

static void close_trial(trial *t)
{
    if (t->learner)
        atoll_learner_close(t->learner);
    atoll_asker_free(t->asker);
}

/* ---- recall ---- */

static void offer(float *best, float similarity)
{
    uint32_t at = NEAREST;
    for (; at && best[at - 1] < similarity; at--)
        if (at < NEAREST)
            best[at] = best[at - 1];
    if (at < NEAREST)
        best[at] = similarity;
}

/* Of records that are not remembered. */
static atoll_status find_recall(trial *t, uint32_t from, atoll_error *error)
{
    const atoll_state *state = &t->learner->state;
    atoll_memory_view memory = atoll_memory_freeze(state->memory);
    static float query[QUERIES][DIM], best[QUERIES][NEAREST], dot[QUERIES];
    static atoll_neighbours got[QUERIES];
    example made;
    encoding *e = calloc(1, sizeof *e);
    if (!e || !(e->text = atoll_text_scratch_new()))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for queries");
    for (uint32_t q = 0; q < QUERIES; q++) {
        t->make(from + q, &made);
        encode(&state->model.encoder, &made.record, e);
        memcpy(query[q], e->embedding, sizeof query[q]);
        for (uint32_t k = 0; k < NEAREST; k++)
            best[q][k] = -2;
    }
    atoll_text_scratch_free(e->text);
    free(e);
    for (uint32_t slot = 0; slot < memory.slots.count; slot++) {
        const atoll_exemplar *held = atoll_memory_at(&memory, slot)->exemplar;
        if (!held)
            continue;
        atoll_half_dots(held->embedding, 1, query[0], QUERIES, DIM, dot);
        for (uint32_t q = 0; q < QUERIES; q++)
            if (dot[q] > best[q][NEAREST - 1])
                offer(best[q], dot[q]);
    }
    const atoll_index_view *view = atoll_index_enter(state->index);
    atoll_index_search(view, query[0], QUERIES, got);
    atoll_index_leave(view);
    uint32_t found = 0;
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t k = 0; k < NEAREST && k < got[q].count; k++)
            found += got[q].at[k].similarity >= best[q][NEAREST - 1];
    t->recall = found / (double)(QUERIES * NEAREST);
    return ATOLL_OK;
}

/* ---- asking ---- */

static atoll_status ask(trial *t, uint32_t from, uint32_t pass, atoll_error *error)
{
    static double us[ASKED];
    bench_answers a = {0};
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < ASKED && status == ATOLL_OK; i++) {
        example made;
        t->make(from + pass * ASKED + i, &made);
        a.label = made.text.label;
        made.record.label = (atoll_slice){0};
        status = bench_ask(t->learner, t->asker, &made.record, &a, &us[i], error);
    }
    t->passes[pass] = bench_median_of(us, ASKED);
    t->right += a.right;
    return status;
}

static void print_side(const char *name, const trial *t, const atoll_stats *stats)
{
    printf(",\"%s_exemplars\":%u,\"%s_us\":%.1f,\"%s_accuracy\":%.3f,\"%s_recall\":%.3f,\"%s_lists\":%u,"
           "\"%s_probes\":%u,\"%s_candidates\":%u,\"%s_measured\":%.3f",
           name, stats->exemplars, name, t->passes[PASSES / 2], name, (double)t->right / (PASSES * ASKED), name,
           t->recall, name, stats->index.lists, name, stats->index.probes, name, stats->index.candidates, name,
           stats->index.recall);
}

/* The two take turns, so that whatever else runs slows both. */
static atoll_status measure(const char *stream, trial *few, trial *many, const char *folder, bool *held,
                            atoll_error *error)
{
    double ratio[PASSES];
    atoll_stats stats[2];
    uint32_t fresh = many->exemplars;
    atoll_status status = make(few, folder, error);
    if (status || (status = make(many, folder, error)) || (status = find_recall(few, fresh, error)) ||
        (status = find_recall(many, fresh, error)))
        return status;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        if ((status = ask(few, fresh, pass, error)) || (status = ask(many, fresh, pass, error)))
            return status;
        ratio[pass] = many->passes[pass] / few->passes[pass];
    }
    atoll_learner_stats(few->learner, &stats[0]);
    atoll_learner_stats(many->learner, &stats[1]);
    double middle = bench_median_of(ratio, PASSES);
    bench_median_of(few->passes, PASSES);
    bench_median_of(many->passes, PASSES);
    printf("{\"stream\":\"%s\"", stream);
    print_side("few", few, &stats[0]);
    print_side("many", many, &stats[1]);
    printf(",\"ratio\":%.3f,\"bar\":%.2f,\"recall_bar\":%.2f}\n", middle, latency_bar, recall_bar);
    fflush(stdout);
    *held &= middle <= latency_bar && many->recall >= recall_bar;
    return ATOLL_OK;
}

static atoll_status run(const char *stream, make_example how, uint32_t most, bool *held, atoll_error *error)
{
    char folder[] = "/tmp/atoll-million-XXXXXX";
    trial few = {.name = "few", .make = how, .exemplars = FEW};
    trial many = {.name = "many", .make = how, .exemplars = most};
    if (!mkdtemp(folder))
        return atoll_fail(error, ATOLL_INTERNAL, "no folder for models");
    atoll_status status = measure(stream, &few, &many, folder, held, error);
    close_trial(&few);
    close_trial(&many);
    atoll_folder_delete(folder, NULL);
    return status;
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 && strcmp(argv[1], "all") != 0 ? argv[1] : NULL;
    uint32_t most = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000000;
    atoll_error error = {0};
    bool held = true;
    atoll_status status = ATOLL_OK;
    atoll_log_set_level(ATOLL_LOG_WARN);
    if (argc > 3 || most < FEW || atoll_kernels_init(&error))
        return bench_fail("usage: million [vectors | texts | all] [MANY]");
    if (!only || strcmp(only, "vectors") == 0)
        status = run("vectors", make_vector, most, &held, &error);
    if (status == ATOLL_OK && (!only || strcmp(only, "texts") == 0))
        status = run("texts", make_text, most, &held, &error);
    if (status)
        return bench_fail(error.detail);
    return held ? 0 : 1;
}
