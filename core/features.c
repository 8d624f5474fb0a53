#include "core/features.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/text.h"

enum {
    NGRAM_MIN = 3,
    NGRAM_MAX = 5,
    NGRAM_WORD_MAX = 64,          /* code points of a word whose n-grams are read */
    WORD_BEGIN = 2, WORD_END = 3, /* marks that no word contains */
    SHAPES_MAX = 256,             /* different ones of a text */
    SHAPE_RUNS_MAX = 8,           /* a piece of more is like no other: hashes, calls within calls */
    SHAPE_MARKS_MAX = 8,          /* runs of marks that are read where they stand together */
    NO_WORD = INT32_MAX
};

/* Each kind of feature hashes from a seed of its own. */
static const uint64_t seed_word = 0x8ebc6af09c88c6e3u;
static const uint64_t seed_bigram = 0x589965cc75374cc3u;
static const uint64_t seed_ngram = 0x1d8e4e27c47d124fu;
static const uint64_t seed_piece = 0x2127599bf4325c37u;
static const uint64_t seed_marks = 0x71c9a3f2d04e6b85u;

struct atoll_text_scratch {
    atoll_words words;
    atoll_term *table;
    size_t capacity;  /* elements of table */
    uint32_t *order;  /* ATOLL_FEATURES_MAX, twice: counter's order and word; NULL until it is needed */
    const atoll_array *sought; /* by the next text's buckets, or NULL */
};

/*
 * Counts terms. A table with open addressing whose home slot rises with the bucket (buckets are hashes, so they spread
 * evenly), and whose probes never wrap: the slots read in order are almost sorted. An empty slot is 0, which no term
 * is, since its tf is at least 1.
 */
typedef struct counter {
    atoll_term *table;
    uint32_t mask, shift; /* bucket = hash & mask; home slot = bucket >> shift */
    uint32_t count, most; /* distinct terms: now, and at most */
    uint32_t *order;      /* their slots as they came, or NULL where that does not matter; then */
    uint32_t *word, now;  /* which word of the text each is of, and that which is being read, or NO_WORD */
    const atoll_array *sought; /* whose elements are sent for as their terms come, or NULL */
} counter;

atoll_text_scratch *atoll_text_scratch_new(void)
{
    return calloc(1, sizeof(atoll_text_scratch));
}

void atoll_text_scratch_free(atoll_text_scratch *scratch)
{
    if (!scratch)
        return;
    atoll_words_free(&scratch->words);
    free(scratch->table);
    free(scratch->order);
    free(scratch);
}

void atoll_terms_seek(atoll_text_scratch *scratch, const atoll_array *array)
{
    scratch->sought = array;
}

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static inline uint64_t finish(uint64_t hash)
{
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ hash >> 32;
}

/* False once the counter is full: the rest of the text is not read. */
static inline bool count_term(counter *c, uint64_t hash, uint32_t kind)
{
    uint32_t bucket = (uint32_t)hash & c->mask;
    atoll_term *slot = c->table + (bucket >> c->shift);
    while (*slot && atoll_term_bucket(*slot) != bucket)
        slot++;
    if (*slot) {
        *slot += atoll_term_tf(*slot) < ATOLL_TERM_TF_MAX;
        return true;
    }
    if (c->count == c->most)
        return false;
    *slot = bucket << 8 | kind << 6 | 1;
    if (c->order) {
        c->order[c->count] = (uint32_t)(slot - c->table);
        c->word[c->count] = c->now;
    }
    c->count++;
    if (c->sought && bucket < c->sought->count)
        __builtin_prefetch(atoll_array_at(c->sought, bucket));
    return true;
}

/* Whether there is more than ASCII among the points. */
static bool is_wide(const int32_t *points, uint32_t count)
{
    int32_t bits = 0;
    for (uint32_t i = 0; i < count; i++)
        bits |= points[i];
    return bits > 127;
}

