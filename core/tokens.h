/*
 * Tokens: the words of a text, and the vectors of a record, each routed by itself (routing.granularity "token"), as the
 * layers of GShard [Lepikhin et al. 2021] and Switch [Fedus et al. 2022] route the tokens of a sentence: so one record
 * may wake several experts, and an expert reads of it what was routed to it.
 *
 * What a token is. A word is a token with the terms that it brings (core/features.h): itself, the bigram that it ends,
 * its n-grams. A vector is one. A record's words come first, then its vectors; a record with neither is one token.
 *
 * What the gate reads of it. The score of an expert for a token is f(token) + f(record), f the gate's network: of a
 * word its common terms, at unit length; of a vector its embedding; the record as where records are routed, the context
 * that tells what a common word means. Both are trained towards the record's owner. The other cues are the record's and
 * count alike for all of its tokens.
 *
 * What an expert reads. Experts are linear in the features and random features that they read, and what they say of a
 * record is the softmax of a sum over tokens [Lepikhin et al. 2021, algorithm 1, line 23, before the softmax]:
 *
 *     p_e = softmax(b_e + sum_t g_te W_e x_t),    p = sum_e s_e p_e,    s_e = sum_t g_te / tokens
 *
 * g_te being the token's gate weights over its top k, which sum to 1. So no network need know of tokens: it reads x_t
 * times g_te. Random features of vectors are averaged where those of words are summed, and so is what a hidden layer
 * makes of each (core/group.h).
 *
 * What an expert learns. Owners are records' (learner/growth.h), and an owner learns all of its record: experts that
 * learn what of others' records is routed to them, or owners that do not learn what is not, measure worse
 * (docs/decisions.md).
 */
#ifndef ATOLL_CORE_TOKENS_H
#define ATOLL_CORE_TOKENS_H

#include "core/gate.h"
#include "core/projection.h"

/* Scratch of one thread, grown as needed. Zeroed before the first use. */
typedef struct atoll_token_scratch {
    uint32_t *bucket;   /* ATOLL_FEATURES_MAX */
    float *weight;      /* ATOLL_FEATURES_MAX */
    float *z;           /* ATOLL_PROJECTION_FEATURES of the sum, then of ATOLL_PROJECTION_BLOCK vectors */
    float *projected;   /* for atoll_projection_run */
    float *row;         /* ATOLL_EXPERTS_MAX, twice */
    uint64_t projected_floats;
    float *gate;        /* `count` tokens x experts, as atoll_predict_gate leaves it; behind it by token the */
                        /* logarithm of what its scores were divided by (atoll_gate_pool) */
    uint32_t count;     /* tokens there; 0 where records are routed */
    uint64_t gate_floats;
} atoll_token_scratch;

void atoll_token_scratch_free(atoll_token_scratch *scratch);

/* Room for scratch->gate of so many tokens, and for the rest. ATOLL_NO_MEMORY. */
atoll_status atoll_token_scratch_fit(atoll_token_scratch *scratch, uint32_t tokens, uint32_t experts,
                                     atoll_error *error);

/* How many tokens a record has, at least 1. */
static inline uint32_t atoll_tokens_count(const atoll_input *input)
{
    uint32_t tokens = input->words + input->vectors;
    return tokens ? tokens : 1;
}

/*
 * logit[t x stride + e] for e < gate->net.outputs: the network's scores of each token. input->linear is the record's
 * embedding, input->each those of its vectors; features are the common ones alone. Leaves f(record) in scratch->row.
 * ATOLL_NO_MEMORY.
 */
atoll_status atoll_tokens_score(const atoll_gate *gate, atoll_net_scratch *net, atoll_token_scratch *scratch,
                                const atoll_input *input, float *logit, uint32_t stride, atoll_error *error);

/*
 * A step of the network's f(token) for each token, as atoll_gate_learn, towards the owner of the record, but for tokens
 * of which that has more than `sure` already; then one of f(record) by their mean slope. *probability is the mean that
 * the owner had.
 * atoll_net_admit has been called for the common features. ATOLL_NO_MEMORY.
 */
atoll_status atoll_tokens_learn(atoll_pager *pager, atoll_gate *gate, atoll_net_scratch *net,
                                atoll_token_scratch *scratch, const atoll_input *input, const bool *open,
                                const atoll_gate_losses *losses, uint32_t owner, float sure, float *probability,
                                atoll_error *error);

/*
 * The route of a record from those of its tokens: the ATOLL_TOP_K_MAX experts, at most, with the largest sums of
 * weights; and reads[i x tokens + t] = g_te of the i-th of them. The route views `token` and `reads`, which has room
 * for ATOLL_TOP_K_MAX x tokens.
 */
void atoll_tokens_gather(const atoll_route *token, uint32_t tokens, uint32_t experts, float *reads,
                         atoll_route *route);

/* The experts with the largest sums, best first, ATOLL_TOP_K_MAX at most, on the route, which is empty before; their
 * weights sum to 1. `sum` is used up. */
void atoll_tokens_choose(float *sum, uint32_t experts, atoll_route *route);

/*
 * What an expert reads of a record whose tokens it reads by reads[tokens]: `out`, which views the scratch until the
 * next call. `projection` is NULL where the record has no vectors. ATOLL_NO_MEMORY.
 */
atoll_status atoll_tokens_read(atoll_token_scratch *scratch, const atoll_projection *projection,
                               const atoll_input *input, const float *reads, atoll_input *out, atoll_error *error);

#endif
