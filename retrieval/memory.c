#include "retrieval/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/cells.h"

/* Empty slots form a list through their `owner`, the last emptied first; its end is ATOLL_SLOT_NONE. */
struct atoll_memory {
    atoll_pager *pager;
    uint32_t cap, count;
    uint32_t free_slot; /* the head of the list */
    uint32_t used;      /* slots that ever held something; the first unused one is taken where the list is empty */
    atoll_array slots;  /* of atoll_slot; at least `used` */
    atoll_cells *cells;
    uint64_t exemplar_bytes;
};

static const atoll_slot *slot_at(const atoll_memory *memory, uint32_t slot)
{
    return (const atoll_slot *)atoll_array_at(&memory->slots, slot);
}

/* --- exemplars --- */

static size_t payload_bytes(const atoll_exemplar *e)
{
    return e->vector_dim * (e->code ? 1 : sizeof(float)) + e->terms * sizeof(atoll_term) +
           e->embedding_dim * sizeof(uint16_t) + e->id_bytes;
}

static size_t block_bytes(const atoll_exemplar *e)
{
    return sizeof *e + payload_bytes(e);
}

static int within_limits(const atoll_exemplar *e)
{
    return e->id_bytes <= ATOLL_ID_MAX_BYTES && e->terms <= ATOLL_FEATURES_MAX &&
           e->vector_dim <= ATOLL_NUMBERS_MAX && e->embedding_dim <= ATOLL_EMBEDDING_MAX_DIM;
}

/* A block for an exemplar of these sizes, its arrays set and not filled: vector, terms, embedding, id, code. */
static atoll_exemplar *block_new(const atoll_exemplar *like)
{
    atoll_exemplar *e = malloc(block_bytes(like));
    if (!e)
        return NULL;
    *e = *like;
    unsigned char *payload = (unsigned char *)(e + 1);
    const float *vector = (const float *)(void *)payload;
    e->vector = like->code || !e->vector_dim ? NULL : vector;
    e->term = (const atoll_term *)(vector + (e->vector ? e->vector_dim : 0));
    e->embedding = (const uint16_t *)(e->term + e->terms);
    e->id = (const char *)(e->embedding + e->embedding_dim);
    e->code = like->code ? (const int8_t *)(e->id + e->id_bytes) : NULL;
    return e;
}

static void copy(const void *to, const void *from, size_t bytes)
{
    if (bytes)
        memcpy((void *)(uintptr_t)to, from, bytes);
}

static atoll_exemplar *exemplar_new(const atoll_exemplar *like, const float *embedding)
{
    atoll_exemplar *e = block_new(like);
    if (!e)
        return NULL;
    copy(e->vector, like->vector, e->vector ? like->vector_dim * sizeof(float) : 0);
    copy(e->code, like->code, e->code ? like->vector_dim : 0);
    copy(e->term, like->term, like->terms * sizeof(atoll_term));
    copy(e->id, like->id, like->id_bytes);
    atoll_half_from_float(embedding, (uint16_t *)(uintptr_t)e->embedding, e->embedding_dim);
    return e;
}

static void exemplar_retire(atoll_memory *memory, const atoll_exemplar *e)
{
    size_t bytes = block_bytes(e);
    memory->exemplar_bytes -= bytes;
    atoll_reclaim_retire(memory->pager->reclaim, (void *)(uintptr_t)e, 0, bytes, free);
}

/* --- the memory --- */

atoll_status atoll_memory_new(atoll_pager *pager, uint32_t cap, atoll_memory **out, atoll_error *error)
{
    assert(cap && cap < ATOLL_SLOT_NONE);
    atoll_memory *memory = calloc(1, sizeof *memory);
    atoll_cells *cells = atoll_cells_new();
    if (!memory || !cells) {
        free(memory);
        atoll_cells_free(cells);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a memory");
    }
    *memory = (atoll_memory){.pager = pager, .cap = cap, .free_slot = ATOLL_SLOT_NONE, .cells = cells};
    atoll_array_init(&memory->slots, sizeof(atoll_slot));
    *out = memory;
    return ATOLL_OK;
}

void atoll_memory_free(atoll_memory *memory)
{
    if (!memory)
        return;
    for (uint32_t i = 0; i < memory->slots.count; i++)
        if (slot_at(memory, i)->exemplar)
            exemplar_retire(memory, slot_at(memory, i)->exemplar);
    atoll_array_clear(memory->pager, &memory->slots);
    atoll_cells_free(memory->cells);
    free(memory);
}

