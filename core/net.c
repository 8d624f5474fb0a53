#include "core/net.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/product.h"
#include "core/rng.h"

/*
 * The initial scale of W1 and W2. Their product starts a class's logits: at .3 that noise costs .003 of accuracy over
 * CLINC150, where labels have few records and features few texts. AdaGrad's steps do not shrink with the gradients, so
 * that the path wakes at .05 as well.
 */
static const float initial_scale = 0.1f;

enum { GRADIENT_BYTES = 4 * ATOLL_PAGE_BYTES }; /* at least a page of D1, of which half are weights */

/*
 * Outputs whose slope is less are left as they are where there are many: some dozens of 2,000 have more. Over the first
 * 9,000 records of these .3321 are right with it, .3318 with a third and .3289 with three times as much.
 */
static const float least_of_many = 3e-4f;

static const float floor_of_squares = 1e-10f; /* under the square root of W1's step, */
static const float least_start = 1e-8f;       /* and of V's */

void atoll_net_scratch_init(atoll_net_scratch *scratch)
{
    *scratch = (atoll_net_scratch){0};
}

void atoll_net_scratch_free(atoll_net_scratch *scratch)
{
    free(scratch->at);
    free(scratch->sum);
    free(scratch->hidden);
    free(scratch->gradient);
    free(scratch->served);
    *scratch = (atoll_net_scratch){0};
}

/* V x, without W1 only what is in use, and W1 x, up to whole eights: what stands behind is summed along, not read. */
static uint32_t sum_width(const atoll_net *net)
{
    uint32_t columns = net->rank || net->outputs > net->capacity ? net->capacity : net->outputs;
    return (columns + net->rank + 7) / 8 * 8;
}

static bool scratch_fit(atoll_net_scratch *scratch, const atoll_net *net, uint32_t features)
{
    if (features > scratch->features) {
        const float **at = malloc(features * (sizeof *at + sizeof *scratch->weight + sizeof *scratch->row));
        if (!at)
            return false;
        free(scratch->at);
        scratch->at = at;
        scratch->weight = (float *)(void *)(at + features);
        scratch->row = (uint32_t *)(void *)(scratch->weight + features);
        scratch->features = features;
    }
    uint32_t sums = net->capacity + net->rank + 7;
    if (sums > scratch->sums) {
        float *sum = realloc(scratch->sum, 3 * sums * sizeof *sum);
        if (!sum)
            return false;
        scratch->sum = sum;
        scratch->slope = sum + sums;
        scratch->dlow = sum + 2 * sums;
        scratch->sums = sums;
    }
    return true;
}

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a network's work");
}

/* ---- layout ---- */

/*
 * A sparse row: V [capacity], W1 [rank], the accumulator of W1, those of V [capacity] in bfloat16, padding. What
 * forward reads comes first and together.
 */
static uint32_t sparse_width(const atoll_net *net, uint32_t capacity)
{
    uint32_t floats = capacity + capacity / 2 + (net->rank ? net->rank + 1 : 0);
    return (floats + 7) / 8 * 8;
}

static float *low_of(const atoll_net *net, const float *row)
{
    return (float *)row + net->capacity;
}

static uint16_t *squares_of(const atoll_net *net, const float *row)
{
    return (uint16_t *)(row + net->capacity + (net->rank ? net->rank + 1 : 0));
}

/* A head: b, W2 [rank], D2 [hidden]; then as many accumulators. */
static uint32_t head_width(const atoll_net *net)
{
    return 1 + net->rank + net->hidden;
}

/* 0: it is time for lists. */
static uint32_t capacity_for(const atoll_net *net, uint32_t outputs)
{
    if (outputs <= net->capacity || net->capacity == 0)
        return net->capacity;
    uint32_t capacity = atoll_rows_room(net->capacity, outputs);
    return net->lists && capacity > ATOLL_NET_COLUMNS ? 0 : capacity;
}

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
    atoll_rows_init(&net->sparse, sparse_width(net, net->capacity));
    atoll_postings_init(&net->wide, true);
    atoll_array_init(&net->head, 2 * head_width(net) * (uint32_t)sizeof(float));
    atoll_array_init(&net->first, 2 * (net->hidden ? net->hidden : 1) * (uint32_t)sizeof(float));
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

