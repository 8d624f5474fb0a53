#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/novelty.h"
#include "core/rng.h"

enum { STREAM = 2500 };

/* The share of the last records that were more familiar, ties half, counted one by one. */
static double plain(const float *stream, int learned, float x)
{
    int first = learned > ATOLL_NOVELTY_WINDOW ? learned - ATOLL_NOVELTY_WINDOW : 0;
    double above = 0;
    for (int i = first; i < learned; i++)
        above += stream[i] > x ? 1 : stream[i] == x ? 0.5 : 0;
    return learned ? above / (learned - first) : 1;
}

static void check_sorted(const atoll_novelty *novelty, int learned)
{
    assert_int_equal(novelty->count, learned < ATOLL_NOVELTY_WINDOW ? learned : ATOLL_NOVELTY_WINDOW);
    for (uint32_t i = 1; i < novelty->count; i++)
        assert_true(novelty->sorted[i - 1] <= novelty->sorted[i]);
}

/* `steps` coarse values give many ties. */
static void compare(uint32_t steps, uint64_t seed)
{
    static float stream[STREAM];
    static atoll_novelty novelty;
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, 0);
    novelty = (atoll_novelty){0};
    for (int i = 0; i < STREAM; i++) {
        float x = 2 * (float)atoll_rng_below(&rng, steps) / (float)steps - 1;
        assert_true(fabs(atoll_novelty_of(&novelty, x) - plain(stream, i, x)) < 1e-6);
        stream[i] = i < STREAM / 2 ? x : x / 4;
        atoll_novelty_learn(&novelty, stream[i]);
        check_sorted(&novelty, i + 1);
    }
    assert_true(fabs(atoll_novelty_of(&novelty, 2) - 0) < 1e-6);
    assert_true(fabs(atoll_novelty_of(&novelty, -2) - 1) < 1e-6);
}

static void equals_counting(void **state)
{
    (void)state;
    compare(1 << 20, 1);
    compare(7, 2);
    compare(1, 3);
}

static void nothing_measured_is_all_new(void **state)
{
    (void)state;
    static const atoll_novelty novelty;
    assert_true(atoll_novelty_of(&novelty, 1) == 1);
    assert_true(atoll_novelty_of(&novelty, -1) == 1);
}

/* Among 0, 1, 2, 2, 3: itself counts, and so do ties. */
static void a_rank_is_a_share_of_the_less_familiar(void **state)
{
    (void)state;
    static atoll_novelty novelty;
    assert_true(atoll_novelty_rank(&novelty, 0) == 1);
    for (int i = 0; i < 5; i++)
        atoll_novelty_learn(&novelty, (float)(i < 3 ? i : i - 1));
    assert_true(fabs(atoll_novelty_rank(&novelty, -1) - 1.0 / 6) < 1e-9);
    assert_true(fabs(atoll_novelty_rank(&novelty, 2) - 5.0 / 6) < 1e-9);
    assert_true(fabs(atoll_novelty_rank(&novelty, 3) - 1) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_measured_is_all_new),
        cmocka_unit_test(equals_counting),
        cmocka_unit_test(a_rank_is_a_share_of_the_less_familiar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
