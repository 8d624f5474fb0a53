#include "learner/embedding_call.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/kernels.h"
#include "core/text.h"
#include "core/writer.h"

enum {
    ADDRESS_BYTES = ATOLL_URL_MAX_BYTES + 16,
    CONNECT_MOST_MS = 5000,
    REPLY_BASE_BYTES = 64 << 10,
    REPLY_VALUE_BYTES = 40,       /* more than any printer of floats takes, white space included */
    RETRY_MOST_S = 300,
    SHOWN_BYTES = 120             /* of what a server says is wrong */
};

struct atoll_embedding_call {
    CURLM *multi;
    CURL *easy;
    atoll_json_parser *parser;
    _Atomic bool cancelled;
    char *reply;
    size_t bytes, capacity, most;
    bool too_long;
    char why[CURL_ERROR_SIZE];
};

/* ---- life ---- */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

atoll_embedding_call *atoll_embedding_call_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    atoll_embedding_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->multi = curl_multi_init();
    call->easy = curl_easy_init();
    call->parser = atoll_json_parser_new();
    if (call->multi && call->easy && call->parser)
        return call;
    atoll_embedding_call_free(call);
    return NULL;
}

void atoll_embedding_call_free(atoll_embedding_call *call)
{
    if (!call)
        return;
    curl_easy_cleanup(call->easy);
    curl_multi_cleanup(call->multi);
    atoll_json_parser_free(call->parser);
    free(call->reply);
    free(call);
}

void atoll_embedding_call_cancel(atoll_embedding_call *call)
{
    atomic_store(&call->cancelled, true);
    curl_multi_wakeup(call->multi);
}

/* ---- the request ---- */

void atoll_embedding_call_address(const char *url, char *out)
{
    const char *host = strstr(url, "://") + 3, *path = host + strcspn(host, "/?");
    size_t bytes = strlen(url), end = bytes;
    const char *more = "";
    while (end > 0 && url[end - 1] == '/')
        end--;
    if (*path == 0 || path >= url + end) {
        more = "/v1/embeddings";
    } else if (!strchr(path, '?')) {
        size_t digits = end;
        while (isdigit((unsigned char)url[digits - 1]))
            digits--;
        if (digits < end && url[digits - 1] == 'v' && url[digits - 2] == '/')
            more = "/embeddings";
    }
    snprintf(out, ADDRESS_BYTES, "%.*s%s", (int)(*more ? end : bytes), url, more);
}

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to ask for embeddings");
}

static bool write_body(atoll_writer *body, const char *model, const atoll_slice *texts, uint32_t count)
{
    atoll_writer_init(body);
    atoll_json_object_begin(body);
    atoll_json_name(body, "model");
    atoll_json_put_text(body, model);
    atoll_json_name(body, "input");
    atoll_json_array_begin(body);
    for (uint32_t i = 0; i < count; i++)
        atoll_json_put_string(body, texts[i].data, texts[i].bytes);
    atoll_json_array_end(body);
    atoll_json_name(body, "encoding_format");
    atoll_json_put_text(body, "float");
    atoll_json_object_end(body);
    return !body->failed;
}

/* The head of the request; a list to free, NULL where memory is short. */
static struct curl_slist *write_head(const char *key_env)
{
    char line[1024];
    const char *key = *key_env ? getenv(key_env) : NULL;
    struct curl_slist *head = curl_slist_append(NULL, "Content-Type: application/json"), *longer;
    /* Without it a large body would wait for a go-ahead that many servers never give. */
    if (head && !(longer = curl_slist_append(head, "Expect:"))) {
        curl_slist_free_all(head);
        return NULL;
    }
    bool clean = key && *key;
    for (const char *c = key; clean && *c; c++)
        clean = *c > ' ' && *c <= '~'; /* nothing that could begin another line */
    if (clean && head && snprintf(line, sizeof line, "Authorization: Bearer %s", key) < (int)sizeof line) {
        longer = curl_slist_append(head, line);
        if (!longer)
            curl_slist_free_all(head);
        head = longer;
    }
    return head;
}

