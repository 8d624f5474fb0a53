#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/client_http.h"
#include "core/json.h"
#include "tests/api/fake_server.h"

enum { TIMEOUT_MS = 300000, SHORT_MS = 50 };

typedef struct fixture {
    fake_server server;
    atoll_client_http *http;
    atoll_client_reply reply;
    atoll_error error;
} fixture;

static void begin(fixture *f, fake_answer answer, const void *arg, int64_t timeout_ms)
{
    fake_server_start(&f->server, answer, (void *)arg);
    assert_int_equal(atoll_client_http_open(f->server.url, timeout_ms, &f->http, &f->error), ATOLL_OK);
}

static void end(fixture *f)
{
    atoll_client_http_close(f->http);
    fake_server_stop(&f->server);
}

static atoll_status get(fixture *f, const char *target)
{
    return atoll_client_http_call(f->http, "GET", target, NULL, NULL, 0, &f->reply, &f->error);
}

static atoll_status post(fixture *f, const char *body)
{
    return atoll_client_http_call(f->http, "POST", "/", "text/plain", body, strlen(body), &f->reply, &f->error);
}

/* ---- what is sent ---- */

static bool echo(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    char body[1024];
    snprintf(body, sizeof body, "%s %s %s %s", request->method, request->target, request->type, request->body);
    return fake_reply(fd, 201, "Text/Plain; charset=utf-8", body);
}

static void a_request_arrives_as_it_was_given_and_the_connection_is_kept(void **state)
{
    (void)state;
    fixture f;
    begin(&f, echo, NULL, TIMEOUT_MS);
    assert_int_equal(post(&f, "hello\n"), ATOLL_OK);
    assert_int_equal(f.reply.status, 201);
    assert_string_equal(f.reply.type, "text/plain");
    assert_string_equal(f.reply.body, "POST / text/plain hello\n");
    assert_int_equal(f.reply.bytes, strlen(f.reply.body));
    for (int i = 0; i < ATOLL_JSON_PADDING; i++)
        assert_int_equal(f.reply.body[f.reply.bytes + (size_t)i], 0);
    assert_int_equal(get(&f, "/a?b=c"), ATOLL_OK);
    assert_string_equal(f.reply.body, "GET /a?b=c  ");
    assert_int_equal(post(&f, ""), ATOLL_OK);
    assert_string_equal(f.reply.body, "POST / text/plain ");
    assert_int_equal(f.server.connections, 1);
    end(&f);
}

static bool count_body(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    char body[32];
    size_t wrong = 0;
    for (size_t i = 0; i < request->bytes; i++)
        wrong += request->body[i] != (char)('a' + i % 23);
    snprintf(body, sizeof body, "%zu %zu", request->bytes, wrong);
    return fake_reply(fd, 200, "text/plain", body);
}

static void a_large_body_arrives_whole(void **state)
{
    (void)state;
    fixture f;
    size_t bytes = 20 << 20;
    char *body = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        body[i] = (char)('a' + i % 23);
    begin(&f, count_body, NULL, TIMEOUT_MS);
    assert_int_equal(atoll_client_http_call(f.http, "POST", "/", "text/plain", body, bytes, &f.reply, &f.error),
                     ATOLL_OK);
    assert_string_equal(f.reply.body, "20971520 0");
    free(body);
    end(&f);
}

/* ---- how replies are framed ---- */

/* Sends the given text byte by byte, so that every boundary falls somewhere. */
static bool drip(void *arg, const fake_request *request, int fd)
{
    (void)request;
    for (const char *at = arg; *at; at++)
        fake_send(fd, at, 1);
    return true;
}

static bool whole(void *arg, const fake_request *request, int fd)
{
    (void)request;
    fake_send_text(fd, arg);
    return true;
}

static bool whole_and_close(void *arg, const fake_request *request, int fd)
{
    return whole(arg, request, fd) && false;
}

