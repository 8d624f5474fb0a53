#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "learner/inside.h"
#include "tests/support/embedding_server.h"
#include "tests/support/running.h"
#include "tests/support/server.h"

enum { BATCH = 50 };

/* ---- at the door ---- */

static void what_cannot_be_learned_is_refused_by_name(void **state)
{
    running *r = *state;
    learning_record record;
    learning_draw_text(&record, &r->rng, 0, 0);
    assert_int_equal(atoll_learner_check(r->learner, &record.record, true, NULL), ATOLL_OK);
    record.record.label = (atoll_slice){0};
    assert_int_equal(atoll_learner_check(r->learner, &record.record, true, NULL), ATOLL_MISSING_LABEL);
    assert_int_equal(atoll_learner_check(r->learner, &record.record, false, NULL), ATOLL_OK);
    record.record.text = (atoll_slice){" \xe2\x80\x8b", 4}; /* a space of no width */
    assert_int_equal(atoll_learner_check(r->learner, &record.record, false, NULL), ATOLL_EMPTY_TEXT);
    record.record.text = (atoll_slice){"\xe2\x98\x83 \xc3\xa9", 6}; /* a snowman, and a letter that is not ASCII */
    assert_int_equal(atoll_learner_check(r->learner, &record.record, false, NULL), ATOLL_OK);
    record.record.text = (atoll_slice){0};
    assert_int_equal(atoll_learner_check(r->learner, &record.record, false, NULL), ATOLL_EMPTY_RECORD);
}

static void labels_are_let_in_up_to_the_limit(void **state)
{
    running *r = *state;
    char name[32];
    atoll_error error;
    learning_record record;
    for (int i = 0; i < ATOLL_LABELS_MAX; i++) {
        int bytes = snprintf(name, sizeof name, "label %d", i);
        assert_int_equal(atoll_learner_admit(r->learner, (atoll_slice){name, (size_t)bytes}, true, NULL), ATOLL_OK);
    }
    learning_draw_text(&record, &r->rng, 0, 0);
    assert_int_equal(atoll_learner_check(r->learner, &record.record, true, &error), ATOLL_TOO_MANY_LABELS);
    assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_TOO_MANY_LABELS);
    record.record.label = (atoll_slice){"label 77", 8};
    assert_int_equal(atoll_learner_check(r->learner, &record.record, true, NULL), ATOLL_OK);
    assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_OK);
}

