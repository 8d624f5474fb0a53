/*
 * IEEE 754 half precision: 1 sign, 5 exponent and 10 fraction bits. To half rounds to nearest, ties to even; to float
 * is exact. Arrays use AVX-512, or AVX2 and F16C, where the processor has them, with the same results bit for bit.
 */
#ifndef ATOLL_CORE_HALF_H
#define ATOLL_CORE_HALF_H

#include <stddef.h>
#include <stdint.h>

/* One value; the readable reference. Beyond 65504 rounds to infinity; a NaN stays one, made quiet. */
uint16_t atoll_half_round(float value);
float atoll_half_value(uint16_t half);

/* `count` values; the arrays do not overlap. */
void atoll_half_from_float(const float *from, uint16_t *to, size_t count);
void atoll_half_to_float(const uint16_t *from, float *to, size_t count);

/* Inner product, summed in 32 lanes (element i in lane i % 32) that are then added pairwise, upper half to lower. */
float atoll_half_dot(const uint16_t *half, const float *value, size_t count);

/* dot[r * queries + q]: the same of every row (of `count` halves) with every query (of `count` floats). */
void atoll_half_dots(const uint16_t *half, size_t rows, const float *value, size_t queries, size_t count, float *dot);

/* What does that where `count` is a multiple of 32: the n-th that this processor has, fastest first, the portable one
 * last, NULL behind it. */
typedef void (*atoll_half_kernel)(const uint16_t *half, size_t rows, const float *value, size_t queries, size_t count,
                                  float *dot);
atoll_half_kernel atoll_half_nth(uint32_t n);

#endif
