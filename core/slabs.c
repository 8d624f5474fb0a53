#include "core/slabs.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(block, bytes) ((void)(block), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(block, bytes) ((void)(block), (void)(bytes))
#endif

/* A slab has 64 of the system's pages, so that one word tells which of them were touched. */
enum {
    OS_PAGE_BYTES = 4096,
    SLAB_BYTES = 64 * OS_PAGE_BYTES,
    REGION_SLABS = 64,
    REGION_BYTES = REGION_SLABS * SLAB_BYTES,
    BLOCKS_MAX = SLAB_BYTES / ATOLL_SLABS_LEAST_BYTES,
    WORDS = BLOCKS_MAX / 64,
    SIZES = ATOLL_SLABS_MOST_BYTES / ATOLL_SLABS_ALIGN + 1
};

typedef struct slab {
    uint64_t touched;      /* the system's pages, a bit each */
    uint64_t free[WORDS];  /* blocks, a bit each */
    uint16_t size;         /* of its blocks, in units of ATOLL_SLABS_ALIGN; 0 while it is empty */
    uint16_t used, blocks;
} slab;

/* What stands in the first of the system's pages of a region, which begins at a multiple of its size. */
typedef struct region {
    atoll_slabs *slabs;
    uint32_t first; /* number of its first slab */
} region;

struct atoll_slabs {
    pthread_mutex_t mutex;
    slab *slab; /* by number */
    region **region;
    uint32_t count, regions;
    uint32_t first_room[SIZES]; /* no slab of that size before this one has room */
    uint32_t first_empty;
    _Atomic uint64_t touched_bytes, spare_bytes;
    uint64_t used_bytes;
    uint64_t least_spare_bytes; /* since the last trim */
};

static unsigned char *slab_start(const atoll_slabs *slabs, uint32_t number)
{
    return (unsigned char *)slabs->region[number / REGION_SLABS] + (size_t)(number % REGION_SLABS) * SLAB_BYTES;
}

/* The region's head stands before the blocks of its first slab. */
static size_t head_bytes(uint32_t number)
{
    return number % REGION_SLABS ? 0 : OS_PAGE_BYTES;
}

/* The system's pages of a slab that block `b` lies in. */
static uint64_t pages_of(const slab *s, uint32_t number, uint32_t b)
{
    size_t bytes = (size_t)s->size * ATOLL_SLABS_ALIGN, start = head_bytes(number) + b * bytes;
    size_t first = start / OS_PAGE_BYTES, last = (start + bytes - 1) / OS_PAGE_BYTES;
    return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
}

static uint64_t bits_below(uint32_t count)
{
    return count >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1;
}

static void recount(atoll_slabs *slabs)
{
    uint64_t spare = slabs->touched_bytes - slabs->used_bytes;
    atomic_store_explicit(&slabs->spare_bytes, spare, memory_order_relaxed);
    if (spare < slabs->least_spare_bytes)
        slabs->least_spare_bytes = spare;
}

/* ---- regions ---- */

