#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/problem.h"

static void every_failure_has_an_http_error(void **state)
{
    (void)state;
    assert_int_equal(atoll_problem_http(ATOLL_OK), 200);
    for (int i = 1; i < ATOLL_STATUS_COUNT; i++) {
        int http = atoll_problem_http((atoll_status)i);
        assert_true(http >= 400 && http < 600);
    }
}

static void the_contract_s_numbers_hold(void **state)
{
    static const struct {
        atoll_status status;
        int http;
    } rows[] = {
        {ATOLL_INVALID_JSON, 400},    {ATOLL_INVALID_UTF8, 400},   {ATOLL_NOT_FINITE, 400},   {ATOLL_UNKNOWN_KEY, 400},
        {ATOLL_INVALID_CRON, 400},    {ATOLL_UNKNOWN_MODEL, 404},  {ATOLL_UNKNOWN_EXPERT, 404}, {ATOLL_UNKNOWN_PATH,
                                                                                                 404},
        {ATOLL_METHOD_NOT_ALLOWED, 405}, {ATOLL_FIXED_SETTING, 409}, {ATOLL_WRONG_STATE, 409}, {ATOLL_BODY_TOO_LARGE,
                                                                                                413},
        {ATOLL_UNSUPPORTED_TYPE, 415}, {ATOLL_BUSY, 429},          {ATOLL_SHUTTING_DOWN, 503}, {ATOLL_TIMEOUT, 504},
        {ATOLL_NO_SPACE, 507},        {ATOLL_DAMAGED, 500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(atoll_problem_http(rows[i].status), rows[i].http);
}

static void check_text(atoll_status status, const atoll_error *error, uint64_t line, const char *wanted)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_problem_write(&out, status, error, line);
    assert_true(atoll_writer_terminate(&out));
    assert_string_equal(out.data, wanted);
    atoll_writer_free(&out);
}

static void a_problem_has_the_standard_members_and_ours(void **state)
{
    atoll_error error;
    (void)state;
    atoll_fail(&error, ATOLL_NOT_FINITE, "value %d", 7);
    check_text(ATOLL_NOT_FINITE, &error, 3,
               "{\"type\":\"urn:atoll:problem:not_finite\",\"title\":\"a number is NaN or infinite\",\"status\":400,"
               "\"detail\":\"value 7\",\"error\":\"value 7\",\"code\":\"not_finite\",\"line\":3}");
}

static void without_detail_the_general_text_is_told(void **state)
{
    atoll_error error = {ATOLL_IO, "of another failure"};
    static const char busy[] =
        "{\"type\":\"urn:atoll:problem:busy\",\"title\":\"more is waiting than may wait\",\"status\":429,"
        "\"detail\":\"more is waiting than may wait\",\"error\":\"more is waiting than may wait\",\"code\":\"busy\"}";
    (void)state;
    check_text(ATOLL_BUSY, NULL, 0, busy);
    check_text(ATOLL_BUSY, &error, 0, busy);
}

static void check_line(const char *detail, const char *shown)
{
    atoll_error error = {.status = ATOLL_INVALID_JSON};
    atoll_writer out;
    char wanted[256];
    strcpy(error.detail, detail);
    atoll_writer_init(&out);
    atoll_problem_line(&out, ATOLL_INVALID_JSON, &error, 9);
    assert_true(atoll_writer_terminate(&out));
    snprintf(wanted, sizeof wanted, "{\"line\":9,\"code\":\"invalid_json\",\"error\":\"%s\"}", shown);
    assert_string_equal(out.data, wanted);
    atoll_writer_free(&out);
}

static void a_detail_is_told_as_valid_utf8(void **state)
{
    (void)state;
    check_line("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
    check_line("cut \xc3", "cut ?");
    check_line("cut \xf0\x9f\x98", "cut ???");
    check_line("\xc0\xaf \xed\xa0\x80 \xf5", "?? ??? ?");
    check_line("\xf0\x9f\x98\x80 \"q\"", "\xf0\x9f\x98\x80 \\\"q\\\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_has_an_http_error),
        cmocka_unit_test(the_contract_s_numbers_hold),
        cmocka_unit_test(a_problem_has_the_standard_members_and_ours),
        cmocka_unit_test(without_detail_the_general_text_is_told),
        cmocka_unit_test(a_detail_is_told_as_valid_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
