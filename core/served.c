#include "core/served.h"

#include <stdlib.h>
#include <string.h>

enum { BIAS_BYTES = sizeof(float) };

void atoll_served_init(atoll_served *served)
{
    *served = (atoll_served){0};
    atoll_array_init(&served->rows, 1);
    atoll_array_init(&served->head, 1);
    atoll_array_init(&served->first, 1);
}

void atoll_served_clear(atoll_pager *pager, atoll_served *served)
{
    atoll_array_clear(pager, &served->rows);
    atoll_array_clear(pager, &served->head);
    atoll_array_clear(pager, &served->first);
    atoll_served_init(served);
}

uint64_t atoll_served_bytes(const atoll_served *served)
{
    return atoll_array_bytes(&served->rows) + atoll_array_bytes(&served->head) + atoll_array_bytes(&served->first);
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

/* Empties it where the network has another layout or another precision is wanted. */
static void fit_layout(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_precision precision)
{
    atoll_served fresh;
    atoll_served_init(&fresh);
    fresh.precision = precision;
    fresh.row = atoll_quant_shape_of(precision, net->capacity, net->rank);
    fresh.output = atoll_quant_shape_of(precision, net->rank, net->hidden);
    fresh.unit = atoll_quant_shape_of(precision, whole_eights(net->dense_dim), 0);
    if (served->precision == precision && served->row.bytes == fresh.row.bytes &&
        served->unit.bytes == fresh.unit.bytes)
        return;
    atoll_served_clear(pager, served);
    atoll_array_init(&fresh.rows, fresh.row.bytes);
    atoll_array_init(&fresh.head, BIAS_BYTES + fresh.output.bytes);
    atoll_array_init(&fresh.first, BIAS_BYTES + fresh.unit.bytes);
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

static atoll_status refresh_rows(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    const atoll_array *rows = &net->sparse.rows;
    atoll_status status = atoll_array_grow(pager, &served->rows, rows->count, error);
    for (uint32_t page = 0; page < atoll_array_page_count(rows) && status == ATOLL_OK; page++) {
        if (!atoll_array_page_since(rows, page, served->epoch))
            continue;
        for (uint32_t i = page_begin(rows, page); i < page_end(rows, page); i++) {
            const float *w = atoll_array_at(rows, i);
            void *row = atoll_array_edit(pager, &served->rows, i);
            if (!row)
                return no_memory(error);
            atoll_quant_round(&served->row, row, 0, w);
            atoll_quant_round(&served->row, row, 1, w + net->capacity);
        }
    }
    return status;
}

/* b, W2 [rank], D2 [hidden] of each output, as core/net.c lays them out. */
static atoll_status refresh_head(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    atoll_status status = atoll_array_grow(pager, &served->head, net->head.count, error);
    for (uint32_t page = 0; page < atoll_array_page_count(&net->head) && status == ATOLL_OK; page++) {
        if (!atoll_array_page_since(&net->head, page, served->epoch))
            continue;
        for (uint32_t o = page_begin(&net->head, page); o < page_end(&net->head, page); o++) {
            const float *w = atoll_array_at(&net->head, o);
            uint8_t *row = atoll_array_edit(pager, &served->head, o);
            if (!row)
                return no_memory(error);
            memcpy(row, w, BIAS_BYTES);
            atoll_quant_round(&served->output, row + BIAS_BYTES, 0, w + 1);
            atoll_quant_round(&served->output, row + BIAS_BYTES, 1, w + 1 + net->rank);
        }
    }
    return status;
}

/* Whether a page of D1 has changed: a step changes them all. */
static bool first_changed(const atoll_served *served, const atoll_net *net)
{
    for (uint32_t page = 0; page < atoll_array_page_count(&net->first); page++)
        if (atoll_array_page_since(&net->first, page, served->epoch))
            return true;
    return false;
}

/* D1 lies by dense input, and is read by hidden unit. */
static atoll_status refresh_first(atoll_pager *pager, atoll_served *served, const atoll_net *net, atoll_error *error)
{
    enum { UNITS = 16 }; /* turned at once, so that each of their cache lines is read once */
    uint32_t dim = net->dense_dim, padded = served->unit.count[0];
    if (!dim || !first_changed(served, net))
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
            atoll_quant_round(&served->unit, row + BIAS_BYTES, 0, column + (size_t)k * padded);
        }
    }
    free(column);
    return status;
}

