/*
 * Renewal: what models of vectors do when the same inputs get other labels. Exemplars of a replaced concept become
 * dormant as those of texts do (learner/drift.h), but which they are is told by the watch of core/change.h, for classes
 * of vectors lie so close that neighbours of new ones look like contradiction. And the analytic half, which would keep
 * what holds no longer for ever, is learned again from the exemplars that are left. So it is where other random
 * features suit the stream better.
 */
#ifndef ATOLL_LEARNER_RENEWAL_H
#define ATOLL_LEARNER_RENEWAL_H

#include "learner/state.h"

/*
 * After a step that learned `count` records, up to ATOLL_FACTOR_ROWS, with random features z[i] and sequence numbers
 * from `first`; `returned` concepts had returned before it.
 */
atoll_status atoll_renewal_observe(atoll_state *state, const float *const *z, const uint32_t *label, uint32_t count,
                                   uint64_t first, uint64_t returned, atoll_error *error);

/*
 * Draws random features anew, where what is remembered tells which numbers of a vector say something of labels.
 * Networks forget what they made of the former ones; the analytic half is to learn again, and its solution to be made.
 * Does nothing where experts may not learn, or one is archived, which could not forget.
 */
atoll_status atoll_renewal_choose(atoll_state *state, atoll_error *error);

/* The analytic half learns what is remembered as if for the first time, but for what is dormant or held out. */
atoll_status atoll_renewal_relearn(atoll_state *state, atoll_error *error);

#endif
