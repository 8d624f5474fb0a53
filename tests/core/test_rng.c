#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"

static void is_xoshiro256_starstar(void **state)
{
    (void)state;
    /* The first outputs of the authors' code from the state 1, 2, 3, 4. */
    atoll_rng rng = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};
    for (int i = 0; i < 4; i++)
        assert_int_equal(atoll_rng_next(&rng), expected[i]);
}

static void seeds_and_streams_differ_and_repeat(void **state)
{
    (void)state;
    atoll_rng a, b;
    atoll_rng_seed(&a, 1, 2);
    atoll_rng_seed(&b, 1, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(atoll_rng_next(&a), atoll_rng_next(&b));
    static const uint64_t pairs[][2] = {{1, 3}, {2, 2}, {2, 1}, {0, 0}, {UINT64_MAX, UINT64_MAX}};
    for (int i = 0; i < 5; i++) {
        atoll_rng_seed(&a, 1, 2);
        atoll_rng_seed(&b, pairs[i][0], pairs[i][1]);
        int same = 0;
        for (int j = 0; j < 100; j++)
            same += atoll_rng_next(&a) == atoll_rng_next(&b);
        assert_int_equal(same, 0);
    }
}

static void below_is_even(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(atoll_rng_below(&rng, 1), 0);
    static const uint32_t bounds[] = {2, 3, 10, 100};
    for (int b = 0; b < 4; b++) {
        uint32_t counts[100] = {0}, bound = bounds[b], rounds = 10000 * bound;
        for (uint32_t i = 0; i < rounds; i++) {
            uint32_t value = atoll_rng_below(&rng, bound);
            assert_true(value < bound);
            counts[value]++;
        }
        for (uint32_t i = 0; i < bound; i++)
            assert_in_range(counts[i], 9500, 10500); /* five standard deviations */
    }
    /* A bound that plain multiplication would bias by a half: the upper third is as likely as the others. */
    uint32_t bound = UINT32_C(3) << 30, upper = 0;
    for (int i = 0; i < 30000; i++)
        upper += atoll_rng_below(&rng, bound) >= UINT32_C(2) << 30;
    assert_in_range(upper, 9500, 10500);
}

static void uniform_and_normal_have_their_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    atoll_rng rng;
    atoll_rng_seed(&rng, 8, 0);
    double u = 0, uu = 0, g = 0, gg = 0, gggg = 0;
    for (int i = 0; i < N; i++) {
        double x = (double)atoll_rng_uniform(&rng), y = (double)atoll_rng_normal(&rng);
        assert_true(x >= 0 && x < 1 && isfinite(y));
        u += x;
        uu += x * x;
        g += y;
        gg += y * y;
        gggg += y * y * y * y;
    }
    assert_true(fabs(u / N - 0.5) < 0.005);
    assert_true(fabs(uu / N - 1.0 / 3) < 0.005);
    assert_true(fabs(g / N) < 0.015);
    assert_true(fabs(gg / N - 1) < 0.02);
    assert_true(fabs(gggg / N - 3) < 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_xoshiro256_starstar),
        cmocka_unit_test(seeds_and_streams_differ_and_repeat),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(uniform_and_normal_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
