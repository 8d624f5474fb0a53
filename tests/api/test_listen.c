#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/listen.h"

static void addresses_that_cannot_be_read_are_refused(void **state)
{
    static const char *const bad[] = {"",          "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000",
                                      ":80",       "1.2.3.4:8 ", "[::1]",      "127.0.0.1:123456"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        atoll_listener listener;
        assert_int_equal(atoll_listen(bad[i], &listener, NULL), ATOLL_INVALID_VALUE);
        assert_int_equal(listener.socket, -1);
    }
}

static void a_free_port_is_found_and_told(void **state)
{
    atoll_listener listener, again;
    atoll_error error;
    char address[64];
    (void)state;
    assert_int_equal(atoll_listen("127.0.0.1:0", &listener, NULL), ATOLL_OK);
    assert_true(listener.port > 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", listener.port);
    assert_string_equal(listener.address, address);
    assert_int_equal(atoll_listen(address, &again, &error), ATOLL_IO);
    assert_non_null(strstr(error.detail, address));
    close(listener.socket);
}

static void connections_are_accepted_until_none_waits(void **state)
{
    atoll_listener listener;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)state;
    assert_int_equal(atoll_listen("127.0.0.1:0", &listener, NULL), ATOLL_OK);
    assert_int_equal(atoll_listener_accept(&listener), -1);
    to.sin_port = htons(listener.port);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    int accepted = atoll_listener_accept(&listener);
    assert_true(accepted >= 0);
    assert_int_equal(atoll_listener_accept(&listener), -1);
    assert_int_equal(atoll_listener_pause_ms(&listener), 0);
    listener.again_ns = INT64_MAX;
    assert_true(atoll_listener_pause_ms(&listener) > 0);
    close(accepted);
    close(client);
    close(listener.socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_cannot_be_read_are_refused),
        cmocka_unit_test(a_free_port_is_found_and_told),
        cmocka_unit_test(connections_are_accepted_until_none_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
