#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/client_session.h"
#include "core/clock.h"
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

#define BODY(number, head, body) "HTTP/1.1 " number " X\r\nContent-Type: application/json\r\n" head body
#define BUSY "Content-Length: 28\r\n\r\n{\"code\":\"busy\",\"error\":\"no\"}"
#define TAKEN "Content-Length: 27\r\n\r\n{\"accepted\":1,\"rejected\":0}"

/* Answers with one text after another, the last for ever. */
static bool recite(void *arg, const fake_request *request, int fd)
{
    const char *const *text = arg;
    uint64_t number = request->number;
    while (number-- && text[1])
        text++;
    fake_send_text(fd, *text);
    return true;
}

/* Sends one record; how many requests that took. */
static uint64_t ingest(const char *const *replies, atoll_status expected, int64_t *took_ms)
{
    fake_server server;
    atoll_client_session session;
    atoll_json report;
    fake_server_start(&server, recite, (void *)replies);
    assert_int_equal(atoll_client_session_open(server.url, "m", 5000, &session, NULL), ATOLL_OK);
    int64_t start_ns = atoll_clock_monotonic_ns();
    assert_int_equal(atoll_client_session_ingest(&session, "{}\n", 3, true, &report, NULL), expected);
    *took_ms = (atoll_clock_monotonic_ns() - start_ns) / 1000000;
    if (expected == ATOLL_OK || expected == ATOLL_SHUTTING_DOWN)
        assert_int_equal(atoll_client_integer(report, "accepted", 0), 1);
    else
        assert_null(report.document);
    atoll_client_session_close(&session);
    fake_server_stop(&server);
    return server.requests;
}

static void what_was_not_taken_is_sent_again_when_the_server_says(void **state)
{
    int64_t took_ms;
    (void)state;
    const char *const soon[] = {BODY("429", "", BUSY), BODY("200", "", TAKEN), NULL};
    assert_int_equal(ingest(soon, ATOLL_OK, &took_ms), 2);
    const char *const later[] = {BODY("429", "Retry-After: 1\r\n", BUSY), BODY("503", "Retry-After: 1\r\n", BUSY),
                                 BODY("200", "", TAKEN), NULL};
    assert_int_equal(ingest(later, ATOLL_OK, &took_ms), 3);
    assert_true(took_ms >= 2000);
    const char *const much_later[] = {BODY("429", "Retry-After: 3600\r\n", BUSY), NULL};
    assert_int_equal(ingest(much_later, ATOLL_BUSY, &took_ms), 1);
}

/* Without Retry-After a 503 may mean that the records are on disk. */
static void what_may_have_been_taken_is_not_sent_again(void **state)
{
    int64_t took_ms;
    (void)state;
    const char *const kept[] = {
        BODY("503", "Content-Length: 50\r\n\r\n", "{\"code\":\"shutting_down\",\"accepted\":1,\"rejected\":2}"),
        NULL};
    assert_int_equal(ingest(kept, ATOLL_SHUTTING_DOWN, &took_ms), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_read),
        cmocka_unit_test(a_problem_becomes_its_status),
        cmocka_unit_test(what_was_not_taken_is_sent_again_when_the_server_says),
        cmocka_unit_test(what_may_have_been_taken_is_not_sent_again),
        cmocka_unit_test(a_session_needs_a_name_and_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
