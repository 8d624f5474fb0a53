/*
 * Bad input to a real server: each case gets its 4xx problem with its stable code, and leaves no trace in the model or
 * in the list of models. A full map refuses ingest and keeps serving; a damaged store refuses to start.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/client_session.h"
#include "core/limits.h"
#include "core/writer.h"
#include "tests/support/server.h"

#define JSON "application/json"
#define NDJSON "application/x-ndjson"
#define MODEL "/v1/models/m"

enum { TIMEOUT_MS = 600000, BODY_MAX_BYTES = 1 << 20, FULL_BATCHES_MOST = 200 };

typedef struct fixture {
    char top[128], dir[160];
    server_process server;
    atoll_client_session session;
} fixture;

static int start_with(void **state, const char *const *flags)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *state = f;
    if (!server_available())
        return 0;
    assert_true(folder_make(f->top));
    snprintf(f->dir, sizeof f->dir, "%s/data", f->top);
    assert_true(server_spawn(&f->server, f->dir, flags));
    assert_true(server_await(&f->server));
    assert_int_equal(atoll_client_session_open(f->server.url, "m", TIMEOUT_MS, &f->session, NULL), ATOLL_OK);
    return 0;
}

static int start(void **state)
{
    static const char *const flags[] = {"--body-max-bytes", "1048576", NULL};
    return start_with(state, flags);
}

static int start_small(void **state)
{
    static const char *const flags[] = {"--map-bytes", "8388608", NULL};
    return start_with(state, flags);
}

static int stop(void **state)
{
    fixture *f = *state;
    atoll_client_session_close(&f->session);
    server_kill(&f->server);
    if (*f->top)
        folder_remove(f->top);
    free(f);
    return 0;
}

/* ---- calling ---- */

static atoll_status call(fixture *f, const char *method, const char *target, const char *type, const char *body,
                         size_t bytes, atoll_client_reply *reply, atoll_error *error)
{
    return atoll_client_session_call(&f->session, method, target, type, body, bytes, reply, NULL, error);
}

static void teach(fixture *f, const char *model, const char *lines)
{
    char target[128];
    atoll_client_reply reply;
    atoll_error error = {0};
    snprintf(target, sizeof target, "/v1/models/%s/ingest?wait=trained", model);
    if (call(f, "POST", target, NDJSON, lines, strlen(lines), &reply, &error))
        print_error("teaching: %s\n", error.detail);
    assert_int_equal(reply.status, 200);
}

static bool put_name(void *arg, const char *name, atoll_json model)
{
    (void)name;
    fprintf(arg, "model %s\n", atoll_client_string(model, "name", "?"));
    return true;
}

/* What a case must not change, as text to free(): what the model has learned, and which models there are. */
static char *traces(fixture *f)
{
    static const char *const counts[] = {"version", "journal_last", "records", "labels", "exemplars", "vector_dim",
                                         "experts_active", "experts_candidate", "journal_bytes"};
    char *text;
    size_t bytes;
    atoll_json reply, models;
    FILE *out = open_memstream(&text, &bytes);
    assert_int_equal(atoll_client_session_model(&f->session, "GET", "/stats", NULL, &reply, NULL), ATOLL_OK);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        fprintf(out, "%s %" PRId64 "\n", counts[i], atoll_client_integer(reply, counts[i], -1));
    assert_int_equal(atoll_client_session_call(&f->session, "GET", "/v1/models", NULL, NULL, 0, NULL, &reply, NULL),
                     ATOLL_OK);
    assert_true(atoll_json_member(reply, "models", &models));
    assert_true(atoll_json_each(models, put_name, out));
    fclose(out);
    return text;
}

/* One request that must be refused. `names` is what the problem's text must name. */
typedef struct bad_case {
    const char *method, *target, *type, *body;
    int status;
    const char *code, *names;
} bad_case;

static void check_problem(fixture *f, const bad_case *c, size_t bytes)
{
    atoll_client_reply reply = {0};
    atoll_error error = {0};
    atoll_json problem;
    atoll_status status = call(f, c->method, c->target, c->type, c->body, bytes, &reply, &error);
    const char *about = c->body ? c->body : "";
    if (reply.status != c->status)
        print_error("%s %s %.80s: %d %.300s\n", c->method, c->target, about, reply.status,
                    reply.body ? reply.body : error.detail);
    assert_int_equal(reply.status, c->status);
    assert_true(status != ATOLL_OK);
    assert_string_equal(reply.type, "application/problem+json");
    assert_int_equal(atoll_json_parse(f->session.parser, reply.body, reply.bytes, &problem, NULL), ATOLL_OK);
    const char *code = atoll_client_string(problem, "code", ""), *text = atoll_client_string(problem, "error", "");
    if (strcmp(code, c->code) != 0 || (c->names && !strstr(text, c->names)))
        print_error("%s %s %.80s: %.300s\n", c->method, c->target, about, reply.body);
    assert_string_equal(code, c->code);
    assert_int_equal(atoll_client_integer(problem, "status", 0), c->status);
    assert_true(*text);
    assert_non_null(atoll_client_string(problem, "type", NULL));
    assert_non_null(atoll_client_string(problem, "title", NULL));
    if (c->names)
        assert_non_null(strstr(text, c->names));
}

