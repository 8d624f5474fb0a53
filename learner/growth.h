/*
 * Growth: who owns a record, and when the model gets an expert more.
 *
 * A record belongs to the expert e with the most
 *
 *     ln(vote_e + 0.02) + ln(0.8 p_e(y|x) + 0.2 (n_ey + 0.1) / (n_e + 0.1 L))
 *
 * or to what is new, if the log odds of its novelty (and 1 while the stream is novel on the whole, less 1, less ln L
 * unless its label is new too) are more. What is new goes to the youngest expert until it has
 * ATOLL_GROWTH_YOUTH_RECORDS, then to a new candidate.
 *
 * A candidate learns but answers nothing. It is promoted once its evidence, the product over records not yet learned of
 *
 *     1/2 + 1/2 p_with(y) / p_without(y)
 *
 * passes 1/ATOLL_GROWTH_FALSE_ALARM, where p_with is the answer of the mixture if it could be routed to. Were
 * p_without the truth, this product would be a martingale of mean 1, so that by Ville's inequality it passes that
 * mark ever with probability at most ATOLL_GROWTH_FALSE_ALARM [Ville 1939; Shafer 2021]. The first candidate of a model
 * has nothing to be compared with and is promoted when it has ATOLL_GROWTH_FIRST_RECORDS. One that has learned
 * ATOLL_GROWTH_TRIAL_RECORDS and is still a candidate is given up, and its exemplars go to the expert with the
 * largest share of the stream, to be corrected by replay.
 */
#ifndef ATOLL_LEARNER_GROWTH_H
#define ATOLL_LEARNER_GROWTH_H

#include "core/predict.h"
#include "learner/state.h"

enum { ATOLL_GROWTH_YOUTH_RECORDS = 1000, ATOLL_GROWTH_FIRST_RECORDS = 64, ATOLL_GROWTH_TRIAL_RECORDS = 800 };

#define ATOLL_GROWTH_FALSE_ALARM 1e-3

/* What asking found out about a record, as assignment needs it. */
typedef struct atoll_judged {
    const atoll_input *input;
    const atoll_context *context;
    uint32_t label;   /* UINT32_MAX where it is new to the model */
    float novelty;
} atoll_judged;

/*
 * The owner of a record, a new candidate perhaps. workspace->gate and ->vote hold the record's gate probabilities,
 * candidates included.
 */
atoll_status atoll_growth_assign(atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                                 uint64_t commit, uint32_t *owner, atoll_error *error);

/* Adds one record's evidence for the candidate. */
void atoll_growth_weigh(atoll_state *state, float p_with, float p_without);

/* Promotes or gives up the candidate, if it is time. */
atoll_status atoll_growth_review(atoll_state *state, uint64_t commit, atoll_error *error);

#endif
