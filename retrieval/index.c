#include "retrieval/index.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/candidates.h"
#include "retrieval/index_inside.h"

enum {
    FLAT_DEAD_MAX = 48,        /* each is one more row of an exact search */
    CODES_DEAD_SHARE = 4,      /* dead positions are removed above a quarter of the living: all codes are made anew */
    TILE_ROWS = 64,            /* of an exact search stay in the nearest cache, and */
    TILE_QUERIES = ATOLL_INDEX_TILE, /* so many queries */
    ADD_TOGETHER = 16,         /* rows that are coded in one call */
    SPARE_ROWS = 65536         /* unflushed changes that fit beside twice the slots */
};

_Static_assert((int)ATOLL_VECTORS_BLOCK % (int)TILE_ROWS == 0, "a tile's rows lie in one block");
_Static_assert((int)ATOLL_INDEX_CANDIDATES_MAX <= (int)ATOLL_FAISS_WANT_MAX, "all candidates may be asked for");

typedef atoll_index_view side; /* one of the two instances */

static const uint32_t EMPTY = ATOLL_INDEX_EMPTY;

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the index");
}

/* *array gets room for `want` elements of 4 bytes. */
static bool grow(uint32_t **array, uint32_t *room, uint32_t want)
{
    if (want <= *room)
        return true;
    uint32_t larger = *room ? *room : 256;
    while (larger < want)
        larger += larger / 2;
    uint32_t *grown = realloc(*array, larger * sizeof *grown);
    if (!grown)
        return false;
    *array = grown;
    *room = larger;
    return true;
}

atoll_status atoll_index_reserve(atoll_index *index, uint32_t positions, atoll_error *error)
{
    return grow(&index->slot_of, &index->room, positions) ? ATOLL_OK : no_memory(error);
}

static uint32_t rows_limit(const atoll_index *index)
{
    return 2 * index->slots + SPARE_ROWS;
}

static uint32_t dead_count(const atoll_index *index)
{
    return index->rows->count - index->count;
}

/* --- sides --- */

/* Rows live while the truth or a side has them. */
static void rows_release(atoll_index *index, atoll_vectors **rows)
{
    atoll_vectors *old = *rows;
    *rows = NULL;
    if (old != index->rows && old != index->side[0].rows && old != index->side[1].rows)
        atoll_vectors_free(old);
}

static void side_clear(side *s)
{
    atoll_faiss_free(s->codes);
    s->codes = NULL;
    s->generation = 0;
    s->count = 0;
    rows_release(s->index, &s->rows);
}

/* Makes a side afresh: of the current generation, with as much as the other side has if that can be copied. */
static atoll_status side_rebuild(side *s, atoll_error *error)
{
    atoll_index *index = s->index;
    const side *other = &index->side[s == &index->side[0]];
    side_clear(s);
    uint32_t count = index->coded && other->generation == index->generation ? other->count : 0;
    atoll_status status = ATOLL_OK;
    if (index->coded)
        status = atoll_faiss_new(index->trained, index->trained_bytes, &s->codes, error);
    if (status == ATOLL_OK && count)
        status = atoll_faiss_copy(s->codes, other->codes, error);
    if (status != ATOLL_OK)
        return status;
    if (!grow(&s->slot_of, &s->room, count))
        return no_memory(error);
    if (count)
        memcpy(s->slot_of, index->slot_of, count * sizeof *s->slot_of);
    s->rows = index->rows;
    s->count = count;
    s->coded = index->coded;
    s->died_at = index->died_count;
    s->generation = index->generation;
    return ATOLL_OK;
}

static atoll_status add_rows(side *s, atoll_error *error)
{
    float row[ADD_TOGETHER * ATOLL_EMBEDDING_MAX_DIM];
    uint32_t to = s->index->rows->count, dim = s->index->dim, many;
    atoll_status status = ATOLL_OK;
    for (uint32_t at = s->count; s->coded && at < to && status == ATOLL_OK; at += many) {
        many = to - at < ADD_TOGETHER ? to - at : ADD_TOGETHER;
        for (uint32_t i = 0; i < many; i++)
            atoll_half_to_float(atoll_vectors_at(s->rows, at + i), row + (size_t)i * dim, dim);
        status = atoll_faiss_add(s->codes, many, row, error);
    }
    s->count = to;
    return status;
}

