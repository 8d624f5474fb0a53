#include "core/ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/rng.h"

enum { M = ATOLL_RIDGE_FEATURES };

/* lambda as a share of G's mean diagonal: the same for any scale of input. */
static const float lambda_share = 1e-3f;

atoll_status atoll_ridge_new(uint32_t vector_dim, uint64_t seed, atoll_ridge **out, atoll_error *error)
{
    atoll_ridge *ridge = calloc(1, sizeof *ridge);
    if (!ridge)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the analytic expert");
    ridge->vector_dim = vector_dim;
    ridge->random = malloc((size_t)vector_dim * M * sizeof *ridge->random);
    ridge->g = calloc((size_t)M * M, sizeof *ridge->g);
    if (!ridge->random || !ridge->g) {
        atoll_ridge_free(ridge);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the analytic expert");
    }
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, UINT64_C(3) << 32);
    float scale = sqrtf(1.0f / (float)vector_dim);
    for (size_t i = 0; i < (size_t)vector_dim * M; i++)
        ridge->random[i] = scale * atoll_rng_normal(&rng);
    *out = ridge;
    return ATOLL_OK;
}

void atoll_ridge_free(atoll_ridge *ridge)
{
    if (!ridge)
        return;
    free(ridge->random);
    free(ridge->g);
    free(ridge->b);
    free(ridge);
}

void atoll_ridge_features(const float *random, uint32_t vector_dim, const float *v, uint32_t count, float *z)
{
    atoll_gemm(count, M, vector_dim, v, vector_dim, random, M, 0, z, M);
    for (size_t i = 0; i < (size_t)count * M; i++)
        z[i] = z[i] > 0 ? z[i] : 0;
    for (uint32_t i = 0; i < count; i++)
        z[(size_t)i * M] = 1; /* the constant */
}

atoll_status atoll_ridge_add(atoll_ridge *ridge, const float *z, const uint32_t *label, uint32_t count,
                             uint32_t labels, atoll_error *error)
{
    if (labels > ridge->capacity) {
        uint32_t capacity = labels + labels / 2 + 8;
        float *b = realloc(ridge->b, (size_t)capacity * M * sizeof *b);
        if (!b)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u labels", labels);
        memset(b + (size_t)ridge->capacity * M, 0, (size_t)(capacity - ridge->capacity) * M * sizeof *b);
        ridge->b = b;
        ridge->capacity = capacity;
    }
    if (labels > ridge->labels)
        ridge->labels = labels;
    atoll_syrk(M, count, z, M, ridge->g, M);
    for (uint32_t i = 0; i < count; i++)
        atoll_axpy(ridge->b + (size_t)label[i] * M, z + (size_t)i * M, 1, M);
    ridge->records += count;
    return ATOLL_OK;
}

atoll_status atoll_ridge_solve(const atoll_ridge *ridge, atoll_ridge_weights **out, atoll_error *error)
{
    *out = NULL;
    if (ridge->records == 0)
        return ATOLL_OK;
    size_t labels = ridge->labels;
    atoll_ridge_weights *weights = malloc(sizeof *weights + M * labels * sizeof(float));
    float *a = malloc((size_t)M * M * sizeof *a), *b = malloc(labels * M * sizeof *b), trace = 0;
    if (!weights || !a || !b)
        goto fail;
    memcpy(b, ridge->b, labels * M * sizeof *b);
    for (size_t i = 0; i < M; i++)
        trace += ridge->g[i * M + i] / M;
    /* Rounding may take a matrix of few records over the edge: a larger lambda brings it back. */
    for (float share = lambda_share;; share *= 10) {
        memcpy(a, ridge->g, (size_t)M * M * sizeof *a);
        for (size_t i = 0; i < M; i++)
            a[i * M + i] += share * trace + 1e-6f;
        if (atoll_cholesky_solve(M, labels, a, b))
            break;
        if (share > 1)
            goto fail;
    }
    weights->vector_dim = ridge->vector_dim;
    weights->labels = ridge->labels;
    weights->random = ridge->random;
    for (size_t l = 0; l < labels; l++)
        for (size_t i = 0; i < M; i++)
            weights->w[i * labels + l] = b[l * M + i];
    free(a);
    free(b);
    *out = weights;
    return ATOLL_OK;
fail:
    free(weights);
    free(a);
    free(b);
    return atoll_fail(error, ATOLL_NO_MEMORY, "the analytic expert cannot be solved");
}

void atoll_ridge_score(const atoll_ridge_weights *weights, const float *z, float *score)
{
    atoll_gemm(1, weights->labels, M, z, M, weights->w, weights->labels, 0, score, weights->labels);
}

uint64_t atoll_ridge_bytes(const atoll_ridge *ridge)
{
    return ridge ? ((uint64_t)ridge->vector_dim * M + (uint64_t)M * M + (uint64_t)ridge->capacity * M) * sizeof(float)
                 : 0;
}

uint64_t atoll_ridge_weights_bytes(const atoll_ridge_weights *weights)
{
    return weights ? sizeof *weights + (uint64_t)ATOLL_RIDGE_FEATURES * weights->labels * sizeof(float) : 0;
}
