#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "learner/step.h"
#include "tests/support/learning.h"

enum { BATCH = 60, COMMITS = 12, SLOTS = 1024 };

static void feed(learning *l, uint32_t count)
{
    learning_feed(l, learning_draw_text, 0, count, count);
}

static void each_record_is_followed_by_its_replays(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    const uint32_t replays = l.state.model.config.replays;
    feed(&l, BATCH);
    const atoll_trainer *trainer = l.trainer;
    assert_int_equal(trainer->samples, BATCH); /* nothing was remembered yet */
    assert_int_equal(trainer->rehearsals, 0);
    feed(&l, BATCH);
    feed(&l, BATCH);
    assert_int_equal(trainer->samples, BATCH * (1 + replays));
    uint32_t gated = 0, held_out = 0;
    for (uint32_t i = 0; i < trainer->samples; i++) {
        const atoll_sample *sample = trainer->sample[i];
        assert_int_equal(sample->fresh, i % (1 + replays) == 0);
        assert_int_equal(sample->slot == ATOLL_SLOT_NONE, sample->fresh);
        assert_true(sample->label < LEARNING_LABELS_A_DOMAIN && sample->owner != ATOLL_EXPERT_NONE);
        assert_true(sample->encoded.features == sample->terms && sample->terms > 0);
        assert_true(!sample->fresh || sample->gated != sample->held_out);
        held_out += sample->held_out;
        assert_null(sample->context);
        gated += sample->gated;
    }
    assert_int_equal(gated + held_out, 4 * BATCH); /* each record and three of its replays */
    for (uint32_t i = 0; i < trainer->rehearsals; i++)
        for (uint32_t v = 0; v < trainer->rehearsed[i]->context->count; v++)
            assert_int_not_equal(trainer->rehearsed[i]->context->voter[v].slot, trainer->rehearsed[i]->slot);
    learning_close(&l);
}

static void without_replays_nothing_remembered_is_learned_again(void **state)
{
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.replays = 0;
    learning_open(&l, &config, 1);
    for (int commit = 0; commit < COMMITS; commit++)
        feed(&l, BATCH);
    assert_int_equal(l.trainer->samples, BATCH);
    assert_int_equal(l.trainer->rehearsals, 0);
    config.replays = l.state.model.config.replays = ATOLL_REPLAYS_MAX;
    feed(&l, BATCH);
    assert_int_equal(l.trainer->samples, BATCH * (1 + ATOLL_REPLAYS_MAX));
    learning_close(&l);
}

static void what_is_rehearsed_was_never_learned(void **state)
{
    learning l;
    atoll_config config;
    bool *replayed = calloc(SLOTS, sizeof *replayed), *rehearsed = calloc(SLOTS, sizeof *rehearsed);
    uint32_t both = 0, any = 0, held_out = 0;
    (void)state;
    learning_config(&config);
    config.memory_exemplars = SLOTS;
    learning_open(&l, &config, 2);
    for (int commit = 0; commit < COMMITS; commit++) {
        feed(&l, BATCH); /* below the cap: a slot keeps its exemplar */
        for (uint32_t i = 0; i < l.trainer->samples; i++)
            if (!l.trainer->sample[i]->fresh)
                replayed[l.trainer->sample[i]->slot] = true;
            else
                held_out += l.trainer->sample[i]->held_out;
        for (uint32_t i = 0; i < l.trainer->rehearsals; i++) {
            assert_non_null(l.trainer->rehearsed[i]->context);
            assert_float_equal(l.trainer->rehearsed[i]->importance, 1, 0.2); /* all that came is held */
            rehearsed[l.trainer->rehearsed[i]->slot] = true;
        }
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        any += rehearsed[slot];
        both += rehearsed[slot] && replayed[slot];
    }
    assert_in_range(held_out, 5, 40); /* of 720, of which the first of each label are learned */
    assert_in_range((uint32_t)l.trainer->held_out, held_out / 2, 2 * held_out);
    assert_true(any > 3 && any <= held_out);
    assert_int_equal(both, 0);
    free(replayed);
    free(rehearsed);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_is_followed_by_its_replays),
        cmocka_unit_test(without_replays_nothing_remembered_is_learned_again),
        cmocka_unit_test(what_is_rehearsed_was_never_learned),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
