/* How inverted lists get their centres and codes, and the training as bytes. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/faiss.h"
#include "retrieval/lists_inside.h"

enum {
    TOP_SAMPLE = 64,     /* vectors for each centre of centres */
    CODE_SAMPLE = 4096,  /* that codes are trained on, 256 for each centre of a code */
    TOGETHER = 64        /* vectors compared with the centres of centres at a time */
};

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to train lists");
}

/* A power of two near the square root. */
static uint32_t tops_for(uint32_t lists)
{
    uint32_t tops = 1;
    while ((uint64_t)4 * tops * tops <= lists)
        tops *= 2;
    return tops;
}

/* `want` of `count` rows, evenly, as floats. */
static void sample(const uint16_t *const *row, uint32_t count, uint32_t want, uint32_t dim, float *to)
{
    for (uint32_t i = 0; i < want; i++)
        atoll_half_to_float(row[(uint64_t)i * count / want], to + (size_t)i * dim, dim);
}

static atoll_status train_tops(atoll_lists *l, uint32_t count, const uint16_t *const *row, atoll_error *error)
{
    uint32_t want = l->tops * TOP_SAMPLE < count ? l->tops * TOP_SAMPLE : count;
    float *from = malloc((size_t)want * l->dim * sizeof *from), *to = malloc((size_t)l->tops * l->dim * sizeof *to);
    atoll_status status = from && to ? ATOLL_OK : no_memory(error);
    if (status == ATOLL_OK) {
        sample(row, count, want, l->dim, from);
        status = atoll_faiss_cluster(l->dim, l->tops, want, from, true, to, error);
    }
    if (status == ATOLL_OK)
        atoll_half_from_float(to, l->top, (size_t)l->tops * l->dim);
    free(from);
    free(to);
    return status;
}

/* top[i] becomes the nearest centre of centres of row i, held[t] how many rows have t. */
static atoll_status assign_tops(const atoll_lists *l, uint32_t count, const uint16_t *const *row, uint32_t *top,
                                uint32_t *held, atoll_error *error)
{
    float *vector = malloc((size_t)TOGETHER * l->dim * sizeof *vector);
    float *dot = malloc((size_t)TOGETHER * l->tops * sizeof *dot);
    atoll_status status = vector && dot ? ATOLL_OK : no_memory(error);
    for (uint32_t at = 0; at < count && status == ATOLL_OK; at += TOGETHER) {
        uint32_t many = count - at < TOGETHER ? count - at : TOGETHER;
        sample(row + at, many, many, l->dim, vector);
        atoll_half_dots(l->top, l->tops, vector, many, l->dim, dot);
        for (uint32_t i = 0; i < many; i++) {
            uint32_t best = 0;
            for (uint32_t t = 1; t < l->tops; t++)
                if (dot[t * many + i] > dot[best * many + i])
                    best = t;
            top[at + i] = best;
            held[best]++;
        }
    }
    free(vector);
    free(dot);
    return status;
}

