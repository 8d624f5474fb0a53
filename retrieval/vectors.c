#include "retrieval/vectors.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "retrieval/large.h"

static uint32_t blocks_for(uint32_t rows)
{
    return rows / ATOLL_VECTORS_BLOCK + (rows % ATOLL_VECTORS_BLOCK != 0);
}

static uint64_t block_bytes(const atoll_vectors *rows)
{
    return (uint64_t)ATOLL_VECTORS_BLOCK * rows->dim * sizeof(uint16_t);
}

static uint32_t together(const atoll_vectors *rows, uint32_t block)
{
    return atoll_large_together(block_bytes(rows), block);
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
    for (uint32_t i = 0; i < blocks_for(rows->limit); i += together(rows, i))
        free(rows->block[i]);
    free(rows);
}

static bool add_blocks(atoll_vectors *rows, uint32_t first)
{
    uint32_t many = together(rows, first), most = blocks_for(rows->limit);
    unsigned char *memory = atoll_large_piece(block_bytes(rows), first);
    for (uint32_t i = 0; memory && i < many && first + i < most; i++)
        rows->block[first + i] = (uint16_t *)(void *)(memory + i * block_bytes(rows));
    return memory;
}

uint16_t *atoll_vectors_append(atoll_vectors *rows)
{
    assert(rows->count < rows->limit);
    uint32_t block = rows->count / ATOLL_VECTORS_BLOCK;
    if (!rows->block[block] && !add_blocks(rows, block))
        return NULL;
    return atoll_vectors_at(rows, rows->count++);
}

uint64_t atoll_vectors_bytes(const atoll_vectors *rows)
{
    uint32_t blocks = 0;
    while (blocks < blocks_for(rows->count))
        blocks += together(rows, blocks);
    return sizeof *rows + blocks_for(rows->limit) * sizeof rows->block[0] + blocks * block_bytes(rows);
}
