#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "learner/step.h"
#include "tests/support/learning.h"

enum { BATCH = 60 };

/* A model that knows one domain, and a step of `BATCH` further records of it, encoded and asked. */
typedef struct trial {
    learning l;
    learning_record records[BATCH];
} trial;

static trial *trial_open(void)
{
    trial *t = malloc(sizeof *t);
    assert_non_null(t);
    learning_open(&t->l, NULL, 1);
    learning_feed(&t->l, learning_draw_text, 0, 300, 100);
    for (uint32_t i = 0; i < BATCH; i++) {
        learning_draw_text(&t->records[i], &t->l.rng, 0, i % LEARNING_LABELS_A_DOMAIN);
        t->l.trainer->items[i] =
            (atoll_step_item){.record = &t->records[i].record, .seq = 301 + i, .domain = UINT32_MAX};
    }
    return t;
}

static void trial_close(trial *t)
{
    learning_close(&t->l);
    free(t);
}

static void ask(trial *t)
{
    atoll_plan *plan = &t->l.trainer->plan;
    *plan = (atoll_plan){.trainer = t->l.trainer, .state = &t->l.state, .count = BATCH};
    atoll_step_hear(plan, atoll_step_ask(plan));
    assert_int_equal(atoll_plan_run(plan, NULL), ATOLL_OK);
}

static void items_are_encoded_and_asked_as_the_model_would_be(void **state)
{
    trial *t = trial_open();
    (void)state;
    atoll_route_counts routes = t->l.state.tally.routes;
    uint64_t before = learning_digest(&t->l.state);
    ask(t);
    const atoll_model *model = &t->l.state.model;
    uint32_t right = 0;
    for (uint32_t i = 0; i < BATCH; i++) {
        const atoll_step_item *it = &t->l.trainer->items[i];
        assert_true(it->terms > 6 && it->encoded.known > 0);
        assert_int_equal(it->voices.labels, LEARNING_LABELS_A_DOMAIN);
        assert_int_equal(it->context.count, ATOLL_NEIGHBOURS);
        assert_true(it->route.count >= 1);
        assert_non_null(it->voices.says[ATOLL_VOICE_EXPERTS]);
        const float *shared = it->voices.says[ATOLL_VOICE_SHARED];
        assert_null(it->voices.says[ATOLL_VOICE_ANALYTIC]);
        uint32_t best = 0;
        float sum = 0;
        for (uint32_t y = 0; y < model->labels; y++) {
            sum += shared[y];
            best = shared[y] > shared[best] ? y : best;
        }
        assert_float_equal(sum, 1, 1e-4);
        right += best == atoll_names_find(&t->l.state.labels, it->record->label.data, it->record->label.bytes);
    }
    assert_true(right > BATCH * 3 / 4);

    /* Asking has changed nothing but the count of routes. */
    assert_true(t->l.state.tally.routes.routed >= routes.routed + BATCH);
    t->l.state.tally.routes = routes;
    assert_int_equal(learning_digest(&t->l.state), before);
    trial_close(t);
}

/* All that is known is familiar, every score is enough, and so many records have taught each label. */
static void be_sure(atoll_model *model, uint32_t records)
{
    model->sureness.bound = 0;
    model->assured = (atoll_novelty){.count = 1, .sorted = {-9}, .recent = {-9}, .next = 1};
    for (uint32_t y = 0; y < model->labels; y++)
        ((atoll_expert_label *)atoll_expert_label_at(&model->expert[0], y))->records = records;
}

