/*
 * What inverted lists of 4-bit codes stand in: blocks of ATOLL_SCAN_BLOCK vectors, their codes, as scan.h reads them,
 * before their numbers. The blocks of all lists come from pieces of memory that never move, large pages once there are
 * many, so that what lists take is what they hold, and growing one does not copy it. Inside retrieval only.
 *
 * One thread adds while nobody reads; any number of threads may read while nobody adds.
 */
#ifndef ATOLL_RETRIEVAL_BLOCKS_H
#define ATOLL_RETRIEVAL_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "retrieval/scan.h"

#define ATOLL_BLOCKS_NONE UINT32_MAX

/* A list's blocks, from the first that it got to the one that is being filled. */
typedef struct atoll_block_list {
    uint32_t head, tail; /* ATOLL_BLOCKS_NONE where empty */
    uint32_t count;      /* vectors */
} atoll_block_list;

typedef struct atoll_blocks {
    uint32_t lists, pairs; /* bytes of a code: two codes each */
    atoll_block_list *list;
    uint8_t **piece; /* of memory */
    uint32_t pieces, piece_blocks, block_bytes;
    uint32_t *next; /* block -> the next of its list */
    uint32_t count, room;
} atoll_blocks;

/* Empty lists. ATOLL_NO_MEMORY. */
atoll_status atoll_blocks_init(atoll_blocks *blocks, uint32_t lists, uint32_t pairs, atoll_error *error);
void atoll_blocks_clear(atoll_blocks *blocks);

/* A vector's number and its code (`pairs` bytes, the first of two codes in the low half). ATOLL_NO_MEMORY. */
atoll_status atoll_blocks_add(atoll_blocks *blocks, uint32_t list, uint32_t number, const uint8_t *code,
                              atoll_error *error);

uint64_t atoll_blocks_bytes(const atoll_blocks *blocks);

/* `from` up to `from + count` of a list's vectors, in the order in which they came: numbers, or codes behind each
 * other as they were added. */
void atoll_blocks_numbers(const atoll_blocks *blocks, uint32_t list, uint32_t from, uint32_t count, int64_t *number);
void atoll_blocks_codes(const atoll_blocks *blocks, uint32_t list, uint32_t from, uint32_t count, uint8_t *code);

static inline const uint8_t *atoll_blocks_at(const atoll_blocks *blocks, uint32_t block)
{
    return blocks->piece[block / blocks->piece_blocks] + (size_t)(block % blocks->piece_blocks) * blocks->block_bytes;
}

/* The numbers of the vectors of a block. */
static inline const uint32_t *atoll_blocks_numbers_of(const atoll_blocks *blocks, const uint8_t *block)
{
    return (const uint32_t *)(const void *)(block + (size_t)ATOLL_SCAN_BLOCK * blocks->pairs);
}

#endif
