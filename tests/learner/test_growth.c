#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/rng.h"
#include "learner/growth.h"
#include "tests/support/learning.h"

typedef struct trial {
    atoll_state state;
    atoll_workspace workspace;
    atoll_config config;
} trial;

static void trial_open(trial *t, uint32_t experts_max)
{
    learning_config(&t->config);
    t->config.experts_max = experts_max;
    assert_int_equal(atoll_state_init(&t->state, &t->config, NULL), ATOLL_OK);
    atoll_workspace_init(&t->workspace);
}

static void trial_close(trial *t)
{
    atoll_workspace_free(&t->workspace);
    atoll_state_free(&t->state);
}

/* An active expert that has learned `records` of label 0 and answers nothing else. */
static uint32_t add_active(trial *t, uint64_t records)
{
    uint32_t id, output;
    assert_int_equal(atoll_state_add_expert(&t->state, &id, NULL), ATOLL_OK);
    atoll_expert *expert = &t->state.model.expert[id];
    assert_int_equal(atoll_expert_add_label(&t->state.pager, expert, 0, &output, NULL), ATOLL_OK);
    ((atoll_expert_label *)atoll_array_edit(&t->state.pager, &expert->labels, output))->records = (uint32_t)records;
    expert->state = ATOLL_EXPERT_ACTIVE;
    expert->records = records;
    return id;
}

/* Assigns a record of that label and novelty, for which expert `near` has all votes and all of the gate. */
static uint32_t assign(trial *t, uint32_t near, uint32_t label, float novelty)
{
    static const atoll_input nothing;
    atoll_context context = {.count = 0};
    atoll_judged record = {.input = &nothing, .context = &context, .label = label, .novelty = novelty};
    uint32_t owner = 99;
    assert_int_equal(atoll_workspace_fit(&t->workspace, &t->state.model, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < t->state.model.experts; e++)
        t->workspace.vote[e] = t->workspace.gate[e] = e && e == near;
    assert_int_equal(atoll_growth_assign(&t->state, &t->workspace, &record, 7, &owner, NULL), ATOLL_OK);
    return owner;
}

/* The same for a record at which the alarm rings. */
static uint32_t assign_alarmed(trial *t, uint32_t near, uint32_t label, float novelty)
{
    t->state.growth.alarm.familiarity = 1e9;
    t->state.growth.strange = 1;
    uint32_t owner = assign(t, near, label, novelty);
    assert_true(t->state.growth.alarm.familiarity == 0);
    return owner;
}

static void the_first_record_bears_a_candidate_that_takes_the_next_too(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    assert_int_equal(assign(&t, 0, UINT32_MAX, 1), 1);
    assert_int_equal(t.state.model.expert[1].state, ATOLL_EXPERT_CANDIDATE);
    assert_int_equal(t.state.model.expert[1].born, 7);
    assert_int_equal(t.state.growth.candidate, 1);
    assert_int_equal(t.state.growth.youngest, 1);
    assert_int_equal(t.state.growth.born, 1);
    assert_int_equal(assign(&t, 0, UINT32_MAX, 1), 1);
    assert_int_equal(t.state.model.experts, 2);
    trial_close(&t);
}

static void what_an_expert_knows_is_its_own_and_what_is_new_is_not(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    t.state.model.labels = 1;
    uint32_t a = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS);
    uint32_t b = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS);
    assert_int_equal(assign(&t, a, 0, 0.3f), a);
    assert_int_equal(assign(&t, b, 0, 0.3f), b);
    assert_int_equal(t.state.growth.born, 0);
    /* New to the model in label and unlike all that it remembers: not yet reason enough. */
    assert_int_equal(assign(&t, a, UINT32_MAX, 1), a);
    assert_int_equal(t.state.growth.born, 0);
    assert_int_equal(assign_alarmed(&t, a, UINT32_MAX, 1), 3);
    assert_int_equal(t.state.growth.born, 1);
    assert_int_equal(assign(&t, a, UINT32_MAX, 1), 3);
    assert_int_equal(assign(&t, a, 0, 0.3f), a);
    trial_close(&t);
}

static void a_young_expert_takes_what_is_new_until_it_is_grown(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    uint32_t old = add_active(&t, 5000), young = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS - 1);
    t.state.growth.youngest = young;
    assert_int_equal(assign(&t, old, UINT32_MAX, 1), young);
    t.state.model.expert[young].records++;
    assert_int_equal(assign(&t, old, UINT32_MAX, 1), old);
    trial_close(&t);
}

