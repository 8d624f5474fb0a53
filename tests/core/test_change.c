#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/change.h"
#include "core/kernels.h"
#include "core/projection.h"
#include "core/rng.h"

enum { DIM = 6, LABELS = 4, STEP = 50, M = ATOLL_PROJECTION_FEATURES };

typedef struct trial {
    atoll_change *change;
    atoll_projection *projection;
    atoll_rng rng;
    uint64_t seq;
    float centre[2 * LABELS][DIM], z[STEP][M];
} trial;

static int open_trial(void **state)
{
    trial *t = calloc(1, sizeof *t);
    if (!t || atoll_kernels_init(NULL) || atoll_change_new(&t->change, NULL) ||
        atoll_projection_new(DIM, 1, NULL, 0, &t->projection, NULL))
        return -1;
    atoll_rng_seed(&t->rng, 7, 1);
    for (uint32_t c = 0; c < 2 * LABELS; c++)
        for (uint32_t i = 0; i < DIM; i++)
            t->centre[c][i] = 1.5f * atoll_rng_normal(&t->rng);
    t->seq = 1;
    *state = t;
    return 0;
}

static int close_trial(void **state)
{
    trial *t = *state;
    atoll_change_free(t->change);
    atoll_projection_free(t->projection);
    free(t);
    return 0;
}

/* Features of a vector near centre c. */
static void draw(trial *t, uint32_t c, float *z)
{
    float v[DIM], scratch[DIM * ATOLL_PROJECTION_BLOCK];
    const float *from = v;
    for (uint32_t i = 0; i < DIM; i++)
        v[i] = t->centre[c][i] + 0.5f * atoll_rng_normal(&t->rng);
    atoll_projection_run(t->projection, &from, 1, &z, scratch);
}

/* Records near `centres` centres from the first on, that of number c with the label (c + turn) % LABELS. */
static void feed(trial *t, uint32_t first, uint32_t centres, uint32_t turn, uint32_t count)
{
    const float *z[STEP];
    uint32_t label[STEP];
    for (uint32_t at = 0; at < count; at += STEP) {
        for (uint32_t i = 0; i < STEP; i++) {
            uint32_t c = first + atoll_rng_below(&t->rng, centres);
            draw(t, c, t->z[i]);
            z[i] = t->z[i];
            label[i] = (c + turn) % LABELS;
        }
        atoll_change_observe(t->change, z, label, STEP, t->seq);
        t->seq += STEP;
    }
}

static void what_stays_rings_nothing(void **state)
{
    trial *t = *state;
    feed(t, 0, LABELS, 0, 4000);
    assert_int_equal(t->change->now.alarms, 0);
    assert_int_equal(t->change->now.labels, LABELS);
}

static void labels_that_are_exchanged_ring_and_are_judged(void **state)
{
    trial *t = *state;
    float z[M];
    feed(t, 0, LABELS, 0, 2000);
    uint64_t changed = t->seq;
    feed(t, 0, LABELS, 1, 400);
    assert_int_equal(t->change->now.alarms, 1);
    assert_in_range(t->change->now.start, changed - 2, changed + 300);
    feed(t, 0, LABELS, 1, 400);
    assert_true(t->change->now.lead >= 0);
    assert_true(atoll_change_is_due(t->change));
    for (uint32_t c = 0; c < LABELS; c++) {
        /* A centre stands for records that were remembered: near it all are alike. */
        const float *v = t->centre[c];
        float scratch[DIM * ATOLL_PROJECTION_BLOCK], *to = z;
        atoll_projection_run(t->projection, &v, 1, &to, scratch);
        atoll_change_opinion before = atoll_change_judge(t->change, z, c);
        atoll_change_opinion after = atoll_change_judge(t->change, z, (c + 1) % LABELS);
        assert_true(before.known && before.steady && !before.recent);
        assert_true(after.known && !after.steady && after.recent);
        assert_false(atoll_change_judge(t->change, z, LABELS).known);
    }
    atoll_change_restart(t->change);
    assert_false(atoll_change_is_due(t->change));
    feed(t, 0, LABELS, 1, 2000);
    assert_int_equal(t->change->now.alarms, 1);
}

static void inputs_that_the_recent_learner_has_not_met_are_not_judged(void **state)
{
    trial *t = *state;
    float z[M];
    uint32_t known = 0;
    feed(t, 0, LABELS, 0, 2000);
    feed(t, LABELS, LABELS, 1, 400);
    feed(t, LABELS, LABELS, 1, 600);
    for (uint32_t i = 0; i < 40; i++) {
        draw(t, i % LABELS, z);
        known += atoll_change_judge(t->change, z, i % LABELS).known;
    }
    assert_true(known <= 4);
}

static void other_labels_are_no_contradiction(void **state)
{
    trial *t = *state;
    feed(t, 0, 2, 0, 2000);
    feed(t, 2, 2, 0, 2000);
    assert_int_equal(t->change->now.alarms, 0);
    assert_int_equal(t->change->now.labels, 2);
    assert_true(t->change->steady.records <= 2000);
}

static void what_is_saved_comes_back_and_damage_is_told(void **state)
{
    trial *t = *state;
    atoll_change *copy;
    uint64_t bytes = atoll_change_save_bytes();
    void *blob = malloc(bytes), *again = malloc(bytes);
    assert_true(blob && again);
    feed(t, 0, LABELS, 0, 1000);
    atoll_change_save(t->change, blob);
    assert_int_equal(atoll_change_new(&copy, NULL), ATOLL_OK);
    assert_int_equal(atoll_change_load(copy, blob, bytes, NULL), ATOLL_OK);
    atoll_change_save(copy, again);
    assert_memory_equal(blob, again, bytes);
    assert_int_equal(atoll_change_load(copy, blob, bytes - 1, NULL), ATOLL_DAMAGED);
    ((atoll_change_state *)blob)->label[0] = ATOLL_CHANGE_NUMBERED;
    assert_int_equal(atoll_change_load(copy, blob, bytes, NULL), ATOLL_DAMAGED);
    ((atoll_change_state *)blob)->labels = ATOLL_CHANGE_LABELS + 1;
    assert_int_equal(atoll_change_load(copy, blob, bytes, NULL), ATOLL_DAMAGED);
    assert_true(atoll_change_bytes(copy) > bytes && atoll_change_bytes(NULL) == 0);
    atoll_change_free(copy);
    atoll_change_free(NULL);
    free(blob);
    free(again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_trial, close_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_stays_rings_nothing),
        TEST(labels_that_are_exchanged_ring_and_are_judged),
        TEST(inputs_that_the_recent_learner_has_not_met_are_not_judged),
        TEST(other_labels_are_no_contradiction),
        TEST(what_is_saved_comes_back_and_damage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
