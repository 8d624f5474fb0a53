#include "core/served.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/product.h"

enum { BIAS_BYTES = sizeof(float) };

void atoll_served_init(atoll_served *served)
{
    *served = (atoll_served){0};
    atoll_array_init(&served->rows, 1);
    atoll_array_init(&served->low, 1);
    atoll_array_init(&served->head, 1);
    atoll_array_init(&served->first, 1);
    atoll_array_init(&served->linear, 1);
}

void atoll_served_clear(atoll_pager *pager, atoll_served *served)
{
    atoll_array_clear(pager, &served->rows);
    atoll_array_clear(pager, &served->low);
    atoll_array_clear(pager, &served->head);
    atoll_array_clear(pager, &served->first);
    atoll_array_clear(pager, &served->linear);
    atoll_served_init(served);
}

uint64_t atoll_served_bytes(const atoll_served *served)
{
    return atoll_array_bytes(&served->rows) + atoll_array_bytes(&served->low) + atoll_array_bytes(&served->head) +
           atoll_array_bytes(&served->first) + atoll_array_bytes(&served->linear);
}

uint64_t atoll_served_active(const atoll_served *served, const atoll_net *net, double features)
{
    if (served->precision == ATOLL_PRECISION_F32)
        return atoll_net_active(net, features) * sizeof(float);
    uint64_t floats = (uint64_t)net->outputs * (1 + net->rank) + (uint64_t)net->random.count * net->random_dim;
    return (uint64_t)(fmin(features, served->rows.count) * served->row.bytes) + floats * sizeof(float) +
           (uint64_t)served->head.count * served->output.bytes +
           (uint64_t)served->first.count * served->first.element_bytes +
           (uint64_t)served->linear.count * served->linear.element_bytes;
}

/* ---- rounding ---- */

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for rounded weights");
}

static uint32_t whole_eights(uint32_t n)
{
    return (n + 7) / 8 * 8;
}

/* Where nothing stands behind V in a row, no more of it is kept than is in use. */
static uint32_t columns_of(const atoll_net *net)
{
    uint32_t used = (uint32_t)atoll_quant_whole(net->outputs);
    return net->rank || used > net->capacity ? net->capacity : used;
}

/* Empties it where the network has another layout or another precision is wanted. */
static void fit_layout(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_precision precision)
{
    atoll_served fresh;
    atoll_served_init(&fresh);
    fresh.precision = precision;
    fresh.columns = columns_of(net);
    fresh.row = atoll_quant_shape_of(precision, fresh.columns + net->rank);
    fresh.output = atoll_quant_shape_of(precision, net->hidden);
    fresh.unit = atoll_quant_shape_of(precision, whole_eights(net->dense_dim));
    if (served->precision == precision && served->columns == fresh.columns && served->unit.bytes == fresh.unit.bytes)
        return;
    atoll_served_clear(pager, served);
    atoll_array_init(&fresh.rows, fresh.row.bytes);
    atoll_array_init(&fresh.low, fresh.columns * (uint32_t)sizeof(float));
    atoll_array_init(&fresh.head, net->hidden ? fresh.output.bytes : 1);
    atoll_array_init(&fresh.first, BIAS_BYTES + fresh.unit.bytes);
    atoll_array_init(&fresh.linear, (uint32_t)atoll_quant_whole(fresh.columns) * ATOLL_QUANT_EIGHT_BYTES);
    *served = fresh;
}

/* The first element of a page, and the one behind its last. */
static uint32_t page_begin(const atoll_array *array, uint32_t page)
{
    return page << array->shift;
}

static uint32_t page_end(const atoll_array *array, uint32_t page)
{
    uint32_t end = (page + 1) << array->shift;
    return end < array->count ? end : array->count;
}

/* Rounds what is of interest of each row of `from` that has changed, the first weights of it, to a row of `to`. */
static atoll_status refresh_rows(atoll_pager *pager, const atoll_served *served, const atoll_array *from,
                                 const atoll_quant_shape *shape, atoll_array *to, atoll_error *error)
{
    atoll_status status = atoll_array_grow(pager, to, from->count, error);
    for (uint32_t page = 0; page < atoll_array_page_count(from) && status == ATOLL_OK; page++) {
        if (!atoll_array_page_since(from, page, served->epoch))
            continue;
        for (uint32_t i = page_begin(from, page); i < page_end(from, page); i++) {
            void *row = atoll_array_edit(pager, to, i);
            if (!row)
                return no_memory(error);
            atoll_quant_round(shape, row, atoll_array_at(from, i));
        }
    }
    return status;
}

