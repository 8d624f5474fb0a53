/*
 * Recounting: counts of text (core/counts.h) keep what every record taught, so what a replaced concept taught would
 * speak against the new one for good. What went to sleep is taken out of them, and what woke is added again, each
 * exemplar as often as it stands for records.
 */
#ifndef ATOLL_LEARNER_RECOUNT_H
#define ATOLL_LEARNER_RECOUNT_H

#include "learner/state.h"

/* After a step: of all that drift has moved in it. ATOLL_NO_MEMORY. */
atoll_status atoll_recount(atoll_state *state, atoll_error *error);

#endif
