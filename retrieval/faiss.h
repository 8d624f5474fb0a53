/*
 * FAISS through its C API: what training needs of it. Inside retrieval only; faiss.c is the only file that includes
 * FAISS. It runs on the calling thread alone.
 */
#ifndef ATOLL_RETRIEVAL_FAISS_H
#define ATOLL_RETRIEVAL_FAISS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/*
 * k-means: `centres` centres of `count` (>= centres) vectors; on the unit sphere by inner product, or anywhere by
 * distance. The same vectors always give the same centres. ATOLL_NO_MEMORY, or ATOLL_INTERNAL and FAISS's own words.
 */
atoll_status atoll_faiss_cluster(uint32_t dim, uint32_t centres, uint32_t count, const float *vectors, bool spherical,
                                 float *out, atoll_error *error);

#endif
