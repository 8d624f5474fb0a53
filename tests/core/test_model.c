#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/limits.h"
#include "core/model.h"
#include "tests/core/paged.h"

/* ---- names ---- */

static uint32_t add(atoll_names *names, const char *name)
{
    uint32_t number = 12345;
    assert_int_equal(atoll_names_add(names, name, strlen(name), &number, NULL), ATOLL_OK);
    return number;
}

static uint32_t find(const atoll_names *names, const char *name)
{
    return atoll_names_find(names, name, strlen(name));
}

static void names_are_numbered_as_they_come(void **state)
{
    (void)state;
    enum { LIMIT = ATOLL_LABELS_MAX };
    static const char *kept[LIMIT];
    char name[32];
    atoll_names names;
    atoll_error error;
    uint32_t number = 7;
    assert_int_equal(atoll_names_init(&names, LIMIT, NULL), ATOLL_OK);
    assert_int_equal(find(&names, "n0"), UINT32_MAX);
    for (uint32_t i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof name, "n%u", i * 7919 % 100000);
        assert_int_equal(find(&names, name), UINT32_MAX);
        assert_int_equal(add(&names, name), i);
        kept[i] = names.name[i];
    }
    assert_int_equal(names.count, LIMIT);
    for (uint32_t i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof name, "n%u", i * 7919 % 100000);
        assert_int_equal(find(&names, name), i);
        assert_int_equal(add(&names, name), i);
        assert_ptr_equal(names.name[i], kept[i]); /* readers may hold them */
        assert_string_equal(names.name[i], name);
    }
    assert_int_equal(atoll_names_add(&names, "one more", 8, &number, &error), ATOLL_TOO_MANY_LABELS);
    assert_int_equal(error.status, ATOLL_TOO_MANY_LABELS);
    assert_int_equal(number, 7);
    assert_int_equal(names.count, LIMIT);
    assert_int_equal(find(&names, "one more"), UINT32_MAX);
    atoll_names_free(&names);
    atoll_names_free(&names);
}

static void names_are_compared_whole(void **state)
{
    (void)state;
    static const char *const alike[] = {"label", "labe", "labels", "Label", "lab el", "\xc3\xa9t\xc3\xa9"};
    enum { ALIKE = sizeof alike / sizeof alike[0] };
    atoll_names names;
    assert_int_equal(atoll_names_init(&names, ALIKE + 1, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < ALIKE; i++)
        assert_int_equal(add(&names, alike[i]), i);
    for (uint32_t i = 0; i < ALIKE; i++)
        assert_int_equal(find(&names, alike[i]), i);
    assert_int_equal(atoll_names_find(&names, "labels of no use", 6), 2); /* a view into something longer */
    assert_int_equal(atoll_names_find(&names, "labels", 3), UINT32_MAX);
    uint32_t number;
    assert_int_equal(atoll_names_add(&names, "labeled", 5, &number, NULL), ATOLL_OK);
    assert_int_equal(number, 0);
    assert_int_equal(find(&names, ""), UINT32_MAX);
    atoll_names_free(&names);
}

static void the_smallest_limits_hold(void **state)
{
    (void)state;
    atoll_names names;
    assert_int_equal(atoll_names_init(&names, 1, NULL), ATOLL_OK);
    assert_int_equal(add(&names, "x"), 0);
    assert_int_equal(add(&names, "x"), 0);
    assert_int_equal(find(&names, "y"), UINT32_MAX);
    atoll_names_free(&names);
}

/* ---- models ---- */

enum { DIM = 32, EXPERTS = 20 };

static const atoll_net_shape shape = {.rank = 4, .rate_wide = 0.1f, .rate_low = 0.1f, .rate_dense = 0.1f, .seed = 1};

typedef struct trial {
    atoll_pager pager;
    atoll_net_scratch scratch;
    atoll_model model;
    uint32_t bucket[3];
    float weight[3], probability[8], logits[8];
    atoll_input input;
} trial;

static void add_expert(trial *t)
{
    atoll_model *model = &t->model;
    uint32_t output;
    assert_int_equal(atoll_model_reserve(model, NULL), ATOLL_OK);
    assert_true(model->capacity > model->experts);
    atoll_expert *expert = &model->expert[model->experts];
    atoll_expert_init(expert, model->experts, &shape);
    model->experts++;
    for (uint32_t l = 0; l < 4; l++)
        assert_int_equal(atoll_expert_add_label(&t->pager, expert, l, &output, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_admit(&t->pager, &expert->net, &t->scratch, &t->input, NULL), ATOLL_OK);
}

static void trial_open(trial *t)
{
    *t = (trial){.bucket = {1, 2, 3}, .weight = {0.5f, 0.5f, 0.7f}};
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = 3};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->scratch);
    atoll_config_defaults(&t->model.config);
    atoll_encoder_init(&t->model.encoder, 1024, DIM, 1);
    atoll_gate_init(&t->model.gate, DIM, 1);
    atoll_combiner_init(&t->model.combiner);
    t->model.labels = 4;
}

