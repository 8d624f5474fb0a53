/* A small blocking HTTP client on raw sockets, so that malformed requests can be sent too. */
#ifndef ATOLL_TESTS_API_HTTP_H
#define ATOLL_TESTS_API_HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/json.h"

enum { HTTP_HEAD_BYTES = 4096, HTTP_WAIT_S = 600 };

typedef struct http_reply {
    int status;                 /* 0 where there was none */
    char head[HTTP_HEAD_BYTES]; /* status line and header, terminated */
    char *body;                 /* terminated, with room for the JSON parser; free it by http_free */
    size_t bytes;
} http_reply;

static inline int http_connect(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = HTTP_WAIT_S};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&at, sizeof at)) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline bool http_send(int fd, const char *data, size_t bytes)
{
    while (bytes) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

/* The value of a header, copied to `out`; "" where it is not there. */
static inline const char *http_header(const http_reply *reply, const char *name, char *out, size_t room)
{
    size_t length = strlen(name);
    out[0] = 0;
    for (const char *line = strstr(reply->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) || line[2 + length] != ':')
            continue;
        const char *value = line + 3 + length + strspn(line + 3 + length, " ");
        snprintf(out, room, "%.*s", (int)strcspn(value, "\r"), value);
        break;
    }
    return out;
}

static inline void http_free(http_reply *reply)
{
    free(reply->body);
    *reply = (http_reply){0};
}

/* Reads one reply, with its body unless `head_only`. */
static inline bool http_read(int fd, bool head_only, http_reply *reply)
{
    char length[32];
    size_t had = 0;
    *reply = (http_reply){0};
    while (!strstr(reply->head, "\r\n\r\n")) {
        if (had == sizeof reply->head - 1 || recv(fd, reply->head + had, 1, 0) != 1)
            return false;
        reply->head[++had] = 0;
    }
    if (sscanf(reply->head, "HTTP/1.1 %d", &reply->status) != 1)
        return false;
    if (reply->status == 100)
        return http_read(fd, head_only, reply);
    reply->bytes = strtoull(http_header(reply, "Content-Length", length, sizeof length), NULL, 10);
    reply->body = calloc(1, reply->bytes + ATOLL_JSON_PADDING);
    for (size_t got = 0; !head_only && got < reply->bytes;) {
        ssize_t more = recv(fd, reply->body + got, reply->bytes - got, 0);
        if (more <= 0)
            return false;
        got += (size_t)more;
    }
    return true;
}

/* A whole request on an open connection; `type` NULL sends no content type, `body` NULL no body. */
static inline bool http_ask(int fd, const char *method, const char *target, const char *type, const char *body,
                            size_t bytes, http_reply *reply)
{
    char head[8192];
    int length = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s%sContent-Length: %zu\r\n\r\n",
                          method, target, type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "",
                          body ? bytes : 0);
    return http_send(fd, head, (size_t)length) && http_send(fd, body ? body : "", body ? bytes : 0) &&
           http_read(fd, !strcmp(method, "HEAD"), reply);
}

/* The same on a connection of its own; status 0 where there was no reply. */
static inline http_reply http_call(uint16_t port, const char *method, const char *target, const char *type,
                                   const char *body)
{
    http_reply reply = {0};
    int fd = http_connect(port);
    if (fd >= 0 && !http_ask(fd, method, target, type, body, body ? strlen(body) : 0, &reply))
        reply.status = 0;
    if (fd >= 0)
        close(fd);
    return reply;
}

/* Sends raw bytes and reads what comes back. */
static inline http_reply http_raw(uint16_t port, const char *text)
{
    http_reply reply = {0};
    int fd = http_connect(port);
    if (fd >= 0 && (!http_send(fd, text, strlen(text)) || !http_read(fd, false, &reply)))
        reply.status = 0;
    if (fd >= 0)
        close(fd);
    return reply;
}

#endif
