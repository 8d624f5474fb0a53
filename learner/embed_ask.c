/* The embedder's asker: embeds the texts of predictions, those of all waiting requests together. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "learner/embedder_inside.h"

enum { SHARE_LEAST = 16 }; /* of a call, for each request, where several wait */

/* A request's texts that are not stored. One block. */
struct atoll_embed_question {
    atoll_embed_question *next;
    atoll_embedded *out;
    atoll_embed_done done;
    void *arg;
    uint32_t count, answered;
    atoll_embedding_key *key; /* count */
    atoll_slice *text;        /* count; the bytes stand behind them */
    uint32_t *row;            /* count; in `out` */
};

/* ---- asking ---- */

static atoll_embedded *new_embedded(uint32_t count, uint32_t dim)
{
    size_t values = (size_t)count * dim;
    atoll_embedded *out = calloc(1, sizeof *out + values * sizeof *out->vector + count);
    if (!out)
        return NULL;
    out->count = count;
    out->dim = dim;
    out->vector = (float *)(void *)(out + 1);
    out->found = (uint8_t *)(out->vector + values);
    return out;
}

/* Fills in what is stored; *missing tells how many texts are not, *bytes their length. */
static atoll_status look_up(atoll_embedder *e, const atoll_slice *texts, atoll_embedded *out, uint32_t *missing,
                            size_t *bytes, atoll_error *error)
{
    uint32_t wanted = 0;
    atoll_embedding *items = malloc((out->count + 1) * sizeof *items);
    if (!items)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for embeddings");
    for (uint32_t i = 0; i < out->count; i++)
        if (texts[i].data)
            items[wanted++] = (atoll_embedding){.key = atoll_embedding_key_of(texts[i]),
                                                .vector = out->vector + (size_t)i * out->dim};
    atoll_status status = atoll_embeddings_get(e->store, items, wanted, error);
    *missing = 0;
    *bytes = 0;
    const atoll_embedding *item = items;
    for (uint32_t i = 0; i < out->count && status == ATOLL_OK; i++) {
        if (!texts[i].data)
            continue;
        out->found[i] = (uint8_t)item->found;
        if (item++->found == ATOLL_EMBEDDING_ABSENT) {
            ++*missing;
            *bytes += texts[i].bytes;
        }
    }
    free(items);
    atomic_fetch_add(&e->looked_up, wanted);
    atomic_fetch_add(&e->found, wanted - *missing);
    return status;
}

static atoll_embed_question *new_question(const atoll_slice *texts, atoll_embedded *out, uint32_t missing,
                                          size_t bytes)
{
    atoll_embed_question *q =
        malloc(sizeof *q + missing * (sizeof *q->key + sizeof *q->text + sizeof *q->row) + bytes);
    if (!q)
        return NULL;
    *q = (atoll_embed_question){.out = out};
    q->key = (atoll_embedding_key *)(void *)(q + 1);
    q->text = (atoll_slice *)(void *)(q->key + missing);
    q->row = (uint32_t *)(void *)(q->text + missing);
    char *space = (char *)(q->row + missing);
    for (uint32_t i = 0; i < out->count; i++) {
        if (!texts[i].data || out->found[i] != ATOLL_EMBEDDING_ABSENT)
            continue;
        q->key[q->count] = atoll_embedding_key_of(texts[i]);
        q->text[q->count] = (atoll_slice){space, texts[i].bytes};
        q->row[q->count++] = i;
        memcpy(space, texts[i].data, texts[i].bytes);
        space += texts[i].bytes;
    }
    return q;
}

/* Puts a question in line; false where the server is known to be down, or at the end (*status). */
static bool enqueue(atoll_embedder *e, atoll_embed_question *q, atoll_status *status, atoll_error *error)
{
    pthread_mutex_lock(&e->mutex);
    bool stopping = e->stopping;
    bool waits = !stopping && atoll_clock_monotonic_ns() >= e->health[ATOLL_EMBED_ASK].retry_at_ns;
    if (waits) {
        if (e->last)
            e->last->next = q;
        else
            e->first = q;
        e->last = q;
        pthread_cond_signal(&e->asked);
    }
    pthread_mutex_unlock(&e->mutex);
    *status = stopping ? atoll_fail(error, ATOLL_SHUTTING_DOWN, "the model is being closed") : ATOLL_OK;
    return waits;
}

atoll_status atoll_embedder_ask(atoll_embedder *embedder, const atoll_slice *texts, uint32_t count,
                                atoll_embed_done done, void *arg, atoll_embedded **out, bool *later,
                                atoll_error *error)
{
    uint32_t missing = 0;
    size_t bytes = 0;
    *later = false;
    *out = NULL;
    if ((uint64_t)count * embedder->dim > ATOLL_EMBEDDED_MAX_VALUES)
        return atoll_fail(error, ATOLL_TOO_MANY_RECORDS, "records times embedding.dim is over %d",
                          ATOLL_EMBEDDED_MAX_VALUES);
    atoll_embedded *block = new_embedded(count, embedder->dim);
    if (!block)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for embeddings");
    atoll_status status = look_up(embedder, texts, block, &missing, &bytes, error);
    if (status == ATOLL_OK && missing) {
        atoll_embed_question *q = new_question(texts, block, missing, bytes);
        if (q) {
            q->done = done;
            q->arg = arg;
            *later = enqueue(embedder, q, &status, error);
            if (*later)
                return ATOLL_OK;
            free(q);
        } else {
            status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for embeddings");
        }
    }
    if (status) {
        free(block);
        block = NULL;
    }
    *out = block;
    return status;
}

