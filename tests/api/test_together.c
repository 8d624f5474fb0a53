#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "api/together.h"
#include "tests/api/harness.h"

#define PREDICT "/v1/models/m/predict"

/* A request as the server would hand it on, and what became of it. */
typedef struct question {
    atoll_request request; /* first */
    char body[1024];
    bool finished;
} question;

static void finished(atoll_request *request)
{
    ((question *)(void *)request)->finished = true;
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

static void prepare(harness *h, const char *target, const char *body, question *q)
{
    static question zero;
    *q = zero;
    q->request.service = &h->service;
    assert_int_equal(atoll_route_match(atoll_routes, atoll_route_count, "POST", target, &q->request.target, NULL),
                     ATOLL_OK);
    q->request.body_bytes = (size_t)snprintf(q->body, sizeof q->body - ATOLL_JSON_PADDING, "%s", body);
    q->request.body = q->body;
    q->request.finished = finished;
    atoll_writer_init(&q->request.reply.body);
}

/* Answers the requests in one go. Those that want to be answered apart have no reply. */
static void ask_at_once(harness *h, const char *const (*asked)[2], uint32_t count, http_reply *replies)
{
    static question questions[ATOLL_TOGETHER_MOST];
    atoll_request *requests[ATOLL_TOGETHER_MOST];
    atoll_worker worker;
    assert_true(atoll_worker_prepare(&worker));
    for (uint32_t i = 0; i < count; i++) {
        prepare(h, asked[i][0], asked[i][1], &questions[i]);
        requests[i] = &questions[i].request;
        assert_true(atoll_together_takes(requests[i]));
    }
    atoll_together_answer(requests, count, &worker);
    atoll_worker_clean(&worker);
    for (uint32_t i = 0; i < count; i++) {
        atoll_reply *reply = &requests[i]->reply;
        assert_int_equal(questions[i].finished, !requests[i]->apart);
        replies[i] = (http_reply){0};
        if (requests[i]->apart) {
            atoll_registry_release(h->service.registry, requests[i]->model);
            continue;
        }
        assert_true(atoll_writer_terminate(&reply->body));
        replies[i].status = reply->http;
        replies[i].body = reply->body.data;
        replies[i].bytes = reply->body.bytes;
    }
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
    static const char *const wanted[] = {"\"id\":\"a\"", NULL, "\"model\":\"other\"", NULL, NULL, "\"id\":\"f\""};
    http_reply replies[6];
    ask_at_once(*state, asked, 6, replies);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(replies[i].status, wanted[i] ? 200 : 0); /* 0: apart */
        if (wanted[i])
            assert_has(&replies[i], wanted[i]);
        http_free(&replies[i]);
    }
    assert_metric(*state, "atoll_predict_together_requests_sum 3\n"); /* a with f, and d */
    assert_metric(*state, "atoll_predict_together_requests_count 2\n");
    for (int i = 0; i < 6; i++) { /* and over HTTP, whoever answers */
        http_reply reply = expect(*state, "POST", asked[i][0], JSON, asked[i][1], 200);
        http_free(&reply);
    }
}

static void only_small_predictions_are_taken(void **state)
{
    static question q;
    prepare(*state, PREDICT, "{}", &q);
    assert_true(atoll_together_takes(&q.request));
    q.request.body_bytes = 1 << 20;
    assert_false(atoll_together_takes(&q.request));
    q.request.body_bytes = 2;
    q.request.ndjson = true;
    assert_false(atoll_together_takes(&q.request));
    prepare(*state, "/v1/models/m/ingest", "{}", &q);
    assert_false(atoll_together_takes(&q.request));
}

/* More connections than a batch holds ask at the same time. */
static void a_batch_is_bounded(void **state)
{
    enum { ASKED = 40 };
    static const char body[] = "{\"records\":[{\"text\":\"red fox\"}]}";
    harness *h = *state;
    int fds[ASKED];
    char text[256];
    int bytes = snprintf(text, sizeof text, "POST " PREDICT " HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                         sizeof body - 1, body);
    for (int i = 0; i < ASKED; i++)
        fds[i] = http_connect(h->port);
    for (int i = 0; i < ASKED; i++)
        assert_true(http_send(fds[i], text, (size_t)bytes));
    for (int i = 0; i < ASKED; i++) {
        http_reply reply;
        assert_true(http_read(fds[i], false, &reply));
        assert_int_equal(reply.status, 200);
        http_free(&reply);
        close(fds[i]);
    }
    assert_metric(h, "atoll_predict_together_requests_bucket{le=\"+Inf\"} ");
    assert_metric(h, "atoll_predict_together_requests_sum 40\n");
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
        cmocka_unit_test_setup_teardown(only_small_predictions_are_taken, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_batch_is_bounded, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_model_may_go_meanwhile, setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