static void chunks_are_joined(void **state)
{
    (void)state;
    fixture f;
    const char *reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n"
                        "5\r\nhello\r\nA;name=value\r\n, chunked \r\n5 \r\nworld\r\n0\r\nX-Trailer: yes\r\n\r\n";
    begin(&f, drip, reply, TIMEOUT_MS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(&f, "/"), ATOLL_OK);
        assert_string_equal(f.reply.body, "hello, chunked world");
        assert_string_equal(f.reply.type, "application/x-ndjson");
    }
    assert_int_equal(f.server.connections, 1);
    end(&f);
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    fixture f;
    const char *reply = "HTTP/1.1 100 Continue\r\n\r\n"
                        "HTTP/1.1 429 Busy\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nno";
    begin(&f, drip, reply, TIMEOUT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_OK);
    assert_int_equal(f.reply.status, 429);
    assert_int_equal(f.reply.retry_after_s, 3);
    assert_string_equal(f.reply.body, "no");
    end(&f);
}

static void a_pause_is_whole_seconds_or_none(void **state)
{
    static const struct {
        const char *value;
        uint32_t seconds;
    } cases[] = {{"0", 0}, {"120", 120}, {"99999999999999999999", UINT32_MAX}, {"4294967296", UINT32_MAX},
                 {"-1", 0}, {"Sun, 06 Nov 1994 08:49:37 GMT", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        char reply[128];
        snprintf(reply, sizeof reply, "HTTP/1.1 503 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
                 cases[i].value);
        begin(&f, whole, reply, TIMEOUT_MS);
        assert_int_equal(get(&f, "/"), ATOLL_OK);
        assert_int_equal(f.reply.retry_after_s, cases[i].seconds);
        end(&f);
    }
}

static void an_empty_reply_has_an_empty_body(void **state)
{
    (void)state;
    fixture f;
    begin(&f, whole, "HTTP/1.1 204 No Content\r\n\r\n", TIMEOUT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_OK);
    assert_int_equal(f.reply.status, 204);
    assert_int_equal(f.reply.bytes, 0);
    assert_string_equal(f.reply.body, "");
    assert_string_equal(f.reply.type, "");
    end(&f);
}

static void a_reply_without_length_ends_with_the_connection(void **state)
{
    (void)state;
    fixture f;
    begin(&f, whole_and_close, "HTTP/1.0 200 OK\r\n\r\nall of it", TIMEOUT_MS);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(get(&f, "/"), ATOLL_OK);
        assert_string_equal(f.reply.body, "all of it");
        assert_int_equal(f.server.connections, i);
    }
    end(&f);
}

/* ---- connections that end ---- */

static bool close_after_reply(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    fake_reply(fd, 200, "text/plain", request->body);
    return false;
}

static void a_connection_closed_between_calls_is_made_anew(void **state)
{
    (void)state;
    fixture f;
    begin(&f, close_after_reply, NULL, TIMEOUT_MS);
    assert_int_equal(post(&f, "one"), ATOLL_OK);
    char byte; /* the end of the connection has arrived once the next one is accepted, so make one */
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(strrchr(f.server.url, ':') + 1))};
    assert_int_equal(connect(other, (struct sockaddr *)&address, sizeof address), 0);
    fake_send_text(other, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(recv(other, &byte, 1, 0), 1);
    close(other);
    assert_int_equal(post(&f, "two"), ATOLL_OK);
    assert_string_equal(f.reply.body, "two");
    assert_int_equal(f.server.connections, 3);
    end(&f);
}

/* Answers the first request of a connection, breaks off at the second. */
static bool break_on_the_second(void *arg, const fake_request *request, int fd)
{
    int *last = arg;
    if (fd == *last) {
        *last = -1;
        return false;
    }
    *last = fd;
    return fake_reply(fd, 200, "text/plain", request->method);
}

static void a_get_is_sent_again_and_a_post_is_not(void **state)
{
    (void)state;
    fixture f;
    int last = -1;
    begin(&f, break_on_the_second, &last, TIMEOUT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_OK);
    assert_int_equal(get(&f, "/"), ATOLL_OK);
    assert_int_equal(f.server.connections, 2);
    assert_int_equal(f.server.requests, 3);
    assert_int_equal(post(&f, "x"), ATOLL_IO);
    assert_int_equal(f.error.status, ATOLL_IO);
    assert_int_equal(f.server.requests, 4);
    end(&f);
}

