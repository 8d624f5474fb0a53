#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/counts.h"
#include "core/kernels.h"
#include "core/reclaim.h"
#include "core/rng.h"
#include "core/rows.h"

enum { ROWS = 40, FEATURES = 6, LABELS = 20, MANY = 300 };

#define SMOOTHING 0.02
#define PRIOR 100.0
#define SHARPNESS 0.4

typedef struct trial {
    atoll_pager pager;
    atoll_counts counts;
    double mass[ROWS][MANY], total[MANY]; /* what the counts should be */
} trial;

static void trial_open(trial *t)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(atoll_kernels_init(NULL), ATOLL_OK);
    t->pager.reclaim = atoll_reclaim_new();
    assert_non_null(t->pager.reclaim);
    atoll_counts_init(&t->counts);
}

static void trial_close(trial *t)
{
    atoll_counts_clear(&t->pager, &t->counts);
    assert_int_equal(t->counts.labels, 0);
    assert_int_equal(atoll_counts_bytes(&t->counts), 0);
    atoll_reclaim_free(t->pager.reclaim);
}

static void add(trial *t, const uint32_t *row, const float *weight, uint32_t features, uint32_t rows, uint32_t label)
{
    atoll_counted record = {.row = row, .weight = weight, .features = features};
    assert_int_equal(atoll_counts_add(&t->pager, &t->counts, &record, rows, label, 1, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < features; i++)
        if (row[i] != ATOLL_ROW_NONE) {
            t->mass[row[i]][label] += weight[i];
            t->total[label] += weight[i];
        }
}

static void draw(atoll_rng *rng, uint32_t label, uint32_t *row, float *weight)
{
    for (uint32_t i = 0; i < FEATURES; i++) {
        row[i] = i * (ROWS / FEATURES) + (i < 2 ? label % 6 : atoll_rng_below(rng, 6));
        weight[i] = 0.1f + 0.5f * atoll_rng_uniform(rng);
    }
}

/* The posterior as the header writes it. */
static void plain(const trial *t, const uint32_t *row, const float *weight, uint32_t rows, double *p)
{
    double sum = 0;
    for (uint32_t y = 0; y < t->counts.labels; y++) {
        double score = 0;
        for (uint32_t i = 0; i < FEATURES; i++)
            if (row[i] < rows)
                score += weight[i] * log((t->mass[row[i]][y] + SMOOTHING) / (t->total[y] + PRIOR));
        sum += p[y] = exp(SHARPNESS * score);
    }
    for (uint32_t y = 0; y < t->counts.labels; y++)
        p[y] /= sum;
}

static void says_what_naive_bayes_says(void **state)
{
    (void)state;
    trial t;
    atoll_rng rng;
    uint32_t row[FEATURES];
    float weight[FEATURES], p[LABELS + 3];
    double expected[LABELS];
    trial_open(&t);
    atoll_rng_seed(&rng, 1, 0);
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t label = i < 200 ? i % 5 : i % LABELS; /* labels that come later widen the rows */
        draw(&rng, label, row, weight);
        add(&t, row, weight, FEATURES, ROWS, label);
    }
    assert_int_equal(t.counts.labels, LABELS);
    assert_true(t.counts.capacity >= LABELS);
    for (int times = 0; times < 20; times++) {
        atoll_counted record = {.row = row, .weight = weight, .features = FEATURES};
        draw(&rng, 3, row, weight);
        row[times % FEATURES] = times % 2 ? ATOLL_ROW_NONE : ROWS + 7; /* a feature that is not counted yet */
        plain(&t, row, weight, ROWS, expected);
        atoll_counts_predict(&t.counts, &record, p, LABELS + 3);
        for (uint32_t y = 0; y < LABELS; y++)
            assert_float_equal(p[y], expected[y], 1e-4);
        for (uint32_t y = LABELS; y < LABELS + 3; y++)
            assert_true(p[y] == 0);
    }
    trial_close(&t);
}

