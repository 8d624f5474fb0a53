#include "retrieval/candidates.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum {
    CENTRES = ATOLL_CANDIDATES_CENTRES,
    CODES_MAX = ATOLL_CANDIDATES_CODES_MAX,
    BIAS_MAX = 16383, /* what a list's centre may add to a sum */
    BIN_SUMS = 8,     /* sums that are not told apart when the best are chosen */
    BINS = (ATOLL_SCAN_SUM + BIAS_MAX) / BIN_SUMS + 1,
    HELD = 2 * ATOLL_CANDIDATES_MAX, /* before those that are no longer wanted are dropped */
    CACHED = 192,     /* pieces, 24 MB, of one list: sent for, 14 MB take 1.1 times as long, 36 MB .75 */
    AHEAD = 3,        /* blocks that are sent for before they are read */
    TILE = 16         /* blocks that stay in a near cache while several queries read them */
};

/* What the codes of any list add to a query's product with its centre, in steps: entries and steps are the query's. */
typedef struct tables {
    uint8_t *entry;    /* codes x CENTRES, aligned to 16 */
    float step, least; /* what a step is worth, and a sum of 0 */
} tables;

static void make_tables(const float *product, uint32_t codes, uint8_t *entry, tables *t)
{
    float least[CODES_MAX], widest = 0;
    t->entry = entry;
    uint32_t most = ATOLL_SCAN_SUM / codes < ATOLL_SCAN_ENTRY ? ATOLL_SCAN_SUM / codes : ATOLL_SCAN_ENTRY;
    t->least = 0;
    for (uint32_t m = 0; m < codes; m++) {
        const float *of = product + (size_t)m * CENTRES;
        float low = of[0], high = of[0];
        for (uint32_t j = 1; j < CENTRES; j++) {
            low = of[j] < low ? of[j] : low;
            high = of[j] > high ? of[j] : high;
        }
        least[m] = low;
        t->least += low;
        widest = high - low > widest ? high - low : widest;
    }
    t->step = widest > 0 ? widest / (float)most : 1;
    float steps = 1 / t->step;
    for (uint32_t m = 0; m < codes; m++)
        for (uint32_t j = 0; j < CENTRES; j++)
            entry[m * CENTRES + j] = (uint8_t)((product[m * CENTRES + j] - least[m]) * steps + 0.5f);
}

/* The best so far: how many sums fell into each bin from `low` on, below which none are wanted any more. */
typedef struct best {
    uint32_t want, count, low, kept; /* `kept` is what is in the bins from `low` on */
    uint32_t number[HELD];
    int16_t sum[HELD];
    uint16_t bin[BINS];
} best;

/* Keeps what is wanted: all above the lowest bin, and of that the first that came. */
static void drop_rest(best *b)
{
    uint32_t above = b->kept - b->bin[b->low], lowest = b->kept < b->want ? b->bin[b->low] : b->want - above;
    uint32_t count = b->count;
    b->bin[b->low] = (uint16_t)lowest;
    b->kept = above + lowest;
    b->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bin = (uint32_t)b->sum[i] / BIN_SUMS;
        if (bin < b->low || (bin == b->low && !lowest))
            continue;
        lowest -= bin == b->low;
        b->number[b->count] = b->number[i];
        b->sum[b->count++] = b->sum[i];
    }
}

static void take(best *b, int16_t sum, uint32_t number)
{
    uint32_t bin = (uint32_t)sum / BIN_SUMS;
    if (bin < b->low)
        return;
    if (b->count == HELD)
        drop_rest(b);
    b->sum[b->count] = sum;
    b->number[b->count++] = number;
    b->bin[bin]++;
    for (b->kept++; b->kept - b->bin[b->low] >= b->want; b->low++)
        b->kept -= b->bin[b->low];
}

/* Goes through the blocks of the lists that a search reads. */
typedef struct walk {
    const int64_t *list;
    uint32_t lists, at, block;
} walk;

static bool walk_on(const atoll_blocks *blocks, walk *w)
{
    if (w->block != ATOLL_BLOCKS_NONE)
        w->block = blocks->next[w->block];
    while (w->block == ATOLL_BLOCKS_NONE && ++w->at < w->lists)
        w->block = blocks->list[w->list[w->at]].head;
    return w->block != ATOLL_BLOCKS_NONE;
}

/* Sends for the next block, if there is one. Those of one list lie in a row, which the processor sees by itself, and
 * faster as long as its caches hold them. */
static void prefetch(const atoll_blocks *blocks, walk *ahead)
{
    enum { LINE = 64 };
    if ((blocks->lists == 1 && blocks->pieces < CACHED) || ahead->at == ahead->lists || !walk_on(blocks, ahead))
        return;
    const uint8_t *block = atoll_blocks_at(blocks, ahead->block);
    for (uint32_t at = 0; at < blocks->block_bytes; at += LINE)
        __builtin_prefetch(block + at);
}