atoll_memory_view atoll_memory_freeze(const atoll_memory *memory)
{
    return (atoll_memory_view){memory->slots};
}

/* For writing; the array grows where `slot` is beyond it. NULL where memory is short. */
static atoll_slot *slot_edit(atoll_memory *memory, uint32_t slot, atoll_error *error)
{
    if (slot >= memory->slots.count &&
        atoll_array_grow(memory->pager, &memory->slots, slot + 1, error) != ATOLL_OK)
        return NULL;
    atoll_slot *s = atoll_array_edit(memory->pager, &memory->slots, slot);
    if (!s)
        atoll_fail(error, ATOLL_NO_MEMORY, "no memory for slot %u", slot);
    return s;
}

/* Whether a cell of a full memory makes room for its own records: it is the largest, or has lost members. */
static bool is_reservoir(const atoll_memory *memory, const atoll_cell *cell)
{
    return cell && (cell->seen > cell->count || cell->count == atoll_cells_largest(memory->cells)->count);
}

/*
 * Chooses the slot for a record of a cell; ATOLL_SLOT_NONE where the reservoir leaves it out. *victim is the cell that
 * loses the slot's exemplar, NULL where the slot is empty.
 */
static uint32_t choose(const atoll_memory *memory, uint32_t owner, uint32_t label, atoll_rng *rng,
                       const atoll_cell **victim)
{
    *victim = NULL;
    if (memory->count < memory->cap)
        return memory->free_slot != ATOLL_SLOT_NONE ? memory->free_slot : memory->used;
    const atoll_cell *cell = atoll_cells_find(memory->cells, owner, label);
    if (!is_reservoir(memory, cell)) {
        *victim = atoll_cells_largest(memory->cells);
        return (*victim)->members[atoll_rng_below(rng, (*victim)->count)];
    }
    uint32_t bound = cell->seen < UINT32_MAX ? (uint32_t)cell->seen + 1 : UINT32_MAX;
    uint32_t place = atoll_rng_below(rng, bound);
    *victim = cell;
    return place < cell->count ? cell->members[place] : ATOLL_SLOT_NONE;
}

/* Puts an exemplar into an empty slot that `s` is the edit of. */
static void fill(atoll_memory *memory, atoll_slot *s, const atoll_exemplar *e, uint32_t owner)
{
    *s = (atoll_slot){e, owner, e->lot, atoll_reclaim_epoch(memory->pager->reclaim)};
    memory->exemplar_bytes += block_bytes(e);
    memory->count++;
}

atoll_status atoll_memory_offer(atoll_memory *memory, const atoll_exemplar *like, const float *embedding,
                                uint32_t owner, atoll_rng *rng, uint32_t *slot, atoll_error *error)
{
    assert(within_limits(like));
    const atoll_cell *victim;
    uint32_t at = choose(memory, owner, like->label, rng, &victim);
    *slot = ATOLL_SLOT_NONE;
    if (at == ATOLL_SLOT_NONE) {
        atoll_cells_saw(memory->cells, owner, like->label);
        return ATOLL_OK;
    }
    atoll_exemplar *e = exemplar_new(like, embedding);
    if (!e)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an exemplar of %zu bytes", block_bytes(like));
    uint32_t loser_owner = victim ? victim->owner : 0, loser_label = victim ? victim->label : 0;
    atoll_slot *s = slot_edit(memory, at, error);
    if (!s || atoll_cells_reserve(memory->cells, owner, like->label, at, error) != ATOLL_OK) {
        free(e);
        return ATOLL_NO_MEMORY;
    }
    if (victim && loser_owner == owner && loser_label == like->label) {
        atoll_cells_saw(memory->cells, owner, like->label);
    } else {
        if (victim)
            atoll_cells_remove(memory->cells, loser_owner, loser_label, at, 0);
        atoll_cells_add(memory->cells, owner, like->label, at, 1);
    }
    if (victim) {
        exemplar_retire(memory, s->exemplar);
        memory->count--;
    } else if (at == memory->free_slot) {
        memory->free_slot = s->owner;
    } else {
        memory->used++;
    }
    fill(memory, s, e, owner);
    *slot = at;
    return ATOLL_OK;
}

