/*
 * A batch through the hidden layers of several networks: what reads the same network is multiplied at once, so that
 * its weights are fetched once for the batch and not once for each record or token [Lepikhin et al. 2021; Gale et al.
 * 2023].
 *
 * Of a record with several vectors each goes through the layer by itself, and what stands behind it reads
 *
 *     h = 1/V sum_i g_i relu(D1 v_i + c)
 *
 * g_i being by how much the vector is read (core/tokens.h; 1 in learning), V how many there are. So the record's logits
 * are a sum over its tokens, as they are over its words.
 */
#ifndef ATOLL_CORE_GROUP_H
#define ATOLL_CORE_GROUP_H

#include "core/arena.h"
#include "core/net.h"

/* One record for one network, both with a dense part. */
typedef struct atoll_group_task {
    const atoll_net *net;
    const float *v;     /* vectors x net->dense_dim */
    uint32_t vectors;   /* at least 1 */
    const float *reads; /* by how much each is read, and those of 0 cost nothing; NULL: each by 1 */
    float *h;           /* out: net->hidden; room of the arena */
} atoll_group_task;

/* ATOLL_NO_MEMORY. */
atoll_status atoll_group_hidden(atoll_net_scratch *scratch, atoll_group_task *tasks, uint32_t count, atoll_arena *arena,
                                atoll_error *error);

/* One alone, to the same bits; its h is the caller's. ATOLL_NO_MEMORY. */
atoll_status atoll_group_one(atoll_net_scratch *scratch, const atoll_group_task *task, atoll_error *error);

/* h = the mean of `vectors` rows of `each`; all are `hidden` wide. */
void atoll_group_mean(const float *each, uint32_t vectors, uint32_t hidden, float *h);

/* Its backward pass, through relu: from dL/dh that by what stood before relu, for each of the rows. */
void atoll_group_mean_backward(const float *each, const float *dh, uint32_t vectors, uint32_t hidden, float *deach);

#endif