static void what_is_sure_is_not_searched_but_where_it_is_compared_or_wrong(void **state)
{
    trial *t = trial_open();
    (void)state;
    atoll_model *model = &t->l.state.model;
    be_sure(model, 1000);
    t->records[1].record.label = t->records[0].record.label;
    ask(t);
    uint32_t searched = 0;
    for (uint32_t i = 0; i < BATCH; i++) {
        const atoll_step_item *it = &t->l.trainer->items[i];
        bool compared = atoll_step_compares(model, it->seq);
        assert_int_equal(it->sure, !compared);
        assert_int_equal(it->unheard != NULL, compared);
        assert_int_equal(it->stands_for, compared ? ATOLL_REHEARSE_EVERY : 0);
        assert_int_equal(it->voices.says[ATOLL_VOICE_VOTES] != NULL, compared);
        assert_non_null(it->voices.says[ATOLL_VOICE_EXPERTS]);
        assert_true(it->route.count >= 1);
        assert_true(it->context.familiarity > 0.2f && it->context.familiarity < 1.2f);
        searched += it->context.count > 0;
        if (!it->context.count)
            assert_memory_equal(it->vote, it->gate, model->experts * sizeof *it->vote);
        else
            assert_int_equal(it->context.count, ATOLL_NEIGHBOURS);
    }
    assert_true(t->l.trainer->items[1].context.count > 0); /* it has another's label */
    assert_true(searched > BATCH / 4 && searched < BATCH / 2);
    for (uint32_t i = 0; i < BATCH; i++) {
        atoll_step_item *it = &t->l.trainer->items[i];
        assert_int_equal(atoll_step_judge(&t->l.trainer->hand[0], t->l.trainer, &t->l.state, it, 4, 0, NULL), ATOLL_OK);
        assert_true(it->owner > 0 && it->owner < model->experts);
    }
    trial_close(t);
}

/* Growth goes by the neighbours of what looks novel, though a request would do without them. */
static void what_looks_novel_is_searched_however_sure(void **state)
{
    trial *t = trial_open();
    (void)state;
    be_sure(&t->l.state.model, 1000);
    t->l.state.model.assured.sorted[0] = t->l.state.model.assured.recent[0] = 9; /* nothing that is asked has as much */
    ask(t);
    for (uint32_t i = 0; i < BATCH; i++) {
        assert_false(t->l.trainer->items[i].sure);
        assert_int_equal(t->l.trainer->items[i].stands_for, 1);
        assert_int_equal(t->l.trainer->items[i].context.count, ATOLL_NEIGHBOURS);
    }
    trial_close(t);
}

/* Drift is to see what a young label contradicts, though the answer is right and sure. */
static void neighbours_of_a_young_label_are_found(void **state)
{
    trial *t = trial_open();
    (void)state;
    be_sure(&t->l.state.model, 20);
    ask(t);
    for (uint32_t i = 0; i < BATCH; i++) {
        const atoll_step_item *it = &t->l.trainer->items[i];
        assert_int_equal(it->context.count, ATOLL_NEIGHBOURS);
        assert_int_equal(it->sure, !atoll_step_compares(&t->l.state.model, it->seq));
    }
    trial_close(t);
}

/* An answer that is begun without a search and not sure comes to what it would have been with one from the start. */
static void what_is_not_sure_is_answered_as_if_all_were_searched(void **state)
{
    trial *t = trial_open();
    atoll_step_item *begun = malloc(BATCH * sizeof *begun);
    (void)state;
    be_sure(&t->l.state.model, 1000);
    t->l.state.model.sureness.bound = 1; /* no score comes to that */
    ask(t);
    memcpy(begun, t->l.trainer->items, BATCH * sizeof *begun);
    for (uint32_t i = 0; i < BATCH; i++)
        t->l.trainer->items[i] =
            (atoll_step_item){.record = &t->records[i].record, .seq = 301 + i, .domain = UINT32_MAX};
    t->l.state.model.sureness.bound = 2;
    ask(t);
    for (uint32_t i = 0; i < BATCH; i++) {
        const atoll_step_item *a = &begun[i], *b = &t->l.trainer->items[i];
        assert_false(a->sure || b->sure);
        assert_true(a->stands_for == 1 && b->stands_for == 1);
        assert_int_equal(a->context.voter[0].slot, b->context.voter[0].slot);
        assert_int_equal(a->unheard != NULL, b->unheard != NULL);
        assert_float_equal(a->gate[1], b->gate[1], 1e-4);
        assert_float_equal(a->vote[1], b->vote[1], 1e-4);
        for (uint32_t y = 0; y < LEARNING_LABELS_A_DOMAIN; y++) {
            assert_float_equal(a->voices.says[ATOLL_VOICE_VOTES][y], b->voices.says[ATOLL_VOICE_VOTES][y], 1e-4);
            assert_float_equal(a->voices.says[ATOLL_VOICE_EXPERTS][y], b->voices.says[ATOLL_VOICE_EXPERTS][y], 1e-4);
        }
    }
    free(begun);
    trial_close(t);
}

