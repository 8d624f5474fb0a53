#include "core/projection.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/rng.h"

enum { M = ATOLL_PROJECTION_FEATURES, BLOCK = ATOLL_PROJECTION_BLOCK };

_Static_assert((int)BLOCK == (int)ATOLL_SPARSE_LANES, "a block is what the kernel takes");

/* The spread of b, where R v has about 1. On clouds and boards in 2 to 10 dimensions .5 and 1 are alike, 0 fails. */
static const float spread = 0.5f;

/* Features that read few where no pairs are known: one in KINDS, of vectors of up to ATOLL_PAIRS_DIM numbers. */
enum { KINDS = ATOLL_PROJECTION_KINDS, FEW = 2 };

/* Where pairs are known, of KINDS features one is as without, and the others read so many. */
static const uint32_t pairs_read[KINDS] = {0, 1, 2, 4};

static uint32_t reads_of(size_t j, uint32_t dim)
{
    if (dim <= ATOLL_PROJECTION_INPUTS)
        return dim;
    return dim <= ATOLL_PAIRS_DIM && j % KINDS == KINDS - 1 ? FEW : ATOLL_PROJECTION_INPUTS;
}

/* Unless it is among them. */
static void add_input(uint16_t *input, uint32_t *count, uint16_t drawn)
{
    for (uint32_t k = 0; k < *count; k++)
        if (input[k] == drawn)
            return;
    input[(*count)++] = drawn;
}

/* Draws pairs by weight, of which `upto` has the running sums. Returns how many numbers they are. */
static uint32_t choose_pairs(const atoll_projection *p, const float *upto, atoll_rng *rng, uint32_t draws,
                             uint16_t *input)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < draws; i++) {
        float at = atoll_rng_uniform(rng) * upto[p->pairs - 1];
        uint32_t low = 0, high = p->pairs - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (upto[middle] > at)
                high = middle;
            else
                low = middle + 1;
        }
        add_input(input, &count, p->pair[low].a);
        add_input(input, &count, p->pair[low].b);
    }
    return count;
}

/* Draws more until there are `inputs`. */
static void choose_inputs(atoll_rng *rng, uint32_t dim, uint32_t inputs, uint32_t count, uint16_t *input)
{
    uint16_t next = 0;
    while (count < inputs)
        add_input(input, &count, inputs == dim ? next++ : (uint16_t)atoll_rng_below(rng, dim));
}

/* R and b of a feature of which `count` numbers are chosen and `reads` are read; 0 of them: all by lot. */
static void draw_feature(atoll_projection *p, atoll_rng *rng, size_t j, uint32_t count, uint32_t reads)
{
    float scale = sqrtf(1.0f / (float)reads);
    choose_inputs(rng, p->dim, p->inputs, count, p->input + j * p->inputs);
    for (uint32_t i = 0; i < p->inputs; i++)
        p->weight[j * p->inputs + i] = j && i < reads ? scale * atoll_rng_normal(rng) : 0;
    p->bias[j] = j ? spread * atoll_rng_normal(rng) : 1;
}

/* `upto` has room for a number a pair. */
static void draw(atoll_projection *p, uint64_t seed, float *upto)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, UINT64_C(3) << 32);
    for (size_t j = 0; j < M; j++)
        draw_feature(p, &rng, j, 0, reads_of(j, p->dim));
    for (uint32_t i = 0; i < p->pairs; i++)
        upto[i] = p->pair[i].weight + (i ? upto[i - 1] : 0);
    for (size_t j = 0; j < M && p->pairs; j++) {
        if (atoll_projection_keeps(j))
            continue;
        uint32_t reads = choose_pairs(p, upto, &rng, pairs_read[j % KINDS], p->input + j * p->inputs);
        draw_feature(p, &rng, j, reads, reads);
    }
}

atoll_status atoll_projection_new(uint32_t dim, uint64_t seed, const atoll_pair *pair, uint32_t pairs,
                                  atoll_projection **out, atoll_error *error)
{
    uint32_t inputs = dim < ATOLL_PROJECTION_INPUTS ? dim : ATOLL_PROJECTION_INPUTS;
    float *upto = malloc((pairs + 1) * sizeof *upto);
    atoll_projection *p = calloc(1, sizeof *p);
    if (!p || !upto)
        goto no_memory;
    *p = (atoll_projection){.dim = dim, .inputs = inputs, .pairs = pairs};
    p->input = malloc((size_t)M * inputs * sizeof *p->input);
    p->weight = malloc((size_t)M * inputs * sizeof *p->weight);
    p->bias = malloc(M * sizeof *p->bias);
    p->pair = malloc((pairs + 1) * sizeof *p->pair);
    if (!p->input || !p->weight || !p->bias || !p->pair)
        goto no_memory;
    if (pairs)
        memcpy(p->pair, pair, pairs * sizeof *pair);
    draw(p, seed, upto);
    free(upto);
    *out = p;
    return ATOLL_OK;
no_memory:
    free(upto);
    atoll_projection_free(p);
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for random features");
}

void atoll_projection_free(atoll_projection *projection)
{
    if (!projection)
        return;
    free(projection->input);
    free(projection->weight);
    free(projection->bias);
    free(projection->pair);
    free(projection);
}

void atoll_projection_run(const atoll_projection *projection, const float *const *v, uint32_t count, float *const *z,
                          float *scratch)
{
    for (uint32_t at = 0; at < count; at += BLOCK) {
        uint32_t lanes = count - at < BLOCK ? count - at : BLOCK;
        for (uint32_t lane = 0; lane < BLOCK; lane++) {
            const float *from = v[at + (lane < lanes ? lane : 0)];
            for (uint32_t i = 0; i < projection->dim; i++)
                scratch[(size_t)i * BLOCK + lane] = from[i];
        }
        atoll_sparse_relu(scratch, projection->input, projection->weight, projection->bias, projection->inputs, M,
                          z + at, lanes);
    }
}

uint64_t atoll_projection_bytes(const atoll_projection *projection)
{
    if (!projection)
        return 0;
    return sizeof *projection + (projection->pairs + 1) * sizeof *projection->pair +
           (uint64_t)M * (projection->inputs * (sizeof(float) + sizeof(uint16_t)) + sizeof(float));
}
