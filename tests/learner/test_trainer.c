#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/learning.h"

#ifdef ATOLL_SANITIZE
enum { STREAM = 400 };
#else
enum { STREAM = 1600 };
#endif

enum { BATCH = 100 };

static void draw_many(learning_record *records, atoll_rng *rng, uint32_t count, uint32_t first, uint32_t domain)
{
    for (uint32_t i = 0; i < count; i++)
        learning_draw_any(&records[i], rng, first + i, domain);
}

static void the_same_commits_give_the_same_state(void **state)
{
    learning a, b;
    learning_record *records = malloc(BATCH * sizeof *records);
    (void)state;
    learning_open(&a, NULL, 1);
    learning_open(&b, NULL, 1);
    for (uint32_t at = 0; at < STREAM; at += BATCH) {
        draw_many(records, &a.rng, BATCH, at, at * 3 / STREAM);
        learning_commit(&a, records, BATCH);
        learning_commit(&b, records, BATCH);
        atoll_reclaim_advance(a.state.reclaim); /* publishing, or not, changes nothing */
    }
    assert_int_equal(a.state.model.records, STREAM);
    assert_true(a.state.ridge && a.state.model.analytic);
    assert_int_equal(learning_digest(&a.state), learning_digest(&b.state));

    /* And the digest tells states apart. */
    draw_many(records, &a.rng, 1, 0, 0);
    learning_commit(&b, records, 1);
    assert_int_not_equal(learning_digest(&a.state), learning_digest(&b.state));
    free(records);
    learning_close(&a);
    learning_close(&b);
}

static void another_seed_gives_another_state(void **state)
{
    uint64_t digest[2];
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        learning l;
        atoll_config config;
        learning_config(&config);
        config.seed = 7 + seed;
        learning_open(&l, &config, 1);
        learning_feed(&l, learning_draw_text, 0, 200, 100);
        digest[seed] = learning_digest(&l.state);
        learning_close(&l);
    }
    assert_int_not_equal(digest[0], digest[1]);
}

static double share_right(const atoll_tally *since, const atoll_tally *now)
{
    return (double)(now->right - since->right) / (double)(now->asked - since->asked);
}

#ifndef ATOLL_SANITIZE /* statistics, and slow ones */
static void an_unlike_domain_gets_an_expert_of_its_own(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    learning_feed(&l, learning_draw_contrary, 0, 1000, BATCH);
    assert_int_equal(atoll_model_count(&l.state.model, ATOLL_EXPERT_ACTIVE), 1);
    assert_true(l.state.tally.recent > 0.9);
    atoll_tally before = l.state.tally;
    learning_feed(&l, learning_draw_contrary, 1, 1500, BATCH);
    assert_true(l.state.growth.promoted >= 2);
    assert_true(atoll_model_count(&l.state.model, ATOLL_EXPERT_ACTIVE) >= 2);
    assert_true(share_right(&before, &l.state.tally) > 0.8);

    /* What came first is still known. */
    before = l.state.tally;
    learning_feed(&l, learning_draw_contrary, 0, 200, BATCH);
    assert_true(share_right(&before, &l.state.tally) > 0.7);
    learning_close(&l);
}

static void a_stationary_stream_gets_no_more_than_the_first(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 2);
    learning_feed(&l, learning_draw_text, 0, 2 * STREAM, BATCH);
    assert_int_equal(l.state.growth.promoted, 1);
    assert_int_equal(atoll_model_count(&l.state.model, ATOLL_EXPERT_ACTIVE), 1);
    assert_true(l.state.tally.recent > 0.95);
    assert_true(l.state.tally.log_loss < 0.3);
    assert_true(l.state.tally.repeated < STREAM);
    learning_close(&l);
}

#endif

static void growth_that_is_off_grows_nothing(void **state)
{
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.growth_off = 1;
    learning_open(&l, &config, 2);
    learning_feed(&l, learning_draw_text, 0, 500, BATCH);
    assert_int_equal(l.state.model.experts, 1);
    assert_int_equal(l.state.growth.born, 0);
    assert_true(l.state.tally.recent > 0.85);
    learning_close(&l);
}

