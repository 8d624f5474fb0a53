#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/question.h"

/* A request of that query and that body, read. */
static atoll_status read(const char *name, const char *value, const char *body, atoll_question *question,
                         atoll_error *error)
{
    char text[512] = {0};
    atoll_request request = {.body = text, .body_bytes = strlen(body)};
    atoll_worker worker = {.parser = atoll_json_parser_new()};
    memcpy(text, body, strlen(body));
    if (name) {
        request.target.query_count = 1;
        request.target.query[0].name = name;
        request.target.query[0].value = value;
    }
    atoll_status status = atoll_question_query(&request, question, error);
    if (!status)
        status = atoll_question_body(&request, &worker, question, error);
    atoll_json_parser_free(worker.parser);
    return status;
}

static void defaults_hold(void **state)
{
    atoll_question q;
    atoll_error error;
    (void)state;
    assert_int_equal(read(NULL, NULL, "{\"records\":[]}", &q, &error), ATOLL_OK);
    assert_int_equal(q.top, 5);
    assert_int_equal(q.timeout_ms, 10000);
    assert_int_equal(q.min_version, 0);
    assert_false(q.explain);
}

static void the_body_counts_more_than_the_query(void **state)
{
    atoll_question q;
    atoll_error error;
    (void)state;
    assert_int_equal(read("top", "7", "{\"records\":[],\"explain\":true,\"timeout_ms\":5}", &q, &error), ATOLL_OK);
    assert_int_equal(q.top, 7);
    assert_int_equal(q.timeout_ms, 5);
    assert_true(q.explain);
    assert_int_equal(read("top", "7", "{\"records\":[],\"top\":3,\"min_version\":9}", &q, &error), ATOLL_OK);
    assert_int_equal(q.top, 3);
    assert_int_equal(q.min_version, 9);
}

static void what_is_wrong_is_refused(void **state)
{
    static const struct {
        const char *value, *body; /* of top */
        atoll_status status;
    } wrong[] = {
        {"0", "{\"records\":[]}", ATOLL_OUT_OF_RANGE},
        {"x", "{\"records\":[]}", ATOLL_INVALID_VALUE},
        {"1", "{}", ATOLL_INVALID_VALUE},
        {"1", "[]", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":1}", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":[],\"top\":257}", ATOLL_OUT_OF_RANGE},
        {"1", "{\"records\":[],\"top\":\"1\"}", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":[],\"explain\":1}", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":[],\"other\":1}", ATOLL_UNKNOWN_KEY},
        {"1", "{\"records\":[],\"top\":1,\"top\":1}", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":[],\"explain\":true,\"records\":[]}", ATOLL_INVALID_VALUE},
        {"1", "{\"records\":[", ATOLL_INVALID_JSON},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        atoll_question q;
        atoll_error error;
        assert_int_equal(read("top", wrong[i].value, wrong[i].body, &q, &error), wrong[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(the_body_counts_more_than_the_query),
        cmocka_unit_test(what_is_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
