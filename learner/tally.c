#include "learner/tally.h"

#include <math.h>

#include "core/limits.h"
#include "core/log.h"

static const double recent_rate = 1e-3, loss_rate = 1e-2, share_rate = 1e-3, calibration_rate = 2e-4;

/* What the gate gives each expert, wants to give it, and how likely it is among the first. */
static void carry(atoll_model *model, const float *gate, const atoll_route *route)
{
    float load[ATOLL_EXPERTS_MAX];
    if (model->config.balance == ATOLL_BALANCE_LOAD)
        atoll_balance_load(gate, model->experts, model->config.top_k, load);
    for (uint32_t e = 1; e < model->experts; e++) {
        atoll_expert *expert = &model->expert[e];
        expert->importance += share_rate * (gate[e] - expert->importance);
        expert->carried -= share_rate * expert->carried;
        if (model->config.balance == ATOLL_BALANCE_LOAD)
            expert->load += share_rate * (load[e] - expert->load);
    }
    for (uint32_t i = 0; i < route->count; i++)
        model->expert[route->expert[i]].carried += share_rate * route->weight[i];
}

void atoll_tally_route(atoll_state *state, const float *gate, const atoll_route *route, int64_t time_ms)
{
    atoll_model *model = &state->model;
    double entropy = 0;
    for (uint32_t e = 1; e < model->experts; e++) {
        entropy -= gate[e] > 0 ? gate[e] * log(gate[e]) : 0;
        model->expert[e].share -= share_rate * model->expert[e].share;
    }
    for (uint32_t i = 0; i < route->count; i++) {
        model->expert[route->expert[i]].share += share_rate;
        model->expert[route->expert[i]].last_routed_ms = time_ms;
    }
    state->tally.entropy += loss_rate * (entropy - state->tally.entropy);
    if (route->count) {
        atoll_expert *first = &model->expert[route->expert[0]];
        first->entropy += loss_rate * (entropy - first->entropy);
    }
    carry(model, gate, route);
}

void atoll_tally_owner(atoll_state *state, uint32_t owner)
{
    for (uint32_t e = 1; e < state->model.experts; e++) {
        double *owned = &state->model.expert[e].owned;
        *owned += share_rate * ((e == owner) - *owned);
    }
}

void atoll_tally_load(atoll_state *state, const uint32_t *load, uint32_t experts)
{
    for (uint32_t e = 1; e < experts; e++) {
        state->model.expert[e].overflowed += load[ATOLL_LOAD_OVERFLOWED * experts + e];
        state->model.expert[e].dropped += load[ATOLL_LOAD_DROPPED * experts + e];
    }
}

void atoll_tally_collapse(atoll_state *state)
{
    const atoll_model *model = &state->model;
    atoll_tally *tally = &state->tally;
    double carried = 0, owned = 0, entropy = 0;
    uint32_t most = ATOLL_EXPERT_NONE, active = atoll_model_count(model, ATOLL_EXPERT_ACTIVE);
    for (uint32_t e = 1; e < model->experts; e++) {
        carried += model->expert[e].carried;
        owned += model->expert[e].owned;
        most = !most || model->expert[e].carried > model->expert[most].carried ? e : most;
    }
    if (active < 2 || carried <= 0 || owned <= 0 || tally->asked < ATOLL_COLLAPSE_RECORDS) {
        tally->collapsed = ATOLL_EXPERT_NONE;
        return;
    }
    for (uint32_t e = 1; e < model->experts; e++) {
        double share = model->expert[e].carried / carried;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    double share = model->expert[most].carried / carried, own = model->expert[most].owned / owned;
    bool begins = share >= ATOLL_COLLAPSE_SHARE && entropy < ATOLL_COLLAPSE_ENTROPY && own < ATOLL_COLLAPSE_OWNED;
    bool over = share < ATOLL_COLLAPSE_OVER || own >= share;
    if (begins && !tally->collapsed) {
        tally->collapses++;
        atoll_log(ATOLL_LOG_WARN, "routing_collapsed", "expert", ATOLL_UINT(most), "carried_percent",
                  ATOLL_UINT((uint64_t)(100 * share)), "owned_percent", ATOLL_UINT((uint64_t)(100 * own)), NULL);
    }
    tally->collapsed = begins ? most : over ? ATOLL_EXPERT_NONE : tally->collapsed;
}

void atoll_tally_features(atoll_state *state, uint32_t features, uint32_t common)
{
    atoll_tally *tally = &state->tally;
    double rate = fmax(recent_rate, 1.0 / (double)(tally->asked + 1));
    tally->features += rate * (features - tally->features);
    tally->common += rate * (common - tally->common);
}

float atoll_tally_answer(atoll_state *state, const atoll_voices *voices, const float *p, uint32_t label,
                         uint32_t domain)
{
    atoll_tally *tally = &state->tally;
    uint32_t best = 0;
    for (uint32_t y = 1; y < voices->labels; y++)
        best = p[y] > p[best] ? y : best;
    bool known = label < voices->labels, right = known && best == label;
    float score = voices->labels ? p[best] : 0;
    tally->asked++;
    tally->right += right;
    tally->recent += fmax(recent_rate, 1.0 / (double)tally->asked) * (right - tally->recent);
    if (voices->labels)
        atoll_calibration_add(&tally->calibration, score, right, calibration_rate);
    if (domain != UINT32_MAX) {
        state->domain[domain].records++;
        state->domain[domain].right += right;
    }
    if (!known)
        return score;
    tally->log_loss += loss_rate * (-log(fmax(p[label], 1e-12)) - tally->log_loss);
    const float *shared = voices->says[ATOLL_VOICE_SHARED];
    double *loss = &state->model.expert[0].loss;
    *loss += shared ? loss_rate * (-log(fmax(shared[label], 1e-12)) - *loss) : 0;
    return score;
}
