#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void known_values(void **state)
{
    (void)state;
    assert_int_equal(atoll_half_round(0.0f), 0);
    assert_int_equal(atoll_half_round(-0.0f), 0x8000);
    assert_int_equal(atoll_half_round(1.0f), 0x3c00);
    assert_int_equal(atoll_half_round(-2.0f), 0xc000);
    assert_int_equal(atoll_half_round(65504.0f), 0x7bff);
    assert_int_equal(atoll_half_round(65519.0f), 0x7bff);
    assert_int_equal(atoll_half_round(65520.0f), 0x7c00);
    assert_int_equal(atoll_half_round(INFINITY), 0x7c00);
    assert_int_equal(atoll_half_round(1.0f + 0x1p-11f), 0x3c00);          /* a tie goes to even */
    assert_int_equal(atoll_half_round(1.0f + 3 * 0x1p-11f), 0x3c02);
    assert_int_equal(atoll_half_round(0x1p-24f), 1);
    assert_int_equal(atoll_half_round(0x1p-25f), 0);                      /* a tie below the smallest */
    assert_int_equal(atoll_half_round(0x1.002p-25f), 1);
    assert_int_equal(atoll_half_round(0x1.ffcp-15f), 0x400);              /* rounds up to the smallest normal */
    assert_true(isnan(atoll_half_value(atoll_half_round(NAN))));
}

static void every_half_survives_the_round_trip(void **state)
{
    (void)state;
    static uint16_t half[65536], back[65536];
    static float value[65536];
    for (uint32_t i = 0; i < 65536; i++)
        half[i] = (uint16_t)i;
    atoll_half_to_float(half, value, 65536);
    atoll_half_from_float(value, back, 65536);
    for (uint32_t i = 0; i < 65536; i++) {
        assert_int_equal(bits_of(value[i]), bits_of(atoll_half_value(half[i])));
        assert_int_equal(back[i], atoll_half_round(value[i]));
        int nan = (i & 0x7c00) == 0x7c00 && (i & 0x3ff);
        assert_int_equal(back[i], nan ? i | 0x200 : i);
    }
}

/* The nearest half by definition: compared with both neighbours. */
static void rounding_is_to_nearest(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (int i = 0; i < 200000; i++) {
        float value = ldexpf(1 + atoll_rng_uniform(&rng), (int)atoll_rng_below(&rng, 42) - 27);
        if (value >= 65504)
            continue;
        uint16_t half = atoll_half_round(value);
        double at = fabs((double)atoll_half_value(half) - value);
        assert_true(at <= fabs((double)atoll_half_value((uint16_t)(half + 1)) - value));
        if (half)
            assert_true(at <= fabs((double)atoll_half_value((uint16_t)(half - 1)) - value));
    }
}

static void arrays_equal_the_reference(void **state)
{
    (void)state;
    static float from[4099], value[4099];
    static uint16_t to[4099];
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    for (int round = 0; round < 200; round++) {
        size_t count = 4090 + atoll_rng_below(&rng, 10);
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)atoll_rng_next(&rng);
            if (round % 2) /* the range where halves are, ties among them */
                bits = (bits & 0x8fffe000u) | 0x30000000u | (bits & 1u ? 0x1000u : bits & 0x1fffu);
            from[i] = float_of(bits);
        }
        atoll_half_from_float(from, to, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(to[i], atoll_half_round(from[i]));
        atoll_half_to_float(to, value, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(bits_of(value[i]), bits_of(atoll_half_value(to[i])));
    }
}

static float summed_in_lanes(const uint16_t *half, const float *value, size_t count)
{
    float lane[32] = {0};
    for (size_t i = 0; i < count; i++) {
        volatile float product = atoll_half_value(half[i]) * value[i];
        lane[i % 32] += product;
    }
    for (int width = 16; width; width /= 2)
        for (int k = 0; k < width; k++)
            lane[k] += lane[k + width];
    return lane[0];
}

static void the_inner_product_has_one_order(void **state)
{
    (void)state;
    uint16_t half[300];
    float value[300];
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 0);
    for (size_t count = 0; count <= 300; count++) {
        double exact = 0;
        for (size_t i = 0; i < count; i++) {
            half[i] = atoll_half_round(atoll_rng_normal(&rng));
            value[i] = atoll_rng_normal(&rng);
            exact += (double)atoll_half_value(half[i]) * value[i];
        }
        float dot = atoll_half_dot(half, value, count);
        assert_int_equal(bits_of(dot), bits_of(summed_in_lanes(half, value, count)));
        assert_true(fabs(dot - exact) < 1e-4);
    }
}

/* Inner products of all rows with all queries are those that the order of sums gives. */
static void check_dots(atoll_half_kernel kernel, const uint16_t *half, size_t rows, const float *value, size_t queries,
                       size_t count)
{
    float dot[64];
    assert_true(rows * queries <= 64);
    kernel(half, rows, value, queries, count, dot);
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < queries; q++)
            assert_int_equal(bits_of(dot[r * queries + q]),
                             bits_of(summed_in_lanes(half + r * count, value + q * count, count)));
}

static void many_inner_products_are_those_of_one(void **state)
{
    (void)state;
    enum { ROWS = 5, QUERIES = 11, MOST = 128 };
    static uint16_t half[ROWS * MOST];
    static float value[QUERIES * MOST];
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int i = 0; i < ROWS * MOST; i++)
        half[i] = atoll_half_round(atoll_rng_normal(&rng));
    for (int i = 0; i < QUERIES * MOST; i++)
        value[i] = atoll_rng_normal(&rng);
    for (size_t count = 8; count <= MOST; count += 8)
        for (size_t queries = 0; queries <= QUERIES; queries++) {
            check_dots(atoll_half_dots, half, ROWS, value, queries, count);
            for (uint32_t n = 0; count % 32 == 0 && atoll_half_nth(n); n++)
                check_dots(atoll_half_nth(n), half, ROWS, value, queries, count);
        }
    assert_non_null(atoll_half_nth(0));
    assert_null(atoll_half_nth(3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_half_survives_the_round_trip),
        cmocka_unit_test(rounding_is_to_nearest),
        cmocka_unit_test(arrays_equal_the_reference),
        cmocka_unit_test(the_inner_product_has_one_order),
        cmocka_unit_test(many_inner_products_are_those_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
