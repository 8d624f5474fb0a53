#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/embedding_call.h"
#include "tests/support/embedding_server.h"

enum { DIM = 16, TEXTS = 3, TIMEOUT_MS = 300000 };

typedef struct fixture {
    embedding_server server;
    atoll_embedding_call *call;
    atoll_embedding_server target;
    float out[TEXTS * DIM];
    atoll_embedding_failure failure;
    atoll_error error;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    embedding_server_start(&f->server, DIM);
    f->call = atoll_embedding_call_new();
    assert_non_null(f->call);
    f->target.dim = DIM;
    snprintf(f->target.url, sizeof f->target.url, "%s", f->server.url);
    snprintf(f->target.model, sizeof f->target.model, "fake");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    atoll_embedding_call_free(f->call);
    embedding_server_stop(&f->server);
    free(f);
    return 0;
}

static atoll_status run(fixture *f, embedding_mode mode)
{
    static const atoll_slice texts[TEXTS] = {{"the first", 9}, {"a \"second\"\n", 11}, {"the first", 9}};
    f->server.mode = mode;
    return atoll_embedding_call_run(f->call, &f->target, texts, TEXTS, TIMEOUT_MS, f->out, &f->failure, &f->error);
}

static void gets_unit_vectors_in_the_order_of_the_texts(void **state)
{
    fixture *f = *state;
    float first[TEXTS * DIM];
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
    for (int i = 0; i < TEXTS; i++) {
        float length = 0;
        for (int d = 0; d < DIM; d++)
            length += f->out[i * DIM + d] * f->out[i * DIM + d];
        assert_true(fabsf(length - 1) < 1e-5f);
    }
    assert_memory_equal(f->out, f->out + 2 * DIM, DIM * sizeof *f->out);
    assert_memory_not_equal(f->out, f->out + DIM, DIM * sizeof *f->out);
    memcpy(first, f->out, sizeof first);
    assert_int_equal(run(f, EMBEDDING_REVERSED), ATOLL_OK);
    assert_memory_equal(first, f->out, sizeof first);
}

static void says_what_is_wrong_with_a_reply(void **state)
{
    fixture *f = *state;
    static const struct {
        embedding_mode mode;
        const char *says;
        bool refused;
    } cases[] = {
        {EMBEDDING_BROKEN, "500: out of order", false}, {EMBEDDING_REFUSING_ALL, "400: no such input", true},
        {EMBEDDING_SHORT, "15 values", false},          {EMBEDDING_NAN, "not JSON", false},
        {EMBEDDING_HUGE_NUMBER, "no finite", false},    {EMBEDDING_TOO_FEW, "2 embeddings came for 3", false},
        {EMBEDDING_TWICE, "numbers", false},            {EMBEDDING_GARBAGE, "not JSON", false},
        {EMBEDDING_WORDY, "over", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run(f, cases[i].mode), ATOLL_EMBEDDING_DOWN);
        if (!strstr(f->error.detail, cases[i].says))
            fail_msg("%s, not %s", f->error.detail, cases[i].says);
        assert_int_equal(f->failure.refused, cases[i].refused);
        assert_int_equal(f->failure.retry_after_ms, 0);
    }
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
}

static void tells_how_long_the_server_wants_to_rest(void **state)
{
    fixture *f = *state;
    assert_int_equal(run(f, EMBEDDING_BUSY), ATOLL_EMBEDDING_DOWN);
    assert_int_equal(f->failure.retry_after_ms, 2000);
    assert_false(f->failure.refused);
}

static void fails_where_nobody_listens_and_works_once_somebody_does(void **state)
{
    fixture *f = *state;
    embedding_server_stop(&f->server);
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_EMBEDDING_DOWN);
    assert_true(strlen(f->error.detail) > 0);
    embedding_server_again(&f->server);
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
}

static void gives_up_when_the_time_is_over(void **state)
{
    fixture *f = *state;
    static const atoll_slice text = {"slow", 4};
    f->server.mode = EMBEDDING_SLOW;
    f->server.delay_ms = 60000;
    assert_int_equal(atoll_embedding_call_run(f->call, &f->target, &text, 1, 100, f->out, &f->failure, &f->error),
                     ATOLL_EMBEDDING_DOWN);
    f->server.delay_ms = 1;
    assert_int_equal(atoll_embedding_call_run(f->call, &f->target, &text, 1, TIMEOUT_MS, f->out, &f->failure,
                                              &f->error), ATOLL_OK);
}

static void *cancel(void *arg)
{
    fixture *f = arg;
    atoll_embedding_call_cancel(f->call); /* before the call or in it: it ends either way */
    return NULL;
}

static void can_be_cancelled(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    f->server.delay_ms = 60000;
    assert_int_equal(pthread_create(&thread, NULL, cancel, f), 0);
    assert_int_equal(run(f, EMBEDDING_SLOW), ATOLL_SHUTTING_DOWN);
    pthread_join(thread, NULL);
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_SHUTTING_DOWN);
}

static void sends_the_key_that_the_environment_holds(void **state)
{
    fixture *f = *state;
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
    assert_false(f->server.authorized);
    snprintf(f->target.key_env, sizeof f->target.key_env, "ATOLL_EMBEDDING_KEY_TEST");
    setenv("ATOLL_EMBEDDING_KEY_TEST", "secret", 1);
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
    assert_true(f->server.authorized);
    setenv("ATOLL_EMBEDDING_KEY_TEST", "secret\r\nX-Other: 1", 1);
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
    assert_false(f->server.authorized);
    unsetenv("ATOLL_EMBEDDING_KEY_TEST");
    assert_int_equal(run(f, EMBEDDING_GOOD), ATOLL_OK);
    assert_false(f->server.authorized);
}

static void completes_the_address(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http://h", "http://h/v1/embeddings"},
        {"http://h/", "http://h/v1/embeddings"},
        {"https://h:8443", "https://h:8443/v1/embeddings"},
        {"http://h/v1", "http://h/v1/embeddings"},
        {"http://h/v1/", "http://h/v1/embeddings"},
        {"http://h/api/v12//", "http://h/api/v12/embeddings"},
        {"http://h/v1/embeddings", "http://h/v1/embeddings"},
        {"http://h/embed", "http://h/embed"},
        {"http://h/deploy/v1?version=3", "http://h/deploy/v1?version=3"},
        {"http://h?x=1", "http://h?x=1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[ATOLL_URL_MAX_BYTES + 16];
        atoll_embedding_call_address(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gets_unit_vectors_in_the_order_of_the_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_with_a_reply, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_how_long_the_server_wants_to_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fails_where_nobody_listens_and_works_once_somebody_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_up_when_the_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(can_be_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_the_key_that_the_environment_holds, set_up, tear_down),
        cmocka_unit_test(completes_the_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
