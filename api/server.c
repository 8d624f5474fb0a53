#include "api/server.h"

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/request.h"
#include "core/clock.h"
#include "core/log.h"

enum {
    CONNECTION_MEMORY_BYTES = 64 * 1024, /* of libmicrohttpd for each connection; the header's limit is part of it */
    BODY_START_BYTES = 64 * 1024,        /* first allocation of a body; doubled as it grows */
    BODIES_AT_ONCE = 4,                  /* bodies of full size that may be held at once, and */
    BODIES_BYTES = 64 << 20,             /* this much beside them; beyond it 429 */
    DISCARD_MAX_BYTES = 1 << 20,         /* a refused body up to this size is read, so that the connection can stay */
    SENDING_TIMES = 10                   /* body deadlines that a client may take to read its reply */
};

/* One socket. Its deadline is a monotonic time in ns at which the watch cuts it off. */
typedef struct peer {
    struct peer *previous, *next;
    int socket;
    _Atomic int64_t deadline_ns;
} peer;

struct atoll_server {
    atoll_service *service;
    struct MHD_Daemon *daemon;
    int socket;
    char address[NI_MAXHOST + 16];
    uint16_t port;
    size_t body_bytes;    /* held for bodies; the epoll thread's */
    size_t body_budget_bytes;
    pthread_mutex_t lock; /* guards the list and `stopping` */
    pthread_cond_t wake;  /* for the watch, and for who waits for the drain */
    peer peers;           /* head of the list */
    bool stopping, watch_runs;
    pthread_t watch;
};

typedef enum stage { STAGE_HEAD, STAGE_BODY, STAGE_REPLY } stage;

/* A request with what HTTP knows of it. The epoll thread's, but while it is suspended. */
typedef struct exchange {
    atoll_request request; /* first */
    atoll_server *server;
    struct MHD_Connection *connection;
    peer *peer;
    stage stage;
    bool suspended, counted;
    char *buffer;
    size_t buffer_bytes;
    uint64_t length; /* as the header says; 0 where it says nothing */
    atoll_status refused;
    atoll_error error;
    char *target; /* as it stood in the request line */
} exchange;

static const char no_body[ATOLL_JSON_PADDING];

/* ---- replies ---- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value); /* fails for want of memory only: a reply without it still serves */
}

static enum MHD_Result send_reply(exchange *e)
{
    atoll_reply *reply = &e->request.reply;
    char number[16];
    atoll_writer body = reply->body;
    atoll_writer_init(&reply->body);
    struct MHD_Response *response =
        body.data ? MHD_create_response_from_buffer(body.bytes, body.data, MHD_RESPMEM_MUST_FREE)
                  : MHD_create_response_from_buffer(0, (void *)(uintptr_t)no_body, MHD_RESPMEM_PERSISTENT);
    if (!response) {
        atoll_writer_free(&body);
        return MHD_NO;
    }
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    add_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->retry_after) {
        snprintf(number, sizeof number, "%d", ATOLL_RETRY_AFTER_S);
        add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, number);
    }
    if (e->request.target.allow[0])
        add_header(response, MHD_HTTP_HEADER_ALLOW, e->request.target.allow);
    if (atomic_load(&e->server->service->phase) == ATOLL_PHASE_DRAINING)
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    atomic_store(&e->peer->deadline_ns, atoll_clock_monotonic_ns() +
                 (int64_t)e->server->service->options->body_deadline_ms * SENDING_TIMES * 1000000);
    enum MHD_Result result = MHD_queue_response(e->connection, (unsigned)reply->http, response);
    MHD_destroy_response(response);
    return result;
}

/* The handler's or the pool's answer is there. */
static void finished(atoll_request *request)
{
    exchange *e = (exchange *)(void *)request;
    if (e->suspended)
        MHD_resume_connection(e->connection);
}

static enum MHD_Result send_refusal(exchange *e)
{
    e->stage = STAGE_REPLY;
    atoll_request_problem(&e->request, e->refused, &e->error, 0);
    atoll_request_finish(&e->request);
    return send_reply(e);
}

/* ---- the head of a request ---- */

typedef struct headers {
    const char *length, *encoding;
    bool contradictory;
} headers;

static enum MHD_Result visit_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    headers *h = arg;
    (void)kind;
    if (!value)
        return MHD_YES;
    if (!strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
        h->contradictory |= h->length && strcmp(h->length, value);
        h->length = value;
    } else if (!strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        h->contradictory |= h->encoding || strcasecmp(value, "chunked");
        h->encoding = value;
    }
    return MHD_YES;
}