static bool count_ngrams(counter *c, const int32_t *word, uint32_t length)
{
    int32_t marked[NGRAM_WORD_MAX + 2];
    if (length > NGRAM_WORD_MAX)
        length = NGRAM_WORD_MAX;
    marked[0] = WORD_BEGIN;
    memcpy(marked + 1, word, length * sizeof *word);
    marked[length + 1] = WORD_END;
    /* Short ones of a word of one letter would tell what it tells itself. */
    bool short_ones = length > 1 && is_wide(word, length);
    for (uint32_t i = 0, end = length + 2; i + (short_ones ? 1 : NGRAM_MIN) <= end; i++) {
        /* The n-grams of one beginning share the hash of what they have in common. */
        uint64_t hash = seed_ngram;
        bool wide = false;
        for (uint32_t n = 1; n <= NGRAM_MAX && i + n <= end; n++) {
            hash = mix(hash, (uint64_t)marked[i + n - 1]);
            wide |= marked[i + n - 1] > 127;
            if ((n >= NGRAM_MIN || (short_ones && wide)) && !count_term(c, finish(hash), ATOLL_TERM_NGRAM))
                return false;
        }
    }
    return true;
}

static void count_words(counter *c, const atoll_words *words)
{
    uint64_t before = 0;
    for (uint32_t w = 0, begin = 0; w < words->count; begin = words->ends[w++]) {
        const int32_t *word = words->points + begin;
        uint32_t length = words->ends[w] - begin;
        uint64_t hash = seed_word;
        c->now = w;
        for (uint32_t i = 0; i < length; i++)
            hash = mix(hash, (uint64_t)word[i]);
        if (!count_term(c, finish(hash), ATOLL_TERM_WORD))
            return;
        if (w > 0 && !count_term(c, finish(mix(mix(seed_bigram, before), hash)), ATOLL_TERM_BIGRAM))
            return;
        if (!count_ngrams(c, word, length))
            return;
        before = hash;
    }
}

/* A piece of text between white space, as far as it was read. A run is of points of one class; of marks, of one. */
typedef struct piece {
    uint32_t class, length; /* of the run that is being read */
    int32_t point;          /* its mark, if it is of marks */
    uint64_t shape;         /* hash of the runs that ended, */
    uint32_t runs;          /* so many */
    uint64_t marks;         /* hash of those of marks that stand together now, */
    uint32_t marks_read;    /* so many, */
    uint32_t before;        /* and the class of what they follow */
    uint32_t places;        /* where marks stand */
    bool small;             /* no capital, no digit */
} piece;

static const piece no_piece = {.shape = seed_piece, .class = ATOLL_POINT_SPACE, .small = true};

/* The run that is being read ends, before a point of class `next`. */
static inline bool end_run(counter *c, piece *p, uint32_t next)
{
    /* How long a run is told to be at most: that it is one of letters, whether of capitals, how many digits. */
    static const uint8_t longest[] = {
        [ATOLL_POINT_LETTER] = 1, [ATOLL_POINT_CAPITAL] = 2, [ATOLL_POINT_DIGIT] = 8, [ATOLL_POINT_MARK] = 3};
    uint64_t length = p->length < longest[p->class] ? p->length : longest[p->class];
    uint64_t point = p->class == ATOLL_POINT_MARK ? (uint64_t)p->point : 0;
    uint64_t told = point << 8 | length << 4 | p->class;
    p->runs++;
    p->shape = mix(p->shape, told);
    if (p->class != ATOLL_POINT_MARK)
        return true;
    if (p->marks_read++ < SHAPE_MARKS_MAX)
        p->marks = mix(p->marks, told);
    return next == ATOLL_POINT_MARK ||
           count_term(c, finish(mix(p->marks, p->before << 4 | next)), ATOLL_TERM_SHAPE);
}

static inline bool count_point(counter *c, piece *p, uint32_t class, int32_t point)
{
    bool mark = class == ATOLL_POINT_MARK;
    if (class != p->class || (mark && point != p->point)) {
        uint32_t before = p->class;
        if (before != ATOLL_POINT_SPACE && !end_run(c, p, class))
            return false;
        if (class == ATOLL_POINT_SPACE) {
            bool told = (p->small && p->places <= 1) || p->runs > SHAPE_RUNS_MAX;
            uint64_t shape = p->shape;
            *p = no_piece;
            return told || count_term(c, finish(shape), ATOLL_TERM_SHAPE);
        }
        if (mark && before != ATOLL_POINT_MARK) {
            p->marks = seed_marks;
            p->places++;
            p->marks_read = 0;
            p->before = before;
        }
        p->small &= class == ATOLL_POINT_LETTER || mark;
        p->class = class;
        p->point = point;
        p->length = 0;
    }
    p->length++;
    return true;
}

