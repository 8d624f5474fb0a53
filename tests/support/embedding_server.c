#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/embedding_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/writer.h"

enum { REFUSED_BYTES = 60, WORDY_BYTES = 8 << 20, STEP_MS = 10 };

typedef struct body {
    char *data;
    size_t bytes;
} body;

/* ---- what it says ---- */

static void add_word(float *v, uint32_t dim, const char *word, size_t bytes)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, atoll_hash64(word, bytes, 0), 0);
    for (uint32_t i = 0; i < dim; i++)
        v[i] += atoll_rng_normal(&rng);
}

static void embed(embedding_server *server, const char *text, float *v)
{
    memset(v, 0, server->dim * sizeof *v);
    for (const char *at = text; *at;) {
        size_t word = strcspn(at, " ");
        if (word)
            add_word(v, server->dim, at, word);
        at += word + (at[word] == ' ');
    }
    if (server->mode == EMBEDDING_DRIFTING) {
        char noise[32];
        add_word(v, server->dim, noise,
                 (size_t)snprintf(noise, sizeof noise, "drift %llu", (unsigned long long)server->drift++));
    }
}

typedef struct writing {
    embedding_server *server;
    atoll_writer *out;
    uint32_t seen, count, step;
    bool refuse;
} writing;

static bool count_one(void *arg, const char *name, atoll_json text)
{
    writing *w = arg;
    const char *data = "";
    size_t bytes = 0;
    (void)name;
    atoll_json_string(text, &data, &bytes);
    w->refuse |= strstr(data, "refuse") || bytes > REFUSED_BYTES;
    w->count++;
    return true;
}

static void put_vector(const writing *w, const char *text, uint32_t index)
{
    int mode = w->server->mode;
    uint32_t dim = w->server->dim;
    float *v = malloc(dim * sizeof *v);
    embed(w->server, text, v);
    atoll_json_object_begin(w->out);
    atoll_json_name(w->out, "object");
    atoll_json_put_text(w->out, "embedding");
    atoll_json_name(w->out, "index");
    atoll_json_put_uint(w->out, mode == EMBEDDING_TWICE ? 0 : index);
    atoll_json_name(w->out, "embedding");
    atoll_json_array_begin(w->out);
    for (uint32_t i = 0; i + (mode == EMBEDDING_SHORT) < dim; i++) {
        if (i == 2 && mode == EMBEDDING_NAN)
            atoll_writer_text(w->out, ",NaN");
        else if (i == 2 && mode == EMBEDDING_HUGE_NUMBER)
            atoll_writer_text(w->out, ",1e300");
        else
            atoll_json_put_double(w->out, (double)v[i]);
    }
    atoll_json_array_end(w->out);
    atoll_json_object_end(w->out);
    free(v);
}

/* The text whose turn it is: each round writes one, so that the order can be turned about. */
static bool put_one(void *arg, const char *name, atoll_json text)
{
    writing *w = arg;
    const char *data = "";
    size_t bytes;
    bool backwards = w->server->mode == EMBEDDING_REVERSED;
    uint32_t wanted = backwards ? w->count - 1 - w->step : w->step;
    (void)name;
    if (w->seen++ != wanted)
        return true;
    atoll_json_string(text, &data, &bytes);
    put_vector(w, data, wanted);
    return false;
}

static unsigned answer_texts(embedding_server *server, atoll_json input, atoll_writer *out)
{
    writing w = {.server = server, .out = out};
    atoll_json_each(input, count_one, &w);
    server->texts += w.count;
    if (server->mode == EMBEDDING_REFUSING_ALL || (server->mode == EMBEDDING_REFUSING && w.refuse)) {
        atoll_writer_text(out, "{\"error\":{\"message\":\"no such input\",\"code\":null}}");
        return 400;
    }
    atoll_writer_text(out, "{\"object\":\"list\",\"data\":[");
    uint32_t told = w.count - (server->mode == EMBEDDING_TOO_FEW);
    for (w.step = 0; w.step < told; w.step++) {
        w.seen = 0;
        out->comma = w.step > 0;
        atoll_json_each(input, put_one, &w);
    }
    atoll_writer_text(out, "],\"usage\":{\"total_tokens\":1}}");
    return 200;
}

