#include "core/pages.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void *block_new(atoll_pager *pager, size_t bytes)
{
    size_t whole = (bytes + ATOLL_PAGE_ALIGN - 1) / ATOLL_PAGE_ALIGN * ATOLL_PAGE_ALIGN;
    void *block = atoll_slabs_serve(bytes) ? atoll_slabs_take(atoll_reclaim_slabs(pager->reclaim), bytes)
                                           : aligned_alloc(ATOLL_PAGE_ALIGN, whole);
    if (block)
        pager->live_bytes += bytes;
    return block;
}

/* A block that nobody else has seen. */
static void block_free(atoll_pager *pager, void *block, size_t bytes)
{
    atoll_slabs_serve(bytes) ? atoll_slabs_give(block) : free(block);
    pager->live_bytes -= bytes;
}

/* Every block begins with its epoch. */
static void block_retire(atoll_pager *pager, void *block, size_t bytes)
{
    atoll_reclaim_retire(pager->reclaim, block, *(uint64_t *)block, bytes,
                         atoll_slabs_serve(bytes) ? atoll_slabs_give : free);
    pager->live_bytes -= bytes;
}

/* A copy of `old` that belongs to the current epoch; `old` is retired. */
static void *block_copy(atoll_pager *pager, void *old, size_t bytes)
{
    void *block = block_new(pager, bytes);
    if (!block)
        return NULL;
    memcpy(block, old, bytes);
    *(uint64_t *)block = atoll_reclaim_epoch(pager->reclaim);
    block_retire(pager, old, bytes);
    return block;
}

static size_t root_bytes(uint32_t directories)
{
    return sizeof(atoll_page_root) + directories * sizeof(atoll_page_directory *);
}

size_t atoll_array_page_bytes(const atoll_array *array)
{
    return (size_t)array->element_bytes << array->shift;
}

static size_t block_bytes(const atoll_array *array)
{
    return sizeof(atoll_page) + atoll_array_page_bytes(array) + ATOLL_PAGE_SLACK;
}

void atoll_array_init(atoll_array *array, uint32_t element_bytes)
{
    assert(element_bytes >= 1);
    *array = (atoll_array){.element_bytes = element_bytes};
    while (((size_t)element_bytes << (array->shift + 1)) <= ATOLL_PAGE_BYTES)
        array->shift++;
}

uint32_t atoll_array_page_count(const atoll_array *array)
{
    return (uint32_t)(((uint64_t)array->count + (1u << array->shift) - 1) >> array->shift);
}

static bool is_fresh(const atoll_page_directory *directory, uint32_t page)
{
    page %= ATOLL_PAGES_FANOUT;
    return directory->fresh[page / 64] >> page % 64 & 1;
}

/* Puts a page of the directory's own epoch into it. */
static void put_fresh(atoll_page_directory *directory, uint32_t page, atoll_page *fresh)
{
    page %= ATOLL_PAGES_FANOUT;
    directory->fresh[page / 64] |= UINT64_C(1) << page % 64;
    directory->page[page] = fresh;
}

/* The directory that holds `page`, owned by the current epoch; NULL where memory is short. */
static atoll_page_directory *directory_edit(atoll_pager *pager, atoll_array *array, uint32_t page)
{
    uint64_t epoch = atoll_reclaim_epoch(pager->reclaim);
    if (array->root->born != epoch) {
        void *root = block_copy(pager, array->root, root_bytes(array->root->directories));
        if (!root)
            return NULL;
        array->root = root;
    }
    atoll_page_directory **directory = &array->root->directory[page / ATOLL_PAGES_FANOUT];
    if ((*directory)->born != epoch) {
        atoll_page_directory *copy = block_copy(pager, *directory, sizeof **directory);
        if (!copy)
            return NULL;
        memset(copy->fresh, 0, sizeof copy->fresh);
        *directory = copy;
    }
    return *directory;
}

static atoll_page *page_edit(atoll_pager *pager, atoll_array *array, uint32_t page)
{
    atoll_page_directory *directory = array->root->directory[page / ATOLL_PAGES_FANOUT];
    if (directory->born == atoll_reclaim_epoch(pager->reclaim) && is_fresh(directory, page))
        return directory->page[page % ATOLL_PAGES_FANOUT];
    directory = directory_edit(pager, array, page);
    if (!directory)
        return NULL;
    atoll_page *copy = block_copy(pager, directory->page[page % ATOLL_PAGES_FANOUT], block_bytes(array));
    if (copy)
        put_fresh(directory, page, copy);
    return copy;
}

