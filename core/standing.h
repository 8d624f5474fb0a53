/*
 * What the gate needs to know of every expert, in a few arrays: experts themselves lie far apart in memory, and with
 * hundreds of them walking through them for each record costs more than the rest of routing.
 */
#ifndef ATOLL_CORE_STANDING_H
#define ATOLL_CORE_STANDING_H

#include <stdbool.h>
#include <stddef.h>

#include "core/model.h"

/* Of the records that have taught `label`, the share that an expert has learned. */
typedef struct atoll_ownership {
    uint32_t label;
    float share;
} atoll_ownership;

typedef struct atoll_standing {
    uint32_t experts, ownerships;
    uint32_t only; /* the expert that is open, where it is the only one; else 0 */
    bool *open;   /* active experts and candidates: who may be routed to */
    float *youth; /* ln(1000 / (records + 1)), at least 0 */
    float *exemplars; /* how many each has */
    float *total; /* scratch, by label */
    atoll_ownership *ownership; /* of open experts, by expert: */
    uint32_t *owned;            /* where those of each end */
} atoll_standing;

/* Bytes that the arrays of a model take. */
size_t atoll_standing_bytes(const atoll_model *model);

/* Fills *out; its arrays lie in `room`, which has as many bytes as told and malloc's alignment. */
void atoll_standing_fill(const atoll_model *model, void *room, atoll_standing *out);

#endif