/* One output's b, W2 [rank], D2 [hidden], in the order of core/net_layout.h. */
static atoll_status refresh_output(atoll_pager *pager, atoll_served *served, const atoll_net *net, uint32_t output,
                                   atoll_error *error)
{
    const float *w = atoll_array_at(&net->head, output);
    for (uint32_t k = 0; k <= net->rank; k++) {
        float *column = atoll_array_edit(pager, &served->low, k);
        if (!column)
            return no_memory(error);
        column[output] = w[k < net->rank ? 1 + k : 0];
    }
    void *row = net->hidden ? atoll_array_edit(pager, &served->head, output) : NULL;
    if (net->hidden && !row)
        return no_memory(error);
    if (row)
        atoll_quant_round(&served->output, row, w + 1 + net->rank);
    return ATOLL_OK;
}

static atoll_status refresh_head(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    const atoll_array *head = &net->head;
    atoll_status status = atoll_array_grow(pager, &served->low, net->rank + 1, error);
    if (status == ATOLL_OK && net->hidden)
        status = atoll_array_grow(pager, &served->head, head->count, error);
    for (uint32_t page = 0; page < atoll_array_page_count(head) && status == ATOLL_OK; page++) {
        if (!atoll_array_page_since(head, page, served->epoch))
            continue;
        for (uint32_t o = page_begin(head, page); o < page_end(head, page) && status == ATOLL_OK; o++)
            status = refresh_output(pager, served, net, o, error);
    }
    return status;
}

/* Whether a page of D1, or U, has changed: a step changes them all. */
static bool changed(const atoll_served *served, const atoll_array *from)
{
    for (uint32_t page = 0; page < atoll_array_page_count(from); page++)
        if (atoll_array_page_since(from, page, served->epoch))
            return true;
    return false;
}

/* D1 lies by dense input, and is read by hidden unit. */
static atoll_status refresh_first(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    enum { UNITS = 16 }; /* turned at once, so that each of their cache lines is read once */
    uint32_t dim = net->dense_dim, padded = served->unit.count;
    if (!dim || !changed(served, &net->first))
        return ATOLL_OK;
    atoll_status status = atoll_array_grow(pager, &served->first, net->hidden, error);
    float *column = calloc((size_t)padded * UNITS, sizeof *column);
    if (!column && status == ATOLL_OK)
        status = no_memory(error);
    for (uint32_t from = 0; from < net->hidden && status == ATOLL_OK; from += UNITS) {
        uint32_t units = net->hidden - from < UNITS ? net->hidden - from : UNITS;
        for (uint32_t i = 0; i < dim; i++) {
            const float *w = (const float *)atoll_array_at(&net->first, i) + from;
            for (uint32_t k = 0; k < units; k++)
                column[(size_t)k * padded + i] = w[k];
        }
        for (uint32_t k = 0; k < units && status == ATOLL_OK; k++) {
            uint8_t *row = atoll_array_edit(pager, &served->first, from + k);
            if (!row) {
                status = no_memory(error);
                break;
            }
            memcpy(row, (const float *)atoll_array_at(&net->first, dim) + from + k, BIAS_BYTES);
            atoll_quant_round(&served->unit, row + BIAS_BYTES, column + (size_t)k * padded);
        }
    }
    free(column);
    return status;
}

/* The largest |w| of each output. */
static void find_most(const atoll_array *linear, uint32_t columns, float *most)
{
    for (uint32_t i = 0; i < linear->count; i++) {
        const float *w = atoll_array_at(linear, i);
        for (uint32_t o = 0; o < columns; o++)
            most[o] = fabsf(w[o]) > most[o] ? fabsf(w[o]) : most[o];
    }
}

static atoll_status refresh_linear(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    uint32_t columns = served->columns, inputs = net->linear.count, eights = atoll_quant_eights(inputs);
    if (!inputs || !changed(served, &net->linear))
        return ATOLL_OK;
    atoll_status status = atoll_array_grow(pager, &served->linear, eights + 1, error);
    if (status)
        return status;
    float *scale = atoll_array_edit(pager, &served->linear, eights), *most = calloc(2 * columns, sizeof *most);
    status = scale && most ? ATOLL_OK : no_memory(error);
    if (status == ATOLL_OK) {
        find_most(&net->linear, columns, most);
        atoll_quant_scales(most, columns, scale);
    }
    for (uint32_t e = 0; e < eights && status == ATOLL_OK; e++) {
        const float *w[ATOLL_QUANT_EIGHT];
        for (uint32_t i = 0; i < ATOLL_QUANT_EIGHT; i++) {
            uint32_t input = e * ATOLL_QUANT_EIGHT + i;
            w[i] = input < inputs ? atoll_array_at(&net->linear, input) : most + columns; /* zeros */
        }
        uint8_t *row = atoll_array_edit(pager, &served->linear, e);
        if (row)
            atoll_quant_round_eight(w, scale, columns, row);
        else
            status = no_memory(error);
    }
    free(most);
    return status;
}

