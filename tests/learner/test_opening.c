#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/journal.h"
#include "core/lmdb.h"
#include "core/store.h"
#include "tests/support/running.h"

enum { BATCH = 50 };

static void a_model_is_made_once_and_found_again(void **state)
{
    running *r = *state;
    atoll_error error;
    assert_int_equal(running_stats(r).version, 1); /* its configuration is its first commit */
    assert_int_equal(running_stats(r).records, 0);
    running_close(r);
    assert_int_equal(running_try_open(r, NULL, RUNNING_MAP_BYTES, &error), ATOLL_OK);
    assert_int_equal(atoll_learner_config(r->learner).embedding_dim, r->config.embedding_dim);
    running_close(r);
    /* The model's own configuration counts, not the one it is opened with. */
    atoll_config other = r->config;
    other.embedding_dim *= 2;
    assert_int_equal(running_try_open(r, &other, RUNNING_MAP_BYTES, &error), ATOLL_OK);
    assert_int_equal(atoll_learner_config(r->learner).embedding_dim, r->config.embedding_dim);
    running_close(r);

    snprintf(r->path, sizeof r->path, "%s/none", r->top);
    assert_int_equal(running_try_open(r, NULL, RUNNING_MAP_BYTES, &error), ATOLL_NOT_FOUND);
    snprintf(r->path, sizeof r->path, "%s/not/there", r->top);
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_IO);
}

static void a_model_is_open_once(void **state)
{
    running *r = *state;
    atoll_learner *second;
    assert_int_equal(atoll_learner_open(r->path, NULL, RUNNING_MAP_BYTES, &second, NULL), ATOLL_BUSY);
}

static void a_journal_that_does_not_reach_the_checkpoint_is_refused(void **state)
{
    running *r = *state;
    atoll_error error;
    running_close(r);
    running_copy_store(r, "journal", "early", false);
    running_open(r);
    running_feed(r, 0, 2, BATCH);
    running_close(r);
    running_copy_store(r, "journal", "early", true);
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_DAMAGED);
    assert_non_null(strstr(error.detail, "before the checkpoint"));
    /* Nor one that is not there at all. */
    running_drop_store(r, "journal");
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_DAMAGED);
}

/* Waits for a checkpoint of all that is learned, which a running model writes by itself. */
static void await_checkpoint(running *r)
{
    assert_true(RUNNING_AWAIT(running_stats(r).checkpoint >= running_stats(r).version));
}

static void a_trimmed_journal_needs_its_checkpoint(void **state)
{
    running *r = *state;
    atoll_error error;
    atoll_config config = r->config;
    config.journal_keep_bytes = 0;
    config.checkpoint_every_ms = 1000;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    running_close(r);
    running_copy_store(r, "state", "early", false);
    running_open(r);
    running_feed(r, 0, 5, 20);
    await_checkpoint(r);
    assert_true(running_stats(r).checkpoints >= 1);
    char *expected = running_answers(r);
    running_close(r);
    running_open(r);
    running_check_answers(r, expected);
    free(expected);
    running_close(r);

    running_copy_store(r, "state", "early", true);
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_DAMAGED);
    assert_non_null(strstr(error.detail, "the journal begins"));
    running_drop_store(r, "state");
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_DAMAGED);
    assert_non_null(strstr(error.detail, "lacks its beginning"));
}

static void an_entry_of_a_newer_version_is_refused_at_once(void **state)
{
    running *r = *state;
    atoll_error error;
    running_close(r);
    running_add_entry(r, 99);
    assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_NEWER_FORMAT);
}

/* Leaves a checkpoint that the version before this one might have written. */
static void age_checkpoint(const running *r)
{
    char path[256];
    atoll_lmdb *db;
    snprintf(path, sizeof path, "%s/state", r->path);
    assert_int_equal(atoll_lmdb_open(path, "atollsto", ATOLL_STORE_FORMAT, RUNNING_MAP_BYTES, &db, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_clear(db, "atollsto", ATOLL_STORE_FORMAT - 1, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
}

static void a_checkpoint_of_an_older_version_is_learned_again(void **state)
{
    running *r = *state;
    running_feed(r, 0, 3, BATCH);
    char *answers = running_answers(r);
    running_close(r);
    age_checkpoint(r);
    running_open(r);
    running_check_answers(r, answers);
    free(answers);
    running_check_restart(r, false);
}

static void a_checkpoint_of_an_older_version_stays_where_the_journal_was_trimmed(void **state)
{
    running *r = *state;
    char path[256];
    atoll_error error;
    atoll_journal *journal;
    atoll_journal_options options = {.map_bytes = RUNNING_MAP_BYTES, .pending_bytes = 1 << 20};
    running_feed(r, 0, 3, BATCH);
    running_close(r);
    snprintf(path, sizeof path, "%s/journal", r->path);
    assert_int_equal(atoll_journal_open(path, &options, &journal, NULL), ATOLL_OK);
    atoll_journal_trim(journal, 2);
    while (atoll_journal_first(journal) < 3)
        running_pause();
    atoll_journal_close(journal);
    age_checkpoint(r);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(running_try_open(r, &r->config, RUNNING_MAP_BYTES, &error), ATOLL_OLDER_FORMAT);
        assert_non_null(strstr(error.detail, "not whole"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_is_made_once_and_found_again),
        TEST(a_model_is_open_once),
        TEST(a_journal_that_does_not_reach_the_checkpoint_is_refused),
        TEST(a_trimmed_journal_needs_its_checkpoint),
        TEST(an_entry_of_a_newer_version_is_refused_at_once),
        TEST(a_checkpoint_of_an_older_version_is_learned_again),
        TEST(a_checkpoint_of_an_older_version_stays_where_the_journal_was_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
