#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/rng.h"
#include "core/slabs.h"

enum { BLOCKS = 3000, OS_PAGE = 4096 };

typedef struct piece {
    unsigned char *block;
    size_t bytes;
    unsigned char mark;
} piece;

static void must_verify(atoll_slabs *slabs)
{
    atoll_error error;
    if (atoll_slabs_verify(slabs, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static piece take(atoll_slabs *slabs, size_t bytes, unsigned char mark)
{
    piece p = {atoll_slabs_take(slabs, bytes), bytes, mark};
    assert_non_null(p.block);
    assert_int_equal((uintptr_t)p.block % ATOLL_SLABS_ALIGN, 0);
    memset(p.block, mark, bytes);
    return p;
}

static void give(piece *p)
{
    for (size_t i = 0; i < p->bytes; i++)
        if (p->block[i] != p->mark)
            fail_msg("byte %zu of %zu was overwritten", i, p->bytes);
    atoll_slabs_give(p->block);
    p->block = NULL;
}

static size_t any_size(atoll_rng *rng)
{
    static const size_t common[] = {ATOLL_SLABS_LEAST_BYTES, 8000, 12345, 16480, 40000, ATOLL_SLABS_MOST_BYTES};
    return common[atoll_rng_below(rng, sizeof common / sizeof *common)];
}

static void serves_what_is_neither_small_nor_large(void **state)
{
    (void)state;
    assert_false(atoll_slabs_serve(0));
    assert_false(atoll_slabs_serve(ATOLL_SLABS_LEAST_BYTES - 1));
    assert_true(atoll_slabs_serve(ATOLL_SLABS_LEAST_BYTES));
    assert_true(atoll_slabs_serve(ATOLL_SLABS_MOST_BYTES));
    assert_false(atoll_slabs_serve(ATOLL_SLABS_MOST_BYTES + 1));
}

static void blocks_keep_apart_through_any_order(void **state)
{
    (void)state;
    atoll_slabs *slabs = atoll_slabs_new();
    atoll_rng rng;
    piece *p = calloc(BLOCKS, sizeof *p);
    assert_non_null(slabs);
    assert_non_null(p);
    atoll_rng_seed(&rng, 7, 0);
    for (uint32_t step = 0; step < 10 * BLOCKS; step++) {
        uint32_t i = atoll_rng_below(&rng, BLOCKS);
        if (p[i].block)
            give(&p[i]);
        else
            p[i] = take(slabs, any_size(&rng), (unsigned char)step);
        if (step % 5000 == 4999) {
            atoll_slabs_trim(slabs, step % 2);
            must_verify(slabs);
        }
    }
    for (uint32_t i = 0; i < BLOCKS; i++)
        if (p[i].block)
            give(&p[i]);
    must_verify(slabs);
    atoll_slabs_trim(slabs, true);
    must_verify(slabs);
    assert_int_equal(atoll_slabs_spare_bytes(slabs), 0);
    atoll_slabs_free(slabs);
    atoll_slabs_free(NULL);
    free(p);
}

static void the_lowest_room_is_taken_first(void **state)
{
    (void)state;
    enum { MANY = 100 };
    atoll_slabs *slabs = atoll_slabs_new();
    piece p[MANY];
    for (int i = 0; i < MANY; i++)
        p[i] = take(slabs, 16000, (unsigned char)i);
    unsigned char *low = p[3].block, *high = p[90].block;
    give(&p[90]);
    give(&p[3]);
    p[3] = take(slabs, 16000, 3);
    p[90] = take(slabs, 16000, 90);
    assert_ptr_equal(p[3].block, low);
    assert_ptr_equal(p[90].block, high);
    for (int i = 0; i < MANY; i++)
        give(&p[i]);
    /* What has become empty serves another size. */
    piece other = take(slabs, 9000, 1);
    assert_true(other.block <= low);
    give(&other);
    must_verify(slabs);
    atoll_slabs_free(slabs);
}

/* Whether the system holds a page at `address`. */
static bool resident(void *address)
{
    unsigned char in = 0;
    assert_int_equal(mincore((void *)((uintptr_t)address / OS_PAGE * OS_PAGE), 1, &in), 0);
    return in & 1;
}

static void what_is_spare_is_told_and_let_go(void **state)
{
    (void)state;
    enum { MANY = 200, NEEDED = 40, BYTES = 16384 };
    atoll_slabs *slabs = atoll_slabs_new();
    piece p[MANY];
    assert_int_equal(atoll_slabs_spare_bytes(slabs), 0);
    for (int i = 0; i < MANY; i++)
        p[i] = take(slabs, BYTES, (unsigned char)i);
    assert_int_equal(atoll_slabs_spare_bytes(slabs), 0);
    unsigned char *last = p[MANY - 1].block, *first = p[1].block;
    for (int i = 1; i < MANY; i++)
        give(&p[i]);
    assert_int_equal(atoll_slabs_spare_bytes(slabs), (MANY - 1) * BYTES);
    assert_true(resident(last));
    /* It was not spare all the time. */
    atoll_slabs_trim(slabs, false);
    assert_int_equal(atoll_slabs_spare_bytes(slabs), (MANY - 1) * BYTES);
    /* What was not needed since goes, from behind. */
    for (int i = 1; i <= NEEDED; i++)
        p[i] = take(slabs, BYTES, (unsigned char)i);
    for (int i = 1; i <= NEEDED; i++)
        give(&p[i]);
    atoll_slabs_trim(slabs, false);
    assert_in_range(atoll_slabs_spare_bytes(slabs), 1, NEEDED * BYTES);
    assert_false(resident(last));
    assert_true(resident(first));
    must_verify(slabs);
    atoll_slabs_trim(slabs, true);
    assert_int_equal(atoll_slabs_spare_bytes(slabs), 0);
    assert_false(resident(first));
    assert_true(resident(p[0].block));
    must_verify(slabs);
    give(&p[0]);
    atoll_slabs_free(slabs);
}

typedef struct hand {
    atoll_slabs *slabs;
    uint64_t seed;
    pthread_t thread;
} hand;

static void *churn(void *arg)
{
    enum { HELD = 64 };
    hand *h = arg;
    atoll_rng rng;
    piece p[HELD] = {{0}};
    atoll_rng_seed(&rng, h->seed, 0);
    for (int step = 0; step < 4000; step++) {
        uint32_t i = atoll_rng_below(&rng, HELD);
        if (p[i].block)
            give(&p[i]);
        p[i] = take(h->slabs, any_size(&rng), (unsigned char)h->seed);
        if (step % 1000 == 0)
            atoll_slabs_trim(h->slabs, true);
    }
    for (int i = 0; i < HELD; i++)
        if (p[i].block)
            give(&p[i]);
    return NULL;
}

static void several_threads_share_them(void **state)
{
    (void)state;
    atoll_slabs *slabs = atoll_slabs_new();
    hand hands[3];
    for (uint64_t i = 0; i < 3; i++) {
        hands[i] = (hand){.slabs = slabs, .seed = i + 1};
        assert_int_equal(pthread_create(&hands[i].thread, NULL, churn, &hands[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(hands[i].thread, NULL);
    must_verify(slabs);
    atoll_slabs_free(slabs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_what_is_neither_small_nor_large),
        cmocka_unit_test(blocks_keep_apart_through_any_order),
        cmocka_unit_test(the_lowest_room_is_taken_first),
        cmocka_unit_test(what_is_spare_is_told_and_let_go),
        cmocka_unit_test(several_threads_share_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
