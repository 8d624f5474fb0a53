/* Where the parts of a network's rows lie; for those who read and teach them. */
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

/*
 * Floats from one row of `first` to the next. A batch reads some columns of many rows before it reads the next: rows
 * that lie a multiple of 2 KiB apart would meet in few sets of the nearest cache, and drive each other out. More than 0
 * where there is no hidden layer.
 */
static inline uint32_t atoll_net_first_stride(uint32_t hidden)
{
    enum { CLOSE = 512, LINE = 16 };
    return hidden % CLOSE ? hidden : hidden + LINE;
}

/*
 * The row of `first` that holds the accumulators of row `input`. All of them stand behind all weights: between these
 * they would be half of what lies near what a batch reads, and memory would be read at three quarters of its speed.
 */
static inline uint32_t atoll_net_first_squares(const atoll_net *net, uint32_t input)
{
    return net->dense_dim + 1 + input;
}

static inline uint64_t atoll_net_first_weights(const atoll_net *net)
{
    return (uint64_t)(net->first.count / 2) * net->hidden;
}

#endif
