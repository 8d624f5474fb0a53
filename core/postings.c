#include "core/postings.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"

_Static_assert(ATOLL_LABELS_MAX <= UINT16_MAX, "labels have two bytes");

/* Where a row's list is. */
typedef struct place {
    uint32_t list;  /* among those of its size */
    uint16_t count; /* entries */
    uint8_t size;   /* the list has room for ATOLL_POSTINGS_LEAST << size; of no meaning where count is 0 */
    uint8_t dropped;
} place;

static uint32_t room_of(uint32_t size)
{
    return (uint32_t)ATOLL_POSTINGS_LEAST << size;
}

static uint32_t entry_bytes(bool squared)
{
    return (uint32_t)(sizeof(float) + sizeof(uint16_t) + (squared ? sizeof(uint16_t) : 0));
}

void atoll_postings_init(atoll_postings *postings, bool squared)
{
    *postings = (atoll_postings){.squared = squared};
    atoll_array_init(&postings->rows, sizeof(place));
    for (uint32_t s = 0; s < ATOLL_POSTINGS_SIZES; s++)
        atoll_array_init(&postings->lists[s], room_of(s) * entry_bytes(squared));
}

void atoll_postings_clear(atoll_pager *pager, atoll_postings *postings)
{
    atoll_array_clear(pager, &postings->rows);
    for (uint32_t s = 0; s < ATOLL_POSTINGS_SIZES; s++)
        atoll_array_clear(pager, &postings->lists[s]);
    atoll_postings_init(postings, postings->squared);
}

uint64_t atoll_postings_bytes(const atoll_postings *postings)
{
    uint64_t bytes = atoll_array_bytes(&postings->rows);
    for (uint32_t s = 0; s < ATOLL_POSTINGS_SIZES; s++)
        bytes += atoll_array_bytes(&postings->lists[s]);
    return bytes;
}

atoll_status atoll_postings_grow(atoll_pager *pager, atoll_postings *postings, uint32_t rows, atoll_error *error)
{
    return atoll_array_grow(pager, &postings->rows, rows, error);
}

/* Values, labels, accumulators, one behind the other. */
static atoll_posting_list view(const atoll_postings *postings, void *list, uint32_t size, uint32_t count)
{
    float *value = list;
    uint16_t *label = (uint16_t *)(value + room_of(size));
    return (atoll_posting_list){value, label, postings->squared ? label + room_of(size) : NULL, count};
}

static const place *place_at(const atoll_postings *postings, uint32_t row)
{
    return atoll_array_at(&postings->rows, row);
}

atoll_posting_list atoll_postings_at(const atoll_postings *postings, uint32_t row)
{
    const place *p = place_at(postings, row);
    if (!p->count)
        return (atoll_posting_list){0};
    return view(postings, (void *)atoll_array_at(&postings->lists[p->size], p->list), p->size, p->count);
}

void atoll_postings_prefetch(const atoll_postings *postings, uint32_t row)
{
    enum { LINE = 64, LINES = 4 }; /* the rest of a long list follows by itself */
    const place *p = place_at(postings, row);
    uint32_t bytes = p->count * entry_bytes(postings->squared);
    const char *list = p->count ? atoll_array_at(&postings->lists[p->size], p->list) : NULL;
    for (uint32_t at = 0; list && at < bytes && at < LINE * LINES; at += LINE)
        __builtin_prefetch(list + at);
}

/* ---- change ---- */

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a feature's labels");
}

/* A free place among the lists of a size, for writing; NULL where memory is short. */
static void *take(atoll_pager *pager, atoll_postings *postings, uint32_t size, uint32_t *number)
{
    atoll_array *lists = &postings->lists[size];
    if (!postings->vacant[size]) {
        *number = lists->count;
        return atoll_array_grow(pager, lists, lists->count + 1, NULL) ? NULL
                                                                      : atoll_array_edit(pager, lists, *number);
    }
    *number = postings->vacant[size] - 1;
    void *list = atoll_array_edit(pager, lists, *number);
    if (list)
        memcpy(&postings->vacant[size], list, sizeof *postings->vacant);
    return list;
}

/* `list` is place `number` for writing. */
static void leave(atoll_postings *postings, uint32_t size, uint32_t number, void *list)
{
    memcpy(list, &postings->vacant[size], sizeof *postings->vacant);
    postings->vacant[size] = number + 1;
}

