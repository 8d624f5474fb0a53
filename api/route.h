/*
 * Which path is served by which handler: one table (routes.c), and the matching of a request's target against it.
 * Percent-encoding is decoded segment by segment, after the path was cut at its slashes.
 */
#ifndef ATOLL_API_ROUTE_H
#define ATOLL_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/status.h"

typedef struct atoll_request atoll_request;
typedef struct atoll_worker atoll_worker;

typedef enum atoll_outcome {
    ATOLL_ANSWERED, /* the reply is whole */
    ATOLL_LATER     /* some other thread will call atoll_request_finish, or has; the request must not be touched */
} atoll_outcome;

typedef atoll_outcome (*atoll_handler)(atoll_request *request, atoll_worker *worker);

typedef enum atoll_takes {
    ATOLL_TAKES_NOTHING, /* a body is read and ignored */
    ATOLL_TAKES_JSON,
    ATOLL_TAKES_RECORDS  /* JSON or NDJSON */
} atoll_takes;

typedef struct atoll_route {
    const char *method; /* GET serves HEAD too */
    const char *path;   /* with {model} and {id} as whole segments */
    atoll_handler handle;
    atoll_takes takes;
    const char *query;  /* names that may stand in the query, each followed by a space; NULL for none */
    bool at_once;       /* on the server's own thread, without a worker (NULL): never waits, also while draining */
} atoll_route;

extern const atoll_route atoll_routes[];
extern const uint32_t atoll_route_count;

enum { ATOLL_TARGET_MAX_BYTES = 2048, ATOLL_QUERY_MAX = 8, ATOLL_ALLOW_MAX_BYTES = 64 };

/* A target cut into its parts; the strings point into `space`. */
typedef struct atoll_target {
    const atoll_route *route;
    const char *model, *id; /* decoded; "" where the path has none */
    struct {
        const char *name, *value;
    } query[ATOLL_QUERY_MAX];
    uint32_t query_count;
    char allow[ATOLL_ALLOW_MAX_BYTES]; /* the methods of the path, where it does not take this one */
    char space[ATOLL_TARGET_MAX_BYTES];
} atoll_target;

/*
 * Matches method and target ("/v1/models/m/ingest?wait=trained", as it stood in the request line) against `routes`.
 * ATOLL_UNKNOWN_PATH; ATOLL_METHOD_NOT_ALLOWED (allow is filled in); ATOLL_BAD_REQUEST for bad percent-encoding and
 * targets that are too long; ATOLL_UNKNOWN_KEY for a query that the route does not know, or that comes twice. `route`
 * is set whenever path and method matched.
 */
atoll_status atoll_route_match(const atoll_route *routes, uint32_t count, const char *method, const char *target,
                               atoll_target *out, atoll_error *error);

/* The value of a query parameter, NULL where it was not given. */
const char *atoll_target_query(const atoll_target *target, const char *name);

#endif
