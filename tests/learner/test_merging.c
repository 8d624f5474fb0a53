#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "learner/merging.h"
#include "tests/support/learning.h"

enum { BATCH = 100, STREAM = 600 };

typedef struct trial {
    learning l;
} trial;

/* A model whose experts are those of the domains that records name. */
static void trial_open(trial *t)
{
    atoll_config config;
    learning_config(&config);
    config.gate = ATOLL_GATE_DOMAIN;
    learning_open(&t->l, &config, 1);
}

/* Learns `count` records of one domain, named after it and, in turn, by one of `names` letters. */
static void feed(trial *t, learning_draw draw, uint32_t domain, uint32_t names, uint32_t count)
{
    learning_record *records = malloc(BATCH * sizeof *records);
    assert_non_null(records);
    for (uint32_t at = 0; at < count; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            draw(&records[i], &t->l.rng, domain, atoll_rng_below(&t->l.rng, LEARNING_LABELS_A_DOMAIN));
            records[i].domain[0] = (char)('0' + domain);
            records[i].domain[1] = (char)('a' + atoll_rng_below(&t->l.rng, names));
        }
        for (uint32_t i = 0; i < BATCH; i++)
            records[i].record.domain = (atoll_slice){records[i].domain, 2};
        learning_commit(&t->l, records, BATCH);
    }
    free(records);
}

/* The domains' names are forgotten: from here on nothing but the records tells whose they are. */
static void forget_names(trial *t)
{
    t->l.state.model.config.gate = ATOLL_GATE_TOPK;
}

static uint32_t run(trial *t, atoll_pruned *merged)
{
    uint32_t count = 99;
    atoll_state *s = &t->l.state;
    assert_int_equal(atoll_merging_run(t->l.trainer, s, s->model.version + 1, merged, &count, NULL), ATOLL_OK);
    s->model.version++;
    return count;
}

/* Share of `count` new records of a domain that are answered right, before they are learned. */
static double accuracy(trial *t, learning_draw draw, uint32_t domain, uint32_t count)
{
    const atoll_tally *tally = &t->l.state.tally;
    uint64_t asked = tally->asked, right = tally->right;
    learning_feed(&t->l, draw, domain, count, BATCH);
    return (double)(tally->right - right) / (double)(tally->asked - asked);
}

static void two_experts_of_one_domain_become_one(void **state)
{
    trial t;
    atoll_pruned merged[ATOLL_EXPERTS_MAX];
    atoll_exchange found[2];
    bool one;
    (void)state;
    trial_open(&t);
    feed(&t, learning_draw_text, 0, 2, STREAM);
    feed(&t, learning_draw_text, 1, 1, STREAM);
    atoll_state *s = &t.l.state;
    assert_int_equal(atoll_model_count(&s->model, ATOLL_EXPERT_ACTIVE), 3);
    uint32_t survivor = s->model.expert[1].records >= s->model.expert[2].records ? 1 : 2, absorbed = 3 - survivor;
    uint64_t records = s->model.expert[1].records + s->model.expert[2].records;
    uint32_t owned = atoll_memory_owned(s->memory, 1) + atoll_memory_owned(s->memory, 2);
    uint32_t held = atoll_memory_count(s->memory), elsewhere = atoll_memory_owned(s->memory, 3);
    uint64_t other = learning_expert_digest(&s->model.expert[3]);

    /* While names route, they part the experts. */
    assert_int_equal(run(&t, merged), 0);
    forget_names(&t);
    assert_int_equal(atoll_merging_compare(t.l.trainer, s, 1, 2, &one, found, NULL), ATOLL_OK);
    assert_true(one);
    assert_true(found[0].mixture > 0.8f && found[1].mixture > 0.8f);
    assert_int_equal(run(&t, merged), 1);
    assert_int_equal(merged[0].id, absorbed);
    assert_non_null(strstr(merged[0].reason, "merged into expert"));
    assert_int_equal(s->growth.merged, 1);
    assert_int_equal(s->model.expert[absorbed].state, ATOLL_EXPERT_GONE);
    assert_int_equal(atoll_net_parameters(&s->model.expert[absorbed].net), 0);
    assert_int_equal(s->model.expert[survivor].records, records);
    assert_int_equal(s->model.expert[survivor].version, s->model.version);
    assert_int_equal(atoll_memory_owned(s->memory, survivor), owned);
    assert_int_equal(atoll_memory_owned(s->memory, absorbed), 0);
    assert_int_equal(atoll_memory_owned(s->memory, 3), elsewhere);
    assert_int_equal(atoll_memory_count(s->memory), held);
    assert_int_equal(atoll_memory_verify(s->memory, NULL), ATOLL_OK);
    assert_int_equal(learning_expert_digest(&s->model.expert[3]), other);
    uint64_t counted = 0;
    for (uint32_t i = 0; i < s->model.expert[survivor].labels.count; i++)
        counted += atoll_expert_label_at(&s->model.expert[survivor], i)->records;
    assert_int_equal(counted, records);

    /* Once is enough, and learning goes on with the survivor. */
    assert_int_equal(run(&t, merged), 0);
    assert_true(accuracy(&t, learning_draw_text, 0, 2 * BATCH) > 0.95);
    assert_true(s->model.expert[survivor].records > records);
    assert_true(accuracy(&t, learning_draw_text, 1, 2 * BATCH) > 0.95);
    learning_close(&t.l);
}

