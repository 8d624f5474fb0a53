#include "learner/state.h"

#include <stdlib.h>

#include "core/limits.h"
#include "learner/renewal.h"

/*
 * AdaGrad's first step of a weight is the rate, however small its gradient: a rare feature would deny all labels but
 * one alike, and a wrong label would weigh as much as a right one. With `start_wide` in the accumulators first steps go
 * by their gradients: docs/decisions.md.
 */
static const float rate_wide = 0.5f, start_wide = 0.01f;

atoll_net_shape atoll_state_shape(const atoll_config *config, uint32_t id)
{
    uint32_t hidden = id == 0 && config->shared_hidden ? config->shared_hidden : config->expert_hidden;
    /* Rank a quarter of the hidden size: on sparse text a wider low-rank path learns no better, and fills memory. */
    uint32_t read = (id ? ATOLL_EXPERT_DENSE : ATOLL_SHARED_DENSE) * hidden;
    return (atoll_net_shape){.rank = (hidden / 4 + 7) / 8 * 8,
                             .hidden = config->dense_hidden,
                             .random_dim = read < ATOLL_PROJECTION_FEATURES ? read : ATOLL_PROJECTION_FEATURES,
                             .rate_wide = rate_wide,
                             .start_wide = start_wide,
                             .rate_low = id ? 0.1f : 0.05f,
                             .rate_dense = 0.02f,
                             .rate_random = 0.002f,
                             .lists = true,
                             .seed = config->seed * 1000003 + id};
}

atoll_status atoll_state_init(atoll_state *state, const atoll_config *config, atoll_error *error)
{
    atoll_status status;
    *state = (atoll_state){.tally = {.last_label = UINT32_MAX}};
    state->reclaim = atoll_reclaim_new();
    if (!state->reclaim)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a model");
    state->pager.reclaim = state->reclaim;
    state->model.config = *config;
    atoll_gate_init(&state->model.gate, config->embedding_dim, config->seed);
    atoll_served_init(&state->gate);
    atoll_combiner_init(&state->model.combiner);
    atoll_sureness_init(&state->model.sureness);
    atoll_sureness_init(&state->model.alone);
    atoll_counts_init(&state->model.counts);
    atoll_naming_init(&state->model.naming);
    atoll_encoder_init(&state->model.encoder, config->feature_buckets, config->embedding_dim, config->seed);
    if ((status = atoll_names_init(&state->labels, ATOLL_LABELS_MAX, error)) ||
        (status = atoll_names_init(&state->domains, ATOLL_DOMAINS_MAX, error)) ||
        (status = atoll_memory_new(&state->pager, config->memory_exemplars, &state->memory, error)) ||
        (status = atoll_index_new(config->embedding_dim, config->memory_exemplars, &state->index, error)) ||
        (status = atoll_drift_init(&state->drift, config->memory_exemplars, error)) ||
        (status = atoll_model_reserve(&state->model, error)) ||
        (status = atoll_net_grow(&state->pager, &state->model.gate.net, 1, error)))
        goto fail;
    state->model.encoder.outside = config->embedding_source == ATOLL_EMBEDDING_HTTP;
    state->model.names = &state->labels;
    state->domain = calloc(ATOLL_DOMAINS_MAX, sizeof *state->domain);
    if (!state->domain) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a model");
        goto fail;
    }
    atoll_net_shape shape = atoll_state_shape(config, 0);
    atoll_expert_init(&state->model.expert[0], 0, &shape);
    state->model.expert[0].state = ATOLL_EXPERT_SHARED;
    state->model.experts = 1;
    return ATOLL_OK;
fail:
    atoll_state_free(state);
    return status;
}

void atoll_state_free(atoll_state *state)
{
    for (uint32_t e = 0; e < state->model.experts; e++)
        atoll_expert_clear(&state->pager, &state->model.expert[e]);
    free(state->model.expert);
    free(state->domain);
    if (state->reclaim) {
        atoll_gate_clear(&state->pager, &state->model.gate);
        atoll_served_clear(&state->pager, &state->gate);
        atoll_counts_clear(&state->pager, &state->model.counts);
        atoll_naming_clear(&state->pager, &state->model.naming);
        atoll_encoder_clear(&state->pager, &state->model.encoder);
    }
    free((void *)state->model.analytic);
    atoll_drift_free(&state->drift);
    atoll_index_free(state->index);
    atoll_memory_free(state->memory);
    atoll_ridge_free(state->ridge);
    atoll_projection_free(state->projection);
    atoll_change_free(state->change);
    atoll_names_free(&state->labels);
    atoll_names_free(&state->domains);
    atoll_reclaim_free(state->reclaim);
    *state = (atoll_state){0};
}

