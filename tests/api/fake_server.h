/*
 * A small HTTP server for the client's tests: one thread, one connection at a time, on an ephemeral loopback port. What
 * it answers is the test's business, byte by byte if need be.
 */
#ifndef ATOLL_TESTS_API_FAKE_SERVER_H
#define ATOLL_TESTS_API_FAKE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct fake_request {
    char method[16], target[512], type[128];
    const char *body; /* terminated */
    size_t bytes;
    int number;       /* of the request, from 0, over all connections */
} fake_request;

/* Writes a reply to `fd`; false closes the connection. */
typedef bool (*fake_answer)(void *arg, const fake_request *request, int fd);

typedef struct fake_server {
    int listener;
    _Atomic int current; /* the open connection, or -1 */
    _Atomic int requests, connections;
    _Atomic bool stopping;
    pthread_t thread;
    fake_answer answer;
    void *arg;
    char url[64];
} fake_server;

static inline void fake_send(int fd, const char *bytes, size_t count)
{
    while (count) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        count -= (size_t)sent;
    }
}

static inline void fake_send_text(int fd, const char *text)
{
    fake_send(fd, text, strlen(text));
}

static inline bool fake_reply(int fd, int status, const char *type, const char *body)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, type,
             strlen(body));
    fake_send_text(fd, head);
    fake_send_text(fd, body);
    return true;
}

/* Reads until `bytes` end in an empty line and the announced body is there; the caller frees *in. False at the end. */
static inline bool fake_read(int fd, char **in, fake_request *request)
{
    size_t have = 0, capacity = 1 << 16, need = 0, head = 0;
    *in = malloc(capacity);
    for (;;) {
        if (have + 1 >= capacity)
            *in = realloc(*in, capacity *= 2);
        ssize_t got = recv(fd, *in + have, capacity - have - 1, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
        (*in)[have] = 0;
        char *end = head ? NULL : strstr(*in, "\r\n\r\n");
        if (end) {
            head = (size_t)(end - *in) + 4;
            const char *length = strcasestr(*in, "\r\nContent-Length:");
            const char *type = strcasestr(*in, "\r\nContent-Type:");
            need = head + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
            if (type && type < end)
                sscanf(type + 15, " %127[^\r]", request->type);
            sscanf(*in, "%15s %511s", request->method, request->target);
        }
        if (head && have >= need)
            break;
    }
    request->body = *in + head;
    request->bytes = need - head;
    return true;
}

static inline void *fake_serve(void *arg)
{
    fake_server *server = arg;
    while (!server->stopping) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            break;
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        server->current = fd;
        server->connections++;
        for (bool open = !server->stopping; open;) {
            fake_request request = {.number = server->requests};
            char *in;
            open = fake_read(fd, &in, &request);
            if (open) {
                server->requests++;
                open = server->answer(server->arg, &request, fd);
            }
            free(in);
        }
        server->current = -1;
        close(fd);
    }
    return NULL;
}

static inline void fake_server_start(fake_server *server, fake_answer answer, void *arg)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    memset(server, 0, sizeof *server);
    server->current = -1;
    server->answer = answer;
    server->arg = arg;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, fake_serve, server), 0);
}

/* Close the client's connection first, so that its end is seen. */
static inline void fake_server_stop(fake_server *server)
{
    server->stopping = true;
    shutdown(server->listener, SHUT_RDWR);
    int current = server->current;
    if (current >= 0)
        shutdown(current, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

#endif
