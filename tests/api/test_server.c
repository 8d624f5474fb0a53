#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "api/together.h"
#include "tests/api/harness.h"

static void probes_answer(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/livez", NULL, NULL, 200);
    assert_string_equal(reply.body, "{\"status\":\"live\"}");
    http_free(&reply);
    reply = expect(h, "HEAD", "/readyz", NULL, NULL, 200);
    assert_int_equal(reply.bytes, strlen("{\"status\":\"ready\"}"));
    assert_string_equal(reply.body, "");
    http_free(&reply);
}

static void one_connection_serves_many_requests(void **state)
{
    harness *h = *state;
    http_reply reply;
    int fd = http_connect(h->port);
    for (int i = 0; i < 20; i++) {
        assert_true(http_ask(fd, "GET", i % 2 ? "/v1/models" : "/nope", NULL, NULL, 0, &reply));
        assert_int_equal(reply.status, i % 2 ? 200 : 404);
        http_free(&reply);
        assert_true(http_ask(fd, "POST", "/v1/models/none/predict", JSON, "{}", 2, &reply));
        assert_int_equal(reply.status, 404);
        http_free(&reply);
    }
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    harness *h = *state;
    static const char two[] = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    http_reply first, second;
    int fd = http_connect(h->port);
    assert_true(http_send(fd, two, sizeof two - 1));
    assert_true(http_read(fd, false, &first) && http_read(fd, false, &second));
    assert_has(&first, "\"models\"");
    assert_has(&second, "live");
    http_free(&first);
    http_free(&second);
    close(fd);
}

static void wrong_paths_methods_and_types_are_refused(void **state)
{
    harness *h = *state;
    char allow[64];
    expect_problem(h, "GET", "/nope", NULL, NULL, 404, "unknown_path");
    expect_problem(h, "GET", "/v1/models/%zz", NULL, NULL, 400, "bad_request");
    expect_problem(h, "GET", "/livez?x=1", NULL, NULL, 400, "unknown_key");
    expect_problem(h, "POST", "/v1/models/m/ingest", "text/plain", "x", 415, "unsupported_media_type");
    expect_problem(h, "POST", "/v1/models/m/ingest", "application/jsonx", "{}", 415, "unsupported_media_type");
    expect_problem(h, "PUT", "/v1/models/m", NDJSON, "{}", 415, "unsupported_media_type");
    expect_problem(h, "POST", "/v1/models/none/predict", JSON "; charset=utf-8", "{\"records\":[]}", 404,
                   "unknown_model");
    http_reply reply = expect(h, "PATCH", "/v1/models/m", JSON, "{}", 405);
    assert_string_equal(http_header(&reply, "Allow", allow, sizeof allow), "GET, HEAD, PUT, DELETE");
    http_free(&reply);
    expect_problem(h, "BREW", "/v1/models/m/ingest", NULL, NULL, 405, "method_not_allowed");
}

static void framing_that_can_be_read_twice_is_refused(void **state)
{
    static const char *const bad[] = {
        "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
        "GET /livez HTTP/1.1\r\n\r\n",
    };
    harness *h = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        http_reply reply = http_raw(h->port, bad[i]);
        if (reply.status != 400)
            fail_msg("%d for %s", reply.status, bad[i]);
        http_free(&reply);
    }
}

