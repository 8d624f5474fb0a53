/*
 * A network over hashed sparse features and a dense vector, with outputs that grow: what an expert and the gate are.
 *
 *     logits = b + V x  +  W2 (W1 x)  +  D2 relu(D1 v + c)  +  R z  +  U u
 *              bias wide   low rank      hidden layer          random  linear
 *
 * x: sparse features; v: a dense vector; z: random features of it (core/projection.h), or the first
 * of them; u: another dense vector. V has a row for each bucket seen, and W1 likewise
 * (they share the row). Any path may be absent (rank, hidden or linear_dim 0, or an input without x or v). The wide and
 * the low-rank path together learn new classes fast and old ones well, as wide and deep models do [Cheng et al. 2016];
 * the low-rank path is linear as in [Joulin et al. 2016].
 *
 * With more than ATOLL_NET_COLUMNS outputs most features say nothing of most outputs, and a row of V for all of them
 * would be nearly all that a model holds. So V then has lists (core/postings.h) of the outputs that were taught with a
 * feature, and no entry for a feature taught with too many; a step changes what the lists of its features hold.
 *
 * Every weight takes AdaGrad steps [Duchi, Hazan, Singer 2011] with an accumulator of its own, but for W1, whose rows
 * share one accumulator each (the mean square of the row's gradient), which measures as well at half the memory. V's
 * accumulators are rounded to bfloat16: below 1/512 of what it holds, a square is not added any more.
 *
 * All parameters live in copy-on-write arrays: copying the struct freezes the network. What makes a network and changes
 * its shape is in core/net_shape.c, what reads and teaches it in core/net.c.
 */
#ifndef ATOLL_CORE_NET_H
#define ATOLL_CORE_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/postings.h"
#include "core/rows.h"

/* V has columns for so many outputs at most: a row of them is added in some sixteen steps, whatever it says. */
enum { ATOLL_NET_COLUMNS = 256 };

/* What a network reads of one record. Views; absent parts are NULL or 0. */
typedef struct atoll_input {
    const uint32_t *bucket; /* `features` distinct buckets with their weights */
    const float *weight;
    uint32_t features;
    uint32_t common;        /* the first so many of them are what the gate reads */
    uint32_t rest;          /* features that stand behind them, of which networks have no rows */
    const float *dense;     /* v: dense_dim floats, or NULL */
    const float *linear;    /* u: linear_dim floats, or NULL */
    const float *z;         /* at least random_dim floats, or NULL */
    const float *score;     /* what the analytic half says of z (core/ridge.h), or NULL; */
    uint32_t scores;        /* of so many labels, the model's first */
    const uint8_t *token;   /* by feature, where tokens are routed: the word that it is of; else NULL */
    uint32_t words, vectors; /* tokens: words, and vectors in `dense`, dense_dim floats each (z is their mean) */
    const float *each;      /* embeddings of the latter, linear_dim floats each, or NULL */
} atoll_input;

typedef struct atoll_net {
    uint32_t outputs, capacity;   /* logits in use; room for them in each row, 0 where V has lists */
    uint32_t rank, hidden, linear_dim, dense_dim; /* dense_dim is 0 until atoll_net_set_dense */
    uint32_t random_dim;
    bool random_open;             /* not before atoll_net_set_dense */
    bool lists;                   /* may have lists */
    uint64_t seed;
    float rate_wide, rate_low, rate_dense, rate_linear, rate_random;
    float start_wide;
    atoll_rows sparse;  /* by bucket: V row [capacity], W1 row [rank], its accumulator, V's in bfloat16 [capacity] */
    atoll_postings wide; /* V, as lists by row */
    atoll_array head;   /* by output: b, W2 row [rank], D2 row [hidden], then their accumulators in the same order */
    atoll_array first;  /* by dense input: D1 row [hidden], padded; one more for c; then as many of accumulators */
    atoll_array linear; /* by linear input: U row [capacity], its accumulators [capacity] */
    atoll_array random; /* by output: R row [random_dim], its accumulators [random_dim] */
} atoll_net;

