#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "retrieval/large.h"
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

/* After 64 blocks they come by large pages, whole or not. */
static void many_rows_lie_on_large_pages(void **state)
{
    (void)state;
    enum { DIM = 128, LIMIT = 71000 };
    atoll_vectors *rows = atoll_vectors_new(DIM, LIMIT);
    assert_non_null(rows);
    uint64_t empty = atoll_vectors_bytes(rows), block = ATOLL_VECTORS_BLOCK * DIM * sizeof(uint16_t);
    for (uint32_t i = 0; i < LIMIT; i++) {
        uint16_t *row = atoll_vectors_append(rows);
        assert_non_null(row);
        row[0] = (uint16_t)i;
        row[DIM - 1] = (uint16_t)(i / 3);
        if (i == 64 * ATOLL_VECTORS_BLOCK)
            assert_int_equal(atoll_vectors_bytes(rows) - empty, 64 * block + ATOLL_LARGE_PAGE);
    }
    assert_int_equal(atoll_vectors_bytes(rows) - empty, 64 * block + ATOLL_LARGE_PAGE);
    assert_int_equal((uintptr_t)atoll_vectors_at(rows, 64 * ATOLL_VECTORS_BLOCK) % ATOLL_LARGE_PAGE, 0);
    for (uint32_t i = 0; i < LIMIT; i++) {
        assert_int_equal(atoll_vectors_at(rows, i)[0], (uint16_t)i);
        assert_int_equal(atoll_vectors_at(rows, i)[DIM - 1], (uint16_t)(i / 3));
    }
    atoll_vectors_free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_move),
        cmocka_unit_test(many_rows_lie_on_large_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
