/*
 * The dense part of encoded records: random features of their vectors (of several, their mean), and
 * what the analytic half says of them.
 */
#ifndef ATOLL_LEARNER_DENSE_H
#define ATOLL_LEARNER_DENSE_H

#include "core/arena.h"
#include "core/model.h"

/* Floats of the scratch of atoll_dense_mean, with atoll_projection_scratch of the dimension behind them. */
enum { ATOLL_DENSE_SCRATCH = ATOLL_PROJECTION_BLOCK * ATOLL_PROJECTION_FEATURES };

/* z = the mean of the random features of `count` scaled vectors, which lie behind each other. */
void atoll_dense_mean(const atoll_projection *projection, const float *v, uint32_t count, float *z, float *scratch);

/* Fills z and score of those of the `count` encoded records that have a vector; arrays are the arena's. */
atoll_status atoll_dense_read(atoll_arena *arena, const atoll_model *model, atoll_encoded *const *encoded,
                              uint32_t count, atoll_error *error);

#endif
