#include "learner/fit.h"

#include <stdlib.h>
#include <string.h>

#include "core/group.h"
#include "core/kernels.h"

/* Samples that one step of a hidden layer takes at most, and vectors, but all of the first sample. */
enum { DENSE_BATCH = 16, DENSE_VECTORS = 512 };

/* Samples whose label had less are fitted once again; .8 would cost a third more time for nothing. */
static const float hard = 0.5f;

/* From here on a step would change next to nothing: leaving it out saves a quarter of the time at the same accuracy. */
static const float sure = 0.97f;

/* The output for the sample's label, added where it is new. The shared expert keeps the model's own order of labels. */
static atoll_status output_for(atoll_pager *pager, atoll_expert *expert, const atoll_sample *sample, uint32_t *output,
                               atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    *output = atoll_expert_output(expert, sample->label);
    while (*output == ATOLL_ROW_NONE && status == ATOLL_OK) {
        uint32_t label = expert->state == ATOLL_EXPERT_SHARED ? expert->labels.count : sample->label;
        status = atoll_expert_add_label(pager, expert, label, output, error);
        if (status == ATOLL_OK && label != sample->label)
            *output = ATOLL_ROW_NONE;
    }
    return status;
}

/* Counts the samples that are new. */
static atoll_status count_fresh(atoll_pager *pager, atoll_expert *expert, atoll_sample *const *samples, uint32_t count,
                                atoll_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t output;
        if (!samples[i]->fresh)
            continue;
        atoll_status status = output_for(pager, expert, samples[i], &output, error);
        if (status)
            return status;
        atoll_expert_label *label = atoll_array_edit(pager, &expert->labels, output);
        if (!label)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a label's count");
        label->records++;
        expert->records++;
    }
    return ATOLL_OK;
}

/*
 * One sample, and what its label had before; `h` is its hidden layer and `dh` receives its gradient, both NULL where it
 * has no dense part.
 */
static atoll_status fit_one(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                            const atoll_sample *sample, const float *lean, const float *h, float *dh,
                            float *probability, atoll_error *error)
{
    uint32_t output;
    atoll_input input = {.bucket = sample->encoded.bucket,
                         .weight = sample->encoded.weight,
                         .features = sample->encoded.known,
                         .z = sample->encoded.z,
                         .score = sample->encoded.score,
                         .scores = sample->encoded.scores};
    atoll_status status = output_for(pager, expert, sample, &output, error);
    if (status || (status = atoll_net_admit(pager, &expert->net, &workspace->net, &input, error)))
        return status;
    atoll_net_run(&expert->net, &workspace->net, &input, h, workspace->logits);
    atoll_expert_base(expert, &input, workspace->logits);
    if (lean)
        atoll_axpy(workspace->logits, lean, 1, expert->net.outputs);
    atoll_softmax(workspace->logits, expert->net.outputs);
    *probability = workspace->logits[output];
    if (!h && *probability > sure)
        return ATOLL_OK;
    workspace->logits[output] -= 1;
    return atoll_net_backward(pager, &expert->net, &workspace->net, &input, h, workspace->logits, dh, error);
}

/* How many vectors a sample with a dense part has. */
static uint32_t vectors_of(const atoll_sample *sample)
{
    return sample->encoded.vectors ? sample->encoded.vectors : 1;
}

/* How many of the samples make one step of the hidden layer, from the first on; 0 where that has no dense part. */
static uint32_t dense_batch(const atoll_expert *expert, atoll_sample *const *samples, uint32_t count)
{
    uint32_t batch = 0, vectors = 0;
    for (; expert->net.dense_dim && batch < count && batch < DENSE_BATCH; batch++) {
        if (!samples[batch]->encoded.has_dense)
            break;
        vectors += vectors_of(samples[batch]);
        if (batch && vectors > DENSE_VECTORS)
            break;
    }
    return batch;
}

/* Samples that have a dense part: their first layer is one product forward and one back. */
static atoll_status fit_dense(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                              atoll_sample *const *samples, uint32_t count, const float *lean, float *probability,
                              atoll_error *error)
{
    uint32_t dim = expert->net.dense_dim, hidden = expert->net.hidden, vectors = 0;
    for (uint32_t i = 0; i < count; i++)
        vectors += vectors_of(samples[i]);
    float *v = malloc((((size_t)dim + 2 * hidden) * vectors + 2 * hidden) * sizeof *v);
    if (!v)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a batch");
    float *each = v + (size_t)dim * vectors, *deach = each + (size_t)hidden * vectors;
    float *h = deach + (size_t)hidden * vectors, *dh = h + hidden, *to = v;
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count; to += (size_t)dim * vectors_of(samples[i++]))
        memcpy(to, samples[i]->encoded.dense, (size_t)dim * vectors_of(samples[i]) * sizeof *v);
    atoll_net_hidden(&expert->net, v, vectors, each, expert->net.hidden);
    for (uint32_t i = 0, at = 0; i < count && status == ATOLL_OK; at += vectors_of(samples[i++])) {
        const float *own = each + (size_t)at * hidden;
        atoll_group_mean(own, vectors_of(samples[i]), hidden, h);
        status = fit_one(pager, expert, workspace, samples[i], lean, h, dh, &probability[i], error);
        if (status == ATOLL_OK)
            atoll_group_mean_backward(own, dh, vectors_of(samples[i]), hidden, deach + (size_t)at * hidden);
    }
    if (status == ATOLL_OK)
        status = atoll_net_hidden_backward(pager, &expert->net, &workspace->net, v, deach, vectors, error);
    free(v);
    return status;
}

