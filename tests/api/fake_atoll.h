/*
 * A stand-in for the server that answers as the API does, with simple manners: a text's label is its first word, a line
 * with the word "bad" is refused, three of four records are predicted right.
 */
#ifndef ATOLL_TESTS_API_FAKE_ATOLL_H
#define ATOLL_TESTS_API_FAKE_ATOLL_H

#include "core/json.h"
#include "core/writer.h"
#include "tests/api/fake_server.h"

typedef struct fake_atoll {
    fake_server server;
    _Atomic uint64_t records, batches, trained, predicted;
    _Atomic int busy;            /* so many times more, ingest is refused as busy */
    _Atomic int fail_after, close_after; /* from this batch on, ingest fails or keeps what it learns no more */
    _Atomic bool domain_seen, known, wrong; /* wrong: every answer is "?" */
    atoll_json_parser *parser;
    char last[4096];             /* the newest request but stats: method, target, body; read it after fake_atoll_stop */
} fake_atoll;

static inline bool fake_problem(int fd, int status, const char *code, const char *text)
{
    char body[512];
    snprintf(body, sizeof body, "{\"type\":\"about:blank\",\"status\":%d,\"error\":\"%s\",\"code\":\"%s\"}", status,
             text, code);
    return fake_reply(fd, status, "application/problem+json", body);
}

static inline bool fake_reply_writer(int fd, int status, const char *type, atoll_writer *body)
{
    assert_true(atoll_writer_terminate(body));
    fake_reply(fd, status, type, body->data);
    atoll_writer_free(body);
    return true;
}

static inline bool fake_ingest(fake_atoll *atoll, const fake_request *request, int fd)
{
    atoll_writer out;
    uint64_t accepted = 0, rejected = 0, line = 0;
    if (atoll->busy > 0) {
        atoll->busy--;
        return fake_problem(fd, 429, "busy", "more is waiting than may wait");
    }
    atoll->batches++;
    if (atoll->fail_after && atoll->batches >= (uint64_t)atoll->fail_after)
        return fake_problem(fd, 507, "no_space", "the disk is full");
    bool closes = atoll->close_after && atoll->batches >= (uint64_t)atoll->close_after;
    atoll->trained += strstr(request->target, "?wait=trained") != NULL;
    atoll->domain_seen = atoll->domain_seen || strstr(request->body, "\"domain\"");
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_json_name(&out, "errors");
    atoll_json_array_begin(&out);
    const char *end;
    for (const char *at = request->body; *at; at = end + 1) {
        end = strchr(at, '\n');
        line++;
        bool bad = memmem(at, (size_t)(end - at), "bad", 3) != NULL;
        accepted += !bad && end > at;
        rejected += bad;
        if (!bad)
            continue;
        atoll_json_object_begin(&out);
        atoll_json_name(&out, "line");
        atoll_json_put_uint(&out, line);
        atoll_writer_text(&out, ",\"code\":\"missing_label\",\"error\":\"it is bad\"");
        atoll_json_object_end(&out);
    }
    atoll_json_array_end(&out);
    atoll->records += accepted;
    atoll->known = true;
    atoll_json_name(&out, "accepted");
    atoll_json_put_uint(&out, accepted);
    atoll_json_name(&out, "rejected");
    atoll_json_put_uint(&out, rejected);
    atoll_json_name(&out, "version");
    atoll_json_put_uint(&out, atoll->batches);
    atoll_writer_text(&out, closes ? ",\"code\":\"shutting_down\",\"error\":\"the model is being closed\"" : "");
    atoll_json_object_end(&out);
    return fake_reply_writer(fd, closes ? 503 : rejected && !accepted ? 400 : 200, "application/json", &out);
}

static inline void fake_predict_one(fake_atoll *atoll, atoll_writer *out, atoll_json record)
{
    atoll_json member;
    const char *text = "";
    size_t bytes;
    atoll->predicted++;
    if (atoll_json_member(record, "text", &member))
        atoll_json_string(member, &text, &bytes);
    size_t word = strcspn(text, " ");
    atoll_json_object_begin(out);
    atoll_json_name(out, "label");
    atoll_json_put_string(out, atoll->wrong ? "?" : text, atoll->wrong ? 1 : word);
    atoll_writer_text(out, ",\"score\":0.75,\"novelty\":0.25,\"abstain\":false,"
                           "\"labels\":[{\"label\":\"first\",\"score\":0.75},{\"label\":\"second\",\"score\":0.2}],"
                           "\"experts\":[{\"id\":3,\"version\":7,\"weight\":0.9},"
                           "{\"id\":0,\"version\":7,\"weight\":0.1}],"
                           "\"neighbours\":[{\"id\":\"near\",\"label\":\"first\",\"similarity\":0.8}]");
    atoll_json_object_end(out);
}

