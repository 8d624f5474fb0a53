#include "retrieval/faiss.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexIVF_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <faiss/c_api/utils/distances_c.h>

/* libgomp's; its header is not needed for one prototype. The number counts for the calling thread alone. */
extern void omp_set_num_threads(int count);

/* FAISS takes memory for a whole block of distances, 16 MB at its defaults, however few are asked for. */
static void small_blocks(void)
{
    faiss_set_distance_compute_blas_query_bs(64);
    faiss_set_distance_compute_blas_database_bs(512);
}

/* Rounds of k-means: on a million clustered vectors the recall of 8 is that of 16 within .003. */
enum { LIST_ROUNDS = 8 };

static void one_thread(void)
{
    static _Thread_local bool done;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!done) {
        omp_set_num_threads(1);
        pthread_once(&once, small_blocks);
    }
    done = true;
}

static atoll_status refused(atoll_error *error, const char *what)
{
    const char *message = faiss_get_last_error();
    bool memory = message && strstr(message, "bad_alloc");
    return atoll_fail(error, memory ? ATOLL_NO_MEMORY : ATOLL_INTERNAL, "FAISS cannot %s: %s", what,
                      message ? message : "no reason given");
}

static FaissIndex *quantiser_of(const FaissIndex *faiss)
{
    return faiss_IndexIVF_quantizer(faiss_IndexIVF_cast((FaissIndex *)(uintptr_t)faiss));
}

uint32_t atoll_faiss_codes(uint32_t dim)
{
    uint32_t most = dim <= 128 ? dim / 2 : dim <= 256 ? dim / 4 : 128;
    for (uint32_t codes = most; codes >= most / 2; codes--)
        if (dim % codes == 0 && codes % 2 == 0)
            return codes;
    return dim / 4;
}

/*
 * Gives the lists their centroids: spherical k-means over all the vectors, with exact products. FAISS would search the
 * quantiser itself for that, one vector at a time.
 */
static int train_lists(FaissIndex *faiss, uint32_t dim, uint32_t lists, uint32_t count, const float *vectors)
{
    FaissClusteringParameters how;
    FaissClustering *clusters = NULL;
    FaissIndex *exact = NULL;
    float *centroids;
    size_t numbers;
    faiss_ClusteringParameters_init(&how);
    how.niter = LIST_ROUNDS;
    how.spherical = 1;
    how.min_points_per_centroid = 1;
    how.max_points_per_centroid = (int)(count / lists + 1);
    int failed = faiss_Clustering_new_with_params(&clusters, (int)dim, (int)lists, &how);
    if (!failed && !(failed = faiss_index_factory(&exact, (int)dim, "Flat", METRIC_INNER_PRODUCT)) &&
        !(failed = faiss_Clustering_train(clusters, count, vectors, exact))) {
        FaissIndex *quantiser = quantiser_of(faiss);
        faiss_Clustering_centroids(clusters, &centroids, &numbers);
        failed = faiss_Index_train(quantiser, lists, centroids) || faiss_Index_add(quantiser, lists, centroids);
    }
    faiss_Index_free(exact);
    faiss_Clustering_free(clusters);
    return failed;
}

atoll_status atoll_faiss_train(uint32_t dim, uint32_t lists, uint32_t count, const float *vectors, atoll_faiss **out,
                               atoll_error *error)
{
    char description[64];
    /* In blocks of 64 codes lists are searched in .8 of the time that blocks of 32 take: FAISS then goes about a single
     * query more directly. */
    if (lists)
        snprintf(description, sizeof description, "IVF%u(SQfp16),PQ%ux4fs_64", lists, atoll_faiss_codes(dim));
    else
        snprintf(description, sizeof description, "PQ%ux4fs", atoll_faiss_codes(dim));
    one_thread();
    *out = NULL;
    if (!faiss_index_factory(out, (int)dim, description, METRIC_INNER_PRODUCT) &&
        !(lists && train_lists(*out, dim, lists, count, vectors)) && !faiss_Index_train(*out, count, vectors))
        return ATOLL_OK;
    atoll_status status = refused(error, "train codes");
    atoll_faiss_free(*out);
    *out = NULL;
    return status;
}

