/*
 * Calibration: whether answers of score s are right s of the time. Scores are gathered in bins of equal width; the
 * expected calibration error is the mean over records of |share right - mean score| of their bin [Naeini et al. 2015;
 * Guo et al. 2017].
 */
#ifndef ATOLL_CORE_CALIBRATION_H
#define ATOLL_CORE_CALIBRATION_H

#include <stdbool.h>

enum { ATOLL_CALIBRATION_BINS = 15 };

/* Plain data; zeros to begin with. */
typedef struct atoll_calibration {
    double records[ATOLL_CALIBRATION_BINS];
    double gap[ATOLL_CALIBRATION_BINS]; /* sum of right - score */
} atoll_calibration;

/* Counts one answer. What was counted before weighs 1 - `rate` of what it did; 0 forgets nothing. */
void atoll_calibration_add(atoll_calibration *calibration, float score, bool right, double rate);

/* 0..1; 0 where nothing was counted. Chance alone makes it positive: about .8 sqrt(bins p (1 - p) / records). */
double atoll_calibration_error(const atoll_calibration *calibration);

#endif
