#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/explain.h"
#include "tests/core/paged.h"

enum { EXPERTS = 5, WORDS = 3, VECTORS = 2, TOKENS = WORDS + VECTORS };

/* Experts 1 to 4, of which the last is a candidate; of a record of three words and two vectors. */
typedef struct trial {
    atoll_model model;
    atoll_expert expert[EXPERTS];
    atoll_arena arena;
    atoll_text_scratch *text;
    atoll_term *term;
    float gate[TOKENS * (EXPERTS + 1)];
    atoll_route token[TOKENS], route;
    atoll_gated gated;
    atoll_explained explained;
    atoll_prediction prediction;
} trial;

static void trial_open(trial *t)
{
    static const char text[] = "Fees! On FEES";
    memset(t, 0, sizeof *t);
    atoll_config_defaults(&t->model.config);
    t->model.config.granularity = ATOLL_GRANULARITY_TOKEN;
    t->model.encoder.buckets = 1 << 20;
    t->model.experts = EXPERTS;
    t->model.expert = t->expert;
    for (uint32_t e = 1; e < EXPERTS; e++)
        t->expert[e].state = e == EXPERTS - 1 ? ATOLL_EXPERT_CANDIDATE : ATOLL_EXPERT_ACTIVE;
    atoll_arena_init(&t->arena);
    t->text = atoll_text_scratch_new();
    t->term = malloc(ATOLL_FEATURES_MAX * sizeof *t->term);
    assert_true(t->text && t->term);
    for (uint32_t i = 0; i < TOKENS; i++) {
        float row[EXPERTS] = {0, 0.4f, 0.3f, 0.2f, 0.1f};
        memcpy(t->gate + (size_t)i * EXPERTS, row, sizeof row);
        t->token[i] = (atoll_route){.count = 2, .expert = {1, 2}, .weight = {0.75f, 0.25f}};
    }
    t->gated = (atoll_gated){t->gate, TOKENS};
    t->route = (atoll_route){.token = t->token};
    t->explained = (atoll_explained){&t->model, {text, sizeof text - 1}, WORDS, &t->gated, &t->route};
}

static void trial_close(trial *t)
{
    atoll_arena_free(&t->arena);
    atoll_text_scratch_free(t->text);
    free(t->term);
}

static void explain(trial *t)
{
    assert_int_equal(atoll_explain_tokens(&t->explained, t->text, t->term, &t->arena, &t->prediction, NULL), ATOLL_OK);
}

static void each_token_has_its_experts(void **state)
{
    static trial t;
    (void)state;
    trial_open(&t);
    t.token[1] = (atoll_route){.count = 1, .expert = {4}, .weight = {1}}; /* a candidate in their place */
    t.token[3] = (atoll_route){.count = 0};                               /* a vector that was dropped */
    t.token[4] = (atoll_route){.count = 2, .expert = {2, 3}, .weight = {0.6f, 0.4f}};
    explain(&t);
    const atoll_shown_token *token = t.prediction.token;
    assert_int_equal(t.prediction.tokens, TOKENS);
    assert_string_equal(token[0].word, "fees");
    assert_string_equal(token[1].word, "on");
    assert_string_equal(token[2].word, "fees");
    assert_true(token[0].experts == 2 && token[0].expert[0].id == 1 && token[0].expert[0].weight == 0.75f);
    assert_true(token[0].refused == 0 && !token[0].dropped);
    assert_true(token[1].experts == 1 && token[1].expert[0].id == 0 && token[1].expert[0].weight == 1);
    assert_true(token[1].refused == 2 && token[1].refuser[0] == 1 && token[1].refuser[1] == 2 && !token[1].dropped);
    assert_true(!token[3].word[0] && token[3].vector == 0 && token[3].experts == 0 && token[3].dropped);
    assert_true(token[4].vector == 1 && token[4].refused == 1 && token[4].refuser[0] == 1 && !token[4].dropped);
    trial_close(&t);
}

/* Nobody chooses for a soft gate: the experts are those that the token gives most, by what it gives them. */
static void a_soft_gate_shows_its_weights(void **state)
{
    static trial t;
    (void)state;
    trial_open(&t);
    t.route.token = NULL;
    explain(&t);
    const atoll_shown_token *token = t.prediction.token;
    assert_int_equal(token[2].experts, 4);
    assert_true(token[2].expert[0].id == 1 && token[2].expert[0].weight == 0.4f);
    assert_true(token[2].expert[3].id == 0 && token[2].expert[3].weight == 0.1f);
    assert_true(token[2].refused == 0 && !token[2].dropped);
    trial_close(&t);
}

static void records_that_are_routed_whole_have_no_tokens(void **state)
{
    static trial t;
    (void)state;
    trial_open(&t);
    t.gated.tokens = 0;
    t.prediction.tokens = 9;
    explain(&t);
    assert_int_equal(t.prediction.tokens, 0);
    trial_close(&t);
}

static void what_is_shown_is_bounded(void **state)
{
    enum { MANY = ATOLL_TOKENS_MAX };
    static trial t;
    static float gate[MANY * (EXPERTS + 1)];
    static atoll_route route[MANY];
    static char text[MANY * 100];
    size_t used = 0;
    (void)state;
    trial_open(&t);
    for (int i = 0; i < MANY; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%c%c%080d ", 'a' + i / 26, 'a' + i % 26, i);
    t.explained.text = (atoll_slice){text, used};
    t.explained.words = t.gated.tokens = MANY;
    t.gated.gate = gate;
    t.route.token = route;
    explain(&t);
    assert_int_equal(t.prediction.tokens, MANY);
    for (int i = 0; i < ATOLL_EXPLAIN_TOKENS; i++) {
        assert_int_equal(strlen(t.prediction.token[i].word), ATOLL_EXPLAIN_WORD_BYTES);
        assert_memory_equal(t.prediction.token[i].word, text + 83 * i, ATOLL_EXPLAIN_WORD_BYTES);
        assert_true(t.prediction.token[i].experts == 0 && !t.prediction.token[i].dropped); /* there was nobody */
    }
    trial_close(&t);
}

static void of_marks_alone_the_text_is_the_word(void **state)
{
    static trial t;
    (void)state;
    trial_open(&t);
    t.explained.text = (atoll_slice){"\xf0\x9f\x98\x80 !", 6};
    t.explained.words = t.gated.tokens = 1;
    explain(&t);
    assert_int_equal(t.prediction.tokens, 1);
    assert_string_equal(t.prediction.token[0].word, "\xf0\x9f\x98\x80 !");
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_its_experts),
        cmocka_unit_test(a_soft_gate_shows_its_weights),
        cmocka_unit_test(records_that_are_routed_whole_have_no_tokens),
        cmocka_unit_test(what_is_shown_is_bounded),
        cmocka_unit_test(of_marks_alone_the_text_is_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
