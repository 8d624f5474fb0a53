/*
 * A watch over vectors: have the same inputs got other labels? Two small ridge regressions over the first random
 * features [paired learners: Bach, Maloof 2008], a steady one that keeps all and a recent one of the last few hundred
 * records, name each record's label before they learn it. Where only one of them is right,
 *
 *     E <- max(0, E + ln(1.5))    if that is the recent one
 *     E <- max(0, E + ln(0.5))    if that is the steady one
 *
 * While nothing changes the steady one, which knows more, is right at least as often: the steps are those of a test
 * supermartingale, exp(E) is an e-detector of CUSUM form, and it passes 1/alpha on average not before 1/alpha records
 * on which they differ [Shin, Ramdas, Rinaldo 2023]. Only labels with a share of the last records are watched; where
 * others come or go, which is no contradiction, both learners begin anew.
 *
 * Inputs that are new, or more than the steady learner can hold, may ring as well. So after an alarm the steady learner
 * stops and the recent one begins anew, and when it has learned enough and still leads, it is asked about what was
 * remembered before (atoll_change_judge): a change of labels contradicts that, new inputs do not.
 */
#ifndef ATOLL_CORE_CHANGE_H
#define ATOLL_CORE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/factor.h"
#include "core/limits.h"

#define ATOLL_CHANGE_FALSE_ALARM 1e-5

enum {
    ATOLL_CHANGE_FEATURES = 128, /* of those of core/projection.h the first */
    ATOLL_CHANGE_LABELS = 32,    /* watched at most; more labels than that have too few records each */
    ATOLL_CHANGE_NUMBERED = 4096, /* those that may be watched: the model's first */
    ATOLL_CHANGE_WINDOW = 256    /* records: the recent learner has learned from one to two of it */
};

typedef struct atoll_change_learner {
    atoll_factor factor;
    float *b, *w; /* watched labels x features: sums, solution */
    uint32_t records;
} atoll_change_learner;

/* All that is not an array of a learner. Plain data. */
typedef struct atoll_change_state {
    uint32_t labels;                             /* watched */
    uint32_t alarmed;                            /* 1 from an alarm until it was judged */
    int32_t lead;                                /* since then: hits of the recent learner less the steady one's */
    uint32_t zero;
    uint32_t label[ATOLL_CHANGE_LABELS];         /* in no order */
    float share[ATOLL_CHANGE_NUMBERED];          /* of the last records, by label */
    double evidence, leverage;                   /* E; mean of atoll_change_judge's over new records */
    uint64_t start;                              /* sequence number of the record with which E began to grow */
    uint64_t alarms;
} atoll_change_state;

typedef struct atoll_change {
    atoll_change_state now;
    atoll_change_learner steady, recent, next; /* `next` becomes the recent one */
    float *rows;                               /* scratch */
} atoll_change;

atoll_status atoll_change_new(atoll_change **out, atoll_error *error); /* ATOLL_NO_MEMORY */
void atoll_change_free(atoll_change *change);

/* Both learners begin anew: features or what is known of the labels has changed. */
void atoll_change_restart(atoll_change *change);

/* Up to ATOLL_FACTOR_ROWS records with sequence numbers from `first`; of z[i] the first features are read. */
void atoll_change_observe(atoll_change *change, const float *const *z, const uint32_t *label, uint32_t count,
                          uint64_t first);

/* Whether an alarm can be judged now. */
bool atoll_change_is_due(const atoll_change *change);

/* What the two learners say of a record that came before the change. */
typedef struct atoll_change_opinion {
    bool known;          /* the label is watched, and the recent learner has learned from inputs like this */
    bool steady, recent; /* find the label */
} atoll_change_opinion;

atoll_change_opinion atoll_change_judge(const atoll_change *change, const float *z, uint32_t label);

/* As one blob of atoll_change_save_bytes, and back. ATOLL_DAMAGED. */
uint64_t atoll_change_save_bytes(void);
void atoll_change_save(const atoll_change *change, void *blob);
atoll_status atoll_change_load(atoll_change *change, const void *blob, uint64_t bytes, atoll_error *error);

uint64_t atoll_change_bytes(const atoll_change *change); /* 0 for NULL */

#endif