/* Rows become lists as labels come; one that has met too many of them is left out. */
static void many_labels_have_lists(void **state)
{
    (void)state;
    static trial t;
    atoll_rng rng;
    uint32_t row[FEATURES];
    float weight[FEATURES], p[MANY];
    double expected[MANY];
    trial_open(&t);
    atoll_rng_seed(&rng, 1, 0);
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        draw(&rng, i % MANY, row, weight);
        row[2] = i % 50 ? ATOLL_ROW_NONE : 14;
        row[3] = i % MANY < ATOLL_POSTINGS_MOST + 20 ? ROWS - 1 : ATOLL_ROW_NONE;
        add(&t, row, weight, FEATURES, ROWS, i % MANY);
        assert_int_equal(t.counts.capacity == 0, i >= 216);
    }
    assert_int_equal(atoll_postings_verify(&t.counts.many, NULL), ATOLL_OK);
    assert_int_equal(atoll_counts_parameters(&t.counts), t.counts.many.entries);
    assert_true(atoll_counts_active(&t.counts, FEATURES) > 0);
    memset(t.mass[ROWS - 1], 0, sizeof *t.mass);
    for (int times = 0; times < 20; times++) {
        draw(&rng, 3, row, weight);
        row[3] = ATOLL_ROW_NONE;
        row[times % FEATURES] = ROWS + 7;
        plain(&t, row, weight, ROWS, expected);
        for (int dropped = 0; dropped < 2; dropped++) {
            atoll_counted record = {.row = row, .weight = weight, .features = FEATURES};
            row[3] = dropped ? ROWS - 1 : ATOLL_ROW_NONE;
            atoll_counts_predict(&t.counts, &record, p, MANY);
            for (uint32_t y = 0; y < MANY; y++)
                assert_float_equal(p[y], expected[y], 1e-4);
        }
    }
    trial_close(&t);
}

static void the_order_of_records_makes_no_difference(void **state)
{
    (void)state;
    trial t[2];
    uint32_t row[60][FEATURES];
    float weight[60][FEATURES], p[2][LABELS];
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    for (uint32_t i = 0; i < 60; i++)
        draw(&rng, i % LABELS, row[i], weight[i]);
    for (int order = 0; order < 2; order++) {
        trial_open(&t[order]);
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t at = order ? 59 - i : i;
            add(&t[order], row[at], weight[at], FEATURES, ROWS, at % LABELS);
        }
        atoll_counted record = {.row = row[5], .weight = weight[5], .features = FEATURES};
        atoll_counts_predict(&t[order].counts, &record, p[order], LABELS);
    }
    for (uint32_t y = 0; y < LABELS; y++)
        assert_float_equal(p[0][y], p[1][y], 1e-5);
    assert_true(p[0][5] > 1.5f / LABELS);
    trial_close(&t[0]);
    trial_close(&t[1]);
}

static void one_record_of_a_label_is_enough_to_name_it(void **state)
{
    (void)state;
    trial t;
    float p[2], weight[] = {0.7f, 0.7f};
    uint32_t a[] = {0, 1}, b[] = {2, 3};
    trial_open(&t);
    add(&t, a, weight, 2, 4, 0);
    add(&t, b, weight, 2, 4, 1);
    atoll_counted record = {.row = b, .weight = weight, .features = 2};
    atoll_counts_predict(&t.counts, &record, p, 2);
    assert_true(p[1] > 0.75f);
    assert_float_equal(p[0] + p[1], 1, 1e-5);
    trial_close(&t);
}

