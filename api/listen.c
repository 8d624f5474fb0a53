#include "api/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

enum { PAUSE_MS = 100 };

/* Cuts "HOST:PORT" or "[HOST]:PORT". */
static atoll_status cut_address(const char *listen, char host[NI_MAXHOST], char port[8], atoll_error *error)
{
    const char *colon = strrchr(listen, ':');
    size_t bytes = colon ? (size_t)(colon - listen) : 0;
    bool bracketed = bytes > 2 && listen[0] == '[' && listen[bytes - 1] == ']';
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (!bytes || bytes >= NI_MAXHOST || !digits || digits > 5 || colon[1 + digits] || atoi(colon + 1) > 65535)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "\"%.64s\" is no HOST:PORT to listen at", listen);
    snprintf(host, NI_MAXHOST, "%.*s", (int)(bracketed ? bytes - 2 : bytes), listen + bracketed);
    snprintf(port, 8, "%s", colon + 1);
    return ATOLL_OK;
}

static atoll_status bind_to(const struct addrinfo *at, const char *listen_at, int *out, atoll_error *error)
{
    int one = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) &&
        !bind(fd, at->ai_addr, at->ai_addrlen) && !listen(fd, SOMAXCONN)) {
        *out = fd;
        return ATOLL_OK;
    }
    atoll_fail(error, ATOLL_IO, "cannot listen at %.64s: %m", listen_at);
    if (fd >= 0)
        close(fd);
    return ATOLL_IO;
}

atoll_status atoll_listen(const char *at, atoll_listener *out, atoll_error *error)
{
    char host[NI_MAXHOST], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof bound;
    out->socket = -1;
    out->again_ns = 0;
    atoll_status status = cut_address(at, host, port, error);
    if (status)
        return status;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return atoll_fail(error, ATOLL_IO, "cannot find %.64s: %s", at, gai_strerror(failed));
    status = bind_to(found, at, &out->socket, error);
    freeaddrinfo(found);
    if (status)
        return status;
    if (getsockname(out->socket, (struct sockaddr *)&bound, &bound_bytes) ||
        getnameinfo((struct sockaddr *)&bound, bound_bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        close(out->socket);
        out->socket = -1;
        return atoll_fail(error, ATOLL_IO, "cannot tell where %.64s is", at);
    }
    out->port = (uint16_t)atoi(port);
    bool v6 = bound.ss_family == AF_INET6;
    snprintf(out->address, sizeof out->address, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    return ATOLL_OK;
}

int atoll_listener_accept(atoll_listener *listener)
{
    while (!atoll_listener_pause_ms(listener)) {
        int fd = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            listener->again_ns = atoll_clock_monotonic_ns() + PAUSE_MS * 1000000LL;
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    return -1;
}

int64_t atoll_listener_pause_ms(const atoll_listener *listener)
{
    if (!listener->again_ns)
        return 0;
    int64_t left_ns = listener->again_ns - atoll_clock_monotonic_ns();
    return left_ns > 0 ? left_ns / 1000000 + 1 : 0;
}
