/* Counting what was answered before it was learned: prequential accuracy, loss, routing. */
#ifndef ATOLL_LEARNER_TALLY_H
#define ATOLL_LEARNER_TALLY_H

#include "core/combine.h"
#include "core/gate.h"
#include "learner/state.h"

/* One record's route, of the gate's probabilities over model->experts: shares, times, entropies. */
void atoll_tally_route(atoll_state *state, const float *gate, const atoll_route *route, int64_t time_ms);

/* Who was given a record. */
void atoll_tally_owner(atoll_state *state, uint32_t owner);

/* What a batch's dispatch left by expert (core/gate.h), `experts` of each kind. */
void atoll_tally_load(atoll_state *state, const uint32_t *load, uint32_t experts);

/*
 * Collapse: one expert carries ATOLL_COLLAPSE_SHARE of the gate's weight or more, the entropy of what all carry is
 * below ATOLL_COLLAPSE_ENTROPY nats, others could answer, and it owns less than ATOLL_COLLAPSE_OWNED of the same
 * records: where the stream is of one domain, its expert owns what it carries. Logged, and counted, when it begins; it
 * ends where one expert carries less than ATOLL_COLLAPSE_OVER or owns what it carries. Shares are of the last thousand
 * records or so, and nothing is said before there were ATOLL_COLLAPSE_RECORDS.
 */
#define ATOLL_COLLAPSE_SHARE 0.95
#define ATOLL_COLLAPSE_ENTROPY 0.25
#define ATOLL_COLLAPSE_OWNED 0.8
#define ATOLL_COLLAPSE_OVER 0.9
enum { ATOLL_COLLAPSE_RECORDS = 1000 };
void atoll_tally_collapse(atoll_state *state);

/* What one record gives experts and gate to read. */
void atoll_tally_features(atoll_state *state, uint32_t features, uint32_t common);

/*
 * One record's answer p over voices->labels and its true label; a label that is not among them was not known, and the
 * answer is wrong. `domain` is UINT32_MAX where there was no hint. Returns the score of the answer.
 */
float atoll_tally_answer(atoll_state *state, const atoll_voices *voices, const float *p, uint32_t label,
                         uint32_t domain);

#endif
