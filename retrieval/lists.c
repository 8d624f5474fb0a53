#include "retrieval/lists.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/large.h"
#include "retrieval/lists_inside.h"
#include "retrieval/scan.h"

enum {
    CENTRES = ATOLL_LISTS_CENTRES,
    TOPS_PART = 4,    /* lists of this part of the centres' centres are looked at, */
    TOPS_LEAST = 8,   /* of so many at least */
    TOPS_MOST = 256,  /* and at most: which is enough for a million lists */
    DOTS = 64,        /* centres compared at a time */
    CODES_MAX = ATOLL_EMBEDDING_MAX_DIM / 4,
    BIAS_MAX = 16383, /* what a list's centre may add to a sum */
    BIN_SUMS = 8,     /* sums that are not told apart when the best are chosen */
    BINS = (ATOLL_SCAN_SUM + BIAS_MAX) / BIN_SUMS + 1,
    HELD = 2 * ATOLL_LISTS_WANT_MAX, /* candidates, before those that are no longer wanted are dropped */
    PIECE = 1 << 17,  /* bytes of blocks that are taken at a time */
    CACHED = 192,     /* pieces, 24 MB: with 14 MB .9 of the time without, with 36 MB 1.35 */
    AHEAD = 3         /* blocks that are sent for before they are read */
};

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for lists");
}

/* About 2 dimensions a code up to 128, 4 up to 256, then at most 128 codes where a divisor of `dim` allows it. */
static uint32_t codes_for(uint32_t dim)
{
    uint32_t most = dim <= 128 ? dim / 2 : dim <= 256 ? dim / 4 : 128;
    for (uint32_t codes = most; codes >= most / 2; codes--)
        if (dim % codes == 0 && codes % 2 == 0)
            return codes;
    return dim / 4;
}

atoll_status atoll_lists_new(uint32_t dim, uint32_t lists, uint32_t tops, atoll_lists **out, atoll_error *error)
{
    atoll_lists *l = calloc(1, sizeof *l);
    *out = NULL;
    if (!l)
        return no_memory(error);
    l->dim = dim;
    l->lists = lists;
    l->tops = tops;
    l->codes = codes_for(dim);
    l->part = dim / l->codes;
    l->block_bytes = ATOLL_SCAN_BLOCK * (l->codes / 2 + (uint32_t)sizeof(uint32_t));
    l->piece_blocks = PIECE / l->block_bytes;
    l->first = calloc(tops + (size_t)1, sizeof *l->first);
    l->top = calloc((size_t)tops * dim, sizeof *l->top);
    l->centre = calloc((size_t)lists * dim, sizeof *l->centre);
    l->book = calloc((size_t)dim * CENTRES, sizeof *l->book);
    l->list = malloc(lists * sizeof *l->list);
    if (!l->first || !l->top || !l->centre || !l->book || !l->list) {
        atoll_lists_free(l);
        return no_memory(error);
    }
    for (uint32_t i = 0; i < lists; i++)
        l->list[i] = (atoll_list){ATOLL_LISTS_NONE, ATOLL_LISTS_NONE, 0};
    *out = l;
    return ATOLL_OK;
}

void atoll_lists_free(atoll_lists *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->pieces; i += atoll_large_together(PIECE, i))
        free(l->piece[i]);
    free(l->piece);
    free(l->next);
    free(l->list);
    free(l->first);
    free(l->top);
    free(l->centre);
    free(l->book);
    free(l);
}

uint32_t atoll_lists_dim(const atoll_lists *lists)
{
    return lists->dim;
}

uint32_t atoll_lists_many(const atoll_lists *lists)
{
    return lists->lists;
}

uint32_t atoll_lists_count(const atoll_lists *lists)
{
    return lists->count;
}

uint64_t atoll_lists_bytes(const atoll_lists *l)
{
    return (uint64_t)l->pieces * (PIECE + sizeof *l->piece) + l->room * sizeof *l->next + l->lists * sizeof *l->list;
}

/* --- blocks --- */

static uint8_t *block_at(const atoll_lists *l, uint32_t block)
{
    return l->piece[block / l->piece_blocks] + (size_t)(block % l->piece_blocks) * l->block_bytes;
}

