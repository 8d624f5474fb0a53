#include "core/embeddings.h"

#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/lmdb.h"

/*
 * Two kinds of keys: 'e' and a hash hold a head and the vector, in the machine's byte order as pages of a checkpoint
 * are; 'u', the commit that used it last (big endian, so that keys are in that order) and the hash hold nothing.
 */
enum {
    FORMAT = 1,
    HASH_BYTES = 16,
    COMMIT_BYTES = 8,
    VECTOR_KEY_BYTES = 1 + HASH_BYTES,
    USE_KEY_BYTES = 1 + COMMIT_BYTES + HASH_BYTES,
    TRIM_AT_ONCE = 512, /* dropped in one transaction */
    PAGE_BYTES = 4096,
    INLINE_MOST_BYTES = 2000, /* a longer value has pages of its own */
    NODE_BYTES = 16           /* what a key costs besides itself */
};

static const char kind[] = "atollemb";

struct atoll_embeddings {
    atoll_lmdb *db;
    uint32_t dim;
};

typedef struct head {
    uint64_t checksum; /* of all that follows, seeded with the key's hash */
    uint64_t used;
} head;

typedef struct value {
    head head;
    uint32_t halves; /* dim, or 0 where the server has none */
    uint16_t half[ATOLL_EMBEDDING_MAX_DIM];
} value;

atoll_embedding_key atoll_embedding_key_of(atoll_slice text)
{
    return (atoll_embedding_key){{atoll_hash64(text.data, text.bytes, 1), atoll_hash64(text.data, text.bytes, 2)}};
}

static void vector_key(const atoll_embedding_key *key, uint8_t out[VECTOR_KEY_BYTES])
{
    out[0] = 'e';
    memcpy(out + 1, key->hash, HASH_BYTES);
}

static void use_key(const atoll_embedding_key *key, uint64_t commit, uint8_t out[USE_KEY_BYTES])
{
    out[0] = 'u';
    for (int i = 0; i < COMMIT_BYTES; i++)
        out[1 + i] = (uint8_t)(commit >> 8 * (COMMIT_BYTES - 1 - i));
    memcpy(out + 1 + COMMIT_BYTES, key->hash, HASH_BYTES);
}

static uint64_t checksum(const atoll_embedding_key *key, const value *v)
{
    uint64_t seed = atoll_hash64(&v->head.used, sizeof v->head.used, key->hash[0]);
    return atoll_hash64(v->half, v->halves * sizeof *v->half, seed);
}

/* ---- life ---- */

atoll_status atoll_embeddings_open(const char *path, uint32_t dim, size_t map_bytes, atoll_embeddings **out,
                                   atoll_error *error)
{
    *out = NULL;
    atoll_embeddings *e = calloc(1, sizeof *e);
    if (!e)
        return atoll_fail(error, ATOLL_NO_MEMORY, "embeddings: opening");
    e->dim = dim;
    atoll_status status = atoll_lmdb_open(path, kind, FORMAT, map_bytes, &e->db, error);
    if (status) {
        free(e);
        return status;
    }
    *out = e;
    return ATOLL_OK;
}

void atoll_embeddings_close(atoll_embeddings *embeddings)
{
    if (!embeddings)
        return;
    atoll_lmdb_close(embeddings->db);
    free(embeddings);
}

/* ---- one of them ---- */

/* ATOLL_NOT_FOUND leaves `error` as it was. */
static atoll_status read_value(const atoll_embeddings *e, atoll_lmdb_txn *txn, const atoll_embedding_key *key,
                               value *v, atoll_error *error)
{
    uint8_t name[VECTOR_KEY_BYTES];
    atoll_lmdb_bytes found;
    vector_key(key, name);
    atoll_status status = atoll_lmdb_get(txn, name, sizeof name, &found, error);
    if (status)
        return status;
    size_t bytes = found.bytes - sizeof v->head;
    bool fits = found.bytes == sizeof v->head || bytes == e->dim * sizeof *v->half;
    if (fits && found.bytes >= sizeof v->head) {
        v->halves = (uint32_t)(bytes / sizeof *v->half);
        memcpy(&v->head, found.data, sizeof v->head);
        memcpy(v->half, (const char *)found.data + sizeof v->head, bytes);
        if (v->head.checksum == checksum(key, v))
            return ATOLL_OK;
    }
    return atoll_fail(error, ATOLL_DAMAGED, "embeddings: one does not pass its checksum");
}

/* Replaces what is there; `was` is the commit that it was used by, 0 where there was none. */
static atoll_status write_value(atoll_lmdb_txn *txn, const atoll_embedding_key *key, value *v, uint64_t was,
                                atoll_error *error)
{
    uint8_t name[VECTOR_KEY_BYTES], use[USE_KEY_BYTES];
    size_t bytes = v->halves * sizeof *v->half;
    void *space;
    atoll_status status = ATOLL_OK;
    v->head.checksum = checksum(key, v);
    vector_key(key, name);
    if (was) {
        use_key(key, was, use);
        status = atoll_lmdb_drop(txn, use, sizeof use, error);
    }
    if (status || (status = atoll_lmdb_reserve(txn, name, sizeof name, sizeof v->head + bytes, false, &space, error)))
        return status;
    memcpy(space, &v->head, sizeof v->head);
    memcpy((char *)space + sizeof v->head, v->half, bytes);
    use_key(key, v->head.used, use);
    if ((status = atoll_lmdb_reserve(txn, use, sizeof use, 1, false, &space, error)))
        return status;
    memset(space, 0, 1);
    return ATOLL_OK;
}

