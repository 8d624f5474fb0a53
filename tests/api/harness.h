/* A whole server inside the test program, on a free port and a folder of its own. */
#ifndef ATOLL_TESTS_API_HARNESS_H
#define ATOLL_TESTS_API_HARNESS_H

#include <ftw.h>

#include "api/server.h"
#include "core/log.h"
#include "tests/api/http.h"

#define JSON "application/json"
#define NDJSON "application/x-ndjson"

typedef struct harness {
    char dir[256];
    atoll_options options;
    atoll_service service;
    atoll_server *server;
    uint16_t port;
} harness;

static inline int harness_delete_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void harness_folder(char dir[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(dir, 256, "%s/atoll-api-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
}

static inline void harness_delete(const char *dir)
{
    nftw(dir, harness_delete_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Fills in what a test may change before harness_start. */
static inline void harness_prepare(harness *h)
{
    memset(h, 0, sizeof *h);
    harness_folder(h->dir);
    atoll_options_defaults(&h->options);
    h->options.data_dir = h->dir;
    h->options.listen = "127.0.0.1:0";
    h->options.map_bytes = 64 << 20;
    atoll_log_set_level(ATOLL_LOG_ERROR);
}

static inline void harness_start(harness *h)
{
    atoll_error error = {0};
    if (atoll_service_open(&h->service, &h->options, &error) || atoll_server_start(&h->service, &h->server, &error))
        fail_msg("%s", error.detail);
    atomic_store(&h->service.phase, ATOLL_PHASE_SERVING);
    h->port = atoll_server_port(h->server);
}

static inline void harness_stop(harness *h)
{
    atoll_service_close(&h->service);
    atoll_server_stop(h->server);
    atoll_service_free(&h->service);
}

static inline int harness_setup(void **state)
{
    static harness h;
    harness_prepare(&h);
    harness_start(&h);
    *state = &h;
    return 0;
}

static inline int harness_teardown(void **state)
{
    harness *h = *state;
    harness_stop(h);
    harness_delete(h->dir);
    return 0;
}

/* Calls and expects that status; the caller frees the reply. */
#define expect(h, method, target, type, body, http) \
    expect_at(h, method, target, type, body, http, __FILE__, __LINE__)

static inline http_reply expect_at(const harness *h, const char *method, const char *target, const char *type,
                                   const char *body, int http, const char *file, int line)
{
    http_reply reply = http_call(h->port, method, target, type, body);
    if (reply.status != http) {
        print_error("%s %s: %d, not %d: %s\n", method, target, reply.status, http, reply.body ? reply.body : "");
        _fail(file, line);
    }
    return reply;
}

/* The same, and a problem with that code. */
#define expect_problem(h, method, target, type, body, http, code) \
    expect_problem_at(h, method, target, type, body, http, code, __FILE__, __LINE__)

static inline void expect_problem_at(const harness *h, const char *method, const char *target, const char *type,
                                     const char *body, int http, const char *code, const char *file, int line)
{
    char wanted[96], got[96];
    http_reply reply = expect_at(h, method, target, type, body, http, file, line);
    snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code);
    if (!strstr(reply.body, wanted)) {
        print_error("%s %s: no %s in %s\n", method, target, wanted, reply.body);
        _fail(file, line);
    }
    assert_string_equal(http_header(&reply, "Content-Type", got, sizeof got), "application/problem+json");
    http_free(&reply);
}

/* A whole number of a JSON object, by its name at the top; -1 where it is not there. */
static inline int64_t number_in(const http_reply *reply, const char *name)
{
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root, value;
    int64_t number = -1;
    if (atoll_json_parse(parser, reply->body, reply->bytes, &root, NULL) || !atoll_json_member(root, name, &value) ||
        !atoll_json_int64(value, &number))
        number = -1;
    atoll_json_parser_free(parser);
    return number;
}

static inline void assert_has(const http_reply *reply, const char *text)
{
    if (!strstr(reply->body, text))
        fail_msg("no %s in %s", text, reply->body);
}

static inline void assert_has_not(const http_reply *reply, const char *text)
{
    if (strstr(reply->body, text))
        fail_msg("%s in %s", text, reply->body);
}

#endif
