#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "core/standing.h"
#include "tests/core/paged.h"

enum { EXPERTS = 5, LABELS = 3 };

static const struct {
    atoll_expert_state state;
    uint32_t records, learned[LABELS];
} experts[EXPERTS] = {{ATOLL_EXPERT_SHARED, 5000, {60, 0, 20}},
                      {ATOLL_EXPERT_ACTIVE, 4000, {30, 0, 0}},
                      {ATOLL_EXPERT_CANDIDATE, 9, {10, 0, 0}},
                      {ATOLL_EXPERT_ARCHIVED, 500, {0, 0, 20}},
                      {ATOLL_EXPERT_ACTIVE, 99, {0, 0, 5}}};

static void model_open(atoll_pager *pager, atoll_model *model)
{
    *model = (atoll_model){.labels = LABELS};
    pager_open(pager);
    for (uint32_t e = 0; e < EXPERTS; e++) {
        assert_int_equal(atoll_model_reserve(model, NULL), ATOLL_OK);
        atoll_expert *expert = &model->expert[model->experts++];
        atoll_expert_init(expert, e, &(atoll_net_shape){.rank = 8});
        expert->state = experts[e].state;
        expert->records = experts[e].records;
        expert->exemplars = 7 * e;
        for (uint32_t l = 0; l < LABELS; l++) {
            uint32_t output;
            assert_int_equal(atoll_expert_add_label(pager, expert, l, &output, NULL), ATOLL_OK);
            atoll_expert_label *label = atoll_array_edit(pager, &expert->labels, output);
            label->records = experts[e].learned[l];
        }
    }
}

static void model_close(atoll_pager *pager, atoll_model *model)
{
    for (uint32_t e = 0; e < EXPERTS; e++)
        atoll_expert_clear(pager, &model->expert[e]);
    free(model->expert);
    pager_close(pager);
}

static void open_experts_own_what_they_learned(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_model model;
    atoll_standing standing;
    float share[EXPERTS][LABELS] = {{0}};
    model_open(&pager, &model);
    void *room = malloc(atoll_standing_bytes(&model));
    atoll_standing_fill(&model, room, &standing);
    assert_int_equal(standing.experts, EXPERTS);
    assert_int_equal(standing.ownerships, 3 * LABELS);
    for (uint32_t e = 0, i = 0; e < EXPERTS; e++)
        for (; i < standing.owned[e]; i++)
            share[e][standing.ownership[i].label] = standing.ownership[i].share;
    assert_int_equal(standing.owned[EXPERTS - 1], standing.ownerships);
    for (uint32_t e = 0; e < EXPERTS; e++)
        assert_true(standing.exemplars[e] == (float)(7 * e));
    for (uint32_t e = 0; e < EXPERTS; e++)
        assert_int_equal(standing.open[e], e == 1 || e == 2 || e == 4);
    assert_true(share[1][0] == 0.75f && share[2][0] == 0.25f && share[3][2] == 0 && share[4][2] == 1);
    assert_true(share[1][1] == 0 && share[1][2] == 0); /* nobody has learned label 1 */
    assert_true(standing.youth[1] == 0);
    assert_true(fabsf(standing.youth[2] - logf(100)) < 1e-5f && fabsf(standing.youth[4] - logf(10)) < 1e-5f);
    assert_int_equal(standing.only, 0);
    model.expert[2].state = ATOLL_EXPERT_ARCHIVED;
    atoll_standing_fill(&model, room, &standing);
    assert_int_equal(standing.only, 0);
    model.expert[1].state = ATOLL_EXPERT_ARCHIVED;
    atoll_standing_fill(&model, room, &standing);
    assert_int_equal(standing.only, 4);
    model.expert[4].state = ATOLL_EXPERT_ARCHIVED;
    atoll_standing_fill(&model, room, &standing);
    assert_int_equal(standing.only, 0);
    free(room);
    model_close(&pager, &model);
}

static void an_empty_model_has_none(void **state)
{
    (void)state;
    atoll_model model = {0};
    atoll_standing standing;
    char room[1];
    assert_int_equal(atoll_standing_bytes(&model), 0);
    atoll_standing_fill(&model, room, &standing);
    assert_true(standing.experts == 0 && standing.ownerships == 0 && standing.only == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_experts_own_what_they_learned),
        cmocka_unit_test(an_empty_model_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
