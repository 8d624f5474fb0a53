/* The index between processes: save, load and the verifier. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/index_inside.h"

/* Before the slots of all positions, the rows of the dead ones in their order, and what makes the codes. */
typedef struct saved_index {
    uint32_t version, dim, positions, count, coded, trained_on, puts, tuned_at;
    atoll_index_tuning tuning;
    uint64_t trained_bytes;
} saved_index;

enum { SAVED_VERSION = 5 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "saved numbers are little endian");

static size_t row_bytes(uint32_t dim)
{
    return dim * sizeof(uint16_t);
}

static uint64_t saved_bytes(const saved_index *saved)
{
    return sizeof *saved + (uint64_t)saved->positions * sizeof(uint32_t) +
           (uint64_t)(saved->positions - saved->count) * row_bytes(saved->dim) + saved->trained_bytes;
}

static atoll_status check_flushed(const atoll_index *index, atoll_error *error)
{
    return index->pending ? atoll_fail(error, ATOLL_WRONG_STATE, "changes of the index wait for a flush") : ATOLL_OK;
}

atoll_status atoll_index_save(atoll_index *index, void **blob, size_t *bytes, atoll_error *error)
{
    *blob = NULL;
    *bytes = 0;
    atoll_status status = check_flushed(index, error);
    if (status != ATOLL_OK || !index->rows->count)
        return status;
    saved_index saved = {SAVED_VERSION,     index->dim,  index->rows->count, index->count,  index->coded,
                         index->trained_on, index->puts, index->tuned_at,    index->tuning, index->trained_bytes};
    unsigned char *to = malloc(saved_bytes(&saved));
    if (!to)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to save the index");
    *blob = to;
    *bytes = saved_bytes(&saved);
    memcpy(to, &saved, sizeof saved);
    to += sizeof saved;
    memcpy(to, index->slot_of, saved.positions * sizeof *index->slot_of);
    to += saved.positions * sizeof *index->slot_of;
    for (uint32_t at = 0; at < saved.positions; at++) {
        if (index->slot_of[at] != ATOLL_INDEX_EMPTY)
            continue;
        memcpy(to, atoll_vectors_at(index->rows, at), row_bytes(saved.dim));
        to += row_bytes(saved.dim);
    }
    if (saved.trained_bytes)
        memcpy(to, index->trained, saved.trained_bytes);
    return ATOLL_OK;
}

/* Positions, and the vectors of the dead ones; *used is how many bytes they take. */
static atoll_status load_positions(atoll_index *index, const saved_index *saved, const unsigned char *in,
                                   size_t *used, atoll_error *error)
{
    const unsigned char *dead = in + saved->positions * sizeof(uint32_t);
    uint32_t dead_left = saved->positions - saved->count;
    atoll_status status = atoll_index_reserve(index, saved->positions, error);
    if (status != ATOLL_OK)
        return status;
    for (uint32_t at = 0; at < saved->positions; at++) {
        uint32_t slot;
        memcpy(&slot, in + at * sizeof slot, sizeof slot);
        bool is_dead = slot == ATOLL_INDEX_EMPTY;
        if (is_dead ? !dead_left-- : slot >= index->slots || index->position_of[slot] != ATOLL_INDEX_EMPTY)
            return atoll_fail(error, ATOLL_DAMAGED, "position %u of the saved index cannot hold slot %u", at, slot);
        uint16_t *row = atoll_vectors_append(index->rows);
        if (!row)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the index");
        index->slot_of[at] = slot;
        if (is_dead) {
            memcpy(row, dead, row_bytes(index->dim));
            dead += row_bytes(index->dim);
        } else {
            index->position_of[slot] = at;
        }
    }
    *used = (size_t)(dead - in);
    return ATOLL_OK;
}