/* What would not all find room takes none. */
static void labels_of_a_refused_request_are_not_let_in(void **state)
{
    enum { LEFT = 5, NAME_BYTES = 16 };
    running *r = *state;
    learning_record record;
    atoll_record together[2 * (LEFT + 1)];
    char name[ATOLL_LABELS_MAX + 1][NAME_BYTES];
    for (int i = 0; i <= ATOLL_LABELS_MAX; i++) {
        atoll_slice label = {name[i], (size_t)snprintf(name[i], NAME_BYTES, "label %d", i)};
        if (i < ATOLL_LABELS_MAX - LEFT)
            assert_int_equal(atoll_learner_admit(r->learner, label, true, NULL), ATOLL_OK);
    }
    learning_draw_text(&record, &r->rng, 0, 0);
    for (uint32_t i = 0; i < 2 * (LEFT + 1); i++) { /* each label twice */
        together[i] = record.record;
        const char *label = name[ATOLL_LABELS_MAX - LEFT + i / 2];
        together[i].label = (atoll_slice){label, strlen(label)};
        assert_int_equal(atoll_learner_check(r->learner, &together[i], true, NULL), ATOLL_OK);
    }
    running_call call;
    assert_int_equal(atoll_learner_ingest(r->learner, together, 2 * (LEFT + 1), true, running_ingested, &call, NULL),
                     ATOLL_TOO_MANY_LABELS);
    assert_int_equal(r->learner->admitted_count, ATOLL_LABELS_MAX - LEFT);
    assert_int_equal(atomic_load(&r->learner->taken), 0); /* the room of its records is free again */
    running_begin(&call);
    assert_int_equal(atoll_learner_ingest(r->learner, together, 2 * LEFT, true, running_ingested, &call, NULL),
                     ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(r->learner->admitted_count, ATOLL_LABELS_MAX);
}

/* There are places for all of them before the first is let in. */
static void many_labels_of_one_request_are_let_in(void **state)
{
    enum { NEW = 700, NAME_BYTES = 16 };
    running *r = *state;
    learning_record record;
    static atoll_record together[NEW];
    static char name[NEW][NAME_BYTES];
    running_call call;
    learning_draw_text(&record, &r->rng, 0, 0);
    for (int i = 0; i < NEW; i++) {
        together[i] = record.record;
        together[i].label = (atoll_slice){name[i], (size_t)snprintf(name[i], NAME_BYTES, "label %d", i)};
    }
    for (int times = 0; times < 2; times++) {
        running_begin(&call);
        assert_int_equal(atoll_learner_ingest(r->learner, together, NEW, false, running_ingested, &call, NULL),
                         ATOLL_OK);
        assert_int_equal(running_end(&call), ATOLL_OK);
        assert_int_equal(r->learner->admitted_count, NEW);
        assert_true(r->learner->admitted_places >= 2 * NEW);
    }
}

static void the_first_vector_settles_the_dimension(void **state)
{
    running *r = *state;
    learning_record records[2];
    for (int i = 0; i < 2; i++) {
        learning_draw_text(&records[i], &r->rng, 0, 0);
        learning_add_vector(&records[i], &r->rng, 0);
    }
    records[1].record.vector_dim--;
    assert_int_equal(running_ingest(r, records, 2, true, NULL), ATOLL_WRONG_DIMENSION);
    for (int i = 0; i < 2; i++)
        assert_int_equal(atoll_learner_check(r->learner, &records[i].record, true, NULL), ATOLL_OK);
    assert_int_equal(running_ingest(r, records, 1, true, NULL), ATOLL_OK);
    assert_int_equal(atoll_learner_check(r->learner, &records[1].record, true, NULL), ATOLL_WRONG_DIMENSION);
    assert_int_equal(running_stats(r).records, 1);
    assert_int_equal(running_stats(r).vector_dim, LEARNING_VECTOR_DIM);
    assert_int_equal(atoll_learner_check(r->learner, &records[1].record, false, NULL), ATOLL_WRONG_DIMENSION);
}

/* A journal that is still to be learned counts at the door. */
static void a_restart_forgets_neither_dimension_nor_labels(void **state)
{
    running *r = *state;
    learning_record record;
    learning_draw_text(&record, &r->rng, 0, 0);
    learning_add_vector(&record, &r->rng, 0);
    assert_int_equal(running_ingest(r, &record, 1, false, NULL), ATOLL_OK);
    running_restart(r, true);
    record.record.vector_dim--;
    assert_int_equal(atoll_learner_check(r->learner, &record.record, true, NULL), ATOLL_WRONG_DIMENSION);
    assert_int_equal(r->learner->admitted_count, 1);
}

/* ---- records ---- */

static void acknowledged_records_are_numbered_without_gaps(void **state)
{
    running *r = *state;
    learning_record records[BATCH];
    atoll_ingested first, second;
    for (uint32_t i = 0; i < BATCH; i++)
        learning_draw_text(&records[i], &r->rng, 0, i % 4);
    assert_int_equal(running_ingest(r, records, BATCH, false, &first), ATOLL_OK);
    assert_int_equal(first.first_seq, 1);
    assert_int_equal(first.last_seq, BATCH);
    assert_int_equal(running_ingest(r, records, 3, true, &second), ATOLL_OK);
    assert_int_equal(second.first_seq, BATCH + 1);
    assert_int_equal(second.last_seq, BATCH + 3);
    assert_true(second.version >= first.version && running_stats(r).version >= second.version);
    assert_int_equal(running_stats(r).records, BATCH + 3);
}

static void a_full_map_refuses_ingest_and_answers_go_on(void **state)
{
    running *r = *state;
    learning_record records[BATCH];
    running_feed(r, 0, 1, BATCH);
    running_close(r);
    assert_int_equal(running_try_open(r, &r->config, 8 << 20, NULL), ATOLL_OK);
    uint64_t taken = running_stats(r).records;
    /* Long texts, so that little learning fills much of the disk. */
    enum { TEXT_BYTES = 60000 };
    char *text = malloc(TEXT_BYTES);
    assert_non_null(text);
    memset(text, 'a', TEXT_BYTES);
    atoll_status status = ATOLL_OK;
    for (int i = 0; i < 400 && status == ATOLL_OK; i++) {
        learning_draw_text(&records[0], &r->rng, 0, 0);
        records[0].record.text = (atoll_slice){text, TEXT_BYTES};
        status = running_ingest(r, records, 1, false, NULL);
        taken += status == ATOLL_OK;
    }
    free(text);
    assert_int_equal(status, ATOLL_NO_SPACE);
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, taken);
    assert_string_equal(running_stats(r).failure, "");
    free(running_answers(r));

    /* With room, it goes on from there. */
    running_close(r);
    running_open(r);
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, taken);
    running_feed(r, 1, 1, 5);
    assert_int_equal(running_stats(r).records, taken + 5);
}

