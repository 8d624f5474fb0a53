/*
 * Embeddings that a server has made, on disk by the hash of their text: one LMDB environment of its own.
 *
 * It is two things at once. To the learner it is part of the journal: a server need not give the same embedding twice,
 * so what a commit is learned from is made durable first, and stays until a checkpoint covers that commit; replay then
 * finds the same bits without the server. To everybody else it is a cache: what no replay can need is dropped, least
 * recently used first, once the whole is over its bytes. An embedding that is there is never written over.
 */
#ifndef ATOLL_CORE_EMBEDDINGS_H
#define ATOLL_CORE_EMBEDDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "core/record.h"
#include "core/status.h"

typedef struct atoll_embeddings atoll_embeddings;

/* Of a text, 128 bits: two texts share one with probability 2^-64 among 2^32 of them. */
typedef struct atoll_embedding_key {
    uint64_t hash[2];
} atoll_embedding_key;

typedef enum atoll_embedding_found {
    ATOLL_EMBEDDING_ABSENT, /* not known */
    ATOLL_EMBEDDING_THERE,
    ATOLL_EMBEDDING_NONE    /* known: the server has none for this text */
} atoll_embedding_found;

typedef struct atoll_embedding {
    atoll_embedding_key key;
    atoll_embedding_found found;
    float *vector; /* the caller's room for `dim` values; NULL where only `found` is asked for */
} atoll_embedding;

atoll_embedding_key atoll_embedding_key_of(atoll_slice text);

/*
 * Opens or creates the folder `path` (its parent must be there) for vectors of `dim` values. A folder can be open once:
 * ATOLL_BUSY. ATOLL_NEWER_FORMAT, ATOLL_DAMAGED, ATOLL_IO, ATOLL_NO_SPACE, ATOLL_NO_MEMORY.
 */
atoll_status atoll_embeddings_open(const char *path, uint32_t dim, size_t map_bytes, atoll_embeddings **out,
                                   atoll_error *error);
void atoll_embeddings_close(atoll_embeddings *embeddings);

/* Looks each of `count` keys up: sets `found`, and fills `vector` where it is there. Any thread. ATOLL_DAMAGED. */
atoll_status atoll_embeddings_get(atoll_embeddings *embeddings, atoll_embedding *items, uint32_t count,
                                  atoll_error *error);

/*
 * Stores what is not there yet of the items that are found, and marks all as used by `commit`; durable when it returns.
 * Vectors are kept in half precision: read them back to have what others will. ATOLL_NO_SPACE.
 */
atoll_status atoll_embeddings_put(atoll_embeddings *embeddings, const atoll_embedding *items, uint32_t count,
                                  uint64_t commit, atoll_error *error);

/* Drops the least recently used until at most `bytes` are taken, but nothing that was used after `commit`. */
atoll_status atoll_embeddings_trim(atoll_embeddings *embeddings, uint64_t commit, uint64_t bytes, atoll_error *error);

uint64_t atoll_embeddings_count(atoll_embeddings *embeddings);
uint64_t atoll_embeddings_bytes(atoll_embeddings *embeddings); /* on disk, about */

#endif
