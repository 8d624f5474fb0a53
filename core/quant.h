/*
 * Weights rounded to 8 or 4 bits, and the integer kernels that read them: what answers read where
 * `experts.precision` says so. Learning keeps to float.
 *
 * A row of weights is cut into blocks of 128 for 8 bits and 32 for 4, the last may be shorter; each block has a scale
 * s, a bfloat16 that is max |w| / m rounded up, with m = 127 for 8 bits and 7 for 4; a weight is stored as the integer
 * nearest to w / s. So no weight is off by more than s / 2, which is less than 0.51 / m of the largest of its block.
 * Blocks as in [Dettmers et al. 2022, 8-bit optimizers].
 *
 * What the rows are multiplied with is rounded too, to 7 bits beside the largest, and summed as integers; so all
 * kernels (core/quant_kernels.c: portable, AVX2, AVX-512 VNNI with VBMI; chosen by the processor at run time) give the
 * same sums bit for bit.
 */
#ifndef ATOLL_CORE_QUANT_H
#define ATOLL_CORE_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum atoll_precision { ATOLL_PRECISION_F32, ATOLL_PRECISION_Q8, ATOLL_PRECISION_Q4 } atoll_precision;

enum {
    ATOLL_QUANT_BLOCK8 = 128, /* weights that share a scale */
    ATOLL_QUANT_BLOCK4 = 32,
    ATOLL_QUANT_STEP = 32, /* columns that kernels work on at once; blocks are whole steps */
    ATOLL_QUANT_INPUTS = 4, /* that one row is multiplied with at once, so that none waits for another's sum */
    ATOLL_QUANT_SLACK = 32 /* bytes behind a row that must be readable, whatever they hold */
};

/* How a row is laid out: codes, then scales. */
typedef struct atoll_quant_shape {
    atoll_precision precision; /* Q8 or Q4 */
    uint32_t count;            /* weights, a multiple of 8 */
    uint32_t block, blocks;    /* weights of a block, and how many blocks */
    uint32_t scales_at;
    uint32_t bytes;            /* of a row; even */
} atoll_quant_shape;

atoll_quant_shape atoll_quant_shape_of(atoll_precision precision, uint32_t count);

void atoll_quant_round(const atoll_quant_shape *shape, void *row, const float *w);

/* The readable reference: weight i. */
float atoll_quant_value(const atoll_quant_shape *shape, const void *row, uint32_t i);

/* What rows are summed by: k_r, 0..127, is byte r % 4, from the lowest, of k[r / 4 * lanes]. */
typedef struct atoll_quant_factors {
    const uint32_t *k;
    uint32_t lanes, rows; /* rows: a multiple of 4 */
} atoll_quant_factors;

/* Kernels of one instruction set. Codes are at any address; ATOLL_QUANT_SLACK bytes behind them are readable. */
typedef struct atoll_quant_kernels {
    const char *name;
    /*
     * out[j] = scale sum over rows of k_r q_rj for the ATOLL_QUANT_STEP columns of a step; row r's codes begin at
     * row[r] + at.
     */
    void (*gather8)(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale, float *out);
    void (*gather4)(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale, float *out);
    /* sum over the blocks of `steps` steps of scale_b sum_j x_j q_bj, x in -127..127; scales are bfloat16. */
    float (*dot8)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t steps);
    float (*dot4)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t steps);
    /* The same for ATOLL_QUANT_INPUTS inputs that lie `stride` bytes behind each other. */
    void (*dots8)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, size_t stride, uint32_t steps,
                  float *out);
    void (*dots4)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, size_t stride, uint32_t steps,
                  float *out);
    /* out[j] = sum of x_i q_ij over the inputs of `eights` eights, an even number, for the outputs of a step. */
    void (*eights)(const uint8_t *const *eight, size_t at, const int8_t *x, uint32_t eights, int32_t *out);
} atoll_quant_kernels;

/* The best that this processor has; and all that it has, best first, for tests and benchmarks: NULL past the last. */
const atoll_quant_kernels *atoll_quant_best(void);
const atoll_quant_kernels *atoll_quant_nth(uint32_t n);

/* Room for the factors of `rows` rows, in bytes. */
size_t atoll_quant_room(uint32_t rows);

/* `count` up to whole steps: the floats that atoll_quant_gather writes, and the numbers that atoll_quant_dot reads. */
static inline size_t atoll_quant_whole(uint32_t count)
{
    return (size_t)(count + ATOLL_QUANT_STEP - 1) / ATOLL_QUANT_STEP * ATOLL_QUANT_STEP;
}

/*
 * sum[j] = sum over rows of a_r w_rj, up to whole steps; what is behind the last weight has no meaning. a_r >= 0; `row`
 * holds valid rows up to a multiple of 4, whatever they hold behind the last. Each product a_r s_r is rounded to 7 bits
 * beside the largest of its block over all rows, so that a sum is off by at most rows * max (a s) * m / 254 beyond what
 * the rounded weights give. `room` as atoll_quant_room tells, aligned to 4.
 */
void atoll_quant_gather(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const uint8_t *const *row,
                        const float *a, uint32_t rows, void *room, float *sum);

/* x (n floats) rounded beside its largest, zeros behind it up to a whole step; returns the scale. */
float atoll_quant_input(const float *x, uint32_t n, int8_t *out);

/* The row's inner product with what atoll_quant_input made, without its scale. */
float atoll_quant_dot(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      const int8_t *x);

/* out[i], to the same bits, for `inputs` of them, atoll_quant_whole bytes each. */
void atoll_quant_dots(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      const int8_t *x, uint32_t inputs, float *out);

/*
 * A matrix that inputs of either sign read whole: 4 bits a weight, and one scale for all weights of an output, as a
 * block's. Inputs lie in eights, and of each eight the codes of an output are side by side: byte i holds input i, and
 * above it input i + 4.
 */
enum { ATOLL_QUANT_EIGHT = 8, ATOLL_QUANT_EIGHT_BYTES = 4 }; /* inputs, and their codes of one output */

/* Eights that cover `inputs`, as many as there are in what atoll_quant_input made of them. */
static inline uint32_t atoll_quant_eights(uint32_t inputs)
{
    return (uint32_t)(atoll_quant_whole(inputs) / ATOLL_QUANT_EIGHT);
}

/* scale[o] for `outputs` outputs with a largest weight of most[o]. */
void atoll_quant_scales(const float *most, uint32_t outputs, float *scale);

/* Rounds an eight: w[i] has the weights of input i by output. */
void atoll_quant_round_eight(const float *const *w, const float *scale, uint32_t outputs, uint8_t *out);

/* The readable reference: the weight of input i of the eight, without its scale. */
int atoll_quant_eight_code(const uint8_t *eight, uint32_t i, uint32_t output);

/* sum[o] += the product with what atoll_quant_input made, of scale x_scale, for `outputs` outputs, whole steps. */
void atoll_quant_multiply(const atoll_quant_kernels *kernels, const uint8_t *const *eight, const float *scale,
                          uint32_t outputs, const int8_t *x, float x_scale, uint32_t eights, float *sum);

#endif
