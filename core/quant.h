/*
 * Weights rounded to 8 or 4 bits, and the integer kernels that read them: what answers read where
 * `experts.precision` says so. Learning keeps to float.
 *
 * A row holds one or two sections of weights. A section is cut into blocks of ATOLL_QUANT_BLOCK, the last may be
 * shorter; each block has a scale s, a bfloat16 that is max |w| / m rounded up, with m = 127 for 8 bits and 7 for 4; a
 * weight is stored as the integer nearest to w / s. So no weight is off by more than s / 2, which is less than
 * 0.51 / m of the largest of its block. Blocks as in [Dettmers et al. 2022, 8-bit optimizers].
 *
 * What the rows are multiplied with is rounded too, to 7 bits beside the largest, and summed as integers; so all
 * kernels (portable, AVX2, AVX-512 VNNI; chosen by the processor at run time) give the same sums bit for bit.
 */
#ifndef ATOLL_CORE_QUANT_H
#define ATOLL_CORE_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum atoll_precision { ATOLL_PRECISION_F32, ATOLL_PRECISION_Q8, ATOLL_PRECISION_Q4 } atoll_precision;

enum {
    ATOLL_QUANT_BLOCK = 32,
    ATOLL_QUANT_SLACK = 32, /* bytes behind a row that must be readable, whatever they hold */
    ATOLL_QUANT_LANES = 8   /* blocks whose scales are worked on at once */
};

/* How a row is laid out: the codes of both sections, then the scales. */
typedef struct atoll_quant_shape {
    atoll_precision precision; /* Q8 or Q4 */
    uint32_t count[2];  /* weights of each section, multiples of 8; the second may be 0 */
    uint32_t blocks[2];
    uint32_t codes_at;  /* where the second section's codes begin */
    uint32_t scales_at;
    uint32_t bytes;     /* of a row; even */
} atoll_quant_shape;

atoll_quant_shape atoll_quant_shape_of(atoll_precision precision, uint32_t first, uint32_t second);

/* Rounds one section of a row. */
void atoll_quant_round(const atoll_quant_shape *shape, void *row, uint32_t section, const float *w);

/* The readable reference: weight i of a section. */
float atoll_quant_value(const atoll_quant_shape *shape, const void *row, uint32_t section, uint32_t i);

/* Kernels of one instruction set. Codes are at any address; ATOLL_QUANT_SLACK bytes behind them are readable. */
typedef struct atoll_quant_kernels {
    const char *name;
    /*
     * out[j] = sum over rows of k_r q_rj for the ATOLL_QUANT_BLOCK columns of a block. Row r's codes begin at
     * row[r] + at; its factor k_r, 0..127, is byte r % 4 of factor[r / 4 * ATOLL_QUANT_LANES]. `rows` is a multiple of
     * 4.
     */
    void (*gather8)(const uint8_t *const *row, size_t at, const uint32_t *factor, uint32_t rows, int32_t *out);
    void (*gather4)(const uint8_t *const *row, size_t at, const uint32_t *factor, uint32_t rows, int32_t *out);
    /* sum over `blocks` blocks of scale_b sum_j x_j q_bj, x in -127..127; scales are bfloat16. */
    float (*dot8)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t blocks);
    float (*dot4)(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t blocks);
} atoll_quant_kernels;

/* The best that this processor has; and all that it has, best first, for tests and benchmarks: NULL past the last. */
const atoll_quant_kernels *atoll_quant_best(void);
const atoll_quant_kernels *atoll_quant_nth(uint32_t n);

/* Room for the factors of `rows` rows, in bytes. */
size_t atoll_quant_room(uint32_t rows);

/*
 * sum[j] = sum over rows of a_r w_rj, for both sections one behind the other (sum has room for whole blocks of both:
 * ATOLL_QUANT_BLOCK * (blocks[0] + blocks[1]) floats, the second section's at ATOLL_QUANT_BLOCK * blocks[0]).
 * a_r >= 0; `row` holds valid rows up to a multiple of 4, whatever they hold behind the last. Each product a_r s_r is
 * rounded to 7 bits beside the largest of its block over all rows, so that a sum is off by at most
 * rows * max (a s) * m / 254 beyond what the rounded weights give. `room` as atoll_quant_room tells, aligned to 32.
 */
void atoll_quant_gather(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const uint8_t *const *row,
                        const float *a, uint32_t rows, void *room, float *sum);

/* x (n floats) rounded beside its largest, zeros behind it up to a whole block; returns the scale. */
float atoll_quant_input(const float *x, uint32_t n, int8_t *out);

/* The section's inner product with what atoll_quant_input made, without its scale. */
float atoll_quant_dot(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      uint32_t section, const int8_t *x);

#endif
