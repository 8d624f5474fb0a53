#include "core/counts.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/limits.h"
#include "core/product.h"
#include "core/rows.h"

/* a, of tf-idf weights in records of unit length. */
static const float smoothing = 0.02f;

/*
 * b, about what a dozen short texts weigh. With a F, as probabilities over F features have it, the sums of labels'
 * weights count for next to nothing, and labels of few records lose to those of many.
 */
static const float prior = 100;

/* Features are not independent, so the posterior is too sure. */
static const float sharpness = 0.4f;

/* A feature of one record: its label + 1 above its weight, at most 1, in steps of weight_unit. */
enum { WEIGHT_BITS = 17 };
_Static_assert(ATOLL_LABELS_MAX < 1 << (32 - WEIGHT_BITS), "a label has room above the weight");
static const float weight_unit = 1.0f / (1 << 16);

void atoll_counts_init(atoll_counts *counts)
{
    *counts = (atoll_counts){.capacity = 8};
    atoll_array_init(&counts->rows, counts->capacity * (uint32_t)sizeof(float));
    atoll_postings_init(&counts->many, false);
    atoll_array_init(&counts->mass, sizeof(float));
    atoll_array_init(&counts->once, sizeof(uint32_t));
}

void atoll_counts_clear(atoll_pager *pager, atoll_counts *counts)
{
    atoll_array_clear(pager, &counts->rows);
    atoll_postings_clear(pager, &counts->many);
    atoll_array_clear(pager, &counts->mass);
    atoll_array_clear(pager, &counts->once);
    counts->labels = 0;
}

/* Gives every label that a row knows an entry in the row's list. */
static atoll_status list_row(atoll_pager *pager, const atoll_counts *counts, uint32_t number, atoll_postings *many,
                             atoll_error *error)
{
    const float *row = atoll_array_at(&counts->rows, number);
    atoll_status status = ATOLL_OK;
    for (uint32_t y = 0; y < counts->labels && status == ATOLL_OK; y++) {
        atoll_posting_list list;
        uint32_t index;
        if (row[y] > 0 && (status = atoll_postings_put(pager, many, number, y, &list, &index, error)) == ATOLL_OK &&
            list.count)
            list.value[index] = row[y];
    }
    return status;
}

static atoll_status make_lists(atoll_pager *pager, atoll_counts *counts, atoll_error *error)
{
    atoll_postings many;
    atoll_postings_init(&many, false);
    atoll_status status = atoll_postings_grow(pager, &many, counts->rows.count, error);
    for (uint32_t i = 0; i < counts->rows.count && status == ATOLL_OK; i++)
        status = list_row(pager, counts, i, &many, error);
    if (status) {
        atoll_postings_clear(pager, &many);
        return status;
    }
    atoll_array_clear(pager, &counts->rows);
    counts->many = many;
    counts->capacity = 0;
    return ATOLL_OK;
}