static void an_alarm_is_about_the_youngest_until_it_has_settled(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    uint32_t old = add_active(&t, 5000), young = add_active(&t, ATOLL_GROWTH_SETTLED_RECORDS - 1);
    t.state.growth.youngest = young;
    assert_int_equal(assign_alarmed(&t, old, UINT32_MAX, 1), young);
    assert_int_equal(t.state.growth.born, 0);
    t.state.model.expert[young].records++;
    assert_int_equal(assign_alarmed(&t, old, UINT32_MAX, 1), young + 1);
    assert_int_equal(t.state.growth.born, 1);
    assert_int_equal(t.state.growth.youngest, young + 1);
    trial_close(&t);
}

/* What returns after a long silence is answered badly at first, but it is explained. */
static void an_alarm_about_what_an_expert_explains_bears_none(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    t.state.model.labels = 1;
    uint32_t old = add_active(&t, 5000);
    t.state.growth.alarm.familiarity = 1e9;
    assert_int_equal(assign(&t, old, 0, 0.3f), old);
    assert_int_equal(t.state.growth.alarm.rung, 1);
    assert_int_equal(t.state.growth.born, 0);
    for (int i = 0; i < 10; i++)
        assign(&t, old, UINT32_MAX, 1);
    assert_true(t.state.growth.strange > 0.5f);
    assert_int_equal(assign_alarmed(&t, old, UINT32_MAX, 1), old + 1);
    trial_close(&t);
}

/* Inputs as of old under labels that are known, but that their owner gives less than chance. */
static void known_inputs_called_otherwise_are_strange(void **unused)
{
    static const atoll_input nothing;
    trial t;
    uint32_t output;
    (void)unused;
    trial_open(&t, 8);
    t.state.model.labels = 4;
    uint32_t old = add_active(&t, 5000);
    atoll_expert *expert = &t.state.model.expert[old];
    for (uint32_t label = 1; label < 4; label++)
        assert_int_equal(atoll_expert_add_label(&t.state.pager, expert, label, &output, NULL), ATOLL_OK);
    assert_int_equal(atoll_workspace_fit(&t.workspace, &t.state.model, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_admit(&t.state.pager, &expert->net, &t.workspace.net, &nothing, NULL), ATOLL_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(atoll_net_backward(&t.state.pager, &expert->net, &t.workspace.net, &nothing, NULL,
                                            (float[]){-1, 0, 0, 1}, NULL, NULL), ATOLL_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(assign(&t, old, 0, 0.3f), old);
    assert_true(t.state.growth.strange < 0.5f);
    for (int i = 0; i < 10; i++)
        assert_int_equal(assign(&t, old, 3, 0.3f), old);
    assert_true(t.state.growth.strange > 0.5f);
    assert_int_equal(assign_alarmed(&t, old, 3, 0.3f), old + 1);
    trial_close(&t);
}

/* Between two that explain it alike, a record is whose turn it is. */
static void experts_take_turns(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    t.state.model.labels = 1;
    uint32_t a = add_active(&t, 5000), b = add_active(&t, 5000);
    for (int i = 0; i < 20; i++)
        assert_int_equal(assign(&t, a, 0, 0.3f), a);
    assert_true(t.state.model.expert[a].turn > 0.3 && t.state.model.expert[b].turn == 0);
    t.state.growth.youngest = b; /* a is asked as the first, b as the youngest: nobody has votes */
    for (int first = 0; first < 2; first++) {
        t.state.model.expert[first ? a : b].turn = 0.9;
        t.state.model.expert[first ? b : a].turn = 0.1;
        assert_int_equal(assign(&t, 0, 0, 0.3f), first ? a : b);
    }
    trial_close(&t);
}

static void growth_ends_at_the_limit_or_by_the_setting(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 2);
    uint32_t a = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS), b = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS);
    t.state.model.expert[a].turn = t.state.model.expert[b].turn = 0.5;
    assert_int_equal(assign_alarmed(&t, b, UINT32_MAX, 1), b);
    assert_int_equal(assign_alarmed(&t, a, UINT32_MAX, 1), a);
    assert_int_equal(t.state.model.experts, 3);
    trial_close(&t);

    trial_open(&t, 8);
    t.state.model.config.growth_off = 1;
    assert_int_equal(assign(&t, 0, UINT32_MAX, 1), ATOLL_EXPERT_NONE);
    assert_int_equal(t.state.growth.born, 0);
    trial_close(&t);
}

