#include "learner/embedder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/half.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/text.h"
#include "learner/embedder_inside.h"

enum {
    PAUSE_FIRST_MS = 250, /* after one failure; doubled with each further one */
    PAUSE_MOST_MS = 10000, /* so long after it has come back a server may go unused */
    CUT_LEAST_BYTES = 16  /* a text that is refused is not cut shorter */
};

/* ---- time ---- */

void atoll_embed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    pthread_cond_timedwait(condition, mutex, &until);
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t kind;
    pthread_condattr_init(&kind);
    pthread_condattr_setclock(&kind, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &kind);
    pthread_condattr_destroy(&kind);
}

/* ---- health ---- */

static void note_success(atoll_embedder *e, atoll_embed_user user)
{
    pthread_mutex_lock(&e->mutex);
    bool was_down = e->health[user].failures > 0;
    e->health[user] = (atoll_embed_health){0};
    e->last_failed = false;
    if (e->health[!user].failures) {
        e->health[!user].retry_at_ns = 0;
        pthread_cond_signal(&e->work);
    }
    pthread_mutex_unlock(&e->mutex);
    if (was_down)
        atoll_log(ATOLL_LOG_INFO, "embedding_server_up", NULL);
}

void atoll_embed_failed(atoll_embedder *e, atoll_embed_user user, int64_t retry_after_ms, const atoll_error *error)
{
    int64_t now = atoll_clock_monotonic_ns(), pause_ms = PAUSE_FIRST_MS;
    pthread_mutex_lock(&e->mutex);
    atoll_embed_health *health = &e->health[user];
    bool first = health->failures++ == 0;
    for (uint32_t i = 1; i < health->failures && pause_ms < PAUSE_MOST_MS; i++)
        pause_ms *= 2;
    pause_ms = pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS;
    pause_ms = pause_ms > retry_after_ms ? pause_ms : retry_after_ms;
    if (first)
        health->down_since_ns = now;
    health->retry_at_ns = now + pause_ms * 1000000;
    e->last_failed = true;
    snprintf(e->last_error, sizeof e->last_error, "%s", error->detail);
    pthread_mutex_unlock(&e->mutex);
    if (first)
        atoll_log(ATOLL_LOG_WARN, "embedding_server_down", "error", ATOLL_TEXT(error->detail), NULL);
}

int64_t atoll_embedder_down_ns(atoll_embedder *embedder, char why[ATOLL_ERROR_DETAIL_BYTES])
{
    pthread_mutex_lock(&embedder->mutex);
    const atoll_embed_health *health = &embedder->health[ATOLL_EMBED_AHEAD];
    int64_t down = health->failures ? atoll_clock_monotonic_ns() - health->down_since_ns : 0;
    memcpy(why, embedder->last_error, sizeof embedder->last_error);
    pthread_mutex_unlock(&embedder->mutex);
    return down;
}

/* ---- fetching ---- */

typedef struct fetching {
    atoll_embedder *embedder;
    atoll_embed_user user;
    atoll_embedding_server server;
    int64_t timeout_ms;
    const atoll_slice *texts;
    atoll_embedding *items;
    float *out; /* as many vectors as there are texts */
    atoll_embedding_failure failure;
    atoll_error *error;
} fetching;

static atoll_status run(fetching *f, const atoll_slice *texts, uint32_t count, float *out)
{
    atomic_fetch_add(&f->embedder->calls, 1);
    return atoll_embedding_call_run(f->embedder->call[f->user], &f->server, texts, count, f->timeout_ms, out,
                                    &f->failure, f->error);
}

/* Rounded as the store does it, so that an answer is the same before and after. */
static void take(fetching *f, uint32_t from, uint32_t count)
{
    uint16_t half[ATOLL_EMBEDDING_MAX_DIM];
    for (uint32_t i = from; i < from + count; i++) {
        f->items[i].found = ATOLL_EMBEDDING_THERE;
        atoll_half_from_float(f->out + (size_t)i * f->server.dim, half, f->server.dim);
        atoll_half_to_float(half, f->items[i].vector, f->server.dim);
    }
}

/* One text that was refused. A server that is set up wrongly refuses any text, so another one is tried first. */
static atoll_status fetch_refused(fetching *f, uint32_t i)
{
    static const atoll_slice probe = {"a", 1};
    float *out = f->out + (size_t)i * f->server.dim;
    atoll_slice text = f->texts[i];
    atoll_status status = run(f, &probe, 1, out);
    if (status)
        return status;
    while (text.bytes / 2 >= CUT_LEAST_BYTES) {
        text.bytes = atoll_utf8_clip(text.data, text.bytes, text.bytes / 2);
        status = run(f, &text, 1, out);
        if (status == ATOLL_OK)
            take(f, i, 1);
        if (status == ATOLL_OK || !f->failure.refused)
            return status;
    }
    atoll_log(ATOLL_LOG_WARN, "embedding_refused", "bytes", ATOLL_UINT(f->texts[i].bytes), NULL);
    f->items[i].found = ATOLL_EMBEDDING_NONE;
    return ATOLL_OK;
}