void *atoll_array_edit(atoll_pager *pager, atoll_array *array, uint32_t index)
{
    assert(index < array->count);
    atoll_page *page = page_edit(pager, array, index >> array->shift);
    return page ? page->bytes + (size_t)(index & ((1u << array->shift) - 1)) * array->element_bytes : NULL;
}

/* Makes room for `directories` directories, all present. */
static bool root_grow(atoll_pager *pager, atoll_array *array, uint32_t directories)
{
    uint32_t have = array->root ? array->root->directories : 0;
    if (directories <= have)
        return true;
    atoll_page_root *root = block_new(pager, root_bytes(directories));
    if (!root)
        return false;
    root->born = atoll_reclaim_epoch(pager->reclaim);
    root->directories = have;
    if (have)
        memcpy(root->directory, array->root->directory, have * sizeof *root->directory);
    while (root->directories < directories) {
        atoll_page_directory *directory = block_new(pager, sizeof *directory);
        if (!directory)
            break;
        memset(directory, 0, sizeof *directory);
        directory->born = root->born;
        root->directory[root->directories++] = directory;
    }
    if (root->directories < directories) {
        while (root->directories > have)
            block_free(pager, root->directory[--root->directories], sizeof(atoll_page_directory));
        block_free(pager, root, root_bytes(directories));
        return false;
    }
    if (array->root)
        block_retire(pager, array->root, root_bytes(have));
    array->root = root;
    return true;
}

atoll_status atoll_array_grow(atoll_pager *pager, atoll_array *array, uint32_t count, atoll_error *error)
{
    uint32_t have = atoll_array_page_count(array);
    atoll_array grown = *array;
    grown.count = count;
    uint32_t want = atoll_array_page_count(&grown);
    if (!root_grow(pager, array, (want + ATOLL_PAGES_FANOUT - 1) / ATOLL_PAGES_FANOUT))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an array of %u elements", count);
    for (uint32_t page = have; page < want; page++) {
        atoll_page_directory *directory = directory_edit(pager, array, page);
        /* A page left by a growth that failed half way is used now. */
        if (directory && directory->page[page % ATOLL_PAGES_FANOUT])
            continue;
        atoll_page *fresh = directory ? block_new(pager, block_bytes(array)) : NULL;
        if (!fresh)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an array of %u elements", count);
        fresh->born = atoll_reclaim_epoch(pager->reclaim);
        memset(fresh->bytes, 0, atoll_array_page_bytes(array));
        put_fresh(directory, page, fresh);
    }
    array->count = count;
    return ATOLL_OK;
}

void atoll_array_clear(atoll_pager *pager, atoll_array *array)
{
    for (uint32_t d = 0; array->root && d < array->root->directories; d++) {
        atoll_page_directory *directory = array->root->directory[d];
        for (uint32_t p = 0; p < ATOLL_PAGES_FANOUT; p++)
            if (directory->page[p])
                block_retire(pager, directory->page[p], block_bytes(array));
        block_retire(pager, directory, sizeof *directory);
    }
    if (array->root)
        block_retire(pager, array->root, root_bytes(array->root->directories));
    array->root = NULL;
    array->count = 0;
}

uint64_t atoll_array_bytes(const atoll_array *array)
{
    if (!array->root)
        return 0;
    return root_bytes(array->root->directories) + array->root->directories * sizeof(atoll_page_directory) +
           (uint64_t)atoll_array_page_count(array) * block_bytes(array);
}

const void *atoll_array_page_since(const atoll_array *array, uint32_t page, uint64_t since)
{
    const atoll_page_directory *directory = array->root->directory[page / ATOLL_PAGES_FANOUT];
    const atoll_page *p = directory->page[page % ATOLL_PAGES_FANOUT];
    return p->born > since ? p->bytes : NULL;
}

atoll_status atoll_array_load_page(atoll_pager *pager, atoll_array *array, uint32_t page, const void *data,
                                   size_t bytes, atoll_error *error)
{
    if (page >= atoll_array_page_count(array) || bytes != atoll_array_page_bytes(array))
        return atoll_fail(error, ATOLL_DAMAGED, "page %u of %zu bytes does not fit its array", page, bytes);
    atoll_page *p = page_edit(pager, array, page);
    if (!p)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a page");
    memcpy(p->bytes, data, bytes);
    return ATOLL_OK;
}
