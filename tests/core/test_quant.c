#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/quant.h"
#include "core/rng.h"

enum { ROWS_MOST = 150, COLUMNS = 264, BYTES_MOST = COLUMNS + 2 * 10 + ATOLL_QUANT_SLACK + 3, STEP = ATOLL_QUANT_STEP };

static const atoll_precision precisions[] = {ATOLL_PRECISION_Q8, ATOLL_PRECISION_Q4};
static const uint32_t widths[] = {8, 24, 32, 64, 128, 136, 184, COLUMNS};

enum { WIDTHS = sizeof widths / sizeof *widths };

static float most_of(atoll_precision precision)
{
    return precision == ATOLL_PRECISION_Q8 ? 127 : 7;
}

/* Weights of very different sizes from step to step. */
static void draw(atoll_rng *rng, float *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        w[i] = atoll_rng_normal(rng) * powf(10, (float)((int)(i / STEP % 5) - 3));
}

/* Of the block that weight i is in. */
static float largest(const atoll_quant_shape *shape, const float *w, uint32_t i)
{
    float most = 0;
    for (uint32_t k = i / shape->block * shape->block; k < shape->count && k / shape->block == i / shape->block; k++)
        most = fmaxf(most, fabsf(w[k]));
    return most;
}

static void no_weight_is_off_by_more_than_the_bound(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (int p = 0; p < 2; p++)
        for (int l = 0; l < WIDTHS; l++) {
            atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], widths[l]);
            uint8_t row[BYTES_MOST];
            float w[COLUMNS];
            assert_true(shape.bytes <= COLUMNS + 20);
            draw(&rng, w, shape.count);
            atoll_quant_round(&shape, row, w);
            for (uint32_t i = 0; i < shape.count; i++) {
                float off = fabsf(atoll_quant_value(&shape, row, i) - w[i]);
                assert_true(off <= 0.51f / most_of(precisions[p]) * largest(&shape, w, i));
            }
        }
}

static void rows_take_a_quarter_and_an_eighth(void **state)
{
    (void)state;
    assert_int_equal(atoll_quant_shape_of(ATOLL_PRECISION_Q8, 184).bytes, 184 + 4);
    assert_int_equal(atoll_quant_shape_of(ATOLL_PRECISION_Q4, 184).bytes, 92 + 12);
}

static void zeros_and_tiny_weights_are_zeros(void **state)
{
    (void)state;
    atoll_quant_shape shape = atoll_quant_shape_of(ATOLL_PRECISION_Q4, 64);
    float w[64] = {0};
    uint8_t row[64];
    w[40] = 1e-35f;
    memset(row, 0xff, sizeof row);
    atoll_quant_round(&shape, row, w);
    for (uint32_t i = 0; i < 64; i++)
        assert_float_equal(atoll_quant_value(&shape, row, i), 0, 0);
}

/* However many inputs there are, each has the sum that it has alone; by every set of kernels. */
static void inputs_at_once_sum_as_one_by_one(void **state)
{
    enum { INPUTS = 2 * ATOLL_QUANT_INPUTS + 3 };
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 6, 0);
    const atoll_quant_kernels *kernels;
    for (uint32_t set = 0; (kernels = atoll_quant_nth(set)); set++)
        for (int p = 0; p < 2; p++)
            for (int l = 0; l < WIDTHS; l++) {
                atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], widths[l]);
                uint8_t row[BYTES_MOST];
                float w[COLUMNS], x[COLUMNS], sums[INPUTS];
                int8_t input[INPUTS * (COLUMNS + STEP)];
                size_t whole = atoll_quant_whole(shape.count);
                draw(&rng, w, shape.count);
                atoll_quant_round(&shape, row, w);
                for (uint32_t i = 0; i < INPUTS; i++) {
                    for (uint32_t k = 0; k < shape.count; k++)
                        x[k] = atoll_rng_normal(&rng);
                    atoll_quant_input(x, shape.count, input + i * whole);
                }
                for (uint32_t inputs = 0; inputs <= INPUTS; inputs++) {
                    atoll_quant_dots(kernels, &shape, row, input, inputs, sums);
                    for (uint32_t i = 0; i < inputs; i++) {
                        float alone = atoll_quant_dot(kernels, &shape, row, input + i * whole);
                        assert_memory_equal(&sums[i], &alone, sizeof alone);
                    }
                }
            }
}