static void check_cases(fixture *f, const bad_case *cases, size_t count)
{
    char *before = traces(f);
    for (size_t i = 0; i < count; i++) {
        check_problem(f, &cases[i], cases[i].body ? strlen(cases[i].body) : 0);
        char *after = traces(f);
        if (strcmp(before, after) != 0)
            print_error("%s %s %.80s left a trace\n", cases[i].method, cases[i].target,
                        cases[i].body ? cases[i].body : "");
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

#define CHECK(f, cases) check_cases(f, cases, sizeof(cases) / sizeof *(cases))

/* ---- what is refused ---- */

static void bad_records_are_refused(void **state)
{
    fixture *f = *state;
    static const bad_case cases[] = {
        {"POST", MODEL "/predict", JSON, "{\"records\":[", 400, "invalid_json", NULL},
        {"POST", MODEL "/predict", JSON, "", 400, "invalid_value", "records"},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"text\":\"a\xff\"}]}", 400, "invalid_utf8", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"id\":\"x\"}]}", 400, "empty_record", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"text\":\"\"}]}", 400, "empty_text", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"text\":\" \\n \"}]}", 400, "empty_text", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"vector\":[1,2,NaN]}]}", 400, "invalid_json", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"vector\":[1,2,1e39]}]}", 400, "not_finite", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"vector\":[1,2]}]}", 400, "wrong_dimension", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"text\":7}]}", 400, "invalid_record", NULL},
        {"POST", MODEL "/predict", JSON, "{\"records\":{}}", 400, "invalid_value", "records"},
        {"POST", MODEL "/predict", JSON, "{\"records\":[],\"tap\":3}", 400, "unknown_key", "tap"},
        {"POST", MODEL "/predict", JSON, "{\"records\":[{\"text\":\"a\"}],\"top\":0}", 400, "out_of_range", "top"},
        {"POST", MODEL "/predict?top=257", NDJSON, "{\"text\":\"a\"}\n", 400, "out_of_range", "top"},
        {"POST", MODEL "/ingest", NDJSON, "{\"text\":\"a\"}\n", 400, "missing_label", NULL},
        {"POST", MODEL "/ingest", NDJSON, "nonsense\n", 400, "invalid_json", NULL},
        {"POST", MODEL "/ingest", NDJSON, "{\"text\":\"a\xc3(\",\"label\":\"x\"}\n", 400, "invalid_utf8", NULL},
        {"POST", MODEL "/ingest", NDJSON, "{\"label\":\"x\"}\n", 400, "empty_record", NULL},
        {"POST", MODEL "/ingest", NDJSON, "{\"text\":\"\",\"label\":\"x\"}\n", 400, "empty_text", NULL},
        {"POST", MODEL "/ingest", NDJSON, "{\"vector\":[1,2],\"label\":\"x\"}\n", 400, "wrong_dimension", NULL},
        {"POST", MODEL "/ingest", NDJSON, "{\"vector\":[1,2,-1e39],\"label\":\"x\"}\n", 400, "not_finite", NULL},
        {"POST", MODEL "/ingest", JSON, "{\"records\":[{\"text\":\"a\"}]}", 400, "missing_label", NULL},
        {"POST", MODEL "/ingest?wait=ever", NDJSON, "{\"text\":\"a\",\"label\":\"x\"}\n", 400, "invalid_value", "wait"},
    };
    if (!server_available())
        skip();
    teach(f, "m", "{\"text\":\"a word\",\"label\":\"x\"}\n{\"vector\":[1,2,3],\"label\":\"y\"}\n");
    CHECK(f, cases);
}

/* A record with `bytes` letters in one member. */
static char *long_member(const char *name, size_t bytes)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    bool is_text = strcmp(name, "text") == 0;
    fprintf(out, "{\"%s\":\"a\",\"%s\":\"", is_text ? "label" : "text", name);
    for (size_t i = 0; i < bytes; i++)
        fputc('b', out);
    fputs("\"}\n", out);
    fclose(out);
    return text;
}

