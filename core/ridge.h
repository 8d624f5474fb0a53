/*
 * The analytic half of the shared expert: ridge regression of one-hot labels on random features of the scaled vector
 * (core/projection.h; in class-incremental learning: McDonnell et al. 2023, "RanPAC"). What it keeps,
 *
 *     R'R = lambda I + sum z z'    B = sum z y'
 *
 * does not depend on the order of the stream, so it forgets nothing. W = (R'R)^-1 B is solved when asked for, and takes
 * some of a second pass, lambda (R'R)^-1 W [iterated Tikhonov regularisation: King, Chillingworth 1979]: about what a
 * lesser lambda would give, or with less than none of it a greater one. How much, generalised cross-validation chooses.
 */
#ifndef ATOLL_CORE_RIDGE_H
#define ATOLL_CORE_RIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/factor.h"
#include "core/projection.h"

enum { ATOLL_RIDGE_FEATURES = ATOLL_PROJECTION_FEATURES };

/* Turns scores, of which the right one is near 1 and the others near 0, into log odds. */
#define ATOLL_RIDGE_SHARPNESS 8.0f

/* A solution: immutable once made, freed with free(). */
typedef struct atoll_ridge_weights {
    uint32_t labels;
    float w[]; /* labels x ATOLL_RIDGE_FEATURES */
} atoll_ridge_weights;

typedef struct atoll_ridge {
    uint32_t labels, capacity; /* labels summed; room in b */
    uint32_t waiting;          /* records that are in b but not yet in the factor */
    uint64_t records, solved;  /* added; and as many as there were at the last solution */
    bool due;                  /* a label has had its 8th record, 16th, 32nd, ... since then */
    atoll_factor factor;
    float *b;                  /* capacity x ATOLL_RIDGE_FEATURES: a label a row */
    float *wait;               /* features of the waiting, by columns as atoll_factor_add takes them */
} atoll_ridge;

atoll_status atoll_ridge_new(atoll_ridge **out, atoll_error *error); /* ATOLL_NO_MEMORY */
void atoll_ridge_free(atoll_ridge *ridge);
void atoll_ridge_reset(atoll_ridge *ridge); /* as new, with the room it has */

/* Adds one record of features z and a label below `labels`. ATOLL_NO_MEMORY: nothing was added. */
atoll_status atoll_ridge_add(atoll_ridge *ridge, const float *z, uint32_t label, uint32_t labels, atoll_error *error);

/* Whether enough was added since the last solution that another would differ and be worth its time. */
bool atoll_ridge_is_due(const atoll_ridge *ridge);

/* A fresh solution; NULL with ATOLL_OK where nothing was added yet. */
atoll_status atoll_ridge_solve(atoll_ridge *ridge, atoll_ridge_weights **out, atoll_error *error);

/* score (count x labels) = z W of count records: near 1 for a record's label, near 0 for the others. */
void atoll_ridge_score(const atoll_ridge_weights *weights, const float *z, uint32_t count, float *score);

/* All of it as one blob of atoll_ridge_save_bytes, and back into a new ridge. ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
uint64_t atoll_ridge_save_bytes(const atoll_ridge *ridge);
void atoll_ridge_save(const atoll_ridge *ridge, void *blob);
atoll_status atoll_ridge_load(atoll_ridge *ridge, const void *blob, uint64_t bytes, atoll_error *error);

uint64_t atoll_ridge_bytes(const atoll_ridge *ridge);
uint64_t atoll_ridge_solve_bytes(const atoll_ridge *ridge); /* what atoll_ridge_solve takes, most of it for a while */
uint64_t atoll_ridge_weights_bytes(const atoll_ridge_weights *weights);

#endif
