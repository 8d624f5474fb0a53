/* The embedder's fetcher: makes the embeddings of the journal's records durable, ahead of the learner. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/limits.h"
#include "learner/embedder_inside.h"

enum {
    AHEAD_RECORDS = 16384, /* that the fetcher may be ahead of the learner; they bound what the store cannot drop */
    GATHER_RECORDS = 4096, /* looked at in one go */
    LOOK_MS = 50           /* how late a new entry may be noticed */
};

enum { PLACES = 4 * (GATHER_RECORDS + ATOLL_COMMIT_MAX_RECORDS) };

/* The texts of some commits. */
typedef struct gathering {
    atoll_embedder *embedder;
    atoll_arena arena;  /* of one gathering */
    uint8_t *buffer;    /* a journal entry's */
    size_t capacity;
    float *vector_space;
    uint32_t count, records;
    uint64_t commit, seq; /* the last one gathered, and its last record */
    atoll_slice text[GATHER_RECORDS + ATOLL_COMMIT_MAX_RECORDS];
    atoll_embedding item[GATHER_RECORDS + ATOLL_COMMIT_MAX_RECORDS];
    uint64_t of[GATHER_RECORDS + ATOLL_COMMIT_MAX_RECORDS]; /* the first commit that wants it */
    uint32_t place[PLACES]; /* by hash: number + 1, or 0 */
} gathering;

/* ---- gathering ---- */

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to fetch embeddings");
}

/* A text once, however many records hold it. */
static atoll_status add(gathering *g, atoll_slice text, uint64_t commit, atoll_error *error)
{
    atoll_embedding_key key = atoll_embedding_key_of(text);
    uint32_t place = (uint32_t)(key.hash[0] % PLACES);
    for (; g->place[place]; place = (place + 1) % PLACES)
        if (memcmp(&g->item[g->place[place] - 1].key, &key, sizeof key) == 0)
            return ATOLL_OK;
    char *copy = atoll_arena_take(&g->arena, text.bytes);
    if (!copy)
        return no_memory(error);
    memcpy(copy, text.data, text.bytes);
    g->text[g->count] = (atoll_slice){copy, text.bytes};
    g->item[g->count] = (atoll_embedding){.key = key};
    g->of[g->count] = commit;
    g->place[place] = ++g->count;
    return ATOLL_OK;
}

static atoll_status add_entry(gathering *g, const atoll_entry *entry, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    size_t at = 0, used;
    for (uint32_t i = 0; i < entry->records && status == ATOLL_OK; i++, at += used) {
        atoll_record record;
        status = atoll_record_decode(entry->payload + at, entry->bytes - at, g->vector_space, &record, &used, error);
        if (status == ATOLL_OK && record.text.data && !record.vector)
            status = add(g, record.text, entry->commit, error);
    }
    return status;
}

/* Commits from `commit` on, until there are texts for a call. */
static atoll_status gather(gathering *g, uint64_t commit, uint64_t last, uint32_t enough, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    atoll_arena_reset(&g->arena);
    g->count = g->records = 0;
    memset(g->place, 0, sizeof g->place);
    for (; commit <= last && g->count < enough && g->records < GATHER_RECORDS && status == ATOLL_OK; commit++) {
        atoll_entry entry;
        status = atoll_journal_read(g->embedder->journal, commit, &g->buffer, &g->capacity, &entry, error);
        if (status == ATOLL_OK && entry.kind == ATOLL_ENTRY_RECORDS)
            status = add_entry(g, &entry, error);
        if (status)
            break;
        g->records += entry.records;
        g->commit = commit;
        g->seq = entry.first_seq + entry.records - 1;
    }
    return status;
}

/* ---- storing ---- */

/* Everything up to `commit` is durable; the embeddings that are wanted least can go. */
static atoll_status advance(gathering *g, uint64_t commit, uint64_t records, atoll_error *error)
{
    atoll_embedder *e = g->embedder;
    pthread_mutex_lock(&e->mutex);
    if (commit > e->fetched) {
        e->fetched = commit;
        e->fetched_records = records;
        pthread_cond_broadcast(&e->ready);
    }
    uint64_t bytes = e->config.embedding_cache_bytes;
    pthread_mutex_unlock(&e->mutex);
    return atoll_embeddings_trim(e->store, atomic_load(&e->covered), bytes, error);
}