/* Two readings of where a body ends are how requests are smuggled past a proxy [RFC 9112, 6.3]. */
static atoll_status check_framing(exchange *e, atoll_error *error)
{
    headers h = {0};
    MHD_get_connection_values(e->connection, MHD_HEADER_KIND, visit_header, &h);
    if (h.contradictory || (h.length && h.encoding))
        return atoll_fail(error, ATOLL_BAD_REQUEST, "Content-Length and Transfer-Encoding contradict each other");
    if (!h.length)
        return ATOLL_OK;
    size_t digits = strspn(h.length, "0123456789");
    if (!digits || h.length[digits])
        return atoll_fail(error, ATOLL_BAD_REQUEST, "Content-Length is not a number");
    e->length = digits > 18 ? UINT64_MAX : strtoull(h.length, NULL, 10);
    return ATOLL_OK;
}

static bool type_is(const char *value, const char *type)
{
    size_t bytes = strlen(type);
    return !strncasecmp(value, type, bytes) && strchr("; \t", value[bytes]); /* its end, or parameters */
}

static atoll_status check_type(exchange *e, atoll_error *error)
{
    atoll_takes takes = e->request.target.route->takes;
    const char *value = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (takes == ATOLL_TAKES_NOTHING || !value || type_is(value, "application/json"))
        return ATOLL_OK;
    if (takes == ATOLL_TAKES_RECORDS && type_is(value, "application/x-ndjson")) {
        e->request.ndjson = true;
        return ATOLL_OK;
    }
    return atoll_fail(error, ATOLL_UNSUPPORTED_TYPE, "this path takes application/json%s, not \"%.64s\"",
                      takes == ATOLL_TAKES_RECORDS ? " and application/x-ndjson" : "", value);
}

static atoll_status check_size(const exchange *e, uint64_t bytes, atoll_error *error)
{
    uint64_t most = e->server->service->options->body_max_bytes;
    if (bytes > most)
        return atoll_fail(error, ATOLL_BODY_TOO_LARGE, "the body is over %llu bytes", (unsigned long long)most);
    return ATOLL_OK;
}

static atoll_status check_head(exchange *e, const char *method)
{
    atoll_status status = check_framing(e, &e->error);
    if (status)
        return status;
    status = atoll_route_match(atoll_routes, atoll_route_count, method, e->target ? e->target : "", &e->request.target,
                               &e->error);
    if (status || (status = check_size(e, e->length, &e->error)))
        return status;
    return check_type(e, &e->error);
}

static enum MHD_Result take_head(exchange *e, struct MHD_Connection *connection, const char *method)
{
    e->connection = connection;
    e->stage = STAGE_BODY;
    e->refused = check_head(e, method);
    /* A body of two readings has no end to read to, and a large one is not worth it. */
    bool stays = e->refused != ATOLL_BAD_REQUEST && e->length <= DISCARD_MAX_BYTES;
    return e->refused && !stays ? send_refusal(e) : MHD_YES;
}

/* ---- its body ---- */

static void drop_body(exchange *e)
{
    e->server->body_bytes -= e->buffer_bytes;
    free(e->buffer);
    e->buffer = NULL;
    e->buffer_bytes = 0;
    e->request.body = no_body;
    e->request.body_bytes = 0;
}

static atoll_status grow(exchange *e, size_t needed, atoll_error *error)
{
    atoll_server *server = e->server;
    size_t most = (e->length ? e->length : server->service->options->body_max_bytes) + ATOLL_JSON_PADDING;
    size_t bytes = e->buffer_bytes ? e->buffer_bytes : BODY_START_BYTES;
    while (bytes < needed)
        bytes *= 2;
    bytes = bytes < most ? bytes : most;
    if (server->body_bytes - e->buffer_bytes + bytes > server->body_budget_bytes)
        return atoll_fail(error, ATOLL_BUSY, "the server holds as many bodies as it may");
    char *buffer = realloc(e->buffer, bytes);
    if (!buffer)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the body");
    server->body_bytes += bytes - e->buffer_bytes;
    e->buffer = buffer;
    e->buffer_bytes = bytes;
    return ATOLL_OK;
}

static void take_body(exchange *e, const char *data, size_t bytes)
{
    if (e->refused)
        return;
    size_t had = e->request.body_bytes, needed = had + bytes + ATOLL_JSON_PADDING;
    e->refused = check_size(e, had + bytes, &e->error);
    if (!e->refused && needed > e->buffer_bytes)
        e->refused = grow(e, needed, &e->error);
    if (e->refused) {
        drop_body(e);
        return;
    }
    memcpy(e->buffer + had, data, bytes);
    memset(e->buffer + had + bytes, 0, ATOLL_JSON_PADDING);
    e->request.body = e->buffer;
    e->request.body_bytes += bytes;
}

