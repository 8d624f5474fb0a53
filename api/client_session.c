#include "api/client_session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/limits.h"

/* A busy server is asked again after so long, where it does not say when; and in all for so long. */
enum { BUSY_RETRY_MS = 100, BUSY_GIVE_UP_MS = 60000 };

static bool name_is_usable(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    return length > 0 && length <= ATOLL_NAME_MAX_BYTES && strspn(name, allowed) == length &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

atoll_status atoll_client_session_open(const char *url, const char *model, int64_t timeout_ms,
                                       atoll_client_session *session, atoll_error *error)
{
    *session = (atoll_client_session){.url = url, .model = model};
    if (!name_is_usable(model))
        return atoll_fail(error, ATOLL_INVALID_NAME, "'%.100s'", model);
    atoll_status status = atoll_client_http_open(url, timeout_ms, &session->http, error);
    if (status)
        return status;
    session->parser = atoll_json_parser_new();
    if (!session->parser) {
        atoll_client_session_close(session);
        return atoll_fail(error, ATOLL_NO_MEMORY, "for a JSON parser");
    }
    return ATOLL_OK;
}

void atoll_client_session_close(atoll_client_session *session)
{
    atoll_client_http_close(session->http);
    atoll_json_parser_free(session->parser);
    session->http = NULL;
    session->parser = NULL;
}

static atoll_status status_of_code(const char *code)
{
    for (int i = ATOLL_OK + 1; i < ATOLL_STATUS_COUNT; i++) {
        if (strcmp(atoll_status_code((atoll_status)i), code) == 0)
            return (atoll_status)i;
    }
    return ATOLL_BAD_REQUEST;
}

static bool is_json(atoll_client_session *session, const atoll_client_reply *reply, atoll_json *root)
{
    return strstr(reply->type, "json") &&
           atoll_json_parse(session->parser, reply->body, reply->bytes, root, NULL) == ATOLL_OK;
}

/* The status that a reply without success stands for. */
static atoll_status take_problem(atoll_client_session *session, const atoll_client_reply *reply, atoll_error *error)
{
    atoll_json problem;
    if (!is_json(session, reply, &problem))
        return atoll_fail(error, ATOLL_BAD_REQUEST, "%.100s answered %d", atoll_client_http_authority(session->http),
                          reply->status);
    const char *code = atoll_client_string(problem, "code", "");
    const char *text = atoll_client_string(problem, "error", NULL);
    if (!text)
        text = atoll_client_string(problem, "detail", "no reason given");
    return atoll_fail(error, status_of_code(code), "%.200s (HTTP %d)", text, reply->status);
}

atoll_status atoll_client_session_call(atoll_client_session *session, const char *method, const char *target,
                                       const char *type, const char *body, size_t bytes, atoll_client_reply *reply,
                                       atoll_json *root, atoll_error *error)
{
    atoll_client_reply own;
    if (!reply)
        reply = &own;
    atoll_status status = atoll_client_http_call(session->http, method, target, type, body, bytes, reply, error);
    if (status)
        return status;
    if (reply->status < 200 || reply->status > 299)
        return take_problem(session, reply, error);
    if (!root)
        return ATOLL_OK;
    return atoll_json_parse(session->parser, reply->body, reply->bytes, root, error);
}

atoll_status atoll_client_session_model(atoll_client_session *session, const char *method, const char *suffix,
                                        const char *json, atoll_json *root, atoll_error *error)
{
    char target[512];
    snprintf(target, sizeof target, "/v1/models/%s%s", session->model, suffix);
    return atoll_client_session_call(session, method, target, json ? "application/json" : NULL, json,
                                     json ? strlen(json) : 0, NULL, root, error);
}

static void wait_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* How long to wait before what a reply refuses is sent again; 0 where it is not: it may have been taken. */
static int64_t retry_after_ms(const atoll_client_reply *reply)
{
    if (reply->status != 429 && reply->status != 503)
        return 0;
    if (reply->retry_after_s)
        return (int64_t)reply->retry_after_s * 1000;
    return reply->status == 429 ? BUSY_RETRY_MS : 0;
}

atoll_status atoll_client_session_ingest(atoll_client_session *session, const char *lines, size_t bytes, bool trained,
                                         atoll_json *report, atoll_error *error)
{
    char target[128];
    snprintf(target, sizeof target, "/v1/models/%s/ingest%s", session->model, trained ? "?wait=trained" : "");
    int64_t give_up_ns = atoll_clock_monotonic_ns() + (int64_t)BUSY_GIVE_UP_MS * 1000000;
    for (;;) {
        atoll_client_reply reply = {0};
        *report = (atoll_json){0};
        atoll_status status = atoll_client_session_call(session, "POST", target, "application/x-ndjson", lines, bytes,
                                                        &reply, report, error);
        if (!status || !reply.body)
            return status;
        if (is_json(session, &reply, report)) {
            if (atoll_client_integer(*report, "accepted", 0) > 0)
                return status;
            if (atoll_client_integer(*report, "rejected", 0) > 0)
                return ATOLL_OK;
            *report = (atoll_json){0};
        }
        int64_t pause_ms = retry_after_ms(&reply);
        if (!pause_ms || atoll_clock_monotonic_ns() + pause_ms * 1000000 > give_up_ns)
            return status;
        wait_ms(pause_ms);
    }
}

/* ---- reading replies ---- */

double atoll_client_number(atoll_json object, const char *name, double otherwise)
{
    atoll_json member;
    double value;
    return atoll_json_member(object, name, &member) && atoll_json_double(member, &value) ? value : otherwise;
}

int64_t atoll_client_integer(atoll_json object, const char *name, int64_t otherwise)
{
    atoll_json member;
    int64_t value;
    return atoll_json_member(object, name, &member) && atoll_json_int64(member, &value) ? value : otherwise;
}

bool atoll_client_flag(atoll_json object, const char *name, bool otherwise)
{
    atoll_json member;
    bool value;
    return atoll_json_member(object, name, &member) && atoll_json_bool(member, &value) ? value : otherwise;
}

const char *atoll_client_string(atoll_json object, const char *name, const char *otherwise)
{
    atoll_json member;
    const char *value;
    size_t bytes;
    return atoll_json_member(object, name, &member) && atoll_json_string(member, &value, &bytes) ? value : otherwise;
}
