/*
 * Pruning: which experts are idle, and taking them out. An archived expert keeps its parameters and can be restored;
 * its exemplars leave the memory, and the gate no longer knows it.
 *
 * An active expert is idle if it was routed nothing for idle_after; and if its share of the records learned since its
 * birth is below min_share, once there were ATOLL_PRUNING_LEAST_RECORDS of them.
 */
#ifndef ATOLL_LEARNER_PRUNING_H
#define ATOLL_LEARNER_PRUNING_H

#include "core/model.h"
#include "learner/learner.h"
#include "learner/state.h"

enum { ATOLL_PRUNING_LEAST_RECORDS = 10000 };

/* When requests were last routed to each expert, Unix milliseconds; 0 for never, and for experts beyond `count`. */
typedef struct atoll_asked {
    uint32_t count;
    const int64_t *last_ms;
} atoll_asked;

/* What is idle at `now_ms`: *count entries into `pruned`, which has room for model->experts. */
void atoll_pruning_plan(const atoll_model *model, const atoll_asked *asked, int64_t now_ms, atoll_pruned *pruned,
                        uint32_t *count);

/* Archives one active expert. ATOLL_NO_MEMORY leaves the state between two commits. */
atoll_status atoll_pruning_archive(atoll_state *state, uint32_t id, uint64_t commit, atoll_error *error);

/* Makes an archived expert active again. ATOLL_UNKNOWN_EXPERT, ATOLL_WRONG_STATE. */
atoll_status atoll_pruning_restore(atoll_state *state, uint32_t id, uint64_t commit, int64_t now_ms,
                                   atoll_error *error);

#endif
