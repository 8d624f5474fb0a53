#include "api/server.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/body.h"
#include "api/listen.h"
#include "api/request.h"
#include "api/together.h"
#include "api/watch.h"
#include "core/clock.h"
#include "core/log.h"

enum {
    CONNECTION_MEMORY_BYTES = 64 * 1024, /* of libmicrohttpd for each connection; the header's limit is part of it */
    DISCARD_MAX_BYTES = 1 << 20,         /* a refused body up to this size is read, so that the connection can stay */
    SENDING_TIMES = 10,                  /* body deadlines that a client may take to read its reply */
    WATCH_MS = 1000                      /* between two looks for late connections, at most */
};

/* What a loop finds in its inbox beside sockets. */
enum { INBOX_LOOK = -1 /* at what has changed */, INBOX_END = -2 };

/* A thread with connections of its own. */
typedef struct loop {
    atoll_server *server;
    struct MHD_Daemon *daemon;
    int inbox[2];                 /* a pipe of ints: new connections' sockets, or INBOX_… */
    _Atomic uint32_t connections; /* with those in the inbox */
    atoll_worker worker;
    atoll_request *gathered[ATOLL_TOGETHER_MOST];
    uint32_t gathered_count;
    bool again; /* replies are to be sent, or requests to be gathered */
    bool runs;
    pthread_t thread;
} loop;

struct atoll_server {
    atoll_service *service;
    atoll_listener listener; /* the first loop's, who accepts for all */
    loop *loops;
    uint32_t loop_count;
    _Atomic uint32_t connections;
    atoll_bodies bodies;
    atoll_watch *watch;
    pthread_mutex_t lock;   /* for `drained` */
    pthread_cond_t drained; /* no request is left while draining */
};

typedef enum stage {
    STAGE_HEAD,
    STAGE_BODY,
    STAGE_WHOLE,    /* there was no room to gather it */
    STAGE_GATHERED, /* is answered once the loop has heard all its connections */
    STAGE_REPLY
} stage;

/* A request with what HTTP knows of it. Its loop's, but while it is suspended. */
typedef struct exchange {
    atoll_request request; /* first */
    loop *loop;
    struct MHD_Connection *connection;
    atoll_peer *peer;
    stage stage;
    bool suspended, finished, counted;
    atoll_body body; /* what request.body shows */
    uint64_t length; /* as the header says; 0 where it says nothing */
    atoll_status refused;
    atoll_error error;
    char *target; /* as it stood in the request line */
} exchange;

static const char no_body[ATOLL_JSON_PADDING];

/* Any thread. */
static void make_look(loop *l)
{
    static const int look = INBOX_LOOK;
    (void)!write(l->inbox[1], &look, sizeof look); /* where it is full, the loop looks soon */
}

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
    if (atomic_load(&e->loop->server->service->phase) == ATOLL_PHASE_DRAINING)
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    atomic_store(&e->peer->deadline_ns, atoll_clock_monotonic_ns() +
                 (int64_t)e->loop->server->service->options->body_deadline_ms * SENDING_TIMES * 1000000);
    enum MHD_Result result = MHD_queue_response(e->connection, (unsigned)reply->http, response);
    MHD_destroy_response(response);
    return result;
}

/* The handler's or the pool's answer is there. */
static void finished(atoll_request *request)
{
    exchange *e = (exchange *)(void *)request;
    loop *l = e->loop;
    e->finished = true;
    if (!e->suspended)
        return;
    MHD_resume_connection(e->connection); /* from now on the exchange is the loop's again */
    make_look(l);
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
    const char *coding = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    if (takes == ATOLL_TAKES_NOTHING)
        return ATOLL_OK;
    if (coding && *coding && strcasecmp(coding, "identity"))
        return atoll_fail(error, ATOLL_UNSUPPORTED_TYPE, "a body in the coding \"%.64s\" is not taken", coding);
    if (!value || type_is(value, "application/json"))
        return ATOLL_OK;
    if (takes == ATOLL_TAKES_RECORDS && type_is(value, "application/x-ndjson")) {
        e->request.ndjson = true;
        return ATOLL_OK;
    }
    return atoll_fail(error, ATOLL_UNSUPPORTED_TYPE, "this path takes application/json%s, not \"%.64s\"",
                      takes == ATOLL_TAKES_RECORDS ? " and application/x-ndjson" : "", value);
}