/* The request is whole. */
static enum MHD_Result dispatch(exchange *e)
{
    atoll_request *request = &e->request;
    atoll_service *service = e->server->service;
    atomic_store(&e->peer->deadline_ns, INT64_MAX);
    e->counted = true;
    atomic_fetch_add(&service->busy, 1);
    bool at_once = request->target.route && request->target.route->at_once;
    if (!e->refused && !at_once && atomic_load(&service->phase) == ATOLL_PHASE_DRAINING)
        e->refused = atoll_fail(&e->error, ATOLL_SHUTTING_DOWN, "the server is going down");
    if (e->refused)
        return send_refusal(e);
    e->stage = STAGE_REPLY;
    if (at_once) {
        atoll_request_run(&request->job, NULL);
        return send_reply(e);
    }
    e->suspended = true;
    MHD_suspend_connection(e->connection);
    if (!atoll_pool_offer(service->pool, &request->job)) {
        atoll_fail(&e->error, ATOLL_BUSY, "%llu requests wait already",
                   (unsigned long long)service->options->queue_max);
        atoll_request_problem(request, ATOLL_BUSY, &e->error, 0);
        atoll_request_finish(request);
    }
    return MHD_YES;
}

/* ---- what libmicrohttpd calls, all on its thread ---- */

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *bytes, void **context)
{
    exchange *e = *context;
    (void)arg;
    (void)url;
    (void)version;
    if (!e)
        return MHD_NO;
    switch (e->stage) {
    case STAGE_HEAD:
        return take_head(e, connection, method);
    case STAGE_BODY:
        if (!*bytes)
            return dispatch(e);
        take_body(e, data, *bytes);
        *bytes = 0;
        return MHD_YES;
    default:
        if (*bytes) { /* behind a refusal */
            *bytes = 0;
            return MHD_YES;
        }
        return send_reply(e);
    }
}

static peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The request line is there, nothing else of the request. The only sight of the target before it is decoded. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    atoll_server *server = arg;
    peer *p = peer_of(connection);
    exchange *e = p ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->server = server;
    e->peer = p;
    e->target = strdup(target);
    e->request.service = server->service;
    e->request.job.run = atoll_request_run;
    e->request.finished = finished;
    e->request.body = no_body;
    e->request.target.model = e->request.target.id = "";
    e->request.started_ns = atoll_clock_monotonic_ns();
    atoll_writer_init(&e->request.reply.body);
    atomic_store(&p->deadline_ns,
                 e->request.started_ns + (int64_t)server->service->options->body_deadline_ms * 1000000);
    return e;
}

/* When the next request of a connection must have begun: silence is libmicrohttpd's to end, slow heads are not. */
static int64_t next_deadline(const atoll_server *server)
{
    const atoll_options *options = server->service->options;
    return atoll_clock_monotonic_ns() + (int64_t)(options->idle_timeout_ms + options->body_deadline_ms) * 1000000;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    atoll_server *server = arg;
    exchange *e = *context;
    (void)connection;
    (void)code;
    if (!e)
        return;
    *context = NULL;
    atomic_store(&e->peer->deadline_ns, next_deadline(server));
    drop_body(e);
    atoll_writer_free(&e->request.reply.body);
    if (e->counted && atomic_fetch_sub(&server->service->busy, 1) == 1 &&
        atomic_load(&server->service->phase) == ATOLL_PHASE_DRAINING) {
        pthread_mutex_lock(&server->lock);
        pthread_cond_broadcast(&server->wake);
        pthread_mutex_unlock(&server->lock);
    }
    free(e->target);
    free(e);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    atoll_server *server = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        peer *p = info ? calloc(1, sizeof *p) : NULL;
        *context = p;
        if (!p)
            return;
        p->socket = info->connect_fd;
        atomic_init(&p->deadline_ns, next_deadline(server));
        pthread_mutex_lock(&server->lock);
        p->previous = &server->peers;
        p->next = server->peers.next;
        p->next->previous = p->previous->next = p;
        pthread_mutex_unlock(&server->lock);
        return;
    }
    peer *p = *context;
    if (!p)
        return;
    pthread_mutex_lock(&server->lock);
    p->previous->next = p->next;
    p->next->previous = p->previous;
    pthread_mutex_unlock(&server->lock);
    free(p);
    *context = NULL;
}

