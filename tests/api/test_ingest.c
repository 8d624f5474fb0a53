#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api/handlers.h"
#include "api/request.h"
#include "tests/api/harness.h"
#include "tests/support/embedding_server.h"

#define INGEST "/v1/models/m/ingest"

static void a_batch_is_learned_and_numbered(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", INGEST "?wait=trained", JSON,
                              "{\"records\":[{\"text\":\"red fox\",\"label\":\"animal\",\"id\":\"1\"},"
                              "{\"text\":\"oak tree\",\"label\":\"plant\",\"domain\":\"wood\"}]}", 200);
    assert_int_equal(number_in(&reply, "accepted"), 2);
    assert_int_equal(number_in(&reply, "rejected"), 0);
    assert_has(&reply, "\"errors\":[]");
    assert_int_equal(number_in(&reply, "first_seq"), 1);
    assert_int_equal(number_in(&reply, "last_seq"), 2);
    int64_t version = number_in(&reply, "version");
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "records"), 2);
    assert_int_equal(number_in(&reply, "labels"), 2);
    assert_true(number_in(&reply, "version") >= version);
    http_free(&reply);
    reply = expect(h, "POST", INGEST, NDJSON, "{\"text\":\"grey wolf\",\"label\":\"animal\"}", 200);
    assert_int_equal(number_in(&reply, "first_seq"), 3);
    assert_true(number_in(&reply, "version") > version);
    http_free(&reply);
}

static void bad_lines_are_reported_and_the_others_taken(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", INGEST "?wait=durable", NDJSON,
                              "{\"text\":\"one\",\"label\":\"a\"}\n"
                              "\n"
                              "not json\n"
                              "{\"text\":\"two\",\"label\":\"a\"}\r\n"
                              "{\"text\":\"no label\"}\n"
                              "{\"label\":\"a\"}\n"
                              "{\"text\":\"three\",\"label\":\"a\",\"colour\":1}\n", 200);
    assert_int_equal(number_in(&reply, "accepted"), 2);
    assert_int_equal(number_in(&reply, "rejected"), 4);
    assert_has(&reply, "{\"line\":3,\"code\":\"invalid_json\",\"error\":\"");
    assert_has(&reply, "{\"line\":5,\"code\":\"missing_label\",\"error\":\"");
    assert_has(&reply, "{\"line\":6,\"code\":\"empty_record\",\"error\":\"");
    assert_has(&reply, "{\"line\":7,\"code\":\"unknown_key\",\"error\":\"");
    assert_int_equal(number_in(&reply, "last_seq"), 2);
    http_free(&reply);
    reply = expect(h, "POST", INGEST, JSON,
                   "{\"records\":[{\"text\":\"\",\"label\":\"a\"},{\"text\":\"x\",\"label\":\"b\"}]}",
                   200);
    assert_has(&reply, "{\"line\":1,\"code\":\"");
    assert_int_equal(number_in(&reply, "accepted"), 1);
    http_free(&reply);
}

