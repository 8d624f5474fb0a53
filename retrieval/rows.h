/*
 * Rows of half-precision numbers that are only ever appended, in blocks that do not move: one thread may append while
 * others read rows that were there when they were told. Inside retrieval only.
 */
#ifndef ATOLL_RETRIEVAL_ROWS_H
#define ATOLL_RETRIEVAL_ROWS_H

#include <stdint.h>

enum { ATOLL_ROWS_BLOCK = 1024 };

typedef struct atoll_rows {
    uint32_t dim, count, limit; /* `limit`: the most rows there can be */
    uint16_t *block[];          /* of ATOLL_ROWS_BLOCK rows */
} atoll_rows;

atoll_rows *atoll_rows_new(uint32_t dim, uint32_t limit); /* NULL where memory is short */
void atoll_rows_free(atoll_rows *rows);

/* Room for row number `count`, which then exists; NULL where memory is short. count < limit. */
uint16_t *atoll_rows_append(atoll_rows *rows);

static inline uint16_t *atoll_rows_at(const atoll_rows *rows, uint32_t row)
{
    return rows->block[row / ATOLL_ROWS_BLOCK] + (uint64_t)(row % ATOLL_ROWS_BLOCK) * rows->dim;
}

uint64_t atoll_rows_bytes(const atoll_rows *rows);

#endif
