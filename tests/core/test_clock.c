#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "core/clock.h"

static void wall_clock_is_unix_time(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL) * 1000, now = atoll_clock_wall_ms(), after = (int64_t)time(NULL) * 1000;
    /* time() may read a coarser clock, a tick behind. */
    assert_true(now >= before && now < after + 2000);
}

static void monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t first = atoll_clock_monotonic_ns(), last = first;
    for (int i = 0; i < 100000; i++) {
        int64_t now = atoll_clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(last > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_clock_is_unix_time),
        cmocka_unit_test(monotonic_clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
