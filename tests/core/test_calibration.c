#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/calibration.h"
#include "core/rng.h"

static void expect_error(const atoll_calibration *c, double expected, double tolerance)
{
    double error = atoll_calibration_error(c);
    if (!(fabs(error - expected) <= tolerance))
        fail_msg("%.9g is not %.9g", error, expected);
}

static void the_error_is_the_mean_gap_of_the_bins(void **state)
{
    (void)state;
    atoll_calibration c = {0};
    expect_error(&c, 0, 0);
    for (int i = 0; i < 10; i++)
        atoll_calibration_add(&c, 0.9f, i < 6, 0); /* 0.3 too sure */
    expect_error(&c, 0.3, 1e-6);
    for (int i = 0; i < 30; i++)
        atoll_calibration_add(&c, 0.2f, i < 9, 0); /* 0.1 too little */
    expect_error(&c, (10 * 0.3 + 30 * 0.1) / 40, 1e-6);
}

static void scores_of_one_bin_make_up_for_one_another(void **state)
{
    (void)state;
    atoll_calibration c = {0};
    atoll_calibration_add(&c, 0.61f, true, 0);
    atoll_calibration_add(&c, 0.65f, false, 0);
    expect_error(&c, fabs(0.39 - 0.65) / 2, 1e-6);
}

static void the_ends_have_bins_too(void **state)
{
    (void)state;
    atoll_calibration c = {0};
    atoll_calibration_add(&c, 0, false, 0);
    atoll_calibration_add(&c, 1, true, 0);
    atoll_calibration_add(&c, 1.0000001f, true, 0);
    expect_error(&c, 0, 1e-6);
    assert_true(c.records[0] == 1 && c.records[ATOLL_CALIBRATION_BINS - 1] == 2);
}

static void honest_scores_have_next_to_none(void **state)
{
    (void)state;
    atoll_calibration c = {0};
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (int i = 0; i < 20000; i++) {
        float score = atoll_rng_uniform(&rng);
        atoll_calibration_add(&c, score, atoll_rng_uniform(&rng) < score, 0);
    }
    assert_true(atoll_calibration_error(&c) < 0.015);
}

static void what_is_long_past_is_forgotten(void **state)
{
    (void)state;
    atoll_calibration c = {0};
    for (int i = 0; i < 1000; i++)
        atoll_calibration_add(&c, 0.8f, false, 0.01);
    expect_error(&c, 0.8, 1e-6);
    for (int i = 0; i < 5000; i++)
        atoll_calibration_add(&c, 0.8f, i % 5 != 4, 0.01);
    expect_error(&c, 0, 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_is_the_mean_gap_of_the_bins),
        cmocka_unit_test(scores_of_one_bin_make_up_for_one_another),
        cmocka_unit_test(the_ends_have_bins_too),
        cmocka_unit_test(honest_scores_have_next_to_none),
        cmocka_unit_test(what_is_long_past_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
