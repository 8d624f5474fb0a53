#include "core/net.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/net_layout.h"
#include "core/rng.h"

/*
 * The initial scale of W1 and W2. Their product starts a class's logits: at .3 that noise costs .003 of accuracy over
 * CLINC150, where labels have few records and features few texts. AdaGrad's steps do not shrink with the gradients, so
 * that the path wakes at .05 as well.
 */
static const float initial_scale = 0.1f;

static const float least_start = 1e-8f; /* under the square root of V's step */

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a network's work");
}

/* ---- life ---- */

void atoll_net_init(atoll_net *net, const atoll_net_shape *shape)
{
    assert(!shape->lists || !shape->linear_dim);
    *net = (atoll_net){.rank = shape->rank,
                       .hidden = shape->hidden,
                       .linear_dim = shape->linear_dim,
                       .seed = shape->seed,
                       .rate_wide = shape->rate_wide,
                       .start_wide = fmaxf(shape->start_wide, least_start),
                       .rate_low = shape->rate_low,
                       .rate_dense = shape->rate_dense,
                       .rate_linear = shape->rate_linear,
                       .random_dim = shape->random_dim,
                       .rate_random = shape->rate_random,
                       .lists = shape->lists};
    net->capacity = 8;
    atoll_rows_init(&net->sparse, atoll_net_row_width(net, net->capacity));
    atoll_postings_init(&net->wide, true);
    atoll_array_init(&net->head, 2 * atoll_net_head_width(net) * (uint32_t)sizeof(float));
    atoll_array_init(&net->first, atoll_net_first_stride(net->hidden) * (uint32_t)sizeof(float));
    atoll_array_init(&net->linear, 2 * net->capacity * (uint32_t)sizeof(float));
    atoll_array_init(&net->random, 2 * (net->random_dim ? net->random_dim : 1) * (uint32_t)sizeof(float));
}

void atoll_net_clear(atoll_pager *pager, atoll_net *net)
{
    atoll_rows_clear(pager, &net->sparse);
    atoll_postings_clear(pager, &net->wide);
    atoll_array_clear(pager, &net->head);
    atoll_array_clear(pager, &net->first);
    atoll_array_clear(pager, &net->linear);
    atoll_array_clear(pager, &net->random);
    net->outputs = net->dense_dim = 0;
    net->random_open = false;
}

static void unload(atoll_pager *pager, atoll_array *array)
{
    uint32_t count = array->count;
    atoll_array_clear(pager, array);
    array->count = count;
}

void atoll_net_unload(atoll_pager *pager, atoll_net *net)
{
    unload(pager, &net->sparse.table);
    unload(pager, &net->sparse.rows);
    unload(pager, &net->wide.rows);
    for (int i = 0; i < ATOLL_POSTINGS_SIZES; i++)
        unload(pager, &net->wide.lists[i]);
    unload(pager, &net->head);
    unload(pager, &net->first);
    unload(pager, &net->linear);
    unload(pager, &net->random);
}

/* ---- growth ---- */

/* 0: it is time for lists. */
static uint32_t capacity_for(const atoll_net *net, uint32_t outputs)
{
    if (outputs <= net->capacity || net->capacity == 0)
        return net->capacity;
    uint32_t capacity = atoll_rows_room(net->capacity, outputs);
    return net->lists && capacity > ATOLL_NET_COLUMNS ? 0 : capacity;
}

/* From one row layout to a wider one. */
typedef struct widening {
    atoll_net from, to; /* their shapes count */
} widening;

static void move_row(void *arg, const float *old, float *fresh)
{
    const widening *w = arg;
    memcpy(fresh, old, w->from.capacity * sizeof *old);
    if (w->from.rank)
        memcpy(atoll_net_low(&w->to, fresh), atoll_net_low(&w->from, old), (w->from.rank + 1) * sizeof *old);
    memcpy(atoll_net_squares(&w->to, fresh), atoll_net_squares(&w->from, old), w->from.capacity * sizeof(uint16_t));
}

/* What is left of a row where V has lists. */
static void narrow_row(void *arg, const float *old, float *fresh)
{
    const widening *w = arg;
    if (w->from.rank)
        memcpy(atoll_net_low(&w->to, fresh), atoll_net_low(&w->from, old), (w->from.rank + 1) * sizeof *old);
}

/* U [capacity], its accumulators [capacity]. */
static void move_linear_row(uint32_t from, uint32_t to, const float *old, float *fresh)
{
    memcpy(fresh, old, from * sizeof *old);
    memcpy(fresh + to, old + from, from * sizeof *old);
}

