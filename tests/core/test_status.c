#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/status.h"

static void every_status_has_a_code_and_a_text(void **state)
{
    (void)state;
    for (int i = 0; i < ATOLL_STATUS_COUNT; i++) {
        const char *code = atoll_status_code((atoll_status)i), *text = atoll_status_text((atoll_status)i);
        assert_true(code && code[0] && text && text[0]);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(code));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(code, atoll_status_code((atoll_status)j));
            assert_string_not_equal(text, atoll_status_text((atoll_status)j));
        }
    }
}

static void codes_that_clients_know_stay(void **state)
{
    (void)state;
    assert_int_equal(ATOLL_OK, 0);
    assert_string_equal(atoll_status_code(ATOLL_OK), "ok");
    assert_string_equal(atoll_status_code(ATOLL_INVALID_JSON), "invalid_json");
    assert_string_equal(atoll_status_code(ATOLL_UNSUPPORTED_TYPE), "unsupported_media_type");
    assert_string_equal(atoll_status_code(ATOLL_NO_SPACE), "no_space");
}

static void unknown_numbers_are_told_as_such(void **state)
{
    (void)state;
    assert_string_equal(atoll_status_code(ATOLL_STATUS_COUNT), "unknown");
    assert_string_equal(atoll_status_code((atoll_status)-1), "unknown");
    assert_string_equal(atoll_status_text((atoll_status)12345), "unknown status");
}

static void fail_fills_the_error(void **state)
{
    (void)state;
    atoll_error error;
    memset(&error, 0xff, sizeof error);
    assert_int_equal(atoll_fail(&error, ATOLL_IO, "%s: %d", "path", 5), ATOLL_IO);
    assert_int_equal(error.status, ATOLL_IO);
    assert_string_equal(error.detail, "path: 5");
    assert_int_equal(atoll_fail(NULL, ATOLL_BUSY, "nobody asks"), ATOLL_BUSY);
}

static void long_details_are_cut_and_terminated(void **state)
{
    (void)state;
    atoll_error error;
    memset(&error, 0xff, sizeof error);
    atoll_fail(&error, ATOLL_INTERNAL, "%01000d", 7);
    assert_int_equal(strlen(error.detail), ATOLL_ERROR_DETAIL_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_code_and_a_text),
        cmocka_unit_test(codes_that_clients_know_stay),
        cmocka_unit_test(unknown_numbers_are_told_as_such),
        cmocka_unit_test(fail_fills_the_error),
        cmocka_unit_test(long_details_are_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
