/* Counting what was answered before it was learned: prequential accuracy, loss, routing. */
#ifndef ATOLL_LEARNER_TALLY_H
#define ATOLL_LEARNER_TALLY_H

#include "core/combine.h"
#include "core/gate.h"
#include "learner/state.h"

/* One record's route, of the gate's probabilities over model->experts: shares, times, entropy. */
void atoll_tally_route(atoll_state *state, const float *gate, const atoll_route *route, int64_t time_ms);

/* What one record gives experts and gate to read. */
void atoll_tally_features(atoll_state *state, uint32_t features, uint32_t common);

/*
 * One record's answer p over voices->labels and its true label; a label that is not among them was not known, and the
 * answer is wrong. `domain` is UINT32_MAX where there was no hint. Returns the score of the answer.
 */
float atoll_tally_answer(atoll_state *state, const atoll_voices *voices, const float *p, uint32_t label,
                         uint32_t domain);

#endif
