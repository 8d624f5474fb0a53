#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/experts.h"

static void the_input_is_what_was_encoded(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    assert_ptr_equal(input.bucket, t.bucket);
    assert_ptr_equal(input.weight, t.weight);
    assert_int_equal(input.features, KNOWN); /* networks have nothing to say of rarer ones */
    assert_int_equal(input.common, COMMON);
    assert_ptr_equal(input.dense, t.dense);
    assert_ptr_equal(input.linear, t.embedding);
    t.encoded.has_dense = false;
    assert_null(input_of(&t).dense);
    trial_close(&t);
}

static void the_gate_is_over_those_that_are_routed_to(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    float *gate = t.workspace.gate;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    assert_near(sum_of(gate, EXPERTS), 1, 1e-5);
    assert_true(gate[0] == 0 && gate[4] == 0 && gate[5] == 0);
    assert_true(gate[1] > 0 && gate[2] > 0 && gate[3] > 0);
    assert_true(gate[2] > gate[3] && gate[3] > gate[1]); /* a new gate knows nothing but the votes */
    assert_near(t.workspace.vote[2], 0.5, 1e-6);
    assert_near(t.workspace.vote[3], 0.3, 1e-6);
    assert_near(t.workspace.vote[4], 0.2, 1e-6);
    assert_near(gate[2] / gate[1], 0.55 / 0.05, 1e-3);
    t.model.expert[1].state = t.model.expert[2].state = t.model.expert[3].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    assert_true(sum_of(gate, EXPERTS) == 0);
    trial_close(&t);
}

static void a_random_gate_draws_from_the_record_alone(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    t.model.config.gate = ATOLL_GATE_RANDOM;
    float *gate = t.workspace.gate, said[EXPERTS];
    atoll_input input = input_of(&t);
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    assert_near(sum_of(gate, EXPERTS), 1, 1e-5);
    assert_true(gate[0] == 0 && gate[4] == 0 && gate[5] == 0);
    assert_true(gate[1] > 0 && gate[2] > 0 && gate[3] > 0);
    assert_near(t.workspace.vote[2], 0.5, 1e-6);
    memcpy(said, gate, sizeof said);
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    assert_memory_equal(gate, said, sizeof said);
    uint32_t most[EXPERTS] = {0};
    for (int i = 0; i < 300; i++) { /* the context has no part in it, the embedding has */
        t.embedding[0] = (float)i;
        input = input_of(&t);
        assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
        most[gate[1] > gate[2] && gate[1] > gate[3] ? 1 : gate[2] > gate[3] ? 2 : 3]++;
    }
    for (uint32_t e = 1; e <= 3; e++)
        assert_in_range(most[e], 60, 140);
    for (uint32_t e = 1; e <= 3; e++)
        t.model.expert[e].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    assert_true(sum_of(gate, EXPERTS) == 0);
    trial_close(&t);
}

static void a_known_expert_has_the_gate_to_itself(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_predict_only(&t.model, &t.workspace, 2);
    assert_true(t.workspace.gate[2] == 1 && sum_of(t.workspace.gate, EXPERTS) == 1);
    atoll_predict_only(&t.model, &t.workspace, 0);
    assert_true(sum_of(t.workspace.gate, EXPERTS) == 0);
    trial_close(&t);
}

/* Votes that are heard after the rest, or taken out again, leave what would have been said at once. */
static void neighbours_may_be_heard_later(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    atoll_context none = {0};
    atoll_voices late, whole;
    float gate[EXPERTS], *heard = t.workspace.gate, votes[LABELS];
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &whole, NULL), ATOLL_OK);
    memcpy(votes, whole.says[ATOLL_VOICE_VOTES], sizeof votes);
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &none, &late, NULL), ATOLL_OK);
    assert_null(late.says[ATOLL_VOICE_VOTES]);
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &none, &late, NULL), ATOLL_OK);
    memcpy(gate, heard, sizeof gate);
    assert_true(gate[1] == gate[2] && gate[2] == gate[3]);
    atoll_predict_hear(&t.model, &t.workspace, &t.context, gate, &late);
    assert_memory_equal(late.says[ATOLL_VOICE_VOTES], votes, sizeof votes);
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &late, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < EXPERTS; e++)
        assert_near(gate[e], heard[e], 1e-6);
    assert_true(heard[2] > heard[3]);
    atoll_predict_unhear(&t.model, &t.workspace);
    assert_near(heard[2], 1.0 / 3, 1e-6);
    assert_true(heard[0] == 0 && heard[4] == 0);
    trial_close(&t);
}

