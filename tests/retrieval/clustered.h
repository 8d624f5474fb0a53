/* Vectors about a few centres, for tests of lists. Include cmocka before it. */
#ifndef ATOLL_TESTS_RETRIEVAL_CLUSTERED_H
#define ATOLL_TESTS_RETRIEVAL_CLUSTERED_H

#include <math.h>
#include <stdint.h>

#include "core/half.h"
#include "core/rng.h"

enum { DIM = 64, COUNT = 3000, LISTS = 32, CLUSTERS = 50 };

static float vectors[COUNT * DIM];
static uint16_t halves[COUNT * DIM];
static const uint16_t *row[COUNT];

/* Unit vectors about a few centres. */
static int fill(void **state)
{
    (void)state;
    static float centre[CLUSTERS * DIM];
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 4);
    for (int i = 0; i < CLUSTERS * DIM; i++)
        centre[i] = atoll_rng_normal(&rng);
    for (int i = 0; i < COUNT; i++) {
        float square = 0, *vector = vectors + (size_t)i * DIM;
        for (int k = 0; k < DIM; k++) {
            vector[k] = centre[(size_t)(i % CLUSTERS) * DIM + k] + 0.4f * atoll_rng_normal(&rng);
            square += vector[k] * vector[k];
        }
        for (int k = 0; k < DIM; k++)
            vector[k] /= sqrtf(square);
        row[i] = halves + (size_t)i * DIM;
    }
    atoll_half_from_float(vectors, halves, COUNT * DIM);
    return 0;
}

#endif
