/* The socket that a server listens at. One thread uses it. */
#ifndef ATOLL_API_LISTEN_H
#define ATOLL_API_LISTEN_H

#include <stdint.h>

#include "core/status.h"

typedef struct atoll_listener {
    int socket; /* listening, not blocking; the caller's to close */
    uint16_t port; /* as it was found */
    int64_t again_ns; /* nothing is accepted before; monotonic */
    char address[1048]; /* "127.0.0.1:8080" or "[::1]:8080" */
} atoll_listener;

/*
 * Listens at "HOST:PORT" or "[HOST]:PORT"; port 0 takes a free one. ATOLL_INVALID_VALUE for an address that cannot be
 * read, ATOLL_IO.
 */
atoll_status atoll_listen(const char *at, atoll_listener *out, atoll_error *error);

/* A connection that waits, not blocking, -1 where there is none; also for a while after the system had no room. */
int atoll_listener_accept(atoll_listener *listener);
/* How much of that while is left, 0 for nothing. */
int64_t atoll_listener_pause_ms(const atoll_listener *listener);

#endif
