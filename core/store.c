#include "core/store.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "core/hash.h"
#include "core/lmdb.h"

/*
 * A value is a checksum of 8 bytes, little endian, and the blob. The checksum is seeded with the key's hash, so that a
 * blob under the wrong key is noticed too. The key is its bytes without the terminating zero.
 */
enum { CHECKSUM_BYTES = 8 };

enum { LARGE_BYTES = 32 << 20 }; /* a checkpoint of this size leaves holes in the heap that are worth giving back */

static const char store_kind[] = "atollsto";

struct atoll_store {
    atoll_lmdb *db;
    _Atomic size_t held; /* see atoll_store_held_bytes */
    size_t kept;         /* pages that LMDB keeps from former writes */
};

/*
 * A value that shares a page with others makes LMDB keep that page, once written, for writes to come; what has pages of
 * its own, whole ones behind one head, is freed by the commit. So the most shared pages of any write stay in memory.
 */
enum {
    PAGE_BYTES = 4096,
    PAGE_HEAD_BYTES = 16,
    LEAF_ROOM = PAGE_BYTES - PAGE_HEAD_BYTES,
    NODE_HEAD_BYTES = 8,
    NODE_MOST_BYTES = LEAF_ROOM / 2
};

struct atoll_store_write {
    atoll_store *store;
    atoll_lmdb_txn *txn;
    size_t bytes, small; /* put so far; how many of the values share a page */
    double fresh;        /* pages of those if all are new */
    double leaves;       /* such pages at the beginning */
    atoll_error failure; /* of the first put or drop that failed */
};

static uint64_t checksum(const char *key, size_t key_bytes, const void *data, size_t bytes)
{
    return atoll_hash64(data, bytes, atoll_hash64(key, key_bytes, 0));
}

