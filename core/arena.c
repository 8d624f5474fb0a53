#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_LEAST = 64 * 1024, ALIGN = 16 };

typedef struct atoll_arena_chunk {
    struct atoll_arena_chunk *next;
    size_t used, capacity;
    _Alignas(ALIGN) unsigned char bytes[];
} atoll_arena_chunk;

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
        size_t capacity = chunk ? 2 * chunk->capacity : CHUNK_LEAST;
        capacity = capacity < bytes ? bytes : capacity;
        atoll_arena_chunk *fresh = malloc(sizeof *fresh + capacity);
        if (!fresh)
            return NULL;
        *fresh = (atoll_arena_chunk){.capacity = capacity};
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
    for (atoll_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next)
        chunk->used = 0;
    arena->current = arena->first;
}
