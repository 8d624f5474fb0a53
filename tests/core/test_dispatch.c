#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/dispatch.h"

enum { EXPERTS = 3, RECORDS = 3, TOKENS = 4 };

typedef struct trial {
    atoll_model model;
    atoll_arena arena;
    uint32_t load[ATOLL_LOADS * EXPERTS];
    atoll_route route[RECORDS];
    atoll_route_counts counts;
    atoll_gated gated[RECORDS];
} trial;

static void trial_open(trial *t, atoll_granularity granularity)
{
    *t = (trial){.model = {.experts = EXPERTS}};
    atoll_config_defaults(&t->model.config);
    t->model.config.granularity = granularity;
    t->model.config.top_k = 1;
    t->model.config.capacity_factor = 1;
    atoll_arena_init(&t->arena);
}

static void dispatch(trial *t, atoll_overflow overflow)
{
    t->counts = (atoll_route_counts){0};
    assert_int_equal(atoll_dispatch(&t->model, t->gated, RECORDS, overflow, t->load, &t->arena, t->route, &t->counts,
                                    NULL),
                     ATOLL_OK);
}

static const float first[EXPERTS] = {0, 0.9f, 0.1f}, second[EXPERTS] = {0, 0.2f, 0.8f};

static void records_are_routed_whole(void **state)
{
    trial t;
    (void)state;
    trial_open(&t, ATOLL_GRANULARITY_RECORD);
    for (int i = 0; i < RECORDS; i++)
        t.gated[i] = (atoll_gated){i == 1 ? second : first, 0};
    dispatch(&t, ATOLL_OVERFLOW_KEEP);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(t.route[i].count, 1);
        assert_int_equal(t.route[i].expert[0], i == 1 ? 2 : 1);
        assert_null(t.route[i].reads);
        assert_null(t.route[i].token);
    }
    assert_int_equal(t.counts.routed, 3);
    assert_int_equal(t.counts.overflowed, 0);
    atoll_arena_free(&t.arena);
}

/* Six tokens, three places an expert: of the five that want the first expert two are too many. */
static void capacity_and_overflow_count_tokens(void **state)
{
    static float gate[RECORDS][TOKENS][EXPERTS];
    trial t;
    (void)state;
    trial_open(&t, ATOLL_GRANULARITY_TOKEN);
    memcpy(gate[0][0], first, sizeof first);
    memcpy(gate[0][1], second, sizeof second);
    memcpy(gate[1][0], first, sizeof first);
    for (int i = 0; i < 3; i++)
        memcpy(gate[2][i], first, sizeof first);
    t.gated[0] = (atoll_gated){gate[0][0], 2};
    t.gated[1] = (atoll_gated){gate[1][0], 1};
    t.gated[2] = (atoll_gated){gate[2][0], 3};

    dispatch(&t, ATOLL_OVERFLOW_KEEP);
    assert_int_equal(t.counts.routed, 6);
    assert_int_equal(t.counts.overflowed, 2);
    assert_int_equal(t.counts.dropped, 0);
    assert_int_equal(t.route[0].count, 2); /* one sentence, two experts */
    assert_true(t.route[0].weight[0] == 0.5f && t.route[0].weight[1] == 0.5f);
    assert_int_equal(t.route[2].count, 1);

    dispatch(&t, ATOLL_OVERFLOW_NEXT);
    assert_int_equal(t.counts.routed, 6);
    assert_int_equal(t.counts.overflowed, 2);
    assert_int_equal(t.route[2].count, 2);
    assert_int_equal(t.route[2].expert[0], 2);

    dispatch(&t, ATOLL_OVERFLOW_DROP);
    assert_int_equal(t.counts.routed, 4);
    assert_int_equal(t.counts.overflowed, 2);
    assert_int_equal(t.counts.dropped, 2);
    assert_int_equal(t.route[2].count, 1);
    assert_true(t.route[2].reads[0] == 1 && t.route[2].reads[1] == 0 && t.route[2].reads[2] == 0);
    assert_true(t.route[2].weight[0] == 1);
    assert_true(t.route[2].token[0].count == 1 && t.route[2].token[0].expert[0] == 1);
    assert_int_equal(t.route[2].token[1].count, 0);
    atoll_arena_free(&t.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_routed_whole),
        cmocka_unit_test(capacity_and_overflow_count_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
