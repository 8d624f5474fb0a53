#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
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
    assert_int_equal(atoll_ridge_new(&ridge, NULL), ATOLL_OK);
    return ridge;
}

static void add(atoll_ridge *ridge, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++)
        assert_int_equal(atoll_ridge_add(ridge, z + i * M, label[i], LABELS, NULL), ATOLL_OK);
}

static atoll_ridge_weights *solve(atoll_ridge *ridge)
{
    atoll_ridge_weights *weights;
    assert_int_equal(atoll_ridge_solve(ridge, &weights, NULL), ATOLL_OK);
    assert_non_null(weights);
    return weights;
}

static void project(const float *v, float *to)
{
    static float scratch[DIM * ATOLL_PROJECTION_BLOCK];
    atoll_projection *projection;
    assert_int_equal(atoll_projection_new(DIM, 6, NULL, 0, &projection, NULL), ATOLL_OK);
    atoll_projection_run(projection, &v, 1, &to, scratch);
    atoll_projection_free(projection);
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
    for (uint32_t i = 0; i < RECORDS + ASKED; i++)
        project(vector + i * DIM, z + i * M);
    return 0;
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
 * Ridge regression has a dual: the score of a new z is K(z, Z) a, a = (Z Z' + lambda I)^-1 Y, whose matrix is as large
 * as the stream is long and not as the features are many; a second pass adds s lambda (Z Z' + lambda I)^-1 a. Here all
 * is in double, and generalised cross-validation has exact traces. Returns the s that it chooses.
 */
static double expect_the_dual(const uint32_t *of)
{
    enum { N = RECORDS, SHARES = 5 };
    static const double share[SHARES] = {-0.5, 0, 1, 2, 4};
    static double kernel[N * N], sum[N * N], inverse[N * N], once[N * LABELS], again[N * LABELS];
    const double lambda = 50;
    double trace = 0, second = 0, least = HUGE_VAL, s = 0;
    memset(inverse, 0, sizeof inverse);
    memset(once, 0, sizeof once);
    memset(again, 0, sizeof again);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++)
            sum[i * N + j] = kernel[i * N + j] = dot(z + i * M, z + j * M);
        sum[i * N + i] += lambda;
        inverse[i * N + i] = 1;
    }
    eliminate(sum, inverse, N, N);
    for (int i = 0; i < N * N; i++) {
        second += inverse[i] * inverse[i];
        trace += i % (N + 1) ? 0 : inverse[i];
        once[i / N * LABELS + (int)of[i % N]] += inverse[i];
    }
    for (int i = 0; i < N * N; i++)
        for (int l = 0; l < LABELS; l++)
            again[i / N * LABELS + l] += lambda * inverse[i] * once[i % N * LABELS + l];
    for (int k = 0; k < SHARES; k++) {
        double missed = 0, left = lambda * trace - share[k] * lambda * (trace - lambda * second);
        for (int i = 0; i < N * LABELS; i++) {
            double score = 0;
            for (int j = 0; j < N; j++)
                score += kernel[i / LABELS * N + j] *
                         (once[j * LABELS + i % LABELS] + share[k] * again[j * LABELS + i % LABELS]);
            double off = (of[i / LABELS] == (uint32_t)(i % LABELS)) - score;
            missed += off * off;
        }
        if (missed / (left * left) < least) {
            least = missed / (left * left);
            s = share[k];
        }
    }

    atoll_ridge *ridge = new_ridge();
    for (int i = 0; i < N; i++)
        assert_int_equal(atoll_ridge_add(ridge, z + i * M, of[i], LABELS, NULL), ATOLL_OK);
    atoll_ridge_weights *weights = solve(ridge);
    assert_int_equal(weights->labels, LABELS);
    for (int i = N; i < N + ASKED; i++) {
        float score[LABELS];
        atoll_ridge_score(weights, z + i * M, 1, score);
        for (int l = 0; l < LABELS; l++) {
            double expected = 0;
            for (int j = 0; j < N; j++)
                expected += dot(z + i * M, z + j * M) * (once[j * LABELS + l] + s * again[j * LABELS + l]);
            expect_near(score[l], expected, 1e-2);
        }
    }
    free(weights);
    atoll_ridge_free(ridge);
    return s;
}

/* What is told for certain is penalised less than what is drawn by lot. */
static void solutions_equal_the_dual(void **state)
{
    static uint32_t lot[RECORDS];
    atoll_rng rng;
    (void)state;
    atoll_rng_seed(&rng, 3, 0);
    for (int i = 0; i < RECORDS; i++)
        lot[i] = atoll_rng_below(&rng, LABELS);
    assert_true(expect_the_dual(label) > 0);
    assert_true(expect_the_dual(lot) < 0);
}

static void clouds_are_told_apart(void **state)
{
    atoll_ridge *ridge = new_ridge();
    int right = 0;
    (void)state;
    add(ridge, 0, RECORDS);
    assert_int_equal(ridge->records, RECORDS);
    atoll_ridge_weights *weights = solve(ridge);
    for (int i = RECORDS; i < RECORDS + ASKED; i++) {
        float score[LABELS];
        uint32_t first = 0;
        atoll_ridge_score(weights, z + i * M, 1, score);
        for (uint32_t l = 0; l < LABELS; l++)
            first = score[l] > score[first] ? l : first;
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
        atoll_ridge_score(a, z + i * M, 1, x);
        atoll_ridge_score(b, z + i * M, 1, y);
        for (uint32_t l = 0; l < a->labels; l++)
            expect_near(x[l], y[l], tolerance);
    }
}

/* One label after another, one record at a time, room for labels growing with them: as if all had come at once. */
static void the_order_of_the_stream_does_not_matter(void **state)
{
    (void)state;
    atoll_ridge *once = new_ridge(), *sorted = new_ridge();
    add(once, 0, RECORDS);
    for (uint32_t l = 0; l < LABELS; l++) {
        for (uint32_t i = RECORDS; i-- > 0;)
            if (label[i] == l)
                assert_int_equal(atoll_ridge_add(sorted, z + i * M, l, l + 1, NULL), ATOLL_OK);
        assert_int_equal(sorted->labels, l + 1);
        atoll_ridge_weights *early = solve(sorted); /* asking changes nothing */
        assert_int_equal(early->labels, l + 1);
        free(early);
    }
    assert_int_equal(sorted->records, RECORDS);
    atoll_ridge_weights *a = solve(once), *b = solve(sorted);
    expect_same_scores(a, b, 1e-4);
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
    add(ridge, 0, RECORDS / 2);
    for (int i = 0; i < 30; i++)
        assert_int_equal(atoll_ridge_add(ridge, z + (RECORDS - 1) * M, MANY - 1, MANY, NULL), ATOLL_OK);
    assert_int_equal(ridge->labels, MANY);
    assert_true(ridge->capacity >= MANY);
    atoll_ridge_weights *weights = solve(ridge);
    float score[MANY];
    atoll_ridge_score(weights, z + (RECORDS - 1) * M, 1, score);
    for (uint32_t l = 0; l < MANY - 1; l++) {
        assert_true(score[l] < score[MANY - 1]);
        expect_near(score[l], 0, l < LABELS ? 0.5 : 0); /* of those without a record nothing is said */
    }
    expect_near(score[MANY - 1], 1, 0.2);
    free(weights);
    atoll_ridge_free(ridge);
}

/* Vectors of zeros, and the same vector again and again: singular sums that lambda has to hold up. */
static void degenerate_streams_are_solved(void **state)
{
    (void)state;
    static float same[M];
    for (int zero = 0; zero < 2; zero++) {
        float nought[DIM] = {0}, score[1];
        atoll_ridge *ridge = new_ridge();
        project(zero ? nought : vector, same);
        for (int i = 0; i < 50; i++)
            assert_int_equal(atoll_ridge_add(ridge, same, 0, 1, NULL), ATOLL_OK);
        atoll_ridge_weights *weights = solve(ridge);
        atoll_ridge_score(weights, same, 1, score);
        expect_near(score[0], 1, 0.05);
        free(weights);
        atoll_ridge_free(ridge);
    }
}

/* Saved at any moment, it goes on as it would have; a blob of another size is none. */
static void what_was_saved_goes_on_alike(void **state)
{
    (void)state;
    atoll_ridge *one = new_ridge();
    for (uint32_t at = 0; at < RECORDS; at += 30) {
        add(one, at, 30);
        uint64_t bytes = atoll_ridge_save_bytes(one);
        void *blob = malloc(bytes);
        assert_non_null(blob);
        atoll_ridge_save(one, blob);
        atoll_ridge *two = new_ridge();
        assert_int_equal(atoll_ridge_load(two, blob, bytes - 1, NULL), ATOLL_DAMAGED);
        assert_int_equal(atoll_ridge_load(two, blob, 8, NULL), ATOLL_DAMAGED);
        assert_int_equal(atoll_ridge_load(two, blob, bytes, NULL), ATOLL_OK);
        assert_int_equal(two->records, one->records);
        assert_int_equal(two->waiting, one->waiting);
        assert_true(atoll_ridge_is_due(one) == atoll_ridge_is_due(two));
        free(blob);
        add(two, 0, 50);
        atoll_ridge *three = new_ridge();
        add(three, 0, at + 30);
        add(three, 0, 50);
        atoll_ridge_weights *a = solve(two), *b = solve(three);
        assert_memory_equal(a->w, b->w, (size_t)M * LABELS * sizeof *a->w);
        assert_int_equal(atoll_ridge_weights_bytes(a), sizeof *a + M * LABELS * sizeof *a->w);
        free(a);
        free(b);
        atoll_ridge_free(two);
        atoll_ridge_free(three);
    }
    atoll_ridge_reset(one);
    assert_int_equal(one->records, 0);
    add(one, 0, 40);
    atoll_ridge *fresh = new_ridge();
    add(fresh, 0, 40);
    atoll_ridge_weights *a = solve(one), *b = solve(fresh);
    assert_memory_equal(a->w, b->w, (size_t)M * LABELS * sizeof *a->w);
    free(a);
    free(b);
    atoll_ridge_free(one);
    atoll_ridge_free(fresh);
    atoll_ridge_free(NULL);
    assert_int_equal(atoll_ridge_bytes(NULL), 0);
}

/* What a solution takes is told before: it and as much again, for all labels that are there. */
static void what_a_solution_takes_is_told(void **state)
{
    (void)state;
    atoll_ridge *ridge = new_ridge();
    assert_int_equal(atoll_ridge_solve_bytes(NULL), 0);
    assert_int_equal(atoll_ridge_solve_bytes(ridge), 0);
    add(ridge, 0, 40);
    atoll_ridge_weights *weights = solve(ridge);
    uint64_t bytes = atoll_ridge_weights_bytes(weights);
    assert_in_range(atoll_ridge_solve_bytes(ridge), 2 * bytes, 2 * bytes + 16 * M * sizeof(float));
    assert_in_range(malloc_usable_size(weights), bytes, bytes + 4096); /* the rest was for a while */
    free(weights);
    atoll_ridge_free(ridge);
}

/* Soon while there is little, later the more there is, and soon again for a label that is new. */
static void solutions_are_due_when_they_would_differ(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    atoll_ridge *ridge = new_ridge();
    uint32_t solved = 0, waited = 0;
    assert_false(atoll_ridge_is_due(ridge));
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(atoll_ridge_add(ridge, z + i % RECORDS * M, 0, 1, NULL), ATOLL_OK);
        waited++;
        assert_true(i > 7 || atoll_ridge_is_due(ridge));
        if (atoll_ridge_is_due(ridge)) {
            free(solve(ridge));
            solved++;
            waited = 0;
        }
        assert_true(waited <= i / 8 + 1);
    }
    assert_in_range(solved, 40, 80);
    free(solve(ridge));
    for (waited = 0; !atoll_ridge_is_due(ridge); waited++)
        assert_int_equal(atoll_ridge_add(ridge, z, 1, 2, NULL), ATOLL_OK);
    assert_in_range(waited, 32, 48);
    atoll_ridge_free(ridge);
}