static atoll_status check_head(exchange *e, const char *method)
{
    atoll_status status = check_framing(e, &e->error);
    if (status)
        return status;
    status = atoll_route_match(atoll_routes, atoll_route_count, method, e->target ? e->target : "", &e->request.target,
                               &e->error);
    if (status || (status = atoll_bodies_allow(&e->loop->server->bodies, e->length, &e->error)))
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
    atoll_body_drop(&e->loop->server->bodies, &e->body);
    e->request.body = no_body;
    e->request.body_bytes = 0;
}

static void take_body(exchange *e, const char *data, size_t bytes)
{
    if (e->refused)
        return;
    e->refused = atoll_body_add(&e->loop->server->bodies, &e->body, e->length, data, bytes, &e->error);
    if (e->refused) {
        drop_body(e);
        return;
    }
    e->request.body = e->body.data;
    e->request.body_bytes = e->body.bytes;
}

/* A worker is to answer. */
static enum MHD_Result hand_over(exchange *e)
{
    atoll_request *request = &e->request;
    e->stage = STAGE_REPLY;
    e->suspended = true;
    MHD_suspend_connection(e->connection);
    if (!atoll_pool_offer(e->loop->server->service->pool, &request->job)) {
        atoll_fail(&e->error, ATOLL_BUSY, "%llu requests wait already",
                   (unsigned long long)e->loop->server->service->options->queue_max);
        atoll_request_problem(request, ATOLL_BUSY, &e->error, 0);
        atoll_request_finish(request);
    }
    return MHD_YES;
}

/* The loop is to answer, together with what else it finds now; libmicrohttpd asks again in the next round. */
static enum MHD_Result gather(exchange *e)
{
    loop *l = e->loop;
    bool room = l->gathered_count < ATOLL_TOGETHER_MOST;
    e->stage = room ? STAGE_GATHERED : STAGE_WHOLE;
    if (room)
        l->gathered[l->gathered_count++] = &e->request;
    l->again = true;
    return MHD_YES;
}

static void answer_gathered(loop *l)
{
    atoll_pool *pool = l->server->service->pool;
    uint32_t count = l->gathered_count;
    l->gathered_count = 0;
    if (count && atoll_pool_enter(pool)) {
        atoll_together_answer(l->gathered, count, &l->worker);
        atoll_pool_leave(pool);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        atoll_request_run(&l->gathered[i]->job, NULL);
}

/* A connection has broken before its request was answered. */
static void forget(loop *l, const atoll_request *request)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->gathered_count; i++)
        if (l->gathered[i] != request)
            l->gathered[kept++] = l->gathered[i];
    l->gathered_count = kept;
}

/* The request is whole. */
static enum MHD_Result dispatch(exchange *e)
{
    atoll_request *request = &e->request;
    atoll_service *service = e->loop->server->service;
    atomic_store(&e->peer->deadline_ns, INT64_MAX);
    e->counted = true;
    atomic_fetch_add(&service->busy, 1);
    bool at_once = request->target.route && request->target.route->at_once;
    if (!e->refused && !at_once && atomic_load(&service->phase) == ATOLL_PHASE_DRAINING)
        e->refused = atoll_fail(&e->error, ATOLL_SHUTTING_DOWN, "the server is going down");
    if (e->refused)
        return send_refusal(e);
    if (at_once) {
        e->stage = STAGE_REPLY;
        atoll_request_run(&request->job, NULL);
        return send_reply(e);
    }
    if (atoll_together_takes(request))
        return gather(e);
    return hand_over(e);
}

/* ---- what libmicrohttpd calls, all on the loop's thread ---- */

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
    case STAGE_WHOLE:
        return gather(e);
    case STAGE_GATHERED: /* a connection may be looked at twice in a round, before what it waits for */
        return e->finished ? send_reply(e) : e->request.apart ? hand_over(e) : MHD_YES;
    default:
        if (*bytes) { /* behind a refusal */
            *bytes = 0;
            return MHD_YES;
        }
        return send_reply(e);
    }
}

