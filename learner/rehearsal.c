#include "learner/step.h"

/*
 * With a rehearsal counting sixteen times a new record, the past has four times the say of the present. Without, the
 * weights follow the domain of the moment: on split Fashion-MNIST that costs seven points.
 */
static const float importance = 16;

atoll_status atoll_step_rehearse(atoll_trainer *trainer, atoll_state *state, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &trainer->hand[0].workspace;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    for (uint32_t i = 0; i < trainer->rehearsals && status == ATOLL_OK; i++) {
        const atoll_sample *sample = trainer->rehearsed[i];
        float z[ATOLL_RIDGE_FEATURES];
        atoll_voices voices;
        atoll_route route;
        atoll_route_counts ignored = {0};
        if (sample->vector)
            atoll_ridge_features(state->ridge->random, model->encoder.vector_dim, sample->encoded.dense, 1, z);
        atoll_input input = atoll_predict_input(model, workspace, &sample->encoded, sample->context);
        if ((status = atoll_predict_others(model, workspace, &input, sample->context, sample->vector ? z : NULL,
                                           &voices, error)) ||
            (status = atoll_predict_gate(model, workspace, &input, sample->context, error)))
            return status;
        /* Labels of the past are old: to them the odds of the young only do harm, and would be unlearned. */
        voices.says[ATOLL_VOICE_YOUTH] = NULL;
        atoll_gate_route(workspace->gate, 1, model->experts, model->config.top_k, model->config.capacity_factor,
                         ATOLL_OVERFLOW_KEEP, workspace->load, &route, &ignored);
        if ((status = atoll_step_combine(model, workspace, &input, &route, false, &voices, error)) == ATOLL_OK)
            atoll_combiner_learn(&model->combiner, &voices, workspace->combined, sample->label, importance);
    }
    return status;
}
