/*
 * Novelty: how unlike everything known a record is, calibrated on the stream itself. The raw measure is the context's
 * familiarity, or the assurance of an answer (core/predict.h); novelty is the share of the last ATOLL_NOVELTY_WINDOW
 * records of the stream, each measured before it was learned, that had more of it.
 */
#ifndef ATOLL_CORE_NOVELTY_H
#define ATOLL_CORE_NOVELTY_H

#include <stdint.h>

enum { ATOLL_NOVELTY_WINDOW = 1000 };

/* Plain data. */
typedef struct atoll_novelty {
    uint32_t count, next;
    float recent[ATOLL_NOVELTY_WINDOW]; /* a ring, in the order of the stream */
    float sorted[ATOLL_NOVELTY_WINDOW]; /* the same values ascending; the first `count` are there */
} atoll_novelty;

/* 0..1, ties counted half; 1 while nothing has been measured. */
float atoll_novelty_of(const atoll_novelty *novelty, float familiarity);

/* A conformal p-value, above 0: the share of those window records and itself that were not more familiar. */
double atoll_novelty_rank(const atoll_novelty *novelty, float familiarity);

void atoll_novelty_learn(atoll_novelty *novelty, float familiarity);

#endif