static atoll_status fit_all(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                            atoll_sample *const *samples, uint32_t count, const float *lean, float *probability,
                              atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count && status == ATOLL_OK;) {
        uint32_t batch = dense_batch(expert, samples + i, count - i);
        if (batch)
            status = fit_dense(pager, expert, workspace, samples + i, batch, lean, &probability[i], error);
        else
            status = fit_one(pager, expert, workspace, samples[i], lean, NULL, NULL, &probability[i], error);
        i += batch ? batch : 1;
    }
    return status;
}

atoll_status atoll_fit_expert(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                              atoll_sample *const *samples, uint32_t count, const float *lean,
                              atoll_error *error)
{
    atoll_sample *left[ATOLL_FIT_SAMPLES] = {NULL};
    float probability[ATOLL_FIT_SAMPLES];
    uint32_t first = 0, again = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!samples[i]->held_out)
            left[first++] = samples[i];
    atoll_status status;
    if ((status = fit_all(pager, expert, workspace, left, first, lean, probability, error)) ||
        (status = count_fresh(pager, expert, samples, count, error)))
        return status;
    for (uint32_t i = 0; i < first; i++)
        if (probability[i] < hard)
            left[again++] = left[i];
    return fit_all(pager, expert, workspace, left, again, lean, probability, error);
}

atoll_gate_losses atoll_fit_losses(const atoll_model *model, float *running)
{
    const atoll_config *config = &model->config;
    for (uint32_t e = 0; e < model->experts; e++) {
        const atoll_expert *expert = &model->expert[e];
        running[e] = (float)(config->balance == ATOLL_BALANCE_IMPORTANCE ? expert->importance
                             : config->balance == ATOLL_BALANCE_LOAD     ? expert->load
                                                                         : expert->share);
    }
    return (atoll_gate_losses){.kind = (atoll_balance)config->balance,
                               .weight = config->balance_weight,
                               .z_weight = config->z_weight,
                               .k = config->top_k,
                               .running = running};
}

/* The same for the tokens of a sample. */
static atoll_status fit_tokens(atoll_state *state, atoll_workspace *workspace, const atoll_input *input,
                               const atoll_gate_losses *losses, uint32_t owner, atoll_error *error)
{
    atoll_gate *gate = &state->model.gate;
    float probability = 0;
    atoll_status status = atoll_token_scratch_fit(&workspace->token, 0, 0, error);
    for (int again = 0; again < 2 && status == ATOLL_OK && probability <= hard; again++)
        status = atoll_tokens_learn(&state->pager, gate, &workspace->net, &workspace->token, input, workspace->open,
                                    losses, owner, sure, &probability, error);
    return status;
}

atoll_status atoll_fit_gate(atoll_state *state, atoll_workspace *workspace, const atoll_sample *sample,
                            const atoll_gate_losses *losses, atoll_error *error)
{
    atoll_model *model = &state->model;
    if (!atoll_model_gate_learns(model))
        return ATOLL_OK;
    atoll_input input = atoll_predict_input(&sample->encoded);
    input.features = input.common;
    input.dense = NULL;
    atoll_predict_open(model, workspace);
    bool tokens = model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    atoll_status status = atoll_net_admit(&state->pager, &model->gate.net, &workspace->net, &input, error);
    if (tokens && status == ATOLL_OK)
        return fit_tokens(state, workspace, &input, losses, sample->owner, error);
    for (int again = 0; again < 2 && status == ATOLL_OK; again++) {
        atoll_net_run(&model->gate.net, &workspace->net, &input, NULL, workspace->gate);
        float log_sum;
        float p = atoll_gate_probability(&model->gate, workspace->open, sample->owner, workspace->gate, &log_sum);
        if (p > sure || (again && p > hard))
            break;
        status = atoll_gate_learn(&state->pager, &model->gate, &workspace->net, &input, losses, sample->owner,
                                  workspace->gate, log_sum, error);
    }
    return status;
}
