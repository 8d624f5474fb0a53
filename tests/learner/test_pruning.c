#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "learner/pruning.h"
#include "tests/support/learning.h"

enum { IDLE_AFTER_MS = 60000, NOW_MS = 1000000 };

typedef struct trial {
    learning l;
    uint32_t expert; /* the one that the stream bore */
} trial;

/* A model with one active expert that has learned a little. */
static void trial_open(trial *t)
{
    atoll_config config;
    learning_config(&config);
    config.idle_after_ms = IDLE_AFTER_MS;
    config.min_share = 0.01f;
    learning_open(&t->l, &config, 1);
    learning_feed(&t->l, learning_draw_text, 0, 300, 100);
    t->expert = t->l.state.growth.youngest;
    assert_int_not_equal(t->expert, ATOLL_EXPERT_NONE);
    assert_int_equal(t->l.state.model.expert[t->expert].state, ATOLL_EXPERT_ACTIVE);
    t->l.state.model.expert[t->expert].last_routed_ms = NOW_MS;
}

/* How many the plan names at a time, given when requests asked the expert last. */
static uint32_t planned(const trial *t, int64_t asked_ms, int64_t now_ms, atoll_pruned *pruned)
{
    int64_t last_ms[ATOLL_EXPERTS_MAX] = {0};
    uint32_t count = 99;
    last_ms[t->expert] = asked_ms;
    atoll_asked asked = {asked_ms ? t->l.state.model.experts : 0, last_ms};
    atoll_pruning_plan(&t->l.state.model, &asked, now_ms, pruned, &count);
    return count;
}

static void an_expert_is_idle_once_nothing_was_routed_to_it_for_long(void **state)
{
    trial t;
    atoll_pruned pruned[ATOLL_EXPERTS_MAX];
    (void)state;
    trial_open(&t);
    assert_int_equal(planned(&t, 0, NOW_MS + IDLE_AFTER_MS, pruned), 0);
    assert_int_equal(planned(&t, 0, NOW_MS + IDLE_AFTER_MS + 1, pruned), 1);
    assert_int_equal(pruned[0].id, t.expert);
    assert_non_null(strstr(pruned[0].reason, "idle"));
    assert_non_null(strstr(pruned[0].reason, "60 s"));
    learning_close(&t.l);
}

static void requests_keep_an_expert_alive(void **state)
{
    trial t;
    atoll_pruned pruned[ATOLL_EXPERTS_MAX];
    (void)state;
    trial_open(&t);
    assert_int_equal(planned(&t, NOW_MS + 5000, NOW_MS + 5000 + IDLE_AFTER_MS, pruned), 0);
    assert_int_equal(planned(&t, NOW_MS + 5000, NOW_MS + 5001 + IDLE_AFTER_MS, pruned), 1);
    assert_int_equal(planned(&t, NOW_MS - 5000, NOW_MS + IDLE_AFTER_MS, pruned), 0);
    learning_close(&t.l);
}

static void one_with_too_small_a_share_is_idle_once_there_was_time_to_earn_it(void **state)
{
    trial t;
    atoll_pruned pruned[ATOLL_EXPERTS_MAX];
    (void)state;
    trial_open(&t);
    atoll_model *model = &t.l.state.model;
    atoll_expert *expert = &model->expert[t.expert];
    expert->born_records = 500;
    expert->records = ATOLL_PRUNING_LEAST_RECORDS / 100;
    model->records = 500 + ATOLL_PRUNING_LEAST_RECORDS;
    assert_int_equal(planned(&t, 0, NOW_MS, pruned), 0); /* just min_share */
    expert->records--;
    assert_int_equal(planned(&t, 0, NOW_MS, pruned), 1);
    assert_non_null(strstr(pruned[0].reason, "share"));
    assert_non_null(strstr(pruned[0].reason, "0.00990"));
    model->records--;
    assert_int_equal(planned(&t, 0, NOW_MS, pruned), 0); /* too early to tell */
    learning_close(&t.l);
}

static void only_active_experts_are_pruned(void **state)
{
    static const atoll_expert_state states[] = {ATOLL_EXPERT_CANDIDATE, ATOLL_EXPERT_ARCHIVED, ATOLL_EXPERT_GONE};
    trial t;
    atoll_pruned pruned[ATOLL_EXPERTS_MAX];
    (void)state;
    trial_open(&t);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        t.l.state.model.expert[t.expert].state = states[i];
        assert_int_equal(planned(&t, 0, NOW_MS + 10 * IDLE_AFTER_MS, pruned), 0);
    }
    learning_close(&t.l);
}

