/*
 * Low-rank adapters on a shared base [Hu et al. 2022, LoRA] in the place of experts: expert e answers
 *
 *     softmax(log p + b_e + B_e A_e x)   over the labels that it has seen
 *
 * p is what the shared expert says, b_e, B_e and A_e are its own, x are the record's sparse features and the random
 * features of its vector. The base learns from every record by a loss of its own, the adapters what it leaves, both by
 * AdaGrad and by the same samples. All else is the mixture's, and learned as ever: gate, owners, memory, replay, votes,
 * and the combination. So what differs is how an expert holds what it knows.
 *
 * They are put in by the linker: adapters.c stands before atoll_fit_expert, atoll_expert_predict and
 * atoll_step_rehearse (--wrap), and hands through to them while no adapters are open. The state here is the process's:
 * one model at a time, asked while it does not learn. Nothing is frozen, published or saved.
 */
#ifndef ATOLL_BENCH_MOE_ADAPTERS_H
#define ATOLL_BENCH_MOE_ADAPTERS_H

#include "bench/continual/run.h"

enum { ADAPTERS_RANK_MAX = 64 };

/* For run_request.stand_in: of rank $ATOLL_ADAPTER_RANK, or of the rank that measured best. */
extern const run_stand_in adapters;

#endif