typedef struct atoll_net_shape {
    uint32_t rank, hidden, linear_dim, random_dim;
    float rate_wide, rate_low, rate_dense, rate_linear, rate_random;
    float start_wide; /* what accumulators of V are taken to hold already */
    bool lists;    /* V may become lists; not with linear_dim */
    uint64_t seed; /* initial weights follow from it */
} atoll_net_shape;

/* Scratch of one thread; serves any network. */
typedef struct atoll_net_scratch {
    uint32_t *row;       /* the input's rows, found by the last forward */
    const float **at;    /* where those lie that there are, and the weights of their features; one piece with `row` */
    float *weight;
    uint32_t features;   /* capacity of these */
    float *sum;          /* capacity + rank: V x, and W1 x behind it */
    uint32_t sums;
    float *slope, *dlow; /* capacity: dL/dlogits, and zeros; rank. One piece with `sum` */
    float *hidden;       /* core/group.h */
    size_t hidden_floats;
    float *gradient;     /* a page of D1's gradient */
    void *served;        /* core/served.h */
    size_t served_bytes;
} atoll_net_scratch;

void atoll_net_scratch_init(atoll_net_scratch *scratch);
void atoll_net_scratch_free(atoll_net_scratch *scratch);

void atoll_net_init(atoll_net *net, const atoll_net_shape *shape);
void atoll_net_clear(atoll_pager *pager, atoll_net *net);

/* Lets go of all parameters but keeps their counts, by which they can be loaded again; until then nothing but clear may
 * be called. */
void atoll_net_unload(atoll_pager *pager, atoll_net *net);

/* Grows to `outputs` logits. ATOLL_NO_MEMORY leaves the network usable as it was. */
atoll_status atoll_net_grow(atoll_pager *pager, atoll_net *net, uint32_t outputs, atoll_error *error);

/* Forgets one output: its weights and accumulators are as when it was added. */
atoll_status atoll_net_reset_output(atoll_pager *pager, atoll_net *net, uint32_t output, atoll_error *error);

/* Gives the hidden layer its input dimension, and opens the path of random features; once. */
atoll_status atoll_net_set_dense(atoll_pager *pager, atoll_net *net, uint32_t dense_dim, atoll_error *error);

/* Adds rows for the input's buckets that have none, and leaves all of them found for atoll_net_run. */
atoll_status atoll_net_admit(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                             atoll_error *error);

/* h = relu(D1 v + c) for `batch` rows of v (batch x dense_dim) into h (batch x hidden, distance ldh). */
void atoll_net_hidden(const atoll_net *net, const float *v, uint32_t batch, float *h, size_t ldh);

/* Leaves the input's rows found in scratch->row. ATOLL_NO_MEMORY. */
atoll_status atoll_net_find(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                            atoll_error *error);

/* logits += R z. */
void atoll_net_random(const atoll_net *net, const atoll_input *input, float *logits);

/* Finds the input's rows and runs. ATOLL_NO_MEMORY. */
atoll_status atoll_net_forward(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                               const float *h, float *logits, atoll_error *error);

/*
 * logits[outputs], from rows found by admit or forward for the same input, the network not grown since. `h` is the
 * input's row of atoll_net_hidden, or NULL where it has no dense part.
 */
void atoll_net_run(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input, const float *h,
                   float *logits);

/*
 * One step down the gradient `delta` = dL/dlogits of the same input as the last forward or run with this scratch.
 * Everything but D1 is updated; dL/dh goes to `dh` (hidden floats, already masked by relu) where h is given.
 */
atoll_status atoll_net_backward(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch,
                                const atoll_input *input, const float *h, const float *delta, float *dh,
                                atoll_error *error);

/* D1 and c take one step with the summed gradient of `batch` rows of v and dh. */
atoll_status atoll_net_hidden_backward(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch, const float *v,
                                       const float *dh, uint32_t batch, atoll_error *error);

uint64_t atoll_net_parameters(const atoll_net *net); /* weights, without accumulators */
uint64_t atoll_net_bytes(const atoll_net *net);      /* everything held */

/* Of the weights, how many one record reads that has so many sparse features, and a dense part if the network has. */
uint64_t atoll_net_active(const atoll_net *net, double features);

#endif
