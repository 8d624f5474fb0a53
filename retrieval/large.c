#include "retrieval/large.h"

#include <stdlib.h>
#include <sys/mman.h>

uint32_t atoll_large_together(size_t bytes, uint32_t piece)
{
    return piece >= ATOLL_LARGE_FROM && bytes < ATOLL_LARGE_PAGE && ATOLL_LARGE_PAGE % bytes == 0
               ? (uint32_t)(ATOLL_LARGE_PAGE / bytes) : 1;
}

void *atoll_large_piece(size_t bytes, uint32_t piece)
{
    if (atoll_large_together(bytes, piece) == 1)
        return malloc(bytes);
    void *memory = aligned_alloc(ATOLL_LARGE_PAGE, ATOLL_LARGE_PAGE);
    if (memory)
        madvise(memory, ATOLL_LARGE_PAGE, MADV_HUGEPAGE); /* a wish, no more */
    return memory;
}
