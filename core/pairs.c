#include "core/pairs.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"

enum { LEAST = 8 }; /* vectors of a label, for products of fewer are far from Gaussian */

/* What is worked with; all in one piece. */
typedef struct scratch {
    float *x, *squares;   /* dim x count: deviations from the mean, vectors of a label side by side; their squares */
    float *all, *spread;  /* dim x dim: sums of products over all, then their mean; their variance */
    float *own;           /* dim x dim: sums over one label */
    float *found, *alone; /* dim x dim, dim: the statistics of pairs, and of numbers by themselves */
    float *variance;      /* dim */
} scratch;

static bool open_scratch(scratch *s, size_t count, size_t dim)
{
    size_t square = dim * dim, rows = dim * count;
    s->x = calloc(2 * rows + 4 * square + 2 * dim, sizeof *s->x);
    if (!s->x)
        return false;
    s->squares = s->x + rows;
    s->all = s->squares + rows;
    s->spread = s->all + square;
    s->own = s->spread + square;
    s->found = s->own + square;
    s->alone = s->found + square;
    s->variance = s->alone + dim;
    return true;
}

typedef struct place {
    uint32_t label, vector;
} place;

static int by_label(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->vector > y->vector) - (x->vector < y->vector);
}

/* Fills x, squares, all, spread and variance. */
static void take_moments(scratch *s, const float *vector, const place *order, size_t count, size_t dim)
{
    for (size_t i = 0; i < dim; i++) {
        double mean = 0;
        for (size_t n = 0; n < count; n++)
            mean += vector[n * dim + i] / (double)count;
        for (size_t n = 0; n < count; n++) {
            float from = vector[order[n].vector * dim + i] - (float)mean;
            s->x[i * count + n] = from;
            s->squares[i * count + n] = from * from;
        }
    }
    atoll_gemm_nt(dim, dim, count, s->x, count, s->x, count, s->all, dim);
    atoll_gemm_nt(dim, dim, count, s->squares, count, s->squares, count, s->spread, dim);
    for (size_t i = 0; i < dim * dim; i++) {
        s->all[i] /= (float)count;
        s->spread[i] = s->spread[i] / (float)count - s->all[i] * s->all[i];
    }
    for (size_t i = 0; i < dim; i++)
        s->variance[i] = s->all[i * dim + i];
}

/* Adds what vectors at..at+own-1, those of one label, say. */
static void add_label(scratch *s, size_t at, size_t own, size_t count, size_t dim)
{
    const float tiny = 1e-6f;
    float share = (float)own / (float)count;
    atoll_gemm_nt(dim, dim, own, s->x + at, count, s->x + at, count, s->own, dim);
    for (size_t i = 0; i < dim * dim; i++) {
        float excess = s->own[i] / (float)count - share * s->all[i];
        s->found[i] += s->spread[i] > tiny ? excess * excess / (share * s->spread[i]) * (float)count : 0;
    }
    for (size_t i = 0; i < dim; i++) {
        float sum = 0;
        for (size_t n = at; n < at + own; n++)
            sum += s->x[i * count + n];
        s->alone[i] += s->variance[i] > tiny ? sum * sum / (share * s->variance[i] * (float)count) : 0;
    }
}

static int heaviest_first(const void *a, const void *b)
{
    const atoll_pair *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->a != y->a ? (int)x->a - (int)y->a : (int)x->b - (int)y->b;
}

/* Names what is beyond the bound where `labels` were looked at. `all` has room for dim (dim + 1) / 2. */
static void name(const scratch *s, uint32_t labels, uint32_t dim, atoll_pair *all, atoll_pair *out, uint32_t *pairs)
{
    uint32_t beyond = 0;
    double tail = log(dim * (dim + 1) / 2.0) + log(100); /* a false one in a hundred searches */
    double bound = labels + 2 * sqrt(labels * tail) + 2 * tail;
    for (uint32_t a = 0; a < dim; a++)
        for (uint32_t b = a; b < dim; b++) {
            float found = s->found[(size_t)a * dim + b];
            double excess = (a == b ? fmaxf(found, s->alone[a]) : found) - bound;
            if (excess > 0)
                all[beyond++] = (atoll_pair){(uint16_t)a, (uint16_t)b, (float)sqrt(excess)};
        }
    if (beyond > dim * (dim + 1) / 4)
        return;
    qsort(all, beyond, sizeof *all, heaviest_first);
    *pairs = beyond < ATOLL_PAIRS_MOST ? beyond : ATOLL_PAIRS_MOST;
    memcpy(out, all, *pairs * sizeof *out);
}

atoll_status atoll_pairs_find(const float *vector, const uint32_t *label, uint32_t count, uint32_t dim, atoll_pair *out,
                              uint32_t *pairs, atoll_error *error)
{
    *pairs = 0;
    if (!count || dim > ATOLL_PAIRS_DIM)
        return ATOLL_OK;
    scratch s = {0};
    place *order = malloc(count * sizeof *order);
    atoll_pair *all = malloc((size_t)dim * (dim + 1) / 2 * sizeof *all);
    atoll_status status = ATOLL_OK;
    uint32_t labels = 0;
    if (!order || !all || !open_scratch(&s, count, dim)) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory to look for pairs of numbers");
        goto done;
    }
    for (uint32_t n = 0; n < count; n++)
        order[n] = (place){label[n], n};
    qsort(order, count, sizeof *order, by_label);
    take_moments(&s, vector, order, count, dim);
    for (uint32_t at = 0, end; at < count; at = end) {
        for (end = at + 1; end < count && order[end].label == order[at].label;)
            end++;
        if (end - at < LEAST)
            continue;
        add_label(&s, at, end - at, count, dim);
        labels++;
    }
    name(&s, labels, dim, all, out, pairs);
done:
    free(s.x);
    free(all);
    free(order);
    return status;
}