static void on_message(void *arg, const char *format, va_list args)
{
    char text[256];
    (void)arg;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    atoll_log(ATOLL_LOG_DEBUG, "http", "detail", ATOLL_TEXT(text), NULL);
}

/* ---- the watch ---- */

static void wait_until(atoll_server *server, int64_t monotonic_ns)
{
    struct timespec until = {.tv_sec = monotonic_ns / 1000000000, .tv_nsec = monotonic_ns % 1000000000};
    pthread_cond_timedwait(&server->wake, &server->lock, &until);
}

static void *watch_main(void *arg)
{
    atoll_server *server = arg;
    int64_t step_ns = (int64_t)server->service->options->body_deadline_ms * 1000000 / 4;
    step_ns = step_ns > 1000000000 ? 1000000000 : step_ns;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        wait_until(server, atoll_clock_monotonic_ns() + step_ns);
        int64_t now_ns = atoll_clock_monotonic_ns();
        for (peer *p = server->peers.next; p != &server->peers; p = p->next) {
            int64_t deadline_ns = atomic_load(&p->deadline_ns);
            /* libmicrohttpd sees the end of the stream and closes; the socket is open until on_connection is told. */
            if (deadline_ns < now_ns && atomic_compare_exchange_strong(&p->deadline_ns, &deadline_ns, INT64_MAX)) {
                shutdown(p->socket, SHUT_RDWR);
                atoll_log(ATOLL_LOG_INFO, "connection_cut_off", NULL);
            }
        }
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

/* ---- life ---- */

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

static atoll_status open_socket(atoll_server *server, atoll_error *error)
{
    const char *listen_at = server->service->options->listen;
    char host[NI_MAXHOST], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof bound;
    atoll_status status = cut_address(listen_at, host, port, error);
    if (status)
        return status;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return atoll_fail(error, ATOLL_IO, "cannot find %.64s: %s", listen_at, gai_strerror(failed));
    status = bind_to(found, listen_at, &server->socket, error);
    freeaddrinfo(found);
    if (status)
        return status;
    if (getsockname(server->socket, (struct sockaddr *)&bound, &bound_bytes) ||
        getnameinfo((struct sockaddr *)&bound, bound_bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return atoll_fail(error, ATOLL_IO, "cannot tell where %.64s is", listen_at);
    server->port = (uint16_t)atoi(port);
    bool v6 = bound.ss_family == AF_INET6;
    snprintf(server->address, sizeof server->address, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    return ATOLL_OK;
}

static atoll_status start_daemon(atoll_server *server, atoll_error *error)
{
    const atoll_options *options = server->service->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((options->idle_timeout_ms + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    return server->daemon ? ATOLL_OK : atoll_fail(error, ATOLL_IO, "libmicrohttpd does not start");
}

atoll_status atoll_server_start(atoll_service *service, atoll_server **out, atoll_error *error)
{
    pthread_condattr_t monotonic;
    atoll_server *server = calloc(1, sizeof *server);
    if (!server)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the server");
    server->service = service;
    server->socket = -1;
    server->body_budget_bytes = BODIES_AT_ONCE * service->options->body_max_bytes + BODIES_BYTES;
    server->peers.next = server->peers.previous = &server->peers;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    atoll_status status = open_socket(server, error);
    if (!status)
        status = start_daemon(server, error);
    if (!status && pthread_create(&server->watch, NULL, watch_main, server))
        status = atoll_fail(error, ATOLL_IO, "cannot start the server's watch");
    server->watch_runs = !status;
    if (status) {
        atoll_server_stop(server);
        return status;
    }
    *out = server;
    return ATOLL_OK;
}

const char *atoll_server_address(const atoll_server *server)
{
    return server->address;
}

uint16_t atoll_server_port(const atoll_server *server)
{
    return server->port;
}

bool atoll_server_drain(atoll_server *server, int64_t wait_ms)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + wait_ms * 1000000;
    pthread_mutex_lock(&server->lock);
    while (atomic_load(&server->service->busy) && atoll_clock_monotonic_ns() < until_ns)
        wait_until(server, until_ns);
    pthread_mutex_unlock(&server->lock);
    return !atomic_load(&server->service->busy);
}

void atoll_server_stop(atoll_server *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->wake);
    pthread_mutex_unlock(&server->lock);
    if (server->watch_runs)
        pthread_join(server->watch, NULL);
    if (server->daemon)
        MHD_stop_daemon(server->daemon); /* closes the socket too */
    else if (server->socket >= 0)
        close(server->socket);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->wake);
    free(server);
}
