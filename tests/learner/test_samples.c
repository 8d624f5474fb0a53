#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
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

/* Exemplars without terms until there are `upto`: of a hundred one has each lot, in parts of all lots. */
static void fill(learning *l, uint32_t upto, const double *lot, uint32_t lots)
{
    float embedding[64] = {1};
    uint32_t slot, owner = l->trainer->sample[0]->owner;
    for (uint32_t i = atoll_memory_count(l->state.memory); i < upto; i++) {
        atoll_exemplar like = {.seq = i + 1, .domain = UINT32_MAX, .embedding_dim = 64};
        if (i % 100 < lots)
            like.lot = (uint32_t)(lot[i % 100] * UINT32_MAX);
        assert_int_equal(atoll_memory_offer(l->state.memory, &like, embedding, owner, &l->rng, &slot, NULL), ATOLL_OK);
    }
}

/* Whether the exemplar of a sample has a lot about `lot`. */
static bool has_lot(const learning *l, const atoll_sample *sample, double lot)
{
    atoll_memory_view view = atoll_memory_freeze(l->state.memory);
    uint32_t own = atoll_memory_at(&view, sample->slot)->lot;
    return own && fabs(own / (double)UINT32_MAX - lot) < 1e-6;
}

/* How many replays have a lot, and how many rehearsals; of a batch. */
static void count_lot(const learning *l, double lot, uint32_t *replayed, uint32_t *rehearsed)
{
    *replayed = *rehearsed = 0;
    for (uint32_t i = 0; i < l->trainer->samples; i++)
        *replayed += !l->trainer->sample[i]->fresh && has_lot(l, l->trainer->sample[i], lot);
    for (uint32_t i = 0; i < l->trainer->rehearsals; i++)
        *rehearsed += has_lot(l, l->trainer->rehearsed[i], lot);
}

/* Of many exemplars a smaller part is held out, and what no longer is, is replayed. */
static void what_is_held_out_is_released_as_the_memory_grows(void **state)
{
    enum { MANY = 60000 };
    static const struct {
        uint32_t exemplars;
        float held_out;
        bool out[3];
    } stage[] = {
        {3072, 96, {true, true, true}},
        {3072 + 11200, 96 + 100, {true, true, false}},
        {MANY, 512, {true, false, false}},
    };
    static const double lot[] = {0.005, 0.01, 0.02};
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.memory_exemplars = 2 * MANY;
    learning_open(&l, &config, 1);
    feed(&l, BATCH);
    l.state.model.config.freeze = ATOLL_FREEZE_GATE; /* reviews of experts take the room that samples are in */
    for (size_t s = 0; s < sizeof stage / sizeof *stage; s++) {
        uint32_t replayed[3] = {0}, rehearsed[3] = {0};
        fill(&l, stage[s].exemplars, lot, 3);
        for (int times = 0; times < COMMITS; times++) {
            feed(&l, BATCH);
            if (!times)
                assert_float_equal(l.trainer->held_out, stage[s].held_out, 1e-3);
            for (int k = 0; k < 3; k++) {
                uint32_t again, out;
                count_lot(&l, lot[k], &again, &out);
                replayed[k] += again;
                rehearsed[k] += out;
            }
        }
        for (int k = 0; k < 3; k++) {
            assert_int_equal(replayed[k] > 0, !stage[s].out[k]);
            assert_int_equal(rehearsed[k] > 0, stage[s].out[k]);
        }
    }
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_is_followed_by_its_replays),
        cmocka_unit_test(without_replays_nothing_remembered_is_learned_again),
        cmocka_unit_test(what_is_rehearsed_was_never_learned),
        cmocka_unit_test(what_is_held_out_is_released_as_the_memory_grows),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