/* Features of one record have no rows yet, and speak all the same; with a row nothing of them is lost. */
static void what_was_learned_once_is_kept(void **state)
{
    (void)state;
    trial t[2];
    float p[2], q[2], weight[] = {0.5f, 0.7f, 0.25f};
    uint32_t rows[] = {0, 1, 2}, bucket[] = {90, 5000, 70000};
    atoll_counted without = {.weight = weight, .bucket = bucket, .rest = 3};
    atoll_counted with = {.row = rows, .weight = weight, .features = 3, .bucket = bucket};
    for (int i = 0; i < 2; i++) {
        trial_open(&t[i]);
        add(&t[i], rows + 2, weight, 1, 3, 0);
    }
    assert_int_equal(atoll_counts_add(&t[0].pager, &t[0].counts, &without, 3, 1, 1, NULL), ATOLL_OK);
    assert_int_equal(atoll_counts_add(&t[1].pager, &t[1].counts, &with, 3, 1, 1, NULL), ATOLL_OK);
    atoll_counts_predict(&t[0].counts, &without, p, 2);
    assert_true(p[1] > 0.75f);

    /* the second record gives them rows */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(atoll_counts_add(&t[i].pager, &t[i].counts, &with, 3, 0, 1, NULL), ATOLL_OK);
        atoll_counts_predict(&t[i].counts, &with, i ? q : p, 2);
    }
    assert_float_equal(p[1], q[1], 1e-5);
    atoll_counts_predict(&t[0].counts, &without, p, 2);
    assert_true(p[1] < 0.75f); /* nothing is left behind */
    trial_close(&t[0]);
    trial_close(&t[1]);
}

/* In rows, in lists and of features of one text. */
static void what_is_taken_out_was_never_there(void **state)
{
    (void)state;
    static trial t[2];
    for (uint32_t labels = LABELS; labels <= MANY; labels += MANY - LABELS) {
        uint32_t row[FEATURES], bucket[FEATURES];
        float weight[FEATURES], p[2][MANY];
        atoll_rng rng;
        trial_open(&t[0]);
        trial_open(&t[1]);
        atoll_rng_seed(&rng, 3, 0);
        for (uint32_t i = 0; i < 2 * labels; i++) {
            draw(&rng, i % labels, row, weight);
            for (uint32_t f = 0; f < FEATURES; f++)
                bucket[f] = i * FEATURES + f;
            atoll_counted record = {row, weight, FEATURES - 2, bucket, 2};
            bool goes = i >= labels && i % 3 == 0;
            for (int k = 0; k < 2; k++)
                if (!k || !goes)
                    assert_int_equal(atoll_counts_add(&t[k].pager, &t[k].counts, &record, ROWS, i % labels, 1, NULL),
                                     ATOLL_OK);
            if (goes)
                assert_int_equal(atoll_counts_add(&t[0].pager, &t[0].counts, &record, ROWS, i % labels, -1, NULL),
                                 ATOLL_OK);
        }
        atoll_counted asked = {row, weight, FEATURES - 2, bucket, 2};
        for (int k = 0; k < 2; k++)
            atoll_counts_predict(&t[k].counts, &asked, p[k], labels);
        for (uint32_t y = 0; y < labels; y++)
            assert_float_equal(p[0][y], p[1][y], 1e-4);
        /* More than there is leaves nothing, and a label of which nothing is left is not named. */
        assert_int_equal(atoll_counts_add(&t[0].pager, &t[0].counts, &asked, ROWS, 0, -1000, NULL), ATOLL_OK);
        atoll_counts_predict(&t[0].counts, &asked, p[0], labels);
        assert_true(p[0][0] == 0 && p[0][1] > 0);
        for (uint32_t y = 0; y < labels; y++)
            assert_int_equal(atoll_counts_add(&t[0].pager, &t[0].counts, &asked, ROWS, y, -1000, NULL), ATOLL_OK);
        atoll_counts_predict(&t[0].counts, &asked, p[0], labels);
        for (uint32_t y = 1; y < labels; y++)
            assert_float_equal(p[0][y], p[0][0], 1e-6);
        trial_close(&t[0]);
        trial_close(&t[1]);
    }
}

static void take_off(trial *t, const atoll_counted *record, uint32_t rows, uint32_t label)
{
    assert_int_equal(atoll_counts_add(&t->pager, &t->counts, record, rows, label, -1, NULL), ATOLL_OK);
}

