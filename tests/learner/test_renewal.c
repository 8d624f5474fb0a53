#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "learner/pruning.h"
#include "learner/renewal.h"
#include "tests/support/learning.h"

enum { VISIT = 1600, BATCH = 50, LABELS = LEARNING_LABELS_A_DOMAIN };

/* Learns a visit of a concept, which calls topic k label k + concept. Returns how many of its last 400 were right. */
static uint32_t visit(learning *l, uint32_t concept, uint32_t first_topic, uint32_t topics)
{
    learning_record *records = malloc(BATCH * sizeof *records);
    assert_non_null(records);
    uint64_t before = 0;
    for (uint32_t at = 0; at < VISIT; at += BATCH) {
        before = at == VISIT - 400 ? l->state.tally.right : before;
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t topic = first_topic + atoll_rng_below(&l->rng, topics);
            learning_draw_concept(&records[i], &l->rng, concept, topic);
            learning_add_vector(&records[i], &l->rng, topic);
            records[i].record.text = (atoll_slice){0};
        }
        learning_commit(l, records, BATCH);
        atoll_reclaim_advance(l->state.reclaim);
    }
    assert_int_equal(atoll_memory_verify(l->state.memory, NULL), ATOLL_OK);
    free(records);
    return (uint32_t)(l->state.tally.right - before);
}

static void a_replaced_concept_goes_and_a_returning_one_is_known(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    assert_in_range(visit(&l, 0, 0, LABELS), 375, 400);
    assert_int_equal(l.state.drift.now.slept, 0);
    uint64_t learned = l.state.ridge->records;
    assert_in_range(visit(&l, 1, 0, LABELS), 375, 400);
    assert_int_equal(l.state.change->now.alarms, 1);
    assert_int_equal(l.state.drift.now.replaced, 1);
    assert_true(l.state.drift.now.dormant > 50);
    assert_true(l.state.ridge->records < learned + VISIT / 2 && l.state.ridge->records > VISIT / 2);
    assert_in_range(visit(&l, 0, 0, LABELS), 375, 400);
    assert_int_equal(l.state.drift.now.returned, 1);
    assert_int_equal(l.state.drift.now.replaced, 1);
    learning_close(&l);
}

static void classes_one_after_another_lose_nothing(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    visit(&l, 0, 0, LABELS);
    visit(&l, 0, LABELS / 2, LABELS / 2);
    visit(&l, 0, 0, LABELS / 2);
    visit(&l, 0, 0, LABELS);
    assert_int_equal(l.state.drift.now.replaced, 0);
    assert_int_equal(l.state.drift.now.slept, 0);
    learning_close(&l);
}

static void frozen_experts_watch_nothing(void **state)
{
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.freeze = ATOLL_FREEZE_EXPERTS;
    learning_open(&l, &config, 1);
    visit(&l, 0, 0, LABELS);
    visit(&l, 1, 0, LABELS);
    assert_int_equal(l.state.change->now.alarms, 0);
    assert_int_equal(l.state.drift.now.replaced, 0);
    learning_close(&l);
}

/* Of twelve numbers two signs together make the label. Returns how many of the last 400 records were right. */
static uint32_t learn_table(learning *l, uint32_t count)
{
    learning_record records[BATCH];
    uint64_t before = 0;
    for (uint32_t at = 0; at < count; at += BATCH) {
        before = at == count - 400 ? l->state.tally.right : before;
        for (uint32_t i = 0; i < BATCH; i++) {
            learning_draw_text(&records[i], &l->rng, 0, 0);
            learning_add_vector(&records[i], &l->rng, 0);
            for (uint32_t k = 0; k < LEARNING_VECTOR_DIM; k++)
                records[i].vector[k] = atoll_rng_normal(&l->rng);
            records[i].record.text = (atoll_slice){0};
            records[i].record.label =
                records[i].vector[4] * records[i].vector[9] > 0 ? (atoll_slice){"same", 4} : (atoll_slice){"other", 5};
        }
        learning_commit(l, records, BATCH);
        atoll_reclaim_advance(l->state.reclaim);
    }
    return (uint32_t)(l->state.tally.right - before);
}

static void open_for_table(learning *l, atoll_freeze freeze)
{
    atoll_config config;
    learning_config(&config);
    config.memory_exemplars = 2000;
    config.freeze = freeze;
    learning_open(l, &config, 1);
}

static void features_read_the_columns_that_tell(void **state)
{
    learning l;
    (void)state;
    open_for_table(&l, ATOLL_FREEZE_NONE);
    uint32_t right = learn_table(&l, 1000);
    const atoll_projection *before = l.state.projection;
    assert_int_equal(before->pairs, 0);
    assert_in_range(learn_table(&l, 1000), right + 40, 400);
    const atoll_projection *p = l.state.projection;
    assert_ptr_not_equal(p, before);
    assert_ptr_equal(p, l.state.model.projection);
    assert_true(p->pairs && p->pair[0].a == 4 && p->pair[0].b == 9);
    learning_close(&l);

    /* Experts that may not learn could not learn new features. */
    open_for_table(&l, ATOLL_FREEZE_EXPERTS);
    learn_table(&l, 1200);
    assert_int_equal(l.state.projection->pairs, 0);
    learning_close(&l);
}

/* What is archived cannot learn new features, and must be of use when it is restored. */
static void an_archived_expert_keeps_the_features_as_they_are(void **state)
{
    learning l;
    (void)state;
    open_for_table(&l, ATOLL_FREEZE_NONE);
    learn_table(&l, 1000);
    const atoll_projection *before = l.state.projection;
    uint32_t id = l.state.growth.youngest;
    assert_int_not_equal(id, ATOLL_EXPERT_NONE);
    atoll_expert *expert = &l.state.model.expert[id];
    assert_int_equal(expert->state, ATOLL_EXPERT_ACTIVE);
    assert_int_equal(atoll_pruning_archive(&l.state, id, l.state.model.version, NULL), ATOLL_OK);
    uint64_t archived = learning_net_digest(&expert->net);
    learn_table(&l, 1000);
    assert_int_equal(expert->state, ATOLL_EXPERT_ARCHIVED);
    assert_true(atoll_encoder_settled(&l.state.model.encoder)); /* when they would have been drawn anew */
    assert_ptr_equal(l.state.projection, before);
    assert_int_equal(l.state.projection->pairs, 0);
    assert_true(learning_net_digest(&expert->net) == archived);
    assert_int_equal(atoll_pruning_restore(&l.state, id, l.state.model.version, 0, NULL), ATOLL_OK);
    assert_true(learning_net_digest(&expert->net) == archived);
    learn_table(&l, 500);
    assert_ptr_equal(l.state.projection, before);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_concept_goes_and_a_returning_one_is_known),
        cmocka_unit_test(classes_one_after_another_lose_nothing),
        cmocka_unit_test(frozen_experts_watch_nothing),
        cmocka_unit_test(features_read_the_columns_that_tell),
        cmocka_unit_test(an_archived_expert_keeps_the_features_as_they_are),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