/* From one row layout to a wider one. */
typedef struct widening {
    atoll_net from, to; /* their shapes count */
} widening;

static void move_row(void *arg, const float *old, float *fresh)
{
    const widening *w = arg;
    memcpy(fresh, old, w->from.capacity * sizeof *old);
    if (w->from.rank)
        memcpy(low_of(&w->to, fresh), low_of(&w->from, old), (w->from.rank + 1) * sizeof *old);
    memcpy(squares_of(&w->to, fresh), squares_of(&w->from, old), w->from.capacity * sizeof(uint16_t));
}

/* What is left of a row where V has lists. */
static void narrow_row(void *arg, const float *old, float *fresh)
{
    const widening *w = arg;
    if (w->from.rank)
        memcpy(low_of(&w->to, fresh), low_of(&w->from, old), (w->from.rank + 1) * sizeof *old);
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
        status = atoll_rows_reshape(pager, &net->sparse, sparse_width(net, capacity), move_row, &w, error);
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
        list.square[index] = squares_of(net, row)[o];
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
        status = atoll_rows_reshape(pager, &net->sparse, sparse_width(net, 0), narrow_row, &w, error);
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
        squares_of(net, row)[output] = 0;
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
    atoll_status status = atoll_array_grow(pager, &net->first, dense_dim + 1, error);
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
    if (!scratch_fit(scratch, net, input->features))
        return no_memory(error);
    atoll_rows_find(&net->sparse, input->bucket, input->features, scratch->row);
    for (uint32_t i = 0; i < input->features; i++) {
        uint32_t number;
        if (scratch->row[i] != ATOLL_ROW_NONE)
            continue;
        atoll_status status = net->capacity ? ATOLL_OK
                                            : atoll_postings_grow(pager, &net->wide, net->sparse.rows.count + 1, error);
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
            low_of(net, row)[k] = initial_scale * atoll_rng_normal(&rng);
    }
    return ATOLL_OK;
}

/* ---- forward ---- */

static void prefetch_row(const atoll_net *net, uint32_t number)
{
    enum { LINE = 16 };
    const float *row = atoll_rows_at(&net->sparse, number);
    for (uint32_t i = 0; i < net->sparse.width; i += LINE)
        __builtin_prefetch(row + i);
    if (!net->capacity)
        atoll_postings_prefetch(&net->wide, number);
}

void atoll_net_hidden(const atoll_net *net, const float *v, uint32_t batch, float *h)
{
    uint32_t hidden = net->hidden, dim = net->dense_dim;
    uint32_t most = hidden < ATOLL_PRODUCT_LONG ? ATOLL_PRODUCT_ROWS : ATOLL_PRODUCT_LONG_ROWS;
    const float *row[2 * ATOLL_PRODUCT_ROWS], *c = atoll_array_at(&net->first, dim);
    for (uint32_t i = 0; i < batch; i++)
        memcpy(h + (size_t)i * hidden, c, hidden * sizeof *h);
    for (uint32_t i = 0; i < most && i < dim; i++)
        row[i] = atoll_array_at(&net->first, i);
    for (uint32_t at = 0, next; at < dim; at = next) {
        next = at + most; /* a power of two: its bit tells which half of `row` */
        const float **now = row + (at & most), **soon = row + (next & most);
        for (uint32_t i = 0; i < most && next + i < dim; i++)
            soon[i] = atoll_array_at(&net->first, next + i);
        atoll_product_rows(batch, hidden, next < dim ? most : dim - at, now, next + most <= dim ? soon : NULL, v + at,
                           dim, h, hidden);
    }
    for (size_t i = 0; i < (size_t)batch * hidden; i++)
        h[i] = h[i] > 0 ? h[i] : 0;
}

