#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/journal.h"
#include "learner/priority.h"
#include "tests/support/running.h"

#ifdef ATOLL_SANITIZE
enum { BATCH = 25, BATCHES = 3, ASKED = 16 };
#else
enum { BATCH = 100, BATCHES = 4, ASKED = 150 };
#endif

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- coming back ---- */

static void what_was_learned_is_there_after_a_restart(void **state)
{
    running *r = *state;
    running_feed(r, 0, BATCHES, BATCH);
    running_feed(r, 1, BATCHES, BATCH);
    char *expected = running_answers(r);
    for (int i = 0; i < 2; i++) {
        running_close(r);
        running_open(r);
        assert_int_equal(running_stats(r).checkpoint, running_stats(r).version);
        running_check_answers(r, expected);
    }
    free(expected);
}

static void the_journal_alone_or_behind_any_checkpoint_gives_the_same(void **state)
{
    running *r = *state;
    running_feed(r, 0, BATCHES, BATCH);
    running_close(r);
    running_copy_store(r, "state", "early", false);
    running_open(r);
    running_feed(r, 1, BATCHES, BATCH);
    running_feed(r, 0, 1, BATCH);
    char *expected = running_answers(r);
    running_close(r);

    running_drop_store(r, "state");
    running_open(r);
    running_check_answers(r, expected);
    running_close(r);

    running_copy_store(r, "state", "early", true);
    running_open(r);
    running_check_answers(r, expected);
    free(expected);
}

/* ---- waiting ---- */

static atoll_status wait_for(running *r, uint64_t version, int64_t timeout_ms)
{
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, version, timeout_ms, running_waited, &call, NULL), ATOLL_OK);
    return running_end(&call);
}

static void versions_are_waited_for(void **state)
{
    running *r = *state;
    running_call call;
    assert_int_equal(wait_for(r, 0, 0), ATOLL_OK);
    assert_int_equal(wait_for(r, 1, 0), ATOLL_OK);
    assert_int_equal(wait_for(r, 2, 30), ATOLL_TIMEOUT);
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 3, 30000, running_waited, &call, NULL), ATOLL_OK);
    running_feed(r, 0, 2, 5);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_true(running_stats(r).version >= 3);
}

static void closing_tells_those_who_wait(void **state)
{
    running *r = *state;
    running_call calls[3];
    for (int i = 0; i < 3; i++) {
        running_begin(&calls[i]);
        assert_int_equal(atoll_learner_wait(r->learner, 100, 60000, running_waited, &calls[i], NULL), ATOLL_OK);
    }
    running_close(r);
    for (int i = 0; i < 3; i++)
        assert_int_equal(running_end(&calls[i]), ATOLL_SHUTTING_DOWN);
}

/* Ingest that waits to be learned while the model closes ends in one of two ways, once. */
static void closing_amid_learning_loses_nothing_that_was_written(void **state)
{
    enum { CALLS = 12 };
    running *r = *state;
    running_call calls[CALLS];
    learning_record records[20];
    atoll_record views[20];
    for (int c = 0; c < CALLS; c++) {
        for (uint32_t i = 0; i < 20; i++) {
            learning_draw_text(&records[i], &r->rng, 0, i % 4);
            views[i] = records[i].record;
        }
        running_begin(&calls[c]);
        assert_int_equal(atoll_learner_ingest(r->learner, views, 20, true, running_ingested, &calls[c], NULL),
                         ATOLL_OK);
    }
    running_close(r);
    for (int c = 0; c < CALLS; c++) {
        atoll_status status = running_end(&calls[c]);
        assert_true(status == ATOLL_OK || status == ATOLL_SHUTTING_DOWN);
    }
    running_open(r);
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, 20 * CALLS);
}

/* However a commit is broken off, it is learned whole at the next start, as if nothing had been. */
static void a_commit_that_is_broken_off_is_learned_whole_later(void **state)
{
    enum { CALLS = 4, EACH = 500 };
    running *r = *state;
    running_call calls[CALLS];
    learning_record *records = malloc(CALLS * EACH * sizeof *records);
    atoll_record *views = malloc(CALLS * EACH * sizeof *views);
    assert_true(records && views);
    running_feed(r, 0, 1, 20);
    running_restart(r, false);
    for (uint32_t i = 0; i < CALLS * EACH; i++) {
        learning_draw_text(&records[i], &r->rng, 0, i % 4);
        views[i] = records[i].record;
    }
    for (int c = 0; c < CALLS; c++) {
        running_begin(&calls[c]);
        assert_int_equal(atoll_learner_ingest(r->learner, views + c * EACH, EACH, false, running_ingested, &calls[c],
                                              NULL),
                         ATOLL_OK);
        assert_int_equal(running_end(&calls[c]), ATOLL_OK);
    }
    atoll_learner_abandon(r->learner); /* as an end whose patience is over at once */
    running_restart(r, false);
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, 20 + CALLS * EACH);
    char *broken_off = running_answers(r);
    running_restart(r, true); /* the journal alone, without a break */
    running_catch_up(r);
    char *at_once = running_answers(r);
    assert_string_equal(broken_off, at_once);
    free(broken_off);
    free(at_once);
    free(records);
    free(views);
}

