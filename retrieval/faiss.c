#include "retrieval/faiss.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faiss/c_api/Clustering_c.h>
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

/* Of k-means: on a million clustered vectors the recall of 8 is that of 16 within .003. */
enum { ROUNDS = 8 };

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

uint32_t atoll_faiss_codes(uint32_t dim)
{
    uint32_t most = dim <= 128 ? dim / 2 : dim <= 256 ? dim / 4 : 128;
    for (uint32_t codes = most; codes >= most / 2; codes--)
        if (dim % codes == 0 && codes % 2 == 0)
            return codes;
    return dim / 4;
}

atoll_status atoll_faiss_train(uint32_t dim, uint32_t count, const float *vectors, atoll_faiss **out,
                               atoll_error *error)
{
    char description[64];
    snprintf(description, sizeof description, "PQ%ux4fs", atoll_faiss_codes(dim));
    one_thread();
    *out = NULL;
    if (!faiss_index_factory(out, (int)dim, description, METRIC_INNER_PRODUCT) &&
        !faiss_Index_train(*out, count, vectors))
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
    return room_for(atoll_faiss_count(faiss)) * (atoll_faiss_codes(atoll_faiss_dim(faiss)) / 2);
}

atoll_status atoll_faiss_add(atoll_faiss *faiss, uint32_t count, const float *vectors, atoll_error *error)
{
    one_thread();
    return faiss_Index_add(faiss, count, vectors) ? refused(error, "add vectors") : ATOLL_OK;
}

atoll_status atoll_faiss_search(const atoll_faiss *faiss, uint32_t queries, const float *query, uint32_t want,
                                float *scores, int64_t *positions, atoll_error *error)
{
    one_thread();
    return faiss_Index_search(faiss, queries, query, want, scores, positions) ? refused(error, "search") : ATOLL_OK;
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

atoll_status atoll_faiss_cluster(uint32_t dim, uint32_t centres, uint32_t count, const float *vectors, bool spherical,
                                 float *out, atoll_error *error)
{
    FaissClusteringParameters how;
    FaissClustering *clusters = NULL;
    FaissIndex *exact = NULL;
    float *found;
    size_t numbers;
    faiss_ClusteringParameters_init(&how);
    how.niter = ROUNDS;
    how.spherical = spherical;
    how.min_points_per_centroid = 1;
    how.max_points_per_centroid = (int)(count / centres + 1);
    one_thread();
    int failed = faiss_Clustering_new_with_params(&clusters, (int)dim, (int)centres, &how) ||
                 faiss_index_factory(&exact, (int)dim, "Flat", spherical ? METRIC_INNER_PRODUCT : METRIC_L2) ||
                 faiss_Clustering_train(clusters, count, vectors, exact);
    if (!failed) {
        faiss_Clustering_centroids(clusters, &found, &numbers);
        memcpy(out, found, numbers * sizeof *out);
    }
    atoll_status status = failed ? refused(error, "cluster vectors") : ATOLL_OK;
    faiss_Index_free(exact);
    faiss_Clustering_free(clusters);
    return status;
}