static void bad_tokens_are_reported_by_line(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, "{\"routing\":{\"granularity\":\"token\"}}", 201);
    http_free(&reply);
    reply = expect(h, "POST", INGEST "?wait=trained", NDJSON,
                   "{\"tokens\":[[1,2],[3,4]],\"label\":\"a\"}\n"
                   "{\"tokens\":[[1,2],[3]],\"label\":\"a\"}\n"
                   "{\"tokens\":[[1,2,3]],\"label\":\"a\"}\n"
                   "{\"tokens\":[],\"label\":\"a\"}\n"
                   "{\"text\":\"x\",\"tokens\":[[1,1e300]],\"label\":\"a\"}\n"
                   "{\"text\":\"two words\",\"tokens\":[[5,6]],\"label\":\"b\"}\n", 200);
    assert_int_equal(number_in(&reply, "accepted"), 2);
    assert_has(&reply, "{\"line\":2,\"code\":\"wrong_dimension\",\"error\":\"element 1 of tokens has 1 numbers");
    assert_has(&reply, "{\"line\":3,\"code\":\"wrong_dimension\"");
    assert_has(&reply, "{\"line\":4,\"code\":\"invalid_record\"");
    assert_has(&reply, "{\"line\":5,\"code\":\"not_finite\"");
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/m/predict", NDJSON, "{\"tokens\":[[1,2]]}\n{\"tokens\":[[1]]}\n", 200);
    assert_has(&reply, "\"code\":\"wrong_dimension\"");
    http_free(&reply);
    /* A model that routes records has no use for them. */
    reply = expect(h, "PUT", "/v1/models/plain", JSON, "{}", 201);
    http_free(&reply);
    for (int i = 0; i < 2; i++)
        expect_problem(h, "POST", i ? "/v1/models/new/ingest" : "/v1/models/plain/ingest", NDJSON,
                       "{\"tokens\":[[1,2]],\"label\":\"a\"}\n", 400, "unsupported");
}

/* One bad record to an unknown model: the code, and no model. */
static void refused(const harness *h, const char *record, const char *code)
{
    char body[512];
    expect_problem(h, "POST", INGEST, NDJSON, record, 400, code);
    snprintf(body, sizeof body, "{\"records\":[%s]}", record);
    if (strcmp(code, "invalid_json") && strcmp(code, "invalid_utf8")) {
        http_reply reply = expect(h, "POST", INGEST, JSON, body, 400);
        assert_has(&reply, "\"accepted\":0,\"rejected\":1,\"errors\":[{\"line\":1,");
        assert_int_equal(number_in(&reply, "line"), 1);
        http_free(&reply);
    } else {
        expect_problem(h, "POST", INGEST, JSON, body, 400, code);
    }
}

static void a_wholly_bad_batch_leaves_no_trace(void **state)
{
    harness *h = *state;
    char text[512];
    refused(h, "{\"text\":\"x\",\"label\":\"a\"", "invalid_json");
    refused(h, "{\"text\":\"\xff\xfe\",\"label\":\"a\"}", "invalid_utf8");
    refused(h, "{\"label\":\"a\"}", "empty_record");
    refused(h, "{\"text\":\"   \",\"label\":\"a\"}", "empty_text");
    refused(h, "{\"text\":\"x\"}", "missing_label");
    refused(h, "{\"text\":7,\"label\":\"a\"}", "invalid_record");
    refused(h, "{\"vector\":[1,1e39],\"label\":\"a\"}", "not_finite");
    refused(h, "[1]", "invalid_record");
    refused(h, "{\"text\":\"x\",\"label\":\"a\",\"nope\":1}", "unknown_key");
    memset(text, 'l', sizeof text);
    memcpy(text, "{\"text\":\"x\",\"label\":\"", 21);
    strcpy(text + 21 + 257, "\"}");
    refused(h, text, "label_too_long");
    expect_problem(h, "GET", "/v1/models/m", NULL, NULL, 404, "unknown_model");
}

static void bad_bodies_and_options_are_refused(void **state)
{
    harness *h = *state;
    expect_problem(h, "POST", INGEST, JSON, "", 400, "invalid_value");
    expect_problem(h, "POST", INGEST, JSON, "{}", 400, "invalid_value");
    expect_problem(h, "POST", INGEST, JSON, "[]", 400, "invalid_value");
    expect_problem(h, "POST", INGEST, JSON, "{\"records\":{}}", 400, "invalid_value");
    expect_problem(h, "POST", INGEST, JSON, "{\"records\":[],\"top\":1}", 400, "unknown_key");
    expect_problem(h, "POST", INGEST, JSON, "{\"records\":[{\"text\":\"x\",\"label\":\"a\"}],\"records\":[]}", 400,
                   "invalid_value");
    expect_problem(h, "POST", INGEST "?wait=never", NDJSON, "", 400, "invalid_value");
    expect_problem(h, "POST", INGEST "?top=1", NDJSON, "", 400, "unknown_key");
    expect_problem(h, "POST", "/v1/models/a%2Fb/ingest", NDJSON, "{\"text\":\"x\",\"label\":\"a\"}", 400,
                   "invalid_name");
    expect_problem(h, "POST", INGEST, NDJSON, "", 404, "unknown_model");
}