/* Two experts, then more of both domains and a new one, with text, vectors and new labels. */
static void a_frozen_part_is_not_changed_by_a_bit(void **state)
{
    (void)state;
    for (uint32_t freeze = ATOLL_FREEZE_GATE; freeze <= ATOLL_FREEZE_EXPERTS; freeze++) {
        learning l;
        learning_record drawn[40];
        uint64_t was[ATOLL_EXPERTS_MAX];
        uint32_t changed = 0;
        learning_open(&l, NULL, 4);
        learning_feed(&l, learning_draw_contrary, 0, 400, 40);
        learning_feed(&l, learning_draw_contrary, 1, 400, 40);
        draw_many(drawn, &l.rng, 40, 0, 1); /* a first vector gives every network room for vectors */
        learning_commit(&l, drawn, 40);
        atoll_model *model = &l.state.model;
        uint32_t experts = model->experts;
        uint64_t born = l.state.growth.born, gate = learning_net_digest(&model->gate.net);
        atoll_gate before = model->gate;
        for (uint32_t e = 0; e < experts; e++)
            was[e] = learning_expert_digest(&model->expert[e]);
        model->config.freeze = freeze;
        for (uint32_t domain = 0; domain < 4; domain++)
            for (int commit = 0; commit < 5; commit++) {
                draw_many(drawn, &l.rng, 40, 0, domain);
                learning_commit(&l, drawn, 40);
            }
        for (uint32_t e = 0; e < experts; e++)
            changed += learning_expert_digest(&model->expert[e]) != was[e];
        bool gate_kept = learning_net_digest(&model->gate.net) == gate &&
                         memcmp(model->gate.weight, before.weight, sizeof before.weight) == 0 &&
                         memcmp(&model->gate.newton, &before.newton, sizeof before.newton) == 0 &&
                         model->gate.version == before.version;
        assert_int_equal(gate_kept, freeze == ATOLL_FREEZE_GATE);
        assert_int_equal(changed == 0, freeze == ATOLL_FREEZE_EXPERTS);
        assert_int_equal(model->experts, experts);
        assert_int_equal(l.state.growth.born, born);
        model->config.freeze = ATOLL_FREEZE_NONE;
        learning_feed(&l, learning_draw_contrary, 0, 40, 40);
        assert_true(learning_expert_digest(&model->expert[0]) != was[0]);
        learning_close(&l);
    }
}

static void vectors_alone_are_learned(void **state)
{
    learning l;
    atoll_tally first = {0};
    learning_record *records = calloc(BATCH, sizeof *records);
    (void)state;
    learning_open(&l, NULL, 3);
    for (int commit = 0; commit < 6; commit++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t label = atoll_rng_below(&l.rng, 2);
            learning_draw_text(&records[i], &l.rng, 0, label);
            learning_add_vector(&records[i], &l.rng, label);
            records[i].record.text = (atoll_slice){0};
        }
        learning_commit(&l, records, BATCH);
        if (commit == 0)
            first = l.state.tally; /* a step of records is answered before any of them is learned */
    }
    assert_int_equal(l.state.model.encoder.vector_dim, LEARNING_VECTOR_DIM);
    assert_int_equal(l.state.model.encoder.vectors, 600);
    assert_int_equal(l.state.model.encoder.documents, 0);
    assert_true(share_right(&first, &l.state.tally) > 0.97);
    free(records);
    learning_close(&l);
}

/* Labels with one record each: their names tell the rest apart, though no text has held a word of them. */
static void names_are_learned_with_labels(void **state)
{
    static const char *const name[2] = {"green_apple", "redCherry"}, *const text[2] = {"i bought one", "she ate two"};
    learning l;
    learning_record records[20];
    atoll_term term[ATOLL_FEATURES_MAX];
    uint32_t terms, bucket[256];
    float weight[256], embedding[ATOLL_EMBEDDING_MAX_DIM], likeness[LEARNING_LABELS_A_DOMAIN + 2];
    atoll_text_scratch *scratch = atoll_text_scratch_new();
    (void)state;
    learning_open(&l, NULL, 9);
    for (uint32_t i = 0; i < 20; i++) {
        learning_draw_text(&records[i], &l.rng, 0, i % LEARNING_LABELS_A_DOMAIN);
        if (i >= 2)
            continue;
        records[i].record.label = (atoll_slice){name[i], strlen(name[i])};
        records[i].record.text = (atoll_slice){text[i], strlen(text[i])};
    }
    learning_commit(&l, records, 2);
    learning_commit(&l, records + 2, 18);
    const atoll_model *model = &l.state.model;
    for (uint32_t y = 0; y < 2; y++) {
        atoll_slice asked = y ? (atoll_slice){"cherry", 6} : (atoll_slice){"apple", 5};
        atoll_encoded encoded = {.bucket = bucket, .weight = weight, .embedding = embedding};
        assert_int_equal(atoll_terms_extract(scratch, asked, model->encoder.buckets, term, &terms, NULL), ATOLL_OK);
        atoll_encoder_weigh(&model->encoder, term, terms, &encoded);
        assert_true(atoll_naming_hear(&model->naming, bucket, weight, encoded.features, likeness, model->labels));
        for (uint32_t k = 0; k < model->labels; k++)
            assert_true(k == y ? likeness[k] > 0.3f : likeness[k] < 0.1f);
    }
    atoll_text_scratch_free(scratch);
    learning_close(&l);
}