atoll_status atoll_net_find(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                            atoll_error *error)
{
    if (!scratch_fit(scratch, net, input->features))
        return no_memory(error);
    atoll_rows_find(&net->sparse, input->bucket, input->features, scratch->row);
    return ATOLL_OK;
}

atoll_status atoll_net_forward(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input,
                               const float *h, float *logits, atoll_error *error)
{
    atoll_status status = atoll_net_find(net, scratch, input, error);
    if (status)
        return status;
    atoll_net_run(net, scratch, input, h, logits);
    return ATOLL_OK;
}

/* sum[capacity] += U u. */
static void add_linear(const atoll_net *net, const atoll_input *input, float *sum)
{
    const float *row[ATOLL_PRODUCT_ROWS * 2];
    enum { MOST = sizeof row / sizeof *row };
    for (uint32_t at = 0; input->linear && at < net->linear_dim; at += MOST) {
        uint32_t count = net->linear_dim - at < MOST ? net->linear_dim - at : MOST;
        for (uint32_t i = 0; i < count; i++)
            row[i] = atoll_array_at(&net->linear, at + i);
        atoll_product_sum(row, input->linear + at, count, sum, net->rank ? net->capacity : sum_width(net));
    }
}

/* Where the input's rows lie, and their features' weights; no branch depends on which there are. */
static uint32_t rows_there(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input)
{
    const atoll_array rows = net->sparse.rows;
    const float **at = scratch->at;
    uint32_t count = 0;
    for (uint32_t i = 0; rows.count && i < input->features; i++) {
        uint32_t row = scratch->row[i];
        at[count] = atoll_array_at(&rows, row == ATOLL_ROW_NONE ? 0 : row);
        scratch->weight[count] = input->weight[i];
        count += row != ATOLL_ROW_NONE;
    }
    return count;
}

/* logits += V x, of lists. */
static void add_lists(const atoll_net *net, const atoll_net_scratch *scratch, const atoll_input *input, float *logits)
{
    enum { AHEAD = 8 };
    for (uint32_t i = 0; i < input->features; i++) {
        if (i + AHEAD < input->features && scratch->row[i + AHEAD] != ATOLL_ROW_NONE)
            atoll_postings_prefetch(&net->wide, scratch->row[i + AHEAD]);
        if (scratch->row[i] == ATOLL_ROW_NONE)
            continue;
        const atoll_posting_list list = atoll_postings_at(&net->wide, scratch->row[i]);
        for (uint32_t k = 0; k < list.count; k++)
            logits[list.label[k]] += input->weight[i] * list.value[k];
    }
}

void atoll_net_run(const atoll_net *net, atoll_net_scratch *scratch, const atoll_input *input, const float *h,
                   float *logits)
{
    uint32_t width = sum_width(net), count = rows_there(net, scratch, input);
    float *sum = scratch->sum;
    memset(sum, 0, width * sizeof *sum);
    atoll_product_sum(scratch->at, scratch->weight, count, sum, width);
    add_linear(net, input, sum);
    uint32_t page = 1u << net->head.shift, stride = 2 * head_width(net);
    for (uint32_t from = 0; from < net->outputs; from += page) {
        uint32_t heads = net->outputs - from < page ? net->outputs - from : page;
        const float *head = atoll_array_at(&net->head, from);
        atoll_dots(head + 1, stride, heads, sum + net->capacity, net->rank, logits + from);
        for (uint32_t o = 0; o < heads; o++, head += stride) {
            logits[from + o] += (net->capacity ? sum[from + o] : 0) + head[0];
            if (h)
                logits[from + o] += atoll_dot(head + 1 + net->rank, h, net->hidden);
        }
    }
    if (!net->capacity)
        add_lists(net, scratch, input, logits);
    atoll_net_random(net, input, logits);
}