atoll_status atoll_served_refresh(atoll_pager *pager, atoll_served *served, const atoll_net *net,
                                  atoll_precision precision, atoll_error *error)
{
    if (precision == ATOLL_PRECISION_F32 || !net->capacity) {
        if (served->precision != ATOLL_PRECISION_F32)
            atoll_served_clear(pager, served);
        return ATOLL_OK;
    }
    fit_layout(pager, served, net, precision);
    atoll_status status = refresh_rows(pager, served, &net->sparse.rows, &served->row, &served->rows, error);
    if (status || (status = refresh_linear(pager, served, net, error)) ||
        (status = refresh_head(pager, served, net, error)) ||
        (status = refresh_first(pager, served, net, error))) {
        atoll_served_clear(pager, served);
        return status;
    }
    served->epoch = atoll_reclaim_epoch(pager->reclaim);
    return ATOLL_OK;
}

/* ---- answering ---- */

/* What one forward pass needs, cut from the scratch's buffer. */
typedef struct space {
    const uint8_t **row;
    float *weight, *sum;
    void *factors;
    int8_t *hidden, *dense, *linear; /* dense: a whole of codes for each vector */
    float *scale, *read;    /* of each vector, */
    float *said;            /* and what one unit says of it */
} space;

static bool space_take(atoll_net_scratch *scratch, const atoll_net *net, const atoll_served *served, uint32_t features,
                       uint32_t vectors, space *s)
{
    uint32_t eights = atoll_quant_eights(net->linear_dim), fours = (features + 3) / 4 * 4;
    uint32_t rows = fours > eights ? fours : eights;
    size_t sums = atoll_quant_whole(served->row.count + 1);
    size_t part[] = {rows * sizeof *s->row,          fours * sizeof *s->weight,    sums * sizeof *s->sum,
                     atoll_quant_whole(net->linear_dim), atoll_quant_room(fours),  atoll_quant_whole(net->hidden),
                     vectors * atoll_quant_whole(net->dense_dim), vectors * sizeof *s->scale,
                     vectors * sizeof *s->read,                   vectors * sizeof *s->said};
    enum { PARTS = sizeof part / sizeof *part, ALIGN = 64 };
    size_t at[PARTS], bytes = 0;
    for (int i = 0; i < PARTS; i++) {
        at[i] = bytes;
        bytes += (part[i] + ALIGN - 1) / ALIGN * ALIGN;
    }
    if (bytes > scratch->served_bytes) {
        void *grown = aligned_alloc(ALIGN, bytes);
        if (!grown)
            return false;
        free(scratch->served);
        scratch->served = grown;
        scratch->served_bytes = bytes;
    }
    unsigned char *base = scratch->served;
    *s = (space){.row = (const uint8_t **)(void *)(base + at[0]),
                 .weight = (float *)(void *)(base + at[1]),
                 .sum = (float *)(void *)(base + at[2]),
                 .linear = (int8_t *)(base + at[3]),
                 .factors = base + at[4],
                 .hidden = (int8_t *)(base + at[5]),
                 .dense = (int8_t *)(base + at[6]),
                 .scale = (float *)(void *)(base + at[7]),
                 .read = (float *)(void *)(base + at[8]),
                 .said = (float *)(void *)(base + at[9])};
    return true;
}

/* Rounds the vectors that are read; how many that are. */
static uint32_t round_vectors(const atoll_net *net, const float *v, uint32_t vectors, const float *reads, space *s)
{
    size_t whole = atoll_quant_whole(net->dense_dim);
    uint32_t count = 0;
    for (uint32_t i = 0; i < vectors; i++) {
        float read = reads ? reads[i] : 1;
        if (read <= 0)
            continue;
        s->read[count] = read / (float)vectors;
        s->scale[count] = atoll_quant_input(v + (size_t)i * net->dense_dim, net->dense_dim, s->dense + count * whole);
        count++;
    }
    return count;
}

