#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/priority.h"
#include "learner/publish.h"
#include "tests/support/running.h"
#include "tests/support/server.h"

enum { BATCH = 50, LABEL_PAGE_BYTES = 20000 };

/* In malloc's heap and in slabs. */
static uint64_t held_bytes(const running *r)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd + atoll_slabs_held_bytes(atoll_reclaim_slabs(r->learner->state.reclaim));
}

/* What was taken since the model was opened is what it counts since then. */
static void what_is_counted_is_what_is_held(void **state)
{
    running *r = *state;
    const char *sanitize = getenv("ATOLL_SANITIZE");
    if (sanitize && *sanitize)
        skip(); /* the sanitizers' heap is not malloc's */
    running_close(r);
    r->config.memory_exemplars = 3000;
    r->config.expert_hidden = 64;
    snprintf(r->path, sizeof r->path, "%s/counted", r->top);
    running_open(r);
    uint64_t held = held_bytes(r), counted = running_stats(r).counted_bytes;
    for (uint32_t d = 0; d < 30; d++)
        running_feed(r, d, 2, 2 * BATCH);
    /* The last journal transaction ends, a checkpoint too, and what was replaced goes. */
    double ratio;
    if (!RUNNING_AWAIT((ratio = (double)(running_stats(r).counted_bytes - counted) / (double)(held_bytes(r) - held),
                        ratio > 0.95 && ratio < 1.05)))
        fail_msg("counted / held: %.3f", ratio);
    assert_true(held_bytes(r) - held > 4 << 20);
}

/* What a version is beside its parts counts while it is published, and while it is replaced and perhaps read. */
static void versions_are_counted(void **state)
{
    enum { VERSIONS = 5 };
    running *r = *state;
    running_feed(r, 0, 2, BATCH);
    int ticket;
    uint64_t part = sizeof(atoll_published) + atoll_learner_enter(r->learner, &ticket)->model->experts *
                                                  sizeof(atoll_expert);
    uint64_t retired = running_stats(r).footprint.retired;
    for (int i = 0; i < VERSIONS; i++)
        assert_int_equal(running_configure(r, &r->config), ATOLL_OK);
    assert_true(running_stats(r).footprint.retired >= retired + VERSIONS * part);
    assert_true(running_stats(r).footprint.tables >= part);
    atoll_learner_leave(r->learner, ticket);
}

/* Learns a batch as the next commit of a model without threads. */
static void learn_batch(atoll_learner *learner, atoll_rng *rng, uint32_t commit)
{
    learning_record records[BATCH];
    atoll_record views[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        learning_draw_text(&records[i], rng, 0, i % LEARNING_LABELS_A_DOMAIN);
        views[i] = records[i].record;
    }
    assert_int_equal(atoll_trainer_learn(learner->trainer, &learner->state, views, BATCH, commit,
                                         1 + (uint64_t)BATCH * (commit - 1), 0, NULL), ATOLL_OK);
    learner->state.model.version = commit;
}

static void what_was_replaced_goes_when_its_readers_have_left(void **state)
{
    atoll_learner *learner = calloc(1, sizeof *learner);
    atoll_config config;
    atoll_rng rng;
    int ticket;
    (void)state;
    assert_non_null(learner);
    learning_config(&config);
    atoll_rng_seed(&rng, 1, 0);
    assert_int_equal(atoll_state_init(&learner->state, &config, NULL), ATOLL_OK);
    assert_non_null(learner->trainer = atoll_trainer_new(0, NULL));
    atoll_reclaim *reclaim = learner->state.reclaim;
    learn_batch(learner, &rng, 1);
    assert_int_equal(atoll_publish(learner, NULL), ATOLL_OK);
    assert_true(atoll_publish_let_go(learner));

    /* What is published yet is not freed. */
    learn_batch(learner, &rng, 2);
    size_t replaced = atoll_reclaim_waiting_bytes(reclaim);
    assert_true(replaced > 0);
    assert_true(atoll_publish_let_go(learner));
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), replaced);

    atoll_learner_enter(learner, &ticket);
    assert_int_equal(atoll_publish(learner, NULL), ATOLL_OK);
    assert_false(atoll_publish_let_go(learner));
    assert_true(atoll_reclaim_waiting_bytes(reclaim) >= replaced);
    atoll_learner_leave(learner, ticket);
    assert_true(atoll_publish_let_go(learner));
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 0);

    atoll_published_free(atomic_load(&learner->published));
    atoll_state_free(&learner->state);
    atoll_trainer_free(learner->trainer);
    free(learner);
}

/* ---- archived experts leave memory ---- */