/* ---- trouble ---- */

static void a_model_that_cannot_learn_goes_on_answering(void **state)
{
    running *r = *state;
    running_call call;
    learning_record record;
    running_feed(r, 0, 2, BATCH);
    uint64_t before = running_stats(r).version;
    running_close(r);
    running_add_entry(r, ATOLL_ENTRY_RESTORE); /* not as long as it has to be */

    for (int i = 0; i < 2; i++) {
        running_open(r);
        running_begin(&call);
        assert_int_equal(atoll_learner_wait(r->learner, before + 1, 20000, running_waited, &call, NULL), ATOLL_OK);
        assert_int_equal(running_end(&call), ATOLL_INTERNAL);
        assert_non_null(strstr(running_stats(r).failure, "restore"));
        assert_int_equal(running_stats(r).version, before);
        learning_draw_text(&record, &r->rng, 0, 0);
        assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_INTERNAL);
        assert_int_equal(atoll_learner_restore(r->learner, 1, running_waited, &call, NULL), ATOLL_WRONG_STATE);
        free(running_answers(r));
        running_close(r);
    }
}

/* ---- many at once ---- */

typedef struct reader {
    running *r;
    atomic_bool *stop;
    pthread_t thread;
    uint64_t answers, last;
} reader;

static void check_prediction(void *arg, uint32_t record, const atoll_prediction *p)
{
    reader *self = arg;
    (void)record;
    float sum = 0;
    for (uint32_t i = 0; i < p->labels; i++)
        sum += p->label[i].score;
    assert_true(sum >= 0 && sum < 1.001f && p->novelty >= 0 && p->novelty <= 1);
    self->answers++;
}

static void *ask_on(void *arg)
{
    enum { QUESTIONS = 8 };
    reader *self = arg;
    atoll_asker *asker = atoll_asker_new();
    learning_record question[QUESTIONS];
    atoll_record views[QUESTIONS];
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, (uint64_t)(uintptr_t)self);
    atoll_priority_lower(RUNNING_READER_NICER);
    for (uint32_t round = 0; !atomic_load(self->stop) || self->answers < ASKED; round++) {
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            running_draw(self->r, &question[i], &rng, i, round % 3);
            views[i] = question[i].record;
        }
        uint64_t version;
        assert_int_equal(atoll_learner_predict(self->r->learner, asker, views, QUESTIONS, 8, round % 2,
                                               check_prediction, self, &version, NULL), ATOLL_OK);
        assert_true(version >= self->last);
        self->last = version;
        pause_ms(1);
        if (round % 16 == 0) {
            atoll_expert_info *experts;
            uint32_t count;
            assert_int_equal(atoll_learner_experts(self->r->learner, &experts, &count, NULL), ATOLL_OK);
            free(experts);
            running_stats(self->r);
        }
    }
    atoll_asker_free(asker);
    return NULL;
}

static void requests_read_while_the_model_learns(void **state)
{
    enum { READERS = 4 };
    running *r = *state;
    atomic_bool stop = false;
    reader readers[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.r = r, .stop = &stop};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, ask_on, &readers[i]), 0);
    }
    for (uint32_t domain = 0; domain < 3; domain++)
        running_feed(r, domain, BATCHES, BATCH);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].answers >= ASKED);
    }

    /* And what they asked has changed nothing. */
    char *expected = running_answers(r);
    running_close(r);
    running_drop_store(r, "state");
    running_open(r);
    running_check_answers(r, expected);
    free(expected);
}

static void acknowledgements_come_once_each_in_order(void **state)
{
    enum { CALLS = 40 };
    running *r = *state;
    running_call calls[CALLS];
    for (int c = 0; c < CALLS; c++) {
        learning_record record;
        learning_draw_text(&record, &r->rng, 0, 0);
        running_begin(&calls[c]);
        assert_int_equal(atoll_learner_ingest(r->learner, &record.record, 1, c % 2, running_ingested, &calls[c], NULL),
                         ATOLL_OK);
    }
    for (int c = 0; c < CALLS; c++) {
        assert_int_equal(running_end(&calls[c]), ATOLL_OK);
        assert_int_equal(calls[c].ingested.first_seq, c + 1);
        assert_int_equal(calls[c].ingested.last_seq, c + 1);
        if (c)
            assert_true(calls[c].ingested.version >= calls[c - 1].ingested.version);
        if (c % 2)
            assert_true(running_stats(r).version >= calls[c].ingested.version);
    }
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, CALLS);
    for (int c = 0; c < CALLS; c++)
        assert_int_equal(calls[c].done, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_learned_is_there_after_a_restart),
        TEST(the_journal_alone_or_behind_any_checkpoint_gives_the_same),
        TEST(versions_are_waited_for),
        TEST(closing_tells_those_who_wait),
        TEST(closing_amid_learning_loses_nothing_that_was_written),
        TEST(a_commit_that_is_broken_off_is_learned_whole_later),
        TEST(a_model_that_cannot_learn_goes_on_answering),
        TEST(requests_read_while_the_model_learns),
        TEST(acknowledgements_come_once_each_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
