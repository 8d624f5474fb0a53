/*
 * The trainer: learns one commit. A commit is learned in steps of at most ATOLL_STEP_RECORDS records, so that what is
 * learned hardly depends on how a stream was cut into requests:
 *
 *     encode -> find neighbours -> answer first (prequential) -> assign owners -> learn frequencies and scale
 *     -> draw replays -> rehearse (the combination) -> fit shared expert, experts, gate -> remember
 *     -> review the candidate -> split what is over its capacity
 *
 * These are tasks for two threads, with what may go side by side told in trainer.c. All randomness is seeded by the
 * commit's number: the same journal gives the same weights, whichever thread does what.
 */
#ifndef ATOLL_LEARNER_TRAINER_H
#define ATOLL_LEARNER_TRAINER_H

#include "core/record.h"
#include "learner/patience.h"
#include "learner/state.h"

enum { ATOLL_STEP_RECORDS = 64 };

typedef struct atoll_trainer atoll_trainer; /* scratch of learning; holds nothing between commits */

/* With a second thread (learner/twin.h) of that niceness. `patience` is borrowed, NULL for ever. NULL where there is no
 * memory or no thread. */
atoll_trainer *atoll_trainer_new(int niceness, const atoll_patience *patience);
void atoll_trainer_free(atoll_trainer *trainer);
uint64_t atoll_trainer_bytes(const atoll_trainer *trainer); /* of its scratch, but for some kilobytes */

/*
 * Learns `count` records, each with a label, of one commit. A failure (ATOLL_NO_MEMORY, ATOLL_INTERNAL, and
 * ATOLL_SHUTTING_DOWN before the first step that finds the patience over) leaves the state between two commits: it must
 * not be checkpointed.
 */
atoll_status atoll_trainer_learn(atoll_trainer *trainer, atoll_state *state, const atoll_record *records,
                                 uint32_t count, uint64_t commit, uint64_t first_seq, int64_t time_ms,
                                 atoll_error *error);

#endif