void atoll_net_random(const atoll_net *net, const atoll_input *input, float *logits)
{
    for (uint32_t o = 0; input->z && net->random_open && o < net->outputs; o++)
        logits[o] += atoll_dot(atoll_array_at(&net->random, o), input->z, net->random_dim);
}

/* ---- backward ---- */

static atoll_status backward_head(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch, const float *h,
                                  const float *delta, float *dh, bool sparse, atoll_error *error)
{
    uint32_t width = head_width(net);
    const float one = 1;
    if (net->rank)
        memset(scratch->dlow, 0, net->rank * sizeof *scratch->dlow);
    if (h)
        memset(dh, 0, net->hidden * sizeof *dh);
    for (uint32_t o = 0; o < net->outputs; o++) {
        if (!net->capacity && fabsf(delta[o]) < least_of_many)
            continue;
        float *head = atoll_array_edit(pager, &net->head, o);
        if (!head)
            return no_memory(error);
        float *squares = head + width;
        if (sparse) {
            atoll_axpy(scratch->dlow, head + 1, delta[o], net->rank);
            atoll_adagrad(head + 1, squares + 1, scratch->sum + net->capacity, delta[o], net->rate_low, net->rank);
        }
        if (h) {
            atoll_axpy(dh, head + 1 + net->rank, delta[o], net->hidden);
            atoll_adagrad(head + 1 + net->rank, squares + 1 + net->rank, h, delta[o], net->rate_dense, net->hidden);
        }
        atoll_adagrad(head, squares, &one, delta[o], net->rate_dense, 1);
    }
    for (uint32_t k = 0; h && k < net->hidden; k++)
        dh[k] = h[k] > 0 ? dh[k] : 0;
    return ATOLL_OK;
}

/* The output that a step raises most. */
static uint32_t taught_by(const float *delta, uint32_t outputs)
{
    uint32_t taught = 0;
    for (uint32_t o = 1; o < outputs; o++)
        taught = delta[o] < delta[taught] ? o : taught;
    return taught;
}

/* A step of one feature's list. */
static atoll_status backward_list(atoll_pager *pager, atoll_net *net, uint32_t row, uint32_t taught, float x,
                                  const float *delta, atoll_error *error)
{
    float slope[ATOLL_POSTINGS_MOST];
    atoll_posting_list list;
    uint32_t index;
    atoll_status status = atoll_postings_put(pager, &net->wide, row, taught, &list, &index, error);
    for (uint32_t i = 0; i < list.count; i++)
        slope[i] = delta[list.label[i]];
    if (list.count)
        atoll_adagrad_short(list.value, list.square, slope, x, net->rate_wide, net->start_wide, list.count);
    return status;
}

/* Slopes of whole vectors of columns: those left over would be done one by one. A slope of 0 changes nothing. */
static uint32_t widen_slope(const atoll_net *net, atoll_net_scratch *scratch, const float *delta)
{
    uint32_t whole = (net->outputs + 15) / 16 * 16, width = whole < net->capacity ? whole : net->capacity;
    memcpy(scratch->slope, delta, net->outputs * sizeof *delta);
    memset(scratch->slope + net->outputs, 0, (width - net->outputs) * sizeof *delta);
    return width;
}

static atoll_status backward_linear(atoll_pager *pager, atoll_net *net, const float *linear, const float *slope,
                                    uint32_t width, atoll_error *error)
{
    uint32_t page = 1u << net->linear.shift;
    for (uint32_t from = 0; from < net->linear_dim; from += page) {
        float *row = atoll_array_edit(pager, &net->linear, from);
        if (!row)
            return no_memory(error);
        for (uint32_t i = from; i < net->linear_dim && i < from + page; i++, row += 2 * net->capacity)
            atoll_adagrad(row, row + net->capacity, slope, linear[i], net->rate_linear, width);
    }
    return ATOLL_OK;
}