/* Divides what was gathered into known ones, first, and the others; returns how many are known. */
static uint32_t divide(gathering *g, uint64_t *first_missing)
{
    uint32_t known = 0;
    *first_missing = UINT64_MAX;
    for (uint32_t i = 0; i < g->count; i++) {
        atoll_embedding item = g->item[i];
        if (item.found == ATOLL_EMBEDDING_ABSENT) {
            *first_missing = g->of[i] < *first_missing ? g->of[i] : *first_missing;
            continue;
        }
        atoll_slice text = g->text[i];
        g->item[i] = g->item[known];
        g->text[i] = g->text[known];
        g->of[i] = g->of[known];
        g->item[known] = item;
        g->text[known++] = text;
    }
    return known;
}

static atoll_status fetch(gathering *g, uint32_t from, uint32_t count, atoll_error *error)
{
    atoll_embedder *e = g->embedder;
    float *space = atoll_arena_take(&g->arena, (size_t)count * e->dim * sizeof *space);
    if (!space)
        return no_memory(error);
    for (uint32_t i = 0; i < count; i++)
        g->item[from + i].vector = space + (size_t)i * e->dim;
    return atoll_embed_fetch(e, ATOLL_EMBED_AHEAD, g->text + from, g->item + from, count, error);
}

/*
 * Makes the next commits' embeddings durable. Failures of calls are noted where they happen, and *noted then; those of
 * the store and of memory are not.
 */
static atoll_status fetch_next(gathering *g, uint64_t commit, uint64_t last, uint32_t batch, bool *noted,
                               atoll_error *error)
{
    atoll_embeddings *store = g->embedder->store;
    uint64_t first_missing;
    *noted = false;
    atoll_status status = gather(g, commit, last, batch, error);
    if (status || (status = atoll_embeddings_get(store, g->item, g->count, error)))
        return status;
    uint32_t known = divide(g, &first_missing);
    if (known && (status = atoll_embeddings_put(store, g->item, known, g->commit, error)))
        return status;
    /* What was learned before a restart must be learned again without the server. */
    if (first_missing <= g->commit && first_missing > commit &&
        (status = advance(g, first_missing - 1, g->embedder->fetched_records, error)))
        return status;
    for (uint32_t at = known; at < g->count; at += batch) {
        uint32_t count = g->count - at < batch ? g->count - at : batch;
        *noted = true;
        if ((status = fetch(g, at, count, error)))
            return status;
        *noted = false;
        if ((status = atoll_embeddings_put(store, g->item + at, count, g->commit, error)))
            return status;
    }
    return advance(g, g->commit, g->seq, error);
}

/* ---- the thread ---- */

/* Waits until there is something to fetch and it may be fetched; false at the end. */
static bool await_work(atoll_embedder *e, uint64_t *commit, uint64_t *last, uint32_t *batch)
{
    pthread_mutex_lock(&e->mutex);
    for (;;) {
        int64_t now = atoll_clock_monotonic_ns(), retry_at = e->health[ATOLL_EMBED_AHEAD].retry_at_ns;
        *last = atoll_journal_last(e->journal);
        *commit = e->fetched + 1;
        *batch = e->config.embedding_batch;
        bool wanted = *commit <= *last && e->fetched_records < e->learned_records + AHEAD_RECORDS;
        if (e->stopping || (wanted && now >= retry_at))
            break;
        atoll_embed_wait(&e->work, &e->mutex, wanted ? retry_at : now + LOOK_MS * 1000000);
    }
    bool more = !e->stopping;
    pthread_mutex_unlock(&e->mutex);
    return more;
}

static void fail(atoll_embedder *e)
{
    atoll_error error;
    atoll_fail(&error, ATOLL_NO_MEMORY, "no memory to fetch embeddings");
    atoll_embed_failed(e, ATOLL_EMBED_AHEAD, 0, &error);
}

void *atoll_embed_ahead(void *arg)
{
    atoll_embedder *e = arg;
    uint64_t commit, last;
    uint32_t batch;
    gathering *g = calloc(1, sizeof *g);
    float *space = malloc(ATOLL_NUMBERS_MAX * sizeof *space);
    if (g && space) {
        g->embedder = e;
        g->vector_space = space;
        atoll_arena_init(&g->arena);
    }
    while (await_work(e, &commit, &last, &batch)) {
        atoll_error error;
        bool noted;
        if (!g || !space)
            fail(e);
        else if (fetch_next(g, commit, last, batch, &noted, &error) && !noted)
            atoll_embed_failed(e, ATOLL_EMBED_AHEAD, 0, &error);
    }
    if (g) {
        atoll_arena_free(&g->arena);
        free(g->buffer);
    }
    free(space);
    free(g);
    return NULL;
}
