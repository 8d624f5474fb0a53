/* The dense part of encoded records: random features of their vectors, and what the analytic half says of them. */
#ifndef ATOLL_LEARNER_DENSE_H
#define ATOLL_LEARNER_DENSE_H

#include "core/arena.h"
#include "core/model.h"

/* Fills z and score of those of the `count` encoded records that have a vector; arrays are the arena's. */
atoll_status atoll_dense_read(atoll_arena *arena, const atoll_model *model, atoll_encoded *const *encoded,
                              uint32_t count, atoll_error *error);

#endif