/* Brings a side that nobody is in to the writer's truth. */
static atoll_status side_catch_up(side *s, atoll_error *error)
{
    atoll_index *index = s->index;
    uint32_t to = index->rows->count;
    atoll_status status = ATOLL_OK;
    if (s->generation != index->generation)
        status = side_rebuild(s, error);
    if (status == ATOLL_OK && !grow(&s->slot_of, &s->room, to))
        status = no_memory(error);
    if (status == ATOLL_OK) {
        for (uint32_t i = s->died_at; i < index->died_count; i++)
            if (index->died[i] < s->count)
                s->slot_of[index->died[i]] = EMPTY;
        if (to > s->count)
            memcpy(s->slot_of + s->count, index->slot_of + s->count, (to - s->count) * sizeof *s->slot_of);
        s->died_at = index->died_count;
        status = add_rows(s, error);
    }
    if (status != ATOLL_OK) {
        side_clear(s);
        return status;
    }
    s->tuning = index->tuning;
    return ATOLL_OK;
}

/* A reader that came when this side was visible leaves within milliseconds: a short spin, then sleeps between looks. */
static void wait_until_empty(side *s)
{
    for (int spins = 0; atomic_load(&s->readers); spins++) {
        if (spins < 100)
            continue;
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

/* --- generations --- */

/* The living rows in their order, as rows of their own. */
static atoll_vectors *rows_alive(const atoll_index *index)
{
    atoll_vectors *rows = atoll_vectors_new(index->dim, rows_limit(index));
    for (uint32_t at = 0; rows && at < index->rows->count; at++) {
        if (index->slot_of[at] == EMPTY)
            continue;
        uint16_t *row = atoll_vectors_append(rows);
        if (!row) {
            atoll_vectors_free(rows);
            return NULL;
        }
        memcpy(row, atoll_vectors_at(index->rows, at), index->dim * sizeof *row);
    }
    return rows;
}

/* Numbers the living positions anew, in their order; takes `rows`. */
static void renumber(atoll_index *index, atoll_vectors *rows)
{
    uint32_t to = 0;
    for (uint32_t at = 0; at < index->rows->count; at++) {
        uint32_t slot = index->slot_of[at];
        if (slot == EMPTY)
            continue;
        index->position_of[slot] = to;
        index->slot_of[to++] = slot;
    }
    atoll_vectors *old = index->rows;
    index->rows = rows;
    rows_release(index, &old);
    index->died_count = 0;
    index->generation++;
}

/* Removes the dead positions where there are too many. */
static atoll_status compact(atoll_index *index, atoll_error *error)
{
    uint32_t most = index->coded ? index->count / CODES_DEAD_SHARE : FLAT_DEAD_MAX;
    if (dead_count(index) <= most)
        return ATOLL_OK;
    atoll_vectors *rows = rows_alive(index);
    if (!rows)
        return no_memory(error);
    renumber(index, rows);
    return ATOLL_OK;
}

/* Whether there should be codes, given whether there are. */
static bool wants_codes(const atoll_index *index)
{
    return index->count > (index->coded ? ATOLL_INDEX_FLAT_MAX / 2 : ATOLL_INDEX_FLAT_MAX);
}

static bool wants_training(const atoll_index *index)
{
    /* Few are trained on at any size; but of many, lists are made too, and measured. */
    uint32_t grown = index->count < index->lists_from ? 4 : 2;
    return !index->coded || index->count >= grown * (uint64_t)index->trained_on || index->puts >= index->count;
}

/* Changes between flat and codes, or trains the codes anew, where that is due. */
static atoll_status change_kind(atoll_index *index, atoll_error *error)
{
    bool coded = wants_codes(index);
    if (coded ? !wants_training(index) : !index->coded)
        return ATOLL_OK;
    void *trained = NULL;
    size_t bytes = 0;
    atoll_index_tuning tuning = {.recall = -1};
    atoll_vectors *rows = rows_alive(index);
    if (!rows)
        return no_memory(error);
    if (coded) {
        atoll_status status = atoll_index_train(index, &trained, &bytes, &tuning, error);
        if (status != ATOLL_OK) {
            atoll_vectors_free(rows);
            return status;
        }
    }
    renumber(index, rows);
    free(index->trained);
    index->trained = trained;
    index->trained_bytes = bytes;
    index->trained_on = coded ? index->count : 0;
    index->puts = index->tuned_at = 0;
    index->tuning = tuning;
    index->coded = coded;
    return ATOLL_OK;
}

/* --- writing --- */

atoll_status atoll_index_new(uint32_t dim, uint32_t slots, atoll_index **out, atoll_error *error)
{
    assert(dim >= 8 && dim % 8 == 0 && dim <= ATOLL_EMBEDDING_MAX_DIM && slots && slots < 1u << 30);
    atoll_index *index = aligned_alloc(64, sizeof *index);
    if (!index)
        return no_memory(error);
    memset(index, 0, sizeof *index);
    index->dim = dim;
    index->slots = slots;
    index->generation = 1;
    index->tuning.recall = -1;
    index->lists_from = ATOLL_INDEX_LISTS_MIN;
    index->side[0].index = index->side[1].index = index;
    atomic_init(&index->visible, 0);
    atomic_init(&index->side[0].readers, 0);
    atomic_init(&index->side[1].readers, 0);
    index->rows = atoll_vectors_new(dim, rows_limit(index));
    index->position_of = malloc(slots * sizeof *index->position_of);
    if (!index->rows || !index->position_of) {
        atoll_index_free(index);
        return no_memory(error);
    }
    memset(index->position_of, 0xff, slots * sizeof *index->position_of);
    *out = index;
    return ATOLL_OK;
}

void atoll_index_free(atoll_index *index)
{
    if (!index)
        return;
    for (int i = 0; i < 2; i++) {
        side_clear(&index->side[i]);
        free(index->side[i].slot_of);
    }
    atoll_vectors_free(index->rows);
    free(index->slot_of);
    free(index->position_of);
    free(index->died);
    free(index->trained);
    free(index);
}

/* Forgets the deaths that both sides know of. */
static void trim_died(atoll_index *index)
{
    uint32_t known = index->died_count;
    for (int i = 0; i < 2; i++)
        if (index->side[i].generation == index->generation && index->side[i].died_at < known)
            known = index->side[i].died_at;
    if (!known)
        return;
    index->died_count -= known;
    memmove(index->died, index->died + known, index->died_count * sizeof *index->died);
    for (int i = 0; i < 2; i++)
        index->side[i].died_at -= index->side[i].generation == index->generation ? known : index->side[i].died_at;
}

atoll_status atoll_index_flush(atoll_index *index, atoll_error *error)
{
    if (!index->pending)
        return ATOLL_OK;
    if (index->loading && index->missing)
        return atoll_fail(error, ATOLL_DAMAGED, "%u slots of the saved index have no vector", index->missing);
    uint32_t hidden = !atomic_load_explicit(&index->visible, memory_order_relaxed);
    side *s = &index->side[hidden];
    wait_until_empty(s);
    atoll_status status = change_kind(index, error);
    if (status == ATOLL_OK)
        status = compact(index, error);
    if (status == ATOLL_OK)
        status = side_catch_up(s, error);
    if (status == ATOLL_OK && atoll_index_wants_tuning(index))
        status = atoll_index_tune(s, error);
    if (status != ATOLL_OK)
        return status;
    trim_died(index);
    index->live = hidden;
    index->pending = index->loading = false;
    return ATOLL_OK;
}

atoll_status atoll_index_publish(atoll_index *index, atoll_error *error)
{
    atoll_status status = atoll_index_flush(index, error);
    if (status == ATOLL_OK)
        atomic_store(&index->visible, index->live);
    return status;
}

static atoll_status put_loaded(atoll_index *index, uint32_t slot, const float *vector, atoll_error *error)
{
    if (index->position_of[slot] == EMPTY || slot < index->next)
        return atoll_fail(error, ATOLL_DAMAGED, "slot %u is not in the saved index, or put twice", slot);
    index->next = slot + 1;
    index->missing--;
    atoll_half_from_float(vector, atoll_vectors_at(index->rows, index->position_of[slot]), index->dim);
    return ATOLL_OK;
}

atoll_status atoll_index_put(atoll_index *index, uint32_t slot, const float *vector, atoll_error *error)
{
    assert(slot < index->slots);
    if (index->loading)
        return put_loaded(index, slot, vector, error);
    if (index->rows->count == index->rows->limit) {
        /* More changes than slots since the last flush: most of these positions are dead, and go. */
        atoll_status status = atoll_index_flush(index, error);
        if (status != ATOLL_OK)
            return status;
    }
    uint32_t at = index->rows->count, before = index->position_of[slot];
    if (!grow(&index->slot_of, &index->room, at + 1) ||
        !grow(&index->died, &index->died_room, index->died_count + 1))
        return no_memory(error);
    uint16_t *row = atoll_vectors_append(index->rows);
    if (!row)
        return no_memory(error);
    atoll_half_from_float(vector, row, index->dim);
    if (before != EMPTY) {
        index->slot_of[before] = EMPTY;
        index->died[index->died_count++] = before;
    }
    index->slot_of[at] = slot;
    index->position_of[slot] = at;
    index->count += before == EMPTY;
    index->puts++;
    index->pending = true;
    return ATOLL_OK;
}

atoll_status atoll_index_drop(atoll_index *index, uint32_t slot, atoll_error *error)
{
    assert(slot < index->slots);
    uint32_t at = index->position_of[slot];
    if (index->loading)
        return atoll_fail(error, ATOLL_WRONG_STATE, "the index is being loaded");
    if (at == EMPTY)
        return ATOLL_OK;
    if (!grow(&index->died, &index->died_room, index->died_count + 1))
        return no_memory(error);
    index->died[index->died_count++] = at;
    index->slot_of[at] = EMPTY;
    index->position_of[slot] = EMPTY;
    index->count--;
    index->pending = true;
    return ATOLL_OK;
}

/* --- searching --- */

const atoll_index_view *atoll_index_enter(atoll_index *index)
{
    for (;;) {
        uint32_t visible = atomic_load(&index->visible);
        atomic_fetch_add(&index->side[visible].readers, 1);
        /* Still visible after the reader is counted: the writer will see the count before it changes this side. */
        if (atomic_load(&index->visible) == visible)
            return &index->side[visible];
        atomic_fetch_sub(&index->side[visible].readers, 1);
    }
}

void atoll_index_leave(const atoll_index_view *view)
{
    atomic_fetch_sub(&view->index->side[view - view->index->side].readers, 1);
}

/* Candidates lie anywhere in memory: their rows are sent for before they are needed. */
static void prefetch(const side *s, int64_t candidate)
{
    enum { LINE = 64 };
    const char *row = (const char *)atoll_vectors_at(s->rows, (uint32_t)candidate);
    for (uint32_t at = 0; at < s->index->dim * sizeof(uint16_t); at += LINE)
        __builtin_prefetch(row + at);
    __builtin_prefetch(&s->slot_of[candidate]);
}

/* Keeps the best ATOLL_NEIGHBOURS in order. */
static void offer(atoll_neighbours *out, uint32_t slot, float similarity)
{
    uint32_t at = out->count;
    while (at && (out->at[at - 1].similarity < similarity ||
                  (out->at[at - 1].similarity == similarity && out->at[at - 1].slot > slot)))
        at--;
    if (at == ATOLL_NEIGHBOURS)
        return;
    out->count += out->count < ATOLL_NEIGHBOURS;
    memmove(&out->at[at + 1], &out->at[at], (out->count - 1 - at) * sizeof out->at[0]);
    out->at[at] = (atoll_neighbour){slot, similarity};
}

/* The best of the candidates of one query, by their exact inner products. */
static void rank(const side *s, const float *query, const int64_t *candidates, uint32_t count, atoll_neighbours *out)
{
    enum { AHEAD = 6 };
    out->count = 0;
    for (uint32_t i = 0; i < count && i < AHEAD; i++)
        prefetch(s, candidates[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            prefetch(s, candidates[i + AHEAD]);
        uint32_t slot = s->slot_of[candidates[i]];
        if (slot != EMPTY)
            offer(out, slot, atoll_half_dot(atoll_vectors_at(s->rows, (uint32_t)candidates[i]), query, s->index->dim));
    }
}

/* At most ATOLL_INDEX_TILE queries, whose candidates have room. */
static void search_codes(const side *s, const float *queries, uint32_t count, atoll_neighbours *out)
{
    int64_t candidates[ATOLL_INDEX_CANDIDATES_MAX];
    float about[ATOLL_INDEX_CANDIDATES_MAX]; /* what their codes tell of them */
    uint32_t found[ATOLL_INDEX_TILE], want = s->tuning.candidates, dim = s->index->dim;
    uint32_t probes = s->tuning.probes ? s->tuning.probes : 1;
    atoll_faiss_search_all(s->codes, queries, count, probes, want, candidates, about, found);
    for (uint32_t q = 0; q < count; q++)
        rank(s, queries + (size_t)q * dim, candidates + (size_t)q * want, found[q], &out[q]);
}

void atoll_index_search_rows(const side *s, const float *queries, uint32_t count, atoll_neighbours *out)
{
    float dot[TILE_ROWS * TILE_QUERIES], least[TILE_QUERIES]; /* less than that is not among the best */
    for (uint32_t q = 0; q < count; q++) {
        out[q].count = 0;
        least[q] = -INFINITY;
    }
    for (uint32_t at = 0; at < s->count; at += TILE_ROWS) {
        uint32_t rows = s->count - at < TILE_ROWS ? s->count - at : TILE_ROWS;
        atoll_half_dots(atoll_vectors_at(s->rows, at), rows, queries, count, s->index->dim, dot);
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t q = 0; q < count; q++) {
                uint32_t slot = s->slot_of[at + r];
                float similarity = dot[r * count + q];
                if (similarity < least[q] || slot == EMPTY)
                    continue;
                offer(&out[q], slot, similarity);
                if (out[q].count == ATOLL_NEIGHBOURS)
                    least[q] = out[q].at[ATOLL_NEIGHBOURS - 1].similarity;
            }
    }
}

void atoll_index_search(const atoll_index_view *view, const float *queries, uint32_t count, atoll_neighbours *out)
{
    uint32_t dim = view->index->dim, together = TILE_QUERIES;
    if (view->coded) {
        uint32_t room = ATOLL_INDEX_CANDIDATES_MAX / view->tuning.candidates;
        together = room < ATOLL_CANDIDATES_TOGETHER ? room : ATOLL_CANDIDATES_TOGETHER;
    }
    for (uint32_t at = 0; at < count; at += together) {
        uint32_t some = count - at < together ? count - at : together;
        (view->coded ? search_codes : atoll_index_search_rows)(view, queries + (size_t)at * dim, some, &out[at]);
    }
}

void atoll_index_search_live(atoll_index *index, const float *queries, uint32_t count, atoll_neighbours *out)
{
    atoll_index_search(&index->side[index->live], queries, count, out);
}

uint32_t atoll_index_count(const atoll_index *index)
{
    return index->count;
}

atoll_index_about atoll_index_describe(const atoll_index *index)
{
    const atoll_index_tuning *tuning = &index->side[index->live].tuning;
    return (atoll_index_about){.coded = index->coded,
                               .lists = tuning->lists,
                               .probes = tuning->probes,
                               .candidates = tuning->candidates,
                               .recall = (double)tuning->recall};
}

uint64_t atoll_index_bytes(const atoll_index *index)
{
    uint64_t bytes = sizeof *index + index->trained_bytes + atoll_vectors_bytes(index->rows) +
                     ((uint64_t)index->room + index->died_room + index->slots) * sizeof(uint32_t);
    for (int i = 0; i < 2; i++) {
        const side *s = &index->side[i];
        if (s->codes)
            bytes += atoll_faiss_bytes(s->codes) + index->trained_bytes;
        bytes += s->room * sizeof(uint32_t);
        if (s->rows && s->rows != index->rows)
            bytes += atoll_vectors_bytes(s->rows);
    }
    return bytes;
}
