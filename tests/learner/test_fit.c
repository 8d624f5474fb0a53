#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/kernels.h"
#include "learner/fit.h"
#include "tests/support/learning.h"

enum { FEATURES = 5, DIM = 64, VECTOR = 8 };

typedef struct trial {
    atoll_state state;
    atoll_workspace workspace;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], embedding[DIM], dense[VECTOR];
    atoll_sample sample;
} trial;

static void trial_open(trial *t)
{
    atoll_config config;
    memset(t, 0, sizeof *t);
    learning_config(&config);
    assert_int_equal(atoll_kernels_init(NULL), ATOLL_OK);
    assert_int_equal(atoll_state_init(&t->state, &config, NULL), ATOLL_OK);
    atoll_workspace_init(&t->workspace);
    for (uint32_t f = 0; f < FEATURES; f++) {
        t->bucket[f] = 100 * f + 3;
        t->weight[f] = 0.447f;
    }
    t->embedding[3] = 1;
    for (int i = 0; i < VECTOR; i++)
        t->dense[i] = i % 2 ? 1 : -1;
    t->sample.fresh = true;
    t->sample.encoded = (atoll_encoded){.bucket = t->bucket,
                                        .weight = t->weight,
                                        .features = FEATURES,
                                        .common = FEATURES,
                                        .known = FEATURES,
                                        .embedding = t->embedding,
                                        .dense = t->dense};
}

static void trial_close(trial *t)
{
    atoll_workspace_free(&t->workspace);
    atoll_state_free(&t->state);
}

static void fit(trial *t, uint32_t expert, uint32_t label, int times)
{
    t->state.model.labels = label >= t->state.model.labels ? label + 1 : t->state.model.labels;
    for (int i = 0; i < times; i++) {
        atoll_sample *list[] = {&t->sample};
        t->sample.label = label;
        assert_int_equal(atoll_workspace_fit(&t->workspace, &t->state.model, NULL), ATOLL_OK);
        assert_int_equal(atoll_fit_expert(&t->state.pager, &t->state.model.expert[expert], &t->workspace, list, 1,
                                          NULL, NULL), ATOLL_OK);
    }
}

/* What the expert gives a label for the trial's sample. */
static float probability(trial *t, uint32_t expert, uint32_t label)
{
    float p[16] = {0};
    assert_int_equal(atoll_workspace_fit(&t->workspace, &t->state.model, NULL), ATOLL_OK);
    atoll_input input = atoll_predict_input(&t->sample.encoded);
    assert_int_equal(atoll_predict_expert(&t->state.model.expert[expert], &t->workspace, &input, 1, p, NULL),
                     ATOLL_OK);
    return p[label];
}

static void steps_raise_the_label_and_count_what_is_fresh(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    fit(&t, 0, 0, 1);
    fit(&t, 0, 1, 1);
    float before = probability(&t, 0, 1);
    fit(&t, 0, 1, 3);
    assert_true(probability(&t, 0, 1) > before);
    assert_int_equal(t.state.model.expert[0].records, 5);
    before = probability(&t, 0, 0);
    t.sample.held_out = true;
    fit(&t, 0, 0, 2);
    assert_float_equal(probability(&t, 0, 0), before, 0);
    t.sample.held_out = t.sample.fresh = false;
    fit(&t, 0, 1, 30);
    assert_true(probability(&t, 0, 1) > 0.9f);
    const atoll_expert *shared = &t.state.model.expert[0];
    assert_int_equal(shared->records, 7);
    assert_int_equal(atoll_expert_label_at(shared, 0)->records, 3); /* two of them held out */
    assert_int_equal(atoll_expert_label_at(shared, 1)->records, 4);
    trial_close(&t);
}

static void the_shared_expert_keeps_the_order_of_labels_and_others_their_own(void **state)
{
    trial t;
    uint32_t id;
    (void)state;
    trial_open(&t);
    assert_int_equal(atoll_state_add_expert(&t.state, &id, NULL), ATOLL_OK);
    fit(&t, 0, 3, 1);
    fit(&t, id, 3, 1);
    fit(&t, id, 1, 1);
    const atoll_expert *shared = &t.state.model.expert[0], *own = &t.state.model.expert[id];
    assert_int_equal(shared->net.outputs, 4);
    for (uint32_t y = 0; y < 4; y++)
        assert_int_equal(atoll_expert_label_at(shared, y)->label, y);
    assert_int_equal(atoll_expert_label_at(shared, 3)->records, 1);
    assert_int_equal(own->net.outputs, 2);
    assert_int_equal(atoll_expert_label_at(own, 0)->label, 3);
    assert_int_equal(atoll_expert_label_at(own, 1)->label, 1);
    trial_close(&t);
}

