#include "core/projection.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/kernels.h"
#include "core/rng.h"

enum { M = ATOLL_PROJECTION_FEATURES, BLOCK = ATOLL_PROJECTION_BLOCK };

_Static_assert((int)BLOCK == (int)ATOLL_SPARSE_LANES, "a block is what the kernel takes");

/* The spread of b, where R v has about 1. On clouds and boards in 2 to 10 dimensions .5 and 1 are alike, 0 fails. */
static const float spread = 0.5f;

/* Features that read few: one in FEW_EVERY, of vectors of up to FEW_DIM numbers. */
enum { FEW_EVERY = 4, FEW_DIM = 256, FEW = 2 };

static uint32_t reads_of(size_t j, uint32_t dim)
{
    if (dim <= ATOLL_PROJECTION_INPUTS)
        return dim;
    return dim <= FEW_DIM && j % FEW_EVERY == FEW_EVERY - 1 ? FEW : ATOLL_PROJECTION_INPUTS;
}

static void choose_inputs(atoll_rng *rng, uint32_t dim, uint32_t inputs, uint16_t *input)
{
    for (uint32_t i = 0; i < inputs;) {
        uint16_t drawn = (uint16_t)(inputs == dim ? i : atoll_rng_below(rng, dim));
        bool known = false;
        for (uint32_t k = 0; k < i; k++)
            known |= input[k] == drawn;
        input[i] = drawn;
        i += !known;
    }
}

atoll_status atoll_projection_new(uint32_t dim, uint64_t seed, atoll_projection **out, atoll_error *error)
{
    uint32_t inputs = dim < ATOLL_PROJECTION_INPUTS ? dim : ATOLL_PROJECTION_INPUTS;
    atoll_projection *p = calloc(1, sizeof *p);
    if (!p)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for random features");
    *p = (atoll_projection){.dim = dim, .inputs = inputs};
    p->input = malloc((size_t)M * inputs * sizeof *p->input);
    p->weight = malloc((size_t)M * inputs * sizeof *p->weight);
    p->bias = malloc(M * sizeof *p->bias);
    if (!p->input || !p->weight || !p->bias) {
        atoll_projection_free(p);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for random features");
    }
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, UINT64_C(3) << 32);
    for (size_t j = 0; j < M; j++) {
        uint32_t reads = reads_of(j, dim);
        float scale = sqrtf(1.0f / (float)reads);
        choose_inputs(&rng, dim, inputs, p->input + j * inputs);
        for (uint32_t i = 0; i < inputs; i++)
            p->weight[j * inputs + i] = j && i < reads ? scale * atoll_rng_normal(&rng) : 0;
        p->bias[j] = j ? spread * atoll_rng_normal(&rng) : 1;
    }
    *out = p;
    return ATOLL_OK;
}

void atoll_projection_free(atoll_projection *projection)
{
    if (!projection)
        return;
    free(projection->input);
    free(projection->weight);
    free(projection->bias);
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
    return sizeof *projection + (uint64_t)M * (projection->inputs * (sizeof(float) + sizeof(uint16_t)) + sizeof(float));
}
