/*
 * The state of one model on disk: the last checkpoint. One LMDB environment, one writer at a time, one transaction a
 * checkpoint, so that what is found after a crash is a whole checkpoint or the one before.
 *
 * A checkpoint holds blobs under string keys ("shared/rows/17": a page; "meta": statistics and the journal position).
 * A blob carries a checksum of its own. A checkpoint names only what changed since the last; the rest stays.
 */
#ifndef ATOLL_CORE_STORE_H
#define ATOLL_CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum {
    ATOLL_STORE_FORMAT = 36,         /* of what a checkpoint holds; a change of any saved struct raises it */
    ATOLL_STORE_KEY_MAX_BYTES = 200, /* at least 1 */
    ATOLL_STORE_BLOB_MAX_BYTES = 1 << 30
};

typedef struct atoll_store atoll_store;
typedef struct atoll_store_write atoll_store_write; /* a checkpoint being written */

/*
 * Opens or creates the store in folder `path` (its parent must be there); checks the format number. A folder can be
 * open once: ATOLL_BUSY for the second. What an older version has written can be cleared, but not read:
 * ATOLL_OLDER_FORMAT from atoll_store_check. ATOLL_NEWER_FORMAT, ATOLL_DAMAGED, ATOLL_IO, ATOLL_NO_SPACE,
 * ATOLL_NO_MEMORY.
 */
atoll_status atoll_store_open(const char *path, size_t map_bytes, atoll_store **out, atoll_error *error);
void atoll_store_close(atoll_store *store);
atoll_status atoll_store_check(const atoll_store *store, atoll_error *error);
atoll_status atoll_store_clear(atoll_store *store, atoll_error *error); /* as atoll_store_commit */

/*
 * One write at a time; begin waits for another. A write belongs to the thread that began it. Once a put or a drop has
 * failed, commit changes nothing and returns that failure. What is written is held in memory until the commit.
 */
atoll_status atoll_store_begin(atoll_store *store, atoll_store_write **out, atoll_error *error);
atoll_status atoll_store_put(atoll_store_write *write, const char *key, const void *data, size_t bytes,
                             atoll_error *error); /* ATOLL_NO_SPACE; ATOLL_OUT_OF_RANGE: see the limits above */
atoll_status atoll_store_drop(atoll_store_write *write, const char *key, atoll_error *error); /* absent is fine */
/* Drops every key that begins with `prefix` and does not stand before `first`. */
atoll_status atoll_store_drop_from(atoll_store_write *write, const char *prefix, const char *first,
                                   atoll_error *error);
/* Both end the write and free it; commit returns after the sync. */
atoll_status atoll_store_commit(atoll_store_write *write, atoll_error *error);
void atoll_store_abort(atoll_store_write *write);

/* A blob, checked: *data is a copy to free(). ATOLL_NOT_FOUND, ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
atoll_status atoll_store_get(atoll_store *store, const char *key, void **data, size_t *bytes, atoll_error *error);

/*
 * Calls `visit` for each key with `prefix`, in ascending byte order, with the blob in place (valid during the call, not
 * aligned). A status other than OK from `visit` ends the walk and is returned. Blobs are checked: ATOLL_DAMAGED. The
 * walk sees one checkpoint whole, whatever is written meanwhile. `visit` may not write to the same store.
 */
typedef atoll_status (*atoll_store_visit)(void *arg, const char *key, const void *data, size_t bytes,
                                          atoll_error *error);
atoll_status atoll_store_each(atoll_store *store, const char *prefix, atoll_store_visit visit, void *arg,
                              atoll_error *error);

/* Any thread: bytes in memory for the write under way, and what is kept of former ones. */
size_t atoll_store_held_bytes(atoll_store *store);

/* Bytes of the pages that hold something; the file keeps what is freed, for checkpoints to come. */
uint64_t atoll_store_bytes(atoll_store *store);

#endif