static atoll_status widen(atoll_pager *pager, atoll_net *net, uint32_t capacity, atoll_error *error)
{
    widening w = {*net, *net};
    w.to.capacity = capacity;
    atoll_array linear;
    atoll_array_init(&linear, 2 * capacity * (uint32_t)sizeof(float));
    atoll_status status = atoll_array_grow(pager, &linear, net->linear.count, error);
    if (status == ATOLL_OK)
        status = atoll_rows_reshape(pager, &net->sparse, atoll_net_row_width(net, capacity), move_row, &w, error);
    if (status) {
        atoll_array_clear(pager, &linear);
        return status;
    }
    /* The fresh pages are of this epoch: editing them copies nothing and cannot fail. */
    for (uint32_t i = 0; i < linear.count; i++)
        move_linear_row(net->capacity, capacity, atoll_array_at(&net->linear, i), atoll_array_edit(pager, &linear, i));
    atoll_array_clear(pager, &net->linear);
    net->linear = linear;
    net->capacity = capacity;
    return ATOLL_OK;
}

/*
 * What a row of columns says, as a list: outputs above 0, which were taught with the feature more than against it. What
 * all others share is taken off, for a softmax does not see what is common to all its logits.
 */
static atoll_status list_row(atoll_pager *pager, const atoll_net *net, uint32_t number, atoll_postings *wide,
                             atoll_error *error)
{
    const float *row = atoll_rows_at(&net->sparse, number);
    atoll_posting_list list;
    float others = 0;
    uint32_t below = 0, index;
    for (uint32_t o = 0; o < net->outputs; o++) {
        others += row[o] > 0 ? 0 : row[o];
        below += row[o] <= 0;
    }
    others /= (float)(below ? below : 1);
    for (uint32_t o = 0; o < net->outputs; o++) {
        if (row[o] <= 0)
            continue;
        atoll_status status = atoll_postings_put(pager, wide, number, o, &list, &index, error);
        if (status || !list.count)
            return status;
        list.value[index] = row[o] - others;
        list.square[index] = atoll_net_squares(net, row)[o];
    }
    return ATOLL_OK;
}

static atoll_status make_lists(atoll_pager *pager, atoll_net *net, atoll_error *error)
{
    widening w = {*net, *net};
    w.to.capacity = 0;
    atoll_postings wide;
    atoll_postings_init(&wide, true);
    atoll_status status = atoll_postings_grow(pager, &wide, net->sparse.rows.count, error);
    for (uint32_t i = 0; i < net->sparse.rows.count && status == ATOLL_OK; i++)
        status = list_row(pager, net, i, &wide, error);
    if (status == ATOLL_OK)
        status = atoll_rows_reshape(pager, &net->sparse, atoll_net_row_width(net, 0), narrow_row, &w, error);
    if (status) {
        atoll_postings_clear(pager, &wide);
        return status;
    }
    net->wide = wide;
    net->capacity = 0;
    return ATOLL_OK;
}

/* An output's head as it is before the first step. */
static atoll_status head_start(atoll_pager *pager, atoll_net *net, uint32_t output, atoll_error *error)
{
    float *head = atoll_array_edit(pager, &net->head, output);
    if (!head)
        return no_memory(error);
    memset(head, 0, net->head.element_bytes);
    atoll_rng rng;
    atoll_rng_seed(&rng, net->seed, UINT64_C(1) << 32 | output);
    for (uint32_t i = 0; i < net->rank; i++)
        head[1 + i] = initial_scale * atoll_rng_normal(&rng);
    float scale = net->hidden ? sqrtf(1.0f / (float)net->hidden) : 0;
    for (uint32_t i = 0; i < net->hidden; i++)
        head[1 + net->rank + i] = scale * atoll_rng_normal(&rng);
    return ATOLL_OK;
}

atoll_status atoll_net_grow(atoll_pager *pager, atoll_net *net, uint32_t outputs, atoll_error *error)
{
    atoll_status status;
    uint32_t capacity = capacity_for(net, outputs);
    if (capacity != net->capacity) {
        status = capacity ? widen(pager, net, capacity, error) : make_lists(pager, net, error);
        if (status)
            return status;
    }
    if (net->linear_dim && net->linear.count == 0 &&
        (status = atoll_array_grow(pager, &net->linear, net->linear_dim, error)) != ATOLL_OK)
        return status;
    if ((status = atoll_array_grow(pager, &net->head, outputs, error)) != ATOLL_OK ||
        (net->random_open && (status = atoll_array_grow(pager, &net->random, outputs, error)) != ATOLL_OK))
        return status;
    for (; net->outputs < outputs; net->outputs++)
        if ((status = head_start(pager, net, net->outputs, error)) != ATOLL_OK)
            return status;
    return ATOLL_OK;
}