static void a_model_over_its_budget_takes_no_more(void **state)
{
    enum { DIM = 4096 };
    running *r = *state;
    float *vector = calloc(DIM, sizeof *vector);
    learning_record record;
    assert_non_null(vector);
    running_close(r);
    r->config.feature_buckets = 1 << 22;
    r->config.budget_bytes = 16 << 20;
    snprintf(r->path, sizeof r->path, "%s/large", r->top);
    running_open(r);
    learning_draw_text(&record, &r->rng, 0, 0);
    record.record.vector = vector;
    record.record.vector_dim = DIM;
    assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_OK);
    assert_true(atoll_learner_bytes(r->learner) > r->config.budget_bytes);
    assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_BUSY);
    assert_int_equal(running_stats(r).records, 1);
    free(vector);
}

/* What has learned nothing yet lets in no more than it may have room for, waited for or not, and goes on bit by bit. */
static void a_new_model_does_not_take_what_would_pass_its_budget(void **state)
{
    enum { MANY = 5000, SOME = 50, ROUNDS = 250 };
    running *r = *state;
    uint64_t taken = 0, budget_bytes = 16 << 20;
    learning_record *records = malloc(MANY * sizeof *records);
    assert_non_null(records);
    running_close(r);
    r->config.budget_bytes = budget_bytes;
    r->config.memory_exemplars = 50000;
    snprintf(r->path, sizeof r->path, "%s/new", r->top);
    running_open(r);
    for (uint32_t i = 0; i < MANY; i++)
        learning_draw_text(&records[i], &r->rng, i / 1000, i % 4);
    assert_int_equal(running_ingest(r, records, MANY, false, NULL), ATOLL_BUSY);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t at = round * SOME % (MANY - SOME);
        atoll_status status = running_ingest(r, records + at, SOME, false, NULL);
        taken += status == ATOLL_OK ? SOME : 0;
        if (status == ATOLL_OK)
            continue;
        assert_int_equal(status, ATOLL_BUSY);
        running_catch_up(r);
    }
    running_catch_up(r);
    atoll_stats stats = running_stats(r);
    assert_int_equal(stats.records, taken);
    assert_in_range(atoll_footprint_lasting(&stats.footprint), budget_bytes / 2, budget_bytes * 21 / 20);
    free(records);
}

typedef struct sender {
    running *r;
    const atoll_record *records;
    uint32_t count;
    pthread_barrier_t *start;
    pthread_t thread;
    running_call call;
    atoll_status status; /* of the call itself */
} sender;

