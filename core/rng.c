#include "core/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void atoll_rng_seed(atoll_rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t state = seed;
    state = splitmix(&state) ^ stream;
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix(&state);
}

uint64_t atoll_rng_next(atoll_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint32_t atoll_rng_below(atoll_rng *rng, uint32_t bound)
{
    /* Multiply and reject [Lemire 2019]. */
    uint64_t m = (atoll_rng_next(rng) >> 32) * bound;
    if ((uint32_t)m < bound)
        for (uint32_t least = -bound % bound; (uint32_t)m < least;)
            m = (atoll_rng_next(rng) >> 32) * bound;
    return (uint32_t)(m >> 32);
}

float atoll_rng_uniform(atoll_rng *rng)
{
    return (float)(atoll_rng_next(rng) >> 40) * 0x1p-24f;
}

float atoll_rng_normal(atoll_rng *rng)
{
    /* Box and Muller 1958; 1 - u lies in (0, 1]. */
    float r = sqrtf(-2 * logf(1 - atoll_rng_uniform(rng)));
    return r * cosf(6.28318530718f * atoll_rng_uniform(rng));
}
