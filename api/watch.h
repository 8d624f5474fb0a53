/*
 * Cuts off connections whose request, or whose client's reading, takes too long. libmicrohttpd's own timeout counts
 * silence only, and a byte a second would live for ever.
 */
#ifndef ATOLL_API_WATCH_H
#define ATOLL_API_WATCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/status.h"

/* One socket. Its deadline is the monotonic time at which the watch shuts it down, once. Anybody may move it. */
typedef struct atoll_peer {
    struct atoll_peer *previous, *next;
    int socket;
    _Atomic int64_t deadline_ns;
} atoll_peer;

typedef struct atoll_watch atoll_watch;

/* A thread that looks every `step_ms` at all peers. ATOLL_NO_MEMORY, ATOLL_IO. */
atoll_status atoll_watch_start(int64_t step_ms, atoll_watch **out, atoll_error *error);

/* Any thread. NULL for want of memory; the socket stays open until the peer leaves. */
atoll_peer *atoll_watch_join(atoll_watch *watch, int socket, int64_t deadline_ns);
void atoll_watch_leave(atoll_watch *watch, atoll_peer *peer);

void atoll_watch_stop(atoll_watch *watch); /* all have left */

#endif
