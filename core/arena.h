/*
 * An arena: memory handed out piece by piece and taken back all at once. Keeps for the next round, in one piece, what
 * the round before took: the most that any round has taken, and little more.
 */
#ifndef ATOLL_CORE_ARENA_H
#define ATOLL_CORE_ARENA_H

#include <stddef.h>

typedef struct atoll_arena {
    struct atoll_arena_chunk *first, *current;
} atoll_arena;

void atoll_arena_init(atoll_arena *arena);
void atoll_arena_free(atoll_arena *arena);

/* `bytes` aligned to 16, uninitialised; NULL where memory is short. */
void *atoll_arena_take(atoll_arena *arena, size_t bytes);

/* Bytes of all chunks. */
size_t atoll_arena_bytes(const atoll_arena *arena);

/* Takes everything back. */
void atoll_arena_reset(atoll_arena *arena);

#endif
