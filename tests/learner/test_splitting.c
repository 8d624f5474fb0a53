#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "learner/exemplars.h"
#include "learner/splitting.h"
#include "tests/support/learning.h"

enum { BATCH = 50, LABELS = 10, DOMAINS = 2 };

typedef struct trial {
    learning l;
} trial;

static void trial_open(trial *t, bool growth_off)
{
    atoll_config config;
    learning_config(&config);
    config.expert_hidden = 64;
    config.embedding_dim = 256;
    config.growth_off = growth_off;
    learning_open(&t->l, &config, 1);
}

/* Records of two domains mixed by lot, each named by what it calls itself and, with `folded`, by a name of both. */
static void feed(trial *t, bool folded, uint32_t count)
{
    learning_record records[BATCH];
    for (uint32_t at = 0; at < count; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t domain = atoll_rng_below(&t->l.rng, DOMAINS), label = atoll_rng_below(&t->l.rng, LABELS);
            learning_draw_text(&records[i], &t->l.rng, domain, label);
            uint32_t name = folded ? label : domain * LABELS + label;
            int length = snprintf(records[i].label, sizeof records[i].label, "%u", name);
            records[i].record.label = (atoll_slice){records[i].label, (size_t)length};
            length = snprintf(records[i].domain, sizeof records[i].domain, "%u", domain);
            records[i].record.domain = (atoll_slice){records[i].domain, (size_t)length};
        }
        learning_commit(&t->l, records, BATCH);
        atoll_reclaim_advance(t->l.state.reclaim);
    }
}

/* The share of an expert's exemplars that are of the domain that most of them are of. */
static double purity(const trial *t, uint32_t expert)
{
    uint32_t of[DOMAINS] = {0};
    atoll_memory_view view = atoll_memory_freeze(t->l.state.memory);
    for (uint32_t s = 0; s < view.slots.count; s++) {
        const atoll_slot *held = atoll_memory_at(&view, s);
        if (held->exemplar && held->owner == expert)
            of[held->exemplar->domain]++;
    }
    return (double)(of[0] > of[1] ? of[0] : of[1]) / (of[0] + of[1]);
}

static uint64_t counted(const atoll_expert *expert)
{
    uint64_t records = 0;
    for (uint32_t i = 0; i < expert->labels.count; i++)
        records += atoll_expert_label_at(expert, i)->records;
    return records;
}

static void two_domains_that_come_mixed_become_two_experts(void **state)
{
    (void)state;
    for (int folded = 0; folded < 2; folded++) {
        trial t;
        trial_open(&t, false);
        feed(&t, folded, ATOLL_SPLITTING_RECORDS - BATCH);
        const atoll_state *s = &t.l.state;
        assert_int_equal(atoll_model_count(&s->model, ATOLL_EXPERT_ACTIVE), 1);
        feed(&t, folded, BATCH);
        assert_int_equal(atoll_model_count(&s->model, ATOLL_EXPERT_ACTIVE), 2);
        const atoll_expert *first = &s->model.expert[1], *second = &s->model.expert[2];
        assert_int_equal(first->records + second->records, ATOLL_SPLITTING_RECORDS);
        assert_int_equal(counted(first), first->records);
        assert_int_equal(counted(second), second->records);
        assert_int_equal(first->labels.count + second->labels.count, 2 * LABELS);
        assert_int_equal(second->born, s->model.version);
        assert_int_equal(s->growth.promoted, 2);
        assert_true(purity(&t, 1) > 0.95 && purity(&t, 2) > 0.95);
        assert_int_equal(atoll_memory_verify(s->memory, NULL), ATOLL_OK);

        /* Both go on with what is theirs, and neither is looked at again. */
        uint64_t asked = s->tally.asked, right = s->tally.right;
        feed(&t, folded, 2 * ATOLL_SPLITTING_RECORDS);
        assert_true((double)(s->tally.right - right) > 0.95 * (double)(s->tally.asked - asked));
        assert_int_equal(atoll_model_count(&s->model, ATOLL_EXPERT_ACTIVE), 2);
        assert_true(purity(&t, 1) > 0.95 && purity(&t, 2) > 0.95);
        learning_close(&t.l);
    }
}

static void the_same_stream_gives_the_same_experts(void **state)
{
    uint64_t digest[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        trial t;
        trial_open(&t, false);
        feed(&t, true, ATOLL_SPLITTING_RECORDS + BATCH);
        digest[i] = learning_digest(&t.l.state);
        learning_close(&t.l);
    }
    assert_int_equal(digest[0], digest[1]);
}

static void an_expert_with_room_is_left_whole_and_looked_at_once(void **state)
{
    trial t;
    (void)state;
    trial_open(&t, false);
    learning_feed(&t.l, learning_draw_text, 0, ATOLL_SPLITTING_RECORDS, BATCH);
    atoll_state *s = &t.l.state;
    assert_int_equal(atoll_model_count(&s->model, ATOLL_EXPERT_ACTIVE), 1);
    assert_int_equal(s->growth.examined, s->model.expert[1].born);
    uint64_t digest = learning_digest(s);
    assert_int_equal(atoll_splitting_review(t.l.trainer, s, s->model.version + 1, NULL), ATOLL_OK);
    assert_int_equal(learning_digest(s), digest);
    learning_close(&t.l);
}

static void nothing_is_split_while_growth_is_off_or_there_is_no_place(void **state)
{
    trial t;
    (void)state;
    trial_open(&t, true);
    feed(&t, false, ATOLL_SPLITTING_RECORDS);
    assert_int_equal(t.l.state.growth.examined, 0);
    learning_close(&t.l);
    trial_open(&t, false);
    t.l.state.model.config.experts_max = 1;
    feed(&t, false, ATOLL_SPLITTING_RECORDS);
    assert_int_equal(atoll_model_count(&t.l.state.model, ATOLL_EXPERT_ACTIVE), 1);
    assert_int_equal(t.l.state.model.expert[1].records, ATOLL_SPLITTING_RECORDS);
    learning_close(&t.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_domains_that_come_mixed_become_two_experts),
        cmocka_unit_test(the_same_stream_gives_the_same_experts),
        cmocka_unit_test(an_expert_with_room_is_left_whole_and_looked_at_once),
        cmocka_unit_test(nothing_is_split_while_growth_is_off_or_there_is_no_place),
    };
    atoll_log_set_level(ATOLL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
