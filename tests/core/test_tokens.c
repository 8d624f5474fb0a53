#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/kernels.h"
#include "core/tokens.h"
#include "tests/core/paged.h"

enum { DIM = 16, EXPERTS = 4, FEATURES = 7, COMMON = 5, WORDS = 3, VECTORS = 2, TOKENS = WORDS + VECTORS, INPUTS = 6 };

/* A record of three words, the middle one without a common term, and two vectors. */
typedef struct trial {
    atoll_pager pager;
    atoll_gate gate;
    atoll_net_scratch net;
    atoll_token_scratch scratch;
    uint32_t bucket[FEATURES];
    uint8_t token[FEATURES];
    float weight[FEATURES], embedding[DIM], each[VECTORS * DIM], dense[VECTORS * INPUTS], share[EXPERTS];
    float logit[TOKENS * EXPERTS];
    bool open[EXPERTS];
    atoll_input input;
    atoll_rng rng;
} trial;

static void trial_open(trial *t)
{
    *t = (trial){.bucket = {3, 9, 4, 7, 8, 5, 6}, .token = {0, 0, 2, 2, 2, 1, 2},
                 .open = {true, true, true, true}, .share = {0.25f, 0.25f, 0.25f, 0.25f}};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->net);
    atoll_rng_seed(&t->rng, 3, 0);
    fill_normal(&t->rng, t->weight, FEATURES);
    fill_normal(&t->rng, t->embedding, DIM);
    fill_normal(&t->rng, t->each, VECTORS * DIM);
    fill_normal(&t->rng, t->dense, VECTORS * INPUTS);
    atoll_gate_init(&t->gate, DIM, 1);
    assert_int_equal(atoll_net_grow(&t->pager, &t->gate.net, EXPERTS, NULL), ATOLL_OK);
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = COMMON, .common = COMMON,
                             .linear = t->embedding, .token = t->token, .words = WORDS, .vectors = VECTORS,
                             .each = t->each, .dense = t->dense};
    assert_int_equal(atoll_net_admit(&t->pager, &t->gate.net, &t->net, &t->input, NULL), ATOLL_OK);
    assert_int_equal(atoll_token_scratch_fit(&t->scratch, TOKENS, EXPERTS, NULL), ATOLL_OK);
}