static size_t take_reply(char *data, size_t one, size_t bytes, void *arg)
{
    atoll_embedding_call *call = arg;
    (void)one;
    if (bytes > call->most - call->bytes) {
        call->too_long = true;
        return 0;
    }
    if (call->bytes + bytes + ATOLL_JSON_PADDING > call->capacity) {
        size_t capacity = 2 * call->capacity + bytes + ATOLL_JSON_PADDING;
        char *reply = realloc(call->reply, capacity);
        if (!reply)
            return 0;
        call->reply = reply;
        call->capacity = capacity;
    }
    memcpy(call->reply + call->bytes, data, bytes);
    call->bytes += bytes;
    memset(call->reply + call->bytes, 0, ATOLL_JSON_PADDING);
    return bytes;
}

static bool prepare(atoll_embedding_call *call, const char *address, const struct curl_slist *head,
                    const atoll_writer *body, int64_t timeout_ms)
{
    CURL *easy = call->easy;
    long connect_ms = timeout_ms < CONNECT_MOST_MS ? (long)timeout_ms : CONNECT_MOST_MS;
    call->bytes = 0;
    call->too_long = false;
    call->why[0] = 0;
    curl_easy_reset(easy); /* keeps connections and what is known of names */
    return !curl_easy_setopt(easy, CURLOPT_URL, address) &&
           !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_USERAGENT, "atoll/" ATOLL_VERSION) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, head) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->bytes) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data) &&
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) &&
           !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

/* Runs what was prepared; a multi handle, since one can be woken. */
static CURLcode transfer(atoll_embedding_call *call)
{
    int running = 1, left;
    CURLcode result = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(call->multi, call->easy))
        return CURLE_OUT_OF_MEMORY;
    while (running && !atomic_load(&call->cancelled)) {
        if (curl_multi_perform(call->multi, &running) ||
            (running && curl_multi_poll(call->multi, NULL, 0, 1000, NULL)))
            break;
    }
    for (CURLMsg *message; (message = curl_multi_info_read(call->multi, &left));)
        if (message->msg == CURLMSG_DONE)
            result = message->data.result;
    curl_multi_remove_handle(call->multi, call->easy);
    return result;
}

/* ---- the reply ---- */

typedef struct reading {
    float *out;
    uint32_t count, dim, seen;
    bool *filled;
    atoll_status status;
    atoll_error *error;
} reading;

static bool read_one(void *arg, const char *name, atoll_json value)
{
    reading *r = arg;
    atoll_json list, number;
    int64_t index = r->seen++;
    size_t have = 0;
    (void)name;
    if (atoll_json_member(value, "index", &number) && !atoll_json_int64(number, &index))
        index = -1;
    if (!atoll_json_member(value, "embedding", &list)) {
        r->status = atoll_fail(r->error, ATOLL_EMBEDDING_DOWN, "the reply holds an element without \"embedding\"");
    } else if (index < 0 || index >= r->count || r->filled[index]) {
        r->status = atoll_fail(r->error, ATOLL_EMBEDDING_DOWN, "the reply numbers its embeddings wrongly");
    } else if (atoll_json_floats(list, r->out + (size_t)index * r->dim, r->dim, &have, NULL)) {
        r->status = atoll_fail(r->error, ATOLL_EMBEDDING_DOWN, "the reply holds what is no finite number");
    } else if (have != r->dim) {
        r->status = atoll_fail(r->error, ATOLL_EMBEDDING_DOWN, "an embedding of %zu values came, embedding.dim is %u",
                               have, r->dim);
    } else {
        atoll_normalise(r->out + (size_t)index * r->dim, r->dim);
        r->filled[index] = true;
    }
    return r->status == ATOLL_OK;
}

