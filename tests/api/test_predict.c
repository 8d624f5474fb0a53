#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "tests/api/harness.h"
#include "tests/support/embedding_server.h"

#define PREDICT "/v1/models/m/predict"

static void teach(const harness *h, const char *body)
{
    http_reply reply = expect(h, "POST", "/v1/models/m/ingest?wait=trained", NDJSON, body, 200);
    http_free(&reply);
}

static int setup(void **state)
{
    harness_setup(state);
    teach(*state, "{\"text\":\"red fox runs\",\"label\":\"animal\",\"id\":\"fox\"}\n"
                  "{\"text\":\"grey wolf runs\",\"label\":\"animal\"}\n"
                  "{\"text\":\"brown bear sleeps\",\"label\":\"animal\"}\n");
    return 0;
}

static void an_answer_has_the_contract_s_members(void **state)
{
    static const char *const members[] = {
        "{\"model\":\"m\",\"version\":", ",\"predictions\":[{\"id\":\"q1\",\"prediction_id\":\"",
        "\"label\":\"animal\",\"score\":",
        "\"labels\":[{\"label\":\"animal\",\"score\":", "\"novelty\":", "\"abstain\":", "\"experts\":[{\"id\":",
        "\"weight\":",
        "\"neighbours\":[]", "{\"id\":null,\"prediction_id\":\""};
    harness *h = *state;
    http_reply reply = expect(h, "POST", PREDICT, JSON,
                              "{\"records\":[{\"id\":\"q1\",\"text\":\"red fox\"},{\"text\":\"wolf\"}]}", 200);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_has(&reply, members[i]);
    assert_true(number_in(&reply, "version") > 0);
    http_free(&reply);
}

static void explain_shows_neighbours(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[{\"text\":\"red fox runs\"}],\"explain\":true}",
                              200);
    assert_has(&reply, "\"neighbours\":[{\"id\":");
    assert_has(&reply, "\"similarity\":");
    assert_has(&reply, "\"voices\":{\"shared\":\"");
    http_free(&reply);
    reply = expect(h, "POST", PREDICT "?explain=true", NDJSON, "{\"text\":\"red fox runs\"}", 200);
    assert_has(&reply, "\"neighbours\":[{\"id\":");
    http_free(&reply);
}

static void explain_shows_tokens_where_they_are_routed(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/t", JSON,
                              "{\"routing\":{\"granularity\":\"token\"},\"experts\":{\"dense_hidden\":16}}", 201);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/t/ingest?wait=trained", NDJSON,
                   "{\"text\":\"red fox\",\"tokens\":[[1,0],[0,1],[1,1]],\"label\":\"animal\"}\n"
                   "{\"text\":\"tall oak\",\"tokens\":[[1,2]],\"label\":\"tree\"}", 200);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/t/predict", JSON,
                   "{\"records\":[{\"text\":\"Red OAK\",\"tokens\":[[1,0],[0,1]]}],\"explain\":true}", 200);
    assert_has(&reply, "\"token_count\":4,\"tokens\":[{\"word\":\"red\",\"experts\":[{\"id\":");
    assert_has(&reply, "{\"word\":\"oak\",\"experts\":[{\"id\":");
    assert_has(&reply, "{\"vector\":0,\"experts\":[{\"id\":");
    assert_has(&reply, "{\"vector\":1,\"experts\":[{\"id\":");
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/t/predict", JSON, "{\"records\":[{\"tokens\":[[1,0,1]]}]}", 400);
    assert_has(&reply, "each of the tokens has 3 values, the model takes 2");
    http_free(&reply);
    reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[{\"tokens\":[[1,0,1]]}]}", 400);
    assert_has(&reply, "\"unsupported\"");
    http_free(&reply);
}

