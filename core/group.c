#include "core/group.h"

#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/net_layout.h"

enum { BLOCK = 128 }; /* vectors multiplied at once: more would take memory, and weights are fetched seldom enough */

/* Vectors that wait for their network, and where what is said of each goes, with which weight. */
typedef struct block {
    const atoll_net *net;
    uint32_t count;
    size_t ldh; /* from one row of h to the next: as far as rows of D1, for the same reason */
    float *v, *h;
    float *to[BLOCK];
    float weight[BLOCK];
    bool alone[BLOCK]; /* nothing else goes there */
} block;

/* Room in the scratch for a block of at most `vectors`. */
static bool block_open(block *b, atoll_net_scratch *scratch, uint64_t vectors, size_t dim, uint32_t hidden)
{
    size_t rows = vectors < BLOCK ? (size_t)vectors : BLOCK, ldh = atoll_net_first_stride(hidden);
    if (scratch->hidden_floats < rows * (dim + ldh)) {
        free(scratch->hidden);
        scratch->hidden = malloc(rows * (dim + ldh) * sizeof *scratch->hidden);
        scratch->hidden_floats = scratch->hidden ? rows * (dim + ldh) : 0;
    }
    b->count = 0;
    b->ldh = ldh;
    b->v = scratch->hidden;
    b->h = b->v + rows * dim;
    return scratch->hidden;
}

static void flush(block *b)
{
    uint32_t hidden = b->net->hidden;
    atoll_net_hidden(b->net, b->v, b->count, b->h, b->ldh);
    for (uint32_t i = 0; i < b->count; i++) {
        const float *h = b->h + i * b->ldh;
        if (b->alone[i])
            memcpy(b->to[i], h, hidden * sizeof *h);
        else
            atoll_axpy(b->to[i], h, b->weight[i], hidden);
    }
    b->count = 0;
}

static void add(block *b, const atoll_group_task *task)
{
    uint32_t dim = task->net->dense_dim;
    bool alone = task->vectors == 1 && (!task->reads || task->reads[0] == 1);
    if (!alone)
        memset(task->h, 0, task->net->hidden * sizeof *task->h);
    for (uint32_t i = 0; i < task->vectors; i++) {
        float read = task->reads ? task->reads[i] : 1;
        if (read <= 0)
            continue;
        memcpy(b->v + (size_t)b->count * dim, task->v + (size_t)i * dim, dim * sizeof *b->v);
        b->weight[b->count] = read / (float)task->vectors;
        b->alone[b->count] = alone;
        b->to[b->count++] = task->h;
        if (b->count == BLOCK)
            flush(b);
    }
}

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a batch");
}

/* All tasks of the network of the first, which stands before those that are left. */
static bool multiply(block *b, atoll_group_task *tasks, uint32_t count, atoll_arena *arena)
{
    b->net = tasks[0].net;
    for (uint32_t i = 0; i < count; i++) {
        if (tasks[i].net != b->net)
            continue;
        if (!(tasks[i].h = atoll_arena_take(arena, b->net->hidden * sizeof *tasks[i].h)))
            return false;
        add(b, &tasks[i]);
    }
    flush(b);
    return true;
}

atoll_status atoll_group_hidden(atoll_net_scratch *scratch, atoll_group_task *tasks, uint32_t count, atoll_arena *arena,
                                atoll_error *error)
{
    block b;
    uint64_t vectors = 0;
    uint32_t dim = 0, hidden = 0;
    bool whole = true;
    for (uint32_t i = 0; i < count; i++) {
        tasks[i].h = NULL;
        vectors += tasks[i].vectors;
        dim = tasks[i].net->dense_dim > dim ? tasks[i].net->dense_dim : dim;
        hidden = tasks[i].net->hidden > hidden ? tasks[i].net->hidden : hidden;
    }
    if (!count)
        return ATOLL_OK;
    whole = block_open(&b, scratch, vectors, dim, hidden);
    for (uint32_t i = 0; i < count && whole; i++)
        if (!tasks[i].h)
            whole = multiply(&b, tasks + i, count - i, arena);
    return whole ? ATOLL_OK : no_memory(error);
}

atoll_status atoll_group_one(atoll_net_scratch *scratch, const atoll_group_task *task, atoll_error *error)
{
    block b = {.net = task->net};
    if (!block_open(&b, scratch, task->vectors, task->net->dense_dim, task->net->hidden))
        return no_memory(error);
    add(&b, task);
    flush(&b);
    return ATOLL_OK;
}

void atoll_group_mean(const float *each, uint32_t vectors, uint32_t hidden, float *h)
{
    memset(h, 0, hidden * sizeof *h);
    for (uint32_t i = 0; i < vectors; i++)
        atoll_axpy(h, each + (size_t)i * hidden, 1 / (float)vectors, hidden);
}

void atoll_group_mean_backward(const float *each, const float *dh, uint32_t vectors, uint32_t hidden, float *deach)
{
    for (size_t i = 0; i < (size_t)vectors * hidden; i++)
        deach[i] = each[i] > 0 ? dh[i % hidden] / (float)vectors : 0;
}