static void what_is_too_long_is_refused(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *name, *code;
        size_t most;
    } members[] = {
        {"label", "label_too_long", ATOLL_LABEL_MAX_BYTES},
        {"text", "text_too_long", ATOLL_TEXT_MAX_BYTES},
    };
    if (!server_available())
        skip();
    teach(f, "m", "{\"text\":\"a word\",\"label\":\"x\"}\n");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char *body = long_member(members[i].name, members[i].most + 1);
        const bad_case one[] = {{"POST", MODEL "/ingest", NDJSON, body, 400, members[i].code, NULL}};
        CHECK(f, one);
        free(body);
        body = long_member(members[i].name, members[i].most);
        teach(f, "m", body);
        free(body);
    }
    char *body = long_member("text", BODY_MAX_BYTES);
    const bad_case whole[] = {{"POST", MODEL "/ingest", NDJSON, body, 413, "body_too_large", NULL},
                              {"POST", MODEL "/predict", JSON, body, 413, "body_too_large", NULL}};
    CHECK(f, whole);
    free(body);
}

static void what_is_not_there_is_told(void **state)
{
    fixture *f = *state;
    static const bad_case cases[] = {
        {"GET", "/v1/models/none", NULL, NULL, 404, "unknown_model", NULL},
        {"GET", "/v1/models/none/stats", NULL, NULL, 404, "unknown_model", NULL},
        {"GET", "/v1/models/none/experts", NULL, NULL, 404, "unknown_model", NULL},
        {"DELETE", "/v1/models/none", NULL, NULL, 404, "unknown_model", NULL},
        {"POST", "/v1/models/none/predict", JSON, "{\"records\":[{\"text\":\"a\"}]}", 404, "unknown_model", NULL},
        {"POST", "/v1/models/none/prune", JSON, "{}", 404, "unknown_model", NULL},
        {"POST", "/v1/models/none/ingest", NDJSON, "{\"text\":\"\",\"label\":\"x\"}\n", 400, "empty_text", NULL},
        {"POST", "/v1/models/none/ingest", NDJSON, "nonsense\n", 400, "invalid_json", NULL},
        {"GET", MODEL "/experts/999", NULL, NULL, 404, "unknown_expert", NULL},
        {"POST", MODEL "/experts/999/restore", NULL, NULL, 404, "unknown_expert", NULL},
        {"POST", MODEL "/experts/0/restore", NULL, NULL, 409, "wrong_state", NULL},
        {"GET", "/v1/nothing", NULL, NULL, 404, "unknown_path", NULL},
        {"GET", MODEL "/nothing", NULL, NULL, 404, "unknown_path", NULL},
        {"POST", MODEL "/predict", "text/plain", "a", 415, "unsupported_media_type", NULL},
        {"POST", MODEL "/ingest", "application/xml", "<a/>", 415, "unsupported_media_type", NULL},
        {"PUT", MODEL, NDJSON, "{}", 415, "unsupported_media_type", NULL},
        {"PUT", "/v1/models/a:b", JSON, "{}", 400, "invalid_name", NULL},
        {"PUT", "/v1/models/..", JSON, "{}", 400, "invalid_name", NULL},
    };
    if (!server_available())
        skip();
    teach(f, "m", "{\"text\":\"a word\",\"label\":\"x\"}\n");
    CHECK(f, cases);
}

static void bad_configurations_are_refused_by_name(void **state)
{
    fixture *f = *state;
    static const bad_case cases[] = {
        {"PUT", MODEL, JSON, "{\"experts\":{\"hiden\":64}}", 400, "unknown_key", "experts.hiden"},
        {"PUT", MODEL, JSON, "{\"routing\":{\"top_k\":0}}", 400, "out_of_range", "routing.top_k"},
        {"PUT", MODEL, JSON, "{\"routing\":{\"top_k\":\"two\"}}", 400, "invalid_value", "routing.top_k"},
        {"PUT", MODEL, JSON, "{\"pruning\":{\"schedule\":\"99 * * * *\"}}", 400, "invalid_cron", "pruning.schedule"},
        {"PUT", MODEL, JSON, "{\"pruning\":{\"idle_after\":\"soon\"}}", 400, "invalid_value", "pruning.idle_after"},
        {"PUT", MODEL, JSON, "{\"experts\":{\"hidden\":128}}", 409, "fixed_setting", "experts.hidden"},
        {"PUT", MODEL, JSON, "{\"experts\":", 400, "invalid_json", NULL},
        {"PUT", MODEL, JSON, "[]", 400, "invalid_value", NULL},
        {"PUT", "/v1/models/new", JSON, "{\"seed\":-1}", 400, "out_of_range", "seed"},
        {"PUT", "/v1/models/new", JSON, "{\"seeds\":1}", 400, "unknown_key", "seeds"},
        {"PUT", MODEL "/schedule", JSON, "{\"schedule\":\"every day\"}", 400, "invalid_cron", NULL},
        {"PUT", MODEL "/schedule", JSON, "{\"when\":\"* * * * *\"}", 400, "unknown_key", "when"},
        {"POST", MODEL "/prune", JSON, "{\"dry_run\":1}", 400, "invalid_value", "dry_run"},
        {"POST", MODEL "/prune", JSON, "{\"dry\":true}", 400, "unknown_key", "dry"},
    };
    if (!server_available())
        skip();
    teach(f, "m", "{\"text\":\"a word\",\"label\":\"x\"}\n");
    CHECK(f, cases);
}

