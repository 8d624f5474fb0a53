/*
 * Online Newton steps for the weights of a logarithmic pool, p(i) ~ exp(sum_v a_v score_v(i)), of voices over labels
 * (core/combine.h) or of cues over experts (core/gate.h). The log loss of a pool is convex in its weights: its slope by
 * a_v is E_p[score_v] - score_v(right), its curvature the covariance of the scores under p. So a step is
 *
 *     C <- kept C + importance Cov_p
 *     a <- a - (C + prior I)^-1 (importance slope + (1 - kept) prior (a - home))
 *
 * [Hazan, Agarwal, Kale 2007, online Newton step]: the best fixed weights for the last 1 / (1 - kept) records, given
 * normal deviates from `home` of precision `prior`. Its regret against any fixed weights, so against each voice by
 * itself, grows with the logarithm of the records.
 */
#ifndef ATOLL_CORE_NEWTON_H
#define ATOLL_CORE_NEWTON_H

#include <stdbool.h>
#include <stdint.h>

enum { ATOLL_NEWTON_MAX = 8 }; /* weights of a pool, at most */

typedef struct atoll_newton {
    float curvature[ATOLL_NEWTON_MAX][ATOLL_NEWTON_MAX];
} atoll_newton;

/* What is summed over the pool's outcomes; zeros to begin with. */
typedef struct atoll_moments {
    bool speaks[ATOLL_NEWTON_MAX];
    double mean[ATOLL_NEWTON_MAX], product[ATOLL_NEWTON_MAX][ATOLL_NEWTON_MAX];
} atoll_moments;

/* Adds `count` outcomes of probability p[]; score[v] is NULL for a voice that is silent, or is not to be moved. */
void atoll_moments_add(atoll_moments *moments, const float *p, const float *const *score, uint32_t weights,
                       uint32_t count);

/* As if each p[] that was added had been divided by `total`. */
void atoll_moments_divide(atoll_moments *moments, double total);

/* As if weight v's scores had been NULL. */
void atoll_moments_drop(atoll_moments *moments, uint32_t v);

/* Where weights are expected, and how strongly: the precision of their normal deviates from there. */
typedef struct atoll_newton_prior {
    const float *home;
    float precision;
} atoll_newton_prior;

/*
 * One step; right[v] is the score of what was right. Weights whose scores were NULL stay as they are; the others end
 * within 0..most.
 */
void atoll_newton_step(atoll_newton *newton, const atoll_moments *moments, const float *right,
                       const atoll_newton_prior *prior, float importance, float *weight, uint32_t weights,
                       float most);

#endif
