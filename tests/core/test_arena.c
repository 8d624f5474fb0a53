#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/rng.h"

enum { PIECES = 300 };

/* Takes pieces of random sizes, fills each with its number, and then finds every one as it was filled. */
static void fill_and_check(atoll_arena *arena, uint64_t seed)
{
    static unsigned char *piece[PIECES];
    static size_t bytes[PIECES];
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, 0);
    for (int i = 0; i < PIECES; i++) {
        bytes[i] = atoll_rng_below(&rng, i % 50 == 7 ? 300000 : 3000);
        piece[i] = atoll_arena_take(arena, bytes[i]);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        memset(piece[i], i, bytes[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t k = 0; k < bytes[i]; k++)
            assert_int_equal(piece[i][k], i & 255);
}

static void pieces_do_not_overlap(void **state)
{
    (void)state;
    atoll_arena arena;
    atoll_arena_init(&arena);
    atoll_arena_reset(&arena);
    for (uint64_t round = 0; round < 5; round++) {
        fill_and_check(&arena, round);
        atoll_arena_reset(&arena);
    }
    atoll_arena_free(&arena);
    assert_null(arena.first);
    fill_and_check(&arena, 9);
    atoll_arena_free(&arena);
    atoll_arena_free(&arena);
}

static void memory_comes_back_after_a_reset(void **state)
{
    (void)state;
    void *piece[PIECES];
    atoll_arena arena;
    atoll_arena_init(&arena);
    for (int i = 0; i < PIECES; i++)
        assert_non_null(piece[i] = atoll_arena_take(&arena, 1000));
    assert_true(atoll_arena_bytes(&arena) < PIECES * 1008 * 5 / 4 + 65536);
    atoll_arena_reset(&arena);
    assert_true(atoll_arena_bytes(&arena) < PIECES * 1008 + 100);
    for (int i = 0; i < PIECES; i++)
        assert_non_null(piece[i] = atoll_arena_take(&arena, 1000));
    for (int round = 0; round < 3; round++) {
        atoll_arena_reset(&arena);
        for (int i = 0; i < PIECES; i++)
            assert_ptr_equal(atoll_arena_take(&arena, 1000), piece[i]);
    }
    atoll_arena_free(&arena);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    atoll_arena arena;
    atoll_arena_init(&arena);
    assert_null(atoll_arena_take(&arena, SIZE_MAX));
    assert_null(atoll_arena_take(&arena, SIZE_MAX - 15));
    assert_non_null(atoll_arena_take(&arena, 0));
    unsigned char *piece = atoll_arena_take(&arena, 100);
    assert_non_null(piece);
    memset(piece, 1, 100);
    atoll_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(memory_comes_back_after_a_reset),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
