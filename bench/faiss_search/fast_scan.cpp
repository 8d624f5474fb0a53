#include "bench/faiss_search/fast_scan.h"

#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>

#include <exception>

struct fast_scan {
    faiss::IndexIVFPQFastScan index;
};

fast_scan *fast_scan_new(const void *ivfpq)
{
    try {
        return new fast_scan{faiss::IndexIVFPQFastScan(*static_cast<const faiss::IndexIVFPQ *>(ivfpq), 32)};
    } catch (const std::exception &) {
        return nullptr;
    }
}

void fast_scan_free(fast_scan *scan)
{
    delete scan;
}

bool fast_scan_search(const fast_scan *scan, uint32_t count, const float *queries, uint32_t want, float *scores,
                      int64_t *numbers)
{
    try {
        scan->index.search(count, queries, want, scores, numbers);
    } catch (const std::exception &) {
        return false;
    }
    return true;
}