static void nothing_to_learn_is_no_error(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "POST", INGEST "?wait=trained", NDJSON, "\n\n  \n", 200);
    assert_int_equal(number_in(&reply, "accepted"), 0);
    assert_int_equal(number_in(&reply, "rejected"), 0);
    http_free(&reply);
    reply = expect(h, "POST", INGEST, JSON, "{\"records\":[]}", 200);
    assert_int_equal(number_in(&reply, "accepted"), 0);
    http_free(&reply);
}

static void vectors_of_one_request_and_model_agree(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", INGEST "?wait=trained", NDJSON,
                              "{\"vector\":[1,2,3],\"label\":\"a\"}\n{\"vector\":[1,2],\"label\":\"a\"}\n", 200);
    assert_int_equal(number_in(&reply, "accepted"), 1);
    assert_has(&reply, "{\"line\":2,\"code\":\"wrong_dimension\"");
    http_free(&reply);
    expect_problem(h, "POST", INGEST, NDJSON, "{\"vector\":[1,2],\"label\":\"a\"}", 400, "wrong_dimension");
    reply = expect(h, "POST", INGEST, NDJSON, "{\"vector\":[3,2,1],\"label\":\"b\"}", 200);
    http_free(&reply);
}

static void a_large_batch_is_taken_whole(void **state)
{
    enum { RECORDS = 3000 };
    harness *h = *state;
    char *body = malloc(RECORDS * 64), *at = body;
    http_reply reply;
    for (int i = 0; i < RECORDS; i++)
        at += sprintf(at, "{\"text\":\"word%d other\",\"label\":\"l%d\"}\n", i % 100, i % 3);
    int fd = http_connect(h->port);
    assert_true(http_ask(fd, "POST", INGEST "?wait=trained", NDJSON, body, (size_t)(at - body), &reply));
    assert_int_equal(reply.status, 200);
    assert_int_equal(number_in(&reply, "accepted"), RECORDS);
    assert_int_equal(number_in(&reply, "last_seq") - number_in(&reply, "first_seq"), RECORDS - 1);
    http_free(&reply);
    close(fd);
    reply = expect(h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "records"), RECORDS);
    http_free(&reply);
    free(body);
}

static void too_many_records_are_refused(void **state)
{
    enum { RECORDS = ATOLL_REQUEST_MAX_RECORDS + 1 };
    harness *h = *state;
    char *body = malloc(RECORDS * 2);
    http_reply reply;
    for (int i = 0; i < RECORDS; i++)
        memcpy(body + 2 * i, "1\n", 2);
    int fd = http_connect(h->port);
    assert_true(http_ask(fd, "POST", INGEST, NDJSON, body, RECORDS * 2, &reply));
    assert_int_equal(reply.status, 413);
    assert_has(&reply, "\"code\":\"too_many_records\"");
    http_free(&reply);
    close(fd);
    free(body);
}