static uint32_t count(const char *text, const char *part)
{
    uint32_t found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

static void top_bounds_the_labels(void **state)
{
    harness *h = *state;
    teach(h,
          "{\"text\":\"oak\",\"label\":\"b\"}\n{\"text\":\"elm\",\"label\":\"c\"}\n{\"text\":\"ash\",\"label\":\"d\"}\n"
             "{\"text\":\"yew\",\"label\":\"e\"}\n{\"text\":\"fir\",\"label\":\"f\"}\n"
             "{\"text\":\"box\",\"label\":\"g\"}");
    http_reply reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[{\"text\":\"oak\"}],\"top\":1}", 200);
    assert_int_equal(count(reply.body, "{\"label\":"), 1);
    http_free(&reply);
    reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[{\"text\":\"oak\"}]}", 200);
    assert_true(count(reply.body, "{\"label\":") <= 5);
    http_free(&reply);
    reply = expect(h, "POST", PREDICT "?top=2", NDJSON, "{\"text\":\"oak\"}", 200);
    assert_true(count(reply.body, "{\"label\":") <= 2);
    http_free(&reply);
}

static void a_line_is_answered_by_a_line(void **state)
{
    harness *h = *state;
    char type[64];
    http_reply reply = expect(h, "POST", PREDICT, NDJSON,
                              "{\"id\":\"first\",\"text\":\"fox\"}\n"
                              "\n"
                              "broken\n"
                              "{\"id\":\"second\",\"text\":\"wolf\"}\n"
                              "{\"id\":\"third\"}", 200);
    assert_string_equal(http_header(&reply, "Content-Type", type, sizeof type), NDJSON);
    const char *line = reply.body;
    assert_int_equal(strncmp(line, "{\"model\":\"m\",\"version\":", 22), 0);
    assert_non_null(strstr(line, "\"id\":\"first\""));
    line = strchr(line, '\n') + 1;
    assert_int_equal(strncmp(line, "{\"line\":3,\"code\":\"invalid_json\",\"error\":", 39), 0);
    line = strchr(line, '\n') + 1;
    assert_non_null(strstr(line, "\"id\":\"second\""));
    line = strchr(line, '\n') + 1;
    assert_int_equal(strncmp(line, "{\"line\":5,\"code\":\"empty_record\"", 31), 0);
    line = strchr(line, '\n') + 1;
    assert_int_equal(*line, 0);
    http_free(&reply);
}

/* Sends `records` records and checks that the answers keep the order. */
static void ask_many(const harness *h, int records, bool ndjson)
{
    char *body = malloc((size_t)records * 64 + 64), *at = body;
    http_reply reply;
    at += sprintf(at, "%s", ndjson ? "" : "{\"top\":1,\"records\":[");
    for (int i = 0; i < records; i++)
        at += sprintf(at, "{\"id\":\"n%d\",\"text\":\"number %d\"}%s", i, i,
                      ndjson ? "\n" : i + 1 < records ? "," : "]}");
    int fd = http_connect(h->port);
    assert_true(http_ask(fd, "POST", ndjson ? PREDICT "?top=1" : PREDICT, ndjson ? NDJSON : JSON, body,
                         (size_t)(at - body), &reply));
    assert_int_equal(reply.status, 200);
    const char *found = reply.body;
    for (int i = 0; i < records; i++) {
        char id[32];
        snprintf(id, sizeof id, "\"id\":\"n%d\"", i);
        found = strstr(found, id);
        assert_non_null(found);
    }
    assert_int_equal(count(reply.body, "prediction_id"), records);
    if (!ndjson)
        assert_true(number_in(&reply, "version") > 0); /* and it is valid JSON */
    http_free(&reply);
    close(fd);
    free(body);
}

static void large_batches_keep_their_order(void **state)
{
    static const int sizes[] = {1, 16, 17, 63, 64, 65, 128, 129, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ask_many(*state, sizes[i], true);
        ask_many(*state, sizes[i], false);
    }
}

static void *ask_in_parallel(void *arg)
{
    for (int i = 0; i < 10; i++) {
        http_reply reply = http_call(((harness *)arg)->port, "POST", PREDICT, JSON,
                                     "{\"records\":[{\"text\":\"fox\"}]}");
        if (reply.status != 200)
            arg = NULL;
        http_free(&reply);
        if (!arg)
            break;
    }
    return arg;
}

static void many_clients_are_answered_at_once(void **state)
{
    harness *h = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, ask_in_parallel, h);
    for (int i = 0; i < 3; i++)
        ask_many(h, 500, true);
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
}

static void prediction_ids_differ(void **state)
{
    harness *h = *state;
    char first[64], second[64];
    char *ids[] = {first, second};
    for (int i = 0; i < 2; i++) {
        http_reply reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[{\"text\":\"fox\"}]}", 200);
        const char *id = strstr(reply.body, "\"prediction_id\":\"") + 17;
        snprintf(ids[i], 64, "%.*s", (int)strcspn(id, "\""), id);
        assert_int_equal(strncmp(id, h->service.prediction_prefix, 16), 0);
        http_free(&reply);
    }
    assert_string_not_equal(first, second);
}

static void a_version_to_come_is_waited_for(void **state)
{
    harness *h = *state;
    char body[128];
    http_reply reply = expect(h, "POST", "/v1/models/m/ingest", NDJSON, "{\"text\":\"new thing\",\"label\":\"z\"}",
                              200);
    int64_t version = number_in(&reply, "version");
    http_free(&reply);
    snprintf(body, sizeof body, "{\"records\":[{\"text\":\"new\"}],\"min_version\":%lld,\"timeout_ms\":600000}",
             (long long)version);
    reply = expect(h, "POST", PREDICT, JSON, body, 200);
    assert_true(number_in(&reply, "version") >= version);
    http_free(&reply);
    snprintf(body, sizeof body, "{\"records\":[{\"text\":\"new\"}],\"min_version\":%lld,\"timeout_ms\":50}",
             (long long)version + 1000);
    expect_problem(h, "POST", PREDICT, JSON, body, 504, "timeout");
}

static void bad_questions_are_refused(void **state)
{
    harness *h = *state;
    expect_problem(h, "POST", PREDICT, JSON, "{", 400, "invalid_json");
    expect_problem(h, "POST", PREDICT, JSON, "{}", 400, "invalid_value");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":7}", 400, "invalid_value");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"topp\":1}", 400, "unknown_key");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"top\":0}", 400, "out_of_range");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"top\":257}", 400, "out_of_range");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"top\":1.5}", 400, "invalid_value");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"explain\":1}", 400, "invalid_value");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[],\"min_version\":-1}", 400, "out_of_range");
    expect_problem(h, "POST", PREDICT "?top=x", NDJSON, "", 400, "invalid_value");
    expect_problem(h, "POST", PREDICT "?top=0", NDJSON, "", 400, "out_of_range");
    expect_problem(h, "POST", PREDICT "?explain=maybe", NDJSON, "", 400, "invalid_value");
    expect_problem(h, "POST", "/v1/models/none/predict", JSON, "{\"records\":[]}", 404, "unknown_model");
    http_reply reply = expect(h, "POST", PREDICT, JSON,
                              "{\"records\":[{\"text\":\"x\"},{\"text\":\"y\"},{\"label\":\"a\"}]}", 400);
    assert_int_equal(number_in(&reply, "line"), 3);
    assert_has(&reply, "\"code\":\"empty_record\"");
    http_free(&reply);
    teach(h, "{\"vector\":[1,2,3],\"label\":\"a\"}");
    expect_problem(h, "POST", PREDICT, JSON, "{\"records\":[{\"vector\":[1,2]}]}", 400, "wrong_dimension");
}

