#include "learner/growth.h"

#include <math.h>
#include <string.h>

#include "core/log.h"

static const double loss_rate = 1e-2, turn_rate = 0.02, least_probability = 1e-6;

static const float novel_stream = 0.62f, surprise_rate = 0.05f, strange_rate = 0.2f, most_strange = 0.5f;

static bool open(const atoll_expert *expert)
{
    return expert->state == ATOLL_EXPERT_ACTIVE || expert->state == ATOLL_EXPERT_CANDIDATE;
}

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

/* Moves `rate` of the expectation of the next record to an expert. */
static void take_turn(atoll_model *model, uint32_t id, double rate)
{
    for (uint32_t e = 1; e < model->experts; e++)
        model->expert[e].turn += rate * ((e == id) - model->expert[e].turn);
}

/* A new candidate; *id is ATOLL_EXPERT_NONE where the model may hold no more. */
static atoll_status bear(atoll_state *state, uint64_t commit, uint32_t *id, atoll_error *error)
{
    atoll_growth *growth = &state->growth;
    atoll_error why;
    atoll_status status = atoll_state_add_expert(state, id, &why);
    if (status == ATOLL_BUSY) {
        *id = ATOLL_EXPERT_NONE;
        return ATOLL_OK;
    }
    if (status)
        return atoll_fail(error, status, "%s", why.detail);
    atoll_expert *candidate = &state->model.expert[*id];
    candidate->born = candidate->version = commit;
    candidate->born_records = state->model.records;
    candidate->last_routed_ms = state->model.time_ms;
    /* After a change as much is to be expected from it as from all that were there. */
    take_turn(&state->model, *id, 0.5);
    growth->youngest = growth->candidate = *id;
    growth->born++;
    return ATOLL_OK;
}

/* Whether the youngest lives and has fewer records. */
static bool younger(const atoll_state *state, uint64_t records)
{
    const atoll_expert *youngest = &state->model.expert[state->growth.youngest];
    return state->growth.youngest && youngest->records < records && open(youngest);
}

/*
 * The open expert that best explains the record, turns counted, ATOLL_EXPERT_NONE where there is none to ask; `best` is
 * how well any explains it by itself.
 */
static atoll_status best_owner(const atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                               uint32_t *owner, float *best, float *probability, atoll_error *error)
{
    enum { LEAST_SHARE = 50 }; /* with less than 1/50 of votes and of the gate only the likeliest is asked */
    const atoll_model *model = &state->model;
    float first = -INFINITY, most = -1;
    uint32_t likeliest = ATOLL_EXPERT_NONE;
    *owner = ATOLL_EXPERT_NONE;
    *best = -INFINITY;
    for (uint32_t e = 1; e < model->experts; e++)
        if (open(&model->expert[e]) && workspace->gate[e] > most) {
            most = workspace->gate[e];
            likeliest = e;
        }
    for (uint32_t e = 1; e < model->experts; e++) {
        float p, score, share = fmaxf(workspace->vote[e], workspace->gate[e]);
        const atoll_expert *expert = &model->expert[e];
        if (!open(expert) || (share * LEAST_SHARE < 1 && e != state->growth.youngest && e != likeliest))
            continue;
        atoll_status status = responsibility(model, expert, workspace, record, &p, &score, error);
        if (status)
            return status;
        score += logf(workspace->vote[e] + 0.02f);
        *best = fmaxf(*best, score);
        score += logf((float)expert->turn + 0.02f);
        if (score > first) {
            first = score;
            *owner = e;
            *probability = p;
        }
    }
    return ATOLL_OK;
}

static atoll_status assign(atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                                 uint64_t commit, uint32_t *owner, atoll_error *error)
{
    const atoll_model *model = &state->model;
    atoll_growth *growth = &state->growth;
    float best, p = 0;
    bool off = model->config.growth_off || model->config.freeze;
    bool rings = atoll_alarm_hear(&growth->alarm, &model->novelty, record->context->familiarity, record->probability);
    growth->surprise += surprise_rate * (record->novelty - growth->surprise);
    atoll_status status = best_owner(state, workspace, record, owner, &best, &p, error);
    if (status)
        return status;
    bool strange = *owner == ATOLL_EXPERT_NONE || best < novelty_score(state, record);
    /* Novelty does not see a domain that calls known inputs otherwise: there the owner is no surer than chance. */
    bool guessed = record->label != UINT32_MAX && p * (float)model->labels < 1;
    growth->strange += strange_rate * ((float)(strange || guessed) - growth->strange);
    strange |= guessed && growth->strange > most_strange;
    if (!off && strange && younger(state, ATOLL_GROWTH_YOUTH_RECORDS)) {
        *owner = growth->youngest;
    } else if (*owner) {
        double *loss = &state->model.expert[*owner].loss;
        *loss += loss_rate * (-log(fmax(p, least_probability)) - *loss);
    }
    if (off || (*owner && !(rings && growth->strange > most_strange && !younger(state, ATOLL_GROWTH_SETTLED_RECORDS))))
        return ATOLL_OK;
    uint32_t born;
    if ((status = bear(state, commit, &born, error)))
        return status;
    *owner = born ? born : *owner;
    return ATOLL_OK;
}

atoll_status atoll_growth_assign(atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                                 uint64_t commit, uint32_t *owner, atoll_error *error)
{
    atoll_status status = assign(state, workspace, record, commit, owner, error);
    if (status == ATOLL_OK)
        take_turn(&state->model, *owner, turn_rate);
    return status;
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
    if (candidate->records >= ATOLL_GROWTH_PROOF_RECORDS) {
        candidate->state = ATOLL_EXPERT_ACTIVE;
        candidate->version = commit;
        growth->candidate = ATOLL_EXPERT_NONE;
        growth->promoted++;
        atoll_log(ATOLL_LOG_INFO, "expert_promoted", "expert", ATOLL_UINT(id), "commit", ATOLL_UINT(commit),
                  "records", ATOLL_UINT(candidate->records), NULL);
        return ATOLL_OK;
    }
    if (state->model.records - candidate->born_records < ATOLL_GROWTH_TRIAL_RECORDS)
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
              "records", ATOLL_UINT(candidate->records), NULL);
    return ATOLL_OK;
}