static void trial_close(trial *t)
{
    atoll_gate_clear(&t->pager, &t->gate);
    atoll_net_scratch_free(&t->net);
    atoll_token_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static float learn(trial *t, uint32_t owner, float sure)
{
    float probability;
    atoll_gate_losses losses = {ATOLL_BALANCE_SWITCH, 0.01f, 0, 2, t->share};
    assert_int_equal(atoll_tokens_learn(&t->pager, &t->gate, &t->net, &t->scratch, &t->input, t->open, &losses, owner,
                                        sure, &probability, NULL),
                     ATOLL_OK);
    return probability;
}

static void score(trial *t, const atoll_input *input, float *logit)
{
    assert_int_equal(atoll_tokens_score(&t->gate, &t->net, &t->scratch, input, logit, EXPERTS, NULL), ATOLL_OK);
}

static void a_record_has_at_least_one_token(void **state)
{
    (void)state;
    assert_int_equal(atoll_tokens_count(&(atoll_input){0}), 1);
    assert_int_equal(atoll_tokens_count(&(atoll_input){.words = 3}), 3);
    assert_int_equal(atoll_tokens_count(&(atoll_input){.words = 3, .vectors = 2}), 5);
}

/* f(token) + f(record), by the network itself. */
static void a_token_is_scored_with_its_record(void **state)
{
    trial t;
    float record[EXPERTS], one[EXPERTS], unit[FEATURES];
    (void)state;
    trial_open(&t);
    for (uint32_t i = 0; i < 20; i++)
        learn(&t, 1 + i % 3, 1);
    score(&t, &t.input, t.logit);
    assert_int_equal(atoll_gate_score(&t.gate, NULL, &t.net, &t.input, record, NULL), ATOLL_OK);
    memcpy(unit, t.weight, sizeof unit);
    atoll_normalise(unit, 2);
    atoll_normalise(unit + 2, 3);
    atoll_input alone[TOKENS] = {{.bucket = t.bucket, .weight = unit, .features = 2},
                                 {0},
                                 {.bucket = t.bucket + 2, .weight = unit + 2, .features = 3},
                                 {.linear = t.each},
                                 {.linear = t.each + DIM}};
    for (uint32_t i = 0; i < TOKENS; i++) {
        assert_int_equal(atoll_gate_score(&t.gate, NULL, &t.net, &alone[i], one, NULL), ATOLL_OK);
        for (int e = 0; e < EXPERTS; e++)
            assert_near(t.logit[i * EXPERTS + (uint32_t)e], one[e] + record[e], 1e-5);
    }
    for (int e = 0; e < EXPERTS; e++)
        assert_true(t.scratch.row[e] == record[e]);
    trial_close(&t);
}

static void the_network_learns_the_owner_of_each_token(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    float first = learn(&t, 2, 1), last = 0;
    assert_true(first > 1.0f / EXPERTS && first < 0.5f); /* later tokens know of the step of earlier ones */
    for (int i = 0; i < 40; i++)
        last = learn(&t, 2, 1);
    assert_true(last > 0.95f);
    /* A token of another expert in the same record is told apart: its own term was learned elsewhere. */
    atoll_input other = {.bucket = t.bucket + 2, .weight = t.weight + 2, .features = 3, .common = 3,
                         .linear = t.embedding, .token = t.token, .words = 1};
    uint8_t zero[3] = {0};
    other.token = zero;
    for (int i = 0; i < 60; i++) {
        atoll_input own = t.input;
        t.input = other;
        learn(&t, 3, 1);
        t.input = own;
        t.input.features = t.input.common = 2;
        t.input.words = 1;
        t.input.vectors = 0;
        learn(&t, 2, 1);
        t.input = own;
    }
    score(&t, &t.input, t.logit);
    const float *own = t.logit, *others = t.logit + 2 * EXPERTS;
    assert_true(own[2] - own[3] > others[2] - others[3] + 2);
    trial_close(&t);
}

/* What is sure already is left alone, to the bit. */
static void sure_tokens_take_no_step(void **state)
{
    trial t;
    float before[TOKENS * EXPERTS];
    (void)state;
    trial_open(&t);
    learn(&t, 1, 1);
    score(&t, &t.input, before);
    learn(&t, 1, 0);
    score(&t, &t.input, t.logit);
    assert_memory_equal(before, t.logit, sizeof before);
    trial_close(&t);
}

static void routes_of_tokens_become_one_of_the_record(void **state)
{
    (void)state;
    const atoll_route token[4] = {{.count = 2, .expert = {3, 1}, .weight = {0.75f, 0.25f}},
                                  {.count = 1, .expert = {1}, .weight = {1}},
                                  {.count = 0},
                                  {.count = 1, .expert = {1}, .weight = {1}}};
    const float expected[2][4] = {{0.25f, 1, 0, 1}, {0.75f, 0, 0, 0}};
    float reads[ATOLL_TOP_K_MAX * 4];
    atoll_route route;
    atoll_tokens_gather(token, 4, EXPERTS, reads, &route);
    assert_int_equal(route.count, 2);
    assert_true(route.expert[0] == 1 && route.expert[1] == 3);
    assert_near(route.weight[0], 0.75, 1e-6);
    assert_near(route.weight[1], 0.25, 1e-6);
    assert_ptr_equal(route.reads, reads);
    assert_ptr_equal(route.token, token);
    assert_memory_equal(reads, expected, sizeof expected);
    atoll_tokens_gather(token + 2, 1, EXPERTS, reads, &route);
    assert_int_equal(route.count, 0);
}

/* More experts than a route holds: those with the most stay. */
static void a_route_holds_the_largest(void **state)
{
    enum { MANY = 3 * ATOLL_TOP_K_MAX };
    static atoll_route token[MANY];
    static float reads[ATOLL_TOP_K_MAX * MANY];
    float sum = 0;
    atoll_route route;
    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        token[i] = (atoll_route){.count = 2, .expert = {1 + i, 70}, .weight = {0.9f, 0.1f}};
    atoll_tokens_gather(token, MANY, 80, reads, &route);
    assert_int_equal(route.count, ATOLL_TOP_K_MAX);
    assert_int_equal(route.expert[0], 70);
    for (uint32_t i = 0; i < route.count; i++)
        sum += route.weight[i];
    assert_near(sum, 1, 1e-5);
}

static void an_expert_reads_its_tokens(void **state)
{
    enum { M = ATOLL_PROJECTION_FEATURES };
    static const float reads[TOKENS] = {1, 0.5f, 0, 0.25f, 0.75f}, alike[TOKENS] = {1, 1, 1, 0.5f, 0.5f};
    static float z[2][M], mean[M];
    trial t;
    atoll_projection *projection;
    atoll_input out;
    (void)state;
    trial_open(&t);
    assert_int_equal(atoll_projection_new(INPUTS, 1, NULL, 0, &projection, NULL), ATOLL_OK);
    float *scratch = malloc(atoll_projection_scratch(INPUTS) * sizeof *scratch);
    const float *v[2] = {t.dense, t.dense + INPUTS};
    float *to[2] = {z[0], z[1]};
    atoll_projection_run(projection, v, 2, to, scratch);
    for (int i = 0; i < M; i++)
        mean[i] = (z[0][i] + z[1][i]) / 2;
    t.input.z = mean;
    t.input.features = FEATURES;
    atoll_token_scratch_free(&t.scratch); /* whoever reads need not have asked the gate */
    assert_int_equal(atoll_tokens_read(&t.scratch, projection, &t.input, reads, &out, NULL), ATOLL_OK);
    assert_int_equal(out.features, 3); /* of the first word, and of the second */
    assert_true(out.bucket[0] == 3 && out.bucket[1] == 9 && out.bucket[2] == 5);
    assert_true(out.weight[0] == t.weight[0] && out.weight[2] == 0.5f * t.weight[5]);
    for (int i = 0; i < M; i++)
        assert_near(out.z[i], (0.25f * z[0][i] + 0.75f * z[1][i]) / 2, 1e-6);
    assert_int_equal(atoll_tokens_read(&t.scratch, projection, &t.input, alike, &out, NULL), ATOLL_OK);
    assert_int_equal(out.features, FEATURES);
    for (int i = 0; i < M; i++)
        assert_near(out.z[i], mean[i] / 2, 1e-6);
    free(scratch);
    atoll_projection_free(projection);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_at_least_one_token),
        cmocka_unit_test(a_token_is_scored_with_its_record),
        cmocka_unit_test(the_network_learns_the_owner_of_each_token),
        cmocka_unit_test(sure_tokens_take_no_step),
        cmocka_unit_test(routes_of_tokens_become_one_of_the_record),
        cmocka_unit_test(a_route_holds_the_largest),
        cmocka_unit_test(an_expert_reads_its_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