static void a_sure_answer_of_what_is_not_novel_suffices(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_sureness *s = &t.model.sureness;
    float cue[ATOLL_CHEAP_CUES] = {1, 1, 0.9f, 0.9f, 1}, novelty;
    atoll_sureness_init(s);
    for (int i = 0; i < 100; i++)
        atoll_novelty_learn(&t.model.assured, (float)i / 100);
    assert_false(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty)); /* nothing has been proven */
    s->bound = 0.8f;
    s->weight[ATOLL_CHEAP_ONE] = 0.2f;
    assert_true(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    assert_near(novelty, 0.345, 0.02);
    s->weight[ATOLL_CHEAP_ONE] = -0.4f; /* looks novel, and counts as less */
    assert_false(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    assert_true(atoll_predict_is_novel(novelty) && atoll_predict_credit(cue, novelty) < s->bound);
    s->bound = 0.7f;
    assert_true(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    s->bound = 0.8f;
    s->weight[ATOLL_CHEAP_ONE] = 0.2f;
    cue[ATOLL_CHEAP_SCORE] = 0.7f;
    assert_false(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    s->bound = 0;
    assert_true(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    cue[ATOLL_CHEAP_SCORE] = 0.59f; /* the whole answer might abstain */
    s->weight[ATOLL_CHEAP_ONE] = 0.5f;
    assert_false(atoll_predict_suffices(&t.model, &t.model.sureness, cue, &novelty));
    assert_false(atoll_predict_is_novel(novelty));
    assert_true(atoll_predict_abstains(cue[ATOLL_CHEAP_SCORE], 1));
    trial_close(&t);
}

static void only_some_models_may_skip_the_search(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_config *c = &t.model.config;
    uint32_t *const setting[] = {&c->search_always, &c->gate, &c->granularity, &c->overflow};
    assert_true(atoll_predict_may_skip(&t.model));
    for (int i = 0; i < 4; i++) {
        *setting[i] = 1;
        assert_false(atoll_predict_may_skip(&t.model));
        *setting[i] = 0;
    }
    c->neighbours = 0;
    assert_false(atoll_predict_may_skip(&t.model));
    trial_close(&t);
}

static void the_cues_are_of_the_answer(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    float shared[LABELS] = {0.1f, 0.2f, 0.7f}, gate[EXPERTS] = {0, 0.25f, 0.75f}, cue[ATOLL_CHEAP_CUES];
    atoll_voices voices = {.labels = LABELS, .says = {[ATOLL_VOICE_SHARED] = shared}};
    atoll_route route = {.count = 2, .expert = {2, 1}};
    memset(t.workspace.combined, 0, LABELS * sizeof(float));
    t.workspace.combined[1] = 0.8f;
    assert_int_equal(atoll_predict_cues(&t.workspace, &input, &voices, gate, &route, cue), 1);
    assert_near(cue[ATOLL_CHEAP_KNOWN], atoll_dot(t.weight, t.weight, KNOWN), 1e-6);
    assert_true(cue[ATOLL_CHEAP_ONE] == 1 && cue[ATOLL_CHEAP_SCORE] == 0.8f);
    assert_true(cue[ATOLL_CHEAP_SHARED] == 0.2f && cue[ATOLL_CHEAP_GATE] == 0.75f);
    trial_close(&t);
}

static void the_shared_expert_may_answer_texts_alone(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    float shared[LABELS] = {0.1f, 0.2f, 0.7f}, cue[ATOLL_CHEAP_CUES];
    atoll_voices voices = {.labels = LABELS};
    input.dense = NULL;
    assert_false(atoll_predict_may_be_alone(&input, &voices)); /* it is silent */
    voices.says[ATOLL_VOICE_SHARED] = shared;
    assert_true(atoll_predict_may_be_alone(&input, &voices));
    assert_int_equal(atoll_predict_alone(&input, &voices, cue), 2);
    assert_near(cue[ATOLL_CHEAP_KNOWN], atoll_dot(t.weight, t.weight, KNOWN), 1e-6);
    assert_true(cue[ATOLL_CHEAP_ONE] == 1 && cue[ATOLL_CHEAP_SCORE] == 0.7f);
    assert_true(cue[ATOLL_CHEAP_SHARED] == 0 && cue[ATOLL_CHEAP_GATE] == 0); /* nothing more is known */
    input.dense = shared;
    assert_false(atoll_predict_may_be_alone(&input, &voices));
    trial_close(&t);
}

/* It has rows for them all here, but reads the common ones alone, and leaves the input as it is. */
static void the_gate_reads_common_features(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t), all = input;
    float *gate = t.workspace.gate, *said = t.workspace.cue[ATOLL_CUE_NETWORK], before = 0;
    float share[EXPERTS] = {0}, logit[EXPERTS], log_sum;
    atoll_gate_losses losses = {ATOLL_BALANCE_SWITCH, 0.01f, 0, 2, share};
    all.features = FEATURES;
    assert_int_equal(atoll_net_admit(&t.pager, &t.model.gate.net, &t.workspace.net, &all, NULL), ATOLL_OK);
    atoll_predict_open(&t.model, &t.workspace);
    for (int i = 0; i < 20; i++) { /* all of them come to speak for expert 1 */
        assert_int_equal(atoll_gate_score(&t.model.gate, NULL, &t.workspace.net, &all, gate, NULL), ATOLL_OK);
        atoll_gate_probability(&t.model.gate, t.workspace.open, 1, gate, &log_sum);
        assert_int_equal(atoll_gate_learn(&t.pager, &t.model.gate, &t.workspace.net, &all, &losses, 1, gate, log_sum,
                                          NULL),
                         ATOLL_OK);
    }
    for (uint32_t i = 0; i < 3; i++) {
        input.common = 2 * i;
        assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
        assert_int_equal(input.features, KNOWN);
        all.features = 2 * i;
        assert_int_equal(atoll_gate_score(&t.model.gate, NULL, &t.workspace.net, &all, logit, NULL), ATOLL_OK);
        assert_memory_equal(said, logit, sizeof logit);
        assert_true(i == 0 || gate[1] > before);
        before = gate[1];
    }
    trial_close(&t);
}

static void labels_are_young_until_many_records_have_taught_them(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_expert *shared = &t.model.expert[0];
    assert_true(shared->labels.count > 1);
    ((atoll_expert_label *)atoll_array_edit(&t.pager, &shared->labels, 1))->records = 119;
    assert_true(atoll_predict_is_young(&t.model, 1));
    ((atoll_expert_label *)atoll_array_edit(&t.pager, &shared->labels, 1))->records = 120;
    assert_false(atoll_predict_is_young(&t.model, 1));
    assert_true(atoll_predict_is_young(&t.model, shared->labels.count)); /* it is not there yet */
    trial_close(&t);
}

/* Label 0 is two thirds expert 1's, label 2 expert 2's alone; what archived experts know does not count. */
static void labels_speak_for_those_who_learned_them(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    static const struct {
        uint32_t expert, output, records;
    } learned[] = {{1, 0, 20}, {2, 0, 7}, {3, 2, 10}, {4, 0, 500}};
    uint32_t output;
    assert_int_equal(atoll_expert_add_label(&t.pager, &t.model.expert[3], 0, &output, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < 4; i++) {
        atoll_expert *expert = &t.model.expert[learned[i].expert];
        atoll_expert_label *label = atoll_array_edit(&t.pager, &expert->labels, learned[i].output);
        label->records = learned[i].records;
        expert->records = learned[i].records;
    }
    float p[LABELS] = {0.6f, 0, 0.3f, 0, 0.1f}, *said = t.workspace.cue[ATOLL_CUE_LABELS];
    atoll_voices voices = {.labels = LABELS, .says = {[ATOLL_VOICE_SHARED] = p}};
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    assert_near(said[1], log(0.4 + ATOLL_GATE_LABEL_FLOOR), 1e-5);
    assert_near(said[2], log(0.3 + ATOLL_GATE_LABEL_FLOOR), 1e-5);
    assert_near(said[3], log(0.2 + ATOLL_GATE_LABEL_FLOOR), 1e-5);
    assert_near(said[4], log(ATOLL_GATE_LABEL_FLOOR), 1e-5);
    assert_near(t.workspace.cue[ATOLL_CUE_YOUTH][1], log(1000.0 / 21), 1e-5);
    t.model.expert[1].records = 5000;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    assert_true(t.workspace.cue[ATOLL_CUE_YOUTH][1] == 0);
    trial_close(&t);
}

/* What a gate says that has one expert to choose from is known without asking it. */
static void an_idle_gate_is_not_asked(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    float asked[EXPERTS];
    void *room = malloc(atoll_standing_bytes(&t.model));
    atoll_standing standing;
    t.model.expert[1].state = t.model.expert[3].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    memcpy(asked, t.workspace.gate, sizeof asked);
    atoll_standing_fill(&t.model, room, &standing);
    assert_true(atoll_predict_gate_is_idle(&t.model, &standing));
    t.workspace.standing = &standing;
    input.bucket = NULL; /* nothing is read */
    input.weight = input.linear = NULL;
    assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
    for (uint32_t e = 0; e < EXPERTS; e++) {
        assert_near(t.workspace.gate[e], asked[e], 1e-6);
        assert_int_equal(t.workspace.open[e], e == 2);
    }
    assert_near(t.workspace.vote[2], 0.5, 1e-6);
    atoll_predict_hear(&t.model, &t.workspace, &t.context, t.workspace.gate, &(atoll_voices){.labels = LABELS});
    assert_near(t.workspace.gate[2], 1, 1e-6);
    t.model.config.gate = ATOLL_GATE_RANDOM;
    assert_false(atoll_predict_gate_is_idle(&t.model, &standing));
    t.model.config.gate = ATOLL_GATE_TOPK;
    t.model.config.granularity = ATOLL_GRANULARITY_TOKEN;
    assert_false(atoll_predict_gate_is_idle(&t.model, &standing));
    t.model.config.granularity = ATOLL_GRANULARITY_RECORD;
    t.model.expert[1].state = ATOLL_EXPERT_ACTIVE;
    atoll_standing_fill(&t.model, room, &standing);
    assert_false(atoll_predict_gate_is_idle(&t.model, &standing));
    free(room);
    trial_close(&t);
}

/* An expert younger than the gate's outputs has no probability yet. */
static void the_gate_may_know_fewer_experts(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_gate_clear(&t.pager, &t.model.gate);
    atoll_input input = input_of(&t);
    for (uint32_t known = 0; known <= 3; known += 3) {
        if (known)
            assert_int_equal(atoll_net_grow(&t.pager, &t.model.gate.net, known, NULL), ATOLL_OK);
        for (int e = 0; e < EXPERTS; e++)
            t.workspace.gate[e] = 9;
        assert_int_equal(atoll_predict_gate(&t.model, &t.workspace, &input, &t.context, &silent, NULL), ATOLL_OK);
        assert_near(sum_of(t.workspace.gate, EXPERTS), known ? 1 : 0, 1e-6);
        assert_true(t.workspace.gate[CANDIDATE] == 0);
    }
    trial_close(&t);
}

static void an_expert_reads_its_dense_part_where_there_is_one(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_input input = input_of(&t);
    for (int dense = 0; dense < 2; dense++) {
        float p[LABELS] = {0}, expected[LABELS] = {0}, h[64], logits[LABELS];
        input.dense = dense ? t.dense : NULL;
        assert_true(t.model.config.dense_hidden <= 64);
        atoll_net_hidden(&t.model.expert[2].net, t.dense, 1, h, 0);
        assert_int_equal(atoll_expert_predict(&t.model.expert[2], &t.workspace.net, &input, dense ? h : NULL, 0.5f,
                                              logits, expected, NULL),
                         ATOLL_OK);
        assert_int_equal(atoll_predict_expert(&t.model.expert[2], &t.workspace, &input, 0.5f, p, NULL), ATOLL_OK);
        assert_memory_equal(p, expected, sizeof p);
        assert_near(sum_of(p, LABELS), 0.5, 1e-6);
    }
    float none[LABELS] = {0};
    assert_int_equal(atoll_predict_expert(&t.model.expert[5], &t.workspace, &input, 1, none, NULL), ATOLL_OK);
    assert_true(sum_of(none, LABELS) == 0);
    trial_close(&t);
}

/* Each vector of a record goes through the hidden layer by itself, by how much the expert reads it. */
static void an_expert_reads_the_tokens_that_it_was_routed(void **state)
{
    enum { VECTORS = 3 };
    static const float reads[VECTORS] = {0.25f, 0, 1};
    (void)state;
    trial t;
    float v[VECTORS * VECTOR], h[VECTORS * 64], mean[64] = {0}, p[LABELS], expected[LABELS] = {0}, logits[LABELS];
    const atoll_route route = {.count = 1, .expert = {2}, .weight = {1}, .reads = reads};
    trial_open(&t);
    fill_normal(&t.rng, v, VECTORS * VECTOR);
    atoll_input input = {.dense = v, .vectors = VECTORS};
    const atoll_expert *expert = &t.model.expert[2];
    atoll_net_hidden(&expert->net, v, VECTORS, h, expert->net.hidden);
    for (int k = 0; k < 64; k++)
        mean[k] = (reads[0] * h[k] + reads[2] * h[128 + k]) / VECTORS;
    assert_int_equal(atoll_expert_predict(expert, &t.workspace.net, &input, mean, 0.9f, logits, expected, NULL),
                     ATOLL_OK);
    assert_int_equal(atoll_token_scratch_fit(&t.workspace.token, VECTORS, EXPERTS, NULL), ATOLL_OK);
    for (int y = 0; y < LABELS; y++)
        t.workspace.voice[ATOLL_VOICE_VOTES][y] = 0;
    assert_int_equal(atoll_predict_experts(&t.model, &t.workspace, &input, &route, NULL), ATOLL_OK);
    memcpy(p, t.workspace.voice[ATOLL_VOICE_EXPERTS], sizeof p);
    for (int y = 0; y < LABELS; y++)
        assert_near(p[y], expected[y], 1e-6);
    trial_close(&t);
}

/* The voice of the experts is a mixture of those on the route, and of a small part of the votes. */
static void the_route_mixes_its_experts(void **state)
{
    (void)state;
    trial t;
    atoll_voices voices;
    const atoll_route route = {.count = 2, .expert = {2, CANDIDATE}, .weight = {0.75f, 0.25f}}, none = {0};
    trial_open(&t);
    atoll_input input = input_of(&t);
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    const float *voice = t.workspace.voice[ATOLL_VOICE_EXPERTS], *votes = voices.says[ATOLL_VOICE_VOTES];
    assert_int_equal(atoll_predict_experts(&t.model, &t.workspace, &input, &none, NULL), ATOLL_OK);
    double part = sum_of(voice, LABELS); /* what the votes have among the experts */
    assert_true(part >= 0 && part < 0.5);
    for (int y = 0; y < LABELS; y++)
        assert_near(voice[y], part * votes[y], 1e-6);
    for (int trusted = 0; trusted < 2; trusted++) {
        float expert[LABELS] = {0}, other[LABELS] = {0};
        t.model.expert[CANDIDATE].state = trusted ? ATOLL_EXPERT_ACTIVE : ATOLL_EXPERT_CANDIDATE;
        assert_int_equal(atoll_predict_expert(&t.model.expert[2], &t.workspace, &input, 1, expert, NULL), ATOLL_OK);
        assert_int_equal(atoll_predict_expert(&t.model.expert[trusted ? CANDIDATE : 0], &t.workspace, &input, 1, other,
                                              NULL),
                         ATOLL_OK);
        assert_int_equal(atoll_predict_experts(&t.model, &t.workspace, &input, &route, NULL), ATOLL_OK);
        for (int y = 0; y < LABELS; y++)
            assert_near(voice[y], (1 - part) * (0.75 * expert[y] + 0.25 * other[y]) + part * votes[y], 1e-5);
        assert_near(sum_of(voice, LABELS), 1, 1e-5);
    }
    trial_close(&t);
}

/* A route of candidates alone is the shared expert's; archived ones do not speak either. */
static void the_shared_expert_answers_for_candidates(void **state)
{
    (void)state;
    static const uint32_t others[] = {CANDIDATE, 4, 5};
    trial t;
    atoll_voices voices;
    trial_open(&t);
    t.context.count = 0; /* no votes */
    atoll_input input = input_of(&t);
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    const float *voice = t.workspace.voice[ATOLL_VOICE_EXPERTS], *shared = voices.says[ATOLL_VOICE_SHARED];
    for (int i = 0; i < 3; i++) {
        const atoll_route route = {.count = 1, .expert = {others[i]}, .weight = {1}};
        assert_int_equal(atoll_predict_experts(&t.model, &t.workspace, &input, &route, NULL), ATOLL_OK);
        double part = sum_of(voice, LABELS);
        assert_true(part > 0.5 && part < 1 + 1e-6); /* all but what the votes would have */
        for (int y = 0; y < LABELS; y++)
            assert_near(voice[y], part * shared[y], 1e-6);
    }
    const atoll_route route = {.count = 1, .expert = {CANDIDATE}, .weight = {1}};
    t.model.expert[CANDIDATE].state = ATOLL_EXPERT_ACTIVE;
    assert_int_equal(atoll_predict_experts(&t.model, &t.workspace, &input, &route, NULL), ATOLL_OK);
    for (uint32_t y = 0; y < LABELS; y++) /* it knows two labels */
        assert_true((voice[y] > 0) == (y - makeup[CANDIDATE].first < makeup[CANDIDATE].labels));
    trial_close(&t);
}

static void a_workspace_fits_growing_models(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    float *logits = t.workspace.logits;
    assert_int_equal(atoll_workspace_fit(&t.workspace, &t.model, NULL), ATOLL_OK);
    assert_ptr_equal(t.workspace.logits, logits); /* nothing to do once warm */
    uint32_t labels = t.model.labels, experts = t.model.experts;
    for (uint32_t size = 1; size < 3000; size = 2 * size + 1) {
        t.model.labels = size;
        t.model.experts = 3000 / size;
        assert_int_equal(atoll_workspace_fit(&t.workspace, &t.model, NULL), ATOLL_OK);
        assert_true(t.workspace.labels >= size && t.workspace.experts >= t.model.experts);
        for (int v = 0; v < ATOLL_VOICES; v++)
            memset(t.workspace.voice[v], 0, size * sizeof(float));
        memset(t.workspace.logits, 0, size * sizeof(float));
        memset(t.workspace.logits, 0, t.model.experts * sizeof(float));
        memset(t.workspace.gate, 0, t.model.experts * sizeof(float));
        for (int c = 0; c < ATOLL_CUES; c++)
            memset(t.workspace.cue[c], 0, t.model.experts * sizeof(float));
    }
    t.model.labels = labels;
    t.model.experts = experts;
    trial_close(&t);
}

static void assurance_comes_from_neighbours_and_score(void **state)
{
    (void)state;
    assert_near(atoll_predict_assurance(0.4f, 0.5f), 0.65, 1e-6);
    assert_true(atoll_predict_assurance(0.4f, 0.9f) > atoll_predict_assurance(0.4f, 0.2f));
    assert_true(atoll_predict_assurance(0.5f, 0.2f) > atoll_predict_assurance(0.4f, 0.2f));
}

static void abstains_when_unsure_of_the_new(void **state)
{
    (void)state;
    assert_true(atoll_predict_abstains(0.1f, 0.99f));
    assert_false(atoll_predict_abstains(0.1f, 0.2f));
    assert_false(atoll_predict_abstains(0.95f, 0.99f));
    assert_false(atoll_predict_abstains(0.95f, 0.2f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_input_is_what_was_encoded),
        cmocka_unit_test(the_gate_is_over_those_that_are_routed_to),
        cmocka_unit_test(a_random_gate_draws_from_the_record_alone),
        cmocka_unit_test(a_known_expert_has_the_gate_to_itself),
        cmocka_unit_test(neighbours_may_be_heard_later),
        cmocka_unit_test(a_sure_answer_of_what_is_not_novel_suffices),
        cmocka_unit_test(only_some_models_may_skip_the_search),
        cmocka_unit_test(the_cues_are_of_the_answer),
        cmocka_unit_test(the_shared_expert_may_answer_texts_alone),
        cmocka_unit_test(the_gate_reads_common_features),
        cmocka_unit_test(labels_are_young_until_many_records_have_taught_them),
        cmocka_unit_test(labels_speak_for_those_who_learned_them),
        cmocka_unit_test(an_idle_gate_is_not_asked),
        cmocka_unit_test(the_gate_may_know_fewer_experts),
        cmocka_unit_test(an_expert_reads_its_dense_part_where_there_is_one),
        cmocka_unit_test(an_expert_reads_the_tokens_that_it_was_routed),
        cmocka_unit_test(the_route_mixes_its_experts),
        cmocka_unit_test(the_shared_expert_answers_for_candidates),
        cmocka_unit_test(a_workspace_fits_growing_models),
        cmocka_unit_test(assurance_comes_from_neighbours_and_score),
        cmocka_unit_test(abstains_when_unsure_of_the_new),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
