/*
 * Dispatch: a batch of records, or of all their tokens, to experts. Each row of the gate goes to its top k, and an
 * expert's capacity is its share of the batch's rows [Lepikhin et al. 2021, GShard, section 2.2]: capacity, overflow
 * and drops count tokens where tokens are routed, and records where records are. A soft gate's batch goes to all.
 */
#ifndef ATOLL_CORE_DISPATCH_H
#define ATOLL_CORE_DISPATCH_H

#include "core/arena.h"
#include "core/model.h"

/* What the gate says of one record, as atoll_predict_gate left it: of each token, or of the record. */
typedef struct atoll_gated {
    const float *gate;
    uint32_t tokens; /* 0 where records are routed */
} atoll_gated;

/* Floats of a record's gate. */
static inline size_t atoll_gated_floats(uint32_t tokens, uint32_t experts)
{
    return tokens ? (size_t)tokens * (experts + 1) : experts;
}

/*
 * routes[count], whose arrays are the arena's; counts are added to *counts. `load` receives those by expert, as
 * atoll_gate_route tells. ATOLL_NO_MEMORY.
 */
atoll_status atoll_dispatch(const atoll_model *model, const atoll_gated *gated, uint32_t count,
                            atoll_overflow overflow, uint32_t *load, atoll_arena *arena, atoll_route *routes,
                            atoll_route_counts *counts, atoll_error *error);

#endif