static atoll_status fetch_some(fetching *f, uint32_t from, uint32_t count)
{
    atoll_status status = run(f, f->texts + from, count, f->out + (size_t)from * f->server.dim);
    if (status == ATOLL_OK)
        take(f, from, count);
    if (status == ATOLL_OK || !f->failure.refused)
        return status;
    if (count == 1)
        return fetch_refused(f, from);
    status = fetch_some(f, from, count / 2);
    return status ? status : fetch_some(f, from + count / 2, count - count / 2);
}

static void set_server(fetching *f)
{
    atoll_embedder *e = f->embedder;
    pthread_mutex_lock(&e->mutex);
    const atoll_config *c = &e->config;
    memcpy(f->server.url, c->embedding_url, sizeof f->server.url);
    memcpy(f->server.model, c->embedding_model, sizeof f->server.model);
    memcpy(f->server.key_env, c->embedding_key_env, sizeof f->server.key_env);
    f->server.dim = e->dim;
    f->timeout_ms = f->user == ATOLL_EMBED_ASK ? c->embedding_ask_timeout_ms : c->embedding_timeout_ms;
    if (e->health[f->user].failures)
        atomic_fetch_add(&e->retries, 1);
    pthread_mutex_unlock(&e->mutex);
}

atoll_status atoll_embed_fetch(atoll_embedder *embedder, atoll_embed_user user, const atoll_slice *texts,
                               atoll_embedding *items, uint32_t count, atoll_error *error)
{
    fetching f = {.embedder = embedder, .user = user, .texts = texts, .items = items, .error = error};
    set_server(&f);
    f.out = malloc((size_t)count * embedder->dim * sizeof *f.out);
    atoll_status status = f.out ? fetch_some(&f, 0, count)
                                : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u embeddings", count);
    free(f.out);
    if (status == ATOLL_OK) {
        atomic_fetch_add(&embedder->texts, count);
        note_success(embedder, user);
    } else if (status != ATOLL_SHUTTING_DOWN) {
        atoll_embed_failed(embedder, user, f.failure.retry_after_ms, error);
    }
    return status;
}

/* ---- settings ---- */

void atoll_embedder_configure(atoll_embedder *embedder, const atoll_config *config)
{
    pthread_mutex_lock(&embedder->mutex);
    embedder->config = *config;
    for (int user = 0; user < ATOLL_EMBED_USERS; user++)
        embedder->health[user].retry_at_ns = 0;
    pthread_cond_signal(&embedder->work);
    pthread_mutex_unlock(&embedder->mutex);
}

void atoll_embedder_present(atoll_embedder *embedder, atoll_config *config)
{
    pthread_mutex_lock(&embedder->mutex);
    const atoll_config *c = &embedder->config;
    memcpy(config->embedding_url, c->embedding_url, sizeof c->embedding_url);
    memcpy(config->embedding_key_env, c->embedding_key_env, sizeof c->embedding_key_env);
    config->embedding_batch = c->embedding_batch;
    config->embedding_timeout_ms = c->embedding_timeout_ms;
    config->embedding_ask_timeout_ms = c->embedding_ask_timeout_ms;
    config->embedding_cache_bytes = c->embedding_cache_bytes;
    pthread_mutex_unlock(&embedder->mutex);
}

/* ---- the learner's side ---- */

bool atoll_embedder_await(atoll_embedder *embedder, uint64_t commit, uint64_t records, int64_t wait_ms)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + wait_ms * 1000000;
    pthread_mutex_lock(&embedder->mutex);
    embedder->learned_records = records;
    if (embedder->fetched < commit) {
        pthread_cond_signal(&embedder->work);
        atoll_embed_wait(&embedder->ready, &embedder->mutex, until_ns);
    }
    bool ready = embedder->fetched >= commit;
    pthread_mutex_unlock(&embedder->mutex);
    return ready;
}