static atoll_status read_reply(atoll_embedding_call *call, uint32_t count, uint32_t dim, float *out,
                               atoll_error *error)
{
    atoll_json root, data;
    atoll_error why;
    if (!call->bytes || atoll_json_parse(call->parser, call->reply, call->bytes, &root, &why))
        return atoll_fail(error, ATOLL_EMBEDDING_DOWN, "the reply is not JSON");
    if (!atoll_json_member(root, "data", &data) || atoll_json_kind_of(data) != ATOLL_JSON_ARRAY)
        return atoll_fail(error, ATOLL_EMBEDDING_DOWN, "the reply has no list \"data\"");
    reading r = {out, count, dim, 0, calloc(count, sizeof *r.filled), ATOLL_OK, error};
    if (!r.filled)
        return no_memory(error);
    atoll_json_each(data, read_one, &r);
    free(r.filled);
    if (r.status == ATOLL_OK && r.seen != count)
        return atoll_fail(error, ATOLL_EMBEDDING_DOWN, "%u embeddings came for %u texts", r.seen, count);
    return r.status;
}

/* What the server says in {"error":{"message":…}} or {"error":…}; "" where it says nothing of the kind. */
static const char *complaint(atoll_embedding_call *call)
{
    atoll_json root, error, message;
    const char *text = "";
    size_t bytes;
    if (!call->bytes || atoll_json_parse(call->parser, call->reply, call->bytes, &root, NULL) ||
        !atoll_json_member(root, "error", &error))
        return text;
    if (!atoll_json_string(error, &text, &bytes) && atoll_json_member(error, "message", &message))
        atoll_json_string(message, &text, &bytes);
    return text;
}

static atoll_status read_refusal(atoll_embedding_call *call, long http, atoll_embedding_failure *failure,
                                 atoll_error *error)
{
    curl_off_t after = 0;
    if (!curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &after) && after > 0)
        failure->retry_after_ms = 1000 * (int64_t)(after < RETRY_MOST_S ? after : RETRY_MOST_S);
    failure->refused = http == 400 || http == 413 || http == 422;
    const char *text = complaint(call);
    return atoll_fail(error, ATOLL_EMBEDDING_DOWN, "HTTP status %ld%s%.*s", http, *text ? ": " : "",
                      (int)atoll_utf8_clip(text, strlen(text), SHOWN_BYTES), text);
}

/* ---- the call ---- */

atoll_status atoll_embedding_call_run(atoll_embedding_call *call, const atoll_embedding_server *server,
                                      const atoll_slice *texts, uint32_t count, int64_t timeout_ms, float *out,
                                      atoll_embedding_failure *failure, atoll_error *error)
{
    char address[ADDRESS_BYTES];
    atoll_writer body;
    long http = 0;
    *failure = (atoll_embedding_failure){0};
    atoll_embedding_call_address(server->url, address);
    call->most = REPLY_BASE_BYTES + (size_t)count * server->dim * REPLY_VALUE_BYTES;
    struct curl_slist *head = write_head(server->key_env);
    atoll_status status = write_body(&body, server->model, texts, count) && head ? ATOLL_OK : no_memory(error);
    if (status == ATOLL_OK && !prepare(call, address, head, &body, timeout_ms))
        status = no_memory(error);
    if (status == ATOLL_OK) {
        CURLcode code = transfer(call);
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
        if (atomic_load(&call->cancelled))
            status = atoll_fail(error, ATOLL_SHUTTING_DOWN, "the model is being closed");
        else if (call->too_long)
            status = atoll_fail(error, ATOLL_EMBEDDING_DOWN, "the reply is over %zu bytes", call->most);
        else if (code)
            status = atoll_fail(error, ATOLL_EMBEDDING_DOWN, "%.200s",
                                *call->why ? call->why : curl_easy_strerror(code));
        else if (http != 200)
            status = read_refusal(call, http, failure, error);
        else
            status = read_reply(call, count, server->dim, out, error);
    }
    atoll_writer_free(&body);
    curl_slist_free_all(head);
    return status;
}
