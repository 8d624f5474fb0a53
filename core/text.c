#include "core/text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/limits.h"

static const utf8proc_option_t normal_form =
    (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);

/* As points of shapes: without folding of case. */
static const utf8proc_option_t apart =
    (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_IGNORE);

enum { MARKS_MAX = 30 };

#define SAME(c) [c] = c
#define DOWN(c) [c] = (c) + 32

/* A word character of ASCII in lower case; 0 for the others. */
static const uint8_t ascii_word[128] = {
    SAME('0'), SAME('1'), SAME('2'), SAME('3'), SAME('4'), SAME('5'), SAME('6'), SAME('7'), SAME('8'), SAME('9'),
    SAME('a'), SAME('b'), SAME('c'), SAME('d'), SAME('e'), SAME('f'), SAME('g'), SAME('h'), SAME('i'), SAME('j'),
    SAME('k'), SAME('l'), SAME('m'), SAME('n'), SAME('o'), SAME('p'), SAME('q'), SAME('r'), SAME('s'), SAME('t'),
    SAME('u'), SAME('v'), SAME('w'), SAME('x'), SAME('y'), SAME('z'),
    DOWN('A'), DOWN('B'), DOWN('C'), DOWN('D'), DOWN('E'), DOWN('F'), DOWN('G'), DOWN('H'), DOWN('I'), DOWN('J'),
    DOWN('K'), DOWN('L'), DOWN('M'), DOWN('N'), DOWN('O'), DOWN('P'), DOWN('Q'), DOWN('R'), DOWN('S'), DOWN('T'),
    DOWN('U'), DOWN('V'), DOWN('W'), DOWN('X'), DOWN('Y'), DOWN('Z'),
};

/* The number of leading bytes, in steps of eight, that are ASCII. */
static size_t ascii_run(const char *data, size_t bytes)
{
    size_t i = 0;
    for (uint64_t eight; i + 8 <= bytes; i += 8) {
        memcpy(&eight, data + i, 8);
        if (eight & 0x8080808080808080u)
            break;
    }
    return i;
}

static bool is_ascii(const char *data, size_t bytes)
{
    size_t i = ascii_run(data, bytes);
    while (i < bytes && !(data[i] & 0x80))
        i++;
    return i == bytes;
}

bool atoll_utf8_valid(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        i += ascii_run(data + i, bytes - i);
        if (i == bytes)
            break;
        utf8proc_int32_t point;
        utf8proc_ssize_t used = utf8proc_iterate((const uint8_t *)data + i, (utf8proc_ssize_t)(bytes - i), &point);
        if (used <= 0)
            return false;
        i += (size_t)used;
    }
    return true;
}

