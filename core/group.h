/*
 * A batch through the hidden layers of several networks: what reads the same network is multiplied at once, so that
 * its weights are fetched once for the batch and not once for each record [Lepikhin et al. 2021; Gale et al. 2023].
 */
#ifndef ATOLL_CORE_GROUP_H
#define ATOLL_CORE_GROUP_H

#include "core/arena.h"
#include "core/net.h"

/* One record for one network, both with a dense part. */
typedef struct atoll_group_task {
    const atoll_net *net;
    const float *v; /* net->dense_dim */
    const float *h; /* out: net->hidden, in the arena */
} atoll_group_task;

/* ATOLL_NO_MEMORY. */
atoll_status atoll_group_hidden(atoll_group_task *tasks, uint32_t count, atoll_arena *arena, atoll_error *error);

#endif
