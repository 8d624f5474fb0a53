/*
 * The analytic half of the shared expert: ridge regression of one-hot labels on random ReLU features of the scaled
 * vector (random features: Rahimi, Recht 2008; in class-incremental learning: McDonnell et al. 2023, "RanPAC"). Its
 * sums
 *
 *     G = sum z z'    B = sum z y'    z = relu(R v), R fixed and random
 *
 * do not depend on the order of the stream, so it forgets nothing. W = (G + lambda I)^-1 B is solved when asked for.
 */
#ifndef ATOLL_CORE_RIDGE_H
#define ATOLL_CORE_RIDGE_H

#include <stdint.h>

#include "core/pages.h"

enum { ATOLL_RIDGE_FEATURES = 1024 };

/* A solution: immutable once made, freed with free(). */
typedef struct atoll_ridge_weights {
    uint32_t vector_dim, labels;
    const float *random; /* R: vector_dim x ATOLL_RIDGE_FEATURES; the ridge's own */
    float w[];           /* ATOLL_RIDGE_FEATURES x labels */
} atoll_ridge_weights;

typedef struct atoll_ridge {
    uint32_t vector_dim, labels, capacity; /* labels summed; room in b */
    uint64_t records;
    float *random; /* R: vector_dim x ATOLL_RIDGE_FEATURES */
    float *g;      /* upper triangle, ATOLL_RIDGE_FEATURES squared */
    float *b;      /* capacity x ATOLL_RIDGE_FEATURES: a label a row */
} atoll_ridge;

/* `seed` gives R. ATOLL_NO_MEMORY. */
atoll_status atoll_ridge_new(uint32_t vector_dim, uint64_t seed, atoll_ridge **out, atoll_error *error);
void atoll_ridge_free(atoll_ridge *ridge);

/* z (count x ATOLL_RIDGE_FEATURES) of count vectors (count x vector_dim). */
void atoll_ridge_features(const float *random, uint32_t vector_dim, const float *v, uint32_t count, float *z);

/* Adds count records of features z and labels below `labels`. */
atoll_status atoll_ridge_add(atoll_ridge *ridge, const float *z, const uint32_t *label, uint32_t count,
                             uint32_t labels, atoll_error *error);

/* A fresh solution; NULL with ATOLL_OK where nothing was added yet. */
atoll_status atoll_ridge_solve(const atoll_ridge *ridge, atoll_ridge_weights **out, atoll_error *error);

/* score[labels] = z W of one record: near 1 for its label, near 0 for the others. */
void atoll_ridge_score(const atoll_ridge_weights *weights, const float *z, float *score);

/* 0 for NULL. */
uint64_t atoll_ridge_bytes(const atoll_ridge *ridge);
uint64_t atoll_ridge_weights_bytes(const atoll_ridge_weights *weights);

#endif
