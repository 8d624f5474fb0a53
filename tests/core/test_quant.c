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

enum { ROWS_MOST = 150, COLUMNS = 264, BYTES_MOST = COLUMNS + 2 * 10 + ATOLL_QUANT_SLACK + 3 };

static const atoll_precision precisions[] = {ATOLL_PRECISION_Q8, ATOLL_PRECISION_Q4};
static const uint32_t layouts[][2] = {{8, 0}, {16, 8}, {24, 16}, {32, 32}, {64, 16}, {168, 16}, {COLUMNS - 8, 8}};

enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static float most_of(atoll_precision precision)
{
    return precision == ATOLL_PRECISION_Q8 ? 127 : 7;
}

/* Weights of very different sizes from block to block. */
static void draw(atoll_rng *rng, float *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        w[i] = atoll_rng_normal(rng) * powf(10, (float)((int)(i / ATOLL_QUANT_BLOCK % 5) - 3));
}

static float largest(const float *w, uint32_t from, uint32_t count)
{
    float most = 0;
    for (uint32_t i = from; i < count && i < from + ATOLL_QUANT_BLOCK; i++)
        most = fmaxf(most, fabsf(w[i]));
    return most;
}

static void no_weight_is_off_by_more_than_the_bound(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (int p = 0; p < 2; p++)
        for (int l = 0; l < LAYOUTS; l++) {
            atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], layouts[l][0], layouts[l][1]);
            uint8_t row[BYTES_MOST];
            float w[2][COLUMNS];
            assert_true(shape.bytes <= COLUMNS + 20);
            for (uint32_t s = 0; s < 2; s++) {
                draw(&rng, w[s], shape.count[s]);
                atoll_quant_round(&shape, row, s, w[s]);
            }
            for (uint32_t s = 0; s < 2; s++)
                for (uint32_t i = 0; i < shape.count[s]; i++) {
                    float most = largest(w[s], i / ATOLL_QUANT_BLOCK * ATOLL_QUANT_BLOCK, shape.count[s]);
                    float off = fabsf(atoll_quant_value(&shape, row, s, i) - w[s][i]);
                    assert_true(off <= 0.51f / most_of(precisions[p]) * most);
                }
        }
}

static void rows_take_a_quarter_and_an_eighth(void **state)
{
    (void)state;
    assert_int_equal(atoll_quant_shape_of(ATOLL_PRECISION_Q8, 168, 16).bytes, 184 + 14);
    assert_int_equal(atoll_quant_shape_of(ATOLL_PRECISION_Q4, 168, 16).bytes, 92 + 14);
}

static void zeros_and_tiny_weights_are_zeros(void **state)
{
    (void)state;
    atoll_quant_shape shape = atoll_quant_shape_of(ATOLL_PRECISION_Q4, 64, 0);
    float w[64] = {0};
    uint8_t row[64];
    w[40] = 1e-35f;
    memset(row, 0xff, sizeof row);
    atoll_quant_round(&shape, row, 0, w);
    for (uint32_t i = 0; i < 64; i++)
        assert_float_equal(atoll_quant_value(&shape, row, 0, i), 0, 0);
}

