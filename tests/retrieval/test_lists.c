#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/lists.h"
#include "tests/retrieval/clustered.h"

static atoll_lists *lists_with(uint32_t count)
{
    atoll_lists *lists;
    assert_int_equal(atoll_lists_train(DIM, LISTS, COUNT, row, &lists, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(atoll_lists_add(lists, vectors + (size_t)i * DIM, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_count(lists), count);
    return lists;
}

static void nearest_lists_come_first(void **state)
{
    (void)state;
    atoll_lists *lists = lists_with(0);
    atoll_list_near near[LISTS], one;
    assert_int_equal(atoll_lists_dim(lists), DIM);
    assert_in_range(atoll_lists_many(lists), LISTS / 2, 2 * LISTS);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t count = atoll_lists_nearest(lists, vectors + (size_t)i * DIM, LISTS, near);
        assert_int_equal(atoll_lists_nearest(lists, vectors + (size_t)i * DIM, 1, &one), 1);
        assert_true(count >= 8 && near[0].list == one.list);
        for (uint32_t k = 1; k < count; k++)
            assert_true(near[k].score <= near[k - 1].score && near[k].list < atoll_lists_many(lists));
    }
    uint32_t position[8];
    assert_int_equal(atoll_lists_search(lists, vectors, 4, 8, position), 0); /* nothing is there */
    atoll_lists_free(lists);
    atoll_lists_free(NULL);
}

static void one_list_holds_all(void **state)
{
    (void)state;
    enum { HELD = 2000 };
    static uint32_t position[HELD];
    static bool seen[HELD];
    atoll_lists *lists;
    assert_int_equal(atoll_lists_train(DIM, 1, COUNT, row, &lists, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_many(lists), 1);
    for (uint32_t i = 0; i < HELD; i++)
        assert_int_equal(atoll_lists_add(lists, vectors + (size_t)i * DIM, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_search(lists, vectors, 3, HELD, position), HELD);
    for (uint32_t i = 0; i < HELD; i++) {
        assert_true(position[i] < HELD && !seen[position[i]]);
        seen[position[i]] = true;
    }
    atoll_lists_free(lists);
}

/* How many of the first vectors are among the few candidates that the few lists nearest to them hold. */
static uint32_t found_by_codes(const atoll_lists *lists, uint32_t queries)
{
    enum { WANT = 8 };
    uint32_t position[WANT];
    uint32_t right = 0;
    for (uint32_t i = 0; i < queries; i++) {
        uint32_t found = atoll_lists_search(lists, vectors + (size_t)i * DIM, 2, WANT, position);
        assert_int_equal(found, WANT);
        for (uint32_t k = 0; k < found; k++)
            right += position[k] == i;
    }
    return right;
}

static void codes_find_the_best(void **state)
{
    (void)state;
    atoll_lists *lists = lists_with(COUNT), *copy;
    assert_true(found_by_codes(lists, 300) >= 295);
    assert_true(atoll_lists_bytes(lists) >= COUNT * (DIM / 4 + 4));
    /* A copy goes on like what it was copied from. */
    assert_int_equal(atoll_lists_copy(lists, &copy, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < 100; i++) {
        const float *vector = vectors + (size_t)(COUNT - 1 - i) * DIM;
        assert_int_equal(atoll_lists_add(lists, vector, NULL), ATOLL_OK);
        assert_int_equal(atoll_lists_add(copy, vector, NULL), ATOLL_OK);
    }
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t position[2][20];
        uint32_t count = atoll_lists_search(lists, vectors + (size_t)i * DIM, 5, 20, position[0]);
        assert_int_equal(atoll_lists_search(copy, vectors + (size_t)i * DIM, 5, 20, position[1]), count);
        assert_memory_equal(position[0], position[1], count * sizeof(uint32_t));
    }
    atoll_lists_free(lists);
    atoll_lists_free(copy);
}

static void of_equal_vectors_the_first_count(void **state)
{
    (void)state;
    enum { EQUAL = 2 * ATOLL_LISTS_WANT_MAX + 500, WANT = 30 };
    uint32_t position[WANT];
    atoll_lists *lists = lists_with(0);
    for (uint32_t i = 0; i < EQUAL; i++) { /* the best comes last, when more are held than are wanted */
        const float *vector = i + 1 < EQUAL ? vectors + (size_t)CLUSTERS * DIM : vectors;
        assert_int_equal(atoll_lists_add(lists, vector, NULL), ATOLL_OK);
    }
    assert_int_equal(atoll_lists_search(lists, vectors, LISTS, WANT, position), WANT);
    uint32_t best = 0;
    for (uint32_t i = 0; i < WANT; i++) {
        assert_true(position[i] < WANT || position[i] == EQUAL - 1);
        best += position[i] == EQUAL - 1;
    }
    assert_int_equal(best, 1);
    atoll_lists_free(lists);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_lists_come_first),
        cmocka_unit_test(one_list_holds_all),
        cmocka_unit_test(codes_find_the_best),
        cmocka_unit_test(of_equal_vectors_the_first_count),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
