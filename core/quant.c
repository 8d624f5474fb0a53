#include "core/quant.h"

#include <string.h>

#include "core/quant_codes.h"

/* Sanitizers' run-time libraries are not ready when the loader resolves clones. */
#if defined(ATOLL_SANITIZE) || !defined(__x86_64__)
#define CLONES
#else
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

enum { BLOCK8 = ATOLL_QUANT_BLOCK8, BLOCK4 = ATOLL_QUANT_BLOCK4, STEP = ATOLL_QUANT_STEP, INPUTS = ATOLL_QUANT_INPUTS };

enum { LANES = 8 }; /* blocks whose factors are worked out at once */

enum { FACTOR_MOST = 127, INPUT_MOST = 127 };

static const float least = 1e-30f; /* a block of nothing larger is stored as zeros: its scale has no inverse */

/* ---- rows ---- */

static int most_of(atoll_precision precision)
{
    return precision == ATOLL_PRECISION_Q8 ? 127 : 7;
}

static uint32_t code_bytes(atoll_precision precision, uint32_t count)
{
    return precision == ATOLL_PRECISION_Q8 ? count : count / 2;
}

atoll_quant_shape atoll_quant_shape_of(atoll_precision precision, uint32_t count)
{
    atoll_quant_shape s = {.precision = precision, .count = count};
    s.block = precision == ATOLL_PRECISION_Q8 ? BLOCK8 : BLOCK4;
    s.blocks = (count + s.block - 1) / s.block;
    s.scales_at = code_bytes(precision, count);
    s.bytes = s.scales_at + s.blocks * (uint32_t)sizeof(uint16_t);
    return s;
}

typedef union bits {
    float value;
    uint32_t word;
} bits;

/* The least bfloat16 that is not below. */
static uint16_t scale_above(float value)
{
    return (uint16_t)(((bits){.value = value}.word + 0xffffu) >> 16);
}

/* The largest |x|. Floats that are not negative are ordered as their bits are, of which the largest is found faster. */
CLONES static float largest(const float *x, uint32_t count)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = (bits){.value = x[i]}.word & INT32_MAX;
        most = word > most ? word : most;
    }
    return (bits){.word = most}.value;
}

CLONES static void nearest(const float *x, float inverse, uint32_t count, int8_t *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = (int8_t)(int)(x[i] * inverse + (x[i] < 0 ? -0.5f : 0.5f));
}

/* One block of `count` weights, an even number; returns its scale. */
static uint16_t round_block(atoll_precision precision, const float *w, uint32_t count, uint8_t *codes)
{
    float most = largest(w, count);
    int8_t code[BLOCK8];
    uint16_t scale = most > least ? scale_above(most / (float)most_of(precision)) : 0;
    nearest(w, scale ? 1 / atoll_quant_scale_value(scale) : 0, count, code);
    if (precision == ATOLL_PRECISION_Q8) {
        memcpy(codes, code, count);
        return scale;
    }
    for (uint32_t i = 0; i < count; i += 2)
        codes[i / 2] = (uint8_t)((code[i] + 8) | (code[i + 1] + 8) << 4);
    return scale;
}

void atoll_quant_round(const atoll_quant_shape *shape, void *row, const float *w)
{
    uint8_t *scales = (uint8_t *)row + shape->scales_at;
    for (uint32_t b = 0; b < shape->blocks; b++) {
        uint32_t from = b * shape->block, left = shape->count - from;
        uint16_t scale = round_block(shape->precision, w + from, left < shape->block ? left : shape->block,
                                     (uint8_t *)row + code_bytes(shape->precision, from));
        memcpy(scales + 2 * b, &scale, sizeof scale);
    }
}

float atoll_quant_value(const atoll_quant_shape *shape, const void *row, uint32_t i)
{
    uint16_t scale;
    memcpy(&scale, (const uint8_t *)row + shape->scales_at + 2 * (i / shape->block), sizeof scale);
    return atoll_quant_scale_value(scale) * (float)atoll_quant_code(shape->precision, row, i);
}

/* ---- sums over rows ---- */

static uint32_t whole_fours(uint32_t rows)
{
    return (rows + 3) / 4 * 4;
}

