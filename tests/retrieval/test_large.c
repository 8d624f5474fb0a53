#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "retrieval/large.h"

static void pieces_are_whole_pages(void **state)
{
    (void)state;
    unsigned char *piece = atoll_large_new(2 * ATOLL_LARGE_PAGE);
    assert_non_null(piece);
    assert_int_equal((uintptr_t)piece % ATOLL_LARGE_PAGE, 0);
    memset(piece, 7, 2 * ATOLL_LARGE_PAGE);
    assert_int_equal(piece[2 * ATOLL_LARGE_PAGE - 1], 7);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_whole_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