atoll_status atoll_state_set_vector(atoll_state *state, uint32_t vector_dim, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_status status = ATOLL_OK;
    if (!state->ridge)
        status = atoll_ridge_new(&state->ridge, error);
    if (status == ATOLL_OK && !state->change)
        status = atoll_change_new(&state->change, error);
    if (status == ATOLL_OK && !model->projection)
        status = atoll_projection_new(vector_dim, model->config.seed, NULL, 0, &state->projection, error);
    model->projection = state->projection;
    for (uint32_t e = 0; e < model->experts && status == ATOLL_OK; e++)
        if (model->expert[e].state != ATOLL_EXPERT_GONE && model->expert[e].state != ATOLL_EXPERT_ARCHIVED)
            status = atoll_net_set_dense(&state->pager, &model->expert[e].net, vector_dim, error);
    if (status == ATOLL_OK)
        status = atoll_encoder_set_vector(&state->pager, &model->encoder, vector_dim, error);
    return status;
}

atoll_status atoll_state_solve(atoll_state *state, atoll_error *error)
{
    atoll_ridge_weights *solution;
    atoll_status status = atoll_ridge_solve(state->ridge, &solution, error);
    if (status)
        return status;
    if (state->model.analytic)
        atoll_reclaim_retire(state->reclaim, (void *)state->model.analytic, 0,
                             atoll_ridge_weights_bytes(state->model.analytic), free);
    state->model.analytic = solution;
    return ATOLL_OK;
}

typedef struct coding {
    const atoll_encoder *encoder;
    atoll_encoded *room;
} coding;

static void code_vectors(void *arg, const float *vector, uint32_t numbers, int8_t *code)
{
    const coding *how = arg;
    atoll_encoder_scale_all(how->encoder, vector, numbers / how->encoder->vector_dim, how->room);
    atoll_encoder_code(how->room->dense, numbers, code);
}

atoll_status atoll_state_rescale(atoll_state *state, atoll_error *error)
{
    const atoll_model *model = &state->model;
    bool tokens = model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    uint32_t most = tokens ? ATOLL_NUMBERS_MAX : model->encoder.vector_dim;
    const atoll_projection *before = state->projection;
    bool settled = atoll_encoder_settled(&model->encoder);
    atoll_status status = settled ? atoll_renewal_choose(state, error) : ATOLL_OK;
    if (status || (status = atoll_renewal_relearn(state, error)) || !settled)
        return status;
    if (state->projection != before && (status = atoll_state_solve(state, error)))
        return status;
    float *v = malloc(most * sizeof *v), embedding[ATOLL_EMBEDDING_MAX_DIM]; /* the latter is not wanted here */
    if (!v)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to scale vectors");
    atoll_encoded encoded = {.dense = v, .embedding = embedding};
    coding how = {&model->encoder, &encoded};
    status = atoll_memory_code(state->memory, code_vectors, &how, error);
    free(v);
    return status;
}

atoll_status atoll_state_add_expert(atoll_state *state, uint32_t *id, atoll_error *error)
{
    atoll_model *model = &state->model;
    uint32_t place = 1;
    while (place < model->experts && model->expert[place].state != ATOLL_EXPERT_GONE)
        place++;
    if (place > model->config.experts_max || place >= ATOLL_EXPERTS_MAX)
        return atoll_fail(error, ATOLL_BUSY, "the model holds as many experts as it may");
    atoll_status status = ATOLL_OK;
    if (place == model->experts) {
        if ((status = atoll_model_reserve(model, error)) ||
            (status = atoll_net_grow(&state->pager, &model->gate.net, place + 1, error)))
            return status;
    } else if ((status = atoll_net_reset_output(&state->pager, &model->gate.net, place, error))) {
        return status;
    }
    atoll_net_shape shape = atoll_state_shape(&model->config, place);
    atoll_expert_init(&model->expert[place], place, &shape);
    if (model->encoder.vector_dim)
        status = atoll_net_set_dense(&state->pager, &model->expert[place].net, model->encoder.vector_dim, error);
    if (status) {
        atoll_expert_clear(&state->pager, &model->expert[place]);
        return status;
    }
    model->expert[place].state = ATOLL_EXPERT_CANDIDATE;
    if (place == model->experts)
        model->experts++;
    *id = place;
    return ATOLL_OK;
}

uint32_t atoll_model_count(const atoll_model *model, atoll_expert_state state)
{
    uint32_t count = 0;
    for (uint32_t e = 0; e < model->experts; e++)
        count += model->expert[e].state == state;
    return count;
}
