#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/embedding_server.h"
#include "tests/support/running.h"
#include "tests/support/server.h"

static void what_is_published_is_not_waited_for(void **state)
{
    running *r = *state;
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 1, 0, running_waited, &call, NULL), ATOLL_OK);
    assert_int_equal(call.done, 1);
    assert_int_equal(call.status, ATOLL_OK);
}

static void who_waits_in_vain_is_told_when_the_time_is_over(void **state)
{
    running *r = *state;
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 1000, 20, running_waited, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_TIMEOUT);
    assert_string_equal(call.detail, "the version was not reached in time");
}

static void who_waits_when_the_model_is_closed_is_told(void **state)
{
    running *r = *state;
    running_call call;
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 1000, 60000, running_waited, &call, NULL), ATOLL_OK);
    running_close(r);
    assert_int_equal(running_end(&call), ATOLL_SHUTTING_DOWN);
    running_open(r);
}

static void who_waits_when_the_model_is_removed_is_told_and_nothing_more_is_taken(void **state)
{
    running *r = *state;
    running_call call;
    learning_record record;
    atoll_config config = r->config;
    running_feed(r, 0, 2, 50);
    uint64_t checkpoint = running_stats(r).checkpoint, written = running_stats(r).journal_last;
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 1000, INT32_MAX, running_waited, &call, NULL), ATOLL_OK);
    atoll_learner_abandon(r->learner);
    assert_int_equal(running_end(&call), ATOLL_UNKNOWN_MODEL);
    assert_string_equal(call.detail, "the model is being removed");
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, 1000, INT32_MAX, running_waited, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_UNKNOWN_MODEL);
    learning_draw_text(&record, &r->rng, 0, 0);
    assert_int_equal(running_ingest(r, &record, 1, true, NULL), ATOLL_UNKNOWN_MODEL);
    assert_int_equal(running_configure(r, &config), ATOLL_UNKNOWN_MODEL);
    running_begin(&call);
    assert_int_equal(atoll_learner_prune(r->learner, running_pruned, &call, NULL), ATOLL_UNKNOWN_MODEL);
    assert_int_equal(call.done, 0); /* a call that is refused calls nobody back */
    assert_int_equal(running_stats(r).journal_last, written);
    free(running_answers(r));
    running_close(r);
    running_open(r);
    assert_int_equal(running_stats(r).checkpoint, checkpoint); /* it is not worth another */
    running_catch_up(r);
}

/* Another model in place of the one that was set up: its embeddings come from a server. */
static void open_with_server(running *r, const embedding_server *server)
{
    running_close(r);
    folder_remove(r->path);
    embedding_server_configure(server, &r->config);
    r->config.embedding_timeout_ms = 1000;
    running_open(r);
    running_catch_up(r);
}

static void who_waits_for_an_embedding_server_that_is_down_is_told_so(void **state)
{
    running *r = *state;
    running_call call;
    embedding_server server;
    learning_record record;
    atoll_ingested ingested;
    embedding_server_start(&server, 16);
    open_with_server(r, &server);
    embedding_server_stop(&server);
    learning_draw_text(&record, &r->rng, 0, 0);
    assert_int_equal(running_ingest(r, &record, 1, true, &ingested),
                     ATOLL_EMBEDDING_DOWN);
    assert_int_equal(ingested.last_seq, 1); /* it is on disk */
    running_begin(&call);
    assert_int_equal(atoll_learner_wait(r->learner, ingested.version, 20, running_waited, &call, NULL), ATOLL_OK);
    assert_int_equal(running_end(&call), ATOLL_TIMEOUT);
    assert_non_null(strstr(call.detail, "learning waits for the embedding server"));
    embedding_server_again(&server);
    running_catch_up(r);
    assert_int_equal(running_stats(r).records, 1);
    embedding_server_stop(&server);
}

/* The entry that corrects an address stands behind records that wait for it. */
static void a_wrong_address_can_be_corrected(void **state)
{
    running *r = *state;
    running_call call;
    embedding_server server, other;
    learning_record record;
    atoll_config config;
    embedding_server_start(&server, 16);
    embedding_server_start(&other, 16);
    open_with_server(r, &server);
    embedding_server_stop(&server);
    learning_draw_text(&record, &r->rng, 0, 0);
    assert_int_equal(running_ingest(r, &record, 1, false, NULL), ATOLL_OK);
    running_close(r);
    running_open(r);
    config = atoll_learner_config(r->learner);
    embedding_server_configure(&other, &config);
    config.embedding_timeout_ms = 60000;
    running_begin(&call);
    assert_int_equal(atoll_learner_configure(r->learner, &config, running_waited, &call, NULL), ATOLL_OK);
    assert_string_equal(atoll_learner_config(r->learner).embedding_url, other.url);
    assert_int_equal(running_end(&call), ATOLL_OK);
    assert_int_equal(running_stats(r).records, 1);
    embedding_server_stop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_published_is_not_waited_for, running_set_up, running_tear_down),
        cmocka_unit_test_setup_teardown(who_waits_in_vain_is_told_when_the_time_is_over, running_set_up,
                                        running_tear_down),
        cmocka_unit_test_setup_teardown(who_waits_when_the_model_is_closed_is_told, running_set_up,
                                        running_tear_down),
        cmocka_unit_test_setup_teardown(who_waits_when_the_model_is_removed_is_told_and_nothing_more_is_taken,
                                        running_set_up, running_tear_down),
        cmocka_unit_test_setup_teardown(who_waits_for_an_embedding_server_that_is_down_is_told_so, running_set_up,
                                        running_tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_address_can_be_corrected, running_set_up, running_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
