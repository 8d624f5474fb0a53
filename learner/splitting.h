/*
 * Splitting: two domains that arrive mixed from their first record on become one expert, for no change of the stream
 * lies between them. So once an expert that an alarm has borne is grown, it is looked at, and where it holds more
 * meanings than its low-rank path has dimensions, so that it cannot give each log odds of its own [Yang et al. 2018],
 * its exemplars are parted (learner/parting.h). If both parts can be routed to, they become an expert each, which
 * learns its exemplars anew, and the gate rehearses whose they are. So a page of a B-tree is split when it is full.
 *
 * An expert is looked at once. So a stream that does not change bears one expert for each alarm and, at most, one more.
 */
#ifndef ATOLL_LEARNER_SPLITTING_H
#define ATOLL_LEARNER_SPLITTING_H

#include "learner/state.h"
#include "learner/trainer.h"

enum { ATOLL_SPLITTING_RECORDS = 1000 }; /* of its own that an expert has when it is looked at */

/*
 * Splits the youngest expert if it is time and it holds two domains. Not while growth is off, learning is frozen, or
 * records are routed by the domain that they name. A failure (ATOLL_NO_MEMORY) leaves the state between two commits.
 */
atoll_status atoll_splitting_review(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_error *error);

#endif