size_t atoll_utf8_clip(const char *data, size_t bytes, size_t most)
{
    if (bytes <= most)
        return bytes;
    while (most > 0 && (data[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static bool reserve_points(atoll_words *words, size_t capacity)
{
    if (capacity <= words->points_capacity)
        return true;
    capacity = capacity < 1024 ? 1024 : capacity + capacity / 2;
    int32_t *points = realloc(words->points, capacity * sizeof *points);
    if (!points)
        return false;
    words->points = points;
    words->points_capacity = capacity;
    return true;
}

static bool reserve_ends(atoll_words *words, size_t capacity)
{
    if (capacity <= words->ends_capacity)
        return true;
    capacity = capacity < 512 ? 512 : capacity + capacity / 2;
    uint32_t *ends = realloc(words->ends, capacity * sizeof *ends);
    if (!ends)
        return false;
    words->ends = ends;
    words->ends_capacity = capacity;
    return true;
}

static void cut_ascii(atoll_words *words, atoll_slice text)
{
    uint32_t used = 0, begin = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = ascii_word[text.data[i] & 0x7f];
        if (c) {
            words->points[used++] = c;
        } else if (used > begin) {
            words->ends[words->count++] = begin = used;
        }
    }
    if (used > begin)
        words->ends[words->count++] = used;
}

static int combining_class(int32_t point)
{
    return utf8proc_get_property(point)->combining_class;
}

/* Normalises `text` into words->points. */
static atoll_status normalise(atoll_words *words, atoll_slice text, size_t *count, atoll_error *error)
{
    size_t n = 0, marks = 0; /* marks: the length of the run of combining marks that ends at n */
    for (size_t i = 0; i < text.bytes;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t used = utf8proc_iterate((const uint8_t *)text.data + i,
                                                 (utf8proc_ssize_t)(text.bytes - i), &point);
        if (used <= 0)
            return atoll_fail(error, ATOLL_INVALID_UTF8, "not UTF-8 at byte %zu of the text", i);
        i += (size_t)used;
        if (!reserve_points(words, n + ATOLL_POINTS_MAX))
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the words of a text");
        int boundary = 0;
        int32_t *points = words->points;
        utf8proc_ssize_t got = utf8proc_decompose_char(point, points + n, ATOLL_POINTS_MAX, normal_form, &boundary);
        if (got < 0 || got > ATOLL_POINTS_MAX)
            return atoll_fail(error, ATOLL_INTERNAL, "U+%04X cannot be normalised", (unsigned)point);
        for (size_t from = n, end = n + (size_t)got; from < end; from++) {
            int32_t next = points[from];
            int class = combining_class(next);
            if (class == 0) {
                marks = 0;
                points[n++] = next;
            } else if (marks < MARKS_MAX) {
                /* Canonical order: insertion into the run, behind marks of the same class. */
                size_t at = n++;
                for (size_t left = marks++; left > 0 && combining_class(points[at - 1]) > class; left--, at--)
                    points[at] = points[at - 1];
                points[at] = next;
            }
        }
    }
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(words->points, (utf8proc_ssize_t)n, normal_form);
    if (composed < 0)
        return atoll_fail(error, ATOLL_INTERNAL, "the text cannot be composed");
    *count = (size_t)composed;
    return ATOLL_OK;
}

static bool is_ideograph(int32_t point)
{
    return (point >= 0x3400 && point <= 0x4dbf) || (point >= 0x4e00 && point <= 0x9fff) ||
           (point >= 0xf900 && point <= 0xfaff) || (point >= 0x20000 && point <= 0x3ffff) || point == 0x3007;
}

/* Cuts the first `count` of words->points, moving the words together. */
static void cut_points(atoll_words *words, size_t count)
{
    int32_t *points = words->points;
    uint32_t used = 0, begin = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t point = points[i];
        utf8proc_category_t category = utf8proc_category(point);
        bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
        bool inside = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
        bool alone = inside && is_ideograph(point);
        if ((!inside || alone) && used > begin)
            words->ends[words->count++] = begin = used;
        if (alone) {
            points[used++] = point;
            words->ends[words->count++] = begin = used;
        } else if (inside && (!mark || used > begin)) {
            points[used++] = point;
        }
    }
    if (used > begin)
        words->ends[words->count++] = used;
}

atoll_status atoll_words_cut(atoll_words *words, atoll_slice text, atoll_error *error)
{
    words->count = 0;
    if (text.bytes > ATOLL_TEXT_MAX_BYTES)
        return atoll_fail(error, ATOLL_TEXT_TOO_LONG, "a text of %zu bytes is over the limit of %d", text.bytes,
                          ATOLL_TEXT_MAX_BYTES);
    bool ascii = is_ascii(text.data, text.bytes);
    size_t count = text.bytes;
    if (!ascii) {
        atoll_status status = normalise(words, text, &count, error);
        if (status != ATOLL_OK)
            return status;
    }
    if (!reserve_points(words, count) || !reserve_ends(words, count))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the words of a text");
    if (ascii)
        cut_ascii(words, text);
    else
        cut_points(words, count);
    return ATOLL_OK;
}

static uint8_t class_of(utf8proc_category_t category)
{
    if (category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT)
        return ATOLL_POINT_CAPITAL;
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return ATOLL_POINT_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return ATOLL_POINT_DIGIT;
    bool space = category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_CF;
    return space ? ATOLL_POINT_SPACE : ATOLL_POINT_MARK;
}

size_t atoll_points_read(const char *data, size_t bytes, atoll_points *out)
{
    utf8proc_int32_t point;
    utf8proc_ssize_t used = utf8proc_iterate((const uint8_t *)data, (utf8proc_ssize_t)bytes, &point);
    int boundary = 0;
    out->count = 0;
    if (used <= 0)
        return 1;
    utf8proc_ssize_t got = utf8proc_decompose_char(point, out->point, ATOLL_POINTS_MAX, apart, &boundary);
    for (utf8proc_ssize_t i = 0; i < got && got <= ATOLL_POINTS_MAX; i++) {
        utf8proc_category_t category = utf8proc_category(out->point[i]);
        if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME)
            continue;
        out->point[out->count] = out->point[i];
        out->class[out->count++] = class_of(category);
    }
    return (size_t)used;
}

bool atoll_text_blank(atoll_slice text)
{
    atoll_points points;
    for (size_t i = 0; i < text.bytes;) {
        uint8_t c = (uint8_t)text.data[i];
        if (c < 128) {
            i++;
            if (atoll_point_ascii(c) != ATOLL_POINT_SPACE)
                return false;
            continue;
        }
        i += atoll_points_read(text.data + i, text.bytes - i, &points);
        for (uint32_t p = 0; p < points.count; p++)
            if (points.class[p] != ATOLL_POINT_SPACE)
                return false;
    }
    return true;
}

size_t atoll_words_utf8(const atoll_words *words, uint32_t word, char *out, size_t most)
{
    size_t used = 0;
    for (uint32_t i = word ? words->ends[word - 1] : 0; i < words->ends[word]; i++) {
        utf8proc_uint8_t bytes[4];
        size_t more = (size_t)utf8proc_encode_char(words->points[i], bytes);
        if (used + more > most)
            break;
        memcpy(out + used, bytes, more);
        used += more;
    }
    return used;
}

void atoll_words_free(atoll_words *words)
{
    free(words->points);
    free(words->ends);
    *words = (atoll_words){0};
}
