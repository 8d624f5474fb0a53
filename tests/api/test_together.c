#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "tests/api/harness.h"

#define PREDICT "/v1/models/m/predict"

/* Keeps the only worker busy until it is let go, so that requests gather in the queue. */
typedef struct keeper {
    atoll_job job; /* first */
    pthread_mutex_t gate;
    _Atomic bool entered;
} keeper;

static void keep(atoll_job *job, atoll_worker *worker)
{
    keeper *k = (keeper *)(void *)job;
    (void)worker;
    atomic_store(&k->entered, true);
    pthread_mutex_lock(&k->gate);
    pthread_mutex_unlock(&k->gate);
}

static int setup(void **state)
{
    static harness h;
    harness_prepare(&h);
    h.options.workers = 1;
    harness_start(&h);
    *state = &h;
    static const char *const models[] = {"m", "other"};
    for (int i = 0; i < 2; i++) {
        char target[64];
        snprintf(target, sizeof target, "/v1/models/%s/ingest?wait=trained", models[i]);
        http_reply reply = expect(&h, "POST", target, NDJSON,
                                  "{\"text\":\"red fox runs\",\"label\":\"animal\",\"id\":\"fox\"}\n"
                                  "{\"text\":\"tall oak stands\",\"label\":\"plant\"}\n", 200);
        http_free(&reply);
    }
    return 0;
}

/* Sends the requests while the worker is kept, each on a connection of its own, then reads their replies. */
static void ask_at_once(harness *h, const char *const (*asked)[2], int count, http_reply *replies)
{
    keeper k = {.job.run = keep, .gate = PTHREAD_MUTEX_INITIALIZER};
    int fds[64];
    pthread_mutex_lock(&k.gate);
    atoll_pool_push(h->service.pool, &k.job);
    while (!atomic_load(&k.entered))
        sched_yield();
    for (int i = 0; i < count; i++) {
        char text[1024];
        fds[i] = http_connect(h->port);
        int bytes = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                             asked[i][0], strlen(asked[i][1]), asked[i][1]);
        assert_true(http_send(fds[i], text, (size_t)bytes));
        while (atoll_pool_waiting(h->service.pool) < (uint32_t)i + 1) /* so that they wait in this order */
            sched_yield();
    }
    pthread_mutex_unlock(&k.gate);
    for (int i = 0; i < count; i++) {
        assert_true(http_read(fds[i], false, &replies[i]));
        close(fds[i]);
    }
    pthread_mutex_destroy(&k.gate);
}

static void assert_metric(harness *h, const char *series)
{
    http_reply reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    assert_has(&reply, series);
    http_free(&reply);
}

static void what_waits_is_answered_in_one_pass(void **state)
{
    static const char *const asked[][2] = {
        {PREDICT, "{\"records\":[{\"id\":\"a\",\"text\":\"red fox\"}],\"top\":1}"},
        {PREDICT "?explain=true", "{\"records\":[{\"id\":\"b\",\"text\":\"red fox runs\"}]}"},
        {PREDICT, "{\"records\":[{\"text\":\"tall oak\"}]}"},
    };
    harness *h = *state;
    http_reply replies[3];
    ask_at_once(h, asked, 3, replies);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(replies[i].status, 200);
        assert_has(&replies[i], "{\"model\":\"m\",\"version\":");
        assert_int_equal(number_in(&replies[i], "version"), number_in(&replies[0], "version"));
    }
    assert_has(&replies[0], "\"predictions\":[{\"id\":\"a\",");
    assert_has(&replies[0], "\"label\":\"animal\"");
    assert_has_not(&replies[0], "plant");
    assert_has(&replies[0], "\"neighbours\":[]}]}");
    assert_has(&replies[1], "\"neighbours\":[{\"id\":\"fox\"");
    assert_has(&replies[1], "\"voices\":{");
    assert_has(&replies[1], "\"label\":\"plant\"");
    assert_has(&replies[2], "\"predictions\":[{\"id\":null,");
    assert_has(&replies[2], "\"label\":\"plant\",\"score\"");
    assert_has(&replies[2], "\"neighbours\":[]}]}");
    for (int i = 0; i < 3; i++)
        http_free(&replies[i]);
    assert_metric(h, "atoll_predict_together_requests_bucket{le=\"2\"} 0\n");
    assert_metric(h, "atoll_predict_together_requests_bucket{le=\"4\"} 1\n");
    assert_metric(h, "atoll_predict_together_requests_sum 3\n");
}