static void count_shapes(counter *c, atoll_slice text)
{
    atoll_points points;
    piece p = no_piece;
    for (size_t i = 0; i < text.bytes;) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte < 128) {
            i++;
            if (!count_point(c, &p, atoll_point_ascii(byte), byte))
                return;
            continue;
        }
        i += atoll_points_read(text.data + i, text.bytes - i, &points);
        for (uint32_t j = 0; j < points.count; j++)
            if (!count_point(c, &p, points.class[j], points.point[j]))
                return;
    }
    count_point(c, &p, ATOLL_POINT_SPACE, ' ');
}

/* Moves the counted terms to the front of the table, ascending. */
static void gather(atoll_term *table, size_t slots)
{
    uint32_t count = 0;
    for (size_t i = 0; i < slots; i++) {
        atoll_term term = table[i];
        table[count] = term;
        count += term != 0;
    }
    for (uint32_t i = 1; i < count; i++) {
        atoll_term term = table[i];
        uint32_t at = i;
        for (; at > 0 && table[at - 1] > term; at--)
            table[at] = table[at - 1];
        table[at] = term;
    }
}

/* Ascending by bucket where `order` is NULL. */
static atoll_status extract(atoll_text_scratch *scratch, atoll_slice text, uint32_t buckets, uint32_t *order,
                            atoll_term *terms, uint32_t *count, atoll_error *error)
{
    const atoll_array *sought = scratch->sought;
    scratch->sought = NULL;
    *count = 0;
    atoll_status status = atoll_words_cut(&scratch->words, text, error);
    if (status != ATOLL_OK)
        return status;
    const atoll_words *words = &scratch->words;

    /* A word of length n is itself, a bigram, and n + (n - 1) + (n - 2) n-grams where these are not negative; and n +
     * n + 1 short ones where it is wide. No shape ends but where a point begins, and two where the text ends. */
    size_t shapes = text.bytes < SHAPES_MAX ? text.bytes + 1 : SHAPES_MAX;
    size_t letters = words->count ? words->ends[words->count - 1] : 0;
    size_t ngrams = is_wide(words->points, (uint32_t)letters) ? 5 : 3; /* for a letter */
    size_t most = ngrams * letters + 2 * (size_t)words->count + shapes;
    if (most > ATOLL_FEATURES_MAX)
        most = ATOLL_FEATURES_MAX;
    uint32_t slots = buckets, shift = 0;
    for (; slots / 2 >= 2 * most; slots /= 2)
        shift++;
    size_t reach = slots + most; /* the furthest slot that probing may come to */
    if (reach > scratch->capacity) {
        atoll_term *table = realloc(scratch->table, reach * sizeof *table);
        if (!table)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the terms of a text");
        scratch->table = table;
        scratch->capacity = reach;
    }
    memset(scratch->table, 0, reach * sizeof *scratch->table);

    counter c = {.table = scratch->table,
                 .mask = buckets - 1,
                 .shift = shift,
                 .most = (uint32_t)shapes,
                 .order = order,
                 .word = order ? order + ATOLL_FEATURES_MAX : NULL,
                 .now = NO_WORD,
                 .sought = sought};
    count_shapes(&c, text);
    c.most = (uint32_t)most;
    count_words(&c, words);
    if (c.count == 0)
        return atoll_fail(error, ATOLL_EMPTY_TEXT, "the text holds no letter, no digit and no mark");
    *count = c.count;
    for (uint32_t i = 0; order && i < c.count; i++)
        terms[i] = scratch->table[order[i]];
    if (order)
        return ATOLL_OK;
    gather(scratch->table, reach);
    memcpy(terms, scratch->table, c.count * sizeof *terms);
    return ATOLL_OK;
}

atoll_status atoll_terms_extract(atoll_text_scratch *scratch, atoll_slice text, uint32_t buckets, atoll_term *terms,
                                 uint32_t *count, atoll_error *error)
{
    return extract(scratch, text, buckets, NULL, terms, count, error);
}

atoll_status atoll_terms_in_order(atoll_text_scratch *scratch, atoll_slice text, uint32_t buckets, atoll_term *terms,
                                  uint32_t *count, atoll_error *error)
{
    *count = 0;
    if (!scratch->order && !(scratch->order = malloc(2 * ATOLL_FEATURES_MAX * sizeof *scratch->order)))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the terms of a text");
    return extract(scratch, text, buckets, scratch->order, terms, count, error);
}