/* The request line is there, nothing else of the request. The only sight of the target before it is decoded. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    loop *l = arg;
    atoll_server *server = l->server;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    atoll_peer *p = info ? info->socket_context : NULL;
    exchange *e = p ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->loop = l;
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
    loop *l = arg;
    atoll_server *server = l->server;
    exchange *e = *context;
    (void)connection;
    (void)code;
    if (!e)
        return;
    *context = NULL;
    atomic_store(&e->peer->deadline_ns, next_deadline(server));
    forget(l, &e->request);
    drop_body(e);
    atoll_writer_free(&e->request.reply.body);
    if (e->counted && atomic_fetch_sub(&server->service->busy, 1) == 1 &&
        atomic_load(&server->service->phase) == ATOLL_PHASE_DRAINING) {
        pthread_mutex_lock(&server->lock);
        pthread_cond_broadcast(&server->drained);
        pthread_mutex_unlock(&server->lock);
    }
    free(e->target);
    free(e);
}

/* A connection is gone; the first loop may accept another. */
static void let_go(loop *l)
{
    atoll_server *server = l->server;
    atomic_fetch_sub(&l->connections, 1);
    if (atomic_fetch_sub(&server->connections, 1) == server->service->options->connections_max)
        make_look(server->loops);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    loop *l = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? atoll_watch_join(l->server->watch, info->connect_fd, next_deadline(l->server)) : NULL;
        return;
    }
    if (*context)
        atoll_watch_leave(l->server->watch, *context);
    *context = NULL;
    let_go(l);
}

static void on_message(void *arg, const char *format, va_list args)
{
    char text[256];
    (void)arg;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    atoll_log(ATOLL_LOG_DEBUG, "http", "detail", ATOLL_TEXT(text), NULL);
}

/* ---- the loops ---- */

static bool accepts(const loop *l)
{
    const atoll_server *server = l->server;
    return l == server->loops && atomic_load(&server->connections) < server->service->options->connections_max;
}

/* A new connection is for the loop that has fewest. */
static void accept_all(loop *l)
{
    atoll_server *server = l->server;
    while (accepts(l)) {
        int fd = atoll_listener_accept(&server->listener);
        if (fd < 0)
            return;
        loop *for_it = server->loops;
        for (uint32_t i = 1; i < server->loop_count; i++)
            if (atomic_load(&server->loops[i].connections) < atomic_load(&for_it->connections))
                for_it = &server->loops[i];
        atomic_fetch_add(&for_it->connections, 1);
        atomic_fetch_add(&server->connections, 1);
        if (write(for_it->inbox[1], &fd, sizeof fd) != sizeof fd) {
            close(fd);
            let_go(for_it);
        }
    }
}

/* Takes over what the inbox holds. False at the end. */
static bool take_in(loop *l)
{
    int what[64];
    ssize_t bytes = read(l->inbox[0], what, sizeof what);
    for (ssize_t i = 0; i < bytes / (ssize_t)sizeof *what; i++) {
        struct sockaddr_storage address;
        socklen_t address_bytes = sizeof address;
        if (what[i] == INBOX_END)
            return false;
        if (what[i] == INBOX_LOOK)
            continue;
        if (getpeername(what[i], (struct sockaddr *)&address, &address_bytes)) {
            close(what[i]);
            let_go(l);
        } else if (!MHD_add_connection(l->daemon, what[i], (struct sockaddr *)&address, address_bytes)) {
            let_go(l);
        }
    }
    return true;
}

