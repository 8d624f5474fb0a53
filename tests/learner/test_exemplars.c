#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/half.h"
#include "core/log.h"
#include "learner/exemplars.h"
#include "tests/support/learning.h"

enum { RECORDS = 300 };

static void open_fed(learning *l)
{
    learning_open(l, NULL, 1);
    learning_feed(l, learning_draw_text, 0, RECORDS, 50);
}

static void slots_are_picked_evenly_and_belong_to_their_owner(void **unused)
{
    enum { FEW = 30 };
    learning l;
    uint32_t all[RECORDS], few[FEW];
    (void)unused;
    open_fed(&l);
    atoll_memory_view view = atoll_memory_freeze(l.state.memory);
    uint32_t owned = atoll_memory_owned(l.state.memory, 1);
    assert_true(owned > 2 * FEW);
    assert_int_equal(atoll_exemplars_pick(&l.state, 1, RECORDS, all), owned);
    for (uint32_t i = 0; i < owned; i++) {
        assert_int_equal(atoll_memory_at(&view, all[i])->owner, 1);
        assert_true(i == 0 || all[i] > all[i - 1]);
    }
    assert_int_equal(atoll_exemplars_pick(&l.state, 1, FEW, few), FEW);
    for (uint32_t i = 0; i < FEW; i++)
        assert_true(few[i] >= all[i * owned / FEW] && few[i] < all[i * owned / FEW] + 2 * owned / FEW);
    assert_int_equal(atoll_exemplars_pick(&l.state, 7, FEW, few), 0);
    learning_close(&l);
}

static void an_exemplar_is_encoded_as_a_replay(void **unused)
{
    learning l;
    uint32_t slot;
    float embedding[ATOLL_EMBEDDING_MAX_DIM];
    (void)unused;
    open_fed(&l);
    atoll_memory_view view = atoll_memory_freeze(l.state.memory);
    assert_int_equal(atoll_exemplars_pick(&l.state, 1, 1, &slot), 1);
    const atoll_exemplar *exemplar = atoll_memory_at(&view, slot)->exemplar;
    atoll_arena_reset(&l.trainer->hand[0].arena);
    const atoll_sample *sample = atoll_exemplars_encode(&l.trainer->hand[0], &l.state, slot);
    assert_non_null(sample);
    assert_int_equal(sample->label, exemplar->label);
    assert_int_equal(sample->owner, 1);
    assert_int_equal(sample->slot, slot);
    assert_false(sample->fresh);
    assert_int_equal(sample->held_out, exemplar->lot != 0);
    assert_true(sample->encoded.known > 0 && sample->encoded.features <= exemplar->terms);
    atoll_half_to_float(exemplar->embedding, embedding, exemplar->embedding_dim);
    assert_memory_equal(sample->encoded.embedding, embedding, exemplar->embedding_dim * sizeof *embedding);
    learning_close(&l);
}

static void shuffling_keeps_all_slots(void **unused)
{
    uint32_t slot[50];
    bool met[50] = {false};
    int moved = 0;
    atoll_rng rng;
    (void)unused;
    atoll_rng_seed(&rng, 3, 0);
    for (uint32_t i = 0; i < 50; i++)
        slot[i] = i;
    atoll_exemplars_shuffle(&rng, slot, 50);
    for (uint32_t i = 0; i < 50; i++) {
        assert_false(met[slot[i]]);
        met[slot[i]] = true;
        moved += slot[i] != i;
    }
    assert_true(moved > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_picked_evenly_and_belong_to_their_owner),
        cmocka_unit_test(an_exemplar_is_encoded_as_a_replay),
        cmocka_unit_test(shuffling_keeps_all_slots),
    };
    atoll_log_set_level(ATOLL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
