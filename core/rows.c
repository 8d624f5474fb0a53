#include "core/rows.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

/*
 * The table is made of groups of a cache line each. A bucket is in its home group, or where that was full when it came,
 * in the first behind it that was not; groups are filled from their beginning. So most searches read one line, and
 * compare all of it at once; of probes that depend on what the last one found a processor guesses many wrong.
 */
enum { GROUP = 8, TABLE_LEAST = 256 };

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

uint32_t atoll_rows_room(uint32_t room, uint32_t wanted)
{
    uint32_t half_more = room + room / 2;
    return ((wanted > half_more ? wanted : half_more) + 7) / 8 * 8;
}

/* What a search needs of the table, kept apart: that stores to what it tells cannot change it, a compiler sees. */
typedef struct groups {
    const atoll_page_root *root;
    uint32_t hash_shift, page_shift; /* of a product to its group, and of a group to its page */
    uint32_t last;                   /* group */
} groups;

static groups groups_of(const atoll_array *table)
{
    uint32_t bits = (uint32_t)__builtin_ctz(table->count / GROUP);
    return (groups){.root = table->root,
                    .hash_shift = 32 - bits,
                    .page_shift = table->shift - (uint32_t)__builtin_ctz(GROUP),
                    .last = table->count / GROUP - 1};
}

/* Fibonacci hashing [Knuth, vol. 3, 6.4]: the upper bits of the product, as many as a group's number has. */
static inline uint32_t home(const groups *g, uint32_t bucket)
{
    return (bucket * 0x9e3779b1u) >> g->hash_shift;
}

static inline const uint64_t *group_at(const groups *g, uint32_t group)
{
    uint32_t page = group >> g->page_shift;
    const atoll_page *p = g->root->directory[page / ATOLL_PAGES_FANOUT]->page[page % ATOLL_PAGES_FANOUT];
    return (const uint64_t *)(const void *)p->bytes + (size_t)(group & ((1u << g->page_shift) - 1)) * GROUP;
}

static uint64_t entry(const atoll_array *table, uint32_t place)
{
    return *(const uint64_t *)atoll_array_at(table, place);
}

/* The place that holds the bucket, or the empty one where it belongs. */
static uint32_t seek(const atoll_array *table, uint32_t bucket)
{
    groups g = groups_of(table);
    for (uint32_t at = home(&g, bucket);; at = (at + 1) & g.last)
        for (uint32_t i = 0; i < GROUP; i++) {
            uint64_t e = group_at(&g, at)[i];
            if (e == 0 || (uint32_t)e == bucket + 1)
                return at * GROUP + i;
        }
}

/* ---- search ---- */

/* Which entries of a group have the lower half `key`: bit 2 i for entry i. */
static inline uint32_t hits_plain(const uint64_t *group, uint32_t key)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < GROUP; i++)
        hits |= (uint32_t)((uint32_t)group[i] == key) << 2 * i;
    return hits;
}

#ifdef X86
enum { LOWER_HALVES = 0x5555 };

#define V3 __attribute__((target("avx2,bmi,bmi2")))
#define V4 __attribute__((target("avx2,bmi,bmi2,avx512f")))

V3 static inline uint32_t hits_v3(const uint64_t *group, uint32_t key)
{
    const __m256i *half = (const __m256i *)(const void *)group;
    __m256i wanted = _mm256_set1_epi32((int)key);
    __m256i low = _mm256_cmpeq_epi32(_mm256_load_si256(half), wanted);
    __m256i high = _mm256_cmpeq_epi32(_mm256_load_si256(half + 1), wanted);
    uint32_t hits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
                    (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << GROUP;
    return hits & LOWER_HALVES;
}

V4 static inline uint32_t hits_v4(const uint64_t *group, uint32_t key)
{
    return _mm512_mask_cmpeq_epi32_mask(LOWER_HALVES, _mm512_load_si512(group), _mm512_set1_epi32((int)key));
}
#endif

/* The row of a bucket whose home group is full and has it not. */
static uint32_t find_behind(const groups *g, uint32_t bucket)
{
    for (uint32_t at = (home(g, bucket) + 1) & g->last;; at = (at + 1) & g->last)
        for (uint32_t i = 0; i < GROUP; i++) {
            uint64_t e = group_at(g, at)[i];
            if (e == 0 || (uint32_t)e == bucket + 1)
                return e ? (uint32_t)(e >> 32) : ATOLL_ROW_NONE;
        }
}

/*
 * Sends for the lines of MANY buckets, then compares. Of no hit the last entry's row is read and not told, so that no
 * branch depends on what is found.
 */
#define FIND(name, isa, hits_of)                                                                                     \
    isa static void name(const groups *g, const uint32_t *bucket, uint32_t count, uint32_t *found)                   \
    {                                                                                                                \
        const uint64_t *line[MANY];                                                                                  \
        for (uint32_t i = 0; i < count; i++)                                                                         \
            __builtin_prefetch(line[i] = group_at(g, home(g, bucket[i])));                                           \
        for (uint32_t i = 0; i < count; i++) {                                                                       \
            uint32_t row, hits = hits_of(line[i], bucket[i] + 1);                                                    \
            memcpy(&row, (const char *)line[i] + 4 * __builtin_ctz(hits | 1u << 2 * (GROUP - 1)) + 4, sizeof row);   \
            uint32_t none = (hits - 1) >> 31;                                                                        \
            found[i] = row | -none;                                                                                  \
            if (__builtin_expect(none & (line[i][GROUP - 1] != 0), 0))                                               \
                found[i] = find_behind(g, bucket[i]);                                                                \
        }                                                                                                            \
    }

enum { MANY = 64 };

FIND(find_plain, , hits_plain)
#ifdef X86
FIND(find_v3, V3, hits_v3)
FIND(find_v4, V4, hits_v4)
#endif

typedef void search(const groups *g, const uint32_t *bucket, uint32_t count, uint32_t *found);

static search *nth(uint32_t n)
{
#ifdef X86
    if (__builtin_cpu_supports("x86-64-v4") && !n--)
        return find_v4;
    if (__builtin_cpu_supports("x86-64-v3") && !n--)
        return find_v3;
#endif
    return n ? NULL : find_plain;
}

bool atoll_rows_find_by(uint32_t n, const atoll_rows *rows, const uint32_t *bucket, uint32_t count, uint32_t *found)
{
    search *find = nth(n);
    if (!find)
        return false;
    if (rows->table.count == 0) {
        for (uint32_t i = 0; i < count; i++)
            found[i] = ATOLL_ROW_NONE;
        return true;
    }
    groups g = groups_of(&rows->table);
    for (uint32_t i = 0; i < count; i += MANY)
        find(&g, bucket + i, count - i < MANY ? count - i : MANY, found + i);
    return true;
}

void atoll_rows_find(const atoll_rows *rows, const uint32_t *bucket, uint32_t count, uint32_t *found)
{
    atoll_rows_find_by(0, rows, bucket, count, found);
}

/* ---- change ---- */

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