void atoll_faiss_free(atoll_faiss *faiss)
{
    faiss_Index_free(faiss);
}

uint32_t atoll_faiss_dim(const atoll_faiss *faiss)
{
    return (uint32_t)faiss_Index_d(faiss);
}

uint32_t atoll_faiss_count(const atoll_faiss *faiss)
{
    return (uint32_t)faiss_Index_ntotal(faiss);
}

uint32_t atoll_faiss_lists(const atoll_faiss *faiss)
{
    const FaissIndexIVF *lists = faiss_IndexIVF_cast((FaissIndex *)(uintptr_t)faiss);
    return lists ? (uint32_t)faiss_IndexIVF_nlist(lists) : 0;
}

/* FAISS's arrays double when they are full. */
static uint64_t room_for(uint64_t count)
{
    uint64_t room = count ? 1 : 0;
    while (room < count)
        room *= 2;
    return room;
}

uint64_t atoll_faiss_bytes(const atoll_faiss *faiss)
{
    const FaissIndexIVF *inverted = faiss_IndexIVF_cast((FaissIndex *)(uintptr_t)faiss);
    uint32_t lists = atoll_faiss_lists(faiss), code = atoll_faiss_codes(atoll_faiss_dim(faiss)) / 2;
    uint64_t room = lists ? 0 : room_for(atoll_faiss_count(faiss)) * code;
    for (uint32_t i = 0; i < lists; i++) {
        uint64_t held = faiss_IndexIVF_get_list_size(inverted, i);
        room += room_for(held) * (code + sizeof(idx_t));
    }
    return room;
}

void atoll_faiss_probe(atoll_faiss *faiss, uint32_t probes)
{
    faiss_IndexIVF_set_nprobe(faiss_IndexIVF_cast(faiss), probes);
}

atoll_status atoll_faiss_nearest_lists(const atoll_faiss *faiss, uint32_t queries, const float *query, uint32_t want,
                                       float *scores, int64_t *lists, atoll_error *error)
{
    one_thread();
    return faiss_Index_search(quantiser_of(faiss), queries, query, want, scores, lists)
               ? refused(error, "search lists") : ATOLL_OK;
}

atoll_status atoll_faiss_add(atoll_faiss *faiss, uint32_t count, const float *vectors, atoll_error *error)
{
    one_thread();
    return faiss_Index_add(faiss, count, vectors) ? refused(error, "add vectors") : ATOLL_OK;
}

atoll_status atoll_faiss_search(const atoll_faiss *faiss, uint32_t queries, const float *query, uint32_t want,
                                float *scores, int64_t *positions, atoll_error *error)
{
    /* What lists propose depends on what else is asked; and they gain nothing by batches. */
    uint32_t dim = atoll_faiss_dim(faiss), each = atoll_faiss_lists(faiss) ? 1 : queries;
    one_thread();
    for (uint32_t at = 0; at < queries; at += each)
        if (faiss_Index_search(faiss, each, query + (size_t)at * dim, want, scores + (size_t)at * want,
                               positions + (size_t)at * want))
            return refused(error, "search");
    return ATOLL_OK;
}

atoll_status atoll_faiss_write(const atoll_faiss *faiss, void **data, size_t *bytes, atoll_error *error)
{
    char *text = NULL;
    *data = NULL;
    FILE *file = open_memstream(&text, bytes);
    if (!file)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to write an index");
    int failed = faiss_write_index(faiss, file);
    if (fclose(file) == 0 && !failed) {
        *data = text;
        return ATOLL_OK;
    }
    free(text);
    return failed ? refused(error, "write an index") : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an index");
}

atoll_status atoll_faiss_read(const void *data, size_t bytes, atoll_faiss **out, atoll_error *error)
{
    *out = NULL;
    FILE *file = fmemopen((void *)(uintptr_t)data, bytes, "rb");
    if (!file)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to read an index");
    int failed = faiss_read_index(file, 0, out);
    fclose(file);
    if (!failed)
        return ATOLL_OK;
    atoll_status status = refused(error, "read an index");
    return status == ATOLL_INTERNAL ? ATOLL_DAMAGED : status;
}