/* The vectors of a block that exist, as bits. */
static uint64_t filled(const atoll_block_list *list, uint32_t block)
{
    uint32_t last = list->count % ATOLL_SCAN_BLOCK;
    return block == list->tail && last ? (UINT64_C(1) << last) - 1 : UINT64_MAX;
}

static void begin(best *b, uint32_t want)
{
    b->want = want;
    b->count = b->low = b->kept = 0;
    memset(b->bin, 0, sizeof b->bin);
}

/* Offers what a block of a list holds, to whose sums `bias` is added. */
static void read_block(const atoll_blocks *blocks, atoll_scan *scan, uint32_t list, uint32_t number, const tables *t,
                       int32_t bias, best *b)
{
    int16_t sum[ATOLL_SCAN_BLOCK];
    const uint8_t *block = atoll_blocks_at(blocks, number);
    int32_t least = (int32_t)b->low * BIN_SUMS - bias;
    least = least < 0 ? 0 : least > ATOLL_SCAN_SUM ? ATOLL_SCAN_SUM + 1 : least;
    uint64_t enough = scan(block, t->entry, blocks->pairs, (int16_t)least, sum);
    for (enough &= filled(&blocks->list[list], number); enough; enough &= enough - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(enough);
        take(b, (int16_t)(sum[i] + bias), atoll_blocks_numbers_of(blocks, block)[i]);
    }
}

/* Tells the best; `base` is what a sum of 0 is worth. */
static uint32_t end(best *b, const tables *t, float base, int64_t *number, float *about)
{
    drop_rest(b);
    for (uint32_t i = 0; i < b->count; i++) {
        number[i] = b->number[i];
        about[i] = base + t->least + t->step * (float)b->sum[i];
    }
    return b->count;
}

uint32_t atoll_candidates_find(const atoll_blocks *blocks, const float *product, uint32_t lists, const int64_t *list,
                               const float *score, uint32_t want, int64_t *number, float *about)
{
    _Alignas(16) uint8_t entry[CODES_MAX * CENTRES];
    best b;
    tables t;
    atoll_scan *scan = atoll_scan_best();
    assert(2 * blocks->pairs <= CODES_MAX && want && want <= ATOLL_CANDIDATES_MAX);
    if (!lists)
        return 0;
    begin(&b, want);
    make_tables(product, 2 * blocks->pairs, entry, &t);
    float lowest = score[lists - 1];
    walk at = {list, lists, UINT32_MAX, ATOLL_BLOCKS_NONE}, ahead = at;
    for (uint32_t i = 0; i < AHEAD; i++)
        prefetch(blocks, &ahead);
    while (walk_on(blocks, &at)) {
        prefetch(blocks, &ahead);
        float over = (score[at.at] - lowest) / t.step + 0.5f;
        int32_t bias = over < BIAS_MAX ? (int32_t)over : BIAS_MAX;
        read_block(blocks, scan, (uint32_t)list[at.at], at.block, &t, bias, &b);
    }
    return end(&b, &t, lowest, number, about);
}

void atoll_candidates_find_all(const atoll_blocks *blocks, const float *product, uint32_t queries, const float *score,
                               uint32_t want, int64_t *number, float *about, uint32_t *found)
{
    _Alignas(16) uint8_t entry[CODES_MAX * CENTRES];
    best b[ATOLL_CANDIDATES_TOGETHER];
    tables t[ATOLL_CANDIDATES_TOGETHER];
    uint32_t codes = 2 * blocks->pairs, block[TILE];
    atoll_scan *scan = atoll_scan_best();
    assert(blocks->lists == 1 && queries <= ATOLL_CANDIDATES_TOGETHER && queries * codes <= CODES_MAX);
    assert(want && want <= ATOLL_CANDIDATES_MAX);
    for (uint32_t q = 0; q < queries; q++) {
        size_t tables_of = (size_t)q * codes * CENTRES;
        begin(&b[q], want);
        make_tables(product + tables_of, codes, entry + tables_of, &t[q]);
    }
    walk at = {&(int64_t){0}, 1, UINT32_MAX, ATOLL_BLOCKS_NONE}, ahead = at;
    for (uint32_t tile = TILE; tile == TILE;) {
        for (tile = 0; tile < TILE && walk_on(blocks, &at); tile++) {
            prefetch(blocks, &ahead);
            block[tile] = at.block;
        }
        for (uint32_t q = 0; q < queries; q++)
            for (uint32_t i = 0; i < tile; i++)
                read_block(blocks, scan, 0, block[i], &t[q], 0, &b[q]);
    }
    for (uint32_t q = 0; q < queries; q++, number += want, about += want)
        found[q] = end(&b[q], &t[q], score[q], number, about);
}
