#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "retrieval/large.h"

static void many_pieces_come_on_large_pages(void **state)
{
    (void)state;
    const size_t bytes = ATOLL_LARGE_PAGE / 4;
    assert_int_equal(atoll_large_together(bytes, 0), 1);
    assert_int_equal(atoll_large_together(bytes, ATOLL_LARGE_FROM - 1), 1);
    assert_int_equal(atoll_large_together(bytes, ATOLL_LARGE_FROM), 4);
    assert_int_equal(atoll_large_together(3000, ATOLL_LARGE_FROM), 1); /* does not fill a page exactly */
    assert_int_equal(atoll_large_together(2 * ATOLL_LARGE_PAGE, ATOLL_LARGE_FROM), 1);
    unsigned char *one = atoll_large_piece(bytes, 5), *four = atoll_large_piece(bytes, ATOLL_LARGE_FROM);
    assert_true(one && four);
    memset(one, 7, bytes);
    memset(four, 7, ATOLL_LARGE_PAGE);
    assert_int_equal((uintptr_t)four % ATOLL_LARGE_PAGE, 0);
    assert_int_equal(four[ATOLL_LARGE_PAGE - 1], 7);
    free(one);
    free(four);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_pieces_come_on_large_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
