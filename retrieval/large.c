#include "retrieval/large.h"

#include <stdlib.h>
#include <sys/mman.h>

void *atoll_large_new(size_t bytes)
{
    void *memory = aligned_alloc(ATOLL_LARGE_PAGE, bytes);
    if (memory)
        madvise(memory, bytes, MADV_HUGEPAGE); /* a wish, no more */
    return memory;
}
