/*
 * Lists of labels by row: a matrix of features and labels that keeps only those pairs that were met, for models of so
 * many labels that most features meet few of them. What a row says of a label is a value, and where asked for its
 * AdaGrad accumulator in bfloat16.
 *
 * A list lies in one piece, in an array of lists of its size, and moves to one of twice the size when it is full; what
 * it leaves is used again. A row that meets more labels than `most` tells little of each of them, as stop words do: its
 * list is dropped, and there will be none for it any more.
 */
#ifndef ATOLL_CORE_POSTINGS_H
#define ATOLL_CORE_POSTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pages.h"

enum {
    ATOLL_POSTINGS_LEAST = 4,  /* labels that the smallest lists have room for */
    ATOLL_POSTINGS_SIZES = 6,  /* each twice the one before */
    /* Of 2,000 labels a text of 144 features then reads 13,500 entries; with all, 64,500, and answers less well. */
    ATOLL_POSTINGS_MOST = ATOLL_POSTINGS_LEAST << (ATOLL_POSTINGS_SIZES - 1)
};

/* Plain data: copy it to freeze it. */
typedef struct atoll_postings {
    bool squared;                           /* there are accumulators */
    uint32_t entries;                       /* in all lists */
    uint32_t vacant[ATOLL_POSTINGS_SIZES];  /* the first place that is free + 1, which holds the next; 0: none */
    atoll_array rows;                       /* where each row's list is */
    atoll_array lists[ATOLL_POSTINGS_SIZES];
} atoll_postings;

/* A row's list. Views: of atoll_postings_at only to be read. `value` is NULL where `count` is 0. */
typedef struct atoll_posting_list {
    float *value;
    uint16_t *label, *square; /* square: NULL where there are no accumulators */
    uint32_t count;
} atoll_posting_list;

void atoll_postings_init(atoll_postings *postings, bool squared);
void atoll_postings_clear(atoll_pager *pager, atoll_postings *postings);

/* Grows to `rows` rows, new ones empty. ATOLL_NO_MEMORY leaves all as it was. */
atoll_status atoll_postings_grow(atoll_pager *pager, atoll_postings *postings, uint32_t rows, atoll_error *error);

atoll_posting_list atoll_postings_at(const atoll_postings *postings, uint32_t row);

/*
 * A row's list for writing, with an entry for `label` <= UINT16_MAX, which is added with zeros where it is missing;
 * *index is where it stands. With ATOLL_POSTINGS_MOST others it is dropped, and the list is empty. ATOLL_NO_MEMORY
 * changes nothing.
 */
atoll_status atoll_postings_put(atoll_pager *pager, atoll_postings *postings, uint32_t row, uint32_t label,
                                atoll_posting_list *list, uint32_t *index, atoll_error *error);

/* Sends for a row's list, which will be read soon. */
void atoll_postings_prefetch(const atoll_postings *postings, uint32_t row);

uint64_t atoll_postings_bytes(const atoll_postings *postings); /* everything held */

/* The verifier: lists apart from each other, labels once in each. ATOLL_DAMAGED names the first thing that fails. */
atoll_status atoll_postings_verify(const atoll_postings *postings, atoll_error *error);

#endif