/* Rows with room for `labels`, or lists. */
static atoll_status widen(atoll_pager *pager, atoll_counts *counts, uint32_t labels, atoll_error *error)
{
    uint32_t capacity = atoll_rows_room(counts->capacity, labels);
    atoll_array fresh;
    if (capacity > ATOLL_COUNTS_COLUMNS)
        return make_lists(pager, counts, error);
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

static uint32_t row_count(const atoll_counts *counts)
{
    return counts->capacity ? counts->rows.count : counts->many.rows.count;
}

/* What one record taught of a bucket that has no row; 0 where there is none. */
static uint32_t once_of(const atoll_counts *counts, uint32_t bucket)
{
    return bucket < counts->once.count ? *(const uint32_t *)atoll_array_at(&counts->once, bucket) : 0;
}

static uint32_t label_of(uint32_t once)
{
    return (once >> WEIGHT_BITS) - 1;
}

static float weight_of(uint32_t once)
{
    return (float)(once & ((1u << WEIGHT_BITS) - 1)) * weight_unit;
}

static atoll_status put_once(atoll_pager *pager, atoll_counts *counts, uint32_t bucket, uint32_t once,
                             atoll_error *error)
{
    uint32_t places = counts->once.count ? counts->once.count : 1024;
    while (places <= bucket)
        places *= 2;
    atoll_status status = atoll_array_grow(pager, &counts->once, places, error);
    uint32_t *place = status ? NULL : atoll_array_edit(pager, &counts->once, bucket);
    if (!place)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count");
    *place = once;
    return ATOLL_OK;
}

/* Whether a row tells anything of a label. */
static bool tells_of(const atoll_counts *counts, uint32_t row, uint32_t label)
{
    if (counts->capacity)
        return ((const float *)atoll_array_at(&counts->rows, row))[label] > 0;
    const atoll_posting_list list = atoll_postings_at(&counts->many, row);
    for (uint32_t k = 0; k < list.count; k++)
        if (list.label[k] == label)
            return list.value[k] > 0;
    return false;
}

/*
 * Where `weight` is below 0 it is taken off what there is. For a label of which there is nothing no entry is made: it
 * might be the one too many, for which a row loses its list.
 */
static atoll_status add_weight(atoll_pager *pager, atoll_counts *counts, uint32_t row, uint32_t label, float weight,
                               atoll_error *error)
{
    atoll_posting_list list = {0};
    uint32_t index = label;
    if (weight < 0 && !tells_of(counts, row, label))
        return ATOLL_OK;
    float *value = counts->capacity ? atoll_array_edit(pager, &counts->rows, row) : NULL;
    if (counts->capacity && !value)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count");
    if (!counts->capacity) {
        atoll_status status = atoll_postings_put(pager, &counts->many, row, label, &list, &index, error);
        if (status || !list.count)
            return status;
        value = list.value;
    }
    value[index] = logf(fmaxf(expf(value[index]) + weight / smoothing, 1));
    return ATOLL_OK;
}

/* A feature that has a row, and what was kept of it while it had none. */
static atoll_status add_row(atoll_pager *pager, atoll_counts *counts, const atoll_counted *record, uint32_t i,
                            uint32_t label, float times, atoll_error *error)
{
    uint32_t row = record->row[i], once = record->bucket ? once_of(counts, record->bucket[i]) : 0;
    atoll_status status = once ? add_weight(pager, counts, row, label_of(once), weight_of(once), error) : ATOLL_OK;
    if (status || (status = add_weight(pager, counts, row, label, times * record->weight[i], error)))
        return status;
    return once ? put_once(pager, counts, record->bucket[i], 0, error) : ATOLL_OK;
}

static atoll_status make_room(atoll_pager *pager, atoll_counts *counts, uint32_t rows, uint32_t label,
                              atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    if (counts->capacity && label >= counts->capacity && (status = widen(pager, counts, label + 1, error)) != ATOLL_OK)
        return status;
    if (label >= counts->labels) {
        if ((status = atoll_array_grow(pager, &counts->mass, label + 1, error)) != ATOLL_OK)
            return status;
        counts->labels = label + 1;
    }
    if (rows <= row_count(counts))
        return ATOLL_OK;
    return counts->capacity ? atoll_array_grow(pager, &counts->rows, rows, error)
                            : atoll_postings_grow(pager, &counts->many, rows, error);
}

/* A feature of one text, `times` its weight; what that text taught is forgotten where `times` is below 0. */
static atoll_status add_once(atoll_pager *pager, atoll_counts *counts, uint32_t bucket, float weight, uint32_t label,
                             float times, atoll_error *error)
{
    uint32_t once = once_of(counts, bucket);
    if (times < 0)
        return once && label_of(once) == label ? put_once(pager, counts, bucket, 0, error) : ATOLL_OK;
    uint32_t units = (uint32_t)(fminf(times * weight, 1) / weight_unit + 0.5f);
    return put_once(pager, counts, bucket, (label + 1) << WEIGHT_BITS | units, error);
}

atoll_status atoll_counts_add(atoll_pager *pager, atoll_counts *counts, const atoll_counted *record, uint32_t rows,
                              uint32_t label, float times, atoll_error *error)
{
    float sum = 0;
    atoll_status status = make_room(pager, counts, rows, label, error);
    for (uint32_t i = 0; i < record->features && status == ATOLL_OK; i++) {
        if (record->row[i] != ATOLL_ROW_NONE) {
            status = add_row(pager, counts, record, i, label, times, error);
            sum += record->weight[i];
        } else if (times < 0 && record->bucket) { /* it may have come as a feature of one text */
            status = add_once(pager, counts, record->bucket[i], record->weight[i], label, times, error);
        }
    }
    for (uint32_t i = record->features; i < record->features + record->rest && status == ATOLL_OK; i++) {
        status = add_once(pager, counts, record->bucket[i], record->weight[i], label, times, error);
        sum += record->weight[i];
    }
    if (status)
        return status;
    float *mass = atoll_array_edit(pager, &counts->mass, label);
    if (!mass)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count");
    *mass = fmaxf(*mass + times * sum, 0);
    return ATOLL_OK;
}

/* score[labels] of features that were learned once; the sum of their weights. */
static float score_once(const atoll_counts *counts, const atoll_counted *record, float *score)
{
    enum { AHEAD = 8 };
    float sum = 0;
    uint32_t end = record->features + record->rest;
    for (uint32_t i = record->features; i < end; i++) {
        if (i + AHEAD < end && record->bucket[i + AHEAD] < counts->once.count)
            __builtin_prefetch(atoll_array_at(&counts->once, record->bucket[i + AHEAD]));
        uint32_t once = once_of(counts, record->bucket[i]);
        if (!once)
            continue;
        score[label_of(once)] += record->weight[i] * logf(1 + weight_of(once) / smoothing);
        sum += record->weight[i];
    }
    return sum;
}

/* score[labels] += what rows say, which are summed together; the sum of their weights. */
static float score_rows(const atoll_counts *counts, const atoll_counted *record, float *score)
{
    enum { MANY = 64, LINE = 16 };
    const atoll_array rows = counts->rows;
    const float *at[MANY];
    float weight[MANY], said[ATOLL_COUNTS_COLUMNS] = {0}, sum = 0;
    memcpy(said, score, counts->labels * sizeof *said);
    for (uint32_t from = 0; rows.count && from < record->features; from += MANY) {
        uint32_t count = 0, end = record->features - from < MANY ? record->features : from + MANY;
        for (uint32_t i = from; i < end; i++) {
            bool there = record->row[i] < rows.count;
            at[count] = atoll_array_at(&rows, there ? record->row[i] : 0);
            weight[count] = record->weight[i];
            sum += there ? record->weight[i] : 0;
            for (uint32_t y = 0; y < counts->labels; y += LINE)
                __builtin_prefetch(at[count] + y);
            count += there;
        }
        atoll_product_sum(at, weight, count, said, (counts->labels + 7) / 8 * 8);
    }
    memcpy(score, said, counts->labels * sizeof *said);
    return sum;
}

/* The same of lists; a row may say nothing of any label. */
static float score_lists(const atoll_counts *counts, const atoll_counted *record, float *score)
{
    enum { AHEAD = 4 };
    uint32_t rows = row_count(counts);
    float sum = 0;
    for (uint32_t i = 0; i < record->features; i++) {
        if (i + AHEAD < record->features && record->row[i + AHEAD] < rows)
            atoll_postings_prefetch(&counts->many, record->row[i + AHEAD]);
        if (record->row[i] >= rows)
            continue;
        const atoll_posting_list list = atoll_postings_at(&counts->many, record->row[i]);
        for (uint32_t k = 0; k < list.count; k++)
            score[list.label[k]] += record->weight[i] * list.value[k];
        sum += list.count ? record->weight[i] : 0;
    }
    return sum;
}

void atoll_counts_predict(const atoll_counts *counts, const atoll_counted *record, float *probability, uint32_t labels)
{
    enum { MANY = 256 };
    float log_mass[MANY];
    memset(probability, 0, labels * sizeof *probability);
    float sum = score_once(counts, record, probability);
    sum += (counts->capacity ? score_rows : score_lists)(counts, record, probability);
    for (uint32_t from = 0; from < counts->labels; from += MANY) {
        uint32_t count = counts->labels - from < MANY ? counts->labels - from : MANY;
        float *score = probability + from;
        for (uint32_t i = 0; i < count; i++)
            log_mass[i] = *(const float *)atoll_array_at(&counts->mass, from + i);
        atoll_log_long(log_mass, prior, count);
        for (uint32_t i = 0; i < count; i++) {
            bool known = *(const float *)atoll_array_at(&counts->mass, from + i) > 0;
            score[i] = known ? score[i] - sum * log_mass[i] : -1e30f;
        }
    }
    atoll_scale(probability, sharpness, counts->labels);
    atoll_softmax(probability, counts->labels);
}

uint64_t atoll_counts_parameters(const atoll_counts *counts)
{
    return counts->capacity ? (uint64_t)counts->rows.count * counts->labels : counts->many.entries;
}

double atoll_counts_active(const atoll_counts *counts, double features)
{
    uint32_t rows = row_count(counts);
    return counts->capacity || !rows ? features * counts->labels
                                     : fmin(features, rows) * counts->many.entries / rows;
}

uint64_t atoll_counts_bytes(const atoll_counts *counts)
{
    return atoll_array_bytes(&counts->rows) + atoll_postings_bytes(&counts->many) + atoll_array_bytes(&counts->mass) +
           atoll_array_bytes(&counts->once);
}
