/*
 * The alarm: tells when the stream has changed, as it does when a new domain begins.
 *
 * Each record has two conformal p-values: its rank among the last ATOLL_NOVELTY_WINDOW records by familiarity (how
 * near its neighbours are), and by the probability that its label was given before it was learned. While the stream
 * is exchangeable neither is smaller than a uniform variable would be [Vovk, Gammerman, Shafer 2005]. So for each
 *
 *     R := (1 + R) b(p),    b(p) = 1/2 p^-1/2
 *
 * is a Shiryaev-Roberts statistic: R less the number of records is a supermartingale, and so it is for the mean of
 * both. The mean number of records until the mean of both passes A is therefore at least A [Vovk, Petej, Nouretdinov,
 * Ahlberg, Carlsson, Gammerman 2021, "Retrain or not retrain: conformal test martingales for change-point
 * detection"].
 *
 * The window makes the ranks approximate; that memory and answers improve makes records more familiar, on the safe
 * side.
 * docs/decisions.md has what was measured.
 */
#ifndef ATOLL_LEARNER_ALARM_H
#define ATOLL_LEARNER_ALARM_H

#include <stdbool.h>

#include "core/novelty.h"

/* Records to the first false alarm, on the mean. */
#define ATOLL_ALARM_RECORDS 1e5

/* Plain data. */
typedef struct atoll_alarm {
    double familiarity, probability; /* the two statistics */
    atoll_novelty probabilities;     /* of the last records */
    uint64_t rung;
} atoll_alarm;

/*
 * Hears of one record: its familiarity, not yet learned by `familiarities`, and the probability that its label was
 * given. Whether the alarm rings; then it starts anew.
 */
bool atoll_alarm_hear(atoll_alarm *alarm, const atoll_novelty *familiarities, float familiarity, float probability);

#endif
