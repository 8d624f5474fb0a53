#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/counters.h"
#include "api/route.h"

static void every_route_is_whole_and_stands_once(void **state)
{
    (void)state;
    assert_true(atoll_route_count < ATOLL_FAMILIES_MAX);
    for (uint32_t i = 0; i < atoll_route_count; i++) {
        const atoll_route *route = &atoll_routes[i];
        assert_non_null(route->handle);
        assert_int_equal(route->path[0], '/');
        assert_true(!route->query || route->query[strlen(route->query) - 1] == ' ');
        assert_true(strcmp(route->method, "GET") || route->takes == ATOLL_TAKES_NOTHING);
        for (uint32_t k = 0; k < i; k++)
            assert_false(!strcmp(route->path, atoll_routes[k].path) && !strcmp(route->method, atoll_routes[k].method));
    }
}

static void every_route_finds_itself(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < atoll_route_count; i++) {
        atoll_target target;
        assert_int_equal(atoll_route_match(atoll_routes, atoll_route_count, atoll_routes[i].method,
                                           atoll_routes[i].path,
                                           &target, NULL), ATOLL_OK);
        assert_ptr_equal(target.route, &atoll_routes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_whole_and_stands_once),
        cmocka_unit_test(every_route_finds_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
