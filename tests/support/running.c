#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/running.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/journal.h"
#include "core/log.h"
#include "tests/support/server.h"

enum { CALL_SECONDS = 600, QUESTIONS = 70 }; /* before a call counts as lost, however busy the machine is */

/* ---- life ---- */

int running_set_up(void **state)
{
    running *r = calloc(1, sizeof *r);
    assert_non_null(r);
    atoll_log_set_level((atoll_log_level)(ATOLL_LOG_ERROR + 1));
    assert_true(folder_make(r->top));
    snprintf(r->path, sizeof r->path, "%s/model", r->top);
    learning_config(&r->config);
    atoll_rng_seed(&r->rng, 11, 0);
    r->asker = atoll_asker_new();
    assert_non_null(r->asker);
    running_open(r);
    running_catch_up(r); /* its first commit, the configuration */
    *state = r;
    return 0;
}

int running_tear_down(void **state)
{
    running *r = *state;
    running_close(r);
    atoll_asker_free(r->asker);
    folder_remove(r->top);
    free(r);
    return 0;
}

atoll_status running_try_open(running *r, const atoll_config *config, size_t map_bytes, atoll_error *error)
{
    r->learner = NULL;
    return atoll_learner_open(r->path, config, map_bytes, &r->learner, error);
}

void running_open(running *r)
{
    atoll_error error = {0};
    atoll_status status = running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error);
    if (status)
        print_error("opening: %s\n", error.detail);
    assert_int_equal(status, ATOLL_OK);
}

void running_close(running *r)
{
    atoll_learner_close(r->learner);
    r->learner = NULL;
}

/* ---- its stores ---- */

void running_copy_store(const running *r, const char *store, const char *name, bool back)
{
    char from[256], to[256];
    snprintf(from, sizeof from, "%s/%s", r->path, store);
    snprintf(to, sizeof to, "%s/%s", r->top, name);
    if (back)
        folder_remove(from);
    assert_true(back ? folder_copy(to, from) : folder_copy(from, to));
}

void running_drop_store(const running *r, const char *store)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", r->path, store);
    folder_remove(path);
}

static void ignore(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    (void)arg;
    (void)status;
    (void)receipt;
    (void)error;
}

void running_add_entry(const running *r, int kind)
{
    char path[256];
    atoll_journal *journal;
    atoll_journal_options options = {.map_bytes = RUNNING_MAP_BYTES, .pending_bytes = 1 << 20};
    snprintf(path, sizeof path, "%s/journal", r->path);
    assert_int_equal(atoll_journal_open(path, &options, &journal, NULL), ATOLL_OK);
    assert_int_equal(atoll_journal_submit(journal, (atoll_entry_kind)kind, (const uint8_t *)"?", 1, NULL, 0, ignore,
                                          NULL, NULL), ATOLL_OK);
    atoll_journal_close(journal);
}

/* ---- calls ---- */

void running_begin(running_call *call)
{
    memset(call, 0, sizeof *call);
    pthread_mutex_init(&call->mutex, NULL);
    pthread_cond_init(&call->changed, NULL);
}

static void come(running_call *call, atoll_status status, const atoll_error *error)
{
    call->status = status;
    if (status && error)
        memcpy(call->detail, error->detail, sizeof call->detail);
    call->done++;
    pthread_cond_broadcast(&call->changed);
    pthread_mutex_unlock(&call->mutex);
}

void running_ingested(void *arg, atoll_status status, const atoll_ingested *result, const atoll_error *error)
{
    running_call *call = arg;
    pthread_mutex_lock(&call->mutex);
    call->ingested = *result;
    come(call, status, error);
}

void running_waited(void *arg, atoll_status status, const atoll_error *error)
{
    running_call *call = arg;
    pthread_mutex_lock(&call->mutex);
    come(call, status, error);
}

void running_pruned(void *arg, atoll_status status, const atoll_pruned *pruned, uint32_t count, uint64_t version,
                    const atoll_error *error)
{
    running_call *call = arg;
    pthread_mutex_lock(&call->mutex);
    call->count = count;
    call->version = version;
    for (uint32_t i = 0; i < count && i < sizeof call->pruned / sizeof *call->pruned; i++)
        call->pruned[i] = pruned[i];
    come(call, status, error);
}

void running_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 25000000}, NULL);
}

atoll_status running_end(running_call *call)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CALL_SECONDS;
    pthread_mutex_lock(&call->mutex);
    while (!call->done && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&call->changed, &call->mutex, &until);
    int done = call->done;
    atoll_status status = call->status;
    pthread_mutex_unlock(&call->mutex);
    assert_int_equal(done, 1);
    return status;
}

atoll_status running_ingest(running *r, const learning_record *records, uint32_t count, bool trained,
                            atoll_ingested *ingested)
{
    running_call call;
    atoll_record *views = malloc(count * sizeof *views);
    assert_non_null(views);
    for (uint32_t i = 0; i < count; i++)
        views[i] = records[i].record;
    running_begin(&call);
    atoll_status status = atoll_learner_ingest(r->learner, views, count, trained, running_ingested, &call, NULL);
    free(views);
    if (status)
        return status;
    status = running_end(&call);
    if (ingested)
        *ingested = call.ingested;
    return status;
}

