#include "core/group.h"

#include <string.h>

/* All tasks of the network of the first, which stands before those that are left. */
static atoll_status multiply(atoll_group_task *tasks, uint32_t count, atoll_arena *arena, atoll_error *error)
{
    const atoll_net *net = tasks[0].net;
    uint32_t same = 0, at = 0;
    for (uint32_t i = 0; i < count; i++)
        same += tasks[i].net == net;
    float *v = atoll_arena_take(arena, (size_t)same * net->dense_dim * sizeof *v);
    float *h = atoll_arena_take(arena, (size_t)same * net->hidden * sizeof *h);
    if (!v || !h)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a batch");
    for (uint32_t i = 0; i < count; i++) {
        if (tasks[i].net != net)
            continue;
        memcpy(v + (size_t)at * net->dense_dim, tasks[i].v, net->dense_dim * sizeof *v);
        tasks[i].h = h + (size_t)at++ * net->hidden;
    }
    atoll_net_hidden(net, v, same, h);
    return ATOLL_OK;
}

atoll_status atoll_group_hidden(atoll_group_task *tasks, uint32_t count, atoll_arena *arena, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count; i++)
        tasks[i].h = NULL;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (!tasks[i].h)
            status = multiply(tasks + i, count - i, arena, error);
    return status;
}
