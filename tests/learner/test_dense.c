#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "learner/dense.h"

enum { DIM = 5, COUNT = 40, LABELS = 3, M = ATOLL_RIDGE_FEATURES };

static int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL) == ATOLL_OK ? 0 : -1;
}

/* Records with and without a vector, before and after there is a solution. */
static void those_with_a_vector_get_features_and_scores(void **state)
{
    static float dense[COUNT][DIM], z[M], scratch[DIM * ATOLL_PROJECTION_BLOCK], *to = z;
    static atoll_encoded record[COUNT];
    atoll_encoded *list[COUNT];
    atoll_projection *projection;
    atoll_arena arena;
    (void)state;
    atoll_ridge_weights *weights = malloc(sizeof *weights + LABELS * M * sizeof(float));
    assert_non_null(weights);
    weights->labels = LABELS;
    for (int i = 0; i < LABELS * M; i++)
        weights->w[i] = (float)(i % 7) - 3;
    assert_int_equal(atoll_projection_new(DIM, 1, NULL, 0, &projection, NULL), ATOLL_OK);
    atoll_arena_init(&arena);
    for (int round = 0; round < 3; round++) {
        atoll_model model = {.projection = round ? projection : NULL, .analytic = round == 2 ? weights : NULL};
        for (int i = 0; i < COUNT; i++) {
            for (int k = 0; k < DIM; k++)
                dense[i][k] = (float)(i + k) / COUNT;
            record[i] = (atoll_encoded){.dense = dense[i], .has_dense = i % 3 != 1};
            list[i] = &record[i];
        }
        assert_int_equal(atoll_dense_read(&arena, &model, list, COUNT, NULL), ATOLL_OK);
        for (int i = 0; i < COUNT; i++) {
            bool read = round && i % 3 != 1;
            const float *from = dense[i];
            float score[LABELS];
            assert_true((record[i].z != NULL) == read);
            assert_true((record[i].score != NULL) == (read && round == 2));
            assert_int_equal(record[i].scores, read && round == 2 ? LABELS : 0);
            if (!read)
                continue;
            atoll_projection_run(projection, &from, 1, &to, scratch);
            assert_memory_equal(record[i].z, z, sizeof z);
            if (round < 2)
                continue;
            atoll_ridge_score(weights, z, 1, score);
            for (int l = 0; l < LABELS; l++)
                assert_true(score[l] - record[i].score[l] < 1e-2f && record[i].score[l] - score[l] < 1e-2f);
        }
        atoll_arena_reset(&arena);
    }
    atoll_arena_free(&arena);
    atoll_projection_free(projection);
    free(weights);
}

/* Of several vectors the features are the mean of theirs, whatever else is read with them. */
static void those_with_several_get_the_mean(void **state)
{
    static float dense[20][DIM], sum[M], z[M], *to = z;
    static float scratch[DIM * ATOLL_PROJECTION_BLOCK];
    atoll_encoded many = {.dense = dense[0], .has_dense = true, .vectors = 20};
    atoll_encoded one = {.dense = dense[3], .has_dense = true};
    atoll_encoded *list[2] = {&many, &one};
    atoll_projection *projection;
    atoll_arena arena;
    (void)state;
    assert_int_equal(atoll_projection_new(DIM, 1, NULL, 0, &projection, NULL), ATOLL_OK);
    atoll_arena_init(&arena);
    for (int i = 0; i < 20; i++) {
        const float *from = dense[i];
        for (int k = 0; k < DIM; k++)
            dense[i][k] = (float)((7 * i + k) % 11) - 5;
        atoll_projection_run(projection, &from, 1, &to, scratch);
        for (int k = 0; k < M; k++)
            sum[k] += z[k] / 20;
    }
    atoll_model model = {.projection = projection};
    assert_int_equal(atoll_dense_read(&arena, &model, list, 2, NULL), ATOLL_OK);
    for (int k = 0; k < M; k++)
        assert_true(many.z[k] - sum[k] < 1e-4f && sum[k] - many.z[k] < 1e-4f);
    const float *from = dense[3];
    atoll_projection_run(projection, &from, 1, &to, scratch);
    assert_memory_equal(one.z, z, sizeof z);
    atoll_arena_free(&arena);
    atoll_projection_free(projection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(those_with_a_vector_get_features_and_scores),
                                       cmocka_unit_test(those_with_several_get_the_mean)};
    return cmocka_run_group_tests(tests, start, NULL);
}