size_t atoll_terms_word(const atoll_text_scratch *scratch, uint32_t i, char *out, size_t most)
{
    uint32_t word = scratch->order[ATOLL_FEATURES_MAX + i];
    return word == NO_WORD ? 0 : atoll_words_utf8(&scratch->words, word, out, most);
}

uint32_t atoll_terms_words(const atoll_term *terms, uint32_t count, uint8_t *word)
{
    uint32_t words = count > 0;
    for (uint32_t i = 0; i < count; i++) {
        /* A word brings itself, or at least a bigram, before n-grams: what does not rise begins another, but for the
         * first, which shapes come before. */
        uint32_t kind = atoll_term_kind(terms[i]);
        uint32_t before = i ? atoll_term_kind(terms[i - 1]) : ATOLL_TERM_SHAPE;
        bool begins = kind < ATOLL_TERM_NGRAM && kind <= before && before != ATOLL_TERM_SHAPE;
        words += begins && words < ATOLL_TOKENS_MAX;
        word[i] = (uint8_t)(words - 1);
    }
    return words;
}

/* ---- projection ---- */

static inline uint64_t begin_signs(uint64_t seed, uint32_t bucket)
{
    return mix(seed ^ 0x2545f4914f6cdd1du, bucket);
}

/* The next four nonzeros, 16 bits each. */
static inline uint64_t next_signs(uint64_t *hash, uint32_t block)
{
    return finish(*hash = mix(*hash, block + 1));
}

#ifdef __x86_64__
/*
 * Where a stretch is a vector all of `out` is held in registers. Five bits tell a place in it and a sign: they choose
 * the vector that has 1 or -1 there and zeros elsewhere, whose product with the weight is added. The same bits come
 * out.
 */
enum { STRETCH = 16 };

typedef float stretch __attribute__((vector_size(4 * STRETCH), aligned(4), may_alias));

__attribute__((target("arch=x86-64-v4"))) static void project_stretches(const uint32_t *buckets, const float *weights,
                                                                        uint32_t count, uint64_t seed, float *out)
{
    stretch sum[ATOLL_PROJECTION_NONZEROS], unit[2 * STRETCH];
    for (int i = 0; i < 2 * STRETCH; i++)
        for (int lane = 0; lane < STRETCH; lane++)
            unit[i][lane] = lane != i % STRETCH ? 0 : i < STRETCH ? 1 : -1;
    memcpy(sum, out, sizeof sum);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = begin_signs(seed, buckets[i]);
#pragma GCC unroll 4
        for (uint32_t block = 0; block < ATOLL_PROJECTION_NONZEROS; block += 4) {
            uint64_t bits = next_signs(&hash, block);
#pragma GCC unroll 4
            for (uint32_t j = 0; j < 4; j++)
                sum[block + j] += weights[i] * unit[bits >> (16 * j + 11) & (2 * STRETCH - 1)];
        }
    }
    memcpy(out, sum, sizeof sum);
}
#endif

/*
 * Each of a bucket's nonzeros falls into a stretch of its own of the coordinates (the block form of Kane and Nelson),
 * so that no two meet where 16 divides dim. One needs 15 bits for its place in the stretch and one for its sign.
 */
void atoll_project_sparse(const uint32_t *buckets, const float *weights, uint32_t count, uint64_t seed, float *out,
                          uint32_t dim)
{
    _Static_assert(ATOLL_PROJECTION_NONZEROS == 16, "four mixes of four nonzeros each");
#ifdef __x86_64__
    if (dim == ATOLL_PROJECTION_NONZEROS * STRETCH && __builtin_cpu_supports("x86-64-v4")) {
        project_stretches(buckets, weights, count, seed, out);
        return;
    }
#endif
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = begin_signs(seed, buckets[i]);
        float signs[2] = {weights[i], -weights[i]};
        for (uint32_t block = 0; block < ATOLL_PROJECTION_NONZEROS; block += 4) {
            uint64_t bits = next_signs(&hash, block);
            for (uint32_t j = 0; j < 4; j++, bits >>= 16) {
                uint32_t place = (block + j) << 15 | ((uint32_t)bits & 0x7fff);
                out[place * dim >> 19] += signs[bits >> 15 & 1];
            }
        }
    }
}
