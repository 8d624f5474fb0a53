/*
 * The cells of the memory: which slots each (owner, label) pair holds, how many records each has seen, and which cell
 * is the largest. Inside retrieval only; one writer.
 *
 * A cell lives while it has members. Members and cells stand in arrays whose order is part of the state: which member
 * gives way depends on it, so it is saved and restored.
 */
#ifndef ATOLL_RETRIEVAL_CELLS_H
#define ATOLL_RETRIEVAL_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct atoll_cell {
    uint32_t owner, label;
    uint64_t seen;     /* records that the members stand for; at least `count` */
    uint32_t *members; /* slots */
    uint32_t count, capacity;
    uint32_t heap_at; /* where the cell stands in the heap */
} atoll_cell;

typedef struct atoll_cells atoll_cells;

atoll_cells *atoll_cells_new(void); /* NULL where memory is short */
void atoll_cells_free(atoll_cells *cells);

/* NULL where there is none. Valid until the next change. */
const atoll_cell *atoll_cells_find(const atoll_cells *cells, uint32_t owner, uint32_t label);
/* The cell with most members, of equals the one with the smallest owner, then label; NULL where there is none. */
const atoll_cell *atoll_cells_largest(const atoll_cells *cells);
/* All of them, in no order that means anything. Valid until the next change. */
const atoll_cell *atoll_cells_all(const atoll_cells *cells, uint32_t *count);

/* Makes sure that one add of this cell and slot will find its room, whatever is removed before it. ATOLL_NO_MEMORY. */
atoll_status atoll_cells_reserve(atoll_cells *cells, uint32_t owner, uint32_t label, uint32_t slot,
                                 atoll_error *error);
/* A new last member that stands for `seen` records; reserved before. */
void atoll_cells_add(atoll_cells *cells, uint32_t owner, uint32_t label, uint32_t slot, uint64_t seen);
/* Takes a member out, and `seen` records with it, but not so many that less than the members stay. The last member
 * takes its place; a cell without members goes. */
void atoll_cells_remove(atoll_cells *cells, uint32_t owner, uint32_t label, uint32_t slot, uint64_t seen);
/* Counts a record that was seen and not kept, or took the place of a member. */
void atoll_cells_saw(atoll_cells *cells, uint32_t owner, uint32_t label);

uint32_t atoll_cells_count(const atoll_cells *cells);                 /* members of all cells */
uint32_t atoll_cells_owned(const atoll_cells *cells, uint32_t owner); /* members of one owner's cells */
uint64_t atoll_cells_bytes(const atoll_cells *cells);

/* What save writes, and save itself: `out` has that many bytes. */
size_t atoll_cells_saved_bytes(const atoll_cells *cells);
void atoll_cells_save(const atoll_cells *cells, void *out);
/*
 * Into empty cells. Slots are below `slots`; each member once. ATOLL_DAMAGED, ATOLL_NO_MEMORY: then only free is
 * allowed. Whether the members agree with the slots is the memory's to check.
 */
atoll_status atoll_cells_load(atoll_cells *cells, const void *blob, size_t bytes, uint32_t slots, atoll_error *error);

/* Every invariant of the cells by themselves. ATOLL_DAMAGED. */
atoll_status atoll_cells_verify(const atoll_cells *cells, atoll_error *error);
/* Where `slot` stands as a member of that cell, UINT32_MAX where it does not. */
uint32_t atoll_cells_place(const atoll_cells *cells, uint32_t owner, uint32_t label, uint32_t slot);

#endif