static atoll_expert_info info_of(running *r, uint32_t id)
{
    atoll_expert_info *experts, found = {0};
    uint32_t count;
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < count; e++)
        found = experts[e].id == id ? experts[e] : found;
    free(experts);
    return found;
}

static void prune(running *r)
{
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(call.count, 1);
    assert_int_equal(call.pruned[0].id, 1);
}

static void restore(running *r)
{
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_restore(r->learner, 1, running_waited, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_OK);
}

static bool plans_one(running *r)
{
    atoll_pruned *plan;
    uint32_t planned;
    assert_int_equal(atoll_learner_prune_plan(r->learner, &plan, &planned, NULL), ATOLL_OK);
    free(plan);
    return planned;
}

/* Expert 1, active and then archived. */
static void make_archived(running *r)
{
    atoll_config config = r->config;
    config.idle_after_ms = 1000;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    running_feed(r, 0, 4, BATCH);
    assert_int_equal(info_of(r, 1).state, ATOLL_EXPERT_ACTIVE);
    assert_true(RUNNING_AWAIT(plans_one(r)));
    prune(r);
}

/* What is left is a page of labels. */
static void wait_until_unloaded(running *r)
{
    assert_true(RUNNING_AWAIT(info_of(r, 1).bytes <= LABEL_PAGE_BYTES));
}

static void an_archived_expert_leaves_memory_and_comes_back_as_it_was(void **state)
{
    running *r = *state;
    make_archived(r);
    atoll_expert_info before = info_of(r, 1);
    uint64_t experts = running_stats(r).footprint.experts;
    assert_int_equal(before.state, ATOLL_EXPERT_ARCHIVED);
    wait_until_unloaded(r);
    assert_int_equal(info_of(r, 1).parameters, before.parameters);
    assert_true(running_stats(r).footprint.experts < experts);
    free(running_answers(r));

    /* It is not loaded by a restart either; and what is learned meanwhile does not depend on it. */
    running_close(r);
    running_open(r);
    wait_until_unloaded(r);
    assert_int_equal(info_of(r, 1).parameters, before.parameters);
    running_feed(r, 1, 4, BATCH);
    restore(r);
    assert_int_equal(info_of(r, 1).state, ATOLL_EXPERT_ACTIVE);
    assert_true(info_of(r, 1).bytes >= 5 * LABEL_PAGE_BYTES);
    running_feed(r, 0, 2, BATCH);

    /* The journal alone, which never unloads, gives the same. */
    running_check_restart(r, true);
}

static void a_first_vector_reaches_an_expert_that_was_away(void **state)
{
    running *r = *state;
    learning_record records[BATCH];
    for (int b = 0; b < 4; b++) {
        for (uint32_t i = 0; i < BATCH; i++)
            learning_draw_text(&records[i], &r->rng, 0, i % 4);
        assert_int_equal(running_ingest(r, records, BATCH, true, NULL), ATOLL_OK);
    }
    atoll_config config = r->config;
    config.idle_after_ms = 1000;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    assert_true(RUNNING_AWAIT(plans_one(r)));
    prune(r);
    wait_until_unloaded(r);
    uint64_t parameters = info_of(r, 1).parameters;
    for (uint32_t i = 0; i < BATCH; i++) {
        learning_draw_text(&records[i], &r->rng, 1, i % 4);
        learning_add_vector(&records[i], &r->rng, i % 4);
    }
    assert_int_equal(running_ingest(r, records, BATCH, true, NULL), ATOLL_OK);
    restore(r);
    assert_int_equal(info_of(r, 1).parameters, parameters + 4 * ATOLL_EXPERT_DENSE * r->config.expert_hidden);
    free(running_answers(r));
}

/* ---- rounded weights ---- */

static void set_precision(running *r, atoll_precision precision)
{
    atoll_config config = atoll_learner_config(r->learner);
    config.precision = precision;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
}

/* The scores of all labels for some questions. */
typedef struct scores {
    float of[600];
    uint32_t count;
} scores;

static void note_scores(void *arg, uint32_t record, const atoll_prediction *p)
{
    scores *s = arg;
    (void)record;
    /* By name, since near ones may change places. */
    for (uint32_t i = 0; i < p->labels; i++) {
        uint32_t at = s->count;
        for (uint32_t k = 0; k < p->labels; k++)
            at += strcmp(p->label[k].label, p->label[i].label) < 0;
        s->of[at] = p->label[i].score;
    }
    s->count += p->labels;
}