/* ---- many ---- */

atoll_status atoll_embeddings_get(atoll_embeddings *embeddings, atoll_embedding *items, uint32_t count,
                                  atoll_error *error)
{
    atoll_lmdb_txn *txn;
    value v;
    atoll_status status = atoll_lmdb_begin(embeddings->db, false, &txn, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        status = read_value(embeddings, txn, &items[i].key, &v, error);
        if (status == ATOLL_NOT_FOUND) {
            items[i].found = ATOLL_EMBEDDING_ABSENT;
            status = ATOLL_OK;
        } else if (status == ATOLL_OK) {
            items[i].found = v.halves ? ATOLL_EMBEDDING_THERE : ATOLL_EMBEDDING_NONE;
            if (items[i].vector)
                atoll_half_to_float(v.half, items[i].vector, v.halves);
        }
    }
    atoll_lmdb_abort(txn);
    return status;
}

static atoll_status put(const atoll_embeddings *e, atoll_lmdb_txn *txn, const atoll_embedding *item, uint64_t commit,
                        atoll_error *error)
{
    value v;
    uint64_t was = 0;
    atoll_status status = read_value(e, txn, &item->key, &v, error);
    if (status == ATOLL_OK) {
        was = v.head.used;
        if (was >= commit)
            return ATOLL_OK;
    } else if (status == ATOLL_NOT_FOUND && item->found != ATOLL_EMBEDDING_ABSENT) {
        v.halves = item->found == ATOLL_EMBEDDING_THERE ? e->dim : 0;
        atoll_half_from_float(item->vector, v.half, v.halves);
    } else {
        return status == ATOLL_NOT_FOUND ? ATOLL_OK : status;
    }
    v.head.used = commit;
    return write_value(txn, &item->key, &v, was, error);
}

atoll_status atoll_embeddings_put(atoll_embeddings *embeddings, const atoll_embedding *items, uint32_t count,
                                  uint64_t commit, atoll_error *error)
{
    atoll_lmdb_txn *txn;
    atoll_status status = atoll_lmdb_begin(embeddings->db, true, &txn, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        status = put(embeddings, txn, &items[i], commit ? commit : 1, error);
    if (status == ATOLL_OK)
        return atoll_lmdb_commit(txn, error);
    atoll_lmdb_abort(txn);
    return status;
}

/* Drops up to TRIM_AT_ONCE; *more tells whether there may be others to drop. */
static atoll_status trim_some(const atoll_embeddings *e, uint64_t commit, bool *more, atoll_error *error)
{
    static const uint8_t first[] = {'u'};
    uint8_t end[USE_KEY_BYTES], use[USE_KEY_BYTES], name[VECTOR_KEY_BYTES];
    atoll_lmdb_bytes found, nothing;
    atoll_lmdb_txn *txn;
    int dropped = 0;
    atoll_status status = atoll_lmdb_begin(e->db, true, &txn, error);
    if (status)
        return status;
    use_key(&(atoll_embedding_key){{UINT64_MAX, UINT64_MAX}}, commit, end);
    for (; dropped < TRIM_AT_ONCE && status == ATOLL_OK; dropped++) {
        status = atoll_lmdb_seek(txn, first, sizeof first, &found, &nothing, error);
        if (status || found.bytes != sizeof use || memcmp(found.data, end, sizeof use) > 0)
            break;
        memcpy(use, found.data, sizeof use);
        name[0] = 'e';
        memcpy(name + 1, use + 1 + COMMIT_BYTES, HASH_BYTES);
        if ((status = atoll_lmdb_drop(txn, use, sizeof use, error)) == ATOLL_OK)
            status = atoll_lmdb_drop(txn, name, sizeof name, error);
    }
    *more = dropped == TRIM_AT_ONCE;
    if (dropped && (status == ATOLL_OK || status == ATOLL_NOT_FOUND))
        return atoll_lmdb_commit(txn, error);
    atoll_lmdb_abort(txn);
    return status == ATOLL_NOT_FOUND ? ATOLL_OK : status;
}

atoll_status atoll_embeddings_trim(atoll_embeddings *embeddings, uint64_t commit, uint64_t bytes, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (bool more = true; more && status == ATOLL_OK && atoll_embeddings_bytes(embeddings) > bytes;)
        status = trim_some(embeddings, commit, &more, error);
    return status;
}

uint64_t atoll_embeddings_count(atoll_embeddings *embeddings)
{
    return atoll_lmdb_count(embeddings->db) / 2;
}

/* Reckoned from their number, with pages two thirds full. The pages themselves are no measure: where keys are hashes,
 * dropping some frees hardly a page until most are gone, and so would go on too long. */
uint64_t atoll_embeddings_bytes(atoll_embeddings *embeddings)
{
    uint64_t long_bytes = 0, value_bytes = sizeof(head) + embeddings->dim * sizeof(uint16_t);
    if (value_bytes > INLINE_MOST_BYTES) {
        long_bytes = (value_bytes + NODE_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        value_bytes = 0;
    }
    uint64_t short_bytes = value_bytes + VECTOR_KEY_BYTES + USE_KEY_BYTES + 2 * NODE_BYTES;
    return atoll_embeddings_count(embeddings) * (long_bytes + short_bytes * 3 / 2);
}