static uint32_t *positions_of(const atoll_lists *l, uint8_t *block)
{
    return (uint32_t *)(void *)(block + (size_t)ATOLL_SCAN_BLOCK * (l->codes / 2));
}

static atoll_status add_pieces(atoll_lists *l, atoll_error *error)
{
    uint32_t many = atoll_large_together(PIECE, l->pieces);
    uint8_t **piece = realloc(l->piece, (l->pieces + (size_t)many) * sizeof *piece), *memory;
    if (!piece)
        return no_memory(error);
    l->piece = piece;
    if (!(memory = atoll_large_piece(PIECE, l->pieces)))
        return no_memory(error);
    for (uint32_t i = 0; i < many; i++)
        l->piece[l->pieces++] = memory + (size_t)i * PIECE;
    return ATOLL_OK;
}

/* A block for the end of the list. What it holds yet is read, but means nothing. */
static atoll_status add_block(atoll_lists *l, atoll_list *list, atoll_error *error)
{
    uint32_t block = l->blocks;
    if (block == l->room) {
        uint32_t room = l->room + l->room / 2 + l->piece_blocks;
        uint32_t *next = realloc(l->next, room * sizeof *next);
        if (!next)
            return no_memory(error);
        l->next = next;
        l->room = room;
    }
    atoll_status status = block / l->piece_blocks == l->pieces ? add_pieces(l, error) : ATOLL_OK;
    if (status != ATOLL_OK)
        return status;
    memset(block_at(l, block), 0, l->block_bytes);
    l->next[block] = ATOLL_LISTS_NONE;
    if (list->tail == ATOLL_LISTS_NONE)
        list->head = block;
    else
        l->next[list->tail] = block;
    list->tail = block;
    l->blocks++;
    return ATOLL_OK;
}

atoll_status atoll_lists_copy(const atoll_lists *from, atoll_lists **out, atoll_error *error)
{
    atoll_lists *l;
    *out = NULL;
    atoll_status status = atoll_lists_new(from->dim, from->lists, from->tops, &l, error);
    if (status != ATOLL_OK)
        return status;
    memcpy(l->first, from->first, (l->tops + (size_t)1) * sizeof *l->first);
    memcpy(l->top, from->top, (size_t)l->tops * l->dim * sizeof *l->top);
    memcpy(l->centre, from->centre, (size_t)l->lists * l->dim * sizeof *l->centre);
    memcpy(l->book, from->book, (size_t)l->dim * CENTRES * sizeof *l->book);
    memcpy(l->list, from->list, l->lists * sizeof *l->list);
    l->count = from->count;
    l->room = l->blocks = from->blocks;
    l->next = malloc((l->room + (size_t)1) * sizeof *l->next);
    status = l->next ? ATOLL_OK : no_memory(error);
    while (l->pieces < from->pieces && status == ATOLL_OK)
        status = add_pieces(l, error);
    for (uint32_t i = 0; i < l->blocks && status == ATOLL_OK; i++)
        memcpy(block_at(l, i), block_at(from, i), l->block_bytes);
    if (status != ATOLL_OK) {
        atoll_lists_free(l);
        return status;
    }
    if (l->blocks)
        memcpy(l->next, from->next, l->blocks * sizeof *l->next);
    *out = l;
    return ATOLL_OK;
}

/* --- finding lists --- */

/* Keeps the best `want` in order; of equal ones the first that came. */
static uint32_t keep(atoll_list_near *near, uint32_t count, uint32_t want, float score, uint32_t list)
{
    uint32_t at = count;
    while (at && near[at - 1].score < score)
        at--;
    if (at == want)
        return count;
    count += count < want;
    memmove(&near[at + 1], &near[at], (count - 1 - at) * sizeof *near);
    near[at] = (atoll_list_near){score, list};
    return count;
}

static uint32_t compare(const atoll_lists *l, const uint16_t *centre, uint32_t from, uint32_t to, const float *query,
                        uint32_t want, atoll_list_near *near, uint32_t held)
{
    float dot[DOTS];
    for (uint32_t at = from; at < to; at += DOTS) {
        uint32_t many = to - at < DOTS ? to - at : DOTS;
        atoll_half_dots(centre + (size_t)at * l->dim, many, query, 1, l->dim, dot);
        for (uint32_t i = 0; i < many; i++)
            if (held < want || dot[i] > near[held - 1].score)
                held = keep(near, held, want, dot[i], at + i);
    }
    return held;
}

