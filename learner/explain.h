/* Explaining an answer: what became of the tokens of a record, where tokens are routed. */
#ifndef ATOLL_LEARNER_EXPLAIN_H
#define ATOLL_LEARNER_EXPLAIN_H

#include "core/dispatch.h"
#include "learner/prediction.h"

/* A record that has been answered. */
typedef struct atoll_explained {
    const atoll_model *model;
    atoll_slice text;         /* absent where it has none */
    uint32_t words;           /* among its tokens */
    const atoll_gated *gated;
    const atoll_route *route;
} atoll_explained;

/*
 * out->tokens and out->token, an array of the arena's. Of a soft gate an expert's weight is what it says of the token
 * (core/soft.h: C). `term` has room for ATOLL_FEATURES_MAX. ATOLL_NO_MEMORY.
 */
atoll_status atoll_explain_tokens(const atoll_explained *explained, atoll_text_scratch *scratch, atoll_term *term,
                                  atoll_arena *arena, atoll_prediction *out, atoll_error *error);

#endif