static void no_question_gets_no_answer(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", PREDICT, JSON, "{\"records\":[]}", 200);
    assert_has(&reply, "\"predictions\":[]}");
    assert_true(number_in(&reply, "version") > 0);
    http_free(&reply);
    reply = expect(h, "POST", PREDICT, NDJSON, "\n", 200);
    assert_int_equal(reply.bytes, 0);
    http_free(&reply);
}

static void a_model_without_labels_answers_null(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/empty", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/empty/predict", JSON, "{\"records\":[{\"text\":\"x\"}]}", 200);
    assert_has(&reply, "\"label\":null,\"score\":null,\"labels\":[]");
    assert_has(&reply, "\"abstain\":true");
    http_free(&reply);
}

static void too_many_answers_are_refused(void **state)
{
    enum { RECORDS = 4000 };
    harness *h = *state;
    char *body = malloc(RECORDS * 2);
    http_reply reply;
    for (int i = 0; i < RECORDS; i++)
        memcpy(body + 2 * i, "1\n", 2);
    int fd = http_connect(h->port);
    assert_true(http_ask(fd, "POST", PREDICT "?top=256", NDJSON, body, RECORDS * 2, &reply));
    assert_int_equal(reply.status, 413);
    assert_has(&reply, "\"code\":\"too_many_records\"");
    http_free(&reply);
    close(fd);
    free(body);
}

/* ---- embeddings from a server ---- */