static void archiving_empties_its_memory_and_restoring_brings_it_back(void **state)
{
    trial t;
    (void)state;
    trial_open(&t);
    atoll_state *s = &t.l.state;
    atoll_expert *expert = &s->model.expert[t.expert];
    uint32_t owned = atoll_memory_owned(s->memory, t.expert), held = atoll_memory_count(s->memory);
    uint64_t parameters = atoll_net_parameters(&expert->net);
    assert_true(owned > 0);
    assert_int_equal(atoll_pruning_archive(s, t.expert, 50, NULL), ATOLL_OK);
    assert_int_equal(expert->state, ATOLL_EXPERT_ARCHIVED);
    assert_int_equal(expert->version, 50);
    assert_int_equal(atoll_memory_owned(s->memory, t.expert), 0);
    assert_int_equal(atoll_memory_count(s->memory), held - owned);
    assert_int_equal(atoll_index_count(s->index), held - owned);
    assert_int_equal(atoll_memory_verify(s->memory, NULL), ATOLL_OK);
    assert_int_equal(s->growth.youngest, ATOLL_EXPERT_NONE);
    assert_int_equal(s->growth.pruned, 1);
    assert_int_equal(atoll_net_parameters(&expert->net), parameters);

    /* Learning goes on without it, and leaves it alone. */
    uint64_t records = expert->records;
    learning_feed(&t.l, learning_draw_text, 0, 200, 100);
    expert = &s->model.expert[t.expert];
    assert_int_equal(expert->state, ATOLL_EXPERT_ARCHIVED);
    assert_int_equal(expert->records, records);
    assert_int_equal(expert->version, 50);
    assert_int_equal(atoll_memory_owned(s->memory, t.expert), 0);

    assert_int_equal(atoll_pruning_restore(s, t.expert, 60, NOW_MS, NULL), ATOLL_OK);
    assert_int_equal(expert->state, ATOLL_EXPERT_ACTIVE);
    assert_int_equal(expert->version, 60);
    assert_int_equal(expert->last_routed_ms, NOW_MS);
    assert_int_equal(s->growth.restored, 1);
    learning_close(&t.l);
}

static void archiving_leaves_what_others_own(void **state)
{
    enum { HANDED_OVER = 5 };
    trial t;
    (void)state;
    trial_open(&t);
    atoll_state *s = &t.l.state;
    uint32_t other;
    assert_int_equal(atoll_state_add_expert(s, &other, NULL), ATOLL_OK);
    for (uint32_t slot = 0; slot < HANDED_OVER; slot++)
        assert_int_equal(atoll_memory_reassign(s->memory, slot, other, NULL), ATOLL_OK);
    assert_true(atoll_memory_owned(s->memory, t.expert) > 0);
    assert_int_equal(atoll_pruning_archive(s, t.expert, 50, NULL), ATOLL_OK);
    assert_int_equal(atoll_memory_owned(s->memory, t.expert), 0);
    assert_int_equal(atoll_memory_owned(s->memory, other), HANDED_OVER);
    assert_int_equal(atoll_memory_count(s->memory), HANDED_OVER);
    assert_int_equal(atoll_index_count(s->index), HANDED_OVER);
    learning_close(&t.l);
}

static void only_archived_experts_are_restored(void **state)
{
    trial t;
    atoll_error error;
    (void)state;
    trial_open(&t);
    atoll_state *s = &t.l.state;
    assert_int_equal(atoll_pruning_restore(s, t.expert, 60, NOW_MS, &error), ATOLL_WRONG_STATE);
    assert_int_equal(atoll_pruning_restore(s, 0, 60, NOW_MS, &error), ATOLL_UNKNOWN_EXPERT);
    assert_int_equal(atoll_pruning_restore(s, s->model.experts, 60, NOW_MS, &error), ATOLL_UNKNOWN_EXPERT);
    atoll_expert_clear(&s->pager, &s->model.expert[t.expert]);
    s->model.expert[t.expert].state = ATOLL_EXPERT_GONE;
    assert_int_equal(atoll_pruning_restore(s, t.expert, 60, NOW_MS, &error), ATOLL_UNKNOWN_EXPERT);
    assert_int_equal(s->growth.restored, 0);
    learning_close(&t.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expert_is_idle_once_nothing_was_routed_to_it_for_long),
        cmocka_unit_test(requests_keep_an_expert_alive),
        cmocka_unit_test(one_with_too_small_a_share_is_idle_once_there_was_time_to_earn_it),
        cmocka_unit_test(only_active_experts_are_pruned),
        cmocka_unit_test(archiving_empties_its_memory_and_restoring_brings_it_back),
        cmocka_unit_test(archiving_leaves_what_others_own),
        cmocka_unit_test(only_archived_experts_are_restored),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
