/*
 * What journal and store need of LMDB, and nothing more: one environment with one table of byte strings, kept in a
 * folder of its own and stamped with what it is and the number of its format.
 *
 * Transactions: one writes at a time, and it begins, works and ends on one thread; any number read beside it, each
 * seeing the state as of its beginning. A reader pins the pages it sees, so it should be short. What a call returns in
 * place lives until the transaction ends, or in a writing one until its next change.
 *
 * A folder is open at most once, in one process: a second opening is refused with ATOLL_BUSY. An open environment must
 * not be used after fork.
 */
#ifndef ATOLL_CORE_LMDB_H
#define ATOLL_CORE_LMDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { ATOLL_LMDB_KEY_MAX_BYTES = 500, ATOLL_LMDB_KIND_BYTES = 8 };

typedef struct atoll_lmdb atoll_lmdb;
typedef struct MDB_txn atoll_lmdb_txn;

/* Bytes of a key or a value, in place. Not aligned. */
typedef struct atoll_lmdb_bytes {
    const void *data;
    size_t bytes;
} atoll_lmdb_bytes;

/*
 * Opens or creates the environment in folder `path` (made if it is missing, its parent is not). `kind` is exactly
 * ATOLL_LMDB_KIND_BYTES long and names the content, `format` is the newest format that the caller reads. `map_bytes`
 * bounds the file; address space is taken for it, disk only as it fills.
 * ATOLL_NEWER_FORMAT, ATOLL_DAMAGED, ATOLL_BUSY, ATOLL_NO_SPACE, ATOLL_NO_MEMORY, ATOLL_IO.
 */
atoll_status atoll_lmdb_open(const char *path, const char *kind, uint32_t format, size_t map_bytes, atoll_lmdb **out,
                             atoll_error *error);
/* No transaction may be under way. NULL is fine. */
void atoll_lmdb_close(atoll_lmdb *db);

/* The format of what is stored, which is at most the one that it was opened with. */
uint32_t atoll_lmdb_format(const atoll_lmdb *db);
/* Drops everything and stamps the environment anew, both or neither. As atoll_lmdb_commit. */
atoll_status atoll_lmdb_clear(atoll_lmdb *db, const char *kind, uint32_t format, atoll_error *error);

/* A writing transaction waits for the one before. ATOLL_BUSY where too many read. */
atoll_status atoll_lmdb_begin(atoll_lmdb *db, bool write, atoll_lmdb_txn **out, atoll_error *error);
/* Ends a writing transaction; returns after the sync. Where it fails, nothing of the transaction is there. */
atoll_status atoll_lmdb_commit(atoll_lmdb_txn *txn, atoll_error *error);
/* Ends any transaction without a change. NULL is fine. */
void atoll_lmdb_abort(atoll_lmdb_txn *txn);

/*
 * Keys are 1 to ATOLL_LMDB_KEY_MAX_BYTES bytes, other than the single byte 0, in ascending order of bytes. Not to find
 * one is no failure of its own: ATOLL_NOT_FOUND leaves `error` as it was.
 */

atoll_status atoll_lmdb_get(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_lmdb_bytes *value,
                            atoll_error *error);
/* The least key not below `key`. */
atoll_status atoll_lmdb_seek(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_lmdb_bytes *found,
                             atoll_lmdb_bytes *value, atoll_error *error);
/* The greatest key. */
atoll_status atoll_lmdb_last(atoll_lmdb_txn *txn, atoll_lmdb_bytes *found, atoll_lmdb_bytes *value,
                             atoll_error *error);

/*
 * Makes or replaces a value of `bytes` bytes, which the caller writes to *space at once. `append` promises that the key
 * is above all others (faster). After a failure the transaction can only be aborted. ATOLL_NO_SPACE.
 */
atoll_status atoll_lmdb_reserve(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, size_t bytes, bool append,
                                void **space, atoll_error *error);
/* Removes; absent is fine. */
atoll_status atoll_lmdb_drop(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_error *error);

/* Pages of values that share a page, as the transaction sees them. */
uint64_t atoll_lmdb_leaf_pages(atoll_lmdb_txn *txn);

/* Values held. */
uint64_t atoll_lmdb_count(atoll_lmdb *db);

/* Bytes of the pages that hold something. */
uint64_t atoll_lmdb_bytes_used(atoll_lmdb *db);

#endif