atoll_status atoll_net_backward(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch,
                                const atoll_input *input, const float *h, const float *delta, float *dh,
                                atoll_error *error)
{
    enum { AHEAD = 4 };
    atoll_status status = backward_head(pager, net, scratch, h, delta, dh, input->features > 0, error);
    if (status)
        return status;
    uint32_t taught = net->capacity ? 0 : taught_by(delta, net->outputs);
    uint32_t width = net->capacity ? widen_slope(net, scratch, delta) : 0;
    float mean_square = net->rank ? atoll_dot(scratch->dlow, scratch->dlow, net->rank) / (float)net->rank : 0;
    for (uint32_t i = 0; i < input->features; i++) {
        if (i + AHEAD < input->features && scratch->row[i + AHEAD] != ATOLL_ROW_NONE)
            prefetch_row(net, scratch->row[i + AHEAD]);
        if (scratch->row[i] == ATOLL_ROW_NONE)
            continue;
        float *row = atoll_rows_edit(pager, &net->sparse, scratch->row[i]), x = input->weight[i];
        if (!row)
            return no_memory(error);
        if (net->capacity)
            atoll_adagrad_short(row, squares_of(net, row), scratch->slope, x, net->rate_wide, net->start_wide, width);
        else if ((status = backward_list(pager, net, scratch->row[i], taught, x, delta, error)))
            return status;
        if (net->rank) {
            float *low = low_of(net, row);
            low[net->rank] += x * x * mean_square;
            atoll_axpy(low, scratch->dlow, -net->rate_low * x / sqrtf(low[net->rank] + floor_of_squares), net->rank);
        }
    }
    if (input->linear && net->linear_dim &&
        (status = backward_linear(pager, net, input->linear, scratch->slope, width, error)))
        return status;
    for (uint32_t o = 0; input->z && net->random_open && o < net->outputs; o++) {
        float *row = atoll_array_edit(pager, &net->random, o);
        if (!row)
            return no_memory(error);
        atoll_adagrad(row, row + net->random_dim, input->z, delta[o], net->rate_random, net->random_dim);
    }
    return ATOLL_OK;
}

atoll_status atoll_net_hidden_backward(atoll_pager *pager, atoll_net *net, atoll_net_scratch *scratch, const float *v,
                                       const float *dh, uint32_t batch, atoll_error *error)
{
    uint32_t hidden = net->hidden, step = 1u << net->first.shift;
    if (!scratch->gradient && !(scratch->gradient = malloc(GRADIENT_BYTES)))
        return no_memory(error);
    for (uint32_t at = 0; at < net->dense_dim; at += step) {
        uint32_t rows = net->dense_dim - at < step ? net->dense_dim - at : step;
        float *page = atoll_array_edit(pager, &net->first, at);
        if (!page)
            return no_memory(error);
        atoll_gemm_tn(rows, hidden, batch, v + at, net->dense_dim, dh, hidden, 0, scratch->gradient, hidden);
        for (uint32_t r = 0; r < rows; r++)
            atoll_adagrad(page + (size_t)r * 2 * hidden, page + (size_t)r * 2 * hidden + hidden,
                          scratch->gradient + (size_t)r * hidden, 1, net->rate_dense, hidden);
    }
    float *c = atoll_array_edit(pager, &net->first, net->dense_dim);
    if (!c)
        return no_memory(error);
    memset(scratch->gradient, 0, hidden * sizeof *scratch->gradient);
    for (uint32_t i = 0; i < batch; i++)
        atoll_axpy(scratch->gradient, dh + (size_t)i * hidden, 1, hidden);
    atoll_adagrad(c, c + hidden, scratch->gradient, 1, net->rate_dense, hidden);
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
           (uint64_t)net->outputs * head_width(net) + (uint64_t)net->first.count * net->hidden +
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
    return (uint64_t)(rows * row_parameters(net)) + (uint64_t)net->outputs * head_width(net) +
           (uint64_t)net->first.count * net->hidden + (uint64_t)net->linear.count * net->outputs +
           (uint64_t)net->random.count * net->random_dim;
}