static void *send_at_once(void *arg)
{
    sender *s = arg;
    pthread_barrier_wait(s->start);
    s->status = atoll_learner_ingest(s->r->learner, s->records, s->count, false, running_ingested, &s->call, NULL);
    return NULL;
}

/* Nothing is learned meanwhile, as the embedding server is down, and there is room for one of them. */
static void room_is_given_to_one_of_those_who_ask_at_once(void **state)
{
    enum { SENDERS = 8, COUNT = 1000, ROUNDS = 10 };
    running *r = *state;
    embedding_server server;
    pthread_barrier_t start;
    sender senders[SENDERS];
    learning_record *records = malloc(COUNT * sizeof *records);
    atoll_record *views = malloc(COUNT * sizeof *views);
    assert_true(records && views);
    embedding_server_start(&server, 16);
    embedding_server_configure(&server, &r->config);
    embedding_server_stop(&server);
    r->config.budget_bytes = 16 << 20;
    for (uint32_t i = 0; i < COUNT; i++) {
        learning_draw_text(&records[i], &r->rng, 0, i % 4);
        views[i] = records[i].record;
    }
    assert_int_equal(pthread_barrier_init(&start, NULL, SENDERS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t taken = 0;
        running_close(r);
        snprintf(r->path, sizeof r->path, "%s/model %d", r->top, round);
        running_open(r);
        for (int i = 0; i < SENDERS; i++) {
            senders[i] = (sender){.r = r, .records = views, .count = COUNT, .start = &start};
            running_begin(&senders[i].call);
            assert_int_equal(pthread_create(&senders[i].thread, NULL, send_at_once, &senders[i]), 0);
        }
        for (int i = 0; i < SENDERS; i++) {
            pthread_join(senders[i].thread, NULL);
            atoll_status status = senders[i].status ? senders[i].status : running_end(&senders[i].call);
            taken += status == ATOLL_OK;
            assert_true(status == ATOLL_OK || status == ATOLL_BUSY);
        }
        assert_int_equal(taken, 1);
        assert_int_equal(atomic_load(&r->learner->taken), COUNT);
    }
    pthread_barrier_destroy(&start);
    free(views);
    free(records);
}

/* A stream into a model that has little room ends in refusals, which lose nothing and end with more room. */
static void a_stream_fills_its_budget_and_goes_on_with_a_larger_one(void **state)
{
    running *r = *state;
    learning_record records[BATCH];
    atoll_config config = r->config;
    uint64_t taken = 0;
    atoll_status status = ATOLL_OK;
    running_close(r);
    r->config.budget_bytes = config.budget_bytes = 16 << 20;
    r->config.memory_exemplars = 50000;
    r->config.expert_hidden = config.expert_hidden = 256;
    config.memory_exemplars = 50000;
    snprintf(r->path, sizeof r->path, "%s/small", r->top);
    running_open(r);
    for (uint32_t b = 0; b < 2000 && status == ATOLL_OK; b++) {
        for (uint32_t i = 0; i < BATCH; i++)
            learning_draw_text(&records[i], &r->rng, b % 50, i % 4);
        status = running_ingest(r, records, BATCH, b % 8 == 7, NULL);
        taken += status == ATOLL_OK ? BATCH : 0;
        /* Records that wait may be what there is no room for. */
        if (status == ATOLL_BUSY && running_stats(r).journal_last > running_stats(r).version) {
            running_catch_up(r);
            status = ATOLL_OK;
        }
    }
    assert_int_equal(status, ATOLL_BUSY);
    running_catch_up(r);
    atoll_stats stats = running_stats(r);
    assert_int_equal(stats.records, taken);
    assert_string_equal(stats.failure, "");
    /* Not the sum: what readers and a checkpoint held for a moment may be gone since it was refused, or have come. */
    assert_in_range(atoll_footprint_state(&stats.footprint), config.budget_bytes / 2, config.budget_bytes * 5 / 4);
    char *answers = running_answers(r);

    running_close(r);
    running_open(r);
    running_check_answers(r, answers);
    free(answers);
    assert_int_equal(running_stats(r).records, taken);

    config.budget_bytes = 64 << 20;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    assert_int_equal(running_ingest(r, records, BATCH, true, NULL), ATOLL_OK);
    assert_int_equal(running_stats(r).records, taken + BATCH);
}

/* ---- governing ---- */

static atoll_status restore(running *r, uint32_t id)
{
    running_call call;
    running_begin(&call);
    atoll_status status = atoll_learner_restore(r->learner, id, running_waited, &call, NULL);
    return status ? status : running_end(&call);
}

static void settings_change_live_or_not_at_all(void **state)
{
    running *r = *state;
    atoll_config config = r->config;
    config.top_k = 5;
    config.idle_after_ms = 3600000;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    assert_int_equal(atoll_learner_config(r->learner).top_k, 5);
    config.embedding_dim *= 2;
    assert_int_equal(running_configure(r, &config), ATOLL_FIXED_SETTING);
    running_feed(r, 0, 2, BATCH);
    running_close(r);
    running_open(r);
    assert_int_equal(atoll_learner_config(r->learner).top_k, 5);
    assert_int_equal(atoll_learner_config(r->learner).idle_after_ms, 3600000);
    assert_int_equal(atoll_learner_config(r->learner).embedding_dim, r->config.embedding_dim);
}

static uint32_t planned(running *r, uint32_t *id)
{
    atoll_pruned *plan;
    uint32_t count;
    assert_int_equal(atoll_learner_prune_plan(r->learner, &plan, &count, NULL), ATOLL_OK);
    if (count)
        *id = plan[0].id;
    free(plan);
    return count;
}

static atoll_expert_state state_of(running *r, uint32_t id)
{
    atoll_expert_info *experts;
    atoll_expert_state state = ATOLL_EXPERT_GONE;
    uint32_t count;
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < count; e++)
        state = experts[e].id == id ? experts[e].state : state;
    free(experts);
    return state;
}

