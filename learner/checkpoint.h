/*
 * Checkpoints: the whole of a model's state at one commit, written in one transaction, of which only what changed since
 * the last is written.
 *
 * The learner's thread takes one (fast: it freezes); any one thread writes it, while learning goes on; the learner's
 * thread ends it. In the store, structs are as this build lays them out, checked by their size; arrays are pages.
 */
#ifndef ATOLL_LEARNER_CHECKPOINT_H
#define ATOLL_LEARNER_CHECKPOINT_H

#include "core/store.h"
#include "learner/patience.h"
#include "learner/state.h"

typedef struct atoll_checkpoint atoll_checkpoint;

/* Freezes the state, which must be the published one. Advances the reclaimer's epoch; pages stay pinned until the end.
 * ATOLL_NO_MEMORY. */
atoll_status atoll_checkpoint_take(atoll_state *state, uint64_t since, atoll_checkpoint **out, atoll_error *error);

/* Writes what changed after the epoch `since` that it was taken with. ATOLL_NO_SPACE, ATOLL_IO; ATOLL_SHUTTING_DOWN
 * where the patience ends before all of it was handed to the store. Then the checkpoint before it stands. */
atoll_status atoll_checkpoint_write(atoll_checkpoint *checkpoint, atoll_store *store, const atoll_patience *patience,
                                    atoll_error *error);

/* Brings the parameters of an unloaded expert back. ATOLL_DAMAGED, ATOLL_NO_MEMORY; then it is still unloaded. */
atoll_status atoll_checkpoint_load_expert(atoll_store *store, atoll_state *state, uint32_t id, atoll_error *error);

/* Bytes of what was copied when it was taken; the frozen pages are counted elsewhere. */
uint64_t atoll_checkpoint_bytes(const atoll_checkpoint *checkpoint);

/* What a later checkpoint is to be taken with, once this one is written. */
uint64_t atoll_checkpoint_epoch(const atoll_checkpoint *checkpoint);
uint64_t atoll_checkpoint_commit(const atoll_checkpoint *checkpoint);

/* Lets go of the pages. */
void atoll_checkpoint_end(atoll_checkpoint *checkpoint);

/*
 * Loads the store's checkpoint into *state, which is uninitialised before and belongs to the caller after ATOLL_OK.
 * *since is what the next checkpoint is taken with. ATOLL_NOT_FOUND where none was written, ATOLL_DAMAGED,
 * ATOLL_NO_MEMORY.
 */
atoll_status atoll_checkpoint_load(atoll_store *store, atoll_state *state, uint64_t *since, atoll_error *error);

#endif
