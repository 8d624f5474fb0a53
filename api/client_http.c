#include "api/client_http.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/json.h"

enum { INPUT_BYTES = 64 * 1024 };

struct atoll_client_http {
    char host[256], port[6], authority[272];
    int64_t timeout_ms;
    int socket; /* -1 while there is no connection */
    bool broke_unanswered; /* the last call's connection ended before the first byte of a reply */
    size_t start, end; /* of what has arrived in `input` and is not read yet */
    char *body;
    size_t bytes, capacity;
    char input[INPUT_BYTES];
    char line[ATOLL_CLIENT_HTTP_LINE_MAX_BYTES];
};

/* What the head of a reply says about its body. */
typedef struct framing {
    bool chunked, close, length_known;
    uint64_t length;
} framing;

/* ---- addresses and connections ---- */

static atoll_status parse_url(atoll_client_http *http, const char *url, atoll_error *error)
{
    static const char scheme[] = "http://";
    if (strncasecmp(url, scheme, sizeof scheme - 1) != 0)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the URL '%.100s' does not begin with http://", url);
    const char *at = url + sizeof scheme - 1;
    bool bracket = *at == '[';
    const char *host = at + bracket;
    size_t host_bytes = strcspn(host, bracket ? "]" : ":/?#");
    at = host + host_bytes;
    if (host_bytes == 0 || host_bytes >= sizeof http->host || (bracket && *at++ != ']'))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the URL '%.100s' names no host", url);
    memcpy(http->host, host, host_bytes);
    http->host[host_bytes] = 0;

    strcpy(http->port, "80");
    if (*at == ':') {
        size_t digits = strspn(++at, "0123456789");
        if (digits == 0 || digits >= sizeof http->port)
            return atoll_fail(error, ATOLL_INVALID_VALUE, "the URL '%.100s' has no usable port", url);
        memcpy(http->port, at, digits);
        http->port[digits] = 0;
        at += digits;
    }
    if (strcmp(at, "") != 0 && strcmp(at, "/") != 0)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the URL '%.100s' has more than a host and a port", url);
    snprintf(http->authority, sizeof http->authority, bracket ? "[%s]:%s" : "%s:%s", http->host, http->port);
    return ATOLL_OK;
}

atoll_status atoll_client_http_open(const char *url, int64_t timeout_ms, atoll_client_http **out, atoll_error *error)
{
    atoll_client_http *http = calloc(1, sizeof *http);
    if (!http)
        return atoll_fail(error, ATOLL_NO_MEMORY, "for an HTTP client");
    http->socket = -1;
    http->timeout_ms = timeout_ms;
    atoll_status status = parse_url(http, url, error);
    if (status) {
        free(http);
        return status;
    }
    *out = http;
    return ATOLL_OK;
}

static void disconnect(atoll_client_http *http)
{
    if (http->socket >= 0)
        close(http->socket);
    http->socket = -1;
    http->start = http->end = 0;
}

void atoll_client_http_close(atoll_client_http *http)
{
    if (!http)
        return;
    disconnect(http);
    free(http->body);
    free(http);
}

const char *atoll_client_http_authority(const atoll_client_http *http)
{
    return http->authority;
}

/* Connects to one address; the timeouts hold for connecting too. -1 with errno set. */
static int connect_to(const struct addrinfo *address, int64_t timeout_ms)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0)
        return -1;
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0 &&
        connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static atoll_status connect_socket(atoll_client_http *http, atoll_error *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int failed = getaddrinfo(http->host, http->port, &hints, &list);
    if (failed)
        return atoll_fail(error, ATOLL_IO, "cannot find %.120s: %s", http->authority, gai_strerror(failed));
    int reason = ECONNREFUSED;
    for (struct addrinfo *a = list; a && http->socket < 0; a = a->ai_next) {
        http->socket = connect_to(a, http->timeout_ms);
        if (http->socket < 0)
            reason = errno;
    }
    freeaddrinfo(list);
    if (http->socket >= 0)
        return ATOLL_OK;
    if (reason == EINPROGRESS || reason == ETIMEDOUT)
        return atoll_fail(error, ATOLL_TIMEOUT, "connecting to %.120s took too long", http->authority);
    return atoll_fail(error, ATOLL_IO, "cannot connect to %.120s: %s", http->authority, strerror(reason));
}

