#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "learner/tally.h"

static atoll_state state;

static int setup(void **context)
{
    atoll_config config;
    uint32_t id;
    (void)context;
    atoll_config_defaults(&config);
    config.feature_buckets = 1024;
    config.memory_exemplars = 16;
    assert_int_equal(atoll_state_init(&state, &config, NULL), ATOLL_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_OK);
    return 0;
}

static int teardown(void **context)
{
    (void)context;
    atoll_state_free(&state);
    return 0;
}

static void features_are_averaged(void **context)
{
    (void)context;
    state.tally.asked = 0;
    atoll_tally_features(&state, 100, 40);
    assert_float_equal(state.tally.features, 100, 1e-9);
    state.tally.asked = 1;
    atoll_tally_features(&state, 50, 20);
    assert_float_equal(state.tally.features, 75, 1e-9);
    assert_float_equal(state.tally.common, 30, 1e-9);
    state.tally.asked = 0;
}

static void answers_are_counted(void **context)
{
    (void)context;
    const float p[] = {0.7f, 0.2f, 0.1f}, shared[] = {0.5f, 0.25f, 0.25f};
    atoll_voices voices = {.labels = 3, .says = {[ATOLL_VOICE_SHARED] = shared}};
    assert_true(atoll_tally_answer(&state, &voices, p, 0, 4) == p[0]);
    atoll_tally_answer(&state, &voices, p, 1, 4);
    atoll_tally_answer(&state, &voices, p, 3, UINT32_MAX); /* a label that nobody knew */
    assert_int_equal(state.tally.asked, 3);
    assert_int_equal(state.tally.right, 1);
    assert_int_equal(state.domain[4].records, 2);
    assert_int_equal(state.domain[4].right, 1);
    assert_true(fabs(state.tally.recent - 1.0 / 3) < 1e-9);
    double first = 0.01 * -log(0.7), second = first + 0.01 * (-log(0.2) - first);
    assert_true(fabs(state.tally.log_loss - second) < 1e-6);
    assert_true(state.model.expert[0].loss > 0);
    /* Three answers of score .7, one of them right. */
    assert_true(fabs(atoll_calibration_error(&state.tally.calibration) - fabs(1.0 / 3 - 0.7)) < 1e-3);
}

static void a_known_label_counts_as_wrong_where_another_is_likelier(void **context)
{
    (void)context;
    const float p[] = {0.3f, 0.7f};
    atoll_voices voices = {.labels = 2};
    atoll_tally_answer(&state, &voices, p, 0, UINT32_MAX);
    assert_int_equal(state.tally.right, 0);
    assert_true(state.model.expert[0].loss == 0); /* the shared expert was silent */
}

static void routes_move_shares_times_and_entropy(void **context)
{
    (void)context;
    const float gate[] = {0, 0.5f, 0.5f};
    atoll_route route = {.count = 1, .expert = {2}, .weight = {1}};
    for (int i = 0; i < 5000; i++)
        atoll_tally_route(&state, gate, &route, 1000 + i);
    assert_true(state.model.expert[2].share > 0.99);
    assert_true(state.model.expert[1].share == 0);
    assert_int_equal(state.model.expert[2].last_routed_ms, 5999);
    assert_int_equal(state.model.expert[1].last_routed_ms, 0);
    assert_true(fabs(state.tally.entropy - log(2)) < 1e-6);
}

/* Routes go to `routed` alone, records to `owner`, and what a batch leaves is looked at now and then. */
static void stream(uint32_t routed, uint32_t owner, int records)
{
    float gate[3] = {0};
    atoll_route route = {.count = 1, .expert = {routed}, .weight = {1}};
    gate[routed] = 1;
    for (int i = 0; i < records; i++) {
        atoll_tally_route(&state, gate, &route, i);
        atoll_tally_owner(&state, owner);
        state.tally.asked++;
        if (i % 64 == 0)
            atoll_tally_collapse(&state);
    }
}

/* To one expert, while another owns the records: that is told; not where the stream is of one domain. */
static void a_collapse_is_told(void **context)
{
    (void)context;
    state.model.expert[1].state = ATOLL_EXPERT_ACTIVE;
    stream(1, 1, 8000);
    assert_int_equal(state.tally.collapses, 0); /* there is but one to answer */
    state.model.expert[2].state = ATOLL_EXPERT_ACTIVE;
    stream(1, 1, 4000);
    stream(2, 2, 8000);
    assert_int_equal(state.tally.collapses, 0); /* one domain after the other */
    stream(2, 1, 3000);
    assert_int_equal(state.tally.collapsed, 2);
    assert_int_equal(state.tally.collapses, 1);
    stream(1, 1, 500);
    assert_int_equal(state.tally.collapsed, 0);
    stream(1, 1, 8000);
    assert_int_equal(state.tally.collapses, 1);
}

/* Half to each is no collapse, whoever owns. */
static void balanced_routes_are_no_collapse(void **context)
{
    (void)context;
    state.model.expert[1].state = state.model.expert[2].state = ATOLL_EXPERT_ACTIVE;
    for (int i = 0; i < 100; i++) {
        stream(1, 2, 40);
        stream(2, 2, 40);
    }
    assert_int_equal(state.tally.collapses, 0);
}

static void loads_are_counted_by_expert(void **context)
{
    (void)context;
    const uint32_t load[ATOLL_LOADS * 3] = {0, 9, 4, /**/ 0, 3, 0, /**/ 0, 1, 0};
    atoll_tally_load(&state, load, 3);
    atoll_tally_load(&state, load, 3);
    assert_int_equal(state.model.expert[1].overflowed, 6);
    assert_int_equal(state.model.expert[1].dropped, 2);
    assert_int_equal(state.model.expert[2].overflowed, 0);
}

static void the_gate_is_averaged_by_expert(void **context)
{
    (void)context;
    const float gate[] = {0, 0.75f, 0.25f};
    atoll_route route = {.count = 1, .expert = {1}, .weight = {1}};
    state.model.config.balance = ATOLL_BALANCE_LOAD;
    state.model.config.top_k = 1;
    for (int i = 0; i < 10000; i++)
        atoll_tally_route(&state, gate, &route, i);
    assert_true(fabs(state.model.expert[1].importance - 0.75) < 1e-3);
    assert_true(fabs(state.model.expert[1].load + state.model.expert[2].load - 1) < 1e-3);
    assert_true(state.model.expert[1].load > 0.8);
    assert_true(fabs(state.model.expert[1].entropy - state.tally.entropy) < 1e-6);
    assert_true(state.model.expert[2].entropy == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(features_are_averaged, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_known_label_counts_as_wrong_where_another_is_likelier, setup, teardown),
        cmocka_unit_test_setup_teardown(routes_move_shares_times_and_entropy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_collapse_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(balanced_routes_are_no_collapse, setup, teardown),
        cmocka_unit_test_setup_teardown(loads_are_counted_by_expert, setup, teardown),
        cmocka_unit_test_setup_teardown(the_gate_is_averaged_by_expert, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
