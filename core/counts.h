/*
 * Counts: what every record taught of each feature and label, a multinomial naive Bayes [McCallum, Nigam 1998] over
 * tf-idf weights [Rennie et al. 2003]:
 *
 *     score(y) = sum_f x_f ln((m_fy + a) / (m_y + b))        m_fy: weight of feature f in records of y; m_y its sum
 *
 * Sums do not depend on the order of the stream, but for what is taken off: what it learned first it keeps as well as
 * what it learned last, from each record once and without replay. It is less accurate than a network that was fitted
 * well, but errs elsewhere.
 *
 * A row holds ln(1 + m_fy / a) for each label, so that zero is nothing learned and a score is a sum of rows. Rows are
 * numbered as those of the shared expert's network, which has none for a feature of one text. Where labels are young
 * these tell them apart; so of such a feature its label and weight are kept, in four bytes, until it gets a row.
 *
 * Of more than ATOLL_COUNTS_COLUMNS labels most features meet few, and rows are lists of those (core/postings.h).
 */
#ifndef ATOLL_CORE_COUNTS_H
#define ATOLL_CORE_COUNTS_H

#include <stdint.h>

#include "core/postings.h"

enum { ATOLL_COUNTS_COLUMNS = 256 }; /* rows have room for so many labels at most, as those of networks do */

/* Plain data: copy it to freeze it. */
typedef struct atoll_counts {
    uint32_t labels, capacity; /* counted; room for them in each row, 0 where rows are lists */
    atoll_array rows;          /* of float [capacity] */
    atoll_postings many;       /* or rows as lists */
    atoll_array mass;          /* of float by label: m_y */
    atoll_array once;          /* of uint32_t by bucket: label and weight of the one record that held it; 0: none */
} atoll_counts;

/*
 * One record's features: weights and buckets of those that have rows, then of the rest. A row may be ATOLL_ROW_NONE.
 */
typedef struct atoll_counted {
    const uint32_t *row; /* features */
    const float *weight; /* features + rest */
    uint32_t features;
    const uint32_t *bucket; /* features + rest, or NULL where nothing is known of features without rows */
    uint32_t rest;
} atoll_counted;

void atoll_counts_init(atoll_counts *counts);
void atoll_counts_clear(atoll_pager *pager, atoll_counts *counts);

/*
 * Adds `times` one record, which takes that off where it is below 0, as far as there is so much: m_fy no less than 0,
 * and m_y by all of the record's weight, whether or not its features gave theirs. `rows` is how many rows there are.
 * ATOLL_NO_MEMORY may leave a part of it added.
 */
atoll_status atoll_counts_add(atoll_pager *pager, atoll_counts *counts, const atoll_counted *record, uint32_t rows,
                              uint32_t label, float times, atoll_error *error);

/*
 * probability[labels], 0 for labels of which nothing is counted, or the same for all that counts->labels has where
 * nothing is counted of any; `labels` is at least counts->labels, and that at least 1.
 */
void atoll_counts_predict(const atoll_counts *counts, const atoll_counted *record, float *probability, uint32_t labels);

uint64_t atoll_counts_parameters(const atoll_counts *counts); /* what rows hold, */
double atoll_counts_active(const atoll_counts *counts, double features); /* and what a record reads of so many */
uint64_t atoll_counts_bytes(const atoll_counts *counts);

#endif