static void what_follows_one_commit_of_another_size_is_the_same_in_kind(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 4);
    learning_feed(&l, learning_draw_text, 0, 70, 1);
    learning_feed(&l, learning_draw_text, 0, 330, 330);
    assert_int_equal(l.state.model.version, 71);
    assert_int_equal(l.state.model.records, 400);
    assert_int_equal(l.state.tally.asked, 400);
    assert_int_equal(l.state.model.expert[0].records, 400);
    assert_true(l.state.tally.recent > 0.8);
    learning_close(&l);
}

static void the_memory_stays_under_its_cap_and_fits_the_index(void **state)
{
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.memory_exemplars = 90;
    learning_open(&l, &config, 5);
    learning_feed(&l, learning_draw_text, 0, 300, BATCH);
    learning_feed(&l, learning_draw_text, 1, 300, BATCH);
    assert_int_equal(atoll_memory_count(l.state.memory), 90);
    assert_int_equal(atoll_index_count(l.state.index), 90);
    assert_int_equal(atoll_memory_verify(l.state.memory, NULL), ATOLL_OK);
    learning_close(&l);
}

static void domains_are_counted_apart(void **state)
{
    learning l;
    learning_record records[40];
    (void)state;
    learning_open(&l, NULL, 6);
    for (uint32_t i = 0; i < 40; i++) {
        learning_draw_text(&records[i], &l.rng, 0, 0);
        if (i < 30)
            records[i].record.domain = i < 20 ? (atoll_slice){"x", 1} : (atoll_slice){"y", 1};
    }
    learning_commit(&l, records, 40);
    assert_int_equal(l.state.domains.count, 2);
    assert_string_equal(l.state.domains.name[0], "x");
    assert_int_equal(l.state.domain[0].records, 20);
    assert_int_equal(l.state.domain[1].records, 10);
    assert_true(l.state.domain[1].right <= 10);
    learning_close(&l);
}

/* What is told to end does not begin another step; what is to end later learns as ever. */
static void a_commit_ends_between_steps_with_the_patience(void **state)
{
    enum { COUNT = 100 };
    learning hasty, calm;
    learning_record records[COUNT];
    atoll_record views[COUNT];
    atoll_error error;
    atoll_patience patience = {0};
    (void)state;
    learning_open(&hasty, NULL, 7);
    learning_open(&calm, NULL, 7);
    atoll_trainer_free(hasty.trainer);
    hasty.trainer = atoll_trainer_new(0, &patience);
    assert_non_null(hasty.trainer);
    for (uint32_t i = 0; i < COUNT; i++) {
        learning_draw_text(&records[i], &calm.rng, 0, i % 4);
        views[i] = records[i].record;
    }
    atoll_patience_set(&patience, 3600000);
    learning_commit(&hasty, records, COUNT);
    learning_commit(&calm, records, COUNT);
    assert_true(learning_digest(&hasty.state) == learning_digest(&calm.state));
    atoll_patience_set(&patience, 0);
    assert_int_equal(atoll_trainer_learn(hasty.trainer, &hasty.state, views, COUNT, hasty.state.model.version + 1,
                                         COUNT + 1, 1, &error),
                     ATOLL_SHUTTING_DOWN);
    assert_int_equal(hasty.state.model.records, COUNT);
    learning_close(&hasty);
    learning_close(&calm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_commits_give_the_same_state),
        cmocka_unit_test(another_seed_gives_another_state),
#ifndef ATOLL_SANITIZE
        cmocka_unit_test(an_unlike_domain_gets_an_expert_of_its_own),
        cmocka_unit_test(a_stationary_stream_gets_no_more_than_the_first),
#endif
        cmocka_unit_test(growth_that_is_off_grows_nothing),
        cmocka_unit_test(a_frozen_part_is_not_changed_by_a_bit),
        cmocka_unit_test(vectors_alone_are_learned),
        cmocka_unit_test(names_are_learned_with_labels),
        cmocka_unit_test(what_follows_one_commit_of_another_size_is_the_same_in_kind),
        cmocka_unit_test(the_memory_stays_under_its_cap_and_fits_the_index),
        cmocka_unit_test(domains_are_counted_apart),
        cmocka_unit_test(a_commit_ends_between_steps_with_the_patience),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
