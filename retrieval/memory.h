/*
 * The memory: remembered records (exemplars) in numbered slots under a hard cap, balanced over cells. A cell is one
 * (owner, label) pair. Class-balancing reservoir sampling [Chrysakis, Moens 2020]: while there is room every record is
 * let in. When the memory is full, a cell that is the largest, or has lost members for having been it, lets a record in
 * by reservoir sampling [Vitter 1985] in place of a member of its own; any other cell takes the room of a random member
 * of the largest. So every record of a cell's past is equally likely to be held (but for those that came while slots
 * emptied by a drop were free). Of equally large cells the one with the smallest owner, then label, makes room.
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
    uint32_t lot;              /* 0 where it was learned when it came (learner/samples.c) */
    uint32_t id_bytes, terms, vector_dim, embedding_dim; /* vector_dim: numbers in all its vectors */
    const char *id;            /* not terminated */
    const atoll_term *term;
    const float *vector;       /* as received, or NULL; of a record with tokens, one behind the other */
    const int8_t *code;        /* scaled, at eight bits a number (core/encoder.h), or NULL: at most one of the two */
    const uint16_t *embedding; /* IEEE half precision; its float values are what the index holds */
} atoll_exemplar;

enum { ATOLL_SLOT_NONE = UINT32_MAX };

/*
 * An owner with this bit is no expert: its exemplars are dormant (learner/drift.h). They keep their room in the memory
 * and in the index, but are neither replayed nor counted among the neighbours.
 */
#define ATOLL_OWNER_DORMANT UINT32_C(0x80000000)

static inline bool atoll_owner_dormant(uint32_t owner)
{
    return owner & ATOLL_OWNER_DORMANT;
}

/* One slot of the table. `exemplar` is NULL where the slot is empty. */
typedef struct atoll_slot {
    const atoll_exemplar *exemplar;
    uint32_t owner;   /* number of the expert that the exemplar belongs to; without meaning in an empty slot */
    uint32_t lot;     /* the exemplar's, here too because most draws need no more of it */
    uint64_t changed; /* epoch of the last change to this slot, for checkpoints; 0 if it was never used */
} atoll_slot;

typedef struct atoll_memory atoll_memory;

/* What readers see: frozen by copying. */
typedef struct atoll_memory_view {
    atoll_array slots; /* of atoll_slot */
} atoll_memory_view;

/* `pager` outlives the memory; `cap` is at least 1. ATOLL_NO_MEMORY. */
atoll_status atoll_memory_new(atoll_pager *pager, uint32_t cap, atoll_memory **out, atoll_error *error);
void atoll_memory_free(atoll_memory *memory);

atoll_memory_view atoll_memory_freeze(const atoll_memory *memory);

static inline const atoll_slot *atoll_memory_at(const atoll_memory_view *view, uint32_t slot)
{
    return (const atoll_slot *)atoll_array_at(&view->slots, slot);
}

/*
 * Offers a record (its arrays are copied, within core/limits.h; `embedding`, like->embedding_dim floats, is rounded to
 * half precision into the exemplar, and like->embedding is not read). *slot is where it was placed, ATOLL_SLOT_NONE
 * where the reservoir left it out. A placed record may replace another: then *slot is the slot that the other one had,
 * so that one atoll_index_put serves for both. ATOLL_NO_MEMORY: the record is not held.
 */
atoll_status atoll_memory_offer(atoll_memory *memory, const atoll_exemplar *like, const float *embedding,
                                uint32_t owner, atoll_rng *rng, uint32_t *slot, atoll_error *error);

/* Makes a code of each of so many numbers. */
typedef void (*atoll_memory_encode)(void *arg, const float *vector, uint32_t numbers, int8_t *code);

/*
 * Gives every exemplar that holds a vector as received its code instead, which `encode` makes: a quarter of the bytes.
 * ATOLL_NO_MEMORY: some have theirs.
 */
atoll_status atoll_memory_code(atoll_memory *memory, atoll_memory_encode encode, void *arg, atoll_error *error);

/* Empties an occupied slot. ATOLL_NO_MEMORY: the slot is as it was. */
atoll_status atoll_memory_drop(atoll_memory *memory, uint32_t slot);
/* Moves an exemplar to another owner's cell, and the share of its cell's past that it stands for. ATOLL_NO_MEMORY. */
atoll_status atoll_memory_reassign(atoll_memory *memory, uint32_t slot, uint32_t owner, atoll_error *error);

/*
 * Draws `count` exemplars for replay, all equally likely, so that labels keep the shares that they have in the memory.
 * Returns how many were drawn: 0 where there is nothing, else `count` (with repetition).
 */
uint32_t atoll_memory_draw(const atoll_memory *memory, atoll_rng *rng, uint32_t count, uint32_t *slots);

/* How many records of the past an exemplar stands for: what its cell has seen over what it holds. */
float atoll_memory_stands_for(const atoll_memory *memory, uint32_t slot);

/* Exemplars, and the records of the past that they stand for. */
typedef struct atoll_shares {
    double held, seen;
} atoll_shares;

/* share[labels] of all owners but those of dormant exemplars. A walk over all cells. */
void atoll_memory_shares(const atoll_memory *memory, uint32_t labels, atoll_shares *share);

uint32_t atoll_memory_count(const atoll_memory *memory);
uint32_t atoll_memory_cell(const atoll_memory *memory, uint32_t owner, uint32_t label); /* of one cell */
uint32_t atoll_memory_owned(const atoll_memory *memory, uint32_t owner); /* exemplars of one owner */
/* Exemplars, slots and cells, as allocated: after a restart the same state may have other spare room. */
uint64_t atoll_memory_bytes(const atoll_memory *memory);

/* One slot as bytes for the checkpoint: a blob to free(), NULL and 0 for an empty slot. ATOLL_NO_MEMORY. */
atoll_status atoll_memory_save_slot(const atoll_memory_view *view, uint32_t slot, void **blob, size_t *bytes,
                                    atoll_error *error);
/* Reads a blob back into an empty slot of a memory that was never offered a record. ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
atoll_status atoll_memory_load_slot(atoll_memory *memory, uint32_t slot, const void *blob, size_t bytes,
                                    atoll_error *error);
/*
 * What the slots do not tell (how many records each cell has seen, the order of cells, members and free slots), as one
 * blob, and back once all slots are loaded: from then on the memory acts as the saved one would. ATOLL_DAMAGED where it
 * does not fit the slots, ATOLL_NO_MEMORY; then only free is allowed.
 */
atoll_status atoll_memory_save_cells(const atoll_memory *memory, void **blob, size_t *bytes, atoll_error *error);
atoll_status atoll_memory_load_cells(atoll_memory *memory, const void *blob, size_t bytes, atoll_error *error);

/* The verifier: every invariant of slots and cells. ATOLL_DAMAGED names the first that does not hold. */
atoll_status atoll_memory_verify(const atoll_memory *memory, atoll_error *error);

#endif