/* Twice the room is asked for, and what lies outside the multiple of its size goes back. */
static region *region_new(void)
{
    unsigned char *room = mmap(NULL, 2 * (size_t)REGION_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    size_t before = (REGION_BYTES - (uintptr_t)room % REGION_BYTES) % REGION_BYTES;
    if (before)
        munmap(room, before);
    munmap(room + before + REGION_BYTES, REGION_BYTES - before);
    return (region *)(void *)(room + before);
}

static bool add_region(atoll_slabs *slabs)
{
    slab *all = realloc(slabs->slab, (slabs->count + REGION_SLABS) * sizeof *all);
    if (!all)
        return false;
    slabs->slab = all;
    region **regions = realloc(slabs->region, (slabs->regions + 1) * sizeof *regions);
    if (!regions)
        return false;
    slabs->region = regions;
    region *fresh = region_new();
    if (!fresh)
        return false;
    *fresh = (region){slabs, slabs->count};
    slabs->region[slabs->regions++] = fresh;
    for (uint32_t i = 0; i < REGION_SLABS; i++)
        slabs->slab[slabs->count + i] = (slab){.touched = i == 0}; /* the head */
    slabs->count += REGION_SLABS;
    slabs->touched_bytes += OS_PAGE_BYTES;
    slabs->used_bytes += OS_PAGE_BYTES;
    return true;
}

atoll_slabs *atoll_slabs_new(void)
{
    atoll_slabs *slabs = calloc(1, sizeof *slabs);
    if (slabs)
        pthread_mutex_init(&slabs->mutex, NULL);
    return slabs;
}

void atoll_slabs_free(atoll_slabs *slabs)
{
    if (!slabs)
        return;
    for (uint32_t i = 0; i < slabs->count; i++)
        assert(!slabs->slab[i].used);
    for (uint32_t i = 0; i < slabs->regions; i++) {
        ASAN_UNPOISON_MEMORY_REGION(slabs->region[i], REGION_BYTES);
        munmap(slabs->region[i], REGION_BYTES);
    }
    pthread_mutex_destroy(&slabs->mutex);
    free(slabs->region);
    free(slabs->slab);
    free(slabs);
}

/* ---- blocks ---- */

static bool has_room(const slab *s)
{
    return s->used < s->blocks;
}

/* Makes an empty slab one of blocks of `size`. */
static void dedicate(atoll_slabs *slabs, uint32_t number, uint16_t size)
{
    slab *s = &slabs->slab[number];
    s->size = size;
    s->blocks = (uint16_t)((SLAB_BYTES - head_bytes(number)) / ((size_t)size * ATOLL_SLABS_ALIGN));
    for (uint32_t w = 0; w < WORDS; w++)
        s->free[w] = s->blocks > 64 * w ? bits_below(s->blocks - 64 * w) : 0;
}

/* The number of a slab with room for a block of `size`; slabs->count where memory is short. */
static uint32_t find_room(atoll_slabs *slabs, uint16_t size)
{
    uint32_t *first = &slabs->first_room[size];
    for (; *first < slabs->count; ++*first)
        if (slabs->slab[*first].size == size && has_room(&slabs->slab[*first]))
            return *first;
    uint32_t *empty = &slabs->first_empty;
    while (*empty < slabs->count && slabs->slab[*empty].size)
        ++*empty;
    if (*empty == slabs->count && !add_region(slabs))
        return slabs->count;
    dedicate(slabs, *empty, size);
    return *first = *empty;
}

void *atoll_slabs_take(atoll_slabs *slabs, size_t bytes)
{
    assert(atoll_slabs_serve(bytes));
    uint16_t size = (uint16_t)((bytes + ATOLL_SLABS_ALIGN - 1) / ATOLL_SLABS_ALIGN);
    unsigned char *block = NULL;
    pthread_mutex_lock(&slabs->mutex);
    uint32_t number = find_room(slabs, size);
    if (number < slabs->count) {
        slab *s = &slabs->slab[number];
        uint32_t w = 0;
        while (!s->free[w])
            w++;
        uint32_t b = 64 * w + (uint32_t)__builtin_ctzll(s->free[w]);
        s->free[w] &= s->free[w] - 1;
        s->used++;
        uint64_t fresh = pages_of(s, number, b) & ~s->touched;
        s->touched |= fresh;
        slabs->touched_bytes += (uint64_t)__builtin_popcountll(fresh) * OS_PAGE_BYTES;
        slabs->used_bytes += (uint64_t)size * ATOLL_SLABS_ALIGN;
        recount(slabs);
        block = slab_start(slabs, number) + head_bytes(number) + (size_t)b * size * ATOLL_SLABS_ALIGN;
        ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    }
    pthread_mutex_unlock(&slabs->mutex);
    return block;
}

void atoll_slabs_give(void *block)
{
    size_t offset = (uintptr_t)block % REGION_BYTES;
    const region *home = (const region *)(void *)((unsigned char *)block - offset);
    atoll_slabs *slabs = home->slabs;
    uint32_t number = home->first + (uint32_t)(offset / SLAB_BYTES);
    pthread_mutex_lock(&slabs->mutex);
    slab *s = &slabs->slab[number];
    size_t bytes = (size_t)s->size * ATOLL_SLABS_ALIGN, start = offset % SLAB_BYTES - head_bytes(number);
    uint32_t b = (uint32_t)(start / bytes);
    assert(s->used && start % bytes == 0 && !(s->free[b / 64] >> b % 64 & 1));
    ASAN_POISON_MEMORY_REGION(block, bytes);
    s->free[b / 64] |= UINT64_C(1) << b % 64;
    uint32_t *first = &slabs->first_room[s->size];
    if (--s->used == 0) {
        s->size = 0;
        first = &slabs->first_empty;
    }
    if (number < *first)
        *first = number;
    slabs->used_bytes -= bytes;
    recount(slabs);
    pthread_mutex_unlock(&slabs->mutex);
}

uint64_t atoll_slabs_held_bytes(const atoll_slabs *slabs)
{
    return atomic_load_explicit(&slabs->touched_bytes, memory_order_relaxed);
}

uint64_t atoll_slabs_spare_bytes(const atoll_slabs *slabs)
{
    return atomic_load_explicit(&slabs->spare_bytes, memory_order_relaxed);
}

/* ---- giving back ---- */

/* The system's pages that hold a part of a block in use, or the region's head. */
static uint64_t pages_in_use(const slab *s, uint32_t number)
{
    uint64_t pages = head_bytes(number) ? 1 : 0;
    for (uint32_t b = 0; s->size && b < s->blocks; b++)
        if (!(s->free[b / 64] >> b % 64 & 1))
            pages |= pages_of(s, number, b);
    return pages;
}

/* Returns the bytes let go. */
static uint64_t let_go(atoll_slabs *slabs, uint32_t number)
{
    slab *s = &slabs->slab[number];
    uint64_t pages = s->touched & ~pages_in_use(s, number), bytes = 0;
    while (pages) {
        uint32_t first = (uint32_t)__builtin_ctzll(pages);
        uint64_t ahead = ~(pages >> first); /* its lowest bit is where the run ends */
        uint32_t run = ahead ? (uint32_t)__builtin_ctzll(ahead) : 64;
        uint64_t mask = bits_below(run) << first;
        pages &= ~mask;
        if (madvise(slab_start(slabs, number) + (size_t)first * OS_PAGE_BYTES, (size_t)run * OS_PAGE_BYTES,
                    MADV_DONTNEED))
            continue;
        s->touched &= ~mask;
        bytes += (uint64_t)run * OS_PAGE_BYTES;
    }
    return bytes;
}

void atoll_slabs_trim(atoll_slabs *slabs, bool rest)
{
    pthread_mutex_lock(&slabs->mutex);
    uint64_t most = rest ? UINT64_MAX : slabs->least_spare_bytes, gone = 0;
    for (uint32_t number = slabs->count; number-- && gone < most;)
        gone += let_go(slabs, number);
    slabs->touched_bytes -= gone;
    slabs->least_spare_bytes = UINT64_MAX;
    recount(slabs);
    pthread_mutex_unlock(&slabs->mutex);
}

/* ---- the verifier ---- */

static const char *fault_of(const atoll_slabs *slabs, uint32_t number)
{
    const slab *s = &slabs->slab[number];
    uint32_t room = 0;
    for (uint32_t w = 0; s->size && w < WORDS; w++)
        room += (uint32_t)__builtin_popcountll(s->free[w]);
    if (s->size ? !s->used || s->used + room != s->blocks : s->used)
        return "has another number of blocks in use";
    if (pages_in_use(s, number) & ~s->touched)
        return "has blocks in pages that were not touched";
    if (s->size ? has_room(s) && number < slabs->first_room[s->size] : number < slabs->first_empty)
        return "would not be found";
    return NULL;
}

atoll_status atoll_slabs_verify(atoll_slabs *slabs, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    uint64_t touched = 0, used = (uint64_t)slabs->regions * OS_PAGE_BYTES;
    pthread_mutex_lock(&slabs->mutex);
    for (uint32_t number = 0; number < slabs->count && status == ATOLL_OK; number++) {
        const slab *s = &slabs->slab[number];
        const char *fault = fault_of(slabs, number);
        if (fault)
            status = atoll_fail(error, ATOLL_DAMAGED, "slab %u %s", number, fault);
        touched += (uint64_t)__builtin_popcountll(s->touched) * OS_PAGE_BYTES;
        used += (uint64_t)s->used * s->size * ATOLL_SLABS_ALIGN;
    }
    if (status == ATOLL_OK && (touched != slabs->touched_bytes || used != slabs->used_bytes))
        status = atoll_fail(error, ATOLL_DAMAGED, "slabs hold other bytes than they count");
    pthread_mutex_unlock(&slabs->mutex);
    return status;
}
