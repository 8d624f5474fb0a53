#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/cron.h"
#include "core/rng.h"

static int64_t ms(const char *stamp)
{
    struct tm tm = {0};
    assert_int_equal(sscanf(stamp, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                            &tm.tm_min, &tm.tm_sec), 6);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)timegm(&tm) * 1000;
}

static void finds_the_next_minute(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01:00"},
        {"* * * * *", "2026-01-01 00:00:59", "2026-01-01 00:01:00"},
        {"0 3 * * *", "2026-01-01 02:59:59", "2026-01-01 03:00:00"},
        {"0 3 * * *", "2026-01-01 03:00:00", "2026-01-02 03:00:00"},
        {"0 3 * * *", "2026-12-31 04:00:00", "2027-01-01 03:00:00"},
        {"*/15 * * * *", "2026-01-01 00:15:00", "2026-01-01 00:30:00"},
        {"5-20/10 1 * * *", "2026-01-01 01:05:00", "2026-01-01 01:15:00"},
        {"0,30 9-17 * * mon-fri", "2026-11-20 17:30:00", "2026-11-23 09:00:00"}, /* from a Friday */
        {"0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"},
        {"0 0 29 feb *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"},
        {"0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00"},
        {"0 0 13 * FRI", "2026-11-01 00:00:00", "2026-11-06 00:00:00"}, /* either kind of day */
        {"0 0 */2 * fri", "2026-11-01 00:00:00", "2026-11-13 00:00:00"}, /* a star: both */
        {"0 0 * * 7", "2026-11-22 00:00:00", "2026-11-29 00:00:00"},
        {"0 0 * * 5-7", "2026-11-21 12:00:00", "2026-11-22 00:00:00"},
        {"@hourly", "2026-01-01 00:00:00", "2026-01-01 01:00:00"},
        {"@daily", "2026-01-01 00:00:00", "2026-01-02 00:00:00"},
        {"@weekly", "2026-11-20 00:00:00", "2026-11-22 00:00:00"},
        {"@monthly", "2026-11-20 00:00:00", "2026-12-01 00:00:00"},
        {"  7\t8  9 10 *  ", "2026-11-20 00:00:00", "2027-10-09 08:07:00"},
        {"0 0 * * *", "1969-12-30 12:00:00", "1969-12-31 00:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atoll_cron cron;
        atoll_error error;
        assert_int_equal(atoll_cron_parse(cases[i].expression, &cron, &error), ATOLL_OK);
        assert_int_equal(atoll_cron_next(&cron, ms(cases[i].after)), ms(cases[i].next));
    }
}

static void refuses_what_it_cannot_read(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *field;
    } cases[] = {
        {"", "minute"},           {"*", "hour"},                {"* * * *", "day of week"},
        {"* * * * * *", "day of week"}, {"60 * * * *", "minute"}, {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of month"}, {"* * 32 * *", "day of month"}, {"* * * 13 *", "month"},
        {"* * * * 8", "day of week"}, {"a * * * *", "minute"}, {"-1 * * * *", "minute"},
        {"5-1 * * * *", "minute"}, {"*/0 * * * *", "minute"}, {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"}, {"1- * * * *", "minute"}, {"5/15 * * * *", "minute"},
        {"* * * mond *", "month"}, {"* * * * mond", "day of week"}, {"** * * * *", "minute"},
        {"99999999999999999999 * * * *", "minute"}, {"0 0 30 2 *", "day of month"},
        {"0 0 31 4,6,9,11 *", "day of month"}, {"@yearly", "minute"}, {"*/ * * * *", "minute"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atoll_cron cron;
        atoll_error error = {0};
        assert_int_equal(atoll_cron_parse(cases[i].expression, &cron, &error), ATOLL_INVALID_CRON);
        assert_int_equal(strncmp(error.detail, cases[i].field, strlen(cases[i].field)), 0);
    }
    /* 30 February may stand beside a day of the week. */
    atoll_cron cron;
    assert_int_equal(atoll_cron_parse("0 0 30 2 mon", &cron, NULL), ATOLL_OK);
}

/* Whether the minute that begins at `time_ms` matches, by the C library's calendar. */
static int matches(const atoll_cron *cron, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    int day = cron->days >> tm.tm_mday & 1, weekday = cron->weekdays >> tm.tm_wday & 1;
    int either = cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
    return either && cron->minutes >> tm.tm_min & 1 && cron->hours >> tm.tm_hour & 1 &&
           cron->months >> (tm.tm_mon + 1) & 1;
}

static void agrees_with_a_walk_over_minutes(void **state)
{
    (void)state;
    static const char *const expressions[] = {
        "*/7 */5 * * *", "13 2-4 1,15 * 2", "0 12 29-31 * *", "59 23 31 12 *", "0 0 */3 * 1-3",
    };
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        atoll_cron cron;
        assert_int_equal(atoll_cron_parse(expressions[i], &cron, NULL), ATOLL_OK);
        for (int round = 0; round < 10; round++) {
            int64_t after = (int64_t)atoll_rng_below(&rng, UINT32_MAX) * 1000 + atoll_rng_below(&rng, 1000);
            int64_t next = atoll_cron_next(&cron, after), walk = after / 60000 * 60000 + 60000;
            while (!matches(&cron, walk) && walk < after + 40 * INT64_C(86400000))
                walk += 60000;
            if (matches(&cron, walk))
                assert_int_equal(next, walk);
            else
                assert_true(next > walk && matches(&cron, next));
        }
    }
}

static void far_times_end(void **state)
{
    (void)state;
    atoll_cron cron;
    assert_int_equal(atoll_cron_parse("0 0 29 2 *", &cron, NULL), ATOLL_OK);
    assert_int_equal(atoll_cron_next(&cron, INT64_MAX), INT64_MAX);
    assert_true(atoll_cron_next(&cron, INT64_MIN / 2) > INT64_MIN / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_next_minute),
        cmocka_unit_test(refuses_what_it_cannot_read),
        cmocka_unit_test(agrees_with_a_walk_over_minutes),
        cmocka_unit_test(far_times_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