static unsigned compose(embedding_server *server, const body *request, atoll_writer *out)
{
    atoll_json root, input;
    unsigned http = 400;
    switch (server->mode) {
    case EMBEDDING_BROKEN:
        atoll_writer_text(out, "{\"error\":\"out of order\"}");
        return 500;
    case EMBEDDING_BUSY:
        return 429;
    case EMBEDDING_GARBAGE:
        atoll_writer_text(out, "<html>hello</html>");
        return 200;
    case EMBEDDING_WORDY:
        for (int i = 0; i < WORDY_BYTES / 8; i++)
            atoll_writer_text(out, "        ");
        return 200;
    case EMBEDDING_SLOW:
        for (int waited = 0; waited < server->delay_ms; waited += STEP_MS)
            poll(NULL, 0, STEP_MS);
    }
    atoll_json_parser *parser = atoll_json_parser_new();
    if (!atoll_json_parse(parser, request->data, request->bytes, &root, NULL) &&
        atoll_json_member(root, "input", &input))
        http = answer_texts(server, input, out);
    atoll_json_parser_free(parser);
    return http;
}

/* ---- HTTP ---- */

static enum MHD_Result reply(embedding_server *server, struct MHD_Connection *connection, const body *request)
{
    atoll_writer out;
    atoll_writer_init(&out);
    const char *key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    server->authorized = key && strcmp(key, "Bearer secret") == 0;
    unsigned http = compose(server, request, &out);
    struct MHD_Response *response = MHD_create_response_from_buffer(out.bytes, out.data, MHD_RESPMEM_MUST_COPY);
    if (http == 429)
        MHD_add_response_header(response, "Retry-After", "2");
    enum MHD_Result result = MHD_queue_response(connection, http, response);
    MHD_destroy_response(response);
    atoll_writer_free(&out);
    server->calls++;
    return result;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *bytes, void **state)
{
    body *request = *state;
    (void)version;
    if (!request)
        return (*state = calloc(1, sizeof *request)) ? MHD_YES : MHD_NO;
    if (!*bytes)
        return strcmp(method, "POST") || strcmp(url, "/v1/embeddings") ? MHD_NO : reply(arg, connection, request);
    request->data = realloc(request->data, request->bytes + *bytes + ATOLL_JSON_PADDING);
    memcpy(request->data + request->bytes, data, *bytes);
    request->bytes += *bytes;
    memset(request->data + request->bytes, 0, ATOLL_JSON_PADDING);
    *bytes = 0;
    return MHD_YES;
}

static void finished(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    body *request = *state;
    (void)arg;
    (void)connection;
    (void)code;
    if (request)
        free(request->data);
    free(request);
}

static struct sockaddr_in address_of(const embedding_server *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

/* Takes a port that nobody else is given while the server is down; until the program ends. */
static void hold_port(embedding_server *server)
{
    struct sockaddr_in at = address_of(server);
    socklen_t bytes = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
    server->port = ntohs(at.sin_port);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u/v1", server->port);
}

void embedding_server_again(embedding_server *server)
{
    struct sockaddr_in at = address_of(server);
    server->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL,
                                      handle, server, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                                      MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_NOTIFY_COMPLETED, finished,
                                      NULL, MHD_OPTION_END);
    assert_non_null(server->daemon);
}

void embedding_server_start(embedding_server *server, uint32_t dim)
{
    memset(server, 0, sizeof *server);
    server->dim = dim;
    setenv("NO_PROXY", "127.0.0.1", 1);
    hold_port(server);
    embedding_server_again(server);
}

void embedding_server_stop(embedding_server *server)
{
    server->delay_ms = 0;
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}

void embedding_server_configure(const embedding_server *server, atoll_config *config)
{
    config->embedding_source = ATOLL_EMBEDDING_HTTP;
    config->embedding_dim = server->dim;
    snprintf(config->embedding_url, sizeof config->embedding_url, "%s", server->url);
    snprintf(config->embedding_model, sizeof config->embedding_model, "fake");
}
