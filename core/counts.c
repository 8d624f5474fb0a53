#include "core/counts.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/rows.h"

/*
 * a, of tf-idf weights in records of unit length. On CLINC150 .02 to .1 are as accurate; on package descriptions, with
 * five times the features, .05 to .2.
 */
static const float smoothing = 0.05f;

/* Features are not independent, so the posterior is too sure; this is what fits CLINC150 and package sections best. */
static const float sharpness = 0.7f;

void atoll_counts_init(atoll_counts *counts)
{
    *counts = (atoll_counts){.capacity = 8};
    atoll_array_init(&counts->rows, counts->capacity * (uint32_t)sizeof(float));
    atoll_array_init(&counts->mass, sizeof(float));
}

void atoll_counts_clear(atoll_pager *pager, atoll_counts *counts)
{
    atoll_array_clear(pager, &counts->rows);
    atoll_array_clear(pager, &counts->mass);
    counts->labels = 0;
}

/* Rows with room for `labels`. Room grows by half, so that labels that come one by one rebuild them seldom. */
static atoll_status widen(atoll_pager *pager, atoll_counts *counts, uint32_t labels, atoll_error *error)
{
    uint32_t most = counts->capacity + counts->capacity / 2, capacity = ((labels > most ? labels : most) + 7) / 8 * 8;
    atoll_array fresh;
    atoll_array_init(&fresh, capacity * (uint32_t)sizeof(float));
    atoll_status status = atoll_array_grow(pager, &fresh, counts->rows.count, error);
    if (status) {
        atoll_array_clear(pager, &fresh);
        return status;
    }
    /* The fresh pages are of this epoch: editing them copies nothing and cannot fail. */
    for (uint32_t i = 0; i < fresh.count; i++)
        memcpy(atoll_array_edit(pager, &fresh, i), atoll_array_at(&counts->rows, i), counts->labels * sizeof(float));
    atoll_array_clear(pager, &counts->rows);
    counts->rows = fresh;
    counts->capacity = capacity;
    return ATOLL_OK;
}

atoll_status atoll_counts_add(atoll_pager *pager, atoll_counts *counts, const atoll_counted *record, uint32_t rows,
                              uint32_t label, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    float sum = 0;
    if (label >= counts->capacity && (status = widen(pager, counts, label + 1, error)) != ATOLL_OK)
        return status;
    if (label >= counts->labels) {
        if ((status = atoll_array_grow(pager, &counts->mass, label + 1, error)) != ATOLL_OK)
            return status;
        counts->labels = label + 1;
    }
    if (rows > counts->rows.count && (status = atoll_array_grow(pager, &counts->rows, rows, error)) != ATOLL_OK)
        return status;
    for (uint32_t i = 0; i < record->features; i++) {
        if (record->row[i] == ATOLL_ROW_NONE)
            continue;
        float *row = atoll_array_edit(pager, &counts->rows, record->row[i]);
        if (!row)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count");
        row[label] = logf(expf(row[label]) + record->weight[i] / smoothing);
        sum += record->weight[i];
    }
    float *mass = atoll_array_edit(pager, &counts->mass, label);
    if (!mass)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count");
    *mass += sum;
    return ATOLL_OK;
}

void atoll_counts_predict(const atoll_counts *counts, const atoll_counted *record, float *probability, uint32_t labels)
{
    enum { AHEAD = 4, LINE = 16 };
    float sum = 0, prior = smoothing * (float)counts->rows.count;
    memset(probability, 0, labels * sizeof *probability);
    for (uint32_t i = 0; i < record->features; i++) {
        uint32_t next = i + AHEAD < record->features ? record->row[i + AHEAD] : ATOLL_ROW_NONE;
        for (uint32_t y = 0; next < counts->rows.count && y < counts->labels; y += LINE)
            __builtin_prefetch((const float *)atoll_array_at(&counts->rows, next) + y);
        if (record->row[i] >= counts->rows.count)
            continue;
        sum += record->weight[i];
        atoll_axpy(probability, atoll_array_at(&counts->rows, record->row[i]), record->weight[i], counts->labels);
    }
    for (uint32_t y = 0; y < counts->labels; y++)
        probability[y] -= sum * logf(*(const float *)atoll_array_at(&counts->mass, y) + prior);
    atoll_scale(probability, sharpness, counts->labels);
    atoll_softmax(probability, counts->labels);
}

uint64_t atoll_counts_bytes(const atoll_counts *counts)
{
    return atoll_array_bytes(&counts->rows) + atoll_array_bytes(&counts->mass);
}
