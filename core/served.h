/*
 * A network's weights rounded to 8 or 4 bits (core/quant.h), beside the network itself: what answers read in its place,
 * with a quarter or an eighth of the bytes to fetch. It shares the network's table of rows.
 *
 * It is brought up to date page by page, by what changed since the last time; it lives in copy-on-write arrays of its
 * own, so copying the struct freezes it with the network that it belongs to.
 */
#ifndef ATOLL_CORE_SERVED_H
#define ATOLL_CORE_SERVED_H

#include "core/net.h"
#include "core/quant.h"

typedef struct atoll_served {
    atoll_precision precision; /* ATOLL_PRECISION_F32: there is nothing, and the network is read */
    uint64_t epoch;            /* what was born in it or before is in */
    atoll_quant_shape row;     /* V, W1 */
    atoll_quant_shape output;  /* D2 of one output */
    atoll_quant_shape unit;    /* D1 of one hidden unit */
    uint32_t columns;          /* outputs that there is room for: of V, `low` and `linear` */
    atoll_array rows;          /* by sparse row */
    atoll_array low;           /* W2 turned, as floats: by rank [columns], and b behind it */
    atoll_array head;          /* by output, where the network has a hidden layer: D2 */
    atoll_array first;         /* by hidden unit: c as a float, then D1 */
    atoll_array linear;        /* U at 4 bits, by eight of linear inputs, and the scales of its outputs behind it */
} atoll_served;

void atoll_served_init(atoll_served *served);
void atoll_served_clear(atoll_pager *pager, atoll_served *served);

/*
 * Brings it to the network and to `precision`. The reclaimer's epoch must advance before the network changes again.
 * R stays as it is: it is read as floats; so are networks whose V has lists. ATOLL_NO_MEMORY leaves it empty.
 */
atoll_status atoll_served_refresh(atoll_pager *pager, atoll_served *served, const atoll_net *net,
                                  atoll_precision precision, atoll_error *error);

/*
 * The hidden layer of one record, of `vectors` of net->dense_dim each, from the rounded weights: the mean of what is
 * said of each, times reads[i], or 1 where `reads` is NULL (core/group.h). ATOLL_NO_MEMORY.
 */
atoll_status atoll_served_hidden(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                 const float *v, uint32_t vectors, const float *reads, float *h, atoll_error *error);

/* As atoll_net_forward, but from the rounded weights. ATOLL_NO_MEMORY. */
atoll_status atoll_served_forward(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                  const atoll_input *input, const float *h, float *logits, atoll_error *error);

uint64_t atoll_served_bytes(const atoll_served *served); /* everything held */

/* Of that, or of the network where there is nothing, what a record of so many features reads (atoll_net_active). */
uint64_t atoll_served_active(const atoll_served *served, const atoll_net *net, double features);

#endif
