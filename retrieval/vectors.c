#include "retrieval/vectors.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "retrieval/large.h"

/* Blocks from here on come together, as many as fill a large page: with fewer rows it would stand half empty. */
enum { LARGE_FROM = 64 };

static uint32_t blocks_for(uint32_t rows)
{
    return rows / ATOLL_VECTORS_BLOCK + (rows % ATOLL_VECTORS_BLOCK != 0);
}

static uint64_t block_bytes(const atoll_vectors *rows)
{
    return (uint64_t)ATOLL_VECTORS_BLOCK * rows->dim * sizeof(uint16_t);
}

/* How many blocks come with this one, the first of them. */
static uint32_t together(const atoll_vectors *rows, uint32_t block)
{
    uint64_t bytes = block_bytes(rows);
    return block >= LARGE_FROM && bytes < ATOLL_LARGE_PAGE && ATOLL_LARGE_PAGE % bytes == 0
               ? (uint32_t)(ATOLL_LARGE_PAGE / bytes) : 1;
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
    unsigned char *memory = many > 1 ? atoll_large_new(ATOLL_LARGE_PAGE) : malloc(block_bytes(rows));
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