atoll_status atoll_memory_code(atoll_memory *memory, atoll_memory_encode encode, void *arg, atoll_error *error)
{
    for (uint32_t slot = 0; slot < memory->slots.count; slot++) {
        const atoll_exemplar *old = slot_at(memory, slot)->exemplar;
        if (!old || !old->vector)
            continue;
        atoll_exemplar like = *old;
        like.code = (const int8_t *)""; /* that there is one */
        atoll_exemplar *e = block_new(&like);
        atoll_slot *s = slot_edit(memory, slot, error);
        if (!e || !s) {
            free(e);
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an exemplar of %zu bytes", block_bytes(&like));
        }
        copy(e->term, old->term, old->terms * sizeof(atoll_term));
        copy(e->embedding, old->embedding, old->embedding_dim * sizeof(uint16_t));
        copy(e->id, old->id, old->id_bytes);
        encode(arg, old->vector, old->vector_dim, (int8_t *)(uintptr_t)e->code);
        exemplar_retire(memory, old);
        memory->exemplar_bytes += block_bytes(e);
        s->exemplar = e;
        s->changed = atoll_reclaim_epoch(memory->pager->reclaim);
    }
    return ATOLL_OK;
}

atoll_status atoll_memory_drop(atoll_memory *memory, uint32_t slot)
{
    atoll_slot *s = slot_edit(memory, slot, NULL);
    if (!s)
        return ATOLL_NO_MEMORY;
    assert(s->exemplar);
    atoll_cells_remove(memory->cells, s->owner, s->exemplar->label, slot, 1);
    exemplar_retire(memory, s->exemplar);
    *s = (atoll_slot){NULL, memory->free_slot, 0, atoll_reclaim_epoch(memory->pager->reclaim)};
    memory->free_slot = slot;
    memory->count--;
    return ATOLL_OK;
}

atoll_status atoll_memory_reassign(atoll_memory *memory, uint32_t slot, uint32_t owner, atoll_error *error)
{
    atoll_slot *s = slot_edit(memory, slot, error);
    if (!s)
        return ATOLL_NO_MEMORY;
    assert(s->exemplar);
    uint32_t label = s->exemplar->label;
    if (s->owner == owner)
        return ATOLL_OK;
    if (atoll_cells_reserve(memory->cells, owner, label, slot, error) != ATOLL_OK)
        return ATOLL_NO_MEMORY;
    const atoll_cell *cell = atoll_cells_find(memory->cells, s->owner, label);
    uint64_t share = cell->seen / cell->count;
    atoll_cells_remove(memory->cells, s->owner, label, slot, share);
    atoll_cells_add(memory->cells, owner, label, slot, share);
    s->owner = owner;
    s->changed = atoll_reclaim_epoch(memory->pager->reclaim);
    return ATOLL_OK;
}

uint32_t atoll_memory_draw(const atoll_memory *memory, atoll_rng *rng, uint32_t count, uint32_t *slots)
{
    if (!memory->count)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        do
            slots[i] = atoll_rng_below(rng, memory->used);
        while (!slot_at(memory, slots[i])->exemplar);
    return count;
}

float atoll_memory_stands_for(const atoll_memory *memory, uint32_t slot)
{
    const atoll_slot *s = slot_at(memory, slot);
    const atoll_cell *cell = atoll_cells_find(memory->cells, s->owner, s->exemplar->label);
    return (float)cell->seen / (float)cell->count;
}

void atoll_memory_shares(const atoll_memory *memory, uint32_t labels, atoll_shares *share)
{
    uint32_t cells;
    const atoll_cell *cell = atoll_cells_all(memory->cells, &cells);
    memset(share, 0, labels * sizeof *share);
    for (uint32_t i = 0; i < cells; i++)
        if (!atoll_owner_dormant(cell[i].owner) && cell[i].label < labels) {
            share[cell[i].label].held += cell[i].count;
            share[cell[i].label].seen += (double)cell[i].seen;
        }
}

uint32_t atoll_memory_count(const atoll_memory *memory)
{
    return memory->count;
}

uint32_t atoll_memory_cell(const atoll_memory *memory, uint32_t owner, uint32_t label)
{
    const atoll_cell *cell = atoll_cells_find(memory->cells, owner, label);
    return cell ? cell->count : 0;
}

uint32_t atoll_memory_owned(const atoll_memory *memory, uint32_t owner)
{
    return atoll_cells_owned(memory->cells, owner);
}

uint64_t atoll_memory_bytes(const atoll_memory *memory)
{
    return sizeof *memory + memory->exemplar_bytes + atoll_array_bytes(&memory->slots) +
           atoll_cells_bytes(memory->cells);
}

/* --- saving --- */

/* A saved slot; the exemplar's arrays follow in the order of its block. */
typedef struct saved_slot {
    uint64_t seq;
    int64_t time_ms;
    uint32_t owner, label, domain, id_bytes, terms, vector_dim, embedding_dim, lot, coded, zero;
} saved_slot;