/* The centres below one centre of centres: as many of all as it has of the rows, and one at least. */
static atoll_status train_below(atoll_lists *l, uint32_t t, uint32_t lists, uint32_t count, uint32_t held,
                                const uint16_t *const *row, const uint32_t *top, atoll_error *error)
{
    uint32_t share = (uint32_t)((uint64_t)held * lists / count), at = 0;
    share = share ? share : 1;
    l->first[t + 1] = l->first[t] + share;
    if (!held) {
        memcpy(l->centre + (size_t)l->first[t] * l->dim, l->top + (size_t)t * l->dim, l->dim * sizeof *l->centre);
        return ATOLL_OK;
    }
    float *from = malloc((size_t)held * l->dim * sizeof *from), *to = malloc((size_t)share * l->dim * sizeof *to);
    atoll_status status = from && to ? ATOLL_OK : no_memory(error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (top[i] == t)
            atoll_half_to_float(row[i], from + (size_t)at++ * l->dim, l->dim);
    if (status == ATOLL_OK)
        status = atoll_faiss_cluster(l->dim, share, held, from, true, to, error);
    if (status == ATOLL_OK)
        atoll_half_from_float(to, l->centre + (size_t)l->first[t] * l->dim, (size_t)share * l->dim);
    free(from);
    free(to);
    return status;
}

static atoll_status train_lists(atoll_lists *l, uint32_t count, const uint16_t *const *row, atoll_error *error)
{
    uint32_t lists = l->lists - l->tops; /* each centre of centres may get one more than its share, which is none */
    uint32_t *top = malloc(count * sizeof *top), *held = calloc(l->tops, sizeof *held);
    atoll_status status = top && held ? assign_tops(l, count, row, top, held, error) : no_memory(error);
    for (uint32_t t = 0; t < l->tops && status == ATOLL_OK; t++)
        status = train_below(l, t, lists, count, held[t], row, top, error);
    l->lists = l->first[l->tops];
    free(top);
    free(held);
    return status;
}

void atoll_lists_rest(const atoll_lists *l, const float *vector, uint32_t list, float *rest)
{
    atoll_half_to_float(l->centre + (size_t)list * l->dim, rest, l->dim);
    for (uint32_t i = 0; i < l->dim; i++)
        rest[i] = vector[i] - rest[i];
}

static atoll_status train_codes(atoll_lists *l, uint32_t count, const uint16_t *const *row, atoll_error *error)
{
    enum { CENTRES = ATOLL_LISTS_CENTRES };
    uint32_t want = count < CODE_SAMPLE ? count : CODE_SAMPLE, dim = l->dim, part = l->part;
    float *rest = malloc((size_t)want * dim * sizeof *rest), *from = malloc((size_t)want * part * sizeof *from);
    float *to = malloc((size_t)CENTRES * part * sizeof *to);
    atoll_status status = rest && from && to ? ATOLL_OK : no_memory(error);
    for (uint32_t i = 0; i < want && status == ATOLL_OK; i++) {
        float vector[ATOLL_EMBEDDING_MAX_DIM];
        atoll_list_near near;
        atoll_half_to_float(row[(uint64_t)i * count / want], vector, dim);
        atoll_lists_nearest(l, vector, 1, &near);
        atoll_lists_rest(l, vector, near.list, rest + (size_t)i * dim);
    }
    for (uint32_t m = 0; m < l->codes && status == ATOLL_OK; m++) {
        for (uint32_t i = 0; i < want; i++)
            memcpy(from + (size_t)i * part, rest + (size_t)i * dim + (size_t)m * part, part * sizeof *from);
        status = atoll_faiss_cluster(part, CENTRES, want, from, false, to, error);
        for (uint32_t k = 0; k < part && status == ATOLL_OK; k++)
            for (uint32_t j = 0; j < CENTRES; j++)
                l->book[((size_t)m * part + k) * CENTRES + j] = to[j * part + k];
    }
    free(rest);
    free(from);
    free(to);
    return status;
}

atoll_status atoll_lists_train(uint32_t dim, uint32_t lists, uint32_t count, const uint16_t *const *row,
                               atoll_lists **out, atoll_error *error)
{
    uint32_t tops = tops_for(lists);
    atoll_lists *l;
    *out = NULL;
    atoll_status status = atoll_lists_new(dim, lists + tops, tops, &l, error);
    if (status == ATOLL_OK)
        status = train_tops(l, count, row, error);
    if (status == ATOLL_OK)
        status = train_lists(l, count, row, error);
    if (status == ATOLL_OK)
        status = train_codes(l, count, row, error);
    if (status == ATOLL_OK)
        *out = l;
    else
        atoll_lists_free(l);
    return status;
}

/* --- as bytes --- */

/* Before the arrays in their order. */
typedef struct written_lists {
    uint32_t version, dim, lists, tops;
} written_lists;

enum { WRITTEN_VERSION = 1 };

static uint64_t written_bytes(const written_lists *head)
{
    return sizeof *head + (head->tops + UINT64_C(1)) * sizeof(uint32_t) +
           ((uint64_t)head->tops + head->lists) * head->dim * sizeof(uint16_t) +
           (uint64_t)head->dim * ATOLL_LISTS_CENTRES * sizeof(float);
}

static void pass(unsigned char **at, void *array, size_t bytes, bool in)
{
    memcpy(in ? array : *at, in ? *at : array, bytes);
    *at += bytes;
}

static void pass_arrays(atoll_lists *l, unsigned char *at, bool in)
{
    pass(&at, l->first, (l->tops + (size_t)1) * sizeof *l->first, in);
    pass(&at, l->top, (size_t)l->tops * l->dim * sizeof *l->top, in);
    pass(&at, l->centre, (size_t)l->lists * l->dim * sizeof *l->centre, in);
    pass(&at, l->book, (size_t)l->dim * ATOLL_LISTS_CENTRES * sizeof *l->book, in);
}

atoll_status atoll_lists_write(const atoll_lists *lists, void **data, size_t *bytes, atoll_error *error)
{
    written_lists head = {WRITTEN_VERSION, lists->dim, lists->lists, lists->tops};
    *bytes = written_bytes(&head);
    *data = malloc(*bytes);
    if (!*data)
        return no_memory(error);
    memcpy(*data, &head, sizeof head);
    pass_arrays((atoll_lists *)(uintptr_t)lists, (unsigned char *)*data + sizeof head, false);
    return ATOLL_OK;
}

atoll_status atoll_lists_read(const void *data, size_t bytes, atoll_lists **out, atoll_error *error)
{
    written_lists head;
    atoll_lists *l;
    *out = NULL;
    if (bytes < sizeof head)
        return atoll_fail(error, ATOLL_DAMAGED, "saved lists end early");
    memcpy(&head, data, sizeof head);
    if (head.version != WRITTEN_VERSION || head.dim < 8 || head.dim % 8 || head.dim > ATOLL_EMBEDDING_MAX_DIM ||
        !head.tops || !head.lists || bytes != written_bytes(&head))
        return atoll_fail(error, ATOLL_DAMAGED, "saved lists do not fit their %zu bytes", bytes);
    atoll_status status = atoll_lists_new(head.dim, head.lists, head.tops, &l, error);
    if (status != ATOLL_OK)
        return status;
    pass_arrays(l, (unsigned char *)(uintptr_t)data + sizeof head, true);
    bool whole = l->first[0] == 0 && l->first[l->tops] == l->lists;
    for (uint32_t t = 0; t < l->tops; t++)
        whole &= l->first[t] < l->first[t + 1];
    if (whole) {
        *out = l;
        return ATOLL_OK;
    }
    atoll_lists_free(l);
    return atoll_fail(error, ATOLL_DAMAGED, "saved lists are not in order");
}
