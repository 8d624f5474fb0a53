/*
 * One request on its way through the server: parsed and filled by server.c, answered by a handler. It belongs to the
 * thread that works on it; a handler that returns ATOLL_LATER hands it on.
 */
#ifndef ATOLL_API_REQUEST_H
#define ATOLL_API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/pool.h"
#include "api/problem.h"
#include "api/registry.h"
#include "api/route.h"
#include "api/service.h"
#include "core/writer.h"

typedef struct atoll_reply {
    int http;
    atoll_writer body;        /* handed on to the server */
    const char *type;         /* content type; lives for ever */
    bool retry_after;         /* try again in ATOLL_RETRY_AFTER_S */
} atoll_reply;

struct atoll_request {
    atoll_job job; /* first: the queue's job is the request */
    atoll_service *service;
    atoll_target target;
    bool ndjson;              /* what the body is; JSON otherwise */
    const char *body;         /* ATOLL_JSON_PADDING readable bytes behind it, also where it is empty */
    size_t body_bytes;
    int64_t started_ns;       /* monotonic, when its first line was read */
    atoll_model *model;       /* held until the request is finished; NULL where none was looked up */
    bool apart;               /* was tried with others (together.h) and is answered by itself */
    uint32_t stage;           /* for handlers that wait and come back; 0 at first */
    void *state;              /* a handler's own; freed with free() once the request is finished */
    atoll_reply reply;
    void (*finished)(atoll_request *request); /* the server's: the reply is whole */
};

/* Runs the route's handler; atoll_job's run. */
void atoll_request_run(atoll_job *job, atoll_worker *worker);

/* The reply is whole: lets go of the model, counts, and hands the request to the server. Any thread, once; the request
 * is gone. */
void atoll_request_finish(atoll_request *request);

/* Queues the request again, to run its handler once more. Any thread. */
void atoll_request_again(atoll_request *request);

/* What a request (`arg`) has waited for has come: its handler runs once more, or the reply is a problem. Any thread. */
void atoll_request_go_on(void *arg, atoll_status status, const atoll_error *error);

/* Looks up the model of the path and holds it. ATOLL_UNKNOWN_MODEL, ATOLL_INVALID_NAME. */
atoll_status atoll_request_find_model(atoll_request *request, atoll_error *error);

/* The reply is a problem; `line` 0 where the fault is in no record. Returns ATOLL_ANSWERED, for `return`. */
atoll_outcome atoll_request_problem(atoll_request *request, atoll_status status, const atoll_error *error,
                                    uint64_t line);

/* The reply is what `body` holds (taken over), or a problem where memory ran short. Returns ATOLL_ANSWERED. */
atoll_outcome atoll_request_reply(atoll_request *request, int http, atoll_writer *body, const char *type);
atoll_outcome atoll_request_json(atoll_request *request, int http, atoll_writer *body);

/* Parses the body, which must be a JSON object in which no name comes twice; none counts as {}. `root` lives until the
 * worker's parser goes on. */
atoll_status atoll_request_object(atoll_request *request, atoll_worker *worker, atoll_json *root, atoll_error *error);

/* A path's {id} as a number; ATOLL_UNKNOWN_EXPERT where it is none. */
atoll_status atoll_request_expert(const atoll_request *request, uint32_t *id, atoll_error *error);

/* Whole numbers from the query. ATOLL_INVALID_VALUE, ATOLL_OUT_OF_RANGE; absent leaves *out. */
atoll_status atoll_request_query_uint(const atoll_request *request, const char *name, uint64_t least, uint64_t most,
                                      uint64_t *out, atoll_error *error);
/* "true" or "false", and "" for true. */
atoll_status atoll_request_query_bool(const atoll_request *request, const char *name, bool *out, atoll_error *error);

#endif
