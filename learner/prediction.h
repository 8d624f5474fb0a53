/* The answer to one record, with its evidence. */
#ifndef ATOLL_LEARNER_PREDICTION_H
#define ATOLL_LEARNER_PREDICTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/combine.h"
#include "core/limits.h"

typedef struct atoll_scored_label {
    const char *label; /* terminated; lives as long as the model */
    float score;
} atoll_scored_label;

typedef struct atoll_used_expert {
    uint32_t id;
    uint64_t version;
    float weight;
} atoll_used_expert;

typedef struct atoll_shown_neighbour {
    char id[ATOLL_ID_MAX_BYTES + 1]; /* "" where the record had none */
    const char *label;
    float similarity;
} atoll_shown_neighbour;

/* An expert's part in a token. */
typedef struct atoll_token_expert {
    uint32_t id;
    float weight;
} atoll_token_expert;

/* What became of one token, where tokens are routed. */
typedef struct atoll_shown_token {
    char word[ATOLL_EXPLAIN_WORD_BYTES + 1]; /* as it was read, normalised, and cut; "" of a vector */
    uint32_t vector;                         /* of a vector: its place among the record's */
    uint32_t experts, refused;
    atoll_token_expert expert[ATOLL_EXPLAIN_EXPERTS]; /* who read it, best first; weights sum to 1 where all are here */
    uint32_t refuser[ATOLL_EXPLAIN_EXPERTS];          /* of its first choices, those that had no room for it */
    bool dropped;                                     /* nobody had */
} atoll_shown_token;

typedef struct atoll_prediction {
    uint64_t prediction; /* unique among this model's, in this process's life */
    uint32_t labels, experts, neighbours;
    uint32_t tokens;     /* that the record has; filled only to explain, and 0 where records are routed */
    float novelty;       /* 0..1: the quantile of this record among recent ones */
    bool abstain;        /* the answer should not be believed */
    atoll_scored_label label[ATOLL_TOP_MAX]; /* best first; none while the model knows no label */
    atoll_used_expert expert[16];            /* best first */
    atoll_shown_neighbour neighbour[ATOLL_EXPLAIN_NEIGHBOURS]; /* most similar first; filled only to explain */
    const atoll_shown_token *token; /* the first ATOLL_EXPLAIN_TOKENS of them, for as long as atoll_predicted runs */
    const char *voice[ATOLL_VOICES]; /* what each voice alone would have answered, or NULL; filled only to explain */
} atoll_prediction;

#endif
