#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/drift.h"
#include "retrieval/context.h"
#include "tests/support/learning.h"

enum { VISIT = 500, BATCH = 25, LABELS = LEARNING_LABELS_A_DOMAIN, KNOWN = 6 /* labels of the trials by hand */ };

/* ---- by hand: a memory of known exemplars, and records that are near them ---- */

typedef struct trial {
    atoll_state state;
    atoll_context context;
    float p[KNOWN];
    uint64_t seq;
} trial;

static void trial_open(trial *t)
{
    atoll_config config;
    learning_config(&config);
    memset(t, 0, sizeof *t);
    assert_int_equal(atoll_state_init(&t->state, &config, NULL), ATOLL_OK);
}

/* An exemplar of expert 1 in slot `seq` - 1, all of them alike. */
static void place(trial *t, uint32_t label)
{
    atoll_rng rng;
    float embedding[64] = {1};
    uint32_t slot;
    atoll_exemplar like = {.seq = ++t->seq, .label = label, .domain = UINT32_MAX, .embedding_dim = 64};
    atoll_rng_seed(&rng, 1, t->seq);
    assert_int_equal(atoll_memory_offer(t->state.memory, &like, embedding, 1, &rng, &slot, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_put(t->state.index, slot, embedding, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_flush(t->state.index, NULL), ATOLL_OK);
    atoll_drift_placed(&t->state.drift, slot, like.seq);
}

/* A record that is near all exemplars, and of which the mixture said p(said) = .9. */
static void observe(trial *t, uint32_t said, uint32_t label, float novelty)
{
    atoll_neighbours found = {0};
    atoll_memory_view view = atoll_memory_freeze(t->state.memory);
    for (uint32_t s = view.slots.count; s-- > 0 && found.count < ATOLL_NEIGHBOURS;) /* the youngest first */
        if (atoll_memory_at(&view, s)->exemplar)
            found.at[found.count++] = (atoll_neighbour){s, 1};
    atoll_context_fill(&view, &found, ATOLL_SLOT_NONE, &t->context);
    for (uint32_t y = 0; y < KNOWN; y++)
        t->p[y] = y == said ? 0.9f : 0.1f / (KNOWN - 1);
    atoll_drift_observe(&t->state, &(atoll_drift_seen){&t->context, t->p, KNOWN, label, novelty, ++t->seq});
    t->state.model.records++;
}

/* The same a number of times. */
static void observe_many(trial *t, int times, uint32_t said, uint32_t label, float novelty)
{
    for (int i = 0; i < times; i++)
        observe(t, said, label, novelty);
}

static void settle(trial *t)
{
    atoll_error error = {0};
    assert_int_equal(atoll_drift_settle(&t->state, &error), ATOLL_OK);
    assert_int_equal(atoll_memory_verify(t->state.memory, &error), ATOLL_OK);
}

static void place_many(trial *t, uint32_t label)
{
    for (int i = 0; i < 4; i++)
        place(t, label);
}

/* With many of two labels, and one of a third. */
static void trial_open_full(trial *t)
{
    trial_open(t);
    place_many(t, 0);
    place_many(t, 2);
    place(t, 1);
}

static void contradicted_exemplars_sleep_where_several_labels_have_them(void **state)
{
    trial t;
    (void)state;
    trial_open_full(&t);
    for (int i = 0; i < 3; i++) {
        observe(&t, 0, 1, 0);
        observe(&t, 0, 0, 0);
        observe(&t, 0, 0, 0);
        settle(&t);
    }
    assert_int_equal(t.state.drift.now.refuted, 0); /* some errors among as many right are none */
    assert_true(t.state.model.expert[0].drift > 0);
    observe_many(&t, 9, 0, 1, 0);
    settle(&t);
    assert_int_equal(t.state.drift.now.refuted, 4); /* one label alone may have a new neighbour */
    assert_int_equal(t.state.drift.now.dormant, 0);
    place(&t, 3);
    observe_many(&t, 9, 2, 3, 0);
    uint64_t bytes = atoll_drift_bytes(&t.state.drift);
    settle(&t);
    assert_int_equal(t.state.drift.now.replaced, 1);
    assert_int_equal(t.state.drift.now.dormant, 8);
    assert_int_equal(t.state.drift.moves, 8);
    assert_true(atoll_drift_bytes(&t.state.drift) >= bytes + 8 * sizeof *t.state.drift.move);
    assert_int_equal(atoll_memory_count(t.state.memory), 10);
    observe(&t, 1, 1, 0);
    assert_int_equal(t.context.count, 2);
    assert_int_equal(t.context.sleepers, 8);
    atoll_state_free(&t.state);
}

/* For a while after a concept was replaced, less evidence is enough. */
static void what_follows_a_replaced_concept_goes_sooner(void **state)
{
    trial t;
    (void)state;
    for (int after = 0; after < 3; after++) {
        trial_open_full(&t);
        if (after) {
            observe_many(&t, 9, 0, 1, 0);
            place(&t, 3);
            observe_many(&t, 9, 2, 3, 0);
            settle(&t);
            assert_int_equal(t.state.drift.now.dormant, 8);
        } else {
            place(&t, 3);
        }
        t.state.model.records += after == 2 ? 5000 : 0;
        observe_many(&t, 4, 1, 3, 0); /* label 1 has one exemplar, older than that of label 3 */
        settle(&t);
        assert_int_equal(t.state.drift.now.dormant, after == 1 ? 9 : after ? 8 : 0);
        atoll_state_free(&t.state);
    }
}

/* What sleeps holds no more than its part: the oldest concept goes, the last one stays whatever it holds. */
static void the_oldest_concepts_make_room(void **state)
{
    trial t;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.memory_exemplars = 24;
    memset(&t, 0, sizeof t);
    assert_int_equal(atoll_state_init(&t.state, &config, NULL), ATOLL_OK);
    for (uint32_t first = 0; first < 4; first += 2) {
        place_many(&t, first);
        place_many(&t, first + 1);
        for (uint32_t i = 0; i < 2; i++) {
            place(&t, first + 2 + i);
            observe_many(&t, 9, first + i, first + 2 + i, 0);
            settle(&t);
        }
        t.state.model.records += 5000;
    }
    assert_int_equal(t.state.drift.now.replaced, 2);
    assert_int_equal(t.state.drift.now.dormant, 10);
    assert_int_equal(t.state.drift.now.slept, 18);
    assert_int_equal(atoll_memory_count(t.state.memory), 12);
    atoll_memory_view view = atoll_memory_freeze(t.state.memory);
    for (uint32_t slot = 0; slot < 8; slot++)
        assert_null(atoll_memory_at(&view, slot)->exemplar);
    atoll_state_free(&t.state);
}

/* A number is used again: what sleeps under it goes, and does not pass for the new concept. */
static void the_oldest_concept_gives_its_number_to_a_new_one(void **state)
{
    enum { NUMBERS = ATOLL_DRIFT_CONCEPTS - 1, MORE = 3 };
    trial t;
    (void)state;
    trial_open(&t);
    for (uint32_t i = 0; i < NUMBERS + MORE; i++)
        place(&t, i % 2);
    for (uint32_t slot = 0; slot < NUMBERS + MORE; slot++) {
        t.state.drift.now.last = 1000 + slot;
        assert_int_equal(atoll_drift_replace(&t.state, &slot, 1, NULL), ATOLL_OK);
        assert_int_equal(t.state.drift.now.current, slot % NUMBERS + 1);
        assert_int_equal(t.state.drift.now.dormant, slot < NUMBERS ? slot + 1 : NUMBERS);
    }
    assert_int_equal(t.state.drift.now.dropped, MORE);
    assert_int_equal(t.state.drift.now.replaced, NUMBERS + MORE);
    assert_int_equal(atoll_memory_count(t.state.memory), NUMBERS);
    atoll_memory_view view = atoll_memory_freeze(t.state.memory);
    for (uint32_t slot = 0; slot < NUMBERS + MORE; slot++)
        assert_true((atoll_memory_at(&view, slot)->exemplar == NULL) == (slot < MORE));

    /* What wakes by the number is the new one alone, and it displaces what came after that. */
    t.state.drift.now.concept[1].evidence = 100;
    settle(&t);
    assert_int_equal(t.state.drift.now.woken, 1);
    assert_int_equal(t.state.drift.slot[NUMBERS].dormant, 0);
    assert_int_equal(t.state.drift.now.dormant, NUMBERS - 2); /* one woke, and the next number was taken */
    assert_int_equal(t.state.drift.now.concept[MORE + 1].opened, 1000 + NUMBERS + MORE - 1);
    atoll_state_free(&t.state);
}

/* Of a label of which most has gone the rest goes, though no record came near it; what came later stays. */
static void what_is_left_behind_by_its_label_goes_too(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    for (int i = 0; i < 3; i++) /* behind so many neighbours these are not found */
        place(&t, 0);
    for (int i = 0; i < 6; i++) {
        place(&t, 0);
        place(&t, 2);
    }
    place(&t, 1);
    for (int i = 0; i < 3; i++)
        place(&t, 3);
    observe_many(&t, 9, 0, 1, 0);
    observe_many(&t, 9, 2, 3, 0);
    settle(&t);
    assert_int_equal(t.state.drift.now.replaced, 1);
    assert_int_equal(t.state.drift.now.dormant, 12);
    place(&t, 0);
    settle(&t);
    assert_int_equal(t.state.drift.now.dormant, 15);
    settle(&t);
    assert_int_equal(t.state.drift.now.dormant, 15);
    assert_int_equal(t.state.drift.now.refuted, 12);
    assert_int_equal(atoll_memory_cell(t.state.memory, 1, 0), 1);
    assert_int_equal(atoll_memory_cell(t.state.memory, 1, 3), 3);
    atoll_state_free(&t.state);
}

/* Where labels come no more, their borders give way, one after another. */
static void labels_that_are_refuted_long_apart_were_not_replaced(void **state)
{
    trial t;
    (void)state;
    trial_open_full(&t);
    observe_many(&t, 9, 0, 1, 0);
    settle(&t);
    t.state.model.records += 5000;
    place(&t, 3);
    observe_many(&t, 9, 2, 3, 0);
    settle(&t);
    assert_int_equal(t.state.drift.now.refuted, 8);
    assert_int_equal(t.state.drift.now.replaced, 0);
    assert_int_equal(t.state.drift.now.dormant, 0);
    atoll_state_free(&t.state);
}

static void without_a_younger_witness_nothing_is_contradicted(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    for (uint32_t label = 1; label < LABELS; label++)
        place_many(&t, label);
    place(&t, 0);
    observe_many(&t, 50, 0, 1, 0);
    settle(&t);
    assert_true(t.state.drift.slot[12].evidence == 0);
    assert_int_equal(t.state.drift.now.refuted, 0);
    atoll_state_free(&t.state);
}

static void what_is_novel_or_was_not_believed_is_no_contradiction(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    place(&t, 0);
    place(&t, 1);
    observe_many(&t, 100, 0, 2, 0.9f); /* the edge of a new domain */
    settle(&t);
    assert_int_equal(t.state.drift.now.refuted, 0);
    for (int i = 0; i < 50; i++) {
        observe(&t, 2, 2, 0); /* the mixture knows better than its neighbours */
        observe(&t, 0, 0, 0);
        observe(&t, 1, 1, 0);
    }
    settle(&t);
    assert_int_equal(t.state.drift.now.refuted, 0);
    atoll_state_free(&t.state);
}

static void a_new_exemplar_has_a_clean_record(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    place(&t, 0);
    place(&t, 1);
    observe_many(&t, 2, 0, 1, 0);
    assert_true(t.state.drift.slot[0].evidence > 0);
    atoll_drift_placed(&t.state.drift, 0, 77);
    assert_true(t.state.drift.slot[0].evidence == 0);
    assert_int_equal(t.state.drift.slot[0].since, 77);
    atoll_state_free(&t.state);
}

static void what_is_saved_comes_back_and_damage_is_told(void **state)
{
    trial t;
    atoll_drift copy;
    void *blob;
    size_t bytes;
    (void)state;
    trial_open(&t);
    place(&t, 0);
    place(&t, 1);
    observe(&t, 0, 1, 0);
    assert_int_equal(atoll_drift_init(&copy, t.state.drift.slots, NULL), ATOLL_OK);
    assert_int_equal(atoll_drift_save(&t.state.drift, 2, LABELS, &blob, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_drift_load(&copy, blob, bytes, 2, LABELS, NULL), ATOLL_OK);
    assert_memory_equal(&copy.now, &t.state.drift.now, sizeof copy.now);
    assert_memory_equal(copy.slot, t.state.drift.slot, 2 * sizeof *copy.slot);
    assert_memory_equal(copy.label, t.state.drift.label, LABELS * sizeof *copy.label);
    assert_true(atoll_drift_bytes(&copy) > 0);
    assert_int_equal(atoll_drift_load(&copy, blob, bytes - 1, 2, LABELS, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_drift_load(&copy, blob, bytes, 3, LABELS, NULL), ATOLL_DAMAGED);
    ((atoll_drift_state *)blob)->current = ATOLL_DRIFT_CONCEPTS;
    assert_int_equal(atoll_drift_load(&copy, blob, bytes, 2, LABELS, NULL), ATOLL_DAMAGED);
    free(blob);
    atoll_drift_free(&copy);
    atoll_drift_free(&copy);
    atoll_state_free(&t.state);
}

/* ---- streams ---- */

/* Learns a visit of a concept, which calls topic k label k + concept. Returns how many of its first 200 were right. */
static uint32_t visit(learning *l, uint32_t concept)
{
    learning_record *records = malloc(BATCH * sizeof *records);
    assert_non_null(records);
    uint32_t right = 0;
    for (uint32_t at = 0; at < VISIT; at += BATCH) {
        uint64_t before = l->state.tally.right;
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t topic = atoll_rng_below(&l->rng, LABELS);
            learning_draw_concept(&records[i], &l->rng, concept, topic);
        }
        learning_commit(l, records, BATCH);
        atoll_reclaim_advance(l->state.reclaim);
        right += at < 200 ? (uint32_t)(l->state.tally.right - before) : 0;
    }
    assert_int_equal(atoll_memory_verify(l->state.memory, NULL), ATOLL_OK);
    free(records);
    return right;
}

static void a_replaced_concept_goes_and_a_returning_one_is_known(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    visit(&l, 0);
    assert_int_equal(l.state.drift.now.slept, 0);
    uint32_t changed = visit(&l, 1);
    assert_int_equal(l.state.drift.now.replaced, 1);
    assert_int_equal(l.state.drift.now.returned, 0);
    assert_true(l.state.drift.now.dormant > 50);
    uint32_t back = visit(&l, 0);
    assert_int_equal(l.state.drift.now.replaced, 1);
    assert_int_equal(l.state.drift.now.returned, 1);
    uint32_t again = visit(&l, 1);
    assert_int_equal(l.state.drift.now.returned, 2);
    if (back <= changed || again <= changed)
        fail_msg("of the first 200, %u were right at the change, %u and %u at returns", changed, back, again);
    learning_close(&l);
}

static void a_stream_that_stays_as_it_is_loses_nothing(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    /* Domains one after another, the labels of each called differently on other inputs. */
    for (uint32_t domain = 0; domain < 3; domain++)
        learning_feed(&l, learning_draw_text, domain, VISIT, BATCH);
    learning_feed(&l, learning_draw_text, 0, VISIT, BATCH);
    assert_int_equal(l.state.drift.now.replaced, 0);
    assert_int_equal(l.state.drift.now.slept, 0);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contradicted_exemplars_sleep_where_several_labels_have_them),
        cmocka_unit_test(what_follows_a_replaced_concept_goes_sooner),
        cmocka_unit_test(the_oldest_concepts_make_room),
        cmocka_unit_test(the_oldest_concept_gives_its_number_to_a_new_one),
        cmocka_unit_test(what_is_left_behind_by_its_label_goes_too),
        cmocka_unit_test(labels_that_are_refuted_long_apart_were_not_replaced),
        cmocka_unit_test(without_a_younger_witness_nothing_is_contradicted),
        cmocka_unit_test(what_is_novel_or_was_not_believed_is_no_contradiction),
        cmocka_unit_test(a_new_exemplar_has_a_clean_record),
        cmocka_unit_test(what_is_saved_comes_back_and_damage_is_told),
        cmocka_unit_test(a_replaced_concept_goes_and_a_returning_one_is_known),
        cmocka_unit_test(a_stream_that_stays_as_it_is_loses_nothing),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
