#include "core/balance.h"

#include <math.h>
#include <stdbool.h>

#include "core/kernels.h"

/* The open expert with the k-th largest p but for `left_out`; `experts` where fewer are open. Of equals the first. */
static uint32_t kth(const float *p, uint32_t experts, uint32_t k, uint32_t left_out)
{
    uint32_t at = experts;
    float below = INFINITY;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t best = experts;
        for (uint32_t e = 0; e < experts; e++) {
            bool later = p[e] < below || (p[e] == below && e > at);
            if (e != left_out && p[e] > 0 && later && (best == experts || p[e] > p[best]))
                best = e;
        }
        if (best == experts)
            return experts;
        at = best;
        below = p[best];
    }
    return at;
}

static const float root_half = 0.70710678f, root_two_pi = 2.5066283f;

/* What a score is over another's: p is the softmax of both. */
static float over(const float *p, uint32_t e, uint32_t other)
{
    return logf(p[e]) - logf(p[other]);
}

void atoll_balance_load(const float *p, uint32_t experts, uint32_t k, float *load)
{
    for (uint32_t e = 0; e < experts; e++) {
        uint32_t other = p[e] > 0 ? kth(p, experts, k, e) : experts;
        load[e] = p[e] > 0;
        if (other < experts)
            load[e] = 0.5f * erfcf(-root_half * over(p, e, other));
    }
}

static void load_slope(const float *p, const float *running, uint32_t experts, uint32_t k, float weight, float *slope)
{
    for (uint32_t e = 0; e < experts; e++) {
        uint32_t other = p[e] > 0 ? kth(p, experts, k, e) : experts;
        if (other == experts)
            continue;
        float d = over(p, e, other), density = expf(-0.5f * d * d) / root_two_pi;
        /* The loads of one record sum to about k, so that Q / k is what has the mean 1 / E. */
        float change = weight * 2 * (float)experts * running[e] / (float)(k * k) * density;
        slope[e] += change;
        slope[other] -= change;
    }
}

void atoll_balance_slope(atoll_balance kind, const float *p, const float *running, uint32_t experts, uint32_t k,
                         float weight, float *slope)
{
    if (kind == ATOLL_BALANCE_NONE || weight == 0)
        return;
    if (kind == ATOLL_BALANCE_LOAD) {
        load_slope(p, running, experts, k, weight, slope);
        return;
    }
    float scale = weight * (kind == ATOLL_BALANCE_IMPORTANCE ? 2 : 1) * (float)experts;
    float mean = atoll_dot(running, p, experts);
    for (uint32_t e = 0; e < experts; e++)
        slope[e] += scale * p[e] * (running[e] - mean);
}

void atoll_balance_z_slope(const float *p, float log_sum, uint32_t experts, float weight, float *slope)
{
    for (uint32_t e = 0; e < experts; e++)
        slope[e] += weight * 2 * log_sum * p[e];
}