/* All kernels that the processor has give what the portable ones give, at any address and with the largest codes. */
static void kernels_agree_bit_for_bit(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    static uint8_t codes[ROWS_MOST + 2][2 * ATOLL_QUANT_BLOCK + ATOLL_QUANT_SLACK];
    const atoll_quant_kernels *plain = NULL, *kernels;
    for (uint32_t n = 0; (kernels = atoll_quant_nth(n)); n++)
        plain = kernels;
    assert_string_equal(plain->name, "portable");
    assert_ptr_equal(atoll_quant_best(), atoll_quant_nth(0));
    for (int trial = 0; trial < 200; trial++) {
        const uint8_t *row[ROWS_MOST + 2];
        uint32_t factor[(ROWS_MOST + 2) / 4 * ATOLL_QUANT_LANES], rows = 4 * (atoll_rng_below(&rng, 38));
        bool extreme = trial % 4 == 0;
        for (uint32_t r = 0; r < rows; r++) {
            for (uint32_t i = 0; i < sizeof *codes; i++) {
                uint8_t code = (uint8_t)atoll_rng_below(&rng, 256);
                codes[r][i] = extreme ? 0x81 + (trial % 8 == 0) * 0xfe : code == 0x80 ? 1 : code;
            }
            row[r] = codes[r] + r % 5;
        }
        for (uint32_t i = 0; i < rows / 4 * ATOLL_QUANT_LANES; i++)
            factor[i] = extreme ? 0x7f7f7f7f : (uint32_t)atoll_rng_next(&rng) & 0x7f7f7f7f;
        for (uint32_t n = 0; (kernels = atoll_quant_nth(n)) != plain; n++) {
            int32_t want[ATOLL_QUANT_BLOCK], got[ATOLL_QUANT_BLOCK];
            plain->gather8(row, 7, factor, rows, want);
            kernels->gather8(row, 7, factor, rows, got);
            assert_memory_equal(got, want, sizeof want);
            plain->gather4(row, 3, factor, rows, want);
            kernels->gather4(row, 3, factor, rows, got);
            assert_memory_equal(got, want, sizeof want);
            int8_t x[2 * ATOLL_QUANT_BLOCK];
            for (uint32_t i = 0; i < sizeof x; i++)
                x[i] = (int8_t)(extreme ? 127 : (int)atoll_rng_below(&rng, 255) - 127);
            const uint8_t scales[] = {0x12, 0x3c, 0x80, 0x3f};
            float a = plain->dot8(codes[0] + 1, scales, x, 2), b = kernels->dot8(codes[0] + 1, scales, x, 2);
            assert_memory_equal(&a, &b, sizeof a);
            a = plain->dot4(codes[0] + 1, scales, x, 2);
            b = kernels->dot4(codes[0] + 1, scales, x, 2);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
}

/* Sums over rows against the rounded weights in double, within what rounding a_r s_r may do. */
static void check_gather(atoll_rng *rng, const atoll_quant_shape *shape, uint32_t rows)
{
    static uint8_t store[ROWS_MOST + 3][BYTES_MOST];
    const uint8_t *row[ROWS_MOST + 3];
    float a[ROWS_MOST], w[COLUMNS];
    float *sum = malloc(sizeof *sum * ATOLL_QUANT_BLOCK * (shape->blocks[0] + shape->blocks[1]));
    void *room = aligned_alloc(64, (atoll_quant_room(rows) + 63) / 64 * 64 + 64);
    assert_true(sum && room);
    for (uint32_t r = 0; r < rows + 3; r++)
        row[r] = store[r % (rows ? rows : 1)];
    for (uint32_t r = 0; r < rows; r++) {
        a[r] = r % 7 ? atoll_rng_uniform(rng) : 0;
        for (uint32_t s = 0; s < 2; s++) {
            draw(rng, w, shape->count[s]);
            atoll_quant_round(shape, store[r], s, w);
        }
    }
    atoll_quant_gather(atoll_quant_best(), shape, row, a, rows, room, sum);
    for (uint32_t s = 0; s < 2; s++)
        for (uint32_t i = 0; i < shape->count[s]; i++) {
            double want = 0, bound = 0;
            for (uint32_t r = 0; r < rows; r++) {
                float most = 0;
                for (uint32_t k = i / ATOLL_QUANT_BLOCK * ATOLL_QUANT_BLOCK;
                     k < shape->count[s] && k < (i / ATOLL_QUANT_BLOCK + 1) * ATOLL_QUANT_BLOCK; k++)
                    most = fmaxf(most, fabsf(atoll_quant_value(shape, store[r], s, k)));
                want += (double)a[r] * (double)atoll_quant_value(shape, store[r], s, i);
                bound = fmax(bound, (double)(a[r] * most));
            }
            /* The largest code of a block may be one below its most, by the rounding of the scale. */
            bound *= (double)rows / 254 * 1.2;
            double got = (double)sum[(s ? shape->blocks[0] : 0) * ATOLL_QUANT_BLOCK + i];
            assert_true(fabs(got - want) <= bound + 1e-9);
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
        for (int l = 0; l < LAYOUTS; l++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], layouts[l][0], layouts[l][1]);
                check_gather(&rng, &shape, rows[r]);
            }
}

static void products_with_a_dense_input_stay_within_their_bound(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int p = 0; p < 2; p++)
        for (int l = 0; l < LAYOUTS; l++) {
            atoll_quant_shape shape = atoll_quant_shape_of(precisions[p], layouts[l][0], layouts[l][1]);
            uint8_t row[BYTES_MOST];
            float w[COLUMNS], x[COLUMNS];
            int8_t input[COLUMNS + ATOLL_QUANT_BLOCK];
            for (uint32_t s = 0; s < 2; s++) {
                uint32_t n = shape.count[s];
                double want = 0, bound = 0, most = 0;
                draw(&rng, w, n);
                atoll_quant_round(&shape, row, s, w);
                for (uint32_t i = 0; i < n; i++)
                    x[i] = atoll_rng_normal(&rng);
                /* Behind the last weight there is another row's: the input's zeros cover it. */
                float scale = atoll_quant_input(x, n, input);
                for (uint32_t i = 0; i < n; i++) {
                    double value = (double)atoll_quant_value(&shape, row, s, i);
                    want += (double)x[i] * value;
                    bound += fabs(value);
                    most = fmax(most, fabs((double)x[i]));
                }
                double got = (double)(scale * atoll_quant_dot(atoll_quant_best(), &shape, row, s, input));
                assert_true(fabs(got - want) <= bound * most / 254 * 1.001 + 1e-6);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_weight_is_off_by_more_than_the_bound),
        cmocka_unit_test(rows_take_a_quarter_and_an_eighth),
        cmocka_unit_test(zeros_and_tiny_weights_are_zeros),
        cmocka_unit_test(kernels_agree_bit_for_bit),
        cmocka_unit_test(sums_over_rows_stay_within_their_bound),
        cmocka_unit_test(products_with_a_dense_input_stay_within_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