/* It copies no page, and adds no label to a list, where it might be the one too many. */
static void to_take_out_what_was_never_there_changes_nothing(void **state)
{
    (void)state;
    static trial t;
    uint32_t a[] = {0}, b[] = {1};
    float weight[] = {0.5f};
    atoll_counted record = {.row = a, .weight = weight, .features = 1};
    trial_open(&t);
    add(&t, a, weight, 1, 2, 0);
    add(&t, b, weight, 1, 2, 1);
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    const void *before = atoll_array_at(&t.counts.rows, 0);
    take_off(&t, &record, 2, 1);
    assert_ptr_equal(atoll_array_at(&t.counts.rows, 0), before);
    take_off(&t, &record, 2, 0);
    assert_ptr_not_equal(atoll_array_at(&t.counts.rows, 0), before);
    atoll_reclaim_leave(t.pager.reclaim, ticket);

    add(&t, b, weight, 1, 2, MANY - 1);
    assert_int_equal(t.counts.capacity, 0);
    for (uint32_t y = 0; y < ATOLL_POSTINGS_MOST; y++)
        add(&t, a, weight, 1, 2, y);
    uint32_t entries = t.counts.many.entries;
    take_off(&t, &record, 2, ATOLL_POSTINGS_MOST);
    assert_int_equal(t.counts.many.entries, entries);
    assert_int_equal(atoll_postings_at(&t.counts.many, 0).count, ATOLL_POSTINGS_MOST);
    assert_int_equal(atoll_postings_verify(&t.counts.many, NULL), ATOLL_OK);
    trial_close(&t);
}

/* What came as a feature of one text goes, though it is known by now; another label's stays. */
static void what_was_learned_once_and_got_no_row_is_taken_out(void **state)
{
    (void)state;
    trial t;
    float p[2], weight[] = {0.5f, 0.7f};
    uint32_t none[] = {ATOLL_ROW_NONE, ATOLL_ROW_NONE}, bucket[] = {90, 5000};
    atoll_counted without = {.weight = weight, .bucket = bucket, .rest = 2};
    atoll_counted known = {.row = none, .weight = weight, .features = 2, .bucket = bucket};
    trial_open(&t);
    for (uint32_t label = 0; label < 2; label++)
        add(&t, &label, weight, 1, 2, label);
    assert_int_equal(atoll_counts_add(&t.pager, &t.counts, &without, 2, 1, 1, NULL), ATOLL_OK);
    take_off(&t, &known, 2, 0);
    atoll_counts_predict(&t.counts, &without, p, 2);
    assert_true(p[1] > 0.75f);
    take_off(&t, &known, 2, 1);
    atoll_counts_predict(&t.counts, &without, p, 2);
    assert_float_equal(p[1], p[0], 1e-6);
    trial_close(&t);
}

/* A frozen copy keeps saying what it said. */
static void a_copy_stays_as_it_was(void **state)
{
    (void)state;
    trial t;
    float before[2], after[2], weight[] = {0.7f, 0.7f};
    uint32_t a[] = {0, 1}, b[] = {2, 3};
    trial_open(&t);
    add(&t, a, weight, 2, 4, 0);
    add(&t, b, weight, 2, 4, 1);
    atoll_counts frozen = t.counts;
    atoll_counted record = {.row = b, .weight = weight, .features = 2};
    atoll_counts_predict(&frozen, &record, before, 2);
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    for (uint32_t label = 0; label < 12; label++)
        add(&t, b, weight, 2, ROWS, label);
    atoll_counts_predict(&frozen, &record, after, 2);
    assert_memory_equal(before, after, sizeof before);
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    assert_true(atoll_counts_bytes(&t.counts) >= ROWS * t.counts.capacity * sizeof(float));
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_naive_bayes_says),
        cmocka_unit_test(many_labels_have_lists),
        cmocka_unit_test(the_order_of_records_makes_no_difference),
        cmocka_unit_test(one_record_of_a_label_is_enough_to_name_it),
        cmocka_unit_test(what_was_learned_once_is_kept),
        cmocka_unit_test(what_is_taken_out_was_never_there),
        cmocka_unit_test(to_take_out_what_was_never_there_changes_nothing),
        cmocka_unit_test(what_was_learned_once_and_got_no_row_is_taken_out),
        cmocka_unit_test(a_copy_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
