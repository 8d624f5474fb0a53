/*
 * Blocks for what is copied and replaced all the time, the pages of core/pages.h. In malloc's heap they would lie
 * between small blocks that live for long, so that what is freed could neither be given back nor told.
 *
 * Blocks of like size stand together in slabs of 256 KiB, these in regions of 16 MiB from the system. A block taken is
 * the first free one of the first slab of its size that has any (first fit by address), and a slab that has become
 * empty serves any size; so what lives gathers in few slabs. Which of the system's pages were touched is known, so what
 * is held is told as the system sees it. One lock for all: a block of 16 KiB takes longer to copy than to find.
 */
#ifndef ATOLL_CORE_SLABS_H
#define ATOLL_CORE_SLABS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct atoll_slabs atoll_slabs;

enum { ATOLL_SLABS_LEAST_BYTES = 2048, ATOLL_SLABS_MOST_BYTES = 65536, ATOLL_SLABS_ALIGN = 256 };

/* Whether blocks of so many bytes are for slabs; others are better off in the heap. */
static inline bool atoll_slabs_serve(size_t bytes)
{
    return bytes >= ATOLL_SLABS_LEAST_BYTES && bytes <= ATOLL_SLABS_MOST_BYTES;
}

atoll_slabs *atoll_slabs_new(void); /* NULL where memory is short */
void atoll_slabs_free(atoll_slabs *slabs); /* every block was given back */

/* Any thread: a block of `bytes`, which slabs serve, aligned to ATOLL_SLABS_ALIGN, uninitialised; NULL where memory is
 * short. */
void *atoll_slabs_take(atoll_slabs *slabs, size_t bytes);
/* Any thread: takes a block back. */
void atoll_slabs_give(void *block);

/* Any thread: bytes of the system's pages that were touched and not let go, and these less the blocks in use. */
uint64_t atoll_slabs_held_bytes(const atoll_slabs *slabs);
uint64_t atoll_slabs_spare_bytes(const atoll_slabs *slabs);

/* Lets the system have what is spare: all of it, or with `rest` false what was spare ever since the last time. */
void atoll_slabs_trim(atoll_slabs *slabs, bool rest);

/* The verifier: every count and mask. ATOLL_DAMAGED names the first that does not hold. */
atoll_status atoll_slabs_verify(atoll_slabs *slabs, atoll_error *error);

#endif
