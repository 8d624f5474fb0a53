#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "learner/recount.h"
#include "tests/support/learning.h"

enum { LABELS = LEARNING_LABELS_A_DOMAIN, RECORDS = 200 };

static float mass(const atoll_state *state, uint32_t label)
{
    return *(const float *)atoll_array_at(&state->model.counts.mass, label);
}

/* The exemplars of labels below `labels` go to sleep. */
static void replace(atoll_state *state, uint32_t labels)
{
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t count = 0, *slot = malloc(view.slots.count * sizeof *slot);
    assert_non_null(slot);
    for (uint32_t s = 0; s < view.slots.count; s++)
        if (atoll_memory_at(&view, s)->exemplar && atoll_memory_at(&view, s)->exemplar->label < labels)
            slot[count++] = s;
    assert_int_equal(atoll_drift_replace(state, slot, count, NULL), ATOLL_OK);
    free(slot);
}

/* Also where the memory holds but a part of what was learned. */
static void what_a_replaced_concept_taught_is_taken_out(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        learning l;
        atoll_config config;
        learning_config(&config);
        config.memory_exemplars = full ? RECORDS / 4 : 2 * RECORDS;
        learning_open(&l, &config, 1);
        learning_feed(&l, learning_draw_concept, 0, RECORDS, 20);
        float before[LABELS];
        for (uint32_t y = 0; y < LABELS; y++)
            before[y] = mass(&l.state, y);
        replace(&l.state, 2);
        assert_true(l.state.drift.moves > 0);
        for (uint32_t i = 0; i < l.state.drift.moves; i++) /* whole records, as cells count them */
            assert_true(floorf(l.state.drift.move[i].records) == l.state.drift.move[i].records);
        assert_int_equal(atoll_recount(&l.state, NULL), ATOLL_OK);
        assert_int_equal(l.state.drift.moves, 0);
        for (uint32_t y = 0; y < LABELS; y++)
            if (y < 2)
                assert_true(mass(&l.state, y) < 0.3f * before[y]);
            else
                assert_true(mass(&l.state, y) == before[y]);
        learning_close(&l);
    }
}

/* What was held out of learning was not counted. */
static void what_was_never_counted_is_left_alone(void **state)
{
    (void)state;
    learning l;
    learning_open(&l, NULL, 1);
    learning_feed(&l, learning_draw_concept, 0, RECORDS, 20);
    replace(&l.state, LABELS);
    float before = mass(&l.state, 0);
    atoll_exemplar held_out = *l.state.drift.move[0].exemplar;
    held_out.lot = 1;
    l.state.drift.move[0].exemplar = &held_out;
    l.state.drift.moves = 1;
    assert_int_equal(atoll_recount(&l.state, NULL), ATOLL_OK);
    assert_true(mass(&l.state, 0) == before);
    learning_close(&l);
}

static float mass_of_all(const atoll_state *state)
{
    float sum = 0;
    for (uint32_t y = 0; y < LABELS; y++)
        sum += mass(state, y);
    return sum;
}

/* A concept is replaced while experts may not learn: it sleeps, and its counts go, once they may. */
static void what_was_replaced_while_experts_were_frozen_is_taken_out_later(void **state)
{
    (void)state;
    learning l;
    learning_open(&l, NULL, 1);
    learning_feed(&l, learning_draw_concept, 0, 2 * RECORDS, 25);
    float before = mass_of_all(&l.state);
    l.state.model.config.freeze = ATOLL_FREEZE_EXPERTS;
    learning_feed(&l, learning_draw_concept, 1, RECORDS, 25);
    assert_int_equal(l.state.drift.now.slept, 0);
    assert_true(mass_of_all(&l.state) == before);
    l.state.model.config.freeze = ATOLL_FREEZE_NONE;
    learning_feed(&l, learning_draw_concept, 1, RECORDS / 2, 25);
    assert_int_equal(l.state.drift.now.replaced, 1);
    assert_true(mass_of_all(&l.state) < 0.7f * before);
    learning_close(&l);
}

/* Two concepts in turns: each is counted again when it returns. */
static void counts_follow_what_returns(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    for (uint32_t turn = 0; turn < 4; turn++)
        learning_feed(&l, learning_draw_concept, turn % 2, 500, 25);
    assert_true(l.state.drift.now.returned > 0);
    atoll_memory_view view = atoll_memory_freeze(l.state.memory);
    uint32_t awake = 0, held = 0;
    for (uint32_t s = 0; s < view.slots.count; s++) {
        const atoll_slot *at = atoll_memory_at(&view, s);
        held += at->exemplar != NULL;
        awake += at->exemplar && !atoll_owner_dormant(at->owner);
    }
    learning all;
    learning_open(&all, NULL, 1);
    learning_feed(&all, learning_draw_concept, 0, 2000, 25);
    assert_true(awake < held);
    assert_true(mass_of_all(&l.state) < 0.8f * mass_of_all(&all.state));
    learning_close(&all);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_replaced_concept_taught_is_taken_out),
        cmocka_unit_test(what_was_never_counted_is_left_alone),
        cmocka_unit_test(what_was_replaced_while_experts_were_frozen_is_taken_out_later),
        cmocka_unit_test(counts_follow_what_returns),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
