#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/request.h"

static atoll_request request;
static atoll_error error;

static void with(const char *name, const char *value)
{
    memset(&request, 0, sizeof request);
    request.target.model = request.target.id = "";
    request.target.query[0].name = name;
    request.target.query[0].value = value;
    request.target.query_count = 1;
}

static void numbers_of_the_query_are_checked(void **state)
{
    uint64_t value = 7;
    (void)state;
    with("n", "12");
    assert_int_equal(atoll_request_query_uint(&request, "other", 1, 20, &value, &error), ATOLL_OK);
    assert_int_equal(value, 7);
    assert_int_equal(atoll_request_query_uint(&request, "n", 1, 20, &value, &error), ATOLL_OK);
    assert_int_equal(value, 12);
    assert_int_equal(atoll_request_query_uint(&request, "n", 13, 20, &value, &error), ATOLL_OUT_OF_RANGE);
    assert_int_equal(atoll_request_query_uint(&request, "n", 1, 11, &value, &error), ATOLL_OUT_OF_RANGE);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        with("n", bad[i]);
        assert_int_equal(atoll_request_query_uint(&request, "n", 0, UINT64_MAX, &value, &error), ATOLL_INVALID_VALUE);
    }
    assert_int_equal(value, 12);
}

static void flags_of_the_query_are_checked(void **state)
{
    bool value = false;
    (void)state;
    with("f", "");
    assert_int_equal(atoll_request_query_bool(&request, "f", &value, &error), ATOLL_OK);
    assert_true(value);
    with("f", "false");
    assert_int_equal(atoll_request_query_bool(&request, "f", &value, &error), ATOLL_OK);
    assert_false(value);
    with("f", "1");
    assert_int_equal(atoll_request_query_bool(&request, "f", &value, &error), ATOLL_INVALID_VALUE);
    assert_int_equal(atoll_request_query_bool(&request, "g", &value, &error), ATOLL_OK);
    assert_false(value);
}

static void experts_are_named_by_numbers(void **state)
{
    uint32_t id = 9;
    (void)state;
    with("", "");
    request.target.id = "4294967295";
    assert_int_equal(atoll_request_expert(&request, &id, &error), ATOLL_OK);
    assert_int_equal(id, UINT32_MAX);
    request.target.id = "4294967296";
    assert_int_equal(atoll_request_expert(&request, &id, &error), ATOLL_UNKNOWN_EXPERT);
    request.target.id = "";
    assert_int_equal(atoll_request_expert(&request, &id, &error), ATOLL_UNKNOWN_EXPERT);
}

static void replies_take_the_body_over(void **state)
{
    atoll_writer body;
    (void)state;
    with("", "");
    atoll_writer_init(&body);
    atoll_writer_text(&body, "text");
    assert_int_equal(atoll_request_json(&request, 201, &body), ATOLL_ANSWERED);
    assert_int_equal(request.reply.http, 201);
    assert_int_equal(request.reply.body.bytes, 4);
    assert_string_equal(request.reply.type, "application/json");
    assert_false(request.reply.retry_after);
    atoll_writer_free(&request.reply.body);
}

static void a_reply_without_memory_is_bare(void **state)
{
    atoll_writer body;
    (void)state;
    with("", "");
    atoll_writer_init(&body);
    body.failed = true;
    assert_int_equal(atoll_request_json(&request, 200, &body), ATOLL_ANSWERED);
    assert_int_equal(request.reply.http, 503);
    assert_true(request.reply.retry_after);
    assert_null(request.reply.body.data);
}

static void problems_that_pass_say_when_to_come_back(void **state)
{
    (void)state;
    with("", "");
    atoll_request_problem(&request, ATOLL_BUSY, NULL, 0);
    assert_int_equal(request.reply.http, 429);
    assert_true(request.reply.retry_after);
    atoll_writer_free(&request.reply.body);
    atoll_request_problem(&request, ATOLL_UNKNOWN_MODEL, NULL, 0);
    assert_false(request.reply.retry_after);
    assert_string_equal(request.reply.type, ATOLL_PROBLEM_TYPE);
    atoll_writer_free(&request.reply.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_query_are_checked), cmocka_unit_test(flags_of_the_query_are_checked),
        cmocka_unit_test(experts_are_named_by_numbers),     cmocka_unit_test(replies_take_the_body_over),
        cmocka_unit_test(a_reply_without_memory_is_bare),   cmocka_unit_test(problems_that_pass_say_when_to_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
