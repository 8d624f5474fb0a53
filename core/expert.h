/*
 * An expert: a feed-forward network with labels of its own, and what is known of it. The shared expert is one too; its
 * labels are all labels of the model.
 */
#ifndef ATOLL_CORE_EXPERT_H
#define ATOLL_CORE_EXPERT_H

#include <stdint.h>

#include "core/served.h"

typedef enum atoll_expert_state {
    ATOLL_EXPERT_SHARED,    /* the dense fallback; id 0 */
    ATOLL_EXPERT_CANDIDATE, /* in the nursery: learns, is not routed to */
    ATOLL_EXPERT_ACTIVE,
    ATOLL_EXPERT_ARCHIVED,  /* keeps its parameters, on disk in the end; is neither trained nor routed to */
    ATOLL_EXPERT_GONE       /* given up as a candidate, or merged: only its number remains */
} atoll_expert_state;

#define ATOLL_DOMAIN_NONE UINT32_MAX /* where a domain's number would be */

/* A label as one expert knows it: output i of its network stands for labels[i].label. */
typedef struct atoll_expert_label {
    uint32_t label;   /* the model's number */
    uint32_t records; /* of this label that the expert has learned, replays not counted */
} atoll_expert_label;

/* Plain data: copy it to freeze it. */
typedef struct atoll_expert {
    uint32_t id;
    atoll_expert_state state;
    bool unloaded;           /* archived, and the parameters of `net` are on disk alone */
    uint64_t born, version;  /* commits: of its birth, of its last change */
    uint64_t born_records;   /* records that the model had learned at its birth */
    uint32_t domain;         /* the domain (number) that it was made for, or ATOLL_DOMAIN_NONE */
    atoll_net net;
    atoll_served served;     /* its weights rounded for answers, where the configuration says so; not saved */
    bool serving;            /* of a frozen expert: `served`, if it holds something, is read instead of `net` */
    atoll_array labels;      /* of atoll_expert_label, as many as net.outputs */
    uint64_t records;        /* learned, replays not counted */
    uint32_t exemplars;      /* remembered of its own, as of the last step */
    int64_t last_routed_ms;  /* journal time */
    double share;            /* running share of the records routed to it */
    double importance, load; /* running means: the gate's probability, and that to be among its first (balance.h) */
    double carried, owned;   /* running shares: the gate's weight, and ownership, of all records */
    double entropy;          /* running mean of the gate's, over records whose first choice it is, nats */
    uint64_t overflowed, dropped; /* records or tokens that found it full, and of those whom nobody else took */
    double turn;             /* running share of the records that it was given, of the last hundred or so */
    double loss;             /* running mean of -ln p of the true label, before learning it */
    double drift;            /* how much more often than it said it is wrong where it is at home (learner/drift.h) */
} atoll_expert;

void atoll_expert_init(atoll_expert *expert, uint32_t id, const atoll_net_shape *shape);
void atoll_expert_clear(atoll_pager *pager, atoll_expert *expert);

static inline const atoll_expert_label *atoll_expert_label_at(const atoll_expert *expert, uint32_t output)
{
    return (const atoll_expert_label *)atoll_array_at(&expert->labels, output);
}

/* Whether its answers are read from rounded weights. */
static inline bool atoll_expert_rounded(const atoll_expert *expert)
{
    return expert->serving && expert->served.precision != ATOLL_PRECISION_F32;
}

/* The output for a label, or ATOLL_ROW_NONE. At worst a walk over the expert's labels. */
uint32_t atoll_expert_output(const atoll_expert *expert, uint32_t label);

/* Adds an output for a label that it does not know; *output is its number. */
atoll_status atoll_expert_add_label(atoll_pager *pager, atoll_expert *expert, uint32_t label, uint32_t *output,
                                    atoll_error *error);

/*
 * probability[labels of the model] += scale * the expert's softmax. `logits` is scratch for its outputs, and receives
 * its own probabilities. Nothing is added where it knows no label. The shared expert starts from what the analytic half
 * says of the record, where input->score holds it (atoll_expert_base).
 */
atoll_status atoll_expert_predict(const atoll_expert *expert, atoll_net_scratch *scratch, const atoll_input *input,
                                  const float *h, float scale, float *logits, float *probability, atoll_error *error);

/*
 * logits += what the analytic half says, sharpened, of the labels that it knows, where the expert is the shared one and
 * input->score holds it: its network learns what ridge regression leaves.
 */
void atoll_expert_base(const atoll_expert *expert, const atoll_input *input, float *logits);

uint64_t atoll_expert_bytes(const atoll_expert *expert);

#endif