static atoll_status load_trained(atoll_index *index, const unsigned char *in, size_t bytes,
                                 const atoll_index_tuning *tuning, atoll_error *error)
{
    atoll_faiss *codes;
    atoll_status status = atoll_faiss_new(in, bytes, &codes, error);
    if (status != ATOLL_OK)
        return status;
    bool fits = atoll_faiss_dim(codes) == index->dim &&
                atoll_faiss_lists(codes) == (tuning->lists ? tuning->lists : 1) && tuning->probes <= tuning->lists &&
                tuning->probes <= ATOLL_FAISS_PROBES_MAX && (tuning->probes != 0) == (tuning->lists != 0) &&
                tuning->candidates && tuning->candidates <= ATOLL_INDEX_CANDIDATES_MAX;
    atoll_faiss_free(codes);
    if (!fits)
        return atoll_fail(error, ATOLL_DAMAGED, "the saved training is not of this index");
    index->trained = malloc(bytes);
    if (!index->trained)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the index");
    memcpy(index->trained, in, bytes);
    index->trained_bytes = bytes;
    return ATOLL_OK;
}

atoll_status atoll_index_load(atoll_index *index, const void *blob, size_t bytes, atoll_error *error)
{
    assert(!index->rows->count);
    if (!bytes)
        return ATOLL_OK;
    saved_index saved;
    if (bytes < sizeof saved)
        return atoll_fail(error, ATOLL_DAMAGED, "the saved index ends early");
    memcpy(&saved, blob, sizeof saved);
    if (saved.version != SAVED_VERSION)
        return atoll_fail(error, saved.version > SAVED_VERSION ? ATOLL_NEWER_FORMAT : ATOLL_DAMAGED,
                          "the saved index has version %u", saved.version);
    if (saved.dim != index->dim || saved.positions > index->rows->limit || saved.count > saved.positions ||
        saved.trained_bytes > bytes || saved.coded != (saved.trained_bytes != 0) || bytes != saved_bytes(&saved))
        return atoll_fail(error, ATOLL_DAMAGED, "the saved index does not fit its %zu bytes", bytes);
    const unsigned char *in = (const unsigned char *)blob + sizeof saved;
    size_t used = 0;
    atoll_status status = load_positions(index, &saved, in, &used, error);
    if (status == ATOLL_OK && saved.coded)
        status = load_trained(index, in + used, saved.trained_bytes, &saved.tuning, error);
    index->coded = saved.coded;
    index->count = index->missing = saved.count;
    index->trained_on = saved.trained_on;
    index->puts = saved.puts;
    index->tuned_at = saved.tuned_at;
    index->tuning = saved.tuning;
    index->loading = index->pending = true;
    return status;
}

/* --- the verifier --- */

static atoll_status check_slots(const atoll_index *index, const float *(*vectors)(void *arg, uint32_t slot), void *arg,
                                atoll_error *error)
{
    const atoll_index_view *live = &index->side[index->live];
    uint16_t half[ATOLL_EMBEDDING_MAX_DIM];
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < index->slots; slot++) {
        const float *vector = vectors(arg, slot);
        uint32_t at = index->position_of[slot];
        if ((vector == NULL) != (at == ATOLL_INDEX_EMPTY))
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u is %s in the index", slot, vector ? "missing" : "left");
        if (!vector)
            continue;
        count++;
        if (at >= live->count || index->slot_of[at] != slot)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u is not at its position %u", slot, at);
        atoll_half_from_float(vector, half, index->dim);
        if (memcmp(half, atoll_vectors_at(live->rows, at), row_bytes(index->dim)) != 0)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u has another vector in the index", slot);
    }
    if (count != index->count)
        return atoll_fail(error, ATOLL_DAMAGED, "%u slots are counted, %u are there", index->count, count);
    return ATOLL_OK;
}

