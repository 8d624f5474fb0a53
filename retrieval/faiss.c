#include "retrieval/faiss.h"

#include <pthread.h>
#include <string.h>

#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
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

static atoll_status refused(atoll_error *error)
{
    const char *message = faiss_get_last_error();
    bool memory = message && strstr(message, "bad_alloc");
    return atoll_fail(error, memory ? ATOLL_NO_MEMORY : ATOLL_INTERNAL, "FAISS cannot cluster: %s",
                      message ? message : "no reason given");
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
    atoll_status status = failed ? refused(error) : ATOLL_OK;
    faiss_Index_free(exact);
    faiss_Clustering_free(clusters);
    return status;
}
