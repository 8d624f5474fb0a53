/*
 * The gate: scores experts for a record and picks the top k [Shazeer et al. 2017]. Four cues, each a log score for
 * every expert, are pooled with learned weights as the voices of an answer are (core/combine.h):
 *
 *     network   b + V x + U embedding, with an output for each expert; output e belongs to place e of the model's table
 *     votes     ln(0.05 + the share of the neighbours' votes that e owns, each owner's divided by its exemplars + 10)
 *     labels    ln(0.01 + sum_y p(y) P(e | y)): what the shared expert says of the label, and who has learned it
 *     youth     ln(1000 / (records of e + 1)), at least 0: the network answers for the past as much as for the present,
 *               and the present of a new domain is rare in it for long
 *
 * The network learns from every sample by itself. The weights are learned from records that nothing has learned yet:
 * from new ones, and from exemplars held out of replay, to which the youth of experts does harm; those of vectors are
 * spared it (learner/rehearsal.c).
 */
#ifndef ATOLL_CORE_GATE_H
#define ATOLL_CORE_GATE_H

#include "core/balance.h"
#include "core/context.h"
#include "core/net.h"
#include "core/newton.h"
#include "core/served.h"

typedef enum atoll_cue { ATOLL_CUE_NETWORK, ATOLL_CUE_VOTES, ATOLL_CUE_LABELS, ATOLL_CUE_YOUTH, ATOLL_CUES } atoll_cue;

#define ATOLL_GATE_VOTE_FLOOR 0.05f
#define ATOLL_GATE_LABEL_FLOOR 0.01f

typedef enum atoll_gate_kind {
    ATOLL_GATE_TOPK,   /* learned */
    ATOLL_GATE_RANDOM, /* by lot: the baseline that a learned gate has to beat */
    ATOLL_GATE_DOMAIN, /* the expert of the domain that a record names; learned for records that name none */
    ATOLL_GATE_SOFT    /* learned as the first, but every expert answers (core/soft.h) */
} atoll_gate_kind;

/* Plain data: copy it to freeze it. */
typedef struct atoll_gate {
    atoll_net net;
    float weight[ATOLL_CUES]; /* of the cues */
    atoll_newton newton;
    float youth_squares; /* the AdaGrad accumulator of the youth's weight */
    uint64_t version;    /* commit of its last change */
} atoll_gate;

void atoll_gate_init(atoll_gate *gate, uint32_t embedding_dim, uint64_t seed);
void atoll_gate_clear(atoll_pager *pager, atoll_gate *gate);

/* vote[e] for e < experts: the sum of the votes of neighbours that e owns. */
void atoll_gate_votes(const atoll_context *context, uint32_t experts, float *vote);

/*
 * With more experts than this, answers read the network's weights rounded to 4 bits (core/served.h): hundreds of rows
 * of as many weights as there are experts are most of what routing fetches from memory. Cues and probabilities of so
 * many are worked out several at a time (atoll_softmax_long), to 2e-6.
 */
enum { ATOLL_GATE_FLOATS_MAX = 64 };

/*
 * logit[e] for e < gate->net.outputs. input->linear is the embedding; the features are the common ones alone.
 * `rounded` is the network's weights as answers read them, or NULL.
 */
atoll_status atoll_gate_score(const atoll_gate *gate, const atoll_served *rounded, atoll_net_scratch *scratch,
                              const atoll_input *input, float *logit, atoll_error *error);

/*
 * probability[e] for e < experts: softmax of the cues' weighted sum over the experts with open[e], 0 for the others;
 * all 0 where none is open. Returns log sum exp of the sums, 0 where none is open.
 */
float atoll_gate_pool(const atoll_gate *gate, float *const *cue, const bool *open, uint32_t experts,
                      float *probability);

/* The same once one more cue is heard, of experts that have been pooled without. */
void atoll_gate_hear(const atoll_gate *gate, atoll_cue which, const float *cue, uint32_t experts, float *probability);

/* Turns the network's logits into its own probabilities over the open experts, and returns the owner's; *log_sum is
 * the logarithm of what they were divided by. */
float atoll_gate_probability(const atoll_gate *gate, const bool *open, uint32_t owner, float *logit, float *log_sum);

/* What is learned beside the owner (core/balance.h). */
typedef struct atoll_gate_losses {
    atoll_balance kind;
    float weight, z_weight;
    uint32_t k;
    const float *running; /* by expert, as the kind wants it */
} atoll_gate_losses;

/*
 * One step of the network's own cross entropy towards the owner, and of `losses`. Call right after
 * atoll_gate_probability of the same input's scores; *probability becomes the slope of the whole by score.
 */
atoll_status atoll_gate_learn(atoll_pager *pager, atoll_gate *gate, atoll_net_scratch *scratch,
                              const atoll_input *input, const atoll_gate_losses *losses, uint32_t owner,
                              float *probability, float log_sum, atoll_error *error);

/*
 * One step of the cues' weights for a record whose cues pooled to `probability`, which counts `importance` times.
 * Youth's weight follows the probability of the owner instead of its log loss, as that of labels does.
 */
void atoll_gate_weigh(atoll_gate *gate, float *const *cue, const float *probability, uint32_t experts,
                      uint32_t owner, float importance);

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
    const float *reads; /* by how much each of them reads each token of the record; NULL: it reads the whole record */
    const struct atoll_route *token; /* the routes of its tokens, where those are routed and chosen for; else NULL */
    const float *all;   /* of a soft gate: the weight of every expert; `reads` is by expert then. Else NULL */
} atoll_route;

typedef struct atoll_route_counts {
    uint64_t routed, overflowed; /* pairs of a record, or token, and an expert */
    uint64_t dropped;            /* records or tokens that lost all their experts */
} atoll_route_counts;

/*
 * Routes `batch` records (probability: batch x experts) to their top k. An expert's capacity in the batch is
 * ceil(capacity_factor * k * batch / open experts) [Lepikhin et al. 2021, GShard], at least k; open is who has a
 * probability in any record. Counts are added to *counts; load[ATOLL_LOADS x experts] receives those of each expert:
 * `experts` of each kind behind each other. Experts of probability 0 are never chosen.
 */
enum { ATOLL_LOAD_TAKEN, ATOLL_LOAD_OVERFLOWED, ATOLL_LOAD_DROPPED, ATOLL_LOADS }; /* dropped: served by nobody */
void atoll_gate_route(const float *probability, uint32_t batch, uint32_t experts, uint32_t k, float capacity_factor,
                      atoll_overflow overflow, uint32_t *load, atoll_route *route, atoll_route_counts *counts);

/*
 * refused[ATOLL_TOP_K_MAX]: of the first k choices of one record or token those that its route does not hold, because
 * they were full. Returns how many.
 */
uint32_t atoll_gate_refused(const float *probability, uint32_t experts, uint32_t k, const atoll_route *route,
                            uint32_t *refused);

#endif
