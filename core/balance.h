/*
 * Losses that keep a gate from collapsing, on its network's own scores H. With p the softmax of H over E experts:
 *
 *     switch      E sum_e f_e p_e, f the share of records that each expert was routed [Fedus et al. 2022, eq. 4]
 *     importance  CV(I)^2 = E sum_e I_e^2 - 1, I the mean of p [Shazeer et al. 2017, eq. 6 and 7]
 *     load        CV(Q)^2, Q_e the mean of P_e = Phi(H_e - the k-th largest of the others): how often e would be among
 *                 the first k if each score had standard normal noise [Shazeer et al. 2017, eq. 8 to 11]
 *     z           (log sum_e exp H_e)^2, against scores that drift away together [Zoph et al. 2022, ST-MoE, eq. 5]
 *
 * The papers take f, I and Q over a batch. Here they are running means over the stream, held fixed in a step as f is in
 * Switch; so the slope of CV(I)^2 with respect to one record's p is 2 E I_e. DeepSeekMoE [Dai et al. 2024] balances the
 * routed experts alone and leaves the shared one out, as is done here.
 */
#ifndef ATOLL_CORE_BALANCE_H
#define ATOLL_CORE_BALANCE_H

#include <stdint.h>

typedef enum atoll_balance {
    ATOLL_BALANCE_SWITCH,
    ATOLL_BALANCE_IMPORTANCE,
    ATOLL_BALANCE_LOAD,
    ATOLL_BALANCE_NONE
} atoll_balance;

/*
 * slope[e] += weight dL/dH_e for e < experts. p[e] is 0 for closed experts; `running` is f, I or Q as the kind wants;
 * k is the number of experts that a record goes to.
 */
void atoll_balance_slope(atoll_balance kind, const float *p, const float *running, uint32_t experts, uint32_t k,
                         float weight, float *slope);

/* The same for the z-loss; log_sum is log sum exp H. */
void atoll_balance_z_slope(const float *p, float log_sum, uint32_t experts, float weight, float *slope);

/* load[e] = P_e, 0 for closed experts; 1 where no more than k are open. */
void atoll_balance_load(const float *p, uint32_t experts, uint32_t k, float *load);

#endif
