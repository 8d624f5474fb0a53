#include "retrieval/vectors.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static uint32_t blocks_for(uint32_t rows)
{
    return rows / ATOLL_VECTORS_BLOCK + (rows % ATOLL_VECTORS_BLOCK != 0);
}

static uint64_t block_bytes(const atoll_vectors *rows)
{
    return (uint64_t)ATOLL_VECTORS_BLOCK * rows->dim * sizeof(uint16_t);
}

atoll_vectors *atoll_vectors_new(uint32_t dim, uint32_t limit)
{
    atoll_vectors *rows = calloc(1, sizeof *rows + blocks_for(limit) * sizeof rows->block[0]);
    if (rows) {
        rows->dim = dim;
        rows->limit = limit;
    }
    return rows;
}

void atoll_vectors_free(atoll_vectors *rows)
{
    if (!rows)
        return;
    for (uint32_t i = 0; i < blocks_for(rows->limit); i++)
        free(rows->block[i]);
    free(rows);
}

uint16_t *atoll_vectors_append(atoll_vectors *rows)
{
    assert(rows->count < rows->limit);
    uint16_t **block = &rows->block[rows->count / ATOLL_VECTORS_BLOCK];
    if (!*block && !(*block = malloc(block_bytes(rows))))
        return NULL;
    return atoll_vectors_at(rows, rows->count++);
}

uint64_t atoll_vectors_bytes(const atoll_vectors *rows)
{
    return sizeof *rows + blocks_for(rows->limit) * sizeof rows->block[0] + blocks_for(rows->count) * block_bytes(rows);
}
