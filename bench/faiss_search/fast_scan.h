/* FAISS's own fast scan of the codes of an index, for comparison. */
#ifndef ATOLL_BENCH_FAISS_SEARCH_FAST_SCAN_H
#define ATOLL_BENCH_FAISS_SEARCH_FAST_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fast_scan fast_scan;

/* A copy in FAISS's own blocks of what a faiss::IndexIVFPQ holds, which is to outlive it; NULL where FAISS refuses. */
fast_scan *fast_scan_new(const void *ivfpq);
void fast_scan_free(fast_scan *scan);

/* `want` of each query. False where FAISS refuses. */
bool fast_scan_search(const fast_scan *scan, uint32_t count, const float *queries, uint32_t want, float *scores,
                      int64_t *numbers);

#ifdef __cplusplus
}
#endif

#endif