/* ---- review ---- */

static void a_candidate_is_promoted_by_its_records(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    uint32_t id = assign(&t, 0, UINT32_MAX, 1);
    t.state.model.expert[id].records = ATOLL_GROWTH_PROOF_RECORDS - 1;
    assert_int_equal(atoll_growth_review(&t.state, 8, NULL), ATOLL_OK);
    assert_int_equal(t.state.model.expert[id].state, ATOLL_EXPERT_CANDIDATE);
    t.state.model.expert[id].records++;
    assert_int_equal(atoll_growth_review(&t.state, 9, NULL), ATOLL_OK);
    assert_int_equal(t.state.model.expert[id].state, ATOLL_EXPERT_ACTIVE);
    assert_int_equal(t.state.model.expert[id].version, 9);
    assert_int_equal(t.state.growth.candidate, ATOLL_EXPERT_NONE);
    assert_int_equal(t.state.growth.youngest, id);
    assert_int_equal(t.state.growth.promoted, 1);
    trial_close(&t);
}

static void remember(trial *t, uint32_t owner, uint32_t label)
{
    float embedding[64] = {1};
    uint32_t slot;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, label);
    atoll_exemplar like = {.label = label, .domain = UINT32_MAX, .embedding_dim = 64};
    assert_int_equal(atoll_memory_offer(t->state.memory, &like, embedding, owner, &rng, &slot, NULL), ATOLL_OK);
}

static void one_that_gathers_few_is_given_up_and_its_exemplars_kept(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    uint32_t small = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS), large = add_active(&t, ATOLL_GROWTH_YOUTH_RECORDS);
    t.state.model.expert[small].share = 0.2;
    t.state.model.expert[large].share = 0.7;
    uint32_t id = assign_alarmed(&t, 0, UINT32_MAX, 1);
    for (uint32_t i = 0; i < 5; i++)
        remember(&t, id, i);
    remember(&t, small, 1);
    t.state.model.expert[id].records = ATOLL_GROWTH_PROOF_RECORDS - 1;
    t.state.model.records = ATOLL_GROWTH_TRIAL_RECORDS - 1;
    assert_int_equal(atoll_growth_review(&t.state, 9, NULL), ATOLL_OK);
    assert_int_equal(t.state.model.expert[id].state, ATOLL_EXPERT_CANDIDATE);
    t.state.model.records++;
    assert_int_equal(atoll_growth_review(&t.state, 9, NULL), ATOLL_OK);
    assert_int_equal(t.state.model.expert[id].state, ATOLL_EXPERT_GONE);
    assert_int_equal(t.state.growth.candidate, ATOLL_EXPERT_NONE);
    assert_int_equal(t.state.growth.youngest, ATOLL_EXPERT_NONE);
    assert_int_equal(t.state.growth.given_up, 1);
    assert_int_equal(atoll_memory_owned(t.state.memory, id), 0);
    assert_int_equal(atoll_memory_owned(t.state.memory, large), 5);
    assert_int_equal(atoll_memory_owned(t.state.memory, small), 1);
    /* Its place is the next one's. */
    assert_int_equal(assign_alarmed(&t, 0, UINT32_MAX, 1), id);
    trial_close(&t);
}

static void without_a_candidate_there_is_nothing_to_review(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 8);
    assert_int_equal(atoll_growth_review(&t.state, 1, NULL), ATOLL_OK);
    assert_int_equal(t.state.growth.promoted, 0);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_record_bears_a_candidate_that_takes_the_next_too),
        cmocka_unit_test(what_an_expert_knows_is_its_own_and_what_is_new_is_not),
        cmocka_unit_test(a_young_expert_takes_what_is_new_until_it_is_grown),
        cmocka_unit_test(growth_ends_at_the_limit_or_by_the_setting),
        cmocka_unit_test(an_alarm_is_about_the_youngest_until_it_has_settled),
        cmocka_unit_test(an_alarm_about_what_an_expert_explains_bears_none),
        cmocka_unit_test(known_inputs_called_otherwise_are_strange),
        cmocka_unit_test(experts_take_turns),
        cmocka_unit_test(a_candidate_is_promoted_by_its_records),
        cmocka_unit_test(one_that_gathers_few_is_given_up_and_its_exemplars_kept),
        cmocka_unit_test(without_a_candidate_there_is_nothing_to_review),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
