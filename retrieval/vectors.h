/*
 * Rows of half-precision numbers that are only ever appended, in blocks that do not move: one thread may append while
 * others read rows that were there when they were told. Inside retrieval only.
 */
#ifndef ATOLL_RETRIEVAL_VECTORS_H
#define ATOLL_RETRIEVAL_VECTORS_H

#include <stdint.h>

enum { ATOLL_VECTORS_BLOCK = 1024 };

typedef struct atoll_vectors {
    uint32_t dim, count, limit; /* `limit`: the most rows there can be */
    uint16_t *block[];          /* of ATOLL_VECTORS_BLOCK rows */
} atoll_vectors;

atoll_vectors *atoll_vectors_new(uint32_t dim, uint32_t limit); /* NULL where memory is short */
void atoll_vectors_free(atoll_vectors *rows);

/* Room for row number `count`, which then exists; NULL where memory is short. count < limit. */
uint16_t *atoll_vectors_append(atoll_vectors *rows);

static inline uint16_t *atoll_vectors_at(const atoll_vectors *rows, uint32_t row)
{
    return rows->block[row / ATOLL_VECTORS_BLOCK] + (uint64_t)(row % ATOLL_VECTORS_BLOCK) * rows->dim;
}

uint64_t atoll_vectors_bytes(const atoll_vectors *rows);

#endif