uint32_t atoll_lists_nearest(const atoll_lists *l, const float *query, uint32_t want, atoll_list_near *near)
{
    atoll_list_near top[TOPS_MOST];
    uint32_t held = 0, tops = l->tops / TOPS_PART;
    tops = tops < TOPS_LEAST ? TOPS_LEAST : tops < TOPS_MOST ? tops : TOPS_MOST;
    tops = compare(l, l->top, 0, l->tops, query, tops, top, 0);
    for (uint32_t t = 0; t < tops; t++)
        held = compare(l, l->centre, l->first[top[t].list], l->first[top[t].list + 1], query, want, near, held);
    return held;
}

/* --- adding --- */

/* The nearest of a code's centres. */
static uint8_t code_of(const atoll_lists *l, uint32_t m, const float *rest)
{
    const float *book = l->book + (size_t)m * l->part * CENTRES;
    float far[CENTRES] = {0};
    for (uint32_t k = 0; k < l->part; k++)
        for (uint32_t j = 0; j < CENTRES; j++) {
            float off = rest[m * l->part + k] - book[k * CENTRES + j];
            far[j] += off * off;
        }
    uint8_t best = 0;
    for (uint8_t j = 1; j < CENTRES; j++)
        if (far[j] < far[best])
            best = j;
    return best;
}

atoll_status atoll_lists_add(atoll_lists *l, const float *vector, atoll_error *error)
{
    float rest[ATOLL_EMBEDDING_MAX_DIM];
    atoll_list_near near;
    atoll_lists_nearest(l, vector, 1, &near);
    atoll_list *list = &l->list[near.list];
    uint32_t at = list->count % ATOLL_SCAN_BLOCK;
    atoll_status status = at ? ATOLL_OK : add_block(l, list, error);
    if (status != ATOLL_OK)
        return status;
    uint8_t *block = block_at(l, list->tail);
    atoll_lists_rest(l, vector, near.list, rest);
    for (uint32_t m = 0; m < l->codes; m += 2)
        block[m / 2 * ATOLL_SCAN_BLOCK + at] = (uint8_t)(code_of(l, m, rest) | code_of(l, m + 1, rest) << 4);
    positions_of(l, block)[at] = l->count++;
    list->count++;
    return ATOLL_OK;
}

/* --- searching --- */

/* What the codes of any list add to a query's product with its centre, in steps: entries and steps are the query's. */
typedef struct tables {
    _Alignas(16) uint8_t entry[CODES_MAX * CENTRES];
    float step;
} tables;

static void make_tables(const atoll_lists *l, const float *query, tables *t)
{
    float product[CODES_MAX * CENTRES], least[CODES_MAX], widest = 0;
    uint32_t most = ATOLL_SCAN_SUM / l->codes < ATOLL_SCAN_ENTRY ? ATOLL_SCAN_SUM / l->codes : ATOLL_SCAN_ENTRY;
    for (uint32_t m = 0; m < l->codes; m++) {
        float *to = product + (size_t)m * CENTRES, low, high;
        for (uint32_t j = 0; j < CENTRES; j++)
            to[j] = 0;
        for (uint32_t k = 0; k < l->part; k++)
            for (uint32_t j = 0; j < CENTRES; j++)
                to[j] += query[m * l->part + k] * l->book[((size_t)m * l->part + k) * CENTRES + j];
        low = high = to[0];
        for (uint32_t j = 1; j < CENTRES; j++) {
            low = to[j] < low ? to[j] : low;
            high = to[j] > high ? to[j] : high;
        }
        least[m] = low;
        widest = high - low > widest ? high - low : widest;
    }
    t->step = widest > 0 ? widest / (float)most : 1;
    float steps = 1 / t->step;
    for (uint32_t m = 0; m < l->codes; m++)
        for (uint32_t j = 0; j < CENTRES; j++)
            t->entry[m * CENTRES + j] = (uint8_t)((product[m * CENTRES + j] - least[m]) * steps + 0.5f);
}

