#include "api/question.h"

#include <string.h>

enum { TOP_DEFAULT = 5, WAIT_DEFAULT_MS = 10000, WAIT_MOST_MS = 600000 };

/* The walk through a body's members. */
typedef struct options {
    atoll_question *question;
    bool has_records;
    atoll_status status;
    atoll_error *error;
} options;

static void read_uint(options *o, const char *name, atoll_json value, uint64_t least, uint64_t most, uint64_t *out)
{
    int64_t number;
    if (!atoll_json_int64(value, &number))
        o->status = atoll_fail(o->error, ATOLL_INVALID_VALUE, "%s is not a whole number", name);
    else if (number < 0 || (uint64_t)number < least || (uint64_t)number > most)
        o->status = atoll_fail(o->error, ATOLL_OUT_OF_RANGE, "%s is not within %llu to %llu", name,
                               (unsigned long long)least, (unsigned long long)most);
    else
        *out = (uint64_t)number;
}

static bool visit_option(void *arg, const char *name, atoll_json value)
{
    options *o = arg;
    atoll_question *q = o->question;
    if (!strcmp(name, "records")) {
        o->has_records = true;
        q->records = value;
        if (atoll_json_kind_of(value) != ATOLL_JSON_ARRAY)
            o->status = atoll_fail(o->error, ATOLL_INVALID_VALUE, "records is not an array");
    } else if (!strcmp(name, "top")) {
        read_uint(o, name, value, 1, ATOLL_TOP_MAX, &q->top);
    } else if (!strcmp(name, "min_version")) {
        read_uint(o, name, value, 0, INT64_MAX, &q->min_version);
    } else if (!strcmp(name, "timeout_ms")) {
        read_uint(o, name, value, 0, WAIT_MOST_MS, &q->timeout_ms);
    } else if (!strcmp(name, "explain")) {
        if (!atoll_json_bool(value, &q->explain))
            o->status = atoll_fail(o->error, ATOLL_INVALID_VALUE, "explain is neither true nor false");
    } else {
        o->status = atoll_fail(o->error, ATOLL_UNKNOWN_KEY, "unknown key \"%.64s\"", name);
    }
    return !o->status;
}

atoll_status atoll_question_query(const atoll_request *request, atoll_question *q, atoll_error *error)
{
    atoll_status status;
    *q = (atoll_question){.top = TOP_DEFAULT, .timeout_ms = WAIT_DEFAULT_MS};
    if ((status = atoll_request_query_uint(request, "top", 1, ATOLL_TOP_MAX, &q->top, error)) ||
        (status = atoll_request_query_bool(request, "explain", &q->explain, error)) ||
        (status = atoll_request_query_uint(request, "min_version", 0, INT64_MAX, &q->min_version, error)))
        return status;
    return atoll_request_query_uint(request, "timeout_ms", 0, WAIT_MOST_MS, &q->timeout_ms, error);
}

atoll_status atoll_question_body(atoll_request *request, atoll_worker *worker, atoll_question *q, atoll_error *error)
{
    atoll_json root;
    options o = {.question = q, .error = error};
    atoll_status status = atoll_request_object(request, worker, &root, error);
    if (status)
        return status;
    atoll_json_each(root, visit_option, &o);
    if (!o.status && !o.has_records)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "records is missing");
    return o.status;
}