/* A text, whose table of terms alone is the least budget. */
static void a_model_over_its_budget_asks_to_come_back(void **state)
{
    static const char record[] = "{\"label\":\"a\",\"text\":\"some words\"}";
    harness *h = *state;
    char value[64];
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON,
                              "{\"budget_bytes\":16777216,\"features\":{\"buckets\":4194304}}", 201);
    http_free(&reply);
    reply = expect(h, "POST", INGEST "?wait=trained", NDJSON, record, 200);
    http_free(&reply);
    reply = expect(h, "POST", INGEST, NDJSON, record, 429);
    assert_has(&reply, "\"code\":\"busy\"");
    assert_true(atoi(http_header(&reply, "retry-after", value, sizeof value)) > 0);
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
    assert_true(number_in(&reply, "counted_bytes") > number_in(&reply, "budget_bytes"));
    assert_int_equal(number_in(&reply, "records"), 1);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/m/predict", JSON, "{\"records\":[{\"text\":\"still there\"}]}", 200);
    assert_has(&reply, "\"label\":\"a\"");
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/m", JSON, "{\"budget_bytes\":1073741824}", 200);
    http_free(&reply);
    reply = expect(h, "POST", INGEST "?wait=trained", NDJSON, record, 200);
    http_free(&reply);
}

static void what_is_learned_survives_a_restart(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    http_reply reply = expect(&h, "POST", INGEST, NDJSON, "{\"text\":\"x y\",\"label\":\"a\"}", 200);
    http_free(&reply);
    harness_stop(&h);
    harness_start(&h);
    reply = expect(&h, "POST", INGEST "?wait=trained", NDJSON, "{\"text\":\"x z\",\"label\":\"a\"}", 200);
    assert_int_equal(number_in(&reply, "first_seq"), 2);
    http_free(&reply);
    reply = expect(&h, "GET", "/v1/models/m", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "records"), 2);
    http_free(&reply);
    harness_stop(&h);
    harness_delete(h.dir);
}

static void records_that_wait_for_an_embedding_server_are_told_to_be_on_disk(void **state)
{
    harness *h = *state;
    char config[256];
    embedding_server server;
    embedding_server_start(&server, 16);
    embedding_server_stop(&server);
    snprintf(config, sizeof config, "{\"embedding\":{\"source\":\"http\",\"url\":\"%s\",\"model\":\"fake\",\"dim\":16,"
             "\"timeout\":\"1s\"}}", server.url);
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, config, 201);
    http_free(&reply);
    static const char lines[] = "{\"text\":\"red fox\",\"label\":\"animal\"}\n{\"text\":\"\",\"label\":\"none\"}";
    reply = expect(h, "POST", INGEST, NDJSON, lines, 200);
    assert_int_equal(number_in(&reply, "accepted"), 1);
    http_free(&reply);
    reply = expect(h, "POST", INGEST "?wait=trained", NDJSON, lines, 503);
    assert_has(&reply, "\"code\":\"embedding_unreachable\"");
    assert_has(&reply, "what was sent is on disk");
    assert_int_equal(number_in(&reply, "accepted"), 1);
    assert_int_equal(number_in(&reply, "rejected"), 1);
    assert_int_equal(number_in(&reply, "last_seq"), 2);
    assert_int_equal(number_in(&reply, "version"), 3);
    assert_string_equal(http_header(&reply, "retry-after", config, sizeof config), ""); /* it would be learned twice */
    http_free(&reply);
}

typedef struct asking {
    int fd;
    http_reply reply;
    bool replied;
} asking;

static void *ask_and_wait(void *arg)
{
    asking *a = arg;
    static const char line[] = "{\"text\":\"red fox\",\"label\":\"animal\"}";
    a->replied = http_ask(a->fd, "POST", INGEST "?wait=trained", NDJSON, line, sizeof line - 1, &a->reply);
    return NULL;
}