static void put_le64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le64(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

/* Views the blob of a value, once it has passed its checksum. */
static atoll_status check(const char *key, size_t key_bytes, atoll_lmdb_bytes value, atoll_lmdb_bytes *blob,
                          atoll_error *error)
{
    if (value.bytes >= CHECKSUM_BYTES) {
        const uint8_t *data = (const uint8_t *)value.data + CHECKSUM_BYTES;
        size_t bytes = value.bytes - CHECKSUM_BYTES;
        if (get_le64(value.data) == checksum(key, key_bytes, data, bytes)) {
            *blob = (atoll_lmdb_bytes){data, bytes};
            return ATOLL_OK;
        }
    }
    return atoll_fail(error, ATOLL_DAMAGED, "store: \"%.*s\" does not pass its checksum", (int)key_bytes, key);
}

static atoll_status check_key(const char *key, size_t *key_bytes, atoll_error *error)
{
    *key_bytes = strnlen(key, ATOLL_STORE_KEY_MAX_BYTES + 1);
    if (*key_bytes < 1 || *key_bytes > ATOLL_STORE_KEY_MAX_BYTES)
        return atoll_fail(error, ATOLL_OUT_OF_RANGE, "store: a key has 1 to %d bytes", ATOLL_STORE_KEY_MAX_BYTES);
    return ATOLL_OK;
}

atoll_status atoll_store_open(const char *path, size_t map_bytes, atoll_store **out, atoll_error *error)
{
    *out = NULL;
    atoll_store *store = calloc(1, sizeof *store);
    if (!store)
        return atoll_fail(error, ATOLL_NO_MEMORY, "store: opening");
    atoll_status status = atoll_lmdb_open(path, store_kind, ATOLL_STORE_FORMAT, map_bytes, &store->db, error);
    if (status) {
        free(store);
        return status;
    }
    *out = store;
    return ATOLL_OK;
}

void atoll_store_close(atoll_store *store)
{
    if (!store)
        return;
    atoll_lmdb_close(store->db);
    free(store);
}

atoll_status atoll_store_check(const atoll_store *store, atoll_error *error)
{
    uint32_t format = atoll_lmdb_format(store->db);
    if (format == ATOLL_STORE_FORMAT)
        return ATOLL_OK;
    return atoll_fail(error, ATOLL_OLDER_FORMAT, "the checkpoint has format %u, this version reads %u", format,
                      ATOLL_STORE_FORMAT);
}

atoll_status atoll_store_clear(atoll_store *store, atoll_error *error)
{
    return atoll_lmdb_clear(store->db, store_kind, ATOLL_STORE_FORMAT, error);
}

/* ---- writing ---- */

atoll_status atoll_store_begin(atoll_store *store, atoll_store_write **out, atoll_error *error)
{
    *out = NULL;
    atoll_store_write *write = calloc(1, sizeof *write);
    if (!write)
        return atoll_fail(error, ATOLL_NO_MEMORY, "store: beginning a checkpoint");
    atoll_status status = atoll_lmdb_begin(store->db, true, &write->txn, error);
    if (status) {
        free(write);
        return status;
    }
    write->store = store;
    write->leaves = (double)atoll_lmdb_leaf_pages(write->txn);
    *out = write;
    return ATOLL_OK;
}

/* Ends a put or drop: remembers a first failure for the commit, and hands it to the caller. */
static atoll_status settle(atoll_store_write *write, atoll_status status, const atoll_error *failure,
                           atoll_error *error)
{
    if (status && !write->failure.status)
        write->failure = *failure;
    if (status && error)
        *error = *failure;
    return status;
}

/* Bytes of the pages that shared ones were put on, wherever among all of them they fell. */
static size_t shared_bytes(const atoll_store_write *write)
{
    double leaves = write->leaves > write->fresh ? write->leaves : write->fresh;
    return (size_t)(leaves * -expm1(-(double)write->small / leaves) * PAGE_BYTES);
}

static void note_put(atoll_store_write *write, size_t key_bytes, size_t bytes)
{
    atoll_store *store = write->store;
    size_t node = NODE_HEAD_BYTES + key_bytes + CHECKSUM_BYTES + bytes;
    write->bytes += bytes;
    if (node > NODE_MOST_BYTES) {
        size_t own = PAGE_HEAD_BYTES + CHECKSUM_BYTES + bytes;
        atomic_fetch_add(&store->held, (own + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
        return;
    }
    write->small++;
    write->fresh += 2.0 / (double)(LEAF_ROOM / node + 1); /* LMDB splits a full page in halves */
    size_t shared = shared_bytes(write);
    if (shared > store->kept) {
        atomic_fetch_add(&store->held, shared - store->kept);
        store->kept = shared;
    }
}

atoll_status atoll_store_put(atoll_store_write *write, const char *key, const void *data, size_t bytes,
                             atoll_error *error)
{
    atoll_error failure;
    size_t key_bytes;
    void *space = NULL;
    atoll_status status = check_key(key, &key_bytes, &failure);
    if (!status && bytes > ATOLL_STORE_BLOB_MAX_BYTES)
        status = atoll_fail(&failure, ATOLL_OUT_OF_RANGE, "store: \"%s\" has %zu bytes", key, bytes);
    if (!status)
        status = atoll_lmdb_reserve(write->txn, key, key_bytes, CHECKSUM_BYTES + bytes, false, &space, &failure);
    if (!status) {
        put_le64(space, checksum(key, key_bytes, data, bytes));
        if (bytes)
            memcpy((uint8_t *)space + CHECKSUM_BYTES, data, bytes);
        note_put(write, key_bytes, bytes);
    }
    return settle(write, status, &failure, error);
}

atoll_status atoll_store_drop(atoll_store_write *write, const char *key, atoll_error *error)
{
    atoll_error failure;
    size_t key_bytes;
    atoll_status status = check_key(key, &key_bytes, &failure);
    if (!status)
        status = atoll_lmdb_drop(write->txn, key, key_bytes, &failure);
    return settle(write, status, &failure, error);
}

/* A place in a walk over the keys with a prefix. */
typedef struct walk {
    const char *prefix;
    size_t prefix_bytes;
    char key[ATOLL_STORE_KEY_MAX_BYTES + 2]; /* the key last found, and room for a zero behind it */
    size_t key_bytes;
} walk;

static atoll_status walk_start(walk *w, const char *prefix, atoll_error *error)
{
    w->prefix = prefix;
    w->prefix_bytes = w->key_bytes = strnlen(prefix, ATOLL_STORE_KEY_MAX_BYTES + 1);
    if (w->prefix_bytes > ATOLL_STORE_KEY_MAX_BYTES)
        return atoll_fail(error, ATOLL_OUT_OF_RANGE, "store: a prefix has at most %d bytes",
                          ATOLL_STORE_KEY_MAX_BYTES);
    memcpy(w->key, prefix, w->prefix_bytes);
    return ATOLL_OK;
}

/* Finds the next key. Appending a zero byte to a key gives the least key above it. ATOLL_NOT_FOUND at the end. */
static atoll_status walk_next(walk *w, atoll_lmdb_txn *txn, bool again, atoll_lmdb_bytes *value, atoll_error *error)
{
    atoll_lmdb_bytes found;
    if (again || !w->key_bytes)
        w->key[w->key_bytes++] = '\0';
    atoll_status status = atoll_lmdb_seek(txn, w->key, w->key_bytes, &found, value, error);
    if (status)
        return status;
    if (found.bytes > ATOLL_STORE_KEY_MAX_BYTES)
        return atoll_fail(error, ATOLL_DAMAGED, "store: a key of %zu bytes", found.bytes);
    if (found.bytes < w->prefix_bytes || memcmp(found.data, w->prefix, w->prefix_bytes))
        return ATOLL_NOT_FOUND;
    memcpy(w->key, found.data, found.bytes);
    w->key[found.bytes] = '\0';
    w->key_bytes = found.bytes;
    return ATOLL_OK;
}

atoll_status atoll_store_drop_from(atoll_store_write *write, const char *prefix, const char *first, atoll_error *error)
{
    atoll_error failure;
    atoll_lmdb_bytes value;
    walk w;
    atoll_status status = walk_start(&w, prefix, &failure);
    size_t bytes = strnlen(first, ATOLL_STORE_KEY_MAX_BYTES + 1);
    if (!status && bytes > ATOLL_STORE_KEY_MAX_BYTES)
        status = atoll_fail(&failure, ATOLL_OUT_OF_RANGE, "store: a key has at most %d bytes",
                            ATOLL_STORE_KEY_MAX_BYTES);
    if (!status)
        memcpy(w.key, first, w.key_bytes = bytes);
    for (bool again = false; !status; again = true) {
        status = walk_next(&w, write->txn, again, &value, &failure);
        if (!status)
            status = atoll_lmdb_drop(write->txn, w.key, w.key_bytes, &failure);
    }
    return settle(write, status == ATOLL_NOT_FOUND ? ATOLL_OK : status, &failure, error);
}

/* Ends a write whose transaction is over. */
static void release(atoll_store_write *write)
{
#ifdef __GLIBC__
    if (write->bytes >= LARGE_BYTES)
        malloc_trim(0);
#endif
    atomic_store(&write->store->held, write->store->kept);
    free(write);
}

atoll_status atoll_store_commit(atoll_store_write *write, atoll_error *error)
{
    atoll_status status = write->failure.status;
    if (status) {
        if (error)
            *error = write->failure;
        atoll_lmdb_abort(write->txn);
    } else {
        status = atoll_lmdb_commit(write->txn, error);
    }
    release(write);
    return status;
}

void atoll_store_abort(atoll_store_write *write)
{
    if (!write)
        return;
    atoll_lmdb_abort(write->txn);
    release(write);
}

/* ---- reading ---- */

static atoll_status get_copy(atoll_lmdb_txn *txn, const char *key, size_t key_bytes, void **data, size_t *bytes,
                             atoll_error *error)
{
    atoll_lmdb_bytes value, blob = {0};
    atoll_status status = atoll_lmdb_get(txn, key, key_bytes, &value, error);
    if (status == ATOLL_NOT_FOUND)
        return atoll_fail(error, status, "store: there is no \"%s\"", key);
    if (!status)
        status = check(key, key_bytes, value, &blob, error);
    if (status)
        return status;
    *data = malloc(blob.bytes ? blob.bytes : 1);
    if (!*data)
        return atoll_fail(error, ATOLL_NO_MEMORY, "store: \"%s\", %zu bytes", key, blob.bytes);
    memcpy(*data, blob.data, blob.bytes);
    *bytes = blob.bytes;
    return ATOLL_OK;
}

atoll_status atoll_store_get(atoll_store *store, const char *key, void **data, size_t *bytes, atoll_error *error)
{
    size_t key_bytes;
    atoll_lmdb_txn *txn;
    *data = NULL;
    *bytes = 0;
    atoll_status status = check_key(key, &key_bytes, error);
    if (!status)
        status = atoll_lmdb_begin(store->db, false, &txn, error);
    if (status)
        return status;
    status = get_copy(txn, key, key_bytes, data, bytes, error);
    atoll_lmdb_abort(txn);
    return status;
}

atoll_status atoll_store_each(atoll_store *store, const char *prefix, atoll_store_visit visit, void *arg,
                              atoll_error *error)
{
    walk w;
    atoll_lmdb_txn *txn;
    atoll_status status = walk_start(&w, prefix, error);
    if (!status)
        status = atoll_lmdb_begin(store->db, false, &txn, error);
    if (status)
        return status;
    for (bool again = false;; again = true) {
        atoll_lmdb_bytes value, blob = {0};
        status = walk_next(&w, txn, again, &value, error);
        if (status == ATOLL_NOT_FOUND) {
            status = ATOLL_OK;
            break;
        }
        if (!status)
            status = check(w.key, w.key_bytes, value, &blob, error);
        if (!status)
            status = visit(arg, w.key, blob.data, blob.bytes, error);
        if (status)
            break;
    }
    atoll_lmdb_abort(txn);
    return status;
}

size_t atoll_store_held_bytes(atoll_store *store)
{
    return atomic_load(&store->held);
}

uint64_t atoll_store_bytes(atoll_store *store)
{
    return atoll_lmdb_bytes_used(store->db);
}
