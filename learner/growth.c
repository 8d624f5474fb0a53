#include "learner/growth.h"

#include <math.h>
#include <string.h>

#include "core/log.h"

static const double loss_rate = 1e-2, least_probability = 1e-6;

static const float novel_stream = 0.62f, surprise_rate = 0.05f;

/* ln(0.8 p_e(y|x) + 0.2 prior) of one expert. */
static atoll_status responsibility(const atoll_model *model, const atoll_expert *expert, atoll_workspace *workspace,
                                   const atoll_judged *record, float *probability, float *log_likelihood,
                                   atoll_error *error)
{
    float p = 0, seen = 0;
    uint32_t output = record->label == UINT32_MAX ? ATOLL_ROW_NONE : atoll_expert_output(expert, record->label);
    if (output != ATOLL_ROW_NONE) {
        atoll_status status = atoll_predict_expert(expert, workspace, record->input, 0, workspace->combined, error);
        if (status)
            return status;
        p = workspace->logits[output];
        seen = (float)atoll_expert_label_at(expert, output)->records;
    }
    float prior = (seen + 0.1f) / ((float)expert->records + 0.1f * (float)(model->labels + 1));
    *probability = p;
    *log_likelihood = logf(0.8f * p + 0.2f * prior);
    return ATOLL_OK;
}

static float novelty_score(const atoll_state *state, const atoll_judged *record)
{
    float q = fminf(fmaxf(record->novelty, 0.01f), 0.99f), score = logf(q / (1 - q)) - 1;
    score += state->growth.surprise > novel_stream ? 1 : 0;
    if (record->label != UINT32_MAX)
        score -= logf((float)state->model.labels);
    return score;
}

/* The expert that takes what is new: the youngest while it is young, else a candidate that is born now. */
static atoll_status nursery(atoll_state *state, uint64_t commit, uint32_t *owner, atoll_error *error)
{
    atoll_growth *growth = &state->growth;
    atoll_error ignored;
    const atoll_expert *youngest = &state->model.expert[growth->youngest];
    if (growth->youngest && (youngest->state == ATOLL_EXPERT_CANDIDATE ||
                             (youngest->state == ATOLL_EXPERT_ACTIVE &&
                              youngest->records < ATOLL_GROWTH_YOUTH_RECORDS))) {
        *owner = growth->youngest;
        return ATOLL_OK;
    }
    atoll_status status = atoll_state_add_expert(state, owner, &ignored);
    if (status == ATOLL_BUSY) {
        *owner = ATOLL_EXPERT_NONE;
        return ATOLL_OK;
    }
    if (status)
        return atoll_fail(error, status, "%s", ignored.detail);
    atoll_expert *candidate = &state->model.expert[*owner];
    candidate->born = candidate->version = commit;
    candidate->born_records = state->model.records;
    candidate->last_routed_ms = state->model.time_ms;
    growth->youngest = growth->candidate = *owner;
    growth->evidence = 0;
    growth->born++;
    return ATOLL_OK;
}

atoll_status atoll_growth_assign(atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                                 uint64_t commit, uint32_t *owner, atoll_error *error)
{
    enum { LEAST_SHARE = 50 }; /* experts with less than 1/50 of votes and of the gate are not asked */
    const atoll_model *model = &state->model;
    atoll_growth *growth = &state->growth;
    float best = -INFINITY, chosen_p = 0;
    uint32_t chosen = ATOLL_EXPERT_NONE;
    growth->surprise += surprise_rate * (record->novelty - growth->surprise);
    for (uint32_t e = 1; e < model->experts; e++) {
        float p, score, share = fmaxf(workspace->vote[e], workspace->gate[e]);
        const atoll_expert *expert = &model->expert[e];
        if ((expert->state != ATOLL_EXPERT_ACTIVE && expert->state != ATOLL_EXPERT_CANDIDATE) ||
            (share * LEAST_SHARE < 1 && e != growth->youngest))
            continue;
        atoll_status status = responsibility(model, expert, workspace, record, &p, &score, error);
        if (status)
            return status;
        score += logf(workspace->vote[e] + 0.02f);
        if (score > best) {
            best = score;
            chosen = e;
            chosen_p = p;
        }
    }
    *owner = chosen;
    if (model->config.growth_off || model->config.freeze || (chosen && best >= novelty_score(state, record))) {
        double *loss = &state->model.expert[chosen].loss;
        *loss += chosen ? loss_rate * (-log(fmax(chosen_p, least_probability)) - *loss) : 0;
        return ATOLL_OK;
    }
    atoll_status status = nursery(state, commit, owner, error);
    if (status == ATOLL_OK && *owner == ATOLL_EXPERT_NONE)
        *owner = chosen;
    return status;
}

void atoll_growth_weigh(atoll_state *state, float p_with, float p_without)
{
    state->growth.evidence += log(0.5 + 0.5 * (double)p_with / fmax((double)p_without, 1e-12));
}

/* Hands the exemplars of a candidate on to the active expert with the largest share of the stream. */
static atoll_status disown(atoll_state *state, uint32_t candidate, atoll_error *error)
{
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t heir = ATOLL_EXPERT_NONE;
    for (uint32_t e = 1; e < state->model.experts; e++)
        if (state->model.expert[e].state == ATOLL_EXPERT_ACTIVE &&
            (!heir || state->model.expert[e].share > state->model.expert[heir].share))
            heir = e;
    for (uint32_t slot = 0; slot < view.slots.count; slot++) {
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (!held->exemplar || held->owner != candidate)
            continue;
        atoll_status status = atoll_memory_reassign(state->memory, slot, heir, error);
        if (status)
            return status;
    }
    return ATOLL_OK;
}

atoll_status atoll_growth_review(atoll_state *state, uint64_t commit, atoll_error *error)
{
    atoll_growth *growth = &state->growth;
    uint32_t id = growth->candidate;
    if (!id)
        return ATOLL_OK;
    atoll_expert *candidate = &state->model.expert[id];
    bool first = atoll_model_count(&state->model, ATOLL_EXPERT_ACTIVE) == 0;
    if (first ? candidate->records >= ATOLL_GROWTH_FIRST_RECORDS
              : growth->evidence >= -log(ATOLL_GROWTH_FALSE_ALARM)) {
        candidate->state = ATOLL_EXPERT_ACTIVE;
        candidate->version = commit;
        growth->candidate = ATOLL_EXPERT_NONE;
        growth->promoted++;
        atoll_log(ATOLL_LOG_INFO, "expert_promoted", "expert", ATOLL_UINT(id), "commit", ATOLL_UINT(commit),
                  "records", ATOLL_UINT(candidate->records), "evidence", ATOLL_REAL(growth->evidence), NULL);
        return ATOLL_OK;
    }
    if (candidate->records < ATOLL_GROWTH_TRIAL_RECORDS)
        return ATOLL_OK;
    atoll_status status = disown(state, id, error);
    if (status)
        return status;
    atoll_expert_clear(&state->pager, candidate);
    candidate->state = ATOLL_EXPERT_GONE;
    candidate->version = commit;
    growth->youngest = growth->candidate = ATOLL_EXPERT_NONE;
    growth->given_up++;
    atoll_log(ATOLL_LOG_INFO, "candidate_given_up", "expert", ATOLL_UINT(id), "commit", ATOLL_UINT(commit),
              "evidence", ATOLL_REAL(growth->evidence), NULL);
    return ATOLL_OK;
}