atoll_status atoll_embedder_fill(atoll_embedder *embedder, atoll_record *records, uint32_t count, float *space,
                                 atoll_error *error)
{
    uint32_t wanted = 0;
    atoll_embedding *items = malloc((count + 1) * sizeof *items);
    if (!items)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for embeddings");
    for (uint32_t i = 0; i < count; i++)
        if (records[i].text.data && !records[i].vector) {
            items[wanted] = (atoll_embedding){.key = atoll_embedding_key_of(records[i].text),
                                              .vector = space + (size_t)wanted * embedder->dim};
            wanted++;
        }
    atoll_status status = atoll_embeddings_get(embedder->store, items, wanted, error);
    const atoll_embedding *item = items;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        if (!records[i].text.data || records[i].vector)
            continue;
        if (item->found == ATOLL_EMBEDDING_ABSENT)
            status = atoll_fail(error, ATOLL_DAMAGED, "an embedding is missing that was there");
        if (item->found == ATOLL_EMBEDDING_THERE) {
            records[i].vector = item->vector;
            records[i].vector_dim = embedder->dim;
        }
        item++;
    }
    free(items);
    return status;
}

void atoll_embedder_covered(atoll_embedder *embedder, uint64_t commit)
{
    atomic_store(&embedder->covered, commit);
}

/* ---- life ---- */

static void dismantle(atoll_embedder *e)
{
    for (int user = 0; user < ATOLL_EMBED_USERS; user++)
        atoll_embedding_call_free(e->call[user]);
    atoll_embeddings_close(e->store);
    pthread_cond_destroy(&e->work);
    pthread_cond_destroy(&e->ready);
    pthread_cond_destroy(&e->asked);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}

static atoll_status prepare(atoll_embedder *e, const char *path, size_t map_bytes, atoll_error *error)
{
    atoll_status status = atoll_embeddings_open(path, e->dim, map_bytes, &e->store, error);
    if (status)
        return status;
    for (int user = 0; user < ATOLL_EMBED_USERS; user++)
        if (!(e->call[user] = atoll_embedding_call_new()))
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to call an embedding server");
    return ATOLL_OK;
}

atoll_status atoll_embedder_open(const char *path, const atoll_config *config, size_t map_bytes,
                                 atoll_journal *journal, uint64_t commit, uint64_t records, atoll_embedder **out,
                                 atoll_error *error)
{
    static void *(*const duty[ATOLL_EMBED_USERS])(void *) = {atoll_embed_ahead, atoll_embed_answer};
    atoll_embedder *e = calloc(1, sizeof *e);
    if (!e)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for embeddings");
    e->journal = journal;
    e->config = *config;
    e->dim = config->embedding_dim;
    e->fetched = commit;
    e->fetched_records = e->learned_records = records;
    atomic_init(&e->covered, commit);
    pthread_mutex_init(&e->mutex, NULL);
    init_condition(&e->work);
    init_condition(&e->ready);
    init_condition(&e->asked);
    atoll_status status = prepare(e, path, map_bytes, error);
    if (status) {
        dismantle(e);
        return status;
    }
    for (; e->threads < ATOLL_EMBED_USERS; e->threads++)
        if (pthread_create(&e->thread[e->threads], NULL, duty[e->threads], e)) {
            atoll_embedder_close(e);
            return atoll_fail(error, ATOLL_NO_MEMORY, "no thread to fetch embeddings");
        }
    *out = e;
    return ATOLL_OK;
}

void atoll_embedder_close(atoll_embedder *embedder)
{
    if (!embedder)
        return;
    pthread_mutex_lock(&embedder->mutex);
    embedder->stopping = true;
    pthread_cond_broadcast(&embedder->work);
    pthread_cond_broadcast(&embedder->ready);
    pthread_cond_broadcast(&embedder->asked);
    pthread_mutex_unlock(&embedder->mutex);
    for (int user = 0; user < ATOLL_EMBED_USERS; user++)
        atoll_embedding_call_cancel(embedder->call[user]);
    for (uint32_t i = 0; i < embedder->threads; i++)
        pthread_join(embedder->thread[i], NULL);
    atoll_embed_dismiss(embedder);
    dismantle(embedder);
}

/* ---- looking ---- */

void atoll_embedder_stats(atoll_embedder *embedder, atoll_embedding_stats *out)
{
    *out = (atoll_embedding_stats){.outside = true,
                                   .calls = atomic_load(&embedder->calls),
                                   .retries = atomic_load(&embedder->retries),
                                   .texts = atomic_load(&embedder->texts),
                                   .looked_up = atomic_load(&embedder->looked_up),
                                   .found = atomic_load(&embedder->found),
                                   .cached = atoll_embeddings_count(embedder->store),
                                   .cache_bytes = atoll_embeddings_bytes(embedder->store)};
    uint64_t last = atoll_journal_last(embedder->journal);
    pthread_mutex_lock(&embedder->mutex);
    out->down = embedder->last_failed || embedder->health[ATOLL_EMBED_AHEAD].failures > 0;
    out->pending = last > embedder->fetched ? last - embedder->fetched : 0;
    memcpy(out->last_error, embedder->last_error, sizeof out->last_error);
    pthread_mutex_unlock(&embedder->mutex);
}