atoll_status atoll_net_reset_output(atoll_pager *pager, atoll_net *net, uint32_t output, atoll_error *error)
{
    assert(net->capacity);
    for (uint32_t i = 0; i < net->sparse.rows.count; i++) {
        float *row = atoll_rows_edit(pager, &net->sparse, i);
        if (!row)
            return no_memory(error);
        row[output] = 0;
        atoll_net_squares(net, row)[output] = 0;
    }
    for (uint32_t i = 0; i < net->linear.count; i++) {
        float *row = atoll_array_edit(pager, &net->linear, i);
        if (!row)
            return no_memory(error);
        row[output] = row[net->capacity + output] = 0;
    }
    if (net->random_open) {
        float *row = atoll_array_edit(pager, &net->random, output);
        if (!row)
            return no_memory(error);
        memset(row, 0, net->random.element_bytes);
    }
    return head_start(pager, net, output, error);
}

static atoll_status open_random(atoll_pager *pager, atoll_net *net, atoll_error *error)
{
    if (!net->random_dim || net->random_open)
        return ATOLL_OK;
    atoll_status status = net->outputs ? atoll_array_grow(pager, &net->random, net->outputs, error) : ATOLL_OK;
    net->random_open = status == ATOLL_OK;
    return status;
}

atoll_status atoll_net_set_dense(atoll_pager *pager, atoll_net *net, uint32_t dense_dim, atoll_error *error)
{
    atoll_status opened = open_random(pager, net, error);
    if (opened)
        return opened;
    if (!net->hidden || net->dense_dim == dense_dim)
        return ATOLL_OK;
    atoll_status status = atoll_array_grow(pager, &net->first, 2 * (dense_dim + 1), error);
    if (status)
        return status;
    float scale = sqrtf(2.0f / (float)dense_dim); /* He et al. 2015 */
    for (uint32_t i = 0; i < dense_dim; i++) {
        float *row = atoll_array_edit(pager, &net->first, i);
        if (!row)
            return no_memory(error);
        atoll_rng rng;
        atoll_rng_seed(&rng, net->seed, UINT64_C(2) << 32 | i);
        for (uint32_t k = 0; k < net->hidden; k++)
            row[k] = scale * atoll_rng_normal(&rng);
    }
    net->dense_dim = dense_dim;
    return ATOLL_OK;
}

atoll_status atoll_net_admit(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                             atoll_error *error)
{
    atoll_status status = atoll_net_find(net, scratch, input, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < input->features; i++) {
        uint32_t number;
        if (scratch->row[i] != ATOLL_ROW_NONE)
            continue;
        if (!net->capacity)
            status = atoll_postings_grow(pager, &net->wide, net->sparse.rows.count + 1, error);
        if (status || (status = atoll_rows_add(pager, &net->sparse, input->bucket[i], &number, error)))
            return status;
        scratch->row[i] = number;
        if (!net->rank)
            continue;
        float *row = atoll_rows_edit(pager, &net->sparse, number);
        if (!row)
            return no_memory(error);
        atoll_rng rng;
        atoll_rng_seed(&rng, net->seed, input->bucket[i]);
        for (uint32_t k = 0; k < net->rank; k++)
            atoll_net_low(net, row)[k] = initial_scale * atoll_rng_normal(&rng);
    }
    return ATOLL_OK;
}

/* ---- size ---- */

/* What a sparse row holds, on average where V has lists. */
static double row_parameters(const atoll_net *net)
{
    double rows = net->sparse.rows.count ? net->sparse.rows.count : 1;
    return net->rank + (net->capacity ? net->outputs : net->wide.entries / rows);
}

uint64_t atoll_net_parameters(const atoll_net *net)
{
    return (uint64_t)llround(net->sparse.rows.count * row_parameters(net)) +
           (uint64_t)net->outputs * atoll_net_head_width(net) + atoll_net_first_weights(net) +
           (uint64_t)net->linear.count * net->outputs + (uint64_t)net->random.count * net->random_dim;
}

uint64_t atoll_net_bytes(const atoll_net *net)
{
    return atoll_rows_bytes(&net->sparse) + atoll_postings_bytes(&net->wide) + atoll_array_bytes(&net->head) +
           atoll_array_bytes(&net->first) + atoll_array_bytes(&net->linear) + atoll_array_bytes(&net->random);
}

uint64_t atoll_net_active(const atoll_net *net, double features)
{
    double rows = fmin(features, net->sparse.rows.count);
    return (uint64_t)(rows * row_parameters(net)) + (uint64_t)net->outputs * atoll_net_head_width(net) +
           atoll_net_first_weights(net) + (uint64_t)net->linear.count * net->outputs +
           (uint64_t)net->random.count * net->random_dim;
}