/* ---- answering ---- */

static void end(atoll_embed_question *questions, atoll_status status, const atoll_error *error)
{
    while (questions) {
        atoll_embed_question *q = questions;
        questions = q->next;
        if (status)
            free(q->out);
        q->done(q->arg, status ? NULL : q->out, status, error);
        free(q);
    }
}

/* Takes out of the line, under the mutex, the questions that are answered, or all of them. */
static atoll_embed_question *take_out(atoll_embedder *e, bool all)
{
    atoll_embed_question *out = NULL, **place = &e->first;
    e->last = NULL;
    while (*place) {
        atoll_embed_question *q = *place;
        if (all || q->answered == q->count) {
            *place = q->next;
            q->next = out;
            out = q;
        } else {
            e->last = q;
            place = &q->next;
        }
    }
    return out;
}

/* What goes in one call. */
typedef struct round {
    uint32_t count, capacity;
    atoll_slice *text;
    atoll_embedding *item;
    atoll_embed_question **question;
    float *space;
} round_of_texts;

/* Texts of the questions in line, by turns; under the mutex. Only this thread takes questions out. */
static void choose(atoll_embedder *e, round_of_texts *r)
{
    bool alone = e->first == e->last;
    uint32_t share = alone || r->capacity / 4 < SHARE_LEAST ? r->capacity : r->capacity / 4;
    r->count = 0;
    for (atoll_embed_question *q = e->first; q && r->count < r->capacity; q = q->next)
        for (uint32_t i = q->answered; i < q->count && i < q->answered + share && r->count < r->capacity; i++) {
            r->text[r->count] = q->text[i];
            r->item[r->count] =
                (atoll_embedding){.key = q->key[i], .vector = r->space + (size_t)r->count * e->dim};
            r->question[r->count++] = q;
        }
}

/* Gives the questions their vectors; under the mutex. */
static void hand_out(atoll_embedder *e, const round_of_texts *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        atoll_embed_question *q = r->question[i];
        uint32_t row = q->row[q->answered++];
        q->out->found[row] = (uint8_t)r->item[i].found;
        if (r->item[i].found == ATOLL_EMBEDDING_THERE)
            memcpy(q->out->vector + (size_t)row * e->dim, r->item[i].vector, e->dim * sizeof(float));
    }
    /* The first goes to the end of the line where it has more to ask. */
    atoll_embed_question *q = e->first;
    if (q && q->next && q->answered < q->count) {
        e->first = q->next;
        q->next = NULL;
        e->last->next = q;
        e->last = q;
    }
}

static bool fit(round_of_texts *r, uint32_t capacity, uint32_t dim)
{
    if (r->capacity == capacity)
        return true;
    free(r->text);
    free(r->item);
    free(r->question);
    free(r->space);
    r->text = malloc(capacity * sizeof *r->text);
    r->item = malloc(capacity * sizeof *r->item);
    r->question = malloc(capacity * sizeof *r->question);
    r->space = malloc((size_t)capacity * dim * sizeof *r->space);
    bool whole = r->text && r->item && r->question && r->space;
    r->capacity = whole ? capacity : 0;
    return whole;
}

/* One call, for questions that are in line; under the mutex, but for the call itself. */
static void answer(atoll_embedder *e, round_of_texts *r)
{
    atoll_error error = {0};
    atoll_status status = ATOLL_NO_MEMORY;
    bool whole = fit(r, e->config.embedding_batch, e->dim);
    if (whole)
        choose(e, r);
    pthread_mutex_unlock(&e->mutex);
    if (whole)
        status = atoll_embed_fetch(e, ATOLL_EMBED_ASK, r->text, r->item, r->count, &error);
    /* To answer the next time is all that storing is for: where it fails, the answer is good all the same. */
    if (status == ATOLL_OK)
        atoll_embeddings_put(e->store, r->item, r->count, atomic_load(&e->covered), NULL);
    pthread_mutex_lock(&e->mutex);
    if (status == ATOLL_OK)
        hand_out(e, r);
    atoll_embed_question *done = take_out(e, status != ATOLL_OK);
    pthread_mutex_unlock(&e->mutex);
    end(done, status == ATOLL_SHUTTING_DOWN ? status : ATOLL_OK, &error);
    pthread_mutex_lock(&e->mutex);
}

void *atoll_embed_answer(void *arg)
{
    atoll_embedder *e = arg;
    round_of_texts r = {0};
    pthread_mutex_lock(&e->mutex);
    while (!e->stopping) {
        if (e->first)
            answer(e, &r);
        else
            pthread_cond_wait(&e->asked, &e->mutex);
    }
    pthread_mutex_unlock(&e->mutex);
    free(r.text);
    free(r.item);
    free(r.question);
    free(r.space);
    return NULL;
}

void atoll_embed_dismiss(atoll_embedder *embedder)
{
    atoll_error error;
    atoll_fail(&error, ATOLL_SHUTTING_DOWN, "the model is being closed");
    pthread_mutex_lock(&embedder->mutex);
    atoll_embed_question *left = take_out(embedder, true);
    pthread_mutex_unlock(&embedder->mutex);
    end(left, ATOLL_SHUTTING_DOWN, &error);
}
