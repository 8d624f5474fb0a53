/* Random numbers that are the same on every machine: xoshiro256** seeded by splitmix64 [Blackman, Vigna 2021]. */
#ifndef ATOLL_CORE_RNG_H
#define ATOLL_CORE_RNG_H

#include <stdint.h>

typedef struct atoll_rng {
    uint64_t s[4];
} atoll_rng;

void atoll_rng_seed(atoll_rng *rng, uint64_t seed, uint64_t stream);
uint64_t atoll_rng_next(atoll_rng *rng);

/* Uniform in 0..bound-1, without bias; bound > 0. */
uint32_t atoll_rng_below(atoll_rng *rng, uint32_t bound);
/* Uniform in [0, 1). */
float atoll_rng_uniform(atoll_rng *rng);
/* Standard normal. */
float atoll_rng_normal(atoll_rng *rng);

#endif