static atoll_status check_live(const atoll_index *index, atoll_error *error)
{
    const atoll_index_view *live = &index->side[index->live];
    if (live->count && live->generation != index->generation)
        return atoll_fail(error, ATOLL_DAMAGED, "the live instance is of an older generation");
    if (live->count != index->rows->count || (live->codes && atoll_faiss_count(live->codes) != live->count))
        return atoll_fail(error, ATOLL_DAMAGED, "%u positions, %u in the live instance", index->rows->count,
                          live->count);
    for (uint32_t at = 0; at < live->count; at++)
        if (live->slot_of[at] != index->slot_of[at])
            return atoll_fail(error, ATOLL_DAMAGED, "position %u is slot %u and should be %u", at, live->slot_of[at],
                              index->slot_of[at]);
    return ATOLL_OK;
}

/* The exact neighbours' similarities, descending. Returns how many there are. */
static uint32_t exact(const atoll_index_view *live, const float *query, float *similarities)
{
    uint32_t held = 0;
    for (uint32_t at = 0; at < live->count; at++) {
        if (live->slot_of[at] == ATOLL_INDEX_EMPTY)
            continue;
        float s = atoll_half_dot(atoll_vectors_at(live->rows, at), query, live->index->dim);
        uint32_t k = held < ATOLL_NEIGHBOURS ? held++ : ATOLL_NEIGHBOURS;
        for (; k && similarities[k - 1] < s; k--)
            if (k < ATOLL_NEIGHBOURS)
                similarities[k] = similarities[k - 1];
        if (k < ATOLL_NEIGHBOURS)
            similarities[k] = s;
    }
    return held;
}

/* Searches for what `slot` holds: order and similarities must be right. Adds up what was there to find and found. */
static atoll_status check_search(atoll_index *index, uint32_t slot, uint64_t *there, uint64_t *found,
                                 atoll_error *error)
{
    const atoll_index_view *live = &index->side[index->live];
    float query[ATOLL_EMBEDDING_MAX_DIM], similarities[ATOLL_NEIGHBOURS];
    atoll_neighbours got;
    atoll_half_to_float(atoll_vectors_at(live->rows, index->position_of[slot]), query, index->dim);
    atoll_index_search_live(index, query, 1, &got);
    uint32_t count = exact(live, query, similarities);
    if (got.count > count)
        return atoll_fail(error, ATOLL_DAMAGED, "%u neighbours of slot %u, there are %u", got.count, slot, count);
    for (uint32_t i = 0; i < got.count; i++) {
        const atoll_neighbour *n = &got.at[i];
        uint32_t at = n->slot < index->slots ? index->position_of[n->slot] : ATOLL_INDEX_EMPTY;
        if (at == ATOLL_INDEX_EMPTY)
            return atoll_fail(error, ATOLL_DAMAGED, "a neighbour of slot %u is the empty slot %u", slot, n->slot);
        if (n->similarity != atoll_half_dot(atoll_vectors_at(live->rows, at), query, index->dim) ||
            (i && n->similarity > got.at[i - 1].similarity))
            return atoll_fail(error, ATOLL_DAMAGED, "neighbour %u of slot %u has a wrong similarity", i, slot);
        *found += n->similarity >= similarities[count - 1];
    }
    *there += count;
    return ATOLL_OK;
}

atoll_status atoll_index_verify(atoll_index *index, const float *(*vectors)(void *arg, uint32_t slot), void *arg,
                                uint32_t samples, double *recall, atoll_error *error)
{
    *recall = 1;
    atoll_status status = check_flushed(index, error);
    if (status == ATOLL_OK)
        status = check_live(index, error);
    if (status == ATOLL_OK)
        status = check_slots(index, vectors, arg, error);
    uint64_t there = 0, found = 0;
    uint32_t seen = 0, taken = 0, want = samples < index->count ? samples : index->count;
    for (uint32_t slot = 0; slot < index->slots && taken < want && status == ATOLL_OK; slot++) {
        if (index->position_of[slot] == ATOLL_INDEX_EMPTY || (uint64_t)seen++ * want / index->count < taken)
            continue;
        taken++;
        status = check_search(index, slot, &there, &found, error);
    }
    if (there)
        *recall = (double)found / (double)there;
    return status;
}
