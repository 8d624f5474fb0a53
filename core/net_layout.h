/* Where the parts of a network's rows lie; for core/net.c, which reads and teaches them, and core/net_shape.c. */
#ifndef ATOLL_CORE_NET_LAYOUT_H
#define ATOLL_CORE_NET_LAYOUT_H

#include "core/net.h"

/*
 * A sparse row: V [capacity], W1 [rank], the accumulator of W1, those of V [capacity] in bfloat16, padding. What
 * forward reads comes first and together.
 */
static inline uint32_t atoll_net_row_width(const atoll_net *net, uint32_t capacity)
{
    uint32_t floats = capacity + capacity / 2 + (net->rank ? net->rank + 1 : 0);
    return (floats + 7) / 8 * 8;
}

static inline float *atoll_net_low(const atoll_net *net, const float *row)
{
    return (float *)row + net->capacity;
}

static inline uint16_t *atoll_net_squares(const atoll_net *net, const float *row)
{
    return (uint16_t *)(row + net->capacity + (net->rank ? net->rank + 1 : 0));
}

/* A head: b, W2 [rank], D2 [hidden]; then as many accumulators. */
static inline uint32_t atoll_net_head_width(const atoll_net *net)
{
    return 1 + net->rank + net->hidden;
}

#endif
