/*
 * The memory: remembered records (exemplars) in numbered slots under a hard cap, balanced over cells. A cell is one
 * (owner, label) pair. A full memory makes room in its largest cell; a record of that very cell is let in by reservoir
 * sampling [Vitter 1985], so that every record of the cell's past is equally likely to be held.
 *
 * An exemplar is one immutable heap block. Readers reach it through a frozen atoll_memory_view; the writer retires what
 * it replaces, so nothing that a reader may hold moves or goes.
 */
#ifndef ATOLL_RETRIEVAL_MEMORY_H
#define ATOLL_RETRIEVAL_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/features.h"
#include "core/pages.h"
#include "core/record.h"
#include "core/rng.h"
#include "core/status.h"

/* What an exemplar keeps of a record. The arrays belong to the exemplar's block. */
typedef struct atoll_exemplar {
    uint64_t seq;
    int64_t time_ms;
    uint32_t label;            /* the model's number of the label */
    uint32_t domain;           /* the model's number of the domain hint, UINT32_MAX where none was given */
    uint32_t id_bytes, terms, vector_dim, embedding_dim;
    const char *id;            /* not terminated */
    const atoll_term *term;
    const float *vector;       /* as received */
    const uint16_t *embedding; /* IEEE half precision; its float values are what the index holds */
} atoll_exemplar;

enum { ATOLL_SLOT_NONE = UINT32_MAX };

/* One slot of the table. `exemplar` is NULL where the slot is empty. */
typedef struct atoll_slot {
    const atoll_exemplar *exemplar;
    uint32_t owner; /* number of the expert that the exemplar belongs to */
    uint32_t place; /* position inside its cell; the writer's own */
    uint64_t changed; /* epoch of the last change to this slot, for checkpoints */
} atoll_slot;

typedef struct atoll_memory atoll_memory;

/* What readers see: frozen by copying. */
typedef struct atoll_memory_view {
    atoll_array slots; /* of atoll_slot */
} atoll_memory_view;

/* `pager` outlives the memory. ATOLL_NO_MEMORY. */
atoll_status atoll_memory_new(atoll_pager *pager, uint32_t cap, atoll_memory **out, atoll_error *error);
void atoll_memory_free(atoll_memory *memory);

atoll_memory_view atoll_memory_freeze(const atoll_memory *memory);

static inline const atoll_slot *atoll_memory_at(const atoll_memory_view *view, uint32_t slot)
{
    return (const atoll_slot *)atoll_array_at(&view->slots, slot);
}

/*
 * Offers a record (its arrays are copied; embedding as floats is rounded to half precision into the exemplar).
 * *slot is where it was placed, ATOLL_SLOT_NONE where the reservoir left it out. A placed record may replace another: then
 * *slot is the slot that the other one had, so that one atoll_index_put serves for both.
 */
atoll_status atoll_memory_offer(atoll_memory *memory, const atoll_exemplar *like, const float *embedding,
                                uint32_t owner, atoll_rng *rng, uint32_t *slot, atoll_error *error);

void atoll_memory_drop(atoll_memory *memory, uint32_t slot);                   /* empties it */
atoll_status atoll_memory_reassign(atoll_memory *memory, uint32_t slot, uint32_t owner, atoll_error *error);

/*
 * Draws `count` exemplars for replay, cells uniformly, then members uniformly; `owner` restricts to one owner's cells
 * unless ATOLL_SLOT_NONE. Returns how many were drawn: 0 where there is nothing, else `count` (with repetition).
 */
uint32_t atoll_memory_draw(const atoll_memory *memory, uint32_t owner, atoll_rng *rng, uint32_t count,
                           uint32_t *slots);

uint32_t atoll_memory_count(const atoll_memory *memory);
uint32_t atoll_memory_owned(const atoll_memory *memory, uint32_t owner); /* exemplars of one owner */
uint64_t atoll_memory_bytes(const atoll_memory *memory);                 /* exemplars, slots and cells */

/* One slot as bytes for the checkpoint (a blob to free()), and back into an empty slot. ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
atoll_status atoll_memory_save_slot(const atoll_memory_view *view, uint32_t slot, void **blob, size_t *bytes,
                                    atoll_error *error);
atoll_status atoll_memory_load_slot(atoll_memory *memory, uint32_t slot, const void *blob, size_t bytes,
                                    atoll_error *error);
/* The cells (how many records each has seen, and their members' order), as one blob, and back once all slots are loaded. */
atoll_status atoll_memory_save_cells(const atoll_memory *memory, void **blob, size_t *bytes, atoll_error *error);
atoll_status atoll_memory_load_cells(atoll_memory *memory, const void *blob, size_t bytes, atoll_error *error);

/* The verifier: every invariant of slots and cells. ATOLL_DAMAGED names the first that does not hold. */
atoll_status atoll_memory_verify(const atoll_memory *memory, atoll_error *error);

#endif
