/*
 * The index: nearest neighbours by inner product over unit vectors in numbered slots. It can be searched by any number
 * of threads while it changes.
 *
 * Two instances hold the same vectors (left-right [Ramalhete, Correia 2015]). The one writer changes the hidden
 * instance, publishes it, and brings the other up to date once no reader is in it. A reader enters and leaves a view,
 * and the writer waits for readers to leave, never the reverse.
 *
 * Few vectors are searched exactly. Above ATOLL_INDEX_FLAT_MAX there are 4-bit product codes [Jegou, Douze, Schmid
 * 2011; Andre, Kermarrec, Le Scouarnec 2017] in a FAISS index (faiss.h), trained on the vectors present, and anew when
 * there are four times as many (twice, where there may be lists) or as many have been put since. Codes propose
 * candidates; they are ranked by the exact inner product. Vectors are kept in half precision: what is put is rounded to
 * it. When ATOLL_INDEX_LISTS_MIN vectors or more are trained on, codes are kept in many lists if these vectors can be
 * searched so, else in one, and the number of lists that a search reads and that of candidates follow from the measured
 * recall (index_tune.c).
 *
 * Of equal neighbours the one with the smaller slot comes first. What a search returns depends only on the sequence of
 * writer calls, never on timing or on how queries are batched, and an index that was saved and loaded goes on exactly
 * as the saved one would.
 */
#ifndef ATOLL_RETRIEVAL_INDEX_H
#define ATOLL_RETRIEVAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/context.h"
#include "core/status.h"

enum {
    ATOLL_INDEX_FLAT_MAX = 4096,   /* vectors; and it goes back below half of that */
    ATOLL_INDEX_CANDIDATES = 160,  /* of the codes, for each query, as long as nothing is measured */
    ATOLL_INDEX_LISTS_MIN = 65536  /* vectors from which on an index that is trained is measured */
};

typedef struct atoll_index atoll_index;
typedef struct atoll_index_view atoll_index_view;

/*
 * `dim` is a multiple of 8 from 8 to ATOLL_EMBEDDING_MAX_DIM, `slots` the cap on slot numbers. ATOLL_NO_MEMORY.
 * Of what follows, all that returns a status may also fail with ATOLL_NO_MEMORY, and with ATOLL_INTERNAL where FAISS
 * refuses; the index stays usable, and the next flush tries again.
 */
atoll_status atoll_index_new(uint32_t dim, uint32_t slots, atoll_index **out, atoll_error *error);
void atoll_index_free(atoll_index *index); /* no reader may be inside */

/* Writer thread only. Put places `vector` (dim floats, copied) in a slot, replacing what was there; drop empties it. */
atoll_status atoll_index_put(atoll_index *index, uint32_t slot, const float *vector, atoll_error *error);
atoll_status atoll_index_drop(atoll_index *index, uint32_t slot, atoll_error *error);

/*
 * Writer thread only: the changes so far become what the writer's own searches see (put and drop are gathered). May
 * wait for readers that are still in the view before the last one published; so the writer itself holds none.
 */
atoll_status atoll_index_flush(atoll_index *index, atoll_error *error);

/* Writer thread only: flushes, and makes the state visible to readers that enter from now on. */
atoll_status atoll_index_publish(atoll_index *index, atoll_error *error);

/* Any thread: lock-free. The view stays as it is until leave; hold it for one micro-batch, not longer. */
const atoll_index_view *atoll_index_enter(atoll_index *index);
void atoll_index_leave(const atoll_index_view *view);

/* `count` queries of dim floats, row after row; out[i] receives the neighbours of query i. Empty slots never appear. */
void atoll_index_search(const atoll_index_view *view, const float *queries, uint32_t count, atoll_neighbours *out);
/* The same over the writer's own flushed state; writer thread only. */
void atoll_index_search_live(atoll_index *index, const float *queries, uint32_t count, atoll_neighbours *out);

/* How the flushed state is searched; writer thread only. */
typedef struct atoll_index_about {
    bool coded;             /* else all vectors are compared */
    uint32_t lists, probes; /* 0 where all codes are read */
    uint32_t candidates;    /* that are ranked exactly; 0 where all are */
    double recall;          /* of the ten nearest, when it was measured last; negative where it was not */
} atoll_index_about;
atoll_index_about atoll_index_describe(const atoll_index *index);

uint32_t atoll_index_count(const atoll_index *index); /* occupied slots, unflushed changes included; writer only */
uint64_t atoll_index_bytes(const atoll_index *index); /* of both instances and the vectors; writer thread only */

/*
 * What cannot be had again from the vectors of the slots (their order, vectors replaced but still among the
 * candidates, the codes' training), for the checkpoint: a blob to free(), or NULL and 0 where nothing is held.
 * ATOLL_WRONG_STATE where changes wait for a flush.
 */
atoll_status atoll_index_save(atoll_index *index, void **blob, size_t *bytes, atoll_error *error);
/*
 * Into an empty index: the blob of save; then the caller puts every slot again in ascending order and publishes.
 * ATOLL_DAMAGED, here or from those puts or the publish, where the blob is none or the slots are not those that were
 * saved; then only free is allowed.
 */
atoll_status atoll_index_load(atoll_index *index, const void *blob, size_t bytes, atoll_error *error);

/*
 * The verifier: walks the flushed state against `vectors` (slot -> dim floats, NULL where empty; valid until the next
 * call), and searches `samples` of them beside an exact search: ATOLL_DAMAGED names the first difference,
 * ATOLL_WRONG_STATE where changes wait for a flush. *recall is the share of the exact ATOLL_NEIGHBOURS that the index
 * found, 1 where there is nothing to find.
 */
atoll_status atoll_index_verify(atoll_index *index, const float *(*vectors)(void *arg, uint32_t slot), void *arg,
                                uint32_t samples, double *recall, atoll_error *error);

#endif
