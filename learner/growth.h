/*
 * Growth: who owns a record, and when the model gets an expert more.
 *
 * A record belongs to the expert e with the most
 *
 *     ln(turn_e + 0.02) + ln(vote_e + 0.02) + ln(0.8 p_e(y|x) + 0.2 (n_ey + 0.1) / (n_e + 0.1 L))
 *
 * where turn_e is the running share of the last records that e was given: a stream seldom goes to and fro. This is hard
 * expectation-maximisation of a mixture of experts with a prior that persists, as in a hidden Markov model; p_e counts
 * the label, which a request has not, so that a record's owner is surer than its route.
 *
 * The alarm (learner/alarm.h) tells that the stream has changed. It bears a candidate, unless the youngest expert has
 * fewer than ATOLL_GROWTH_SETTLED_RECORDS and so is what the alarm is about, or most of the last few records are
 * explained by an expert that was there: what returns is answered badly at first, but is not new. To the youngest goes
 * what is new, until it has ATOLL_GROWTH_YOUTH_RECORDS: where the log odds of the record's novelty (and 1 while the
 * stream is novel on the whole, less 1, less ln L unless its label is new too) are more than the above of any expert,
 * turns left out. New as well, while most of the last few records are, is a record whose label is known and has less
 * than 1 / L from its owner: of a domain that calls known inputs otherwise novelty sees nothing.
 *
 * A candidate learns but answers nothing until it has ATOLL_GROWTH_PROOF_RECORDS of its own. If it does not get them
 * within ATOLL_GROWTH_TRIAL_RECORDS of the stream it is given up, and its exemplars go to the expert with the largest
 * share of the stream.
 */
#ifndef ATOLL_LEARNER_GROWTH_H
#define ATOLL_LEARNER_GROWTH_H

#include "core/predict.h"
#include "learner/state.h"

enum {
    ATOLL_GROWTH_YOUTH_RECORDS = 1000,  /* to its age, an expert takes what is new */
    ATOLL_GROWTH_SETTLED_RECORDS = 400, /* to its age, alarms are about itself */
    ATOLL_GROWTH_PROOF_RECORDS = 64,    /* of its own, to promote a candidate */
    ATOLL_GROWTH_TRIAL_RECORDS = 800    /* of the stream, for it to gather them */
};

/* What asking found out about a record, as assignment needs it. */
typedef struct atoll_judged {
    const atoll_input *input;
    const atoll_context *context;
    uint32_t label;   /* UINT32_MAX where it is new to the model */
    float novelty, probability; /* the latter was given to its label; 0 where that is new */
} atoll_judged;

/*
 * The owner of a record, a new candidate perhaps. workspace->gate and ->vote hold the record's gate probabilities,
 * candidates included.
 */
atoll_status atoll_growth_assign(atoll_state *state, atoll_workspace *workspace, const atoll_judged *record,
                                 uint64_t commit, uint32_t *owner, atoll_error *error);

/* Promotes or gives up the candidate, if it is time. */
atoll_status atoll_growth_review(atoll_state *state, uint64_t commit, atoll_error *error);

#endif
