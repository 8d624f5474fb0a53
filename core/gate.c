#include "core/gate.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/limits.h"

static const float rate = 0.2f, rate_linear = 0.02f, rate_youth = 0.1f, most_weight = 4;

/* Of the weights' prior. */
static const float precision = 20;

static const float initial_weight[ATOLL_CUES] = {1, 1, 1, 0.5f};

void atoll_gate_init(atoll_gate *gate, uint32_t embedding_dim, uint64_t seed)
{
    *gate = (atoll_gate){.youth_squares = 1};
    memcpy(gate->weight, initial_weight, sizeof initial_weight);
    atoll_net_init(&gate->net, &(atoll_net_shape){.linear_dim = embedding_dim,
                                                  .rate_wide = rate,
                                                  .rate_dense = rate,
                                                  .rate_linear = rate_linear,
                                                  .seed = seed});
}

void atoll_gate_clear(atoll_pager *pager, atoll_gate *gate)
{
    atoll_net_clear(pager, &gate->net);
}

void atoll_gate_votes(const atoll_context *context, uint32_t experts, float *vote)
{
    memset(vote, 0, experts * sizeof *vote);
    for (uint32_t i = 0; i < context->count; i++)
        if (context->voter[i].owner < experts)
            vote[context->voter[i].owner] += context->voter[i].vote;
}

atoll_status atoll_gate_score(const atoll_gate *gate, const atoll_served *rounded, atoll_net_scratch *scratch,
                              const atoll_input *input, float *logit, atoll_error *error)
{
    if (!gate->net.outputs)
        return ATOLL_OK;
    if (rounded && rounded->precision != ATOLL_PRECISION_F32)
        return atoll_served_forward(&gate->net, rounded, scratch, input, NULL, logit, error);
    return atoll_net_forward(&gate->net, scratch, input, NULL, logit, error);
}

/* Softmax over the open ones; log sum exp of what there was. */
static float normalise(const bool *open, uint32_t experts, float *score)
{
    bool any = false;
    for (uint32_t e = 0; e < experts; e++) {
        score[e] = open[e] ? score[e] : -INFINITY;
        any |= open[e];
    }
    if (any)
        return experts > ATOLL_GATE_FLOATS_MAX ? atoll_softmax_long(score, experts) : atoll_softmax(score, experts);
    memset(score, 0, experts * sizeof *score);
    return 0;
}

float atoll_gate_pool(const atoll_gate *gate, float *const *cue, const bool *open, uint32_t experts,
                      float *probability)
{
    memset(probability, 0, experts * sizeof *probability);
    for (int c = 0; c < ATOLL_CUES; c++)
        atoll_axpy(probability, cue[c], gate->weight[c], experts);
    return normalise(open, experts, probability);
}

void atoll_gate_hear(const atoll_gate *gate, atoll_cue which, const float *cue, uint32_t experts, float *probability)
{
    float sum = 0;
    for (uint32_t e = 0; e < experts; e++)
        sum += probability[e] *= probability[e] > 0 ? expf(gate->weight[which] * cue[e]) : 0;
    for (uint32_t e = 0; e < experts && sum > 0; e++)
        probability[e] /= sum;
}

float atoll_gate_probability(const atoll_gate *gate, const bool *open, uint32_t owner, float *logit, float *log_sum)
{
    *log_sum = normalise(open, gate->net.outputs, logit);
    return logit[owner];
}

atoll_status atoll_gate_learn(atoll_pager *pager, atoll_gate *gate, atoll_net_scratch *scratch,
                              const atoll_input *input, const atoll_gate_losses *losses, uint32_t owner,
                              float *probability, float log_sum, atoll_error *error)
{
    float slope[ATOLL_EXPERTS_MAX];
    uint32_t experts = gate->net.outputs;
    for (uint32_t e = 0; e < experts; e++)
        slope[e] = probability[e] - (e == owner);
    atoll_balance_slope(losses->kind, probability, losses->running, experts, losses->k, losses->weight, slope);
    if (losses->z_weight > 0)
        atoll_balance_z_slope(probability, log_sum, experts, losses->z_weight, slope);
    memcpy(probability, slope, experts * sizeof *slope);
    return atoll_net_backward(pager, &gate->net, scratch, input, NULL, probability, NULL, error);
}