/* Before the cells' own blob: how many slots were ever used and how many of them are free; those follow. */
typedef struct saved_memory {
    uint32_t slots, free;
} saved_memory;

atoll_status atoll_memory_save_slot(const atoll_memory_view *view, uint32_t slot, void **blob, size_t *bytes,
                                    atoll_error *error)
{
    const atoll_slot *s = atoll_memory_at(view, slot);
    const atoll_exemplar *e = s->exemplar;
    *blob = NULL;
    *bytes = 0;
    if (!e)
        return ATOLL_OK;
    saved_slot saved = {e->seq,   e->time_ms,    s->owner,         e->label, e->domain, e->id_bytes,
                        e->terms, e->vector_dim, e->embedding_dim, e->lot,   e->code != NULL, 0};
    size_t size = sizeof saved + payload_bytes(e);
    unsigned char *to = malloc(size);
    if (!to)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to save slot %u", slot);
    memcpy(to, &saved, sizeof saved);
    memcpy(to + sizeof saved, e + 1, size - sizeof saved);
    *blob = to;
    *bytes = size;
    return ATOLL_OK;
}

atoll_status atoll_memory_load_slot(atoll_memory *memory, uint32_t slot, const void *blob, size_t bytes,
                                    atoll_error *error)
{
    saved_slot saved;
    if (slot >= memory->cap || bytes < sizeof saved)
        return atoll_fail(error, ATOLL_DAMAGED, "slot %u of %u cannot be from %zu bytes", slot, memory->cap, bytes);
    memcpy(&saved, blob, sizeof saved);
    atoll_exemplar like = {.seq = saved.seq, .time_ms = saved.time_ms, .label = saved.label, .domain = saved.domain,
                           .id_bytes = saved.id_bytes, .terms = saved.terms, .vector_dim = saved.vector_dim,
                           .embedding_dim = saved.embedding_dim, .lot = saved.lot,
                           .code = saved.coded ? (const int8_t *)"" : NULL};
    if (!within_limits(&like) || bytes != sizeof saved + payload_bytes(&like))
        return atoll_fail(error, ATOLL_DAMAGED, "slot %u does not fit its %zu bytes", slot, bytes);
    atoll_slot *s = slot_edit(memory, slot, error);
    if (!s)
        return ATOLL_NO_MEMORY;
    assert(!s->exemplar);
    atoll_exemplar *e = block_new(&like);
    if (!e)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an exemplar of %zu bytes", block_bytes(&like));
    memcpy(e + 1, (const unsigned char *)blob + sizeof saved, bytes - sizeof saved);
    fill(memory, s, e, saved.owner);
    if (slot >= memory->used)
        memory->used = slot + 1;
    return ATOLL_OK;
}

atoll_status atoll_memory_save_cells(const atoll_memory *memory, void **blob, size_t *bytes, atoll_error *error)
{
    saved_memory saved = {memory->used, memory->used - memory->count};
    size_t own = sizeof saved + saved.free * sizeof(uint32_t), size = own + atoll_cells_saved_bytes(memory->cells);
    unsigned char *out = malloc(size);
    *blob = out;
    *bytes = out ? size : 0;
    if (!out)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to save the cells");
    memcpy(out, &saved, sizeof saved);
    uint32_t slot = memory->free_slot;
    for (uint32_t i = 0; i < saved.free; i++, slot = slot_at(memory, slot)->owner)
        memcpy(out + sizeof saved + i * sizeof slot, &slot, sizeof slot);
    atoll_cells_save(memory->cells, out + own);
    return ATOLL_OK;
}

/* Links the `count` free slots in `in` into the list, in their order. */
static atoll_status load_free(atoll_memory *memory, const unsigned char *in, uint32_t count, atoll_error *error)
{
    uint64_t epoch = atoll_reclaim_epoch(memory->pager->reclaim);
    memory->free_slot = ATOLL_SLOT_NONE;
    for (uint32_t i = count; i--;) {
        uint32_t slot;
        memcpy(&slot, in + i * sizeof slot, sizeof slot);
        if (slot >= memory->used || slot_at(memory, slot)->exemplar)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u is not free", slot);
        atoll_slot *s = slot_edit(memory, slot, error);
        if (!s)
            return ATOLL_NO_MEMORY;
        if (s->changed)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u is free twice", slot);
        *s = (atoll_slot){NULL, memory->free_slot, 0, epoch};
        memory->free_slot = slot;
    }
    return ATOLL_OK;
}