/* A server may close a kept connection while nothing is under way; so that a request is not lost on it, look first. */
static bool still_open(atoll_client_http *http)
{
    if (http->socket < 0)
        return false;
    char byte;
    ssize_t got = recv(http->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static atoll_status socket_failed(const atoll_client_http *http, const char *doing, atoll_error *error)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return atoll_fail(error, ATOLL_TIMEOUT, "%s %.120s took too long", doing, http->authority);
    return atoll_fail(error, ATOLL_IO, "%s %.120s: %s", doing, http->authority, strerror(errno));
}

/* ---- sending ---- */

static atoll_status send_all(atoll_client_http *http, struct iovec *parts, int count, atoll_error *error)
{
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(http->socket, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return socket_failed(http, "sending to", error);
        size_t left = (size_t)sent;
        while (count && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return ATOLL_OK;
}

static atoll_status send_request(atoll_client_http *http, const char *method, const char *target, const char *type,
                                 const void *body, size_t bytes, atoll_error *error)
{
    bool with_body = type != NULL, may_have_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    int head = snprintf(http->line, sizeof http->line, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target,
                        http->authority);
    size_t room = sizeof http->line;
    if (with_body && head > 0 && (size_t)head < room)
        head += snprintf(http->line + head, room - (size_t)head, "Content-Type: %s\r\nContent-Length: %zu\r\n", type,
                         bytes);
    if (head > 0 && (size_t)head < room)
        head += snprintf(http->line + head, room - (size_t)head, "%s\r\n",
                         may_have_body && !with_body ? "Content-Length: 0\r\n" : "");
    if (head < 0 || (size_t)head >= room)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the request's head is too long");
    struct iovec parts[2] = {{http->line, (size_t)head}, {(void *)body, with_body ? bytes : 0}};
    return send_all(http, parts, 2, error);
}

/* ---- receiving ---- */

/* Reads what is there into `input`, which is empty; ATOLL_IO where the server has closed the connection. */
static atoll_status fill(atoll_client_http *http, atoll_error *error)
{
    ssize_t got;
    do {
        got = recv(http->socket, http->input, sizeof http->input, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return socket_failed(http, "reading from", error);
    if (got == 0)
        return atoll_fail(error, ATOLL_IO, "%.120s closed the connection", http->authority);
    http->broke_unanswered = false;
    http->start = 0;
    http->end = (size_t)got;
    return ATOLL_OK;
}

/* One line into `line`, terminated, without its end. */
static atoll_status read_line(atoll_client_http *http, atoll_error *error)
{
    size_t length = 0;
    for (;;) {
        if (http->start == http->end) {
            atoll_status status = fill(http, error);
            if (status)
                return status;
        }
        char *from = http->input + http->start;
        size_t there = http->end - http->start;
        char *newline = memchr(from, '\n', there);
        size_t take = newline ? (size_t)(newline - from) : there;
        if (length + take >= sizeof http->line)
            return atoll_fail(error, ATOLL_IO, "%.120s sent a line that is too long", http->authority);
        memcpy(http->line + length, from, take);
        length += take;
        http->start += take + (newline != NULL);
        if (!newline)
            continue;
        if (length && http->line[length - 1] == '\r')
            length--;
        http->line[length] = 0;
        return ATOLL_OK;
    }
}

/* Makes room for `more` bytes of body, and for the padding behind them. */
static atoll_status reserve(atoll_client_http *http, uint64_t more, atoll_error *error)
{
    if (more > ATOLL_CLIENT_HTTP_REPLY_MAX_BYTES - http->bytes)
        return atoll_fail(error, ATOLL_BODY_TOO_LARGE, "the reply of %.120s is too long", http->authority);
    size_t need = http->bytes + (size_t)more + ATOLL_JSON_PADDING;
    if (need <= http->capacity)
        return ATOLL_OK;
    size_t capacity = http->capacity ? http->capacity : 4096;
    while (capacity < need)
        capacity *= 2;
    char *body = realloc(http->body, capacity);
    if (!body)
        return atoll_fail(error, ATOLL_NO_MEMORY, "for a reply of %zu bytes", need);
    http->body = body;
    http->capacity = capacity;
    return ATOLL_OK;
}

static atoll_status read_bytes(atoll_client_http *http, uint64_t count, atoll_error *error)
{
    atoll_status status = reserve(http, count, error);
    while (!status && count) {
        if (http->start == http->end && (status = fill(http, error)))
            break;
        size_t there = http->end - http->start;
        size_t take = there < count ? there : (size_t)count;
        memcpy(http->body + http->bytes, http->input + http->start, take);
        http->bytes += take;
        http->start += take;
        count -= take;
    }
    return status;
}

/* RFC 9112, section 7.1. Extensions and trailers are read over. */
static atoll_status read_chunks(atoll_client_http *http, atoll_error *error)
{
    for (;;) {
        atoll_status status = read_line(http, error);
        if (status)
            return status;
        char *after;
        errno = 0;
        unsigned long long size = strtoull(http->line, &after, 16);
        bool readable = isxdigit((unsigned char)http->line[0]) && errno == 0 && strchr("; \t", *after);
        if (!readable)
            return atoll_fail(error, ATOLL_IO, "%.120s sent a chunk without a size", http->authority);
        if (size == 0)
            break;
        if ((status = read_bytes(http, size, error)) || (status = read_line(http, error)))
            return status;
        if (http->line[0])
            return atoll_fail(error, ATOLL_IO, "%.120s sent a chunk that is too long", http->authority);
    }
    for (int i = 0; i < ATOLL_CLIENT_HTTP_HEADERS_MAX; i++) {
        atoll_status status = read_line(http, error);
        if (status || !http->line[0])
            return status;
    }
    return atoll_fail(error, ATOLL_IO, "%.120s sent too many trailers", http->authority);
}

static atoll_status read_to_end(atoll_client_http *http, atoll_error *error)
{
    for (;;) {
        size_t there = http->end - http->start;
        atoll_status status = read_bytes(http, there, error);
        if (status)
            return status;
        ssize_t got = recv(http->socket, http->input, sizeof http->input, 0);
        if (got < 0 && errno != EINTR)
            return socket_failed(http, "reading from", error);
        http->start = 0;
        http->end = got > 0 ? (size_t)got : 0;
        if (got == 0)
            return ATOLL_OK;
    }
}

/* Reads the value of a header if the line is that header. */
static const char *header(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    const char *value = line + length + 1;
    return value + strspn(value, " \t");
}

static void take_type(const char *value, atoll_client_reply *reply)
{
    size_t length = strcspn(value, "; \t");
    if (length >= sizeof reply->type)
        length = 0;
    for (size_t i = 0; i < length; i++)
        reply->type[i] = (char)tolower((unsigned char)value[i]);
    reply->type[length] = 0;
}

static atoll_status take_header(atoll_client_http *http, atoll_client_reply *reply, framing *frame, atoll_error *error)
{
    const char *value;
    if ((value = header(http->line, "content-length"))) {
        char *after;
        errno = 0;
        frame->length = strtoull(value, &after, 10);
        if (!isdigit((unsigned char)*value) || errno || strspn(after, " \t") != strlen(after))
            return atoll_fail(error, ATOLL_IO, "%.120s sent no usable content length", http->authority);
        frame->length_known = true;
    } else if ((value = header(http->line, "transfer-encoding"))) {
        frame->chunked = strcasestr(value, "chunked") != NULL;
    } else if ((value = header(http->line, "connection"))) {
        frame->close = strcasestr(value, "close") != NULL;
    } else if ((value = header(http->line, "content-type"))) {
        take_type(value, reply);
    } else if ((value = header(http->line, "retry-after"))) {
        unsigned long seconds = isdigit((unsigned char)*value) ? strtoul(value, NULL, 10) : 0; /* 0 for a date */
        reply->retry_after_s = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
    }
    return ATOLL_OK;
}

static atoll_status read_head(atoll_client_http *http, atoll_client_reply *reply, framing *frame, atoll_error *error)
{
    atoll_status status = read_line(http, error);
    if (status)
        return status;
    int minor = 0;
    if (sscanf(http->line, "HTTP/1.%1d %3d", &minor, &reply->status) != 2 || reply->status < 100)
        return atoll_fail(error, ATOLL_IO, "%.120s does not answer with HTTP", http->authority);
    *frame = (framing){.close = minor == 0};
    for (int i = 0; i < ATOLL_CLIENT_HTTP_HEADERS_MAX; i++) {
        if ((status = read_line(http, error)) || !http->line[0])
            return status;
        if ((status = take_header(http, reply, frame, error)))
            return status;
    }
    return atoll_fail(error, ATOLL_IO, "%.120s sent too many headers", http->authority);
}

static atoll_status read_reply(atoll_client_http *http, atoll_client_reply *reply, atoll_error *error)
{
    framing frame = {0};
    atoll_status status;
    http->bytes = 0;
    do {
        *reply = (atoll_client_reply){0};
        if ((status = read_head(http, reply, &frame, error)))
            return status;
    } while (reply->status < 200); /* interim answers come before the final one */

    bool bodiless = reply->status == 204 || reply->status == 304;
    bool to_end = !bodiless && !frame.chunked && !frame.length_known;
    if ((status = reserve(http, 0, error)))
        return status;
    if (frame.chunked)
        status = read_chunks(http, error);
    else if (to_end)
        status = read_to_end(http, error);
    else if (!bodiless)
        status = read_bytes(http, frame.length, error);
    if (status)
        return status;
    memset(http->body + http->bytes, 0, ATOLL_JSON_PADDING);
    reply->body = http->body;
    reply->bytes = http->bytes;
    if (frame.close || to_end)
        disconnect(http);
    return ATOLL_OK;
}

/* One try on the connection as it is. A server may answer and close before it has read the whole body: then sending
 * fails, and the answer says why. */
static atoll_status exchange(atoll_client_http *http, const char *method, const char *target, const char *type,
                             const void *body, size_t bytes, atoll_client_reply *reply, atoll_error *error)
{
    http->broke_unanswered = true;
    atoll_status status = send_request(http, method, target, type, body, bytes, error);
    if (!status)
        return read_reply(http, reply, error);
    if (status != ATOLL_IO || read_reply(http, reply, NULL))
        return status;
    disconnect(http);
    return ATOLL_OK;
}

atoll_status atoll_client_http_call(atoll_client_http *http, const char *method, const char *target, const char *type,
                                    const void *body, size_t bytes, atoll_client_reply *reply, atoll_error *error)
{
    bool may_repeat = strcmp(method, "GET") == 0;
    for (;;) {
        bool kept = still_open(http);
        atoll_status status = ATOLL_OK;
        if (!kept) {
            disconnect(http);
            status = connect_socket(http, error);
        }
        if (!status)
            status = exchange(http, method, target, type, body, bytes, reply, error);
        if (!status)
            return ATOLL_OK;
        disconnect(http);
        if (!may_repeat || !kept || status != ATOLL_IO || !http->broke_unanswered)
            return status;
        may_repeat = false;
    }
}
