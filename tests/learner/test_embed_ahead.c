#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/limits.h"
#include "tests/support/embedding_fixture.h"

enum { DIM = EMBEDDING_FIXTURE_DIM };

static void fetches_what_the_journal_holds_each_text_once(void **state)
{
    embedding_fixture *f = *state;
    float a[DIM], b[DIM];
    embedding_commit(f, 0, 10);
    uint64_t last = embedding_commit(f, 5, 10);
    assert_true(embedding_await(f, last));
    assert_int_equal(f->server.texts, 15);
    assert_true(embedding_of(f, "0 word", a) && embedding_of(f, "14 word", b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_false(embedding_of(f, "15 word", a));
    assert_int_equal(embedding_stats(f).cached, 15);
    assert_int_equal(embedding_stats(f).pending, 0);
    /* What is gathered for one call has a text once, too. */
    embedding_server_stop(&f->server);
    embedding_commit(f, 20, 10);
    last = embedding_commit(f, 25, 10);
    embedding_server_again(&f->server);
    assert_true(embedding_await(f, last));
    assert_int_equal(f->server.texts, 30);
    /* What is there already stands among what is asked for, and what comes is put by its own text. */
    assert_true(embedding_await(f, embedding_commit(f, 15, 10)));
    assert_int_equal(f->server.texts, 35);
    assert_true(embedding_of(f, "15 word", a) && embedding_of(f, "20 word", b));
    assert_memory_not_equal(a, b, sizeof a);
}

static void cuts_calls_to_the_batch(void **state)
{
    embedding_fixture *f = *state;
    f->config.embedding_batch = 100;
    atoll_embedder_configure(f->embedder, &f->config);
    assert_true(embedding_await(f, embedding_commit(f, 0, ATOLL_COMMIT_MAX_RECORDS)));
    assert_int_equal(f->server.calls, (ATOLL_COMMIT_MAX_RECORDS + 99) / 100);
}

static void waits_while_the_server_is_down_and_goes_on_by_itself(void **state)
{
    embedding_fixture *f = *state;
    char why[ATOLL_ERROR_DETAIL_BYTES];
    embedding_server_stop(&f->server);
    uint64_t last = embedding_commit(f, 0, 3);
    while (!embedding_stats(f).retries)
        assert_false(atoll_embedder_await(f->embedder, last, 0, 10));
    assert_true(embedding_stats(f).down);
    assert_int_equal(embedding_stats(f).pending, last);
    assert_true(atoll_embedder_down_ns(f->embedder, why) > 0);
    embedding_server_again(&f->server);
    assert_true(embedding_await(f, last));
    assert_false(embedding_stats(f).down);
    assert_int_equal(atoll_embedder_down_ns(f->embedder, why), 0);
}

static void survives_every_bad_reply(void **state)
{
    embedding_fixture *f = *state;
    f->server.delay_ms = 1;
    for (int mode = EMBEDDING_GOOD; mode <= EMBEDDING_SLOW; mode++) {
        bool good = mode < EMBEDDING_BROKEN || mode == EMBEDDING_REFUSING || mode == EMBEDDING_SLOW;
        uint64_t calls = f->server.calls;
        f->server.mode = mode;
        uint64_t last = embedding_commit(f, (uint32_t)mode * 10, 3);
        while (f->server.calls == calls)
            atoll_embedder_await(f->embedder, last, f->records, 10);
        if (!good)
            assert_false(atoll_embedder_await(f->embedder, last, f->records, 0));
        f->server.mode = EMBEDDING_GOOD;
        atoll_embedder_configure(f->embedder, &f->config); /* does not sit its pause out */
        assert_true(embedding_await(f, last));
    }
}

static void gives_the_same_again_after_a_restart_without_the_server(void **state)
{
    embedding_fixture *f = *state;
    float before[DIM], after[DIM];
    f->server.mode = EMBEDDING_DRIFTING;
    uint64_t first = embedding_commit(f, 0, 20);
    assert_true(embedding_await(f, first));
    assert_true(embedding_of(f, "7 word", before));
    embedding_close(f);
    embedding_server_stop(&f->server);
    uint64_t unknown = embedding_commit(f, 10, 20); /* half of them new */
    embedding_open(f, 0, 0);
    assert_true(embedding_await(f, first));
    assert_true(embedding_of(f, "7 word", after));
    assert_memory_equal(before, after, sizeof before);
    assert_false(atoll_embedder_await(f->embedder, unknown, f->records, 100));
    embedding_server_again(&f->server);
    assert_true(embedding_await(f, unknown));
    assert_true(embedding_of(f, "15 word", after) && embedding_of(f, "25 word", after));
    assert_int_equal(f->server.texts, 30);
}

static void keeps_to_its_bytes_but_not_at_the_cost_of_replay(void **state)
{
    embedding_fixture *f = *state;
    float v[DIM];
    f->config.embedding_cache_bytes = 1000;
    atoll_embedder_configure(f->embedder, &f->config);
    uint64_t first = embedding_commit(f, 0, 700);
    assert_true(embedding_await(f, first));
    uint64_t second = embedding_commit(f, 1000, 10);
    assert_true(embedding_await(f, second));
    assert_int_equal(embedding_stats(f).cached, 710);
    atoll_embedder_covered(f->embedder, first);
    uint64_t third = embedding_commit(f, 2000, 10);
    assert_true(embedding_await(f, third));
    embedding_close(f); /* which waits for the trimming that follows a fetch */
    embedding_open(f, third, f->records);
    assert_int_equal(embedding_stats(f).cached, 20);
    assert_true(embedding_of(f, "1000 word", v) && embedding_of(f, "2000 word", v));
}

static void does_not_run_far_ahead_of_the_learner(void **state)
{
    enum { COMMITS = 20, AHEAD = 16384, GATHERED = 4096 };
    embedding_fixture *f = *state;
    uint64_t last = 0;
    for (uint32_t i = 0; i < COMMITS; i++)
        last = embedding_commit(f, i * ATOLL_COMMIT_MAX_RECORDS, ATOLL_COMMIT_MAX_RECORDS);
    assert_false(atoll_embedder_await(f->embedder, last, 0, 0));
    while (embedding_stats(f).cached < AHEAD)
        atoll_embedder_await(f->embedder, last, 0, 10);
    assert_in_range(embedding_stats(f).cached, AHEAD, AHEAD + GATHERED + ATOLL_COMMIT_MAX_RECORDS);
    assert_true(embedding_stats(f).pending > 0);
    assert_true(embedding_await(f, last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fetches_what_the_journal_holds_each_text_once, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(cuts_calls_to_the_batch, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(waits_while_the_server_is_down_and_goes_on_by_itself, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(survives_every_bad_reply, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(gives_the_same_again_after_a_restart_without_the_server, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(keeps_to_its_bytes_but_not_at_the_cost_of_replay, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(does_not_run_far_ahead_of_the_learner, embedding_set_up, embedding_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
