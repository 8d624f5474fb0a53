/*
 * Arrays in copy-on-write pages: what a model's parameters live in.
 *
 * An atoll_array is a tree of three levels: a root block, directories of ATOLL_PAGES_FANOUT pages, pages of 2^n
 * elements (the largest n for which a page is at most ATOLL_PAGE_BYTES, or 0). Every block carries the epoch it was
 * born in. The writer changes a block in place if it was born in the current epoch, and otherwise copies it and retires
 * the old one. So to freeze an array is to copy its atoll_array struct and advance the epoch: the copy stays as it is
 * until the reclaimer knows that no reader holds it, and costs only the pages that change afterwards.
 *
 * Frozen arrays are read by any thread between reclaim enter and leave; everything else is for the writer.
 */
#ifndef ATOLL_CORE_PAGES_H
#define ATOLL_CORE_PAGES_H

#include <stdint.h>

#include "core/reclaim.h"
#include "core/status.h"

enum {
    ATOLL_PAGE_BYTES = 16896, /* 16 KiB, and room for a line behind each of eight rows of 2 KiB (core/net_layout.h) */
    ATOLL_PAGES_FANOUT = 256,
    ATOLL_PAGE_ALIGN = 64,
    ATOLL_PAGE_SLACK = 32 /* bytes behind a page's elements that may be read, for kernels that read whole vectors */
};

typedef struct atoll_page {
    uint64_t born;
    _Alignas(ATOLL_PAGE_ALIGN) unsigned char bytes[];
} atoll_page;

typedef struct atoll_page_directory {
    uint64_t born;
    uint64_t fresh[ATOLL_PAGES_FANOUT / 64]; /* which pages were born when it was, a bit each; they tell it too, but lie
                                              * apart, and a writer would wait for each of them */
    atoll_page *page[ATOLL_PAGES_FANOUT];
} atoll_page_directory;

typedef struct atoll_page_root {
    uint64_t born;
    uint32_t directories;
    atoll_page_directory *directory[];
} atoll_page_root;

/* Plain data: copy it to freeze it. Elements beyond `count` do not exist. */
typedef struct atoll_array {
    atoll_page_root *root; /* NULL while empty */
    uint32_t count;        /* elements */
    uint32_t element_bytes;
    uint32_t shift;        /* log2 of elements a page */
} atoll_array;

/* The writer's side: what pages are allocated from and retired to. The writer may have several threads, as long as no
 * two change the same array. */
typedef struct atoll_pager {
    atoll_reclaim *reclaim;
    _Atomic uint64_t live_bytes; /* bytes of all blocks that live arrays of this pager hold */
} atoll_pager;

void atoll_array_init(atoll_array *array, uint32_t element_bytes);

/* Element `index` < count, for reading. Aligned to 64 bytes where element_bytes is a multiple of 64. */
static inline const void *atoll_array_at(const atoll_array *array, uint32_t index)
{
    uint32_t page = index >> array->shift;
    const atoll_page *p = array->root->directory[page / ATOLL_PAGES_FANOUT]->page[page % ATOLL_PAGES_FANOUT];
    return p->bytes + (size_t)(index & ((1u << array->shift) - 1)) * array->element_bytes;
}

/* Element `index` < count, for writing; NULL where memory is short (the array is as before). */
void *atoll_array_edit(atoll_pager *pager, atoll_array *array, uint32_t index);

/* Grows to `count` elements, new ones zeroed. ATOLL_NO_MEMORY leaves the array usable with its old count. */
atoll_status atoll_array_grow(atoll_pager *pager, atoll_array *array, uint32_t count, atoll_error *error);

/* Retires every block; the array is empty afterwards. Frozen copies stay readable under the reclaimer's rule. */
void atoll_array_clear(atoll_pager *pager, atoll_array *array);

/* Bytes of the array's blocks. */
uint64_t atoll_array_bytes(const atoll_array *array);

/* For checkpoints. Pages number 0..page_count-1; bytes a page are the same for all. */
uint32_t atoll_array_page_count(const atoll_array *array);
size_t atoll_array_page_bytes(const atoll_array *array);
/* The page's payload if it was born after epoch `since`, else NULL. */
const void *atoll_array_page_since(const atoll_array *array, uint32_t page, uint64_t since);
/* Overwrites one page's payload from a checkpoint; `bytes` must be that of a page. ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
atoll_status atoll_array_load_page(atoll_pager *pager, atoll_array *array, uint32_t page, const void *data,
                                   size_t bytes, atoll_error *error);

#endif
