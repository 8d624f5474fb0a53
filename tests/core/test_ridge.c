#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/ridge.h"
#include "core/rng.h"

enum { M = ATOLL_RIDGE_FEATURES, DIM = 12, LABELS = 5, RECORDS = 120, ASKED = 20 };

static float vector[(RECORDS + ASKED) * DIM], z[(RECORDS + ASKED) * M];
static uint32_t label[RECORDS + ASKED];

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g is not %.9g", value, expected);
}

static atoll_ridge *new_ridge(void)
{
    atoll_ridge *ridge;
    assert_int_equal(atoll_ridge_new(DIM, 6, &ridge, NULL), ATOLL_OK);
    return ridge;
}

static atoll_ridge_weights *solve(const atoll_ridge *ridge)
{
    atoll_ridge_weights *weights;
    assert_int_equal(atoll_ridge_solve(ridge, &weights, NULL), ATOLL_OK);
    assert_non_null(weights);
    return weights;
}

/* Clouds around a centre for each label, and their features. */
static int make_stream(void **state)
{
    (void)state;
    if (atoll_kernels_init(NULL))
        return -1;
    atoll_rng rng;
    float centre[LABELS * DIM];
    atoll_rng_seed(&rng, 12, 0);
    for (int i = 0; i < LABELS * DIM; i++)
        centre[i] = 1.5f * atoll_rng_normal(&rng);
    for (uint32_t i = 0; i < RECORDS + ASKED; i++) {
        label[i] = atoll_rng_below(&rng, LABELS);
        for (uint32_t k = 0; k < DIM; k++)
            vector[i * DIM + k] = centre[label[i] * DIM + k] + 0.7f * atoll_rng_normal(&rng);
    }
    atoll_ridge *ridge = new_ridge();
    atoll_ridge_features(ridge->random, DIM, vector, RECORDS + ASKED, z);
    atoll_ridge_free(ridge);
    return 0;
}

static void features_are_rectified_projections(void **state)
{
    (void)state;
    atoll_ridge *ridge = new_ridge(), *other;
    for (uint32_t i = 0; i < RECORDS; i += 17) {
        assert_true(z[i * M] == 1);
        for (uint32_t k = 1; k < M; k++) {
            double sum = 0;
            for (uint32_t d = 0; d < DIM; d++)
                sum += (double)vector[i * DIM + d] * ridge->random[d * M + k];
            expect_near(z[i * M + k], fmax(sum, 0), 1e-5);
        }
    }
    size_t bytes = DIM * M * sizeof(float);
    atoll_ridge *twin = new_ridge();
    assert_memory_equal(twin->random, ridge->random, bytes);
    assert_int_equal(atoll_ridge_new(DIM, 7, &other, NULL), ATOLL_OK);
    assert_memory_not_equal(other->random, ridge->random, bytes);
    assert_int_equal(atoll_ridge_bytes(ridge), bytes + (size_t)M * M * sizeof(float));
    assert_int_equal(atoll_ridge_bytes(NULL), 0);
    atoll_ridge_free(ridge);
    atoll_ridge_free(twin);
    atoll_ridge_free(other);
    atoll_ridge_free(NULL);
}

static void nothing_added_is_no_solution(void **state)
{
    (void)state;
    atoll_ridge *ridge = new_ridge();
    atoll_ridge_weights *weights = (atoll_ridge_weights *)ridge;
    assert_int_equal(atoll_ridge_solve(ridge, &weights, NULL), ATOLL_OK);
    assert_null(weights);
    atoll_ridge_free(ridge);
}

/* In place: x = a^-1 b by elimination with pivots. */
static void eliminate(double *a, double *b, int n, int columns)
{
    for (int i = 0; i < n; i++) {
        int pivot = i;
        for (int r = i + 1; r < n; r++)
            pivot = fabs(a[r * n + i]) > fabs(a[pivot * n + i]) ? r : pivot;
        for (int c = 0; c < n; c++) {
            double swap = a[i * n + c];
            a[i * n + c] = a[pivot * n + c];
            a[pivot * n + c] = swap;
        }
        for (int c = 0; c < columns; c++) {
            double swap = b[i * columns + c];
            b[i * columns + c] = b[pivot * columns + c];
            b[pivot * columns + c] = swap;
        }
        for (int r = 0; r < n; r++) {
            double times = a[r * n + i] / a[i * n + i];
            for (int c = i; c < n && r != i; c++)
                a[r * n + c] -= times * a[i * n + c];
            for (int c = 0; c < columns && r != i; c++)
                b[r * columns + c] -= times * b[i * columns + c];
        }
    }
    for (int i = 0; i < n; i++)
        for (int c = 0; c < columns; c++)
            b[i * columns + c] /= a[i * n + i];
}

static double dot(const float *x, const float *y)
{
    double sum = 0;
    for (int k = 0; k < M; k++)
        sum += (double)x[k] * y[k];
    return sum;
}

/*
 * Ridge regression has a dual: the score of a new z is K(z, Z) (Z Z' + lambda I)^-1 Y, whose matrix is as large as the
 * stream is long and not as the features are many. It is solved by elimination in double.
 */