/* Moves a full list to one of the next size, or begins the first; `old` is it for writing, or NULL. */
static atoll_status enlarge(atoll_pager *pager, atoll_postings *postings, place *p, void *old,
                            atoll_posting_list *list, atoll_error *error)
{
    uint32_t number, size = p->count ? p->size + 1u : 0;
    void *fresh = take(pager, postings, size, &number);
    if (!fresh)
        return no_memory(error);
    *list = view(postings, fresh, size, p->count);
    if (old) {
        atoll_posting_list from = view(postings, old, p->size, p->count);
        memcpy(list->value, from.value, from.count * sizeof *from.value);
        memcpy(list->label, from.label, from.count * sizeof *from.label);
        if (from.square)
            memcpy(list->square, from.square, from.count * sizeof *from.square);
        leave(postings, p->size, p->list, old);
    }
    p->size = (uint8_t)size;
    p->list = number;
    return ATOLL_OK;
}

static uint32_t find(const uint16_t *label, uint32_t count, uint32_t wanted)
{
    uint32_t at = count;
    for (uint32_t i = 0; i < count; i++)
        at = label[i] == wanted ? i : at;
    return at;
}

atoll_status atoll_postings_put(atoll_pager *pager, atoll_postings *postings, uint32_t row, uint32_t label,
                                atoll_posting_list *list, uint32_t *index, atoll_error *error)
{
    *list = (atoll_posting_list){0};
    if (place_at(postings, row)->dropped)
        return ATOLL_OK;
    place *p = atoll_array_edit(pager, &postings->rows, row);
    void *held = p && p->count ? atoll_array_edit(pager, &postings->lists[p->size], p->list) : NULL;
    if (!p || (p->count && !held))
        return no_memory(error);
    if (held) {
        *list = view(postings, held, p->size, p->count);
        if ((*index = find(list->label, p->count, label)) < p->count)
            return ATOLL_OK;
    }
    if (p->count == ATOLL_POSTINGS_MOST) {
        leave(postings, p->size, p->list, held);
        postings->entries -= p->count;
        *p = (place){.dropped = 1};
        *list = (atoll_posting_list){0};
        return ATOLL_OK;
    }
    if (p->count == 0 || p->count == room_of(p->size)) {
        atoll_status status = enlarge(pager, postings, p, held, list, error);
        if (status)
            return status;
    }
    *index = p->count++;
    list->count = p->count;
    list->value[*index] = 0;
    list->label[*index] = (uint16_t)label;
    if (list->square)
        list->square[*index] = 0;
    postings->entries++;
    return ATOLL_OK;
}

/* ---- verifier ---- */

static atoll_status verify_row(const atoll_postings *postings, uint32_t row, uint8_t *const *used, atoll_error *error)
{
    const place *p = place_at(postings, row);
    if (!p->count)
        return ATOLL_OK;
    if (p->dropped || p->size >= ATOLL_POSTINGS_SIZES || p->count > room_of(p->size) ||
        p->list >= postings->lists[p->size].count)
        return atoll_fail(error, ATOLL_DAMAGED, "row %u has no list where it says", row);
    if (used[p->size][p->list]++)
        return atoll_fail(error, ATOLL_DAMAGED, "the list of row %u is another's or free", row);
    atoll_posting_list list = atoll_postings_at(postings, row);
    for (uint32_t i = 0; i < list.count; i++)
        if (find(list.label, list.count, list.label[i]) != i)
            return atoll_fail(error, ATOLL_DAMAGED, "row %u has label %u twice", row, list.label[i]);
    return ATOLL_OK;
}

static atoll_status verify_vacant(const atoll_postings *postings, uint32_t size, uint8_t *used, atoll_error *error)
{
    for (uint32_t next = postings->vacant[size]; next;) {
        uint32_t number = next - 1;
        if (number >= postings->lists[size].count || used[number]++)
            return atoll_fail(error, ATOLL_DAMAGED, "free lists of %u labels do not end", room_of(size));
        memcpy(&next, atoll_array_at(&postings->lists[size], number), sizeof next);
    }
    return ATOLL_OK;
}

atoll_status atoll_postings_verify(const atoll_postings *postings, atoll_error *error)
{
    uint8_t *used[ATOLL_POSTINGS_SIZES] = {NULL};
    atoll_status status = ATOLL_OK;
    uint32_t entries = 0;
    for (uint32_t s = 0; s < ATOLL_POSTINGS_SIZES && status == ATOLL_OK; s++)
        if (!(used[s] = calloc(postings->lists[s].count + 1, 1)))
            status = no_memory(error);
        else
            status = verify_vacant(postings, s, used[s], error);
    for (uint32_t row = 0; row < postings->rows.count && status == ATOLL_OK; row++) {
        entries += place_at(postings, row)->count;
        status = verify_row(postings, row, used, error);
    }
    for (uint32_t s = 0; s < ATOLL_POSTINGS_SIZES; s++)
        free(used[s]);
    if (status == ATOLL_OK && entries != postings->entries)
        status = atoll_fail(error, ATOLL_DAMAGED, "%u entries instead of %u", entries, postings->entries);
    return status;
}
