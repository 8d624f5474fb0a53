/*
 * Dispatch: a batch of records, or of all their tokens, to experts. Each row of the gate goes to its top k, and an
 * expert's capacity is its share of the batch's rows [Lepikhin et al. 2021, GShard, section 2.2]: capacity, overflow
 * and drops count tokens where tokens are routed, and records where records are.
 */
#ifndef ATOLL_CORE_DISPATCH_H
#define ATOLL_CORE_DISPATCH_H

#include "core/arena.h"
#include "core/model.h"

/* What the gate says of one record: a row of model->experts probabilities for each of its tokens, or one in all. */
typedef struct atoll_gated {
    const float *gate;
    uint32_t tokens; /* 0 where records are routed */
} atoll_gated;

/*
 * routes[count], whose arrays are the arena's; counts are added to *counts. `load` is scratch, one a place of
 * model->experts. ATOLL_NO_MEMORY.
 */
atoll_status atoll_dispatch(const atoll_model *model, const atoll_gated *gated, uint32_t count,
                            atoll_overflow overflow, uint32_t *load, atoll_arena *arena, atoll_route *routes,
                            atoll_route_counts *counts, atoll_error *error);

#endif