atoll_status atoll_served_refresh(atoll_pager *pager, atoll_served *served, const atoll_net *net,
                                  atoll_precision precision, atoll_error *error)
{
    if (precision == ATOLL_PRECISION_F32) {
        if (served->precision != ATOLL_PRECISION_F32)
            atoll_served_clear(pager, served);
        return ATOLL_OK;
    }
    fit_layout(pager, served, net, precision);
    atoll_status status = refresh_rows(pager, served, net, error);
    if (status || (status = refresh_head(pager, served, net, error)) ||
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
    int8_t *low, *hidden, *dense;
} space;

static size_t whole_blocks(uint32_t n)
{
    return (size_t)(n + ATOLL_QUANT_BLOCK - 1) / ATOLL_QUANT_BLOCK * ATOLL_QUANT_BLOCK;
}

static bool space_take(atoll_net_scratch *scratch, const atoll_net *net, const atoll_served *served, uint32_t features,
                       space *s)
{
    uint32_t fours = (features + 3) / 4 * 4;
    size_t sums = (size_t)ATOLL_QUANT_BLOCK * (served->row.blocks[0] + served->row.blocks[1]);
    size_t part[] = {fours * sizeof *s->row,   fours * sizeof *s->weight,  sums * sizeof *s->sum,
                     atoll_quant_room(fours),  whole_blocks(net->rank),    whole_blocks(net->hidden),
                     whole_blocks(net->dense_dim)};
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
                 .factors = base + at[3],
                 .low = (int8_t *)(base + at[4]),
                 .hidden = (int8_t *)(base + at[5]),
                 .dense = (int8_t *)(base + at[6])};
    return true;
}

atoll_status atoll_served_hidden(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                 const float *v, float *h, atoll_error *error)
{
    space s;
    if (!space_take(scratch, net, served, 0, &s))
        return no_memory(error);
    const atoll_quant_kernels *kernels = atoll_quant_best();
    float scale = atoll_quant_input(v, net->dense_dim, s.dense);
    for (uint32_t k = 0; k < net->hidden; k++) {
        const uint8_t *row = atoll_array_at(&served->first, k);
        float c;
        memcpy(&c, row, sizeof c);
        float sum = c + scale * atoll_quant_dot(kernels, &served->unit, row + BIAS_BYTES, 0, s.dense);
        h[k] = sum > 0 ? sum : 0;
    }
    return ATOLL_OK;
}

/* The rounded rows of the input's features that have one, their weights, and how many. */
static uint32_t find_rows(const atoll_net *net, const atoll_served *served, const uint32_t *found,
                          const atoll_input *input, space *s)
{
    enum { LINE = 64 };
    uint32_t count = 0;
    for (uint32_t i = 0; i < input->features; i++) {
        if (found[i] == ATOLL_ROW_NONE)
            continue;
        const uint8_t *row = atoll_array_at(&served->rows, found[i]);
        for (uint32_t at = 0; at < served->row.bytes; at += LINE)
            __builtin_prefetch(row + at);
        __builtin_prefetch(row + served->row.bytes - 1);
        s->row[count] = row;
        s->weight[count++] = input->weight[i];
    }
    (void)net;
    for (uint32_t i = count; i % 4; i++)
        s->row[i] = s->row[0];
    return count;
}

atoll_status atoll_served_forward(const atoll_net *net, const atoll_served *served, atoll_net_scratch *scratch,
                                  const atoll_input *input, const float *h, float *logits, atoll_error *error)
{
    space s;
    atoll_status status = atoll_net_find(net, scratch, input, error);
    if (status)
        return status;
    if (!space_take(scratch, net, served, input->features, &s))
        return no_memory(error);
    const atoll_quant_kernels *kernels = atoll_quant_best();
    uint32_t rows = find_rows(net, served, scratch->row, input, &s);
    atoll_quant_gather(kernels, &served->row, s.row, s.weight, rows, s.factors, s.sum);
    atoll_net_linear(net, input, s.sum);
    float low_scale = atoll_quant_input(s.sum + (size_t)ATOLL_QUANT_BLOCK * served->row.blocks[0], net->rank, s.low);
    float hidden_scale = h ? atoll_quant_input(h, net->hidden, s.hidden) : 0;
    for (uint32_t o = 0; o < net->outputs; o++) {
        const uint8_t *head = atoll_array_at(&served->head, o);
        float b;
        memcpy(&b, head, sizeof b);
        logits[o] = s.sum[o] + b;
        if (rows && net->rank)
            logits[o] += low_scale * atoll_quant_dot(kernels, &served->output, head + BIAS_BYTES, 0, s.low);
        if (h)
            logits[o] += hidden_scale * atoll_quant_dot(kernels, &served->output, head + BIAS_BYTES, 1, s.hidden);
    }
    atoll_net_random(net, input, logits); /* as floats */
    return ATOLL_OK;
}
