#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/learning.h"

static void open_state(atoll_state *state, uint32_t experts_max)
{
    atoll_config config;
    learning_config(&config);
    config.experts_max = experts_max;
    assert_int_equal(atoll_state_init(state, &config, NULL), ATOLL_OK);
}

static void a_new_model_has_the_shared_expert_alone(void **unused)
{
    atoll_state state;
    (void)unused;
    open_state(&state, 8);
    assert_int_equal(state.model.experts, 1);
    assert_int_equal(state.model.expert[0].id, 0);
    assert_int_equal(state.model.expert[0].state, ATOLL_EXPERT_SHARED);
    assert_int_equal(state.model.labels, 0);
    assert_int_equal(state.model.version, 0);
    assert_int_equal(state.model.gate.net.outputs, 1);
    assert_int_equal(atoll_memory_count(state.memory), 0);
    assert_int_equal(atoll_index_count(state.index), 0);
    assert_null(state.ridge);
    assert_int_equal(state.tally.last_label, UINT32_MAX);
    assert_true(state.model.sureness.bound > 1 && state.model.alone.bound > 1); /* sure of nothing */
    assert_false(state.model.encoder.outside);
    assert_ptr_equal(state.model.names, &state.labels);
    atoll_state_free(&state);
    atoll_state_free(&state); /* what is freed is empty, and may be freed */
}

static void embeddings_come_from_where_the_configuration_says(void **unused)
{
    atoll_state state;
    atoll_config config;
    (void)unused;
    learning_config(&config);
    config.embedding_source = ATOLL_EMBEDDING_HTTP;
    assert_int_equal(atoll_state_init(&state, &config, NULL), ATOLL_OK);
    assert_true(state.model.encoder.outside);
    atoll_state_free(&state);
}

static void experts_take_the_places_up_to_the_limit(void **unused)
{
    atoll_state state;
    atoll_error error;
    uint32_t id;
    (void)unused;
    open_state(&state, 3);
    for (uint32_t e = 1; e <= 3; e++) {
        assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_OK);
        assert_int_equal(id, e);
        assert_int_equal(state.model.expert[e].id, e);
        assert_int_equal(state.model.expert[e].state, ATOLL_EXPERT_CANDIDATE);
        assert_int_equal(state.model.gate.net.outputs, e + 1);
    }
    assert_int_equal(atoll_state_add_expert(&state, &id, &error), ATOLL_BUSY);
    assert_int_equal(error.status, ATOLL_BUSY);
    assert_int_equal(state.model.experts, 4);
    assert_int_equal(atoll_model_count(&state.model, ATOLL_EXPERT_CANDIDATE), 3);
    assert_int_equal(atoll_model_count(&state.model, ATOLL_EXPERT_SHARED), 1);
    assert_int_equal(atoll_model_count(&state.model, ATOLL_EXPERT_ACTIVE), 0);

    /* An archived expert keeps its place; one that is gone gives it. */
    state.model.expert[1].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_BUSY);
    atoll_expert_clear(&state.pager, &state.model.expert[2]);
    state.model.expert[2].state = ATOLL_EXPERT_GONE;
    assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_OK);
    assert_int_equal(id, 2);
    assert_int_equal(state.model.experts, 4);
    assert_int_equal(state.model.expert[2].state, ATOLL_EXPERT_CANDIDATE);
    assert_int_equal(state.model.expert[2].records, 0);
    atoll_state_free(&state);
}

static void the_first_vector_gives_every_expert_a_dense_path(void **unused)
{
    atoll_state state;
    uint32_t id;
    (void)unused;
    open_state(&state, 8);
    assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_OK);
    assert_int_equal(atoll_state_set_vector(&state, 24, NULL), ATOLL_OK);
    assert_int_equal(state.model.encoder.vector_dim, 24);
    assert_non_null(state.ridge);
    assert_non_null(state.projection);
    assert_int_equal(state.projection->dim, 24);
    assert_ptr_equal(state.model.projection, state.projection);
    uint32_t hidden = state.model.config.expert_hidden;
    assert_true(state.model.expert[0].net.random_open && state.model.expert[id].net.random_open);
    assert_int_equal(state.model.expert[0].net.random_dim, ATOLL_SHARED_DENSE * hidden);
    assert_int_equal(state.model.expert[id].net.random_dim, ATOLL_EXPERT_DENSE * hidden);
    assert_int_equal(atoll_state_add_expert(&state, &id, NULL), ATOLL_OK);
    assert_int_equal(state.model.expert[id].net.random_dim, ATOLL_EXPERT_DENSE * hidden);
    atoll_state_free(&state);
}

static void experts_start_from_weights_of_their_own(void **unused)
{
    atoll_config config;
    (void)unused;
    learning_config(&config);
    atoll_net_shape shared = atoll_state_shape(&config, 0), first = atoll_state_shape(&config, 1);
    assert_int_not_equal(shared.seed, first.seed);
    assert_true(shared.rate_low < first.rate_low);
    assert_int_equal(shared.random_dim, ATOLL_SHARED_DENSE * config.expert_hidden);
    assert_int_equal(shared.rank % 8, 0);
    assert_int_equal(shared.hidden, 0);
    config.dense_hidden = 40;
    assert_int_equal(atoll_state_shape(&config, 0).hidden, 40);
    assert_int_equal(atoll_state_shape(&config, 1).hidden, 40);
    config.shared_hidden = 160;
    assert_int_equal(atoll_state_shape(&config, 0).random_dim, ATOLL_PROJECTION_FEATURES);
    assert_int_equal(atoll_state_shape(&config, 0).rank, 40);
    assert_int_equal(atoll_state_shape(&config, 1).random_dim, ATOLL_EXPERT_DENSE * config.expert_hidden);
    config.seed++;
    assert_int_not_equal(atoll_state_shape(&config, 1).seed, first.seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_model_has_the_shared_expert_alone),
        cmocka_unit_test(embeddings_come_from_where_the_configuration_says),
        cmocka_unit_test(experts_take_the_places_up_to_the_limit),
        cmocka_unit_test(the_first_vector_gives_every_expert_a_dense_path),
        cmocka_unit_test(experts_start_from_weights_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
