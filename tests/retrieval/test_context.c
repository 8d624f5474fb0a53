#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "retrieval/context.h"

enum { DIM = 16, HELD = 24 };

typedef struct trial {
    atoll_pager pager;
    atoll_memory *memory;
    atoll_memory_view view;
    atoll_context context;
} trial;

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* Slot i holds an exemplar of owner i % 3 + 1 and label i % 5. */
static void trial_open(trial *t)
{
    atoll_rng rng;
    *t = (trial){.pager = {.reclaim = atoll_reclaim_new()}};
    assert_non_null(t->pager.reclaim);
    atoll_rng_seed(&rng, 1, 0);
    assert_int_equal(atoll_memory_new(&t->pager, 2 * HELD, &t->memory, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < HELD; i++) {
        float embedding[DIM] = {0};
        uint32_t slot;
        atoll_exemplar like = {.seq = i + 1, .label = i % 5, .domain = UINT32_MAX, .embedding_dim = DIM};
        assert_int_equal(atoll_memory_offer(t->memory, &like, embedding, i % 3 + 1, &rng, &slot, NULL), ATOLL_OK);
        assert_int_equal(slot, i);
    }
    t->view = atoll_memory_freeze(t->memory);
}

static void trial_close(trial *t)
{
    atoll_memory_free(t->memory);
    assert_int_equal(t->pager.live_bytes, 0);
    atoll_reclaim_free(t->pager.reclaim);
}

static void a_limit_keeps_the_nearest(void **state)
{
    (void)state;
    atoll_neighbours found = {.count = 3, .at = {{7, 0.9f}, {5, 0.8f}, {6, 0.1f}}};
    atoll_context_limit(&found, ATOLL_NEIGHBOURS);
    assert_int_equal(found.count, 3);
    atoll_context_limit(&found, 2);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.at[1].slot, 5);
    atoll_context_limit(&found, 0);
    assert_int_equal(found.count, 0);
}

static void fill(trial *t, const atoll_neighbours *neighbours, uint32_t except)
{
    atoll_context_fill(&t->view, neighbours, except, &t->context);
}

static void neighbours_vote_by_their_nearness(void **state)
{
    (void)state;
    static const atoll_neighbours near = {3, {{4, 0.9f}, {17, 0.8f}, {2, 0.5f}}};
    trial t;
    trial_open(&t);
    fill(&t, &near, ATOLL_SLOT_NONE);
    double vote[3] = {exp(-1.5), exp(-3), exp(-7.5)}, sum = vote[0] + vote[1] + vote[2];
    assert_int_equal(t.context.count, 3);
    for (int i = 0; i < 3; i++) {
        const atoll_voter *voter = &t.context.voter[i];
        uint32_t slot = near.at[i].slot;
        assert_int_equal(voter->slot, slot);
        assert_int_equal(voter->owner, slot % 3 + 1);
        assert_int_equal(voter->label, slot % 5);
        assert_true(voter->similarity == near.at[i].similarity);
        expect_near(voter->vote, vote[i] / sum, 1e-5);
    }
    expect_near(t.context.familiarity, (0.9 + 0.8 + 0.5) / 3, 1e-6);
    trial_close(&t);
}

static void the_record_itself_and_empty_slots_are_passed_over(void **state)
{
    (void)state;
    static const atoll_neighbours near = {6, {{7, 1}, {3, 0.9f}, {HELD + 5, 0.85f}, {1000000, 0.8f}, {9, 0.7f},
                                              {11, 0.6f}}};
    trial t;
    trial_open(&t);
    assert_int_equal(atoll_memory_drop(t.memory, 3), ATOLL_OK);
    t.view = atoll_memory_freeze(t.memory);
    fill(&t, &near, 7);
    assert_int_equal(t.context.count, 2);
    assert_int_equal(t.context.voter[0].slot, 9);
    assert_int_equal(t.context.voter[1].slot, 11);
    expect_near(t.context.voter[0].vote + t.context.voter[1].vote, 1, 1e-6);
    expect_near(t.context.voter[0].vote / t.context.voter[1].vote, exp(1.5), 1e-3);
    expect_near(t.context.familiarity, 0.65, 1e-6);
    trial_close(&t);
}