/* By row: a_r s_r, and the same in 7 bits, those of four rows in one word; for one block, or side by side for LANES. */
size_t atoll_quant_room(uint32_t rows)
{
    return whole_fours(rows) * LANES * (sizeof(float) + sizeof(uint8_t));
}

/* product[r] = a_r times the scale that row r has at `at`; returns the largest. */
CLONES static float scale_products(const uint8_t *const *restrict row, size_t at, const float *restrict a,
                                   uint32_t rows, float *restrict product)
{
    for (uint32_t r = 0; r < rows; r++) {
        uint16_t scale;
        memcpy(&scale, row[r] + at, sizeof scale);
        product[r] = atoll_quant_scale_value(scale);
    }
    for (uint32_t r = 0; r < rows; r++)
        product[r] *= a[r];
    return largest(product, rows);
}

CLONES static void round_factors(const float *restrict product, float inverse, uint32_t rows, uint8_t *restrict k)
{
    for (uint32_t r = 0; r < rows; r++)
        k[r] = (uint8_t)(int)(product[r] * inverse + 0.5f);
}

/* The same for `blocks` of LANES scales side by side, the others 0: rows are read once for all of them. */
CLONES static void scale_products_wide(const uint8_t *const *restrict row, size_t at, uint32_t blocks,
                                       const float *restrict a, uint32_t rows, float *restrict product,
                                       float *restrict most)
{
    uint32_t held[LANES], most_word[LANES] = {0};
    for (uint32_t b = 0; b < LANES; b++)
        held[b] = b < blocks ? UINT32_MAX : 0;
    for (uint32_t r = 0; r < rows; r++, product += LANES) {
        uint16_t scale[LANES];
        memcpy(scale, row[r] + at, sizeof scale);
        for (uint32_t b = 0; b < LANES; b++) {
            bits one = {.word = (uint32_t)scale[b] << 16 & held[b]};
            one.value *= a[r];
            product[b] = one.value;
            most_word[b] = one.word > most_word[b] ? one.word : most_word[b];
        }
    }
    for (uint32_t b = 0; b < LANES; b++)
        most[b] = (bits){.word = most_word[b]}.value;
}

CLONES static void round_factors_wide(const float *restrict product, const float *restrict most, uint32_t rows,
                                      uint32_t *restrict k)
{
    float inverse[LANES];
    for (uint32_t b = 0; b < LANES; b++)
        inverse[b] = most[b] > 0 ? FACTOR_MOST / most[b] : 0;
    for (uint32_t r = 0; r < rows; r += 4, k += LANES, product += 4 * LANES)
        for (uint32_t b = 0; b < LANES; b++)
            k[b] = (uint32_t)(int)(product[b] * inverse[b] + 0.5f) |
                   (uint32_t)(int)(product[b + LANES] * inverse[b] + 0.5f) << 8 |
                   (uint32_t)(int)(product[b + 2 * LANES] * inverse[b] + 0.5f) << 16 |
                   (uint32_t)(int)(product[b + 3 * LANES] * inverse[b] + 0.5f) << 24;
}

/* What the rows are summed by in block b, or in LANES blocks from there on; most[] receives the largest of each. */
static atoll_quant_factors find_factors(const atoll_quant_shape *shape, const uint8_t *const *row, const float *a,
                                        uint32_t rows, uint32_t b, void *room, float *most)
{
    enum { FEW = 2 }; /* blocks, each of which by itself takes less time */
    atoll_quant_factors by = {room, shape->blocks > FEW ? LANES : 1, whole_fours(rows)};
    size_t at = shape->scales_at + 2 * b;
    float *product = (float *)room + by.rows / 4 * by.lanes;
    if (by.lanes == 1) {
        *most = scale_products(row, at, a, rows, product);
        memset((uint8_t *)room + rows, 0, by.rows - rows);
        round_factors(product, *most > 0 ? FACTOR_MOST / *most : 0, rows, room);
        return by;
    }
    memset(product + (size_t)rows * LANES, 0, (size_t)(by.rows - rows) * LANES * sizeof *product);
    scale_products_wide(row, at, shape->blocks - b, a, rows, product, most);
    round_factors_wide(product, most, by.rows, room);
    return by;
}