static void what_differs_is_never_merged(void **state)
{
    static const learning_draw draws[] = {learning_draw_text, learning_draw_contrary};
    atoll_pruned merged[ATOLL_EXPERTS_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
        trial t;
        trial_open(&t);
        for (uint32_t domain = 0; domain < 3; domain++)
            feed(&t, draws[i], domain, 1, STREAM);
        forget_names(&t);
        uint64_t digest = learning_digest(&t.l.state);
        assert_int_equal(run(&t, merged), 0);
        t.l.state.model.version--;
        assert_int_equal(learning_digest(&t.l.state), digest);
        assert_int_equal(atoll_model_count(&t.l.state.model, ATOLL_EXPERT_ACTIVE), 3);
        learning_close(&t.l);
    }
}

static void mixed_draw(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    learning_draw_text(out, rng, 0, label);
    if (domain)
        out->label[4] = (char)('0' + (label + 1) % LEARNING_LABELS_A_DOMAIN);
}

/* The same texts, called differently: nothing but the labels parts these domains. */
static void contradictions_are_never_merged(void **state)
{
    trial t;
    atoll_pruned merged[ATOLL_EXPERTS_MAX];
    atoll_exchange found[2];
    bool one;
    (void)state;
    trial_open(&t);
    feed(&t, mixed_draw, 0, 1, STREAM);
    feed(&t, mixed_draw, 1, 1, STREAM);
    forget_names(&t);
    assert_int_equal(atoll_merging_compare(t.l.trainer, &t.l.state, 1, 2, &one, found, NULL), ATOLL_OK);
    assert_false(one);
    assert_true(found[0].mixture > 0.5f && found[1].mixture > 0.5f);
    assert_true(found[0].agreement < 0.5f && found[1].agreement < 0.5f);
    assert_int_equal(run(&t, merged), 0);
    learning_close(&t.l);
}

static void the_same_state_merges_to_the_same_bits(void **state)
{
    uint64_t digest[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        trial t;
        atoll_pruned merged[ATOLL_EXPERTS_MAX];
        trial_open(&t);
        feed(&t, learning_draw_text, 0, 2, STREAM);
        forget_names(&t);
        if (i)
            atoll_reclaim_advance(t.l.state.reclaim); /* publishing changes nothing */
        assert_int_equal(run(&t, merged), 1);
        digest[i] = learning_digest(&t.l.state);
        learning_close(&t.l);
    }
    assert_int_equal(digest[0], digest[1]);
}

static void settings_keep_experts_apart(void **state)
{
    trial t;
    atoll_pruned merged[ATOLL_EXPERTS_MAX];
    (void)state;
    trial_open(&t);
    feed(&t, learning_draw_text, 0, 2, STREAM);
    forget_names(&t);
    atoll_config *config = &t.l.state.model.config;
    config->merge_off = 1;
    assert_int_equal(run(&t, merged), 0);
    config->merge_off = 0;
    config->freeze = ATOLL_FREEZE_GATE;
    assert_int_equal(run(&t, merged), 0);
    config->freeze = ATOLL_FREEZE_NONE;
    t.l.state.model.expert[2].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(run(&t, merged), 0);
    t.l.state.model.expert[2].state = ATOLL_EXPERT_ACTIVE;
    assert_int_equal(run(&t, merged), 1);
    learning_close(&t.l);
}

static void draw_vector(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    learning_draw_text(out, rng, domain, label);
    learning_add_vector(out, rng, domain * LEARNING_LABELS_A_DOMAIN + label);
    out->record.text = (atoll_slice){0};
}

/* Vectors are kept as received at first, and coded once the scale stays. */
static void experts_of_vectors_are_merged(void **state)
{
    static const uint32_t streams[] = {STREAM, 2 * STREAM};
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        trial t;
        atoll_pruned merged[ATOLL_EXPERTS_MAX];
        trial_open(&t);
        feed(&t, draw_vector, 0, 2, streams[i]);
        forget_names(&t);
        double before = accuracy(&t, draw_vector, 0, BATCH);
        assert_int_equal(run(&t, merged), 1);
        assert_true(accuracy(&t, draw_vector, 0, BATCH) > before - 0.05);
        learning_close(&t.l);
    }
}

static void experts_that_are_not_there_are_not_one(void **state)
{
    trial t;
    atoll_exchange found[2];
    bool one = true;
    (void)state;
    trial_open(&t);
    assert_int_equal(atoll_merging_compare(t.l.trainer, &t.l.state, 1, 2, &one, found, NULL), ATOLL_OK);
    assert_false(one);
    feed(&t, learning_draw_text, 0, 1, BATCH);
    assert_int_equal(atoll_merging_compare(t.l.trainer, &t.l.state, 0, 1, &one, found, NULL), ATOLL_OK);
    assert_false(one);
    assert_int_equal(atoll_merging_compare(t.l.trainer, &t.l.state, 1, 900, &one, found, NULL), ATOLL_OK);
    assert_false(one);
    learning_close(&t.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_experts_of_one_domain_become_one),
        cmocka_unit_test(what_differs_is_never_merged),
        cmocka_unit_test(contradictions_are_never_merged),
        cmocka_unit_test(the_same_state_merges_to_the_same_bits),
        cmocka_unit_test(settings_keep_experts_apart),
        cmocka_unit_test(experts_of_vectors_are_merged),
        cmocka_unit_test(experts_that_are_not_there_are_not_one),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