/* The sum of what its parts tell. */
static uint64_t bytes_of(const atoll_model *model)
{
    uint64_t bytes = atoll_array_bytes(&model->encoder.frequency) + atoll_net_bytes(&model->gate.net);
    for (uint32_t e = 0; e < model->experts; e++)
        bytes += atoll_expert_bytes(&model->expert[e]);
    return bytes;
}

static void trial_close(trial *t)
{
    assert_int_equal(t->pager.live_bytes, bytes_of(&t->model));
    for (uint32_t e = 0; e < t->model.experts; e++)
        atoll_expert_clear(&t->pager, &t->model.expert[e]);
    free(t->model.expert);
    atoll_gate_clear(&t->pager, &t->model.gate);
    atoll_encoder_clear(&t->pager, &t->model.encoder);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static const float *ask(trial *t, const atoll_model *model, uint32_t expert)
{
    memset(t->probability, 0, sizeof t->probability);
    assert_int_equal(atoll_expert_predict(&model->expert[expert], &t->scratch, &t->input, NULL, 1, t->logits,
                                          t->probability, NULL),
                     ATOLL_OK);
    return t->probability;
}

static void learn(trial *t, uint32_t e)
{
    static const float delta[4] = {0.5f, -0.2f, 0.1f, -0.4f};
    atoll_expert *expert = &t->model.expert[e];
    float logits[8];
    assert_int_equal(atoll_net_forward(&expert->net, &t->scratch, &t->input, NULL, logits, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_backward(&t->pager, &expert->net, &t->scratch, &t->input, NULL, delta, NULL, NULL),
                     ATOLL_OK);
}

static void frozen_models_stand_on_their_own(void **state)
{
    (void)state;
    float before[EXPERTS / 2][8];
    trial t;
    trial_open(&t);
    for (int e = 0; e < EXPERTS / 2; e++)
        add_expert(&t);
    t.model.version = 41;
    t.model.expert[3].state = ATOLL_EXPERT_ACTIVE;
    t.model.expert[3].records = 17;
    atoll_novelty_learn(&t.model.novelty, 0.5f);
    for (uint32_t e = 0; e < EXPERTS / 2; e++)
        memcpy(before[e], ask(&t, &t.model, e), sizeof before[e]);

    atoll_model *frozen = atoll_model_freeze(&t.model);
    assert_non_null(frozen);
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    atoll_combiner combiner = frozen->combiner;
    const atoll_term term = 5 << 8 | 1;
    for (int round = 0; round < 5; round++) {
        for (int e = 0; e < 2; e++)
            add_expert(&t);
        for (uint32_t e = 0; e < t.model.experts; e++)
            learn(&t, e);
        assert_int_equal(atoll_encoder_learn(&t.pager, &t.model.encoder, &term, 1, NULL, 0, NULL), ATOLL_OK);
        t.model.expert[3].state = ATOLL_EXPERT_ARCHIVED;
        t.model.expert[3].records++;
        t.model.combiner.weight[0] += 1;
        t.model.version++;
        atoll_novelty_learn(&t.model.novelty, 0.1f);
        atoll_reclaim_advance(t.pager.reclaim);
    }
    assert_int_equal(t.model.experts, EXPERTS);
    assert_int_equal(frozen->experts, EXPERTS / 2);
    assert_int_equal(frozen->version, 41);
    assert_int_equal(frozen->expert[3].state, ATOLL_EXPERT_ACTIVE);
    assert_int_equal(frozen->expert[3].records, 17);
    assert_int_equal(frozen->novelty.count, 1);
    assert_memory_equal(&frozen->combiner, &combiner, sizeof combiner);
    assert_int_equal(frozen->encoder.frequency.count, 0);
    assert_int_equal(*(const uint32_t *)atoll_array_at(&t.model.encoder.frequency, 5), 5);
    for (uint32_t e = 0; e < EXPERTS / 2; e++) {
        assert_int_equal(frozen->expert[e].id, e);
        assert_memory_equal(ask(&t, frozen, e), before[e], sizeof before[e]);
        assert_memory_not_equal(ask(&t, &t.model, e), before[e], sizeof before[e]);
    }
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    free(frozen);
    trial_close(&t);
}

static void an_empty_model_can_be_frozen(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    atoll_model *frozen = atoll_model_freeze(&t.model);
    assert_non_null(frozen);
    assert_int_equal(frozen->experts, 0);
    free(frozen);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_numbered_as_they_come),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(the_smallest_limits_hold),
        cmocka_unit_test(frozen_models_stand_on_their_own),
        cmocka_unit_test(an_empty_model_can_be_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
