#include "retrieval/rows.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static uint32_t blocks_for(uint32_t rows)
{
    return rows / ATOLL_ROWS_BLOCK + (rows % ATOLL_ROWS_BLOCK != 0);
}

static uint64_t block_bytes(const atoll_rows *rows)
{
    return (uint64_t)ATOLL_ROWS_BLOCK * rows->dim * sizeof(uint16_t);
}

atoll_rows *atoll_rows_new(uint32_t dim, uint32_t limit)
{
    atoll_rows *rows = calloc(1, sizeof *rows + blocks_for(limit) * sizeof rows->block[0]);
    if (rows) {
        rows->dim = dim;
        rows->limit = limit;
    }
    return rows;
}

void atoll_rows_free(atoll_rows *rows)
{
    if (!rows)
        return;
    for (uint32_t i = 0; i < blocks_for(rows->limit); i++)
        free(rows->block[i]);
    free(rows);
}

uint16_t *atoll_rows_append(atoll_rows *rows)
{
    assert(rows->count < rows->limit);
    uint16_t **block = &rows->block[rows->count / ATOLL_ROWS_BLOCK];
    if (!*block && !(*block = malloc(block_bytes(rows))))
        return NULL;
    return atoll_rows_at(rows, rows->count++);
}

uint64_t atoll_rows_bytes(const atoll_rows *rows)
{
    return sizeof *rows + blocks_for(rows->limit) * sizeof rows->block[0] + blocks_for(rows->count) * block_bytes(rows);
}
