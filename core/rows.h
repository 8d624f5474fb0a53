/*
 * A table of rows of floats by bucket, holding only rows that were asked for: the first layer of a network over hashed
 * features. Open addressing by groups of entries, in copy-on-write pages; rows keep the order in which they were added,
 * so that frequent features, which come early, share pages.
 */
#ifndef ATOLL_CORE_ROWS_H
#define ATOLL_CORE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pages.h"

enum { ATOLL_ROW_NONE = UINT32_MAX };

/* Plain data: copy it to freeze it. */
typedef struct atoll_rows {
    atoll_array table; /* of uint64_t: 0, or row << 32 | bucket + 1; its count is a power of two, or 0 */
    atoll_array rows;  /* of `width` floats */
    uint32_t width;
} atoll_rows;

void atoll_rows_init(atoll_rows *rows, uint32_t width);
void atoll_rows_clear(atoll_pager *pager, atoll_rows *rows);
uint64_t atoll_rows_bytes(const atoll_rows *rows);

/* What rows with room for `room` columns get that need `wanted` (more): half as much again at least, so that columns
 * that come one by one have them rebuilt seldom; in whole eights. */
uint32_t atoll_rows_room(uint32_t room, uint32_t wanted);

/* found[i] = the row of bucket[i], or ATOLL_ROW_NONE. */
void atoll_rows_find(const atoll_rows *rows, const uint32_t *bucket, uint32_t count, uint32_t *found);

/* The same by the n-th search that this processor has, best first, the portable one last; false past it. For tests. */
bool atoll_rows_find_by(uint32_t n, const atoll_rows *rows, const uint32_t *bucket, uint32_t count, uint32_t *found);

/* Adds a zeroed row for a bucket that has none; *row is its number. ATOLL_NO_MEMORY changes nothing. */
atoll_status atoll_rows_add(atoll_pager *pager, atoll_rows *rows, uint32_t bucket, uint32_t *row, atoll_error *error);

static inline const float *atoll_rows_at(const atoll_rows *rows, uint32_t row)
{
    return (const float *)atoll_array_at(&rows->rows, row);
}

/* NULL where memory is short. */
static inline float *atoll_rows_edit(atoll_pager *pager, atoll_rows *rows, uint32_t row)
{
    return (float *)atoll_array_edit(pager, &rows->rows, row);
}

/*
 * Rebuilds the rows with another width: `move` fills each new row (zeroed) from the old one.
 * ATOLL_NO_MEMORY changes nothing.
 */
atoll_status atoll_rows_reshape(atoll_pager *pager, atoll_rows *rows, uint32_t width,
                                void (*move)(void *arg, const float *old, float *fresh), void *arg,
                                atoll_error *error);

/* The verifier: each bucket once, each row reachable. ATOLL_DAMAGED names the first thing that does not hold. */
atoll_status atoll_rows_verify(const atoll_rows *rows, atoll_error *error);

#endif