static void nothing_near_is_all_zeros(void **state)
{
    (void)state;
    static const atoll_neighbours none = {0}, only = {1, {{5, 1}}};
    trial t;
    trial_open(&t);
    for (int round = 0; round < 2; round++) {
        t.context.count = 3;
        t.context.familiarity = 0.5f;
        fill(&t, round ? &only : &none, 5);
        assert_int_equal(t.context.count, 0);
        assert_true(t.context.familiarity == 0);
    }
    trial_close(&t);
}

/* All neighbours vote, the nearest eight tell how familiar the record is. Similarities may be negative. */
static void familiarity_is_of_the_nearest(void **state)
{
    (void)state;
    atoll_neighbours near = {.count = ATOLL_NEIGHBOURS};
    double familiarity = 0, votes = 0;
    trial t;
    trial_open(&t);
    for (uint32_t i = 0; i < ATOLL_NEIGHBOURS; i++) {
        near.at[i] = (atoll_neighbour){.slot = i, .similarity = -0.1f * (float)i / 2};
        familiarity += i >= 1 && i <= ATOLL_NOVELTY_NEIGHBOURS ? near.at[i].similarity / ATOLL_NOVELTY_NEIGHBOURS : 0;
    }
    fill(&t, &near, 0);
    assert_int_equal(t.context.count, ATOLL_NEIGHBOURS - 1);
    expect_near(t.context.familiarity, familiarity, 1e-6);
    for (uint32_t i = 0; i < t.context.count; i++) {
        assert_true(t.context.voter[i].vote > 0);
        assert_true(i == 0 || t.context.voter[i].vote < t.context.voter[i - 1].vote);
        votes += t.context.voter[i].vote;
    }
    expect_near(votes, 1, 1e-5);
    near.at[0] = (atoll_neighbour){.slot = 6, .similarity = -1};
    near.count = 1;
    fill(&t, &near, ATOLL_SLOT_NONE);
    expect_near(t.context.voter[0].vote, 1, 1e-6);
    expect_near(t.context.familiarity, -1, 1e-6);
    trial_close(&t);
}

static void owners_are_those_of_the_view(void **state)
{
    (void)state;
    static const atoll_neighbours near = {1, {{6, 0.9f}}};
    trial t;
    trial_open(&t);
    atoll_memory_view before = t.view;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    assert_int_equal(atoll_memory_reassign(t.memory, 6, 8, NULL), ATOLL_OK);
    t.view = atoll_memory_freeze(t.memory);
    fill(&t, &near, ATOLL_SLOT_NONE);
    assert_int_equal(t.context.voter[0].owner, 8);
    t.view = before;
    fill(&t, &near, ATOLL_SLOT_NONE);
    assert_int_equal(t.context.voter[0].owner, 6 % 3 + 1);
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    trial_close(&t);
}

/* Dormant exemplars have no votes among the others; theirs are told beside, in the same measure, nearest last. */
static void who_sleeps_votes_apart(void **state)
{
    (void)state;
    static const atoll_neighbours near = {4, {{6, 0.9f}, {4, 0.8f}, {7, 0.7f}, {5, 0.6f}}};
    trial t;
    trial_open(&t);
    for (uint32_t slot = 6; slot <= 7; slot++)
        assert_int_equal(atoll_memory_reassign(t.memory, slot, ATOLL_OWNER_DORMANT | 1, NULL), ATOLL_OK);
    t.view = atoll_memory_freeze(t.memory);
    fill(&t, &near, ATOLL_SLOT_NONE);
    double sum = exp(-3) + exp(-6);
    assert_int_equal(t.context.count, 2);
    assert_int_equal(t.context.voter[0].slot, 4);
    expect_near(t.context.voter[0].vote, exp(-3) / sum, 1e-5);
    assert_int_equal(t.context.sleepers, 2);
    const atoll_voter *last = &t.context.voter[ATOLL_NEIGHBOURS - 1];
    assert_int_equal(last[0].slot, 6);
    assert_int_equal(last[-1].slot, 7);
    expect_near(last[0].vote, exp(-1.5) / sum, 1e-4);
    expect_near(last[-1].vote, exp(-4.5) / sum, 1e-5);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_keeps_the_nearest),
        cmocka_unit_test(neighbours_vote_by_their_nearness),
        cmocka_unit_test(the_record_itself_and_empty_slots_are_passed_over),
        cmocka_unit_test(nothing_near_is_all_zeros),
        cmocka_unit_test(familiarity_is_of_the_nearest),
        cmocka_unit_test(owners_are_those_of_the_view),
        cmocka_unit_test(who_sleeps_votes_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