enum { IDLE_AFTER_MS = 1000 };

/* A model with an expert that is idle, as a second passes. */
static uint32_t make_idle(running *r)
{
    uint32_t id = 0;
    atoll_config config = r->config;
    config.idle_after_ms = 3600000;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    running_feed(r, 0, 4, BATCH);
    assert_int_equal(planned(r, &id), 0);
    config.idle_after_ms = IDLE_AFTER_MS;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    assert_true(RUNNING_AWAIT(planned(r, &id)));
    assert_int_equal(planned(r, &id), 1);
    return id;
}

static void idle_experts_are_archived_and_brought_back(void **state)
{
    running *r = *state;
    running_call call, bystander;
    uint32_t id = make_idle(r), other;
    uint64_t before = running_stats(r).version;
    assert_int_equal(state_of(r, id), ATOLL_EXPERT_ACTIVE); /* a plan changes nothing */
    assert_int_equal(restore(r, id), ATOLL_WRONG_STATE);
    assert_int_equal(restore(r, 900), ATOLL_UNKNOWN_EXPERT);

    /* Somebody who waits for the same version does not take what the pruning led to. */
    running_begin(&bystander);
    assert_int_equal(atoll_learner_wait(r->learner, before + 1, 20000, running_waited, &bystander, NULL), ATOLL_OK);
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(running_end(&bystander), ATOLL_OK);
    assert_int_equal(call.count, 1);
    assert_int_equal(call.pruned[0].id, id);
    assert_non_null(strstr(call.pruned[0].reason, "idle"));
    assert_int_equal(call.version, before + 1);
    assert_int_equal(state_of(r, id), ATOLL_EXPERT_ARCHIVED);
    assert_int_equal(running_stats(r).experts_archived, 1);
    assert_int_equal(running_stats(r).pruned, 1);

    /* Again, there is nothing. */
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(call.count, 0);
    assert_int_equal(planned(r, &other), 0);

    running_close(r);
    running_open(r);
    assert_int_equal(state_of(r, id), ATOLL_EXPERT_ARCHIVED);
    assert_int_equal(restore(r, id), ATOLL_OK);
    assert_int_equal(state_of(r, id), ATOLL_EXPERT_ACTIVE);
    assert_int_equal(running_stats(r).restored, 1);
    assert_int_equal(restore(r, id), ATOLL_WRONG_STATE);
    running_feed(r, 0, 1, BATCH);

    /* The journal alone gives the same again, pruned and restored. */
    running_check_restart(r, true);
}

