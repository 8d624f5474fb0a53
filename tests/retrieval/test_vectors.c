#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "retrieval/vectors.h"

static void rows_do_not_move(void **state)
{
    (void)state;
    atoll_vectors *rows = atoll_vectors_new(24, 5000);
    assert_non_null(rows);
    uint64_t empty = atoll_vectors_bytes(rows);
    uint16_t *first = atoll_vectors_append(rows);
    for (uint32_t i = 0; i < 24; i++)
        first[i] = (uint16_t)i;
    for (uint32_t i = 1; i < 5000; i++) {
        uint16_t *row = atoll_vectors_append(rows);
        row[0] = (uint16_t)i;
        row[23] = (uint16_t)(i + 7);
    }
    assert_ptr_equal(atoll_vectors_at(rows, 0), first);
    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(first[i], i);
    for (uint32_t i = 1; i < 5000; i++) {
        assert_int_equal(atoll_vectors_at(rows, i)[0], i);
        assert_int_equal(atoll_vectors_at(rows, i)[23], i + 7);
    }
    assert_int_equal(rows->count, 5000);
    assert_int_equal(atoll_vectors_bytes(rows) - empty, 5 * 1024 * 24 * 2);
    atoll_vectors_free(rows);
    atoll_vectors_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
