/*
 * HTTP. The only file that includes libmicrohttpd; it speaks to the rest in atoll_request.
 *
 * As many loops as there are workers: each a thread with an epoll set and connections of its own, which it reads and
 * writes. The first one accepts for all, and gives a new connection to the loop that has fewest. A loop gathers
 * requests' bodies. Small predictions it answers itself, all that it found in one round together (together.h). Every
 * other request is suspended and queued for the workers, since it may be long, or wait for the disk; whoever finishes
 * it resumes the connection, and the loop writes the reply. Probes are answered in place.
 *
 * Measured beside this, with 8 connections on two cores: small predictions for the workers too take 10.0 instead of 4.9
 * system calls and 1.6 instead of .7 context switches each, 162 instead of 142 us of processor time, and two thirds as
 * many are answered a second; one loop that answers them is half as fast. A thread for each connection is slower still.
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
