/* Experts by the domain that records name: who owns a record where the gate is ATOLL_GATE_DOMAIN (core/gate.h). */
#ifndef ATOLL_LEARNER_HINT_H
#define ATOLL_LEARNER_HINT_H

#include "learner/state.h"

/*
 * The active expert that was made for the domain; one is made, active at once, where there is none: the domain is
 * known, so that nothing has to be tested. ATOLL_EXPERT_NONE where the model may hold no more.
 */
atoll_status atoll_hint_assign(atoll_state *state, uint32_t domain, uint64_t commit, uint32_t *owner,
                               atoll_error *error);

#endif
