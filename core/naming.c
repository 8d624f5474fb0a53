#include "core/naming.h"

#include <string.h>

enum { TABLE_LEAST = 256, FULL = 2 }; /* at least FULL places a posting */

typedef struct posting {
    uint32_t bucket; /* + 1: 0 where there is none */
    uint32_t label;
    float weight;
} posting;

void atoll_naming_init(atoll_naming *naming)
{
    *naming = (atoll_naming){0};
    atoll_array_init(&naming->table, sizeof(posting));
}

void atoll_naming_clear(atoll_pager *pager, atoll_naming *naming)
{
    atoll_array_clear(pager, &naming->table);
    naming->postings = 0;
}

size_t atoll_naming_spell(atoll_slice name, char *text)
{
    size_t bytes = 0;
    for (size_t i = 0; i < name.bytes; i++) {
        char c = name.data[i], before = i ? name.data[i - 1] : ' ';
        if (c >= 'A' && c <= 'Z' && before >= 'a' && before <= 'z')
            text[bytes++] = ' ';
        text[bytes++] = c;
    }
    return bytes;
}

/* Fibonacci hashing, as in core/rows.c. */
static uint32_t home(uint32_t bucket, uint32_t size)
{
    return (uint32_t)((uint64_t)(bucket * 0x9e3779b1u) * size >> 32);
}

static const posting *at(const atoll_array *table, uint32_t place)
{
    return atoll_array_at(table, place);
}

/* The place of the posting, or the empty one where it belongs; *others: postings of the bucket on the way. */
static uint32_t seek(const atoll_array *table, uint32_t bucket, uint32_t label, uint32_t *others)
{
    uint32_t place = home(bucket, table->count);
    for (*others = 0;; place = (place + 1) & (table->count - 1)) {
        const posting *p = at(table, place);
        if (p->bucket == 0 || (p->bucket == bucket + 1 && p->label == label))
            return place;
        *others += p->bucket == bucket + 1;
    }
}

static atoll_status grow(atoll_pager *pager, atoll_naming *naming, atoll_error *error)
{
    uint32_t others;
    atoll_array grown, *table = &naming->table;
    atoll_array_init(&grown, sizeof(posting));
    atoll_status status = atoll_array_grow(pager, &grown, table->count ? 2 * table->count : TABLE_LEAST, error);
    if (status) {
        atoll_array_clear(pager, &grown);
        return status;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        const posting *p = at(table, i);
        /* The fresh pages are of this epoch: editing them copies nothing and cannot fail. */
        if (p->bucket)
            *(posting *)atoll_array_edit(pager, &grown, seek(&grown, p->bucket - 1, p->label, &others)) = *p;
    }
    atoll_array_clear(pager, table);
    *table = grown;
    return ATOLL_OK;
}

atoll_status atoll_naming_put(atoll_pager *pager, atoll_naming *naming, const uint32_t *bucket, const float *weight,
                              uint32_t features, uint32_t label, atoll_error *error)
{
    for (uint32_t i = 0; i < features; i++) {
        uint32_t others;
        atoll_status status;
        if (FULL * (naming->postings + 1) > naming->table.count && (status = grow(pager, naming, error)) != ATOLL_OK)
            return status;
        uint32_t place = seek(&naming->table, bucket[i], label, &others);
        bool fresh = at(&naming->table, place)->bucket == 0;
        if (fresh && others >= ATOLL_NAMING_SHARED)
            continue;
        posting *p = atoll_array_edit(pager, &naming->table, place);
        if (!p)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a label's name");
        *p = (posting){bucket[i] + 1, label, weight[i]};
        naming->postings += fresh;
    }
    return ATOLL_OK;
}

/* Most features are in no name: those whose place is empty are left out first, without a branch that depends on it. */
bool atoll_naming_hear(const atoll_naming *naming, const uint32_t *bucket, const float *weight, uint32_t features,
                       float *likeness, uint32_t labels)
{
    enum { MANY = 64 };
    const atoll_array table = naming->table;
    bool any = false;
    memset(likeness, 0, labels * sizeof *likeness);
    for (uint32_t from = 0; table.count && from < features; from += MANY) {
        uint32_t sought[MANY], count = 0, end = features - from < MANY ? features : from + MANY;
        for (uint32_t i = from; i < end; i++) {
            sought[count] = i;
            count += at(&table, home(bucket[i], table.count))->bucket != 0;
        }
        for (uint32_t k = 0; k < count; k++) {
            uint32_t i = sought[k], place = home(bucket[i], table.count);
            for (const posting *p; (p = at(&table, place))->bucket; place = (place + 1) & (table.count - 1))
                if (p->bucket == bucket[i] + 1 && p->label < labels) {
                    likeness[p->label] += p->weight * weight[i];
                    any = true;
                }
        }
    }
    return any;
}

uint64_t atoll_naming_bytes(const atoll_naming *naming)
{
    return atoll_array_bytes(&naming->table);
}
