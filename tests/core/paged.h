/* What tests of paged structures share: a pager that has to end empty, and blocks that run out when told to. */
#ifndef ATOLL_TESTS_CORE_PAGED_H
#define ATOLL_TESTS_CORE_PAGED_H

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pages.h"
#include "core/rng.h"

/* Blocks that may still be had. Blocks come from aligned_alloc, which this takes the place of in the test program, and
 * from slabs, whose taking is wrapped (tests/CMakeLists.txt). */
static long blocks_left = LONG_MAX;

void *aligned_alloc(size_t alignment, size_t bytes)
{
    void *block;
    if (blocks_left <= 0)
        return NULL;
    if (blocks_left != LONG_MAX)
        blocks_left--;
    return posix_memalign(&block, alignment, bytes) ? NULL : block;
}

void *__real_atoll_slabs_take(atoll_slabs *slabs, size_t bytes);
void *__wrap_atoll_slabs_take(atoll_slabs *slabs, size_t bytes);

void *__wrap_atoll_slabs_take(atoll_slabs *slabs, size_t bytes)
{
    if (blocks_left <= 0)
        return NULL;
    if (blocks_left != LONG_MAX)
        blocks_left--;
    return __real_atoll_slabs_take(slabs, bytes);
}

static inline void pager_open(atoll_pager *pager)
{
    *pager = (atoll_pager){.reclaim = atoll_reclaim_new()};
    assert_non_null(pager->reclaim);
}

/* Every array of the pager has been cleared. */
static inline void pager_close(atoll_pager *pager)
{
    assert_int_equal(pager->live_bytes, 0);
    atoll_reclaim_free(pager->reclaim);
}

/* Equal but for rounding, of `tolerance` relative to the larger of 1 and the expected size. */
#define assert_near(value, expected, tolerance)                                                                       \
    do {                                                                                                              \
        double v_ = (value), e_ = (expected);                                                                         \
        if (!(fabs(v_ - e_) <= (tolerance) * fmax(1, fabs(e_))))                                                      \
            fail_msg("%s is %.9g, not %.9g", #value, v_, e_);                                                         \
    } while (0)

static inline void assert_arrays_equal(const atoll_array *a, const atoll_array *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->element_bytes, b->element_bytes);
    for (uint32_t i = 0; i < a->count; i++)
        assert_memory_equal(atoll_array_at(a, i), atoll_array_at(b, i), a->element_bytes);
}

static inline void fill_normal(atoll_rng *rng, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = atoll_rng_normal(rng);
}

#endif