/* Learns texts of one domain that is named by two names in turn. */
static void feed_twice_named(running *r)
{
    learning_record *records = malloc(BATCH * sizeof *records);
    assert_non_null(records);
    for (int batch = 0; batch < 8; batch++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            learning_draw_text(&records[i], &r->rng, 0, atoll_rng_below(&r->rng, LEARNING_LABELS_A_DOMAIN));
            records[i].record.domain = (atoll_slice){atoll_rng_below(&r->rng, 2) ? "b" : "a", 1};
        }
        assert_int_equal(running_ingest(r, records, BATCH, true, NULL), ATOLL_OK);
    }
    free(records);
}

static void experts_of_one_domain_are_merged_and_replay_repeats_it(void **state)
{
    running *r = *state;
    running_call call;
    atoll_config config = r->config;
    config.gate = ATOLL_GATE_DOMAIN;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    feed_twice_named(r);
    assert_int_equal(running_stats(r).experts_active, 2);
    config.gate = ATOLL_GATE_TOPK;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(call.count, 1);
    assert_non_null(strstr(call.pruned[0].reason, "merged into expert"));
    assert_int_equal(running_stats(r).experts_active, 1);
    assert_int_equal(running_stats(r).merged, 1);
    assert_int_equal(state_of(r, call.pruned[0].id), ATOLL_EXPERT_GONE);
    assert_int_equal(restore(r, call.pruned[0].id), ATOLL_UNKNOWN_EXPERT);
    running_feed(r, 0, 1, BATCH);

    for (int replayed = 0; replayed < 2; replayed++) {
        running_check_restart(r, replayed);
        assert_int_equal(running_stats(r).merged, 1);
    }
}

static void requests_keep_an_expert_from_being_pruned(void **state)
{
    running *r = *state;
    running_call call;
    uint32_t id = make_idle(r);
    int64_t asked_ms = atoll_clock_wall_ms();
    free(running_answers(r));
    bool stays = planned(r, &id) == 0;
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    /* Where the machine took longer over that than an expert may be idle, nothing is told. */
    if (atoll_clock_wall_ms() - asked_ms > IDLE_AFTER_MS)
        skip();
    assert_true(stays);
    assert_int_equal(call.count, 0);
    assert_int_equal(state_of(r, id), ATOLL_EXPERT_ACTIVE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_learned_is_refused_by_name),
        TEST(labels_are_let_in_up_to_the_limit),
        TEST(labels_of_a_refused_request_are_not_let_in),
        TEST(many_labels_of_one_request_are_let_in),
        TEST(the_first_vector_settles_the_dimension),
        TEST(a_restart_forgets_neither_dimension_nor_labels),
        TEST(acknowledged_records_are_numbered_without_gaps),
        TEST(a_full_map_refuses_ingest_and_answers_go_on),
        TEST(a_model_over_its_budget_takes_no_more),
        TEST(a_new_model_does_not_take_what_would_pass_its_budget),
        TEST(room_is_given_to_one_of_those_who_ask_at_once),
        TEST(a_stream_fills_its_budget_and_goes_on_with_a_larger_one),
        TEST(settings_change_live_or_not_at_all),
        TEST(idle_experts_are_archived_and_brought_back),
        TEST(experts_of_one_domain_are_merged_and_replay_repeats_it),
        TEST(requests_keep_an_expert_from_being_pruned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