/* The best so far: how many sums fell into each bin from `low` on, below which none are wanted any more. */
typedef struct best {
    uint32_t want, count, low, kept; /* `kept` is what is in the bins from `low` on */
    uint32_t position[HELD];
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
        b->position[b->count] = b->position[i];
        b->sum[b->count++] = b->sum[i];
    }
}

static void take(best *b, int16_t sum, uint32_t position)
{
    uint32_t bin = (uint32_t)sum / BIN_SUMS;
    if (bin < b->low)
        return;
    if (b->count == HELD)
        drop_rest(b);
    b->sum[b->count] = sum;
    b->position[b->count++] = position;
    b->bin[bin]++;
    for (b->kept++; b->kept - b->bin[b->low] >= b->want; b->low++)
        b->kept -= b->bin[b->low];
}

/* Goes through the blocks of the lists that a search reads. */
typedef struct walk {
    const atoll_list_near *near;
    uint32_t probes, probe, block;
} walk;

static bool walk_on(const atoll_lists *l, walk *w)
{
    if (w->block != ATOLL_LISTS_NONE)
        w->block = l->next[w->block];
    while (w->block == ATOLL_LISTS_NONE && ++w->probe < w->probes)
        w->block = l->list[w->near[w->probe].list].head;
    return w->block != ATOLL_LISTS_NONE;
}

/* Sends for the next block, if there is one. Those of one list lie in a row, which the processor sees by itself, and
 * faster as long as its caches hold them. */
static void prefetch(const atoll_lists *l, walk *ahead)
{
    enum { LINE = 64 };
    if ((l->lists == 1 && l->pieces < CACHED) || ahead->probe == ahead->probes || !walk_on(l, ahead))
        return;
    const uint8_t *block = block_at(l, ahead->block);
    for (uint32_t at = 0; at < l->block_bytes; at += LINE)
        __builtin_prefetch(block + at);
}

/* The vectors of a block that exist, as bits. */
static uint64_t filled(const atoll_list *list, uint32_t block)
{
    uint32_t last = list->count % ATOLL_SCAN_BLOCK;
    return block == list->tail && last ? (UINT64_C(1) << last) - 1 : UINT64_MAX;
}

uint32_t atoll_lists_search(const atoll_lists *l, const float *query, uint32_t probes, uint32_t want,
                            uint32_t *position)
{
    atoll_list_near near[ATOLL_LISTS_PROBES_MAX];
    int16_t sum[ATOLL_SCAN_BLOCK];
    best b;
    tables t;
    atoll_scan *scan = atoll_scan_best();
    assert(probes && probes <= ATOLL_LISTS_PROBES_MAX && want && want <= ATOLL_LISTS_WANT_MAX);
    b.want = want;
    b.count = b.low = b.kept = 0;
    memset(b.bin, 0, sizeof b.bin);
    probes = atoll_lists_nearest(l, query, probes, near);
    make_tables(l, query, &t);
    walk at = {near, probes, UINT32_MAX, ATOLL_LISTS_NONE}, ahead = at;
    for (uint32_t i = 0; i < AHEAD; i++)
        prefetch(l, &ahead);
    while (walk_on(l, &at)) {
        prefetch(l, &ahead);
        float over = (near[at.probe].score - near[probes - 1].score) / t.step + 0.5f;
        int32_t bias = over < BIAS_MAX ? (int32_t)over : BIAS_MAX, least = (int32_t)b.low * BIN_SUMS - bias;
        uint8_t *block = block_at(l, at.block);
        least = least < 0 ? 0 : least > ATOLL_SCAN_SUM ? ATOLL_SCAN_SUM + 1 : least;
        uint64_t enough = scan(block, t.entry, l->codes / 2, (int16_t)least, sum);
        for (enough &= filled(&l->list[near[at.probe].list], at.block); enough; enough &= enough - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(enough);
            take(&b, (int16_t)(sum[i] + bias), positions_of(l, block)[i]);
        }
    }
    drop_rest(&b);
    memcpy(position, b.position, b.count * sizeof *position);
    return b.count;
}
