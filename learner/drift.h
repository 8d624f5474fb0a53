/*
 * Drift inside a domain: the same inputs get other labels than before. What a model then remembers is wrong, and
 * replaying it keeps the networks wrong. So exemplars that the stream contradicts stop being replayed and asked; those
 * of a concept that was replaced as a whole are kept dormant, to be woken together should it return. Networks need no
 * copies: with the right exemplars they follow within a few hundred records.
 *
 * Contradiction. A record with label y has neighbours with labels a, and the mixture gave a the probability p before it
 * learned the record (p is halfway between that and the share of the other neighbours' votes). For each neighbour
 *
 *     E <- max(0, E + w ln(0.05 / p))            where a = y
 *     E <- max(0, E + w ln(0.95 / (1 - p)))      where not
 *
 * with w the square root of its vote as a part of the nearest one's. While p is right the steps are those of a test
 * supermartingale, exp(E) is an e-detector of CUSUM form, and it passes 1/alpha on average not before 1/alpha records
 * that are near [Shin, Ramdas, Rinaldo 2023; Page 1954]. A label's old exemplars share a second such sum, weighted by
 * their votes; an exemplar goes when both together pass -ln ATOLL_DRIFT_FALSE_ALARM, for which the same bound is the
 * root of 1/alpha [Cauchy, Schwarz], so that contradiction on all sides is found sooner than in one place.
 *
 * Only a neighbour that is younger than the contradicted one and has the label y makes a contradiction of it: newer
 * exemplars decide about older ones, as where self-adjusting memory is cleaned [Losing, Hammer, Wersing 2018]. Inputs
 * that are new are no contradiction: their own kind is nearest soon, p is small, or the record too novel.
 * In models that have met a vector exemplars are not weighed: there core/change.h tells what was replaced, and
 * learner/renewal.h puts it to sleep.
 *
 * Concepts. Where half of several cells is refuted at once, what is refuted becomes a dormant concept, and so does what
 * is refuted in the records after, for which ATOLL_DRIFT_FOLLOWING is asked, as it is likely then, and what is left of
 * cells once half has gone. Single ones stay. A dormant concept is asked along: for a record near it, with d the
 * nearest label in the concept, its evidence grows by ln(0.8 / p) if d = y and by ln(0.2 / (1 - p)), at most 0, if not,
 * p being the mixture's for d. Past the mark of ATOLL_DRIFT_FALSE_ALARM it wakes, and exemplars that came meanwhile and
 * lie among its own with other labels become a dormant concept in their turn.
 */
#ifndef ATOLL_LEARNER_DRIFT_H
#define ATOLL_LEARNER_DRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/context.h"
#include "core/status.h"
#include "retrieval/memory.h"

struct atoll_state;

#define ATOLL_DRIFT_FALSE_ALARM 1e-5
#define ATOLL_DRIFT_FOLLOWING 1e-2 /* the same of what goes after a concept that was replaced */

enum { ATOLL_DRIFT_CONCEPTS = 64 }; /* numbers of dormant concepts; 0 is none, and the oldest makes room */

typedef struct atoll_drift_slot {
    float evidence; /* against the exemplar */
    uint16_t dormant; /* 1 or 0; no struct here has padding, so that equal states are equal bytes */
    uint16_t refuted; /* the number of the span of the stream in which it was found to be, or 0 */
    uint64_t since; /* sequence number of the record with which it came, or was woken */
} atoll_drift_slot;

typedef struct atoll_drift_label {
    double evidence; /* against exemplars that are older than `start` */
    uint64_t start; /* sequence number of the record with which it began to grow */
} atoll_drift_label;

typedef struct atoll_drift_concept {
    double evidence;          /* that it has returned */
    uint64_t opened, records; /* sequence number of the last record before it; records learned by then */
} atoll_drift_concept;

/* All that is not an array. Plain data. */
typedef struct atoll_drift_state {
    atoll_drift_concept concept[ATOLL_DRIFT_CONCEPTS];
    uint32_t current;         /* the concept that went last */
    uint32_t due;             /* 1 where exemplars are to be looked at */
    uint64_t dormant;         /* exemplars */
    uint64_t last;            /* sequence number of the last record observed */
    uint64_t refuted, slept, woken, dropped; /* exemplars */
    uint64_t replaced, returned;    /* concepts */
} atoll_drift_state;

/* An exemplar that went to sleep, or woke. */
typedef struct atoll_drift_move {
    const atoll_exemplar *exemplar; /* a view, until the reclaimer advances */
    float records; /* that it stands for; below 0 where it went to sleep */
} atoll_drift_move;

typedef struct atoll_drift {
    atoll_drift_state now;
    atoll_drift_move *move; /* of the step under way (learner/recount.h) */
    uint32_t moves, room;
    uint32_t slots;
    uint32_t labels;          /* touched: the first so many */
    atoll_drift_slot *slot;   /* by slot of the memory */
    atoll_drift_label *label; /* by number, ATOLL_LABELS_MAX of them */
} atoll_drift;

atoll_status atoll_drift_init(atoll_drift *drift, uint32_t slots, atoll_error *error);
void atoll_drift_free(atoll_drift *drift);
uint64_t atoll_drift_bytes(const atoll_drift *drift);

/* What a record shows before it is learned. */
typedef struct atoll_drift_seen {
    const atoll_context *context;
    const float *p;    /* the mixture's answer over `labels` labels */
    uint32_t labels;
    uint32_t label;    /* UINT32_MAX where it is new to the model */
    float novelty;
    uint64_t seq;
} atoll_drift_seen;

void atoll_drift_observe(struct atoll_state *state, const atoll_drift_seen *seen);

/* Puts to sleep, wakes and drops what the records observed have decided. */
atoll_status atoll_drift_settle(struct atoll_state *state, atoll_error *error);

/* The exemplars in `count` slots, none of them dormant, become a dormant concept. */
atoll_status atoll_drift_replace(struct atoll_state *state, const uint32_t *slot, uint32_t count, atoll_error *error);

/* A new exemplar took a slot of the memory. */
void atoll_drift_placed(atoll_drift *drift, uint32_t slot, uint64_t seq);

/* As one blob to free(), for `slots` slots and `labels` labels, and back. ATOLL_DAMAGED, ATOLL_NO_MEMORY. */
atoll_status atoll_drift_save(const atoll_drift *drift, uint32_t slots, uint32_t labels, void **blob, size_t *bytes,
                              atoll_error *error);
atoll_status atoll_drift_load(atoll_drift *drift, const void *blob, size_t bytes, uint32_t slots, uint32_t labels,
                              atoll_error *error);

#endif