atoll_status atoll_served_hidden(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                 const float *v, uint32_t vectors, const float *reads, float *h, atoll_error *error)
{
    space s;
    if (!space_take(scratch, net, served, 0, vectors, &s))
        return no_memory(error);
    const atoll_quant_kernels *kernels = atoll_quant_best();
    uint32_t count = round_vectors(net, v, vectors, reads, &s);
    for (uint32_t k = 0; k < net->hidden; k++) {
        const uint8_t *row = atoll_array_at(&served->first, k);
        float c;
        memcpy(&c, row, sizeof c);
        atoll_quant_dots(kernels, &served->unit, row + BIAS_BYTES, s.dense, count, s.said);
        h[k] = 0;
        for (uint32_t i = 0; i < count; i++) {
            float sum = c + s.scale[i] * s.said[i];
            h[k] += sum > 0 ? s.read[i] * sum : 0;
        }
    }
    return ATOLL_OK;
}

/* Rows behind the last, up to four. */
static void fill_four(const uint8_t **row, uint32_t count)
{
    for (uint32_t i = count; i % 4; i++)
        row[i] = row[0];
}

/* The rounded rows of the input's features that have one, their weights, and how many; sends for them. */
static uint32_t find_rows(const atoll_served *served, const uint32_t *found, const atoll_input *input, space *s)
{
    enum { LINE = 64 };
    const atoll_array rows = served->rows;
    uint32_t count = 0;
    for (uint32_t i = 0; rows.count && i < input->features; i++) {
        const uint8_t *row = atoll_array_at(&rows, found[i] == ATOLL_ROW_NONE ? 0 : found[i]);
        for (uint32_t at = 0; at < rows.element_bytes; at += LINE)
            __builtin_prefetch(row + at);
        __builtin_prefetch(row + rows.element_bytes - 1);
        s->row[count] = row;
        s->weight[count] = input->weight[i];
        count += found[i] != ATOLL_ROW_NONE;
    }
    fill_four(s->row, count);
    return count;
}

/* sum[columns] += U u. */
static void add_linear(const atoll_served *served, const atoll_net *net, const atoll_quant_kernels *kernels,
                       const float *u, const space *s, float *sum)
{
    uint32_t eights = atoll_quant_eights(net->linear_dim);
    for (uint32_t e = 0; e < eights; e++)
        s->row[e] = atoll_array_at(&served->linear, e);
    float scale = atoll_quant_input(u, net->linear_dim, s->linear);
    atoll_quant_multiply(kernels, s->row, atoll_array_at(&served->linear, eights), served->columns, s->linear, scale,
                         eights, sum);
}

/* sum[columns] += W2 W1 x + b; W1 x stands behind V x. */
static void add_low(const atoll_served *served, float *sum)
{
    const float *row[ATOLL_PRODUCT_ROWS];
    sum[served->row.count] = 1;
    for (uint32_t at = 0; at < served->low.count; at += ATOLL_PRODUCT_ROWS) {
        uint32_t left = served->low.count - at, rows = left < ATOLL_PRODUCT_ROWS ? left : ATOLL_PRODUCT_ROWS;
        for (uint32_t i = 0; i < rows; i++)
            row[i] = atoll_array_at(&served->low, at + i);
        atoll_product_sum(row, sum + served->columns + at, rows, sum, served->columns);
    }
}

atoll_status atoll_served_forward(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                  const atoll_input *input, const float *h, float *logits, atoll_error *error)
{
    space s;
    atoll_status status = atoll_net_find(net, scratch, input, error);
    if (status)
        return status;
    if (!space_take(scratch, net, served, input->features, 0, &s))
        return no_memory(error);
    const atoll_quant_kernels *kernels = atoll_quant_best();
    uint32_t rows = find_rows(served, scratch->row, input, &s);
    atoll_quant_gather(kernels, &served->row, s.row, s.weight, rows, s.factors, s.sum);
    add_low(served, s.sum);
    if (input->linear && served->linear.count)
        add_linear(served, net, kernels, input->linear, &s, s.sum);
    memcpy(logits, s.sum, net->outputs * sizeof *logits);
    float hidden_scale = h ? atoll_quant_input(h, net->hidden, s.hidden) : 0;
    for (uint32_t o = 0; h && o < net->outputs; o++)
        logits[o] += hidden_scale *
                     atoll_quant_dot(kernels, &served->output, atoll_array_at(&served->head, o), s.hidden);
    atoll_net_random(net, input, logits); /* as floats */
    return ATOLL_OK;
}