/* Twenty numbers, of which the signs of two together tell the label: either by itself, and the others, say nothing. */
static void what_two_numbers_tell_together_is_learned(void **state)
{
    enum { NUMBERS = 20, LEARNED = 1500, TRIED = 300 };
    static float scratch[NUMBERS * ATOLL_PROJECTION_BLOCK], features[M];
    float v[NUMBERS], score[2], *to = features;
    const float *from = v;
    uint32_t right = 0;
    (void)state;
    atoll_projection *projection;
    assert_int_equal(atoll_projection_new(NUMBERS, 9, NULL, 0, &projection, NULL), ATOLL_OK);
    atoll_ridge *ridge = new_ridge();
    atoll_ridge_weights *weights = NULL;
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int n = 0; n < LEARNED + TRIED; n++) {
        for (int i = 0; i < NUMBERS; i++)
            v[i] = atoll_rng_normal(&rng);
        uint32_t y = v[3] * v[11] > 0;
        atoll_projection_run(projection, &from, 1, &to, scratch);
        if (n < LEARNED) {
            assert_int_equal(atoll_ridge_add(ridge, features, y, 2, NULL), ATOLL_OK);
            continue;
        }
        if (!weights)
            weights = solve(ridge);
        atoll_ridge_score(weights, features, 1, score);
        right += (score[1] > score[0]) == y;
    }
    if (right < TRIED * 7 / 10)
        fail_msg("%u of %u are right", right, TRIED);
    free(weights);
    atoll_ridge_free(ridge);
    atoll_projection_free(projection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_added_is_no_solution),
        cmocka_unit_test(solutions_equal_the_dual),
        cmocka_unit_test(clouds_are_told_apart),
        cmocka_unit_test(the_order_of_the_stream_does_not_matter),
        cmocka_unit_test(labels_may_appear_late),
        cmocka_unit_test(degenerate_streams_are_solved),
        cmocka_unit_test(what_was_saved_goes_on_alike),
        cmocka_unit_test(what_a_solution_takes_is_told),
        cmocka_unit_test(solutions_are_due_when_they_would_differ),
        cmocka_unit_test(what_two_numbers_tell_together_is_learned),
    };
    return cmocka_run_group_tests(tests, make_stream, NULL);
}