/* With a member for each exemplar and members all different, what is left is that each is where its slot says. */
static atoll_status check_members(const atoll_memory *memory, atoll_error *error)
{
    if (atoll_cells_count(memory->cells) != memory->count)
        return atoll_fail(error, ATOLL_DAMAGED, "%u members of cells, %u exemplars", atoll_cells_count(memory->cells),
                          memory->count);
    for (uint32_t i = 0; i < memory->slots.count; i++) {
        const atoll_slot *s = slot_at(memory, i);
        if (s->exemplar &&
            atoll_cells_place(memory->cells, s->owner, s->exemplar->label, i) == UINT32_MAX)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u is not in its cell", i);
    }
    return ATOLL_OK;
}

atoll_status atoll_memory_load_cells(atoll_memory *memory, const void *blob, size_t bytes, atoll_error *error)
{
    const unsigned char *in = blob;
    saved_memory saved;
    if (bytes < sizeof saved)
        return atoll_fail(error, ATOLL_DAMAGED, "the cells end early");
    memcpy(&saved, in, sizeof saved);
    if (saved.slots > memory->cap || saved.slots < memory->used || saved.free > saved.slots ||
        saved.slots - saved.free != memory->count || (bytes - sizeof saved) / sizeof(uint32_t) < saved.free)
        return atoll_fail(error, ATOLL_DAMAGED, "the cells are of %u slots with %u free, %u exemplars are there",
                          saved.slots, saved.free, memory->count);
    atoll_status status = atoll_array_grow(memory->pager, &memory->slots, saved.slots, error);
    if (status != ATOLL_OK)
        return status;
    memory->used = saved.slots;
    status = load_free(memory, in + sizeof saved, saved.free, error);
    if (status != ATOLL_OK)
        return status;
    size_t own = sizeof saved + saved.free * sizeof(uint32_t);
    status = atoll_cells_load(memory->cells, in + own, bytes - own, saved.slots, error);
    return status == ATOLL_OK ? check_members(memory, error) : status;
}

/* --- the verifier --- */

static const char *slot_fault(const atoll_memory *memory, uint32_t slot)
{
    const atoll_slot *s = slot_at(memory, slot);
    const atoll_exemplar *e = s->exemplar;
    if (s->changed > atoll_reclaim_epoch(memory->pager->reclaim))
        return "was changed in the future";
    if (!e)
        return NULL;
    if (!within_limits(e))
        return "holds more than it may";
    const float *vector = (const float *)(const void *)(e + 1);
    if ((e->vector && e->vector != vector) || (e->vector_dim && !e->vector == !e->code) ||
        (e->code && (const void *)e->code != e->id + e->id_bytes) ||
        (const void *)e->term != vector + (e->vector ? e->vector_dim : 0) ||
        (const void *)e->embedding != e->term + e->terms || (const void *)e->id != e->embedding + e->embedding_dim)
        return "has arrays outside its block";
    if (s->lot != e->lot)
        return "has another lot than its exemplar";
    for (uint32_t i = 0; i < e->embedding_dim; i++)
        if (!isfinite(atoll_half_value(e->embedding[i])))
            return "has an embedding that is not finite";
    for (uint32_t i = 1; i < e->terms; i++)
        if (atoll_term_bucket(e->term[i - 1]) >= atoll_term_bucket(e->term[i]))
            return "has terms out of order";
    return NULL;
}

atoll_status atoll_memory_verify(const atoll_memory *memory, atoll_error *error)
{
    uint32_t occupied = 0, unused = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < memory->slots.count; i++) {
        const char *fault = slot_fault(memory, i);
        if (fault)
            return atoll_fail(error, ATOLL_DAMAGED, "slot %u %s", i, fault);
        const atoll_exemplar *e = slot_at(memory, i)->exemplar;
        occupied += e != NULL;
        bytes += e ? block_bytes(e) : 0;
    }
    for (uint32_t slot = memory->free_slot; slot != ATOLL_SLOT_NONE; slot = slot_at(memory, slot)->owner)
        if (++unused > memory->used || slot >= memory->used || slot_at(memory, slot)->exemplar)
            return atoll_fail(error, ATOLL_DAMAGED, "the list of free slots is broken at %u", slot);
    if (occupied != memory->count || occupied + unused != memory->used || memory->used > memory->slots.count ||
        memory->slots.count > memory->cap || bytes != memory->exemplar_bytes)
        return atoll_fail(error, ATOLL_DAMAGED, "%u exemplars are counted, %u are there, %u of %u slots are free",
                          memory->count, occupied, unused, memory->used);
    atoll_status status = atoll_cells_verify(memory->cells, error);
    return status == ATOLL_OK ? check_members(memory, error) : status;
}