static void put_model(const harness *h, const embedding_server *server)
{
    char config[256];
    snprintf(config, sizeof config, "{\"embedding\":{\"source\":\"http\",\"url\":\"%s\",\"model\":\"fake\",\"dim\":16,"
             "\"timeout\":\"1m\",\"ask_timeout\":\"1m\"}}", server->url);
    http_reply reply = expect(h, "PUT", "/v1/models/e", JSON, config, 201);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/e/ingest?wait=trained", NDJSON,
                   "{\"text\":\"red fox runs\",\"label\":\"animal\",\"id\":\"fox\"}\n"
                   "{\"text\":\"tall oak stands\",\"label\":\"plant\",\"id\":\"oak\"}\n", 200);
    http_free(&reply);
}

static void embeddings_from_a_server_are_asked_for_once(void **state)
{
    harness *h = *state;
    embedding_server server;
    embedding_server_start(&server, 16);
    put_model(h, &server);
    assert_int_equal(server.texts, 2);
    static const char body[] = "{\"text\":\"red fox\"}\n{\"text\":\"\"}\n\n"
                               "{\"vector\":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}\n"
                               "{\"text\":\"red fox runs\"}\n{\"text\":\"tall oak\"}\n";
    for (int i = 0; i < 2; i++) {
        http_reply reply = expect(h, "POST", "/v1/models/e/predict?explain=true", NDJSON, body, 200);
        assert_has(&reply, "{\"line\":2,\"code\":\"empty_text\"");
        assert_has(&reply, "\"neighbours\":[{\"id\":\"fox\"");
        assert_has(&reply, "\"neighbours\":[{\"id\":\"oak\"");
        assert_int_equal(count(reply.body, "degraded"), 0);
        assert_int_equal(count(reply.body, "\n"), 5);
        http_free(&reply);
        assert_int_equal(server.texts, 4);
    }
    http_reply reply = expect(h, "GET", "/v1/models/e/stats", NULL, NULL, 200);
    assert_has(&reply, "\"embedding\":{\"state\":\"ok\",\"last_error\":null,\"pending\":0");
    http_free(&reply);
    embedding_server_stop(&server);
}

static void without_the_server_answers_say_that_they_are_degraded(void **state)
{
    harness *h = *state;
    embedding_server server;
    embedding_server_start(&server, 16);
    put_model(h, &server);
    embedding_server_stop(&server);
    for (int i = 0; i < 2; i++) {
        http_reply reply = expect(h, "POST", "/v1/models/e/predict", JSON,
                                  "{\"records\":[{\"text\":\"oak tall\"},{\"text\":\"red fox runs\"}],"
                                  "\"explain\":true}", 200);
        assert_has(&reply, "\"degraded\":\"embedding_unreachable\"");
        assert_int_equal(count(reply.body, "degraded"), 1);
        assert_int_equal(count(reply.body, "\"neighbours\":[]"), 1);
        assert_int_equal(count(reply.body, "\"label\":null"), 0);
        http_free(&reply);
    }
    http_reply reply = expect(h, "GET", "/healthz", NULL, NULL, 200);
    assert_has(&reply, "\"without_embeddings\":[{\"model\":\"e\"");
    http_free(&reply);
    reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    assert_has(&reply, "atoll_embedding_down{model=\"e\"} 1");
    http_free(&reply);
    embedding_server_again(&server);
    server.mode = EMBEDDING_REFUSING;
    reply = expect(h, "PUT", "/v1/models/e", JSON, "{\"embedding\":{\"batch\":8}}", 200); /* ends the pause */
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/e/predict", JSON, "{\"records\":[{\"text\":\"refuse fox\"}]}", 200);
    assert_has(&reply, "\"degraded\":\"embedding_refused\"");
    http_free(&reply);
    embedding_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_has_the_contract_s_members, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(explain_shows_neighbours, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(explain_shows_tokens_where_they_are_routed, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(embeddings_from_a_server_are_asked_for_once, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(without_the_server_answers_say_that_they_are_degraded, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(top_bounds_the_labels, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_line_is_answered_by_a_line, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(large_batches_keep_their_order, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(many_clients_are_answered_at_once, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(prediction_ids_differ, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_version_to_come_is_waited_for, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_questions_are_refused, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(no_question_gets_no_answer, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_model_without_labels_answers_null, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(too_many_answers_are_refused, setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
