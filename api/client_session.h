/*
 * What the client's subcommands share: a connection to one model of one server, whose replies come parsed and whose
 * problems come as errors.
 */
#ifndef ATOLL_API_CLIENT_SESSION_H
#define ATOLL_API_CLIENT_SESSION_H

#include <stdint.h>

#include "api/client_http.h"
#include "core/json.h"
#include "core/status.h"

typedef struct atoll_client_session {
    const char *url, *model; /* the caller's */
    atoll_client_http *http;
    atoll_json_parser *parser;
} atoll_client_session;

/* Connects with the first call. ATOLL_INVALID_VALUE, ATOLL_INVALID_NAME, ATOLL_NO_MEMORY. */
atoll_status atoll_client_session_open(const char *url, const char *model, int64_t timeout_ms,
                                       atoll_client_session *session, atoll_error *error);
void atoll_client_session_close(atoll_client_session *session); /* one that is all zeros too */

/*
 * Calls `target` and parses a JSON reply into `root`, which lives until the next call; `reply` and `root` may be NULL.
 * A reply that is no success becomes the status of its problem's code, with the problem's text; `reply` is filled all
 * the same. Otherwise as atoll_client_http_call, and ATOLL_INVALID_JSON.
 */
atoll_status atoll_client_session_call(atoll_client_session *session, const char *method, const char *target,
                                       const char *type, const char *body, size_t bytes, atoll_client_reply *reply,
                                       atoll_json *root, atoll_error *error);

/* The same for /v1/models/{model}SUFFIX, with a JSON body or none (NULL). */
atoll_status atoll_client_session_model(atoll_client_session *session, const char *method, const char *suffix,
                                        const char *json, atoll_json *root, atoll_error *error);

/*
 * POSTs NDJSON to …/ingest and parses the report, which comes too where every line was rejected. A server that takes
 * nothing for the moment (429, or 503 with Retry-After) is called again when it says, or soon, for at most a minute;
 * where it asks for a longer pause, its problem comes at once. After a problem *report is filled where `accepted` is
 * more than 0: so many are on disk, not learned yet, and are not to be sent again. Else report->document is NULL then.
 */
atoll_status atoll_client_session_ingest(atoll_client_session *session, const char *lines, size_t bytes, bool trained,
                                         atoll_json *report, atoll_error *error);

/* A member's value, or `otherwise` where there is none of that kind. Strings are views as in core/json.h. */
double atoll_client_number(atoll_json object, const char *name, double otherwise);
int64_t atoll_client_integer(atoll_json object, const char *name, int64_t otherwise);
bool atoll_client_flag(atoll_json object, const char *name, bool otherwise);
const char *atoll_client_string(atoll_json object, const char *name, const char *otherwise);

#endif