static inline bool fake_predict_element(void *arg, const char *name, atoll_json record)
{
    (void)name;
    void **both = arg;
    fake_predict_one(both[0], both[1], record);
    return true;
}

static inline bool fake_predict(fake_atoll *atoll, const fake_request *request, int fd)
{
    atoll_writer out, padded;
    atoll_json root, records;
    bool lines = strcmp(request->type, "application/x-ndjson") == 0;
    atoll_writer_init(&out);
    atoll_writer_init(&padded);
    atoll_writer_raw(&padded, request->body, request->bytes);
    for (int i = 0; i < ATOLL_JSON_PADDING; i++)
        atoll_writer_raw(&padded, "", 1);
    if (lines) {
        const char *end, *last = padded.data + request->bytes;
        for (const char *at = padded.data; at < last; at = end + 1) {
            end = memchr(at, '\n', (size_t)(last - at));
            if (atoll_json_parse(atoll->parser, at, (size_t)(end - at), &root, NULL) == ATOLL_OK) {
                out.comma = false;
                fake_predict_one(atoll, &out, root);
                atoll_writer_text(&out, "\n");
            } else {
                atoll_writer_format(&out, "{\"line\":%d,\"code\":\"invalid_json\",\"error\":\"not JSON\"}\n",
                                    1 + (int)(at != padded.data));
            }
        }
    } else {
        void *both[2] = {atoll, &out};
        assert_int_equal(atoll_json_parse(atoll->parser, padded.data, request->bytes, &root, NULL), ATOLL_OK);
        assert_true(atoll_json_member(root, "records", &records));
        atoll_writer_text(&out, "{\"model\":\"m\",\"version\":1,\"predictions\":[");
        atoll_json_each(records, fake_predict_element, both);
        atoll_writer_text(&out, "]}");
    }
    atoll_writer_free(&padded);
    return fake_reply_writer(fd, 200, lines ? "application/x-ndjson" : "application/json", &out);
}

static inline bool fake_atoll_answer(void *arg, const fake_request *request, int fd)
{
    fake_atoll *atoll = arg;
    const char *target = request->target;
    if (!strstr(target, "/stats"))
        snprintf(atoll->last, sizeof atoll->last, "%s %s %s", request->method, target, request->body);
    if (strstr(target, "/ingest"))
        return fake_ingest(atoll, request, fd);
    if (strstr(target, "/nobody"))
        return fake_problem(fd, 404, "unknown_model", "no model has this name: nobody");
    if (strstr(target, "/predict"))
        return fake_predict(atoll, request, fd);
    if (strstr(target, "/stats")) {
        char body[512];
        if (!atoll->known)
            return fake_problem(fd, 404, "unknown_model", "no model has this name");
        snprintf(body, sizeof body,
                 "{\"version\":%llu,\"records\":%llu,\"prequential\":0.75,\"no_change\":0.5,\"experts_active\":2,"
                 "\"born\":3,\"pruned\":1,\"counted_bytes\":3145728,\"retired_bytes\":524288,"
                 "\"writing_bytes\":1048576,\"nested\":{\"flag\":true,\"list\":[1,2],\"none\":null}}",
                 (unsigned long long)atoll->batches, (unsigned long long)atoll->records);
        return fake_reply(fd, 200, "application/json", body);
    }
    if (strstr(target, "/restore"))
        return fake_reply(fd, 200, "application/json", "{\"id\":7,\"state\":\"active\"}");
    if (strstr(target, "/experts"))
        return fake_reply(fd, 200, "application/json",
                          "{\"experts\":[{\"id\":0,\"version\":9,\"state\":\"shared\",\"labels\":[\"a\",\"b\"],"
                          "\"records\":12345,\"share\":0.25,\"loss\":0.5,\"bytes\":1048576},"
                          "{\"id\":4,\"version\":9,\"state\":\"active\",\"labels\":[\"a\"]}]}");
    if (strstr(target, "/prune"))
        return fake_reply(fd, 200, "application/json",
                          "{\"dry_run\":true,\"pruned\":[{\"id\":4,\"reason\":\"idle for 8 days\"}]}");
    if (strcmp(target, "/v1/models") == 0)
        return fake_reply(fd, 200, "application/json",
                          "{\"models\":[{\"name\":\"default\",\"version\":3,\"bytes\":2097152}]}");
    return fake_reply(fd, 200, "application/json", "{}");
}

static inline void fake_atoll_start(fake_atoll *atoll)
{
    *atoll = (fake_atoll){.parser = atoll_json_parser_new()};
    assert_non_null(atoll->parser);
    fake_server_start(&atoll->server, fake_atoll_answer, atoll);
}

static inline void fake_atoll_stop(fake_atoll *atoll)
{
    fake_server_stop(&atoll->server);
    atoll_json_parser_free(atoll->parser);
}
#endif
