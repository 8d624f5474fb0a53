/*
 * The codes of the index: a FAISS index [Johnson, Douze, Jegou 2017] of residuals by 4-bit product codes, an
 * IndexIVFPQ, in C. FAISS trains it, finds the list of a vector, codes it, keeps and saves it; what reads the codes,
 * and what compares the query with centres, are kernels of ours, put in where FAISS lets its classes be extended.
 * faiss.cpp is the only file that includes FAISS, and the only one that meets its exceptions. Inside retrieval only.
 *
 * Each vector is in the list of its nearest centre, as the code of what it is more than that centre, and a search reads
 * the lists of the centres nearest to the query. Centres are found through fewer centres of centres, so there may be
 * many, and lists short: over a million vectors of 256 numbers 4,065 lists, of which a search reads 33. A single list
 * holds all where lists do not pay.
 *
 * One thread changes an index while nobody searches it; any number of threads may search one that nobody changes. What
 * a search proposes depends on the training and on the order in which vectors were added, on nothing else. FAISS starts
 * no threads of its own.
 */
#ifndef ATOLL_RETRIEVAL_FAISS_H
#define ATOLL_RETRIEVAL_FAISS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "core/status.h"

enum {
    ATOLL_FAISS_PROBES_MAX = 512, /* lists that a search reads, and */
    ATOLL_FAISS_WANT_MAX = 2048   /* numbers that it finds at most */
};

typedef struct atoll_faiss atoll_faiss;

/*
 * Trains about `lists` lists and the codes on `count` (>= lists, and 16) vectors of dim (a multiple of 8) halves,
 * each at row[i]. *trained (free() it) is a FAISS index as FAISS writes it, behind a checksum. ATOLL_NO_MEMORY, or
 * ATOLL_INTERNAL and FAISS's own words.
 */
atoll_status atoll_faiss_train(uint32_t dim, uint32_t lists, uint32_t count, const uint16_t *const *row,
                               void **trained, size_t *bytes, atoll_error *error);

/* An empty index of that training. ATOLL_NO_MEMORY; ATOLL_DAMAGED where the bytes are not those of a training. */
atoll_status atoll_faiss_new(const void *trained, size_t bytes, atoll_faiss **out, atoll_error *error);
void atoll_faiss_free(atoll_faiss *faiss);

/* Adds what `from` holds to an empty index of the same training. ATOLL_NO_MEMORY: then only free is allowed. */
atoll_status atoll_faiss_copy(atoll_faiss *to, const atoll_faiss *from, atoll_error *error);

uint32_t atoll_faiss_dim(const atoll_faiss *faiss);
uint32_t atoll_faiss_lists(const atoll_faiss *faiss);
uint32_t atoll_faiss_count(const atoll_faiss *faiss); /* vectors */
uint64_t atoll_faiss_bytes(const atoll_faiss *faiss); /* of all but the training */

/* The next vectors (count x dim), numbered on from those that are there. ATOLL_NO_MEMORY: then only free is allowed. */
atoll_status atoll_faiss_add(atoll_faiss *faiss, uint32_t count, const float *vectors, atoll_error *error);

/*
 * The nearest lists, nearest first, at most `want` (1 to ATOLL_FAISS_PROBES_MAX), and no more than are looked at: those
 * of the nearest quarter of the centres' centres. Returns how many; the rest of list[want] is -1.
 */
uint32_t atoll_faiss_nearest(const atoll_faiss *faiss, const float *query, uint32_t want, int64_t *list);

/*
 * Numbers of the best `want` (1 to ATOLL_FAISS_WANT_MAX) of the `probes` (1 to ATOLL_FAISS_PROBES_MAX) nearest lists by
 * their codes, in no order, and as score[want] about the query's inner products with them; scores that are almost equal
 * are not told apart, and of these the first count. Returns how many, which is fewer where fewer are there.
 */
uint32_t atoll_faiss_search(const atoll_faiss *faiss, const float *query, uint32_t probes, uint32_t want,
                            int64_t *number, float *score);

/* The same for several queries, found[i] of number[i * want] and score[i * want]; codes of one list are then fetched
 * once for several of them. */
void atoll_faiss_search_all(const atoll_faiss *faiss, const float *queries, uint32_t count, uint32_t probes,
                            uint32_t want, int64_t *number, float *score, uint32_t *found);

/* The same as FAISS itself does it, by sums of floats and best first: the readable reference. ATOLL_NO_MEMORY. */
atoll_status atoll_faiss_search_reference(const atoll_faiss *faiss, const float *query, uint32_t probes, uint32_t want,
                                          int64_t *number, float *score, atoll_error *error);

/* The faiss::IndexIVFPQ itself, for measurements of what else FAISS may do with it. */
const void *atoll_faiss_object(const atoll_faiss *faiss);

#ifdef __cplusplus
}
#endif

#endif