static void judging_counts_and_names_the_owner(void **state)
{
    trial *t = trial_open();
    (void)state;
    ask(t);
    uint64_t asked = t->l.state.tally.asked;
    for (uint32_t i = 0; i < BATCH; i++) {
        atoll_step_item *it = &t->l.trainer->items[i];
        assert_int_equal(atoll_step_judge(&t->l.trainer->hand[0], t->l.trainer, &t->l.state, it, 4, 0, NULL), ATOLL_OK);
        assert_int_equal(it->label,
                         atoll_names_find(&t->l.state.labels, it->record->label.data, it->record->label.bytes));
        assert_true(it->owner > 0 && it->owner < t->l.state.model.experts);
        assert_true(it->probability > 0 && it->probability <= 1);
    }
    assert_int_equal(t->l.state.tally.asked, asked + BATCH);
    trial_close(t);
}

static void a_new_label_gets_the_next_number(void **state)
{
    trial *t = trial_open();
    (void)state;
    t->records[7].record.label = (atoll_slice){"unheard", 7};
    ask(t);
    atoll_step_item *it = &t->l.trainer->items[7];
    assert_int_equal(atoll_step_judge(&t->l.trainer->hand[0], t->l.trainer, &t->l.state, it, 4, 0, NULL), ATOLL_OK);
    assert_int_equal(it->label, LEARNING_LABELS_A_DOMAIN);
    assert_int_equal(t->l.state.model.labels, LEARNING_LABELS_A_DOMAIN + 1);
    assert_true(it->probability == 0);

    /* The next record of it finds the label, though it was asked when there was none. */
    t->l.trainer->items[8].record = it->record;
    it = &t->l.trainer->items[8];
    assert_int_equal(atoll_step_judge(&t->l.trainer->hand[0], t->l.trainer, &t->l.state, it, 4, 0, NULL), ATOLL_OK);
    assert_int_equal(it->label, LEARNING_LABELS_A_DOMAIN);
    assert_int_equal(t->l.state.model.labels, LEARNING_LABELS_A_DOMAIN + 1);
    trial_close(t);
}

static void a_slot_that_is_excepted_is_not_a_voter(void **state)
{
    trial *t = trial_open();
    atoll_context context[2] = {0}, *of[2] = {&context[0], &context[1]};
    uint32_t except[2] = {ATOLL_SLOT_NONE, ATOLL_SLOT_NONE};
    (void)state;
    ask(t);
    atoll_hand *h = &t->l.trainer->hand[0];
    float *embedding[2] = {t->l.trainer->items[0].encoded.embedding, t->l.trainer->items[0].encoded.embedding};
    except[1] = t->l.trainer->items[0].context.voter[0].slot;
    assert_int_equal(atoll_step_find_contexts(h, &t->l.state, embedding, except, of, 2, NULL), ATOLL_OK);
    assert_int_equal(context[0].voter[0].slot, except[1]);
    for (uint32_t i = 0; i < context[1].count; i++)
        assert_int_not_equal(context[1].voter[i].slot, except[1]);
    trial_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_encoded_and_asked_as_the_model_would_be),
        cmocka_unit_test(what_is_sure_is_not_searched_but_where_it_is_compared_or_wrong),
        cmocka_unit_test(what_looks_novel_is_searched_however_sure),
        cmocka_unit_test(neighbours_of_a_young_label_are_found),
        cmocka_unit_test(what_is_not_sure_is_answered_as_if_all_were_searched),
        cmocka_unit_test(judging_counts_and_names_the_owner),
        cmocka_unit_test(a_new_label_gets_the_next_number),
        cmocka_unit_test(a_slot_that_is_excepted_is_not_a_voter),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