void atoll_gate_weigh(atoll_gate *gate, float *const *cue, const float *probability, uint32_t experts,
                      uint32_t owner, float importance)
{
    const float *score[ATOLL_CUES];
    float right[ATOLL_CUES], *of_youth = &gate->weight[ATOLL_CUE_YOUTH];
    atoll_moments moments = {0};
    for (int c = 0; c < ATOLL_CUES; c++) {
        score[c] = cue[c];
        right[c] = cue[c][owner];
    }
    atoll_moments_add(&moments, probability, score, ATOLL_CUES, experts);
    float slope = importance * probability[owner] * (float)(moments.mean[ATOLL_CUE_YOUTH] - right[ATOLL_CUE_YOUTH]);
    atoll_moments_drop(&moments, ATOLL_CUE_YOUTH);
    atoll_newton_prior prior = {initial_weight, precision};
    atoll_newton_step(&gate->newton, &moments, right, &prior, importance, gate->weight, ATOLL_CUES, most_weight);
    atoll_adagrad(of_youth, &gate->youth_squares, &slope, 1, rate_youth, 1);
    *of_youth = fminf(fmaxf(*of_youth, 0), most_weight);
}

static bool holds(const atoll_route *route, uint32_t expert)
{
    for (uint32_t i = 0; i < route->count; i++)
        if (route->expert[i] == expert)
            return true;
    return false;
}

/* The best open expert with room that the route does not hold yet; `experts` where there is none. */
static uint32_t best(const float *probability, uint32_t experts, const uint32_t *load, uint32_t capacity,
                     const atoll_route *route)
{
    uint32_t chosen = experts;
    float most = 0;
    for (uint32_t e = 0; e < experts; e++)
        if (probability[e] > most && load[e] < capacity && !holds(route, e)) {
            chosen = e;
            most = probability[e];
        }
    return chosen;
}

uint32_t atoll_gate_refused(const float *probability, uint32_t experts, uint32_t k, const atoll_route *route,
                            uint32_t *refused)
{
    static const uint32_t empty[ATOLL_EXPERTS_MAX];
    uint32_t count = 0;
    atoll_route ideal = {0};
    for (uint32_t e; ideal.count < k && (e = best(probability, experts, empty, UINT32_MAX, &ideal)) < experts;) {
        ideal.expert[ideal.count++] = e;
        if (!holds(route, e))
            refused[count++] = e;
    }
    return count;
}

static void route_one(const float *probability, uint32_t experts, uint32_t k, uint32_t capacity,
                      atoll_overflow overflow, uint32_t *load, atoll_route *route, atoll_route_counts *counts)
{
    float sum = 0;
    uint32_t wanted = 0;
    atoll_route ideal = {0};
    route->count = 0;
    route->reads = route->all = NULL;
    route->token = NULL;
    for (; wanted < k; wanted++) {
        uint32_t e = best(probability, experts, load, UINT32_MAX, &ideal);
        if (e == experts)
            break;
        ideal.expert[ideal.count++] = e;
        /* A choice that the route holds already was the next best in place of an earlier one. */
        bool held = holds(route, e), full = !held && load[e] >= capacity;
        uint32_t first = e;
        counts->overflowed += full;
        load[ATOLL_LOAD_OVERFLOWED * experts + e] += full;
        if (full && overflow == ATOLL_OVERFLOW_DROP)
            e = experts;
        else if (held || (full && overflow == ATOLL_OVERFLOW_NEXT))
            e = best(probability, experts, load, capacity, route);
        if (e == experts) {
            load[ATOLL_LOAD_DROPPED * experts + first] += full;
            continue;
        }
        load[e]++;
        sum += route->weight[route->count] = probability[e];
        route->expert[route->count++] = e;
    }
    for (uint32_t i = 0; i < route->count; i++)
        route->weight[i] /= sum;
    counts->routed += route->count;
    counts->dropped += wanted > 0 && route->count == 0;
}

/* Experts that some row may go to: one row alone may know of no other than the expert of the domain that it names. */
static uint32_t count_open(const float *probability, uint32_t batch, uint32_t experts)
{
    uint32_t open = 0;
    for (uint32_t e = 0; e < experts; e++)
        for (uint32_t i = 0; i < batch; i++)
            if (probability[(size_t)i * experts + e] > 0) {
                open++;
                break;
            }
    return open;
}

void atoll_gate_route(const float *probability, uint32_t batch, uint32_t experts, uint32_t k, float capacity_factor,
                      atoll_overflow overflow, uint32_t *load, atoll_route *route, atoll_route_counts *counts)
{
    uint32_t open = count_open(probability, batch, experts);
    float room = open ? ceilf(capacity_factor * (float)k * (float)batch / (float)open) : 0;
    uint32_t capacity = room > (float)k ? (uint32_t)room : k;
    memset(load, 0, (size_t)ATOLL_LOADS * experts * sizeof *load);
    for (uint32_t i = 0; i < batch; i++)
        route_one(probability + (size_t)i * experts, experts, k, capacity, overflow, load, &route[i], counts);
}
