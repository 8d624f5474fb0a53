#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/options.h"

static atoll_status read_args(atoll_options *options, atoll_error *error, const char *first, const char *second)
{
    char *argv[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
    return atoll_options_read(options, !first ? 0 : !second ? 1 : 2, argv, error);
}

static void defaults_hold_without_arguments(void **state)
{
    atoll_options options;
    (void)state;
    assert_int_equal(read_args(&options, NULL, NULL, NULL), ATOLL_OK);
    assert_string_equal(options.listen, "127.0.0.1:8080");
    assert_int_equal(options.body_max_bytes, 64 << 20);
    assert_int_equal(options.body_deadline_ms, 30000);
    assert_int_equal(options.workers, 0);
}

static void flags_come_in_two_forms(void **state)
{
    atoll_options options;
    (void)state;
    assert_int_equal(read_args(&options, NULL, "--workers", "3"), ATOLL_OK);
    assert_int_equal(options.workers, 3);
    assert_int_equal(read_args(&options, NULL, "--listen=[::1]:0", "--data-dir=/d"), ATOLL_OK);
    assert_string_equal(options.listen, "[::1]:0");
    assert_string_equal(options.data_dir, "/d");
    assert_int_equal(read_args(&options, NULL, "--map-bytes", "2G"), ATOLL_OK);
    assert_true(options.map_bytes == 2ull << 30);
    assert_int_equal(read_args(&options, NULL, "--connections-max", "987650"), ATOLL_OK);
    assert_int_equal(options.connections_max, 987650);
    assert_int_equal(read_args(&options, NULL, "--queue-max", "1234"), ATOLL_OK);
    assert_int_equal(options.queue_max, 1234);
}

static void a_flag_wins_over_the_environment(void **state)
{
    atoll_options options;
    atoll_error error;
    (void)state;
    setenv("ATOLL_WORKERS", "5", 1);
    assert_int_equal(read_args(&options, NULL, NULL, NULL), ATOLL_OK);
    assert_int_equal(options.workers, 5);
    assert_int_equal(read_args(&options, NULL, "--workers", "6"), ATOLL_OK);
    assert_int_equal(options.workers, 6);
    setenv("ATOLL_WORKERS", "many", 1);
    assert_int_equal(read_args(&options, &error, NULL, NULL), ATOLL_INVALID_VALUE);
    assert_non_null(strstr(error.detail, "ATOLL_WORKERS"));
    unsetenv("ATOLL_WORKERS");
}

static void bad_arguments_are_named(void **state)
{
    static const struct {
        const char *first, *second;
        atoll_status status;
        const char *named;
    } bad[] = {
        {"--nonsense", "1", ATOLL_UNKNOWN_KEY, "--nonsense"},
        {"stray", NULL, ATOLL_UNKNOWN_KEY, "stray"},
        {"--workers", NULL, ATOLL_INVALID_VALUE, "--workers"},
        {"--workers", "1K", ATOLL_INVALID_VALUE, "--workers"},
        {"--workers", "-1", ATOLL_INVALID_VALUE, "--workers"},
        {"--workers", "257", ATOLL_OUT_OF_RANGE, "--workers"},
        {"--body-max-bytes", "1", ATOLL_OUT_OF_RANGE, "--body-max-bytes"},
        {"--body-max-bytes", "99999999999999999999", ATOLL_INVALID_VALUE, "--body-max-bytes"},
        {"--map-bytes", "99999999999T", ATOLL_INVALID_VALUE, "--map-bytes"},
        {"--listen=", NULL, ATOLL_INVALID_VALUE, "--listen"},
        {"--log-level", "loud", ATOLL_INVALID_VALUE, "loud"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char first[64], second[64];
        atoll_options options;
        atoll_error error = {0};
        snprintf(first, sizeof first, "%s", bad[i].first);
        snprintf(second, sizeof second, "%s", bad[i].second ? bad[i].second : "");
        assert_int_equal(read_args(&options, &error, first, bad[i].second ? second : NULL), bad[i].status);
        assert_int_equal(error.status, bad[i].status);
        assert_non_null(strstr(error.detail, bad[i].named));
    }
}

static void count_line(void *arg, const char *text)
{
    int *lines = arg;
    assert_non_null(strstr(text, "--"));
    assert_non_null(strstr(text, "ATOLL_"));
    ++*lines;
}

static void help_names_every_setting(void **state)
{
    int lines = 0;
    (void)state;
    atoll_options_help(count_line, &lines);
    assert_int_equal(lines, 11);
}

static void log_levels_have_names(void **state)
{
    atoll_log_level level;
    (void)state;
    assert_int_equal(atoll_options_log_level("warn", &level, NULL), ATOLL_OK);
    assert_int_equal(level, ATOLL_LOG_WARN);
    assert_int_equal(atoll_options_log_level("", &level, NULL), ATOLL_INVALID_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_without_arguments), cmocka_unit_test(flags_come_in_two_forms),
        cmocka_unit_test(a_flag_wins_over_the_environment), cmocka_unit_test(bad_arguments_are_named),
        cmocka_unit_test(help_names_every_setting),        cmocka_unit_test(log_levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
