#include "api/request.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"

enum { NAMES_COMPARED = 16 }; /* of a body; no call takes so many */

void atoll_request_run(atoll_job *job, atoll_worker *worker)
{
    atoll_request *request = (atoll_request *)(void *)job;
    const atoll_route *route = request->target.route;
    bool ending = !worker && !route->at_once;
    atoll_outcome outcome = ending ? atoll_request_problem(request, ATOLL_SHUTTING_DOWN, NULL, 0)
                                   : route->handle(request, worker);
    if (outcome == ATOLL_ANSWERED)
        atoll_request_finish(request);
}

void atoll_request_finish(atoll_request *request)
{
    atoll_service *service = request->service;
    const atoll_route *route = request->target.route;
    uint32_t family = route ? (uint32_t)(route - atoll_routes) : atoll_route_count;
    atoll_registry_release(service->registry, request->model);
    request->model = NULL;
    free(request->state);
    request->state = NULL;
    atoll_counters_add(service->counters, family, request->reply.http,
                       atoll_clock_monotonic_ns() - request->started_ns);
    request->finished(request);
}

void atoll_request_again(atoll_request *request)
{
    atoll_pool_push(request->service->pool, &request->job);
}

atoll_status atoll_request_find_model(atoll_request *request, atoll_error *error)
{
    if (request->model)
        return ATOLL_OK;
    return atoll_registry_find(request->service->registry, request->target.model, &request->model, error);
}

/* A reply of last resort, that needs no memory. */
static atoll_outcome bare(atoll_request *request)
{
    atoll_writer_free(&request->reply.body);
    atoll_writer_init(&request->reply.body);
    request->reply.http = atoll_problem_http(ATOLL_NO_MEMORY);
    request->reply.type = ATOLL_PROBLEM_TYPE;
    request->reply.retry_after = true;
    return ATOLL_ANSWERED;
}

atoll_outcome atoll_request_reply(atoll_request *request, int http, atoll_writer *body, const char *type)
{
    if (body->failed) {
        atoll_writer_free(body);
        return bare(request);
    }
    request->reply.http = http;
    request->reply.body = *body;
    request->reply.type = type;
    request->reply.retry_after = http == 429 || http == 503;
    return ATOLL_ANSWERED;
}

atoll_outcome atoll_request_json(atoll_request *request, int http, atoll_writer *body)
{
    return atoll_request_reply(request, http, body, "application/json");
}

atoll_outcome atoll_request_problem(atoll_request *request, atoll_status status, const atoll_error *error,
                                    uint64_t line)
{
    atoll_writer body;
    int http = atoll_problem_http(status);
    atoll_writer_init(&body);
    atoll_problem_write(&body, status, error, line);
    if (http >= 500 && status != ATOLL_SHUTTING_DOWN)
        atoll_log(ATOLL_LOG_WARN, "request_failed", "model", ATOLL_TEXT(request->target.model), "code",
                  ATOLL_TEXT(atoll_status_code(status)), "detail",
                  ATOLL_TEXT(error && error->status == status ? error->detail : ""), NULL);
    return atoll_request_reply(request, http, &body, ATOLL_PROBLEM_TYPE);
}

void atoll_request_go_on(void *arg, atoll_status status, const atoll_error *error)
{
    atoll_request *request = arg;
    if (!status) {
        atoll_request_again(request);
        return;
    }
    atoll_request_problem(request, status, error, 0);
    atoll_request_finish(request);
}

/* The names of an object, as they come. */
typedef struct names {
    const char *name[NAMES_COMPARED];
    uint32_t count;
    bool repeated;
} names;

static bool visit_name(void *arg, const char *name, atoll_json value)
{
    names *n = arg;
    (void)value;
    for (uint32_t i = 0; i < n->count && !n->repeated; i++)
        n->repeated = !strcmp(n->name[i], name);
    n->name[n->count++] = name;
    return !n->repeated && n->count < NAMES_COMPARED;
}

atoll_status atoll_request_object(atoll_request *request, atoll_worker *worker, atoll_json *root, atoll_error *error)
{
    static const char empty[2 + ATOLL_JSON_PADDING] = "{}";
    bool none = !request->body_bytes;
    atoll_status status = atoll_json_parse(worker->parser, none ? empty : request->body, none ? 2 : request->body_bytes,
                                           root, error);
    if (!status && atoll_json_kind_of(*root) != ATOLL_JSON_OBJECT)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the body is not a JSON object");
    names n = {.count = 0};
    if (!status)
        atoll_json_each(*root, visit_name, &n);
    return n.repeated ? atoll_fail(error, ATOLL_INVALID_VALUE, "%.64s comes twice", n.name[n.count - 1]) : status;
}

/* At most 19 digits, nothing else. */
static bool read_digits(const char *text, uint64_t *out)
{
    size_t bytes = strlen(text);
    if (!bytes || bytes > 19 || strspn(text, "0123456789") != bytes)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

atoll_status atoll_request_expert(const atoll_request *request, uint32_t *id, atoll_error *error)
{
    uint64_t number;
    if (!read_digits(request->target.id, &number) || number > UINT32_MAX)
        return atoll_fail(error, ATOLL_UNKNOWN_EXPERT, "no expert has the id \"%.64s\"", request->target.id);
    *id = (uint32_t)number;
    return ATOLL_OK;
}

atoll_status atoll_request_query_uint(const atoll_request *request, const char *name, uint64_t least, uint64_t most,
                                      uint64_t *out, atoll_error *error)
{
    const char *text = atoll_target_query(&request->target, name);
    uint64_t value;
    if (!text)
        return ATOLL_OK;
    if (!read_digits(text, &value))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s is not a whole number", name);
    if (value < least || value > most)
        return atoll_fail(error, ATOLL_OUT_OF_RANGE, "%s is not within %llu to %llu", name, (unsigned long long)least,
                          (unsigned long long)most);
    *out = value;
    return ATOLL_OK;
}

atoll_status atoll_request_query_bool(const atoll_request *request, const char *name, bool *out, atoll_error *error)
{
    const char *text = atoll_target_query(&request->target, name);
    if (!text)
        return ATOLL_OK;
    bool yes = !*text || !strcmp(text, "true");
    if (!yes && strcmp(text, "false"))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s is neither true nor false", name);
    *out = yes;
    return ATOLL_OK;
}
