/*
 * Inverted lists of 4-bit product codes [Jegou, Douze, Schmid 2011]: each vector is in the list of its nearest centre,
 * as the code of what it is more than that centre, and a search reads the lists of the centres nearest to the query.
 * Centres are found through fewer centres of centres, so there may be many, and lists short: over a million vectors of
 * 256 numbers 4,065 lists, of which a search reads 33. A single list holds all where lists do not pay. Inside retrieval
 * only.
 *
 * One thread changes an instance while nobody searches it; any number of threads may search one that nobody changes.
 * What a search proposes depends on the training and on the order in which vectors were added, on nothing else.
 */
#ifndef ATOLL_RETRIEVAL_LISTS_H
#define ATOLL_RETRIEVAL_LISTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum {
    ATOLL_LISTS_PROBES_MAX = 512, /* lists that a search reads, and */
    ATOLL_LISTS_WANT_MAX = 2048   /* positions that it finds at most */
};

typedef struct atoll_lists atoll_lists;

typedef struct atoll_list_near {
    float score; /* inner product of the query with the list's centre */
    uint32_t list;
} atoll_list_near;

/*
 * About `lists` empty lists, of `count` (>= lists) vectors of dim halves, each at row[i]. ATOLL_NO_MEMORY, or
 * ATOLL_INTERNAL where FAISS refuses to cluster.
 */
atoll_status atoll_lists_train(uint32_t dim, uint32_t lists, uint32_t count, const uint16_t *const *row,
                               atoll_lists **out, atoll_error *error);
void atoll_lists_free(atoll_lists *lists);

/* With all that it holds. ATOLL_NO_MEMORY. */
atoll_status atoll_lists_copy(const atoll_lists *lists, atoll_lists **out, atoll_error *error);

uint32_t atoll_lists_dim(const atoll_lists *lists);
uint32_t atoll_lists_many(const atoll_lists *lists);  /* lists */
uint32_t atoll_lists_count(const atoll_lists *lists); /* vectors */
uint64_t atoll_lists_bytes(const atoll_lists *lists); /* of all but the training */

/* The next vector, whose position is their number so far. ATOLL_NO_MEMORY. */
atoll_status atoll_lists_add(atoll_lists *lists, const float *vector, atoll_error *error);

/*
 * The nearest lists, nearest first, at most `want`, and no more than are looked at: those of the nearest quarter of the
 * centres' centres. Returns how many.
 */
uint32_t atoll_lists_nearest(const atoll_lists *lists, const float *query, uint32_t want, atoll_list_near *near);

/*
 * Positions of the best `want` of the `probes` nearest lists by their codes, in no order; scores that are almost equal
 * are not told apart, and of these the first count. Returns how many, which is fewer where fewer are there.
 */
uint32_t atoll_lists_search(const atoll_lists *lists, const float *query, uint32_t probes, uint32_t want,
                            uint32_t *position);

/* The training alone, as bytes (free() them), and back with empty lists. ATOLL_NO_MEMORY; ATOLL_DAMAGED. */
atoll_status atoll_lists_write(const atoll_lists *lists, void **data, size_t *bytes, atoll_error *error);
atoll_status atoll_lists_read(const void *data, size_t bytes, atoll_lists **out, atoll_error *error);

#endif
