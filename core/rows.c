#include "core/rows.h"

enum { TABLE_LEAST = 256 };

void atoll_rows_init(atoll_rows *rows, uint32_t width)
{
    atoll_array_init(&rows->table, sizeof(uint64_t));
    atoll_array_init(&rows->rows, width * (uint32_t)sizeof(float));
    rows->width = width;
}

void atoll_rows_clear(atoll_pager *pager, atoll_rows *rows)
{
    atoll_array_clear(pager, &rows->table);
    atoll_array_clear(pager, &rows->rows);
}

uint64_t atoll_rows_bytes(const atoll_rows *rows)
{
    return atoll_array_bytes(&rows->table) + atoll_array_bytes(&rows->rows);
}

/* Fibonacci hashing [Knuth, vol. 3, 6.4]: the upper bits of the product, as many as `size` (a power of two) has. */
static uint32_t home(uint32_t bucket, uint32_t size)
{
    return (uint32_t)((uint64_t)(bucket * 0x9e3779b1u) * size >> 32);
}

static uint64_t entry(const atoll_array *table, uint32_t place)
{
    return *(const uint64_t *)atoll_array_at(table, place);
}

/* The place that holds the bucket, or the empty one where it belongs. */
static uint32_t seek(const atoll_array *table, uint32_t bucket)
{
    uint32_t place = home(bucket, table->count);
    for (;;) {
        uint64_t e = entry(table, place);
        if (e == 0 || (uint32_t)e == bucket + 1)
            return place;
        place = (place + 1) & (table->count - 1);
    }
}

void atoll_rows_find(const atoll_rows *rows, const uint32_t *bucket, uint32_t count, uint32_t *found)
{
    enum { AHEAD = 24 };
    for (uint32_t i = 0; i < count; i++) {
        if (rows->table.count == 0) {
            found[i] = ATOLL_ROW_NONE;
            continue;
        }
        if (i + AHEAD < count)
            __builtin_prefetch(atoll_array_at(&rows->table, home(bucket[i + AHEAD], rows->table.count)));
        uint64_t e = entry(&rows->table, seek(&rows->table, bucket[i]));
        found[i] = e ? (uint32_t)(e >> 32) : ATOLL_ROW_NONE;
    }
}

static atoll_status table_grow(atoll_pager *pager, atoll_array *table, atoll_error *error)
{
    atoll_array grown;
    atoll_array_init(&grown, sizeof(uint64_t));
    atoll_status status = atoll_array_grow(pager, &grown, table->count ? 2 * table->count : TABLE_LEAST, error);
    if (status) {
        atoll_array_clear(pager, &grown);
        return status;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        uint64_t e = entry(table, i);
        /* The fresh pages are of this epoch: editing them copies nothing and cannot fail. */
        if (e)
            *(uint64_t *)atoll_array_edit(pager, &grown, seek(&grown, (uint32_t)e - 1)) = e;
    }
    atoll_array_clear(pager, table);
    *table = grown;
    return ATOLL_OK;
}

atoll_status atoll_rows_add(atoll_pager *pager, atoll_rows *rows, uint32_t bucket, uint32_t *row, atoll_error *error)
{
    atoll_status status;
    uint32_t fresh = rows->rows.count;
    if ((uint64_t)fresh * 4 >= (uint64_t)rows->table.count * 3 &&
        (status = table_grow(pager, &rows->table, error)) != ATOLL_OK)
        return status;
    uint64_t *place = atoll_array_edit(pager, &rows->table, seek(&rows->table, bucket));
    if (!place)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a row");
    if ((status = atoll_array_grow(pager, &rows->rows, fresh + 1, error)) != ATOLL_OK)
        return status;
    *place = (uint64_t)fresh << 32 | (bucket + 1);
    *row = fresh;
    return ATOLL_OK;
}

atoll_status atoll_rows_reshape(atoll_pager *pager, atoll_rows *rows, uint32_t width,
                                void (*move)(void *arg, const float *old, float *fresh), void *arg, atoll_error *error)
{
    atoll_array fresh;
    atoll_array_init(&fresh, width * (uint32_t)sizeof(float));
    atoll_status status = atoll_array_grow(pager, &fresh, rows->rows.count, error);
    if (status) {
        atoll_array_clear(pager, &fresh);
        return status;
    }
    for (uint32_t i = 0; i < fresh.count; i++)
        move(arg, atoll_rows_at(rows, i), atoll_array_edit(pager, &fresh, i));
    atoll_array_clear(pager, &rows->rows);
    rows->rows = fresh;
    rows->width = width;
    return ATOLL_OK;
}

atoll_status atoll_rows_verify(const atoll_rows *rows, atoll_error *error)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < rows->table.count; i++) {
        uint64_t e = entry(&rows->table, i);
        if (e == 0)
            continue;
        held++;
        if ((uint32_t)(e >> 32) >= rows->rows.count)
            return atoll_fail(error, ATOLL_DAMAGED, "place %u names row %u of %u", i, (uint32_t)(e >> 32),
                              rows->rows.count);
        if (seek(&rows->table, (uint32_t)e - 1) != i)
            return atoll_fail(error, ATOLL_DAMAGED, "bucket %u cannot be found at its place", (uint32_t)e - 1);
    }
    if (held != rows->rows.count)
        return atoll_fail(error, ATOLL_DAMAGED, "%u entries for %u rows", held, rows->rows.count);
    return ATOLL_OK;
}
