/* What the two threads have in common: fetching, health, settings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "learner/embedder_inside.h"
#include "tests/support/embedding_server.h"
#include "tests/support/server.h"

enum { DIM = 16, MAP_BYTES = 64 << 20, MANY = 9 };

typedef struct fixture {
    char top[128], path[160];
    embedding_server server;
    atoll_config config;
    atoll_journal *journal;
    atoll_embedder *embedder;
    char text[MANY][128];
    atoll_slice slice[MANY];
    float vector[MANY][DIM];
    atoll_embedding item[MANY];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    char journal[160];
    atoll_log_set_level((atoll_log_level)(ATOLL_LOG_ERROR + 1));
    assert_true(folder_make(f->top));
    snprintf(f->path, sizeof f->path, "%s/embeddings", f->top);
    snprintf(journal, sizeof journal, "%s/journal", f->top);
    embedding_server_start(&f->server, DIM);
    atoll_config_defaults(&f->config);
    embedding_server_configure(&f->server, &f->config);
    atoll_journal_options options = {.map_bytes = MAP_BYTES, .pending_bytes = 1 << 20};
    assert_int_equal(atoll_journal_open(journal, &options, &f->journal, NULL), ATOLL_OK);
    assert_int_equal(atoll_embedder_open(f->path, &f->config, MAP_BYTES, f->journal, 0, 0, &f->embedder, NULL),
                     ATOLL_OK);
    for (int i = 0; i < MANY; i++) {
        f->slice[i].bytes = (size_t)snprintf(f->text[i], sizeof f->text[i], "text number%d", i);
        f->slice[i].data = f->text[i];
        f->item[i].vector = f->vector[i];
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    atoll_embedder_close(f->embedder);
    atoll_journal_close(f->journal);
    embedding_server_stop(&f->server);
    folder_remove(f->top);
    free(f);
    return 0;
}

static atoll_status fetch(fixture *f)
{
    atoll_error error;
    return atoll_embed_fetch(f->embedder, ATOLL_EMBED_ASK, f->slice, f->item, MANY, &error);
}

static void set_text(fixture *f, int i, const char *text)
{
    f->slice[i].bytes = (size_t)snprintf(f->text[i], sizeof f->text[i], "%s", text);
}

static void fetches_all_in_one_call(void **state)
{
    fixture *f = *state;
    assert_int_equal(fetch(f), ATOLL_OK);
    assert_int_equal(f->server.calls, 1);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(f->item[i].found, ATOLL_EMBEDDING_THERE);
    atoll_embedding_stats stats;
    atoll_embedder_stats(f->embedder, &stats);
    assert_true(stats.outside && !stats.down);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.texts, MANY);
    assert_string_equal(stats.last_error, "");
}

static void one_text_that_is_refused_costs_only_its_own_embedding(void **state)
{
    fixture *f = *state;
    float good[DIM];
    assert_int_equal(fetch(f), ATOLL_OK);
    memcpy(good, f->vector[4], sizeof good);
    f->server.mode = EMBEDDING_REFUSING;
    set_text(f, 2, "refuse this");
    assert_int_equal(fetch(f), ATOLL_OK);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(f->item[i].found, i == 2 ? ATOLL_EMBEDDING_NONE : ATOLL_EMBEDDING_THERE);
    assert_memory_equal(good, f->vector[4], sizeof good);
}

static void a_text_that_is_too_long_is_cut(void **state)
{
    fixture *f = *state;
    float beginning[DIM];
    f->server.mode = EMBEDDING_REFUSING;
    set_text(f, 0, "eight by eight by eight by eight by eight by eight by eight by eight by eight by");
    set_text(f, 1, "eight by eight by eight by eight by eigh"); /* the first half of it */
    assert_int_equal(f->slice[0].bytes / 2, f->slice[1].bytes);
    assert_int_equal(fetch(f), ATOLL_OK);
    memcpy(beginning, f->vector[0], sizeof beginning);
    assert_int_equal(f->item[0].found, ATOLL_EMBEDDING_THERE);
    assert_memory_equal(beginning, f->vector[1], sizeof beginning);
}

static void a_server_that_refuses_everything_is_down(void **state)
{
    fixture *f = *state;
    atoll_embedding_stats stats;
    f->server.mode = EMBEDDING_REFUSING_ALL;
    assert_int_equal(fetch(f), ATOLL_EMBEDDING_DOWN);
    assert_in_range(f->server.calls, 2, 8);
    atoll_embedder_stats(f->embedder, &stats);
    assert_true(stats.down);
    assert_non_null(strstr(stats.last_error, "400"));
    assert_int_equal(stats.retries, 0);
    f->server.mode = EMBEDDING_GOOD;
    assert_int_equal(fetch(f), ATOLL_OK);
    atoll_embedder_stats(f->embedder, &stats);
    assert_false(stats.down);
    assert_int_equal(stats.retries, 1);
}