static void faults_of_one_are_told_to_that_one(void **state)
{
    static const char *const asked[][2] = {
        {PREDICT, "{\"records\":[{\"id\":\"a\",\"text\":\"red fox\"}]}"},
        {PREDICT, "{\"records\":[{\"label\":\"x\"}]}"},
        {PREDICT, "{\"records\":"},
        {PREDICT "?top=0", "{\"records\":[{\"text\":\"red fox\"}]}"},
        {PREDICT, "{\"records\":[{\"id\":\"b\",\"text\":\"tall oak\"}]}"},
    };
    static const char *const codes[] = {NULL, "empty_record", "invalid_json", "out_of_range", NULL};
    http_reply replies[5];
    ask_at_once(*state, asked, 5, replies);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(replies[i].status, codes[i] ? 400 : 200);
        assert_has(&replies[i], codes[i] ? codes[i] : "\"label\":");
        http_free(&replies[i]);
    }
    assert_metric(*state, "atoll_predict_together_requests_sum 2\n");
}

static void others_are_answered_by_themselves(void **state)
{
    static const char *const asked[][2] = {
        {PREDICT, "{\"records\":[{\"id\":\"a\",\"text\":\"red fox\"}]}"},
        {PREDICT, "{\"records\":[{\"id\":\"b\",\"text\":\"red fox\"},{\"id\":\"c\",\"text\":\"tall oak\"}]}"},
        {"/v1/models/other/predict", "{\"records\":[{\"id\":\"d\",\"text\":\"red fox\"}]}"},
        {PREDICT "?min_version=1", "{\"records\":[{\"id\":\"e\",\"text\":\"red fox\"}]}"},
        {PREDICT, "{\"records\":[]}"},
        {PREDICT, "{\"records\":[{\"id\":\"f\",\"text\":\"red fox\"}]}"},
    };
    static const char *const wanted[] = {"\"id\":\"a\"", "\"id\":\"c\"", "\"model\":\"other\"", "\"id\":\"e\"",
                                         "\"predictions\":[]", "\"id\":\"f\""};
    http_reply replies[6];
    ask_at_once(*state, asked, 6, replies);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(replies[i].status, 200);
        assert_has(&replies[i], wanted[i]);
        http_free(&replies[i]);
    }
    assert_metric(*state, "atoll_predict_together_requests_sum 3\n"); /* a with f, and d */
    assert_metric(*state, "atoll_predict_together_requests_count 2\n");
}

static void a_batch_is_bounded(void **state)
{
    enum { ASKED = 40 };
    const char *asked[ASKED][2];
    http_reply replies[ASKED];
    for (int i = 0; i < ASKED; i++) {
        asked[i][0] = PREDICT;
        asked[i][1] = "{\"records\":[{\"text\":\"red fox\"}]}";
    }
    ask_at_once(*state, (const char *const(*)[2])asked, ASKED, replies);
    for (int i = 0; i < ASKED; i++) {
        assert_int_equal(replies[i].status, 200);
        http_free(&replies[i]);
    }
    assert_metric(*state, "atoll_predict_together_requests_bucket{le=\"16\"} 3\n");
    assert_metric(*state, "atoll_predict_together_requests_count 3\n");
    assert_metric(*state, "atoll_predict_together_requests_sum 40\n");
}

/* Models go and come while they are asked: every request gets an answer, of the model or that there is none. */
static void *ask_many(void *arg)
{
    const harness *h = arg;
    int fd = http_connect(h->port);
    for (int i = 0; i < 100; i++) {
        static const char body[] = "{\"records\":[{\"text\":\"red fox\"}]}";
        http_reply reply;
        if (!http_ask(fd, "POST", PREDICT, JSON, body, sizeof body - 1, &reply) ||
            (reply.status != 200 && reply.status != 404 && reply.status != 409))
            arg = NULL;
        http_free(&reply);
        if (!arg)
            break;
    }
    close(fd);
    return arg;
}

static void a_model_may_go_meanwhile(void **state)
{
    harness *h = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, ask_many, h);
    for (int i = 0; i < 3; i++) {
        http_reply reply = http_call(h->port, "DELETE", "/v1/models/m", NULL, NULL);
        http_free(&reply);
        reply = http_call(h->port, "PUT", "/v1/models/m", JSON, "{}");
        http_free(&reply);
    }
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_is_answered_in_one_pass, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(faults_of_one_are_told_to_that_one, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(others_are_answered_by_themselves, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_batch_is_bounded, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_model_may_go_meanwhile, setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