static void equal_content_lengths_and_chunks_are_taken(void **state)
{
    harness *h = *state;
    http_reply reply = http_raw(h->port, "POST /v1/models/none/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                                         "Content-Length: 2\r\n\r\n{}");
    assert_int_equal(reply.status, 404);
    http_free(&reply);
    reply = http_raw(h->port, "PUT /v1/models/m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "4\r\n{\"se\r\n6\r\ned\":3}\r\n0\r\n\r\n");
    assert_int_equal(reply.status, 201);
    assert_has(&reply, "\"seed\":3");
    http_free(&reply);
}

static void large_headers_are_refused(void **state)
{
    harness *h = *state;
    size_t bytes = 256 * 1024;
    char *text = malloc(bytes + 1);
    int head = sprintf(text, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: ");
    memset(text + head, 'a', bytes - (size_t)head);
    text[bytes] = 0;
    http_reply reply = {0};
    int fd = http_connect(h->port);
    http_send(fd, text, bytes); /* the server may close before all is sent */
    if (http_read(fd, false, &reply))
        assert_int_equal(reply.status, 431);
    close(fd);
    http_free(&reply);
    free(text);
    char target[4096];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    target[3000] = 0;
    expect_problem(h, "GET", target, NULL, NULL, 400, "bad_request");
}

static void a_body_over_its_limit_is_refused(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    h.options.body_max_bytes = 4096;
    harness_start(&h);
    /* By its length, before any of it is sent; the connection then ends. */
    http_reply reply = http_raw(h.port,
                                "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
    assert_int_equal(reply.status, 413);
    assert_has(&reply, "\"code\":\"body_too_large\"");
    http_free(&reply);
    reply = http_raw(h.port, "DELETE /v1/models/m HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
    assert_int_equal(reply.status, 413);
    http_free(&reply);
    /* By what arrives, and then the connection may stay. */
    static const char head[] = "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    char chunk[1024 + 8];
    int fd = http_connect(h.port);
    int bytes = sprintf(chunk, "400\r\n");
    memset(chunk + bytes, ' ', 1024);
    memcpy(chunk + bytes + 1024, "\r\n", 2);
    assert_true(http_send(fd, head, sizeof head - 1));
    for (int i = 0; i < 8; i++)
        assert_true(http_send(fd, chunk, (size_t)bytes + 1026));
    assert_true(http_send(fd, "0\r\n\r\n", 5));
    assert_true(http_read(fd, false, &reply));
    assert_int_equal(reply.status, 413);
    http_free(&reply);
    assert_true(http_ask(fd, "GET", "/livez", NULL, NULL, 0, &reply));
    assert_int_equal(reply.status, 200);
    http_free(&reply);
    close(fd);
    harness_stop(&h);
    harness_delete(h.dir);
}

/* Sends a byte now and then until the server has had enough; false where it has not within HTTP_WAIT_S. */
static bool is_cut_off(int fd, const char *byte)
{
    for (int i = 0; i < HTTP_WAIT_S * 50; i++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        char in[256];
        if (poll(&ready, 1, 20) > 0 && recv(fd, in, sizeof in, MSG_DONTWAIT) <= 0)
            return true;
        if (!http_send(fd, byte, 1))
            return true;
    }
    return false;
}

static void slow_requests_are_cut_off(void **state)
{
    static const char slow_body[] = "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n";
    static const char slow_head[] = "GET /livez HTTP/1.1\r\nX-Slow: ";
    harness h;
    (void)state;
    harness_prepare(&h);
    h.options.body_deadline_ms = 1000; /* in which the last request must be read on a busy machine */
    h.options.idle_timeout_ms = 1000;
    harness_start(&h);
    int fd = http_connect(h.port);
    assert_true(http_send(fd, slow_body, sizeof slow_body - 1));
    assert_true(is_cut_off(fd, " "));
    close(fd);
    fd = http_connect(h.port);
    assert_true(http_send(fd, slow_head, sizeof slow_head - 1));
    assert_true(is_cut_off(fd, "x"));
    close(fd);
    http_reply reply = expect(&h, "GET", "/livez", NULL, NULL, 200);
    http_free(&reply);
    harness_stop(&h);
    harness_delete(h.dir);
}

/* A job that holds its worker until the gate opens. */
typedef struct gated {
    atoll_job job;
    pthread_mutex_t *gate;
    _Atomic int *entered;
} gated;

static void hold(atoll_job *job, atoll_worker *worker)
{
    gated *g = (gated *)(void *)job;
    (void)worker;
    atomic_fetch_add(g->entered, 1);
    pthread_mutex_lock(g->gate);
    pthread_mutex_unlock(g->gate);
}

static void a_full_queue_refuses_and_probes_still_answer(void **state)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    _Atomic int entered = 0;
    harness h;
    char retry[16];
    (void)state;
    harness_prepare(&h);
    h.options.workers = 2;
    h.options.queue_max = 1;
    harness_start(&h);
    gated jobs[3] = {{{NULL, hold}, &gate, &entered}, {{NULL, hold}, &gate, &entered}, {{NULL, hold}, &gate, &entered}};
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 2; i++)
        atoll_pool_push(h.service.pool, &jobs[i].job);
    while (atomic_load(&entered) < 2)
        sched_yield();
    atoll_pool_push(h.service.pool, &jobs[2].job);
    http_reply reply = expect(&h, "GET", "/v1/models", NULL, NULL, 429);
    assert_has(&reply, "\"code\":\"busy\"");
    assert_string_equal(http_header(&reply, "Retry-After", retry, sizeof retry), "1");
    http_free(&reply);
    reply = expect(&h, "GET", "/livez", NULL, NULL, 200);
    http_free(&reply);
    pthread_mutex_unlock(&gate);
    harness_stop(&h);
    harness_delete(h.dir);
}

static void small_predictions_need_no_worker(void **state)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    _Atomic int entered = 0;
    gated job = {{NULL, hold}, &gate, &entered};
    harness h;
    (void)state;
    harness_prepare(&h);
    h.options.workers = 1;
    harness_start(&h);
    http_reply reply = expect(&h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    pthread_mutex_lock(&gate);
    atoll_pool_push(h.service.pool, &job.job);
    reply = expect(&h, "POST", "/v1/models/m/predict", JSON, "{\"records\":[{\"text\":\"x\"}]}", 200);
    http_free(&reply);
    pthread_mutex_unlock(&gate);
    harness_stop(&h);
    harness_delete(h.dir);
}

/* About a text that takes its time, so that others come meanwhile. */
static int put_question(char *to, size_t room)
{
    char text[6000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 6 ? (char)('a' + i * i % 26) : ' ';
    return snprintf(to, room, "POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n"
                              "{\"records\":[{\"text\":\"%.*s\"}]}", sizeof text + 25, (int)sizeof text, text);
}

/* Each client asks again as soon as it has its answer: a loop answers some of them in a round, and looks at some of the
 * others more than once. */
static void more_predictions_than_a_round_takes_are_all_answered(void **state)
{
    enum { CLIENTS = 8 * ATOLL_TOGETHER_MOST, ANSWERS = 10 * CLIENTS };
    static char request[8192];
    int bytes = put_question(request, sizeof request);
    harness h;
    struct pollfd client[CLIENTS];
    (void)state;
    harness_prepare(&h);
    h.options.workers = 1; /* and one loop */
    harness_start(&h);
    http_reply reply = expect(&h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    for (int i = 0; i < CLIENTS; i++)
        client[i] = (struct pollfd){.fd = http_connect(h.port), .events = POLLIN};
    for (int i = 0; i < CLIENTS; i++)
        assert_true(http_send(client[i].fd, request, (size_t)bytes));
    for (int answers = 0; answers < ANSWERS;) {
        assert_true(poll(client, CLIENTS, HTTP_WAIT_S * 1000) > 0);
        for (int i = 0; i < CLIENTS; i++) {
            if (!client[i].revents)
                continue;
            assert_true(http_read(client[i].fd, false, &reply));
            assert_int_equal(reply.status, 200);
            http_free(&reply);
            assert_true(http_send(client[i].fd, request, (size_t)bytes));
            answers++;
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close(client[i].fd);
    harness_stop(&h);
    harness_delete(h.dir);
}

static void connections_over_the_limit_wait_for_room(void **state)
{
    static const char request[] = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    harness h;
    http_reply reply;
    int fds[4];
    (void)state;
    harness_prepare(&h);
    h.options.connections_max = 2;
    harness_start(&h);
    for (int i = 0; i < 4; i++) {
        fds[i] = http_connect(h.port);
        assert_true(http_send(fds[i], request, sizeof request - 1));
    }
    for (int i = 0; i < 4; i++) {
        struct pollfd next = {.fd = i < 2 ? fds[i + 2] : -1, .events = POLLIN};
        assert_true(http_read(fds[i], false, &reply));
        assert_int_equal(reply.status, 200);
        http_free(&reply);
        assert_int_equal(poll(&next, 1, 0), 0); /* two are open before it */
        close(fds[i]);
    }
    harness_stop(&h);
    harness_delete(h.dir);
}

static void a_draining_server_answers_probes_only(void **state)
{
    harness h;
    char connection[16];
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    atomic_store(&h.service.phase, ATOLL_PHASE_DRAINING);
    http_reply reply = expect(&h, "GET", "/readyz", NULL, NULL, 503);
    assert_has(&reply, "draining");
    http_free(&reply);
    reply = expect(&h, "GET", "/livez", NULL, NULL, 200);
    http_free(&reply);
    reply = expect(&h, "POST", "/v1/models/m/ingest", JSON, "{\"records\":[]}", 503);
    assert_has(&reply, "\"code\":\"shutting_down\"");
    assert_string_equal(http_header(&reply, "Connection", connection, sizeof connection), "close");
    http_free(&reply);
    assert_true(atoll_server_drain(h.server, 10000));
    harness_stop(&h);
    harness_delete(h.dir);
}

static void requests_that_wait_are_told_of_the_end(void **state)
{
    static const char waits[] = "{\"records\":[{\"text\":\"x\"}],\"min_version\":1000000,\"timeout_ms\":60000}";
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    _Atomic int entered = 0;
    gated job = {{NULL, hold}, &gate, &entered};
    harness h;
    http_reply reply;
    char request[512];
    (void)state;
    harness_prepare(&h);
    h.options.workers = 1;
    harness_start(&h);
    reply = expect(&h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    int bytes = snprintf(request, sizeof request,
                         "POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(waits), waits);
    int fd = http_connect(h.port);
    pthread_mutex_lock(&gate);
    atoll_pool_push(h.service.pool, &job.job);
    while (!atomic_load(&entered))
        sched_yield();
    assert_true(http_send(fd, request, (size_t)bytes));
    while (!atoll_pool_waiting(h.service.pool)) /* until the request has been let in */
        sched_yield();
    pthread_mutex_unlock(&gate);
    while (atoll_pool_waiting(h.service.pool)) /* until it runs, and finds that it has to wait */
        sched_yield();
    atomic_store(&h.service.phase, ATOLL_PHASE_DRAINING);
    assert_false(atoll_server_drain(h.server, 20));
    atoll_service_close(&h.service);
    assert_true(http_read(fd, false, &reply));
    assert_int_equal(reply.status, 503);
    assert_has(&reply, "\"code\":\"shutting_down\"");
    http_free(&reply);
    close(fd);
    assert_true(atoll_server_drain(h.server, 10000));
    atoll_server_stop(h.server);
    atoll_service_free(&h.service);
    harness_delete(h.dir);
}

static void clients_that_leave_do_no_harm(void **state)
{
    harness *h = *state;
    static const char part[] = "POST /v1/models/m/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n{\"rec";
    static const char whole[] = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    for (int i = 0; i < 20; i++) {
        int fd = http_connect(h->port);
        assert_true(http_send(fd, i % 2 ? part : whole, i % 2 ? sizeof part - 1 : sizeof whole - 1));
        close(fd);
    }
    http_reply reply = expect(h, "GET", "/v1/models", NULL, NULL, 200);
    http_free(&reply);
}

static void bad_addresses_do_not_start(void **state)
{
    static const char *const bad[] = {"", "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ":80"};
    harness *h = *state;
    atoll_options options = *h->service.options;
    atoll_service service = {.options = &options};
    atoll_server *server;
    atoll_error error;
    char taken[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.listen = bad[i];
        assert_int_equal(atoll_server_start(&service, &server, &error), ATOLL_INVALID_VALUE);
    }
    snprintf(taken, sizeof taken, "127.0.0.1:%u", h->port);
    options.listen = taken;
    assert_string_equal(atoll_server_address(h->server), taken);
    assert_int_equal(atoll_server_start(&service, &server, &error), ATOLL_IO);
    assert_non_null(strstr(error.detail, taken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(probes_answer, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(one_connection_serves_many_requests, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(wrong_paths_methods_and_types_are_refused, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(framing_that_can_be_read_twice_is_refused, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(equal_content_lengths_and_chunks_are_taken, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(large_headers_are_refused, harness_setup, harness_teardown),
        cmocka_unit_test(a_body_over_its_limit_is_refused),
        cmocka_unit_test(slow_requests_are_cut_off),
        cmocka_unit_test(a_full_queue_refuses_and_probes_still_answer),
        cmocka_unit_test(small_predictions_need_no_worker),
        cmocka_unit_test(more_predictions_than_a_round_takes_are_all_answered),
        cmocka_unit_test(connections_over_the_limit_wait_for_room),
        cmocka_unit_test(a_draining_server_answers_probes_only),
        cmocka_unit_test(requests_that_wait_are_told_of_the_end),
        cmocka_unit_test_setup_teardown(clients_that_leave_do_no_harm, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_addresses_do_not_start, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