/* Fails once more: the pause that follows can be no shorter than *least_ms, and no longer than *most_ms. */
static void fail_again(fixture *f, atoll_embed_user user, int64_t retry_after_ms, int64_t *least_ms, int64_t *most_ms)
{
    atoll_error error;
    atoll_fail(&error, ATOLL_EMBEDDING_DOWN, "for a test");
    int64_t before = atoll_clock_monotonic_ns();
    atoll_embed_failed(f->embedder, user, retry_after_ms, &error);
    *least_ms = (f->embedder->health[user].retry_at_ns - atoll_clock_monotonic_ns()) / 1000000;
    *most_ms = (f->embedder->health[user].retry_at_ns - before) / 1000000;
}

static void pauses_double_up_to_a_bound_or_last_as_long_as_the_server_says(void **state)
{
    fixture *f = *state;
    char why[ATOLL_ERROR_DETAIL_BYTES];
    enum { FIRST_MS = 250, MOST_MS = 10000 };
    int64_t least, most;
    assert_int_equal(atoll_embedder_down_ns(f->embedder, why), 0);
    for (int i = 0; i < 12; i++) {
        int64_t pause = FIRST_MS << i < MOST_MS ? FIRST_MS << i : MOST_MS;
        fail_again(f, ATOLL_EMBED_AHEAD, 0, &least, &most);
        assert_true(least <= pause && pause <= most);
    }
    fail_again(f, ATOLL_EMBED_AHEAD, 60000, &least, &most);
    assert_true(least <= 60000 && 60000 <= most);
    assert_true(atoll_embedder_down_ns(f->embedder, why) > 0);
    assert_string_equal(why, "for a test");
    /* A success of the other thread ends the pause, not the count. */
    assert_int_equal(fetch(f), ATOLL_OK);
    assert_int_equal(f->embedder->health[ATOLL_EMBED_AHEAD].retry_at_ns, 0);
    assert_int_equal(f->embedder->health[ATOLL_EMBED_AHEAD].failures, 13);
}

static void settings_count_at_once(void **state)
{
    fixture *f = *state;
    atoll_config other = f->config, shown;
    snprintf(other.embedding_url, sizeof other.embedding_url, "http://127.0.0.1:1/v1");
    other.embedding_batch = 7;
    atoll_embedder_configure(f->embedder, &other);
    assert_int_equal(fetch(f), ATOLL_EMBEDDING_DOWN);
    atoll_config_defaults(&shown);
    atoll_embedder_present(f->embedder, &shown);
    assert_string_equal(shown.embedding_url, other.embedding_url);
    assert_int_equal(shown.embedding_batch, 7);
    int64_t least, most;
    fail_again(f, ATOLL_EMBED_ASK, 60000, &least, &most);
    atoll_embedder_configure(f->embedder, &f->config);
    assert_int_equal(f->embedder->health[ATOLL_EMBED_ASK].retry_at_ns, 0);
    assert_int_equal(fetch(f), ATOLL_OK);
}

static void fills_in_what_is_stored_and_notices_what_is_missing(void **state)
{
    fixture *f = *state;
    float space[3 * DIM], own[DIM] = {1};
    assert_int_equal(fetch(f), ATOLL_OK);
    f->item[0].key = atoll_embedding_key_of(f->slice[0]);
    f->item[1].key = atoll_embedding_key_of(f->slice[1]);
    f->item[1].found = ATOLL_EMBEDDING_NONE;
    assert_int_equal(atoll_embeddings_put(f->embedder->store, f->item, 2, 1, NULL), ATOLL_OK);
    atoll_record records[4] = {{.text = f->slice[0]},
                               {.text = f->slice[1]},
                               {.text = f->slice[0], .vector = own, .vector_dim = DIM},
                               {.vector = own, .vector_dim = DIM}};
    assert_int_equal(atoll_embedder_fill(f->embedder, records, 4, space, NULL), ATOLL_OK);
    assert_ptr_equal(records[0].vector, space);
    assert_int_equal(records[0].vector_dim, DIM);
    assert_null(records[1].vector);
    assert_ptr_equal(records[2].vector, own);
    assert_ptr_equal(records[3].vector, own);
    records[0] = (atoll_record){.text = {"never seen", 10}};
    assert_int_equal(atoll_embedder_fill(f->embedder, records, 1, space, NULL), ATOLL_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fetches_all_in_one_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_text_that_is_refused_costs_only_its_own_embedding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_text_that_is_too_long_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_refuses_everything_is_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pauses_double_up_to_a_bound_or_last_as_long_as_the_server_says, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(settings_count_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fills_in_what_is_stored_and_notices_what_is_missing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