static void a_wrong_method_is_told_with_those_allowed(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *method, *target, *allowed;
    } cases[] = {
        {"DELETE", MODEL "/predict", "POST"}, {"GET", MODEL "/ingest", "POST"},  {"PATCH", MODEL, "PUT"},
        {"DELETE", MODEL "/schedule", "PUT"}, {"POST", MODEL "/stats", "GET"},
    };
    if (!server_available())
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[4096];
        size_t bytes = 0;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                      .sin_port = htons((uint16_t)f->server.port)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        int length = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                              cases[i].method, cases[i].target);
        assert_int_equal(send(fd, text, (size_t)length, MSG_NOSIGNAL), length);
        for (ssize_t got; (got = recv(fd, text + bytes, sizeof text - 1 - bytes, 0)) > 0;)
            bytes += (size_t)got;
        text[bytes] = 0;
        close(fd);
        assert_memory_equal(text, "HTTP/1.1 405 ", 13);
        assert_non_null(strstr(text, "method_not_allowed"));
        char *allow = strcasestr(text, "\r\nAllow:");
        assert_non_null(allow);
        allow[strcspn(allow + 2, "\r") + 2] = 0;
        assert_non_null(strstr(allow, cases[i].allowed));
    }
}

/* ---- what is taken beside it ---- */

static bool put_error(void *arg, const char *name, atoll_json error)
{
    (void)name;
    fprintf(arg, "%" PRId64 " %s\n", atoll_client_integer(error, "line", -1), atoll_client_string(error, "code", "?"));
    return true;
}

static void bad_lines_are_reported_and_the_others_taken(void **state)
{
    fixture *f = *state;
    const char *lines = "{\"text\":\"one\",\"label\":\"x\"}\n"
                        "nonsense\n"
                        "\n"
                        "{\"text\":\"two\",\"label\":\"y\"}\r\n"
                        "{\"text\":\"three\"}\n"
                        "{\"text\":\"four\",\"label\":\"x\"}";
    atoll_json report, errors, stats;
    if (!server_available())
        skip();
    assert_int_equal(atoll_client_session_ingest(&f->session, lines, strlen(lines), true, &report, NULL), ATOLL_OK);
    assert_int_equal(atoll_client_integer(report, "accepted", -1), 3);
    assert_int_equal(atoll_client_integer(report, "rejected", -1), 2);
    assert_int_equal(atoll_client_integer(report, "last_seq", -1) - atoll_client_integer(report, "first_seq", 0), 2);
    assert_true(atoll_json_member(report, "errors", &errors));
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_true(atoll_json_each(errors, put_error, out));
    fclose(out);
    assert_string_equal(text, "2 invalid_json\n5 missing_label\n");
    free(text);
    assert_int_equal(atoll_client_session_model(&f->session, "GET", "/stats", NULL, &stats, NULL), ATOLL_OK);
    assert_int_equal(atoll_client_integer(stats, "records", -1), 3);
}

/* Text without a letter or a digit is text all the same to a check that reads no further: taken or refused, it must
 * not stop the learning. */
static void a_text_without_a_word_does_no_harm(void **state)
{
    fixture *f = *state;
    const char *lines = "{\"text\":\"!? --\",\"label\":\"x\"}\n{\"text\":\"a word\",\"label\":\"y\"}\n";
    atoll_json report, stats;
    if (!server_available())
        skip();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(atoll_client_session_ingest(&f->session, lines, strlen(lines), true, &report, NULL), ATOLL_OK);
        assert_true(atoll_client_integer(report, "accepted", -1) >= 1);
    }
    assert_int_equal(atoll_client_session_model(&f->session, "GET", "/stats", NULL, &stats, NULL), ATOLL_OK);
    assert_string_equal(atoll_client_string(stats, "failure", ""), "");
    atoll_status status = atoll_client_session_model(&f->session, "POST", "/predict",
                                                     "{\"records\":[{\"text\":\"!? --\"}]}", NULL, NULL);
    assert_true(status == ATOLL_OK || status == ATOLL_EMPTY_TEXT);
}

