/*
 * HTTP. The only file that includes libmicrohttpd; it speaks to the rest in atoll_request.
 *
 * One thread of libmicrohttpd (epoll) reads and writes every connection. It gathers a request's body, then suspends the
 * connection and queues the request for the workers; whoever finishes the request resumes the connection, and the epoll
 * thread writes the reply. Measured beside this: a pool of epoll threads gives no more requests a second on two cores,
 * a thread for each connection a third less; and handlers that wait for the disk may wait on neither. Probes are
 * answered in place.
 *
 * A watch thread cuts off connections whose request does not arrive in time: libmicrohttpd's own timeout counts
 * silence only, and a byte a second would live for ever.
 */
#ifndef ATOLL_API_SERVER_H
#define ATOLL_API_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "api/service.h"
#include "core/status.h"

typedef struct atoll_server atoll_server;

/* Listens at service->options->listen and answers. ATOLL_INVALID_VALUE for an address that cannot be read, ATOLL_IO. */
atoll_status atoll_server_start(atoll_service *service, atoll_server **out, atoll_error *error);

/* Where it listens, "127.0.0.1:8080" or "[::1]:8080", with the port that was found. Lives as long as the server. */
const char *atoll_server_address(const atoll_server *server);
uint16_t atoll_server_port(const atoll_server *server);

/* Waits until every request that was wholly received is answered, at most `wait_ms`. False where some are not. */
bool atoll_server_drain(atoll_server *server, int64_t wait_ms);

/* Closes every connection. The service is closed before, so that no request waits for anything. */
void atoll_server_stop(atoll_server *server);

#endif
