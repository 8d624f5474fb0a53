/*
 * Context: what retrieval tells the gate about a query. `core` declares it, `retrieval` fills it in.
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

#endif
