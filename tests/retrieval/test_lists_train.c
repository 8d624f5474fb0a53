#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "retrieval/lists.h"
#include "tests/retrieval/clustered.h"

static void training_is_repeatable(void **state)
{
    (void)state;
    void *data[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        atoll_lists *lists;
        assert_int_equal(atoll_lists_train(DIM, LISTS, COUNT, row, &lists, NULL), ATOLL_OK);
        assert_int_equal(atoll_lists_write(lists, &data[i], &bytes[i], NULL), ATOLL_OK);
        atoll_lists_free(lists);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    free(data[0]);
    free(data[1]);
}

static void few_or_equal_vectors_are_enough(void **state)
{
    (void)state;
    const uint16_t *same[LISTS];
    atoll_lists *lists;
    atoll_list_near near;
    for (int i = 0; i < LISTS; i++)
        same[i] = row[0];
    assert_int_equal(atoll_lists_train(DIM, LISTS, LISTS, row, &lists, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_nearest(lists, vectors, 1, &near), 1);
    atoll_lists_free(lists);
    assert_int_equal(atoll_lists_train(DIM, LISTS, LISTS, same, &lists, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_nearest(lists, vectors, 1, &near), 1);
    assert_int_equal(atoll_lists_add(lists, vectors, NULL), ATOLL_OK);
    atoll_lists_free(lists);
}

static void a_training_survives_writing(void **state)
{
    (void)state;
    atoll_lists *lists, *copy;
    void *data;
    size_t bytes;
    assert_int_equal(atoll_lists_train(DIM, LISTS, COUNT, row, &lists, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < 500; i++)
        assert_int_equal(atoll_lists_add(lists, vectors + (size_t)i * DIM, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_write(lists, &data, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_read(data, bytes, &copy, NULL), ATOLL_OK);
    assert_int_equal(atoll_lists_count(copy), 0);
    for (uint32_t i = 0; i < 500; i++)
        assert_int_equal(atoll_lists_add(copy, vectors + (size_t)i * DIM, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t position[2][20];
        uint32_t count = atoll_lists_search(lists, vectors + (size_t)i * DIM, 5, 20, position[0]);
        assert_int_equal(atoll_lists_search(copy, vectors + (size_t)i * DIM, 5, 20, position[1]), count);
        assert_memory_equal(position[0], position[1], count * sizeof(uint32_t));
    }
    atoll_lists_free(copy);
    atoll_lists_free(lists);

    assert_int_equal(atoll_lists_read(data, 7, &copy, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_lists_read(data, bytes - 1, &copy, NULL), ATOLL_DAMAGED);
    assert_null(copy);
    uint32_t *number = data;
    for (int i = 0; i < 4; i++) { /* version, dimension, lists, centres of centres */
        uint32_t before = number[i];
        const uint32_t wrong[] = {0, before + 1, 7, UINT32_MAX};
        for (int k = 0; k < 4; k++) {
            number[i] = wrong[k];
            assert_int_equal(atoll_lists_read(data, bytes, &copy, NULL), ATOLL_DAMAGED);
        }
        number[i] = before;
    }
    number[5] = number[6]; /* a centre of centres without lists */
    assert_int_equal(atoll_lists_read(data, bytes, &copy, NULL), ATOLL_DAMAGED);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_is_repeatable),
        cmocka_unit_test(few_or_equal_vectors_are_enough),
        cmocka_unit_test(a_training_survives_writing),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
