/*
 * A small blocking HTTP/1.1 client: one kept-alive connection over TCP, one request at a time, no TLS. For the command
 * line, the load generator and the tests. One thread at a time may use a connection; several may each have their own.
 */
#ifndef ATOLL_API_CLIENT_HTTP_H
#define ATOLL_API_CLIENT_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum {
    ATOLL_CLIENT_HTTP_LINE_MAX_BYTES = 16 * 1024,     /* a line of the reply's head */
    ATOLL_CLIENT_HTTP_HEADERS_MAX = 256,              /* lines of the reply's head */
    ATOLL_CLIENT_HTTP_REPLY_MAX_BYTES = 256 << 20     /* a reply's body */
};

typedef struct atoll_client_http atoll_client_http;

/* A reply. `body` belongs to the connection until its next call; it is terminated, and ATOLL_JSON_PADDING zero bytes
 * follow it, so that it can be parsed where it is. */
typedef struct atoll_client_reply {
    int status;            /* 200, 404, … */
    char type[64];         /* the media type without parameters, lower case; "" where none was sent */
    uint32_t retry_after_s; /* from Retry-After; 0 where none was sent, or a date */
    const char *body;
    size_t bytes;
} atoll_client_reply;

/*
 * Makes a client of the server at `url`, http://HOST[:PORT][/]. Connects with the first call, and again whenever the
 * server has closed the connection. A call fails with ATOLL_TIMEOUT where the server takes or sends nothing for
 * `timeout_ms`. ATOLL_INVALID_VALUE where the URL cannot be used, ATOLL_NO_MEMORY.
 */
atoll_status atoll_client_http_open(const char *url, int64_t timeout_ms, atoll_client_http **out, atoll_error *error);
void atoll_client_http_close(atoll_client_http *http);

/*
 * Sends one request and reads its whole reply, whatever its status. `target` is the path with its query, already
 * escaped; `type` is the body's media type, NULL where there is no body.
 *
 * ATOLL_IO where the server cannot be reached, breaks off, or does not speak HTTP; ATOLL_TIMEOUT;
 * ATOLL_BODY_TOO_LARGE; ATOLL_NO_MEMORY. The connection is then closed, and a request that is not a GET may or may not
 * have been carried out: it is never sent twice. A GET is sent once more where a kept connection broke before a reply
 * began.
 */
atoll_status atoll_client_http_call(atoll_client_http *http, const char *method, const char *target, const char *type,
                                    const void *body, size_t bytes, atoll_client_reply *reply, atoll_error *error);

/* "HOST:PORT", for messages. */
const char *atoll_client_http_authority(const atoll_client_http *http);

#endif
