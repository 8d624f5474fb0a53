#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/pairs.h"
#include "core/rng.h"

enum { COUNT = 1000, DIM = 30 };

static float vector[COUNT * ATOLL_PAIRS_DIM];
static uint32_t label[COUNT];
static atoll_pair found[ATOLL_PAIRS_MOST];

static void draw(uint64_t seed, uint32_t dim)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, 0);
    for (uint32_t i = 0; i < COUNT * dim; i++)
        vector[i] = atoll_rng_normal(&rng);
    for (uint32_t n = 0; n < COUNT; n++)
        label[n] = atoll_rng_below(&rng, 4);
}

static float at(uint32_t n, uint32_t i)
{
    return vector[n * DIM + i];
}

static uint32_t find(uint32_t count, uint32_t dim)
{
    uint32_t pairs = 99;
    assert_int_equal(atoll_pairs_find(vector, label, count, dim, found, &pairs, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < pairs; i++) {
        assert_true(found[i].a <= found[i].b && found[i].b < dim && found[i].weight > 0);
        assert_true(i == 0 || found[i].weight <= found[i - 1].weight);
    }
    return pairs;
}

static bool names(uint32_t pairs, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < pairs; i++)
        if (found[i].a == a && found[i].b == b)
            return true;
    return false;
}

static void noise_names_nothing(void **state)
{
    uint32_t named = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        draw(seed, DIM);
        named += find(COUNT, DIM);
    }
    assert_int_equal(named, 0);
}

/* A product's sign, the size of one number, the sign of another: no number but the last says anything by its mean. */
static void what_tells_is_named(void **state)
{
    (void)state;
    draw(7, DIM);
    for (uint32_t n = 0; n < COUNT; n++)
        label[n] = (at(n, 3) * at(n, 11) > 0) + 2 * (fabsf(at(n, 20)) > 0.7f) + 4 * (at(n, 29) > 0);
    uint32_t pairs = find(COUNT, DIM);
    assert_true(names(pairs, 3, 11) && names(pairs, 20, 20) && names(pairs, 29, 29));
    assert_in_range(pairs, 3, 5);
}

static void numbers_that_stand_still_and_rare_labels_say_nothing(void **state)
{
    (void)state;
    draw(3, DIM);
    for (uint32_t n = 0; n < COUNT; n++) {
        vector[n * DIM + 5] = 2;
        vector[n * DIM + 6] = n < 7 ? 4 : 0;
        label[n] = n < 7 ? 9 : 1;
    }
    assert_int_equal(find(COUNT, DIM), 0);
    for (uint32_t n = 0; n < COUNT; n++)
        label[n] = n < 100 ? 9 : 1;
    for (uint32_t n = 0; n < 100; n++)
        vector[n * DIM + 6] = 4;
    uint32_t pairs = find(COUNT, DIM);
    assert_true(names(pairs, 6, 6) && !names(pairs, 5, 5));
}

static void there_may_be_nothing_or_too_much(void **state)
{
    (void)state;
    draw(5, ATOLL_PAIRS_DIM);
    assert_int_equal(find(0, DIM), 0);
    assert_int_equal(find(1, 1), 0);
    assert_int_equal(find(3, ATOLL_PAIRS_DIM + 1), 0);
    /* All numbers tell, so most pairs do. */
    for (uint32_t n = 0; n < COUNT; n++)
        for (uint32_t i = 0; i < ATOLL_PAIRS_DIM; i++)
            vector[n * ATOLL_PAIRS_DIM + i] *= 1 + (float)label[n];
    assert_true(find(COUNT, ATOLL_PAIRS_DIM) > ATOLL_PAIRS_DIM - 5);
    /* All pairs tell. */
    for (uint32_t i = 0; i < COUNT * DIM; i++)
        vector[i] = (vector[i] > 0) + (float)label[i / DIM];
    assert_int_equal(find(COUNT, DIM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_names_nothing),
        cmocka_unit_test(what_tells_is_named),
        cmocka_unit_test(numbers_that_stand_still_and_rare_labels_say_nothing),
        cmocka_unit_test(there_may_be_nothing_or_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