static scores ask(running *r)
{
    enum { QUESTIONS = 60 };
    static learning_record questions[QUESTIONS];
    atoll_record views[QUESTIONS];
    atoll_rng rng;
    uint64_t version;
    scores s = {.count = 0};
    atoll_rng_seed(&rng, 77, 0);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        running_draw(r, &questions[i], &rng, i, i % 2);
        views[i] = questions[i].record;
    }
    assert_int_equal(atoll_learner_predict(r->learner, r->asker, views, QUESTIONS, 8, false, note_scores, &s, &version,
                                           NULL), ATOLL_OK);
    return s;
}

static double furthest(const scores *a, const scores *b)
{
    double most = 0;
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        most = fmax(most, fabs((double)(a->of[i] - b->of[i])));
    return most;
}

static void precision_changes_live_what_answers_read_and_nothing_else(void **state)
{
    running *r = *state;
    running_feed(r, 0, 6, BATCH);
    running_feed(r, 1, 6, BATCH);
    scores plain = ask(r);
    atoll_stats before = running_stats(r);
    assert_int_equal(before.active_bytes / sizeof(float), before.active_parameters);
    set_precision(r, ATOLL_PRECISION_Q8);
    assert_true(running_stats(r).footprint.experts > before.footprint.experts);
    assert_int_equal(running_stats(r).active_parameters, before.active_parameters);
    assert_true(running_stats(r).active_bytes < before.active_bytes);
    scores rounded = ask(r);
    assert_true(furthest(&plain, &rounded) > 0 && furthest(&plain, &rounded) < 0.02);
    running_feed(r, 1, 2, BATCH);
    running_check_restart(r, false);
    set_precision(r, ATOLL_PRECISION_Q4);
    rounded = ask(r);
    set_precision(r, ATOLL_PRECISION_F32);
    plain = ask(r);
    assert_true(furthest(&plain, &rounded) > 0 && furthest(&plain, &rounded) < 0.2);

    /* What was learned under rounded answers is what would have been learned without. */
    running_check_restart(r, true);
}

/* ---- readers beside publications ---- */

typedef struct reader {
    running *running;
    pthread_t thread;
    _Atomic bool stop;
    uint64_t answers, last;
} reader;

static void look(void *arg, uint32_t number, const atoll_prediction *p)
{
    double sum = 0;
    (void)number;
    for (uint32_t i = 0; i < p->labels; i++)
        sum += (double)p->label[i].score;
    if (sum < 1.001)
        ++*(uint64_t *)arg;
}

/* Asks without a pause, nicer than the learner; versions never go back, and every answer is one. */
static void *read_on(void *arg)
{
    enum { QUESTIONS = 8 };
    reader *r = arg;
    atoll_asker *asker = atoll_asker_new();
    learning_record questions[QUESTIONS];
    atoll_record views[QUESTIONS];
    atoll_rng rng;
    atoll_rng_seed(&rng, 5, 0);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        learning_draw_text(&questions[i], &rng, i % 2, i % 4);
        if (i % 2)
            learning_add_vector(&questions[i], &rng, i % 4);
        views[i] = questions[i].record;
    }
    atoll_priority_lower(RUNNING_READER_NICER);
    for (bool once = false; asker && !(once && r->stop); once = true) {
        uint64_t version = 0, before = r->answers;
        if (atoll_learner_predict(r->running->learner, asker, views, QUESTIONS, 3, true, look, &r->answers, &version,
                                  NULL) || version < r->last || r->answers != before + QUESTIONS) {
            r->answers = 0;
            break;
        }
        r->last = version;
    }
    atoll_asker_free(asker);
    return NULL;
}

/* Each small commit is published, in all precisions; the thread sanitizer looks on where it is there. */
static void readers_and_publications_do_not_disturb_each_other(void **state)
{
    enum { READERS = 2 };
    running *r = *state;
    running_feed(r, 0, 4, BATCH);
    reader readers[READERS] = {{.running = r}, {.running = r}};
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    for (int p = ATOLL_PRECISION_F32; p <= ATOLL_PRECISION_Q4; p++) {
        set_precision(r, (atoll_precision)p);
        running_feed(r, (uint32_t)p % 2, 25, 4);
    }
    for (int i = 0; i < READERS; i++) {
        readers[i].stop = true;
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].answers > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_counted_is_what_is_held),
        TEST(versions_are_counted),
        cmocka_unit_test(what_was_replaced_goes_when_its_readers_have_left),
        TEST(an_archived_expert_leaves_memory_and_comes_back_as_it_was),
        TEST(a_first_vector_reaches_an_expert_that_was_away),
        TEST(readers_and_publications_do_not_disturb_each_other),
        TEST(precision_changes_live_what_answers_read_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
