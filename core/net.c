#include "core/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/net_layout.h"
#include "core/product.h"

/*
 * Outputs whose slope is less are left as they are where there are many: some dozens of 2,000 have more. Over the first
 * 9,000 records of these .3321 are right with it, .3318 with a third and .3289 with three times as much.
 */
static const float least_of_many = 3e-4f;

static const float floor_of_squares = 1e-10f; /* under the square root of W1's step */

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

/* ---- forward ---- */

void atoll_net_hidden(const atoll_net *net, const float *v, uint32_t batch, float *h, size_t ldh)
{
    enum { MOST = ATOLL_PRODUCT_ROWS };
    uint32_t hidden = net->hidden, dim = net->dense_dim;
    const float *row[2 * MOST], *c = atoll_array_at(&net->first, dim);
    for (uint32_t i = 0; i < MOST && i < dim; i++) {
        row[i] = atoll_array_at(&net->first, i);
        atoll_product_prefetch(row[i], hidden);
    }
    for (uint32_t i = 0; i < batch; i++)
        memcpy(h + i * ldh, c, hidden * sizeof *h);
    for (uint32_t at = 0, next; at < dim; at = next) {
        next = at + MOST; /* a power of two: its bit tells which half of `row` */
        const float **now = row + (at & MOST), **soon = row + (next & MOST);
        for (uint32_t i = 0; i < MOST && next + i < dim; i++)
            soon[i] = atoll_array_at(&net->first, next + i);
        atoll_product_rows(batch, hidden, next < dim ? MOST : dim - at, now, next + MOST <= dim ? soon : NULL, v + at,
                           dim, h, ldh);
    }
    for (uint32_t i = 0; i < batch; i++, h += ldh)
        for (uint32_t k = 0; k < hidden; k++)
            h[k] = h[k] > 0 ? h[k] : 0;
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

/* sum[] += U u, as wide as the sums of rows. */
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
    uint32_t page = 1u << net->head.shift, stride = 2 * atoll_net_head_width(net);
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
    uint32_t width = atoll_net_head_width(net);
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

static void prefetch_row(const atoll_net *net, uint32_t number)
{
    enum { LINE = 16 };
    const float *row = atoll_rows_at(&net->sparse, number);
    for (uint32_t i = 0; i < net->sparse.width; i += LINE)
        __builtin_prefetch(row + i);
    if (!net->capacity)
        atoll_postings_prefetch(&net->wide, number);
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
            atoll_adagrad_short(row, atoll_net_squares(net, row), scratch->slope, x, net->rate_wide, net->start_wide,
                                width);
        else if ((status = backward_list(pager, net, scratch->row[i], taught, x, delta, error)))
            return status;
        if (net->rank) {
            float *low = atoll_net_low(net, row);
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
    size_t stride = atoll_net_first_stride(hidden);
    if (!scratch->gradient && !(scratch->gradient = malloc(ATOLL_PAGE_BYTES)))
        return no_memory(error);
    for (uint32_t at = 0; at < net->dense_dim; at += step) {
        uint32_t rows = net->dense_dim - at < step ? net->dense_dim - at : step;
        float *page = atoll_array_edit(pager, &net->first, at);
        if (!page)
            return no_memory(error);
        atoll_gemm_tn(rows, hidden, batch, v + at, net->dense_dim, dh, hidden, 0, scratch->gradient, hidden);
        for (uint32_t r = 0; r < rows; r++) {
            float *squares = atoll_array_edit(pager, &net->first, atoll_net_first_squares(net, at + r));
            if (!squares)
                return no_memory(error);
            atoll_adagrad(page + r * stride, squares, scratch->gradient + (size_t)r * hidden, 1,
                          net->rate_dense, hidden);
        }
    }
    float *c = atoll_array_edit(pager, &net->first, net->dense_dim);
    float *squares = atoll_array_edit(pager, &net->first, atoll_net_first_squares(net, net->dense_dim));
    if (!c || !squares)
        return no_memory(error);
    memset(scratch->gradient, 0, hidden * sizeof *scratch->gradient);
    for (uint32_t i = 0; i < batch; i++)
        atoll_axpy(scratch->gradient, dh + (size_t)i * hidden, 1, hidden);
    atoll_adagrad(c, squares, scratch->gradient, 1, net->rate_dense, hidden);
    return ATOLL_OK;
}