/* How long the loop may sleep, for poll. */
static int sleep_ms(loop *l)
{
    MHD_UNSIGNED_LONG_LONG ms = INT32_MAX;
    bool bounded = MHD_get_timeout(l->daemon, &ms) == MHD_YES;
    int64_t accept_ms = accepts(l) ? atoll_listener_pause_ms(&l->server->listener) : 0;
    if (l->again)
        return 0;
    if (accept_ms && (!bounded || ms > (uint64_t)accept_ms))
        return (int)accept_ms;
    return !bounded ? -1 : ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static void *loop_main(void *arg)
{
    loop *l = arg;
    atoll_server *server = l->server;
    int events = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    for (;;) {
        bool listens = accepts(l) && !atoll_listener_pause_ms(&server->listener);
        struct pollfd watched[] = {{.fd = events, .events = POLLIN},
                                   {.fd = l->inbox[0], .events = POLLIN},
                                   {.fd = listens ? server->listener.socket : -1, .events = POLLIN}};
        poll(watched, 3, sleep_ms(l));
        if (watched[1].revents && !take_in(l))
            return NULL;
        if (watched[2].revents)
            accept_all(l);
        l->again = false;
        MHD_run(l->daemon);
        answer_gathered(l);
    }
}

static atoll_status loop_start(loop *l, atoll_error *error)
{
    const atoll_options *options = l->server->service->options;
    const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (pipe2(l->inbox, O_NONBLOCK | O_CLOEXEC)) {
        l->inbox[0] = l->inbox[1] = -1;
        return atoll_fail(error, ATOLL_IO, "cannot make a pipe: %m");
    }
    if (!atoll_worker_prepare(&l->worker))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a loop's scratch");
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((options->idle_timeout_ms + 999) / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (!l->daemon)
        return atoll_fail(error, ATOLL_IO, "libmicrohttpd does not start");
    l->runs = !pthread_create(&l->thread, NULL, loop_main, l);
    return l->runs ? ATOLL_OK : atoll_fail(error, ATOLL_IO, "cannot start a loop");
}

static void loop_stop(loop *l)
{
    static const int end = INBOX_END;
    while (l->runs && write(l->inbox[1], &end, sizeof end) < 0)
        sched_yield(); /* full of connections that it is just taking in */
    if (l->runs)
        pthread_join(l->thread, NULL);
    if (l->daemon)
        MHD_stop_daemon(l->daemon);
    for (int side = 0; side < 2; side++) {
        if (l->inbox[side] >= 0)
            close(l->inbox[side]);
        l->inbox[side] = -1; /* others may still want it to look */
    }
    atoll_worker_clean(&l->worker);
}

static atoll_status start_loops(atoll_server *server, atoll_error *error)
{
    uint32_t count = atoll_pool_threads(server->service->pool);
    server->loops = calloc(count, sizeof *server->loops);
    if (!server->loops)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u loops", count);
    server->loop_count = count;
    for (uint32_t i = 0; i < count; i++)
        server->loops[i] = (loop){.server = server, .inbox = {-1, -1}};
    atoll_status status = ATOLL_OK;
    /* The first one accepts for all, so it begins last. */
    for (uint32_t i = count; i-- && !status;)
        status = loop_start(&server->loops[i], error);
    return status;
}

/* ---- life ---- */

atoll_status atoll_server_start(atoll_service *service, atoll_server **out, atoll_error *error)
{
    pthread_condattr_t monotonic;
    atoll_server *server = calloc(1, sizeof *server);
    if (!server)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the server");
    server->service = service;
    server->listener.socket = -1;
    atoll_bodies_init(&server->bodies, service->options->body_max_bytes);
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->drained, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int64_t step_ms = (int64_t)service->options->body_deadline_ms / 4;
    atoll_status status = atoll_watch_start(step_ms < WATCH_MS ? step_ms : WATCH_MS, &server->watch, error);
    if (!status)
        status = atoll_listen(service->options->listen, &server->listener, error);
    if (!status)
        status = start_loops(server, error);
    if (status) {
        atoll_server_stop(server);
        return status;
    }
    *out = server;
    return ATOLL_OK;
}

const char *atoll_server_address(const atoll_server *server)
{
    return server->listener.address;
}

uint16_t atoll_server_port(const atoll_server *server)
{
    return server->listener.port;
}

bool atoll_server_drain(atoll_server *server, int64_t wait_ms)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + wait_ms * 1000000;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    int late = 0;
    pthread_mutex_lock(&server->lock);
    while (atomic_load(&server->service->busy) && !late)
        late = pthread_cond_timedwait(&server->drained, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
    return !atomic_load(&server->service->busy);
}

void atoll_server_stop(atoll_server *server)
{
    if (!server)
        return;
    for (uint32_t i = 0; i < server->loop_count; i++)
        loop_stop(&server->loops[i]);
    if (server->listener.socket >= 0)
        close(server->listener.socket);
    atoll_watch_stop(server->watch);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->drained);
    free(server->loops);
    free(server);
}
