#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static void the_page_needs_nothing_from_elsewhere(void **state)
{
    harness *h = *state;
    char type[64];
    http_reply reply = expect(h, "GET", "/", NULL, NULL, 200);
    assert_string_equal(http_header(&reply, "Content-Type", type, sizeof type), "text/html; charset=utf-8");
    assert_has(&reply, "<!doctype html>");
    assert_has(&reply, "/v1/models");
    assert_has_not(&reply, "http://");
    assert_has_not(&reply, "https://");
    assert_has_not(&reply, "innerHTML");
    http_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_page_needs_nothing_from_elsewhere, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