/* All kernels multiply a matrix by what its codes say; no weight is off by more than half of its scale. */
static void matrices_are_multiplied_alike_by_all_kernels(void **state)
{
    enum { OUTPUTS = 3 * STEP, INPUTS = 75, EIGHTS = 12, WIDE = OUTPUTS * ATOLL_QUANT_EIGHT_BYTES };
    (void)state;
    static uint8_t codes[EIGHTS][WIDE];
    static float w[EIGHTS * ATOLL_QUANT_EIGHT][OUTPUTS];
    const uint8_t *eight[EIGHTS];
    const atoll_quant_kernels *kernels;
    float most[OUTPUTS] = {0}, scale[OUTPUTS], u[INPUTS];
    int8_t x[EIGHTS * ATOLL_QUANT_EIGHT];
    atoll_rng rng;
    atoll_rng_seed(&rng, 7, 0);
    assert_int_equal(atoll_quant_eights(INPUTS), EIGHTS);
    for (uint32_t i = 0; i < INPUTS; i++)
        u[i] = atoll_rng_normal(&rng);
    for (uint32_t i = 0; i < INPUTS; i++)
        for (uint32_t o = 1; o < OUTPUTS; o++) {
            w[i][o] = (float)o * atoll_rng_normal(&rng);
            most[o] = fmaxf(most[o], fabsf(w[i][o]));
        }
    atoll_quant_scales(most, OUTPUTS, scale);
    for (uint32_t e = 0; e < EIGHTS; e++) {
        const float *of[ATOLL_QUANT_EIGHT];
        for (uint32_t i = 0; i < ATOLL_QUANT_EIGHT; i++)
            of[i] = w[e * ATOLL_QUANT_EIGHT + i];
        atoll_quant_round_eight(of, scale, OUTPUTS, codes[e]);
        eight[e] = codes[e];
        for (uint32_t i = 0; i < ATOLL_QUANT_EIGHT; i++)
            for (uint32_t o = 0; o < OUTPUTS; o++) {
                float code = (float)atoll_quant_eight_code(codes[e], i, o);
                assert_true(fabsf(code) <= 7 && fabsf(code * scale[o] - of[i][o]) <= 0.501f * scale[o]);
            }
    }
    float x_scale = atoll_quant_input(u, INPUTS, x);
    for (uint32_t n = 0; (kernels = atoll_quant_nth(n)); n++) {
        float sum[OUTPUTS];
        for (uint32_t o = 0; o < OUTPUTS; o++)
            sum[o] = (float)o;
        atoll_quant_multiply(kernels, eight, scale, OUTPUTS, x, x_scale, EIGHTS, sum);
        for (uint32_t o = 0; o < OUTPUTS; o++) {
            int32_t want = 0;
            for (uint32_t i = 0; i < EIGHTS * ATOLL_QUANT_EIGHT; i++)
                want += x[i] * atoll_quant_eight_code(codes[i / 8], i % 8, o);
            double exact = (double)o + (double)x_scale * (double)scale[o] * want;
            assert_true(fabs((double)sum[o] - exact) <= 1e-6 * (fabs(exact) + (double)o));
        }
    }
}

/* Sums over rows against the rounded weights in double, within what rounding a_r s_r may do. */
static void check_gather(atoll_rng *rng, const atoll_quant_shape *shape, uint32_t rows)
{
    static uint8_t store[ROWS_MOST + 3][BYTES_MOST];
    const uint8_t *row[ROWS_MOST + 3];
    float a[ROWS_MOST], w[COLUMNS];
    float *sum = malloc(sizeof *sum * atoll_quant_whole(shape->count));
    void *room = aligned_alloc(64, (atoll_quant_room(rows) + 63) / 64 * 64 + 64);
    assert_true(sum && room);
    for (uint32_t r = 0; r < rows + 3; r++)
        row[r] = store[r % (rows ? rows : 1)];
    for (uint32_t r = 0; r < rows; r++) {
        a[r] = r % 7 ? atoll_rng_uniform(rng) : 0;
        draw(rng, w, shape->count);
        atoll_quant_round(shape, store[r], w);
    }
    atoll_quant_gather(atoll_quant_best(), shape, row, a, rows, room, sum);
    for (uint32_t i = 0; i < shape->count; i++) {
        double want = 0, bound = 0;
        for (uint32_t r = 0; r < rows; r++) {
            for (uint32_t k = 0; k < shape->count; k++)
                w[k] = atoll_quant_value(shape, store[r], k);
            want += (double)a[r] * (double)w[i];
            bound = fmax(bound, (double)(a[r] * largest(shape, w, i)));
        }
        /* The largest code of a block may be one below its most, by the rounding of the scale. */
        bound *= (double)rows / 254 * 1.2;
        assert_true(fabs((double)sum[i] - want) <= bound + 1e-9);
    }
    free(sum);
    free(room);
}

static void sums_over_rows_stay_within_their_bound(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 0);
    static const uint32_t rows[] = {0, 1, 2, 3, 4, 5, 31, ROWS_MOST};
    for (int p = 0; p < 2; p++)
        for (int l = 0; l < WIDTHS; l++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], widths[l]);
                check_gather(&rng, &shape, rows[r]);
            }
}

static void products_with_a_dense_input_stay_within_their_bound(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int p = 0; p < 2; p++)
        for (int l = 0; l < WIDTHS; l++) {
            atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], widths[l]);
            uint8_t row[BYTES_MOST];
            float w[COLUMNS], x[COLUMNS];
            int8_t input[COLUMNS + STEP];
            uint32_t n = shape.count;
            double want = 0, bound = 0, most = 0;
            draw(&rng, w, n);
            atoll_quant_round(&shape, row, w);
            for (uint32_t i = 0; i < n; i++)
                x[i] = atoll_rng_normal(&rng);
            /* Behind the last weight there is another row's: the input's zeros cover it. */
            float scale = atoll_quant_input(x, n, input);
            for (uint32_t i = 0; i < n; i++) {
                double value = (double)atoll_quant_value(&shape, row, i);
                want += (double)x[i] * value;
                bound += fabs(value);
                most = fmax(most, fabs((double)x[i]));
            }
            double got = (double)(scale * atoll_quant_dot(atoll_quant_best(), &shape, row, input));
            assert_true(fabs(got - want) <= bound * most / 254 * 1.001 + 1e-6);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_weight_is_off_by_more_than_the_bound),
        cmocka_unit_test(rows_take_a_quarter_and_an_eighth),
        cmocka_unit_test(zeros_and_tiny_weights_are_zeros),
        cmocka_unit_test(inputs_at_once_sum_as_one_by_one),
        cmocka_unit_test(sums_over_rows_stay_within_their_bound),
        cmocka_unit_test(matrices_are_multiplied_alike_by_all_kernels),
        cmocka_unit_test(products_with_a_dense_input_stay_within_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
