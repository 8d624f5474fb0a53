/* Exemplars of one expert, for what is done to whole experts: merging (learner/merging.h), splitting. */
#ifndef ATOLL_LEARNER_EXEMPLARS_H
#define ATOLL_LEARNER_EXEMPLARS_H

#include "learner/step.h"

/* Up to `most` slots that `owner` has, evenly over the table; how many. */
uint32_t atoll_exemplars_pick(const atoll_state *state, uint32_t owner, uint32_t most, uint32_t *slot);

/* An exemplar as a sample without random features of its vectors; its arrays are the hand's arena's. NULL where memory
 * is short. */
atoll_sample *atoll_exemplars_words(atoll_hand *h, const atoll_state *state, uint32_t slot);

/* An exemplar as a sample that is replayed; the same. */
atoll_sample *atoll_exemplars_encode(atoll_hand *h, const atoll_state *state, uint32_t slot);

void atoll_exemplars_shuffle(atoll_rng *rng, uint32_t *slot, uint32_t count);

#endif
