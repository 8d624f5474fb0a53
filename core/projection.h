/*
 * Random features of vectors: z = relu(R v + b), R and b random, and fixed but for the choice below [Rahimi, Recht
 * 2008]. Each feature reads at most ATOLL_PROJECTION_INPUTS numbers of the vector: as accurate as reading all of them,
 * and of a vector of 784 a thirtieth of the work and memory. Of 17 to 256 numbers every fourth feature reads two: what
 * two columns of a table tell only together is found by features that read nothing else. Where it is known which
 * numbers tell of labels (core/pairs.h), three of four features read those alone. b lets features of few numbers bend
 * anywhere, not at the mean alone.
 */
#ifndef ATOLL_CORE_PROJECTION_H
#define ATOLL_CORE_PROJECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pairs.h"
#include "core/status.h"

enum {
    ATOLL_PROJECTION_FEATURES = 2240,
    ATOLL_PROJECTION_INPUTS = 16,
    ATOLL_PROJECTION_BLOCK = 16, /* vectors that are worked on together */
    ATOLL_PROJECTION_KINDS = 4
};

/* Immutable once made. */
typedef struct atoll_projection {
    uint32_t dim, inputs; /* numbers of a vector; of those, how many a feature reads at most */
    uint16_t *input;      /* features x inputs: which */
    float *weight;        /* features x inputs: R's part of them, 0 for those that a feature does not read */
    float *bias;          /* features; feature 0 is the constant 1 */
    atoll_pair *pair;     /* which of them features read; `pairs` of them, none at first */
    uint32_t pairs;
} atoll_projection;

/* 1 <= dim <= ATOLL_VECTOR_MAX_DIM; `seed` and the pairs, which are copied, give R and b. ATOLL_NO_MEMORY. */
atoll_status atoll_projection_new(uint32_t dim, uint64_t seed, const atoll_pair *pair, uint32_t pairs,
                                  atoll_projection **out, atoll_error *error);
void atoll_projection_free(atoll_projection *projection);

/* Whether feature j is the same whatever pairs are known. */
static inline bool atoll_projection_keeps(uint64_t j)
{
    return j % ATOLL_PROJECTION_KINDS == 0;
}

/* z[i] (ATOLL_PROJECTION_FEATURES) of v[i] (dim), i < count; `scratch` has atoll_projection_scratch(dim) floats. */
void atoll_projection_run(const atoll_projection *projection, const float *const *v, uint32_t count, float *const *z,
                          float *scratch);

static inline uint64_t atoll_projection_scratch(uint32_t dim)
{
    return (uint64_t)dim * ATOLL_PROJECTION_BLOCK;
}

uint64_t atoll_projection_bytes(const atoll_projection *projection);

#endif
