#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/rng.h"
#include "core/timestamp.h"

static void reads_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1969-12-31T23:59:59.9Z", -100},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"2026-01-02T03:04:05.678999999Z", 1767323045678},
        {"2026-01-02t03:04:05z", 1767323045000},
        {"2026-01-02 05:34:05+02:30", 1767323045000},
        {"2026-01-01T19:04:05-08:00", 1767323045000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -7;
        assert_true(atoll_timestamp_parse(cases[i].text, strlen(cases[i].text), &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void refuses_others(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-1-2T03:04:05Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T00:60:00Z", "2026-01-02T00:00:61Z",
        "2026-01-02T00:00:00.Z", "2026-01-02T00:00:00Zx", "2026-01-02T00:00:00+2:00", "2026-01-02T00:00:00+24:00",
        "2026-01-02X00:00:00Z", "-026-01-02T00:00:00Z", "2026-01-02T00:00:00 Z",
        "2026\r01-02T00:00:00Z", "2026-01-02T00\x1a" "00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = -7;
        assert_false(atoll_timestamp_parse(bad[i], strlen(bad[i]), &ms));
        assert_int_equal(ms, -7);
    }
    for (size_t cut = 0; cut < 20; cut++) {
        int64_t ms;
        assert_false(atoll_timestamp_parse("2026-01-02T03:04:05Z", cut, &ms));
    }
}

static void agrees_with_the_c_library(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 9, 0);
    for (int i = 0; i < 100000; i++) {
        int64_t ms = (int64_t)(atoll_rng_next(&rng) % 315569519999999u) - 62167219200000, back = 0;
        char text[ATOLL_TIMESTAMP_BYTES], expected[64];
        time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms - (int64_t)seconds * 1000));
        atoll_timestamp_print(ms, text);
        assert_string_equal(text, expected);
        assert_true(atoll_timestamp_parse(text, strlen(text), &back));
        assert_int_equal(back, ms);
    }
}

static void prints_the_nearest_it_can(void **state)
{
    (void)state;
    char text[ATOLL_TIMESTAMP_BYTES];
    atoll_timestamp_print(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    atoll_timestamp_print(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rfc_3339),
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(prints_the_nearest_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
