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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(features_are_averaged, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_known_label_counts_as_wrong_where_another_is_likelier, setup, teardown),
        cmocka_unit_test_setup_teardown(routes_move_shares_times_and_entropy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
