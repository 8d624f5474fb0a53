/*
 * The soft gate: Soft MoE [Puigcerver et al. 2023], with one slot an expert. Nothing is chosen, so nothing overflows
 * and nothing is dropped; every expert runs, which makes a query cost as much as a dense model of all experts.
 *
 * An answer must not depend on what else is asked in the same batch. So slots are over a record's own tokens, not over
 * a batch as in the paper. With scores L of T tokens and E experts:
 *
 *     dispatch  D_te = exp(L_te) / sum_t' exp(L_t'e)    expert e reads sum_t T D_te x_t
 *     combine   C_te = exp(L_te) / sum_e' exp(L_te')    and has the weight s_e = 1/T sum_t C_te
 *
 * D is convex over tokens, C over experts, and so is s. The paper's slot is sum_t D_te x_t; times T it is of the size
 * of a record, which is a sum over tokens here (core/tokens.h). Of vectors it is the random features and hidden layers
 * that are mixed, not the vectors: experts have learned to read a sum of these. Where records are routed T is 1: a
 * dense mixture, weighted by the gate.
 */
#ifndef ATOLL_CORE_SOFT_H
#define ATOLL_CORE_SOFT_H

#include "core/gate.h"

/*
 * The route of one record from its gate: `tokens` rows of probabilities C and, behind them, the logarithm of what each
 * row was divided by. `all` (experts) and `reads` (experts x tokens) are written and viewed by the route, which names
 * the largest as any other. Where records are routed tokens is 0, the gate one row, and `reads` NULL.
 */
void atoll_soft_route(const float *gate, uint32_t tokens, uint32_t experts, float *all, float *reads,
                      atoll_route *route);

#endif
