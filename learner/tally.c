#include "learner/tally.h"

#include <math.h>

static const double recent_rate = 1e-3, loss_rate = 1e-2, share_rate = 1e-3, calibration_rate = 2e-4;

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
