#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/client_session.h"
#include "tests/api/fake_server.h"

/* Answers with what the target names. */
static bool answer(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    if (strstr(request->target, "/known"))
        return fake_reply(fd, 404, "application/problem+json",
                          "{\"code\":\"unknown_expert\",\"error\":\"no expert 9\"}");
    if (strstr(request->target, "/detail"))
        return fake_reply(fd, 422, "application/problem+json", "{\"code\":\"from_the_future\",\"detail\":\"odd\"}");
    if (strstr(request->target, "/html"))
        return fake_reply(fd, 502, "text/html", "<h1>Bad gateway</h1>");
    if (strstr(request->target, "/broken"))
        return fake_reply(fd, 200, "application/json", "{\"a\":");
    if (strstr(request->target, "/list"))
        return fake_reply(fd, 200, "application/json", "[1]");
    return fake_reply(fd, 200, "application/json",
                      "{\"number\":1.5,\"integer\":-3,\"flag\":true,\"text\":\"a\\u0062\",\"null\":null}");
}

static void a_reply_is_read(void **state)
{
    (void)state;
    fake_server server;
    atoll_client_session session;
    atoll_json root;
    fake_server_start(&server, answer, NULL);
    assert_int_equal(atoll_client_session_open(server.url, "m", 5000, &session, NULL), ATOLL_OK);
    assert_int_equal(atoll_client_session_model(&session, "GET", "/stats", NULL, &root, NULL), ATOLL_OK);
    assert_true(atoll_client_number(root, "number", 0) == 1.5);
    assert_true(atoll_client_number(root, "integer", 0) == -3);
    assert_true(atoll_client_number(root, "text", 7) == 7);
    assert_int_equal(atoll_client_integer(root, "integer", 0), -3);
    assert_int_equal(atoll_client_integer(root, "number", 4), 4);
    assert_int_equal(atoll_client_integer(root, "missing", 4), 4);
    assert_true(atoll_client_flag(root, "flag", false));
    assert_true(atoll_client_flag(root, "null", true));
    assert_string_equal(atoll_client_string(root, "text", ""), "ab");
    assert_string_equal(atoll_client_string(root, "null", "otherwise"), "otherwise");
    assert_int_equal(atoll_client_session_model(&session, "GET", "/list", NULL, &root, NULL), ATOLL_OK);
    assert_int_equal(atoll_client_integer(root, "integer", 4), 4);
    atoll_client_session_close(&session);
    fake_server_stop(&server);
}

static void a_problem_becomes_its_status(void **state)
{
    (void)state;
    fake_server server;
    atoll_client_session session;
    atoll_client_reply reply;
    atoll_error error;
    atoll_json root;
    fake_server_start(&server, answer, NULL);
    assert_int_equal(atoll_client_session_open(server.url, "m", 5000, &session, NULL), ATOLL_OK);
    assert_int_equal(atoll_client_session_model(&session, "GET", "/known", NULL, &root, &error), ATOLL_UNKNOWN_EXPERT);
    assert_string_equal(error.detail, "no expert 9 (HTTP 404)");
    assert_int_equal(atoll_client_session_model(&session, "POST", "/detail", "{}", NULL, &error), ATOLL_BAD_REQUEST);
    assert_string_equal(error.detail, "odd (HTTP 422)");
    assert_int_equal(atoll_client_session_call(&session, "GET", "/html", NULL, NULL, 0, &reply, &root, &error),
                     ATOLL_BAD_REQUEST);
    assert_non_null(strstr(error.detail, "answered 502"));
    assert_int_equal(reply.status, 502);
    assert_int_equal(atoll_client_session_model(&session, "GET", "/broken", NULL, &root, &error), ATOLL_INVALID_JSON);
    assert_int_equal(atoll_client_session_model(&session, "GET", "/broken", NULL, NULL, &error), ATOLL_OK);
    atoll_client_session_close(&session);
    fake_server_stop(&server);
}

static void a_session_needs_a_name_and_an_address(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a b", "a/b", "ä",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    atoll_client_session session = {0};
    atoll_client_session_close(&session);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(atoll_client_session_open("http://a", bad[i], 5000, &session, NULL), ATOLL_INVALID_NAME);
    assert_int_equal(atoll_client_session_open("a", "m", 5000, &session, NULL), ATOLL_INVALID_VALUE);
    atoll_client_session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_read),
        cmocka_unit_test(a_problem_becomes_its_status),
        cmocka_unit_test(a_session_needs_a_name_and_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
