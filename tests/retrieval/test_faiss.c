#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "retrieval/faiss.h"

enum { DIM = 32, COUNT = 1000, WANT = 12 };

static float vectors[COUNT * DIM];

static int fill(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 2);
    for (int i = 0; i < COUNT * DIM; i++)
        vectors[i] = atoll_rng_normal(&rng);
    return 0;
}

static void codes_find_the_best_first(void **state)
{
    (void)state;
    atoll_faiss *faiss;
    float scores[WANT];
    int64_t positions[WANT];
    assert_int_equal(atoll_faiss_train(DIM, COUNT, vectors, &faiss, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_add(faiss, 7, vectors, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_dim(faiss), DIM);
    assert_int_equal(atoll_faiss_count(faiss), 7);
    assert_int_equal(atoll_faiss_search(faiss, 1, vectors + (size_t)3 * DIM, WANT, scores, positions, NULL), ATOLL_OK);
    assert_int_equal(positions[0], 3);
    for (int i = 1; i < 7; i++)
        assert_true(scores[i] <= scores[i - 1]);
    for (int i = 7; i < WANT; i++)
        assert_true(positions[i] < 0);
    atoll_faiss_free(faiss);
    atoll_faiss_free(NULL);
}

static void codes_survive_writing(void **state)
{
    (void)state;
    atoll_faiss *faiss, *copy;
    float scores[WANT], again_scores[WANT];
    int64_t positions[WANT], again[WANT];
    void *data;
    size_t bytes;
    assert_int_equal(atoll_faiss_train(DIM, COUNT, vectors, &faiss, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_count(faiss), 0);
    assert_int_equal(atoll_faiss_add(faiss, COUNT, vectors, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_write(faiss, &data, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_read(data, bytes, &copy, NULL), ATOLL_OK);
    int first = 0;
    for (int i = 0; i < COUNT; i += 50) {
        const float *query = vectors + (size_t)i * DIM;
        assert_int_equal(atoll_faiss_search(faiss, 1, query, WANT, scores, positions, NULL), ATOLL_OK);
        assert_int_equal(atoll_faiss_search(copy, 1, query, WANT, again_scores, again, NULL), ATOLL_OK);
        assert_memory_equal(positions, again, sizeof positions);
        assert_memory_equal(scores, again_scores, sizeof scores);
        first += positions[0] == i;
    }
    assert_true(first >= 18);
    atoll_faiss_free(copy);
    assert_int_equal(atoll_faiss_read("no index at all", 15, &copy, NULL), ATOLL_DAMAGED);
    assert_null(copy);
    free(data);
    atoll_faiss_free(faiss);
}

static void training_is_repeatable(void **state)
{
    (void)state;
    void *data[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        atoll_faiss *faiss;
        assert_int_equal(atoll_faiss_train(DIM, COUNT, vectors, &faiss, NULL), ATOLL_OK);
        assert_int_equal(atoll_faiss_write(faiss, &data[i], &bytes[i], NULL), ATOLL_OK);
        atoll_faiss_free(faiss);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    free(data[0]);
    free(data[1]);
}

static void codes_divide_the_dimension(void **state)
{
    (void)state;
    for (uint32_t dim = 8; dim <= 4096; dim += 8) {
        uint32_t codes = atoll_faiss_codes(dim);
        assert_true(codes >= 4 && dim % codes == 0 && codes % 2 == 0);
    }
    assert_int_equal(atoll_faiss_codes(256), 64);
    assert_int_equal(atoll_faiss_codes(64), 32);
    assert_int_equal(atoll_faiss_codes(784), 112);
    assert_int_equal(atoll_faiss_codes(1024), 128);
    atoll_faiss *faiss; /* more codes than their 16-bit sums are made for, and fewest */
    float *wide = malloc((size_t)640 * 1048 * sizeof *wide);
    assert_non_null(wide);
    for (int i = 0; i < 640 * 1048; i++)
        wide[i] = vectors[i % (COUNT * DIM)] * (float)(1 + i % 7);
    const uint32_t dims[] = {8, 1048};
    for (int i = 0; i < 2; i++) {
        float score;
        int64_t position;
        assert_int_equal(atoll_faiss_train(dims[i], 640, wide, &faiss, NULL), ATOLL_OK);
        assert_int_equal(atoll_faiss_add(faiss, 640, wide, NULL), ATOLL_OK);
        assert_int_equal(atoll_faiss_search(faiss, 1, wide, 1, &score, &position, NULL), ATOLL_OK);
        assert_true(position >= 0 && position < 640);
        atoll_faiss_free(faiss);
    }
    free(wide);
}

/* Of vectors about some points far apart each has a centre near, on the unit sphere where it is to be. */
static void clusters_are_found(void **state)
{
    (void)state;
    enum { POINTS = 4, CENTRES = 16, EACH = 50, NUMBERS = 8 };
    static float from[POINTS * EACH * NUMBERS], to[2][CENTRES * NUMBERS];
    for (int i = 0; i < POINTS * EACH; i++)
        for (int k = 0; k < NUMBERS; k++)
            from[i * NUMBERS + k] = 0.01f * vectors[i * NUMBERS + k] + (k == i % POINTS ? 3 : 0);
    for (int spherical = 0; spherical < 2; spherical++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(atoll_faiss_cluster(NUMBERS, CENTRES, POINTS * EACH, from, spherical, to[i], NULL),
                             ATOLL_OK);
        assert_memory_equal(to[0], to[1], sizeof to[0]);
        for (int axis = 0; axis < POINTS; axis++) {
            int found = 0;
            for (int i = 0; i < CENTRES; i++)
                found += fabsf(to[0][i * NUMBERS + axis] - (spherical ? 1 : 3)) < .05f;
            assert_true(found > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_find_the_best_first),
        cmocka_unit_test(codes_survive_writing),
        cmocka_unit_test(training_is_repeatable),
        cmocka_unit_test(codes_divide_the_dimension),
        cmocka_unit_test(clusters_are_found),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
