#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_LEAST = 64 * 1024, GROWTH = 4 /* a fresh chunk is at least this part of the others */, ALIGN = 16 };

typedef struct atoll_arena_chunk {
    struct atoll_arena_chunk *next;
    size_t used, capacity;
    _Alignas(ALIGN) unsigned char bytes[];
} atoll_arena_chunk;

static atoll_arena_chunk *new_chunk(size_t capacity)
{
    atoll_arena_chunk *fresh = malloc(sizeof *fresh + capacity);
    if (fresh)
        *fresh = (atoll_arena_chunk){.capacity = capacity};
    return fresh;
}

void atoll_arena_init(atoll_arena *arena)
{
    *arena = (atoll_arena){0};
}

void atoll_arena_free(atoll_arena *arena)
{
    for (atoll_arena_chunk *chunk = arena->first; chunk;) {
        atoll_arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    atoll_arena_init(arena);
}

void *atoll_arena_take(atoll_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    while (arena->current && arena->current->capacity - arena->current->used < bytes && arena->current->next)
        arena->current = arena->current->next;
    atoll_arena_chunk *chunk = arena->current;
    if (!chunk || chunk->capacity - chunk->used < bytes) {
        size_t part = atoll_arena_bytes(arena) / GROWTH, capacity = part < CHUNK_LEAST ? CHUNK_LEAST : part;
        atoll_arena_chunk *fresh = new_chunk(capacity < bytes ? bytes : capacity);
        if (!fresh)
            return NULL;
        if (chunk)
            chunk->next = fresh;
        else
            arena->first = fresh;
        arena->current = chunk = fresh;
    }
    void *piece = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return piece;
}

size_t atoll_arena_bytes(const atoll_arena *arena)
{
    size_t bytes = 0;
    for (const atoll_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next)
        bytes += sizeof *chunk + chunk->capacity;
    return bytes;
}

void atoll_arena_reset(atoll_arena *arena)
{
    size_t used = 0;
    for (atoll_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next) {
        used += chunk->used;
        chunk->used = 0;
    }
    arena->current = arena->first;
    if (!arena->first || !arena->first->next)
        return;
    atoll_arena_free(arena);
    arena->first = arena->current = new_chunk(used);
}
