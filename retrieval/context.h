/* Context from neighbours: who owns them, what they were called, and what they are like together (core/context.h). */
#ifndef ATOLL_RETRIEVAL_CONTEXT_H
#define ATOLL_RETRIEVAL_CONTEXT_H

#include "core/context.h"
#include "retrieval/memory.h"

/* Keeps at most the `most` nearest. */
static inline void atoll_context_limit(atoll_neighbours *neighbours, uint32_t most)
{
    neighbours->count = neighbours->count < most ? neighbours->count : most;
}

/*
 * Fills `context` from neighbours found among the slots of `view`. Slots that are empty in the view, and `except`
 * (ATOLL_SLOT_NONE for none), are passed over.
 */
void atoll_context_fill(const atoll_memory_view *view, const atoll_neighbours *neighbours, uint32_t except,
                        atoll_context *context);

#endif
