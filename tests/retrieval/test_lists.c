#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"
#include "retrieval/lists.h"

enum { DIM = 64, COUNT = 3000, LISTS = 32, CLUSTERS = 50 };

static float vectors[COUNT * DIM];
static uint16_t halves[COUNT * DIM];
static const uint16_t *row[COUNT];

/* Unit vectors about a few centres. */
static int fill(void **state)
{
    (void)state;
    static float centre[CLUSTERS * DIM];
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 4);
    for (int i = 0; i < CLUSTERS * DIM; i++)
        centre[i] = atoll_rng_normal(&rng);
    for (int i = 0; i < COUNT; i++) {
        float square = 0, *vector = vectors + (size_t)i * DIM;
        for (int k = 0; k < DIM; k++) {
            vector[k] = centre[(size_t)(i % CLUSTERS) * DIM + k] + 0.4f * atoll_rng_normal(&rng);
            square += vector[k] * vector[k];
        }
        for (int k = 0; k < DIM; k++)
            vector[k] /= sqrtf(square);
        row[i] = halves + (size_t)i * DIM;
    }
    atoll_half_from_float(vectors, halves, COUNT * DIM);
    return 0;
}

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
    int64_t position[8];
    assert_int_equal(atoll_lists_search(lists, vectors, 4, 8, position, 8), 0); /* nothing is there */
    atoll_lists_free(lists);
    atoll_lists_free(NULL);
}

static void each_vector_is_found_once(void **state)
{
    (void)state;
    static int64_t position[COUNT];
    atoll_lists *lists = lists_with(COUNT);
    static bool seen[COUNT];
    memset(seen, 0, sizeof seen);
    uint32_t most = 2 * LISTS, found = atoll_lists_search(lists, vectors, most, COUNT, position, COUNT);
    for (uint32_t i = 0; i < found; i++) {
        assert_true(position[i] >= 0 && position[i] < COUNT && !seen[position[i]]);
        seen[position[i]] = true;
    }
    assert_true(found > COUNT / 2); /* all of the lists that are looked at */
    atoll_lists_free(lists);
}

/* How many of the first vectors are among the few candidates that the few lists nearest to them hold. */
static uint32_t found_by_codes(const atoll_lists *lists, uint32_t queries)
{
    enum { WANT = 8 };
    int64_t position[2 * WANT];
    uint32_t right = 0;
    for (uint32_t i = 0; i < queries; i++) {
        uint32_t found = atoll_lists_search(lists, vectors + (size_t)i * DIM, 2, WANT, position, 2 * WANT);
        assert_in_range(found, WANT, 2 * WANT);
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
        int64_t position[2][40];
        uint32_t count = atoll_lists_search(lists, vectors + (size_t)i * DIM, 5, 20, position[0], 40);
        assert_int_equal(atoll_lists_search(copy, vectors + (size_t)i * DIM, 5, 20, position[1], 40), count);
        assert_memory_equal(position[0], position[1], count * sizeof(int64_t));
    }
    atoll_lists_free(lists);
    atoll_lists_free(copy);
}

static void equal_vectors_are_bounded(void **state)
{
    (void)state;
    int64_t position[30];
    atoll_lists *lists = lists_with(0);
    for (uint32_t i = 0; i < 500; i++)
        assert_int_equal(atoll_lists_add(lists, vectors, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_search(lists, vectors, 1, 20, position, 30), 30);
    for (uint32_t i = 0; i < 30; i++)
        assert_int_equal(position[i], i); /* those that came first */
    atoll_lists_free(lists);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_lists_come_first),
        cmocka_unit_test(each_vector_is_found_once),
        cmocka_unit_test(codes_find_the_best),
        cmocka_unit_test(equal_vectors_are_bounded),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