static bool refuse_unread(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    (void)request;
    fake_reply(fd, 200, "text/plain", "ok");
    return true;
}

static void a_server_that_is_not_there_is_told(void **state)
{
    (void)state;
    fixture f;
    begin(&f, refuse_unread, NULL, TIMEOUT_MS);
    fake_server_stop(&f.server);
    assert_int_equal(get(&f, "/"), ATOLL_IO);
    assert_non_null(strstr(f.error.detail, atoll_client_http_authority(f.http)));
    atoll_client_http_close(f.http);
}

static bool no_answer(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    (void)request;
    (void)fd;
    return true;
}

static void silence_ends_in_a_timeout(void **state)
{
    (void)state;
    fixture f;
    begin(&f, no_answer, NULL, SHORT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_TIMEOUT);
    assert_int_equal(f.error.status, ATOLL_TIMEOUT);
    end(&f);
}

/* ---- replies that cannot be used ---- */

static void broken_replies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        atoll_status status;
    } cases[] = {
        {"SSH-2.0-OpenSSH\r\n\r\n", ATOLL_IO},
        {"HTTP/2 200\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 20\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 12x\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n", ATOLL_BODY_TOO_LARGE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ATOLL_IO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", ATOLL_BODY_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        begin(&f, whole_and_close, cases[i].reply, TIMEOUT_MS);
        atoll_status status = get(&f, "/");
        if (status != cases[i].status)
            print_message("reply %zu: %s\n", i, f.error.detail);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(f.error.status, cases[i].status);
        end(&f);
    }
}

static bool endless_line(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    (void)request;
    char much[ATOLL_CLIENT_HTTP_LINE_MAX_BYTES];
    memset(much, 'a', sizeof much);
    fake_send_text(fd, "HTTP/1.1 200 OK\r\nX: ");
    fake_send(fd, much, sizeof much);
    return false;
}

static bool endless_headers(void *arg, const fake_request *request, int fd)
{
    (void)arg;
    (void)request;
    fake_send_text(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i <= ATOLL_CLIENT_HTTP_HEADERS_MAX; i++)
        fake_send_text(fd, "X: y\r\n");
    return false;
}

static void a_head_without_end_is_refused(void **state)
{
    (void)state;
    fixture f;
    begin(&f, endless_line, NULL, TIMEOUT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_IO);
    end(&f);
    begin(&f, endless_headers, NULL, TIMEOUT_MS);
    assert_int_equal(get(&f, "/"), ATOLL_IO);
    end(&f);
}

/* ---- addresses ---- */

static void urls_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "localhost:8080", "https://localhost", "http://", "http://:80", "http://[::1",
                                      "http://a:", "http://a:b", "http://a:123456", "http://a/b", "http://a?b"};
    atoll_client_http *http;
    atoll_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(atoll_client_http_open(bad[i], TIMEOUT_MS, &http, &error), ATOLL_INVALID_VALUE);
    assert_int_equal(atoll_client_http_open("http://[::1]:8080/", TIMEOUT_MS, &http, &error), ATOLL_OK);
    assert_string_equal(atoll_client_http_authority(http), "[::1]:8080");
    atoll_client_http_close(http);
    assert_int_equal(atoll_client_http_open("HTTP://example.test", TIMEOUT_MS, &http, NULL), ATOLL_OK);
    assert_string_equal(atoll_client_http_authority(http), "example.test:80");
    atoll_client_http_close(http);
    atoll_client_http_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives_as_it_was_given_and_the_connection_is_kept),
        cmocka_unit_test(a_large_body_arrives_whole),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(a_pause_is_whole_seconds_or_none),
        cmocka_unit_test(an_empty_reply_has_an_empty_body),
        cmocka_unit_test(a_reply_without_length_ends_with_the_connection),
        cmocka_unit_test(a_connection_closed_between_calls_is_made_anew),
        cmocka_unit_test(a_get_is_sent_again_and_a_post_is_not),
        cmocka_unit_test(a_server_that_is_not_there_is_told),
        cmocka_unit_test(silence_ends_in_a_timeout),
        cmocka_unit_test(broken_replies_are_refused),
        cmocka_unit_test(a_head_without_end_is_refused),
        cmocka_unit_test(urls_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
