/*
 * The index: nearest neighbours by inner product over unit vectors in numbered slots, on FAISS (the only file that
 * includes it is index.c). It can be searched by any number of threads while it changes.
 *
 * Two FAISS instances hold the same vectors (left-right [Ramalhete, Correia 2015]). The one writer changes the hidden
 * instance, publishes it, and brings the other up to date once no reader is in it. A change beside a search crashes
 * FAISS; so a reader enters and leaves a view, and the writer waits for readers to leave, never the reverse.
 *
 * Few vectors are held flat (exact); above ATOLL_INDEX_FLAT_MAX they are held in inverted lists (IVF) that are trained
 * on the vectors present, and trained anew when their number has doubled or most have been replaced since. What a
 * search returns depends only on the sequence of writer calls, never on timing.
 */
#ifndef ATOLL_RETRIEVAL_INDEX_H
#define ATOLL_RETRIEVAL_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "core/context.h"
#include "core/status.h"

enum { ATOLL_INDEX_FLAT_MAX = 16384 };

typedef struct atoll_index atoll_index;
typedef struct atoll_index_view atoll_index_view;

/* `slots` is the cap on slot numbers. ATOLL_NO_MEMORY. */
atoll_status atoll_index_new(uint32_t dim, uint32_t slots, atoll_index **out, atoll_error *error);
void atoll_index_free(atoll_index *index);

/* Writer thread only. Put places `vector` (dim floats, copied) in a slot, replacing what was there. Drop empties a slot. */
atoll_status atoll_index_put(atoll_index *index, uint32_t slot, const float *vector, atoll_error *error);
atoll_status atoll_index_drop(atoll_index *index, uint32_t slot, atoll_error *error);

/* Writer thread only: the changes so far become what the writer's own searches see (put and drop are gathered). */
atoll_status atoll_index_flush(atoll_index *index, atoll_error *error);

/* Writer thread only: flushes, and makes the state visible to readers that enter from now on. May wait for readers of the view before. */
atoll_status atoll_index_publish(atoll_index *index, atoll_error *error);

/* Any thread: lock-free. The view stays as it is until leave; hold it for one micro-batch, not longer. */
const atoll_index_view *atoll_index_enter(atoll_index *index);
void atoll_index_leave(const atoll_index_view *view);

/* `count` queries of dim floats, row after row; out[i] receives the neighbours of query i. Empty slots never appear. */
atoll_status atoll_index_search(const atoll_index_view *view, const float *queries, uint32_t count,
                                atoll_neighbours *out, atoll_error *error);
/* The same over the writer's own flushed state; writer thread only. */
atoll_status atoll_index_search_live(atoll_index *index, const float *queries, uint32_t count, atoll_neighbours *out,
                                     atoll_error *error);

uint32_t atoll_index_count(const atoll_index *index); /* occupied slots; writer thread only */
uint64_t atoll_index_bytes(const atoll_index *index); /* of both instances; writer thread only */

/* What cannot be had again from the vectors (the trained centroids), for the checkpoint: a blob to free(), or NULL and 0. */
atoll_status atoll_index_save(atoll_index *index, void **blob, size_t *bytes, atoll_error *error);
/* Into an empty index: the blob of save, then the caller puts every slot again in ascending order and publishes. */
atoll_status atoll_index_load(atoll_index *index, const void *blob, size_t bytes, atoll_error *error);

/*
 * The verifier: walks the live state against `vectors` (slot -> dim floats, NULL where empty), and searches `samples` of
 * them beside an exact search: ATOLL_DAMAGED names the first difference. *recall is the share of the exact
 * ATOLL_NEIGHBOURS that the index found.
 */
atoll_status atoll_index_verify(atoll_index *index, const float *(*vectors)(void *arg, uint32_t slot), void *arg,
                                uint32_t samples, double *recall, atoll_error *error);

#endif
