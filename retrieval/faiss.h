/*
 * FAISS through its C API: what the index needs of it, one instance at a time. Inside retrieval only; faiss.c is the
 * only file that includes FAISS.
 *
 * Vectors are numbered by position, from 0 in the order of adding. Any number of threads may search an instance that
 * nobody changes. Each function makes FAISS run on the calling thread alone. Those that return a status fail with
 * ATOLL_NO_MEMORY, or ATOLL_INTERNAL and FAISS's own words; after a failed change only free is allowed.
 */
#ifndef ATOLL_RETRIEVAL_FAISS_H
#define ATOLL_RETRIEVAL_FAISS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct FaissIndex_H atoll_faiss;

/* 4-bit product codes, trained on `count` vectors and empty. The same vectors always give the same codes. */
atoll_status atoll_faiss_train(uint32_t dim, uint32_t count, const float *vectors, atoll_faiss **out,
                               atoll_error *error);
void atoll_faiss_free(atoll_faiss *faiss);

/*
 * The number of codes a vector of `dim` has (half a byte each): about 2 dimensions a code up to 128, 4 up to 256, then
 * at most 128 codes where a divisor of `dim` allows it.
 */
uint32_t atoll_faiss_codes(uint32_t dim);

uint32_t atoll_faiss_dim(const atoll_faiss *faiss);
uint32_t atoll_faiss_count(const atoll_faiss *faiss);
uint64_t atoll_faiss_bytes(const atoll_faiss *faiss); /* of codes, with the room that FAISS takes ahead */

atoll_status atoll_faiss_add(atoll_faiss *faiss, uint32_t count, const float *vectors, atoll_error *error);
/* For each query `want` positions, best first, negative where there are no more; and their scores. What is found does
 * not depend on which queries are asked together. */
atoll_status atoll_faiss_search(const atoll_faiss *faiss, uint32_t queries, const float *query, uint32_t want,
                                float *scores, int64_t *positions, atoll_error *error);

/*
 * As bytes (free() them), and back. ATOLL_DAMAGED where FAISS cannot read them; it then leaks what it had read, so
 * bytes from a disk are checked before they come here.
 */
atoll_status atoll_faiss_write(const atoll_faiss *faiss, void **data, size_t *bytes, atoll_error *error);
atoll_status atoll_faiss_read(const void *data, size_t bytes, atoll_faiss **out, atoll_error *error);

/*
 * k-means: `centres` centres of `count` (>= centres) vectors; on the unit sphere by inner product, or anywhere by
 * distance. The same vectors always give the same centres.
 */
atoll_status atoll_faiss_cluster(uint32_t dim, uint32_t centres, uint32_t count, const float *vectors, bool spherical,
                                 float *out, atoll_error *error);

#endif