atoll_status running_configure(running *r, const atoll_config *config)
{
    running_call call;
    running_begin(&call);
    atoll_status status = atoll_learner_configure(r->learner, config, running_waited, &call, NULL);
    return status ? status : running_end(&call);
}

void running_draw(running *r, learning_record *out, atoll_rng *rng, uint32_t number, uint32_t domain)
{
    learning_draw_any(out, rng, number, domain);
    if (atoll_learner_check(r->learner, &out->record, true, NULL))
        learning_draw_text(out, rng, domain, 0);
}

void running_feed(running *r, uint32_t domain, uint32_t batches, uint32_t batch)
{
    learning_record *records = malloc(batch * sizeof *records);
    assert_non_null(records);
    for (uint32_t b = 0; b < batches; b++) {
        for (uint32_t i = 0; i < batch; i++)
            running_draw(r, &records[i], &r->rng, r->number++, domain);
        assert_int_equal(running_ingest(r, records, batch, true, NULL), ATOLL_OK);
    }
    free(records);
}

atoll_stats running_stats(running *r)
{
    atoll_stats stats;
    atoll_learner_stats(r->learner, &stats);
    return stats;
}

/* Who waits for an embedding server is told so until that, back again, is asked again. */
void running_catch_up(running *r)
{
    atoll_status status = ATOLL_EMBEDDING_DOWN;
    for (int tries = 0; status == ATOLL_EMBEDDING_DOWN && tries < CALL_SECONDS; tries++) {
        running_call call;
        running_begin(&call);
        assert_int_equal(atoll_learner_wait(r->learner, running_stats(r).journal_last, CALL_SECONDS * 1000,
                                            running_waited, &call, NULL), ATOLL_OK);
        status = running_end(&call);
    }
    assert_int_equal(status, ATOLL_OK);
}

void running_restart(running *r, bool replayed)
{
    running_close(r);
    if (replayed)
        running_drop_store(r, "state");
    running_open(r);
}

void running_check_restart(running *r, bool replayed)
{
    char *expected = running_answers(r);
    running_restart(r, replayed);
    running_check_answers(r, expected);
    free(expected);
}

/* ---- answers ---- */

static void put_prediction(void *out, uint32_t number, const atoll_prediction *p)
{
    fprintf(out, "%u: novelty %.9g abstain %d", number, (double)p->novelty, p->abstain);
    for (uint32_t i = 0; i < p->labels; i++)
        fprintf(out, " %s=%.9g", p->label[i].label, (double)p->label[i].score);
    for (uint32_t i = 0; i < p->experts; i++)
        fprintf(out, " expert %u@%" PRIu64 "=%.9g", p->expert[i].id, p->expert[i].version, (double)p->expert[i].weight);
    for (uint32_t i = 0; i < p->neighbours; i++)
        fprintf(out, " near %s/%s=%.9g", p->neighbour[i].id, p->neighbour[i].label,
                (double)p->neighbour[i].similarity);
    fputc('\n', out);
}

char *running_answers(running *r)
{
    learning_record *questions = malloc(QUESTIONS * sizeof *questions);
    atoll_record views[QUESTIONS];
    atoll_rng rng;
    atoll_expert_info *experts;
    uint32_t count;
    uint64_t version;
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_true(questions && out);
    atoll_rng_seed(&rng, 99, 0);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        running_draw(r, &questions[i], &rng, i, i % 5);
        views[i] = questions[i].record;
    }
    assert_int_equal(atoll_learner_predict(r->learner, r->asker, views, QUESTIONS, 5, true, put_prediction, out,
                                           &version, NULL), ATOLL_OK);
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < count; e++)
        fprintf(out, "expert %u %s born %" PRIu64 " version %" PRIu64 " records %" PRIu64 " exemplars %" PRIu64
                " parameters %" PRIu64 " labels %u share %.17g loss %.17g\n", experts[e].id,
                atoll_expert_state_name(experts[e].state), experts[e].born, experts[e].version, experts[e].records,
                experts[e].exemplars, experts[e].parameters, experts[e].labels, experts[e].share, experts[e].loss);
    atoll_stats stats = running_stats(r);
    fprintf(out, "version %" PRIu64 " %" PRIu64 " records %" PRIu64 " right %.17g loss %.17g entropy %.17g weights"
            " %.9g %.9g %.9g\n", version, stats.version, stats.records, stats.prequential, stats.log_loss,
            stats.gate_entropy, stats.weight_shared, stats.weight_experts, stats.weight_votes);
    free(experts);
    free(questions);
    fclose(out);
    return text;
}

void running_check_answers(running *r, const char *expected)
{
    running_catch_up(r);
    char *got = running_answers(r);
    assert_string_equal(got, expected);
    free(got);
}
