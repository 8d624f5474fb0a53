/*
 * Context: what retrieval tells about a query. `core` declares it, `retrieval` fills it in from the neighbours.
 */
#ifndef ATOLL_CORE_CONTEXT_H
#define ATOLL_CORE_CONTEXT_H

#include <stdint.h>

#include "core/limits.h"

/* One remembered record near a query. `slot` is its place in the memory (retrieval/memory.h). */
typedef struct atoll_neighbour {
    uint32_t slot;
    float similarity; /* cosine, -1..1 */
} atoll_neighbour;

/* The neighbours of one query, most similar first. */
typedef struct atoll_neighbours {
    uint32_t count; /* 0..ATOLL_NEIGHBOURS */
    atoll_neighbour at[ATOLL_NEIGHBOURS];
} atoll_neighbours;

enum { ATOLL_NOVELTY_NEIGHBOURS = 8 };

/* A neighbour's vote: its share of exp(15 (similarity - 1)) over all neighbours; the votes of one query sum to 1. */
typedef struct atoll_voter {
    uint32_t slot, owner, label;
    float similarity, vote;
} atoll_voter;

typedef struct atoll_context {
    uint32_t count; /* 0..ATOLL_NEIGHBOURS; most similar first */
    uint32_t sleepers; /* so many of the last places of `voter` hold dormant neighbours (learner/drift.h), least similar
                          first: they have no say, their votes are in the measure of the others' */
    atoll_voter voter[ATOLL_NEIGHBOURS];
    float familiarity; /* mean similarity of the ATOLL_NOVELTY_NEIGHBOURS nearest; 0 where there are none */
} atoll_context;

#endif