/* The server ends while learning waits for an embedding. */
static void records_that_a_closing_server_keeps_are_told_to_be_on_disk(void **state)
{
    harness h;
    char config[256];
    embedding_server server;
    asking a = {0};
    pthread_t thread;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    embedding_server_start(&server, 16);
    server.mode = EMBEDDING_SLOW;
    server.delay_ms = 60000;
    snprintf(config, sizeof config, "{\"embedding\":{\"source\":\"http\",\"url\":\"%s\",\"model\":\"fake\",\"dim\":16,"
             "\"timeout\":\"10m\"}}", server.url);
    http_reply reply = expect(&h, "PUT", "/v1/models/m", JSON, config, 201);
    http_free(&reply);
    a.fd = http_connect(h.port);
    assert_int_equal(pthread_create(&thread, NULL, ask_and_wait, &a), 0);
    do {
        reply = expect(&h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
        config[0] = number_in(&reply, "journal_last") == 2;
        http_free(&reply);
    } while (!config[0]);
    harness_stop(&h);
    embedding_server_stop(&server);
    pthread_join(thread, NULL);
    assert_true(a.replied);
    assert_int_equal(a.reply.status, 503);
    assert_has(&a.reply, "\"code\":\"shutting_down\"");
    assert_int_equal(number_in(&a.reply, "accepted"), 1);
    assert_int_equal(number_in(&a.reply, "last_seq"), 1);
    assert_string_equal(http_header(&a.reply, "retry-after", config, sizeof config), "");
    http_free(&a.reply);
    close(a.fd);
    harness_delete(h.dir);
}

/* A request without a connection. */
typedef struct lone_request {
    atoll_request request; /* first */
    _Atomic bool finished;
} lone_request;

static void finish(atoll_request *request)
{
    atomic_store(&((lone_request *)(void *)request)->finished, true);
}

/* Memory ends when the records are learned, while the reply is written. */
static void what_is_kept_is_not_asked_for_again_though_the_reply_fails(void **state)
{
    static const char line[128] = "{\"text\":\"red fox\",\"label\":\"animal\"}";
    harness *h = *state;
    char config[256];
    atoll_worker worker;
    atoll_stats stats;
    embedding_server server;
    lone_request r = {.request = {.service = &h->service, .ndjson = true, .body = line, .body_bytes = strlen(line),
                                  .finished = finish}};
    embedding_server_start(&server, 16);
    server.mode = EMBEDDING_SLOW;
    server.delay_ms = 600000;
    snprintf(config, sizeof config, "{\"embedding\":{\"source\":\"http\",\"url\":\"%s\",\"model\":\"fake\",\"dim\":16,"
             "\"timeout\":\"10m\"}}", server.url);
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, config, 201);
    http_free(&reply);
    assert_true(atoll_worker_prepare(&worker));
    assert_int_equal(atoll_route_match(atoll_routes, atoll_route_count, "POST", INGEST "?wait=trained",
                                       &r.request.target, NULL), ATOLL_OK);
    assert_int_equal(atoll_handle_ingest(&r.request, &worker), ATOLL_LATER);
    ((atoll_writer *)r.request.state)->failed = true;
    atoll_learner_stats(r.request.model->learner, &stats); /* takes a lock of the embedder's, whom learning waits for */
    server.delay_ms = 0;
    while (!atomic_load(&r.finished))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(r.request.reply.http, 503);
    assert_null(r.request.reply.body.data);
    assert_false(r.request.reply.retry_after);
    atoll_worker_clean(&worker);
    reply = expect(h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "records"), 1);
    http_free(&reply);
    embedding_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_batch_is_learned_and_numbered, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(records_that_wait_for_an_embedding_server_are_told_to_be_on_disk,
                                        harness_setup, harness_teardown),
        cmocka_unit_test(records_that_a_closing_server_keeps_are_told_to_be_on_disk),
        cmocka_unit_test_setup_teardown(what_is_kept_is_not_asked_for_again_though_the_reply_fails, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(bad_lines_are_reported_and_the_others_taken, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_tokens_are_reported_by_line, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_wholly_bad_batch_leaves_no_trace, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_bodies_and_options_are_refused, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(nothing_to_learn_is_no_error, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(vectors_of_one_request_and_model_agree, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_large_batch_is_taken_whole, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(too_many_records_are_refused, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_model_over_its_budget_asks_to_come_back, harness_setup, harness_teardown),
        cmocka_unit_test(what_is_learned_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