static void solutions_equal_the_dual(void **state)
{
    (void)state;
    static double kernel[RECORDS * RECORDS], y[RECORDS * LABELS];
    double lambda = 1e-6;
    memset(y, 0, sizeof y);
    for (int i = 0; i < RECORDS; i++)
        lambda += 1e-3 * dot(z + i * M, z + i * M) / M;
    for (int i = 0; i < RECORDS; i++) {
        for (int j = 0; j < RECORDS; j++)
            kernel[i * RECORDS + j] = dot(z + i * M, z + j * M) + (i == j ? lambda : 0);
        y[i * LABELS + (int)label[i]] = 1;
    }
    eliminate(kernel, y, RECORDS, LABELS);

    atoll_ridge *ridge = new_ridge();
    assert_int_equal(atoll_ridge_add(ridge, z, label, RECORDS, LABELS, NULL), ATOLL_OK);
    assert_int_equal(ridge->records, RECORDS);
    atoll_ridge_weights *weights = solve(ridge);
    assert_int_equal(weights->labels, LABELS);
    assert_int_equal(weights->vector_dim, DIM);
    int right = 0;
    for (int i = RECORDS; i < RECORDS + ASKED; i++) {
        float score[LABELS];
        uint32_t first = 0;
        atoll_ridge_score(weights, z + i * M, score);
        for (uint32_t l = 0; l < LABELS; l++) {
            double expected = 0;
            for (int j = 0; j < RECORDS; j++)
                expected += dot(z + i * M, z + j * M) * y[j * LABELS + (int)l];
            expect_near(score[l], expected, 5e-3);
            first = score[l] > score[first] ? l : first;
        }
        right += first == label[i];
    }
    assert_true(right >= ASKED - 2);
    free(weights);
    atoll_ridge_free(ridge);
}

static void expect_same_scores(const atoll_ridge_weights *a, const atoll_ridge_weights *b, double tolerance)
{
    assert_int_equal(a->labels, b->labels);
    for (int i = RECORDS; i < RECORDS + ASKED; i++) {
        float x[LABELS], y[LABELS];
        atoll_ridge_score(a, z + i * M, x);
        atoll_ridge_score(b, z + i * M, y);
        for (uint32_t l = 0; l < a->labels; l++)
            expect_near(x[l], y[l], tolerance);
    }
}

/* One label after another, one record at a time, room for labels growing with them: as if all had come at once. */
static void the_order_of_the_stream_does_not_matter(void **state)
{
    (void)state;
    atoll_ridge *once = new_ridge(), *sorted = new_ridge();
    assert_int_equal(atoll_ridge_add(once, z, label, RECORDS, LABELS, NULL), ATOLL_OK);
    for (uint32_t l = 0; l < LABELS; l++) {
        for (uint32_t i = RECORDS; i-- > 0;)
            if (label[i] == l)
                assert_int_equal(atoll_ridge_add(sorted, z + i * M, &l, 1, l + 1, NULL), ATOLL_OK);
        assert_int_equal(sorted->labels, l + 1);
        atoll_ridge_weights *early = solve(sorted); /* asking changes nothing */
        assert_int_equal(early->labels, l + 1);
        free(early);
    }
    assert_int_equal(sorted->records, RECORDS);
    for (size_t i = 0; i < M; i++)
        for (size_t j = i; j < M; j += 7)
            expect_near(once->g[i * M + j], sorted->g[i * M + j], 1e-4 * fmax(1, fabsf(once->g[i * M + j])));
    atoll_ridge_weights *a = solve(once), *b = solve(sorted);
    expect_same_scores(a, b, 1e-2);
    free(a);
    free(b);
    atoll_ridge_free(once);
    atoll_ridge_free(sorted);
}

static void labels_may_appear_late(void **state)
{
    (void)state;
    enum { MANY = 300 };
    atoll_ridge *ridge = new_ridge();
    assert_int_equal(atoll_ridge_add(ridge, z, label, RECORDS / 2, LABELS, NULL), ATOLL_OK);
    uint32_t late = MANY - 1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(atoll_ridge_add(ridge, z + (RECORDS - 1) * M, &late, 1, MANY, NULL), ATOLL_OK);
    assert_int_equal(ridge->labels, MANY);
    assert_true(ridge->capacity >= MANY);
    atoll_ridge_weights *weights = solve(ridge);
    float score[MANY];
    atoll_ridge_score(weights, z + (RECORDS - 1) * M, score);
    for (uint32_t l = 0; l < MANY - 1; l++) {
        assert_true(score[l] < score[MANY - 1]);
        expect_near(score[l], 0, l < LABELS ? 0.5 : 0); /* of those without a record nothing is said */
    }
    expect_near(score[MANY - 1], 1, 0.1);
    free(weights);
    atoll_ridge_free(ridge);
}

/* Vectors of zeros, and the same vector again and again: singular sums that lambda has to hold up. */
static void degenerate_streams_are_solved(void **state)
{
    (void)state;
    static float same[50 * M];
    static const uint32_t ones[50] = {0};
    for (int zero = 0; zero < 2; zero++) {
        float nought[DIM] = {0}, score[1];
        atoll_ridge *ridge = new_ridge();
        for (int i = 0; i < 50; i++)
            atoll_ridge_features(ridge->random, DIM, zero ? nought : vector, 1, same + i * M);
        assert_int_equal(atoll_ridge_add(ridge, same, ones, 50, 1, NULL), ATOLL_OK);
        atoll_ridge_weights *weights = solve(ridge);
        atoll_ridge_score(weights, same, score);
        expect_near(score[0], 1, 0.05);
        free(weights);
        atoll_ridge_free(ridge);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_are_rectified_projections),
        cmocka_unit_test(nothing_added_is_no_solution),
        cmocka_unit_test(solutions_equal_the_dual),
        cmocka_unit_test(the_order_of_the_stream_does_not_matter),
        cmocka_unit_test(labels_may_appear_late),
        cmocka_unit_test(degenerate_streams_are_solved),
    };
    return cmocka_run_group_tests(tests, make_stream, NULL);
}