/* ---- no space ---- */

static void a_full_map_refuses_ingest_and_keeps_serving(void **state)
{
    fixture *f = *state;
    atoll_writer lines;
    atoll_json reply;
    atoll_error error = {0};
    atoll_status status = ATOLL_OK;
    int64_t acknowledged = 0, version = 0;
    if (!server_available())
        skip();
    atoll_writer_init(&lines);
    /* Long texts of few words: much to write and little to learn. */
    for (int i = 0; i < 10; i++) {
        atoll_writer_format(&lines, "{\"label\":\"l%d\",\"text\":\"", i % 7);
        for (int word = 0; word < 6000; word++)
            atoll_writer_format(&lines, "w%d ", i + word % 4);
        atoll_writer_text(&lines, "\"}\n");
    }
    assert_false(lines.failed);
    for (int i = 0; i < FULL_BATCHES_MOST && !status; i++) {
        status = atoll_client_session_ingest(&f->session, lines.data, lines.bytes, false, &reply, &error);
        if (!status) {
            acknowledged = atoll_client_integer(reply, "last_seq", 0);
            version = atoll_client_integer(reply, "version", 0);
        }
    }
    assert_int_equal(status, ATOLL_NO_SPACE);
    assert_non_null(strstr(error.detail, "507"));
    assert_true(acknowledged >= 100);
    /* It answers, and whatever was acknowledged is learned in the end. */
    char body[160];
    snprintf(body, sizeof body, "{\"records\":[{\"text\":\"w1 w2\"}],\"min_version\":%" PRId64
             ",\"timeout_ms\":%d}", version, TIMEOUT_MS);
    assert_int_equal(atoll_client_session_model(&f->session, "POST", "/predict", body, NULL, &error), ATOLL_OK);
    assert_int_equal(atoll_client_session_model(&f->session, "GET", "/stats", NULL, &reply, NULL), ATOLL_OK);
    assert_true(atoll_client_integer(reply, "records", 0) >= acknowledged);
    assert_int_equal(atoll_client_session_ingest(&f->session, lines.data, lines.bytes, false, &reply, NULL),
                     ATOLL_NO_SPACE);
    assert_int_equal(atoll_client_session_model(&f->session, "POST", "/predict", body, NULL, &error), ATOLL_OK);
    atoll_writer_free(&lines);
}

/* ---- a store that cannot be used ---- */

static void a_damaged_store_refuses_to_start_and_says_why(void **state)
{
    fixture *f = *state;
    char path[256], noise[16384], log[4096] = "";
    if (!server_available())
        skip();
    teach(f, "m", "{\"text\":\"a word\",\"label\":\"x\"}\n");
    assert_int_equal(server_terminate(&f->server), 0);
    snprintf(path, sizeof path, "%s/models/m/journal/data.mdb", f->dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(fwrite(noise, 1, sizeof noise, file), sizeof noise);
    fclose(file);
    snprintf(path, sizeof path, "%s.log", f->dir);
    unlink(path);
    assert_true(server_spawn(&f->server, f->dir, NULL));
    assert_false(server_await(&f->server));
    assert_int_equal(server_wait(&f->server), 1);
    file = fopen(path, "r");
    assert_non_null(file);
    log[fread(log, 1, sizeof log - 1, file)] = 0;
    fclose(file);
    assert_non_null(strstr(log, "cannot open the data folder"));
    assert_non_null(strstr(log, "damaged"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_records_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_told, start, stop),
        cmocka_unit_test_setup_teardown(bad_configurations_are_refused_by_name, start, stop),
        cmocka_unit_test_setup_teardown(a_wrong_method_is_told_with_those_allowed, start, stop),
        cmocka_unit_test_setup_teardown(bad_lines_are_reported_and_the_others_taken, start, stop),
        cmocka_unit_test_setup_teardown(a_text_without_a_word_does_no_harm, start, stop),
        cmocka_unit_test_setup_teardown(a_full_map_refuses_ingest_and_keeps_serving, start_small, stop),
        cmocka_unit_test_setup_teardown(a_damaged_store_refuses_to_start_and_says_why, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
