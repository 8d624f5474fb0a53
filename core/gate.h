/*
 * The gate: scores experts for a record and picks the top k [Shazeer et al. 2017].
 *
 *     score(e) = b + V x + U [embedding; context embedding]  +  s ln(vote_e + 0.05)
 *
 * where vote_e is the share of the neighbours' votes that expert e owns and s is learned. The first part is one network
 * with an output for each expert; output e belongs to the expert in place e of the model's table.
 */
#ifndef ATOLL_CORE_GATE_H
#define ATOLL_CORE_GATE_H

#include "core/context.h"
#include "core/net.h"

#define ATOLL_GATE_VOTE_FLOOR 0.05f

typedef enum atoll_gate_kind {
    ATOLL_GATE_TOPK,   /* learned */
    ATOLL_GATE_RANDOM, /* by lot: the baseline that a learned gate has to beat */
    ATOLL_GATE_DOMAIN  /* the expert of the domain that a record names; learned for records that name none */
} atoll_gate_kind;

/* Plain data: copy it to freeze it. */
typedef struct atoll_gate {
    atoll_net net;
    float vote_scale, vote_squares; /* s, and its AdaGrad accumulator */
    uint64_t version;               /* commit of its last change */
} atoll_gate;

void atoll_gate_init(atoll_gate *gate, uint32_t embedding_dim, uint64_t seed);
void atoll_gate_clear(atoll_pager *pager, atoll_gate *gate);

/* vote[e] for e < experts: the sum of the votes of neighbours that e owns. */
void atoll_gate_votes(const atoll_context *context, uint32_t experts, float *vote);

/*
 * probability[e] for e < gate->net.outputs: softmax of the scores over the experts with open[e], 0 for the others; all
 * 0 where none is open. input->linear holds embedding and context embedding, one behind the other.
 */
atoll_status atoll_gate_score(const atoll_gate *gate, atoll_net_scratch *scratch, const atoll_input *input,
                              const float *vote, const bool *open, float *probability, atoll_error *error);

/*
 * One step of cross entropy towards the owner, with the load-balancing loss of Switch [Fedus et al. 2022, eq. 4]:
 * alpha E sum_e share_e P_e, share being the running share of records that each expert was routed. Call right after
 * atoll_gate_score with the same arguments; *probability is overwritten.
 */
atoll_status atoll_gate_learn(atoll_pager *pager, atoll_gate *gate, atoll_net_scratch *scratch,
                              const atoll_input *input, const float *vote, const float *share, uint32_t owner,
                              float *probability, atoll_error *error);

enum { ATOLL_TOP_K_MAX = 16 };

typedef enum atoll_overflow {
    ATOLL_OVERFLOW_KEEP, /* dropless: what is over capacity is counted and served all the same */
    ATOLL_OVERFLOW_NEXT, /* goes to the next best expert that has room */
    ATOLL_OVERFLOW_DROP  /* loses this expert; a record that loses all is answered by the shared expert */
} atoll_overflow;

typedef struct atoll_route {
    uint32_t count; /* experts chosen, 0..ATOLL_TOP_K_MAX */
    uint32_t expert[ATOLL_TOP_K_MAX];
    float weight[ATOLL_TOP_K_MAX]; /* sum to 1 */
} atoll_route;

typedef struct atoll_route_counts {
    uint64_t routed, overflowed, dropped; /* record and expert pairs; records that lost all their experts */
} atoll_route_counts;

/*
 * Routes `batch` records (probability: batch x experts) to their top k. An expert's capacity in the batch is
 * ceil(capacity_factor * k * batch / open experts) [Lepikhin et al. 2021, GShard], at least k; `load` is scratch for
 * one counter an expert. Counts are added to *counts. Experts of probability 0 are never chosen.
 */
void atoll_gate_route(const float *probability, uint32_t batch, uint32_t experts, uint32_t k, float capacity_factor,
                      atoll_overflow overflow, uint32_t *load, atoll_route *route, atoll_route_counts *counts);

#endif