void atoll_quant_gather(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const uint8_t *const *row,
                        const float *a, uint32_t rows, void *room, float *sum)
{
    bool eight = shape->precision == ATOLL_PRECISION_Q8;
    atoll_quant_factors by = {.lanes = 1};
    float most[LANES];
    for (uint32_t b = 0; b < shape->blocks; b++) {
        uint32_t from = b * shape->block, end = from + shape->block < shape->count ? from + shape->block : shape->count;
        uint32_t lane = b % by.lanes;
        if (lane == 0)
            by = find_factors(shape, row, a, rows, b, room, most);
        atoll_quant_factors own = {by.k + lane, by.lanes, by.rows};
        for (uint32_t at = from; at < end; at += STEP)
            (eight ? kernels->gather8 : kernels->gather4)(row, code_bytes(shape->precision, at), &own,
                                                          most[lane] / FACTOR_MOST, sum + at);
    }
}

/* ---- products with a dense input ---- */

float atoll_quant_input(const float *x, uint32_t n, int8_t *out)
{
    float most = largest(x, n);
    nearest(x, most > 0 ? INPUT_MOST / most : 0, n, out);
    memset(out + n, 0, atoll_quant_whole(n) - n);
    return most / INPUT_MOST;
}

float atoll_quant_dot(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      const int8_t *x)
{
    uint32_t steps = (uint32_t)(atoll_quant_whole(shape->count) / STEP);
    bool eight = shape->precision == ATOLL_PRECISION_Q8;
    return (eight ? kernels->dot8 : kernels->dot4)(row, (const uint8_t *)row + shape->scales_at, x, steps);
}

void atoll_quant_dots(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      const int8_t *x, uint32_t inputs, float *out)
{
    size_t whole = atoll_quant_whole(shape->count);
    const uint8_t *scales = (const uint8_t *)row + shape->scales_at;
    bool eight = shape->precision == ATOLL_PRECISION_Q8;
    uint32_t at = 0;
    for (; at + INPUTS <= inputs; at += INPUTS)
        (eight ? kernels->dots8 : kernels->dots4)(row, scales, x + at * whole, whole, (uint32_t)(whole / STEP),
                                                  out + at);
    for (; at < inputs; at++)
        out[at] = atoll_quant_dot(kernels, shape, row, x + at * whole);
}

/* ---- a matrix read whole ---- */

void atoll_quant_scales(const float *most, uint32_t outputs, float *scale)
{
    for (uint32_t o = 0; o < outputs; o++)
        scale[o] = most[o] > least ? most[o] / (float)most_of(ATOLL_PRECISION_Q4) : 0;
}

CLONES void atoll_quant_round_eight(const float *const *restrict w, const float *restrict scale, uint32_t outputs,
                                    uint8_t *restrict out)
{
    for (uint32_t i = 0; i < ATOLL_QUANT_EIGHT_BYTES; i++) {
        const float *restrict low = w[i], *restrict high = w[i + ATOLL_QUANT_EIGHT_BYTES];
        for (uint32_t o = 0; o < outputs; o++) {
            float inverse = scale[o] > 0 ? 1 / scale[o] : 0;
            int first = (int)(low[o] * inverse + 8.5f), second = (int)(high[o] * inverse + 8.5f); /* above 0 */
            out[ATOLL_QUANT_EIGHT_BYTES * o + i] = (uint8_t)(first | second << 4);
        }
    }
}

void atoll_quant_multiply(const atoll_quant_kernels *kernels, const uint8_t *const *eight, const float *scale,
                          uint32_t outputs, const int8_t *x, float x_scale, uint32_t eights, float *sum)
{
    for (uint32_t at = 0; at < outputs; at += STEP) {
        int32_t products[STEP];
        kernels->eights(eight, (size_t)at * ATOLL_QUANT_EIGHT_BYTES, x, eights, products);
        for (uint32_t j = 0; j < STEP; j++)
            sum[at + j] += x_scale * scale[at + j] * (float)products[j];
    }
}
