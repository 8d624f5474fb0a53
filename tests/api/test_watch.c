#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "api/watch.h"
#include "core/clock.h"
#include "core/log.h"

static void only_what_is_late_is_shut_down(void **state)
{
    int late[2], early[2];
    char byte = 'x';
    atoll_watch *watch;
    (void)state;
    atoll_log_set_level(ATOLL_LOG_ERROR);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, late), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, early), 0);
    assert_int_equal(atoll_watch_start(1, &watch, NULL), ATOLL_OK);
    atoll_peer *a = atoll_watch_join(watch, early[0], INT64_MAX), *b = atoll_watch_join(watch, late[0], INT64_MAX);
    assert_true(a && b);
    atomic_store(&b->deadline_ns, atoll_clock_monotonic_ns() - 1);
    assert_int_equal(read(late[1], &byte, 1), 0); /* the end of the stream */
    assert_int_equal(atomic_load(&b->deadline_ns), INT64_MAX);
    assert_int_equal(write(early[0], "y", 1), 1);
    assert_int_equal(read(early[1], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    atoll_watch_leave(watch, b);
    atoll_watch_leave(watch, a);
    atoll_watch_stop(watch);
    atoll_watch_stop(NULL);
    for (int i = 0; i < 2; i++) {
        close(late[i]);
        close(early[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_late_is_shut_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