static void vectors_and_text_mix_in_one_call(void **state)
{
    enum { COUNT = 40 };
    trial t;
    atoll_sample samples[COUNT], *list[COUNT];
    static float z[COUNT][ATOLL_PROJECTION_FEATURES];
    (void)state;
    trial_open(&t);
    assert_int_equal(atoll_state_set_vector(&t.state, VECTOR, NULL), ATOLL_OK);
    t.state.model.labels = 2;
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            /* Text of one kind, so that the label is in the vector alone, and records without one between. */
            samples[i] = t.sample;
            samples[i].label = i % 2;
            samples[i].encoded.z = i % 5 != 4 ? z[i] : NULL;
            for (int k = 0; k < ATOLL_PROJECTION_FEATURES; k++)
                z[i][k] = (i + (uint32_t)k) % 2 ? 0.5f : 0;
            list[i] = &samples[i];
        }
        assert_int_equal(atoll_workspace_fit(&t.workspace, &t.state.model, NULL), ATOLL_OK);
        assert_int_equal(atoll_fit_expert(&t.state.pager, &t.state.model.expert[0], &t.workspace, list, COUNT, NULL,
                                          NULL), ATOLL_OK);
    }
    assert_int_equal(t.state.model.expert[0].records, 20 * COUNT);
    t.sample.encoded.z = z[1];
    atoll_input input = atoll_predict_input(&t.sample.encoded);
    float p[2] = {0};
    assert_int_equal(atoll_expert_predict(&t.state.model.expert[0], &t.workspace.net, &input, NULL, 1,
                                          t.workspace.logits, p, NULL), ATOLL_OK);
    assert_true(p[1] > 0.9f);
    trial_close(&t);
}

static void the_gate_learns_the_owner(void **state)
{
    trial t;
    uint32_t id;
    float running[3];
    (void)state;
    trial_open(&t);
    for (int e = 0; e < 2; e++) {
        assert_int_equal(atoll_state_add_expert(&t.state, &id, NULL), ATOLL_OK);
        t.state.model.expert[id].state = ATOLL_EXPERT_ACTIVE;
    }
    assert_int_equal(atoll_workspace_fit(&t.workspace, &t.state.model, NULL), ATOLL_OK);
    t.state.model.config.balance = ATOLL_BALANCE_IMPORTANCE;
    t.state.model.expert[1].importance = 0.75;
    atoll_gate_losses losses = atoll_fit_losses(&t.state.model, running);
    assert_int_equal(losses.kind, ATOLL_BALANCE_IMPORTANCE);
    assert_true(losses.k == 2 && losses.running[1] == 0.75f && losses.running[2] == 0);
    t.sample.owner = 2;
    for (int i = 0; i < 60; i++)
        assert_int_equal(atoll_fit_gate(&t.state, &t.workspace, &t.sample, &losses, NULL), ATOLL_OK);
    atoll_input input = atoll_predict_input(&t.sample.encoded);
    static const atoll_context none;
    static const atoll_voices silent;
    assert_int_equal(atoll_predict_gate(&t.state.model, &t.workspace, &input, &none, &silent, NULL), ATOLL_OK);
    assert_true(t.workspace.gate[2] > 0.9f);
    assert_true(t.workspace.gate[0] == 0);
    atoll_net before = t.state.model.gate.net;
    /* It is sure by now. */
    assert_int_equal(atoll_fit_gate(&t.state, &t.workspace, &t.sample, &losses, NULL), ATOLL_OK);
    assert_memory_equal(&before, &t.state.model.gate.net, sizeof before);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_raise_the_label_and_count_what_is_fresh),
        cmocka_unit_test(the_shared_expert_keeps_the_order_of_labels_and_others_their_own),
        cmocka_unit_test(vectors_and_text_mix_in_one_call),
        cmocka_unit_test(the_gate_learns_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
