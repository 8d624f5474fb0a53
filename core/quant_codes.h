/* How codes and scales of rounded weights are read; for core/quant.c and core/quant_kernels.c. */
#ifndef ATOLL_CORE_QUANT_CODES_H
#define ATOLL_CORE_QUANT_CODES_H

#include "core/quant.h"

/* A scale as a float. */
static inline float atoll_quant_scale_value(uint16_t scale)
{
    const union {
        uint32_t word;
        float value;
    } bits = {.word = (uint32_t)scale << 16};
    return bits.value;
}

/* Code i of those that begin at `codes`. */
static inline int atoll_quant_code(atoll_precision precision, const uint8_t *codes, uint32_t i)
{
    if (precision == ATOLL_PRECISION_Q8)
        return (int8_t)codes[i];
    return (codes[i / 2] >> (i % 2 ? 4 : 0) & 15) - 8;
}

#endif
