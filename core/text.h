/*
 * Text to words. Text is normalised to NFKC with case folding (default-ignorable code points left out) and cut into
 * words: a word begins with a letter or a number and goes on over letters, numbers and marks; each ideograph is a word
 * by itself. Pure ASCII takes a shortcut with the same result. Of a run of combining marks the first 30 are read, as in
 * the Stream-Safe Text Format of Unicode's Annex 15, so that no text takes more than linear time.
 *
 * What words leave out (case, punctuation, symbols, emoji, what stands beside what without a space) is read point by
 * point, with atoll_points_read.
 */
#ifndef ATOLL_CORE_TEXT_H
#define ATOLL_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/record.h"
#include "core/status.h"

/* The words of one text: word i is points[ends[i - 1] .. ends[i]), the first from 0. Zeroed before the first use; the
 * arrays grow to what the longest text needed and are used again. */
typedef struct atoll_words {
    int32_t *points; /* Unicode code points */
    uint32_t *ends;
    uint32_t count;
    size_t points_capacity, ends_capacity; /* elements */
} atoll_words;

/* ATOLL_TEXT_TOO_LONG, ATOLL_INVALID_UTF8, ATOLL_NO_MEMORY. A text without a word gives a count of 0. */
atoll_status atoll_words_cut(atoll_words *words, atoll_slice text, atoll_error *error);
void atoll_words_free(atoll_words *words); /* the arrays, not the struct */

/* Word `word` as UTF-8, whole code points of at most `most` bytes, into `out`, which gets no zero. Returns bytes. */
size_t atoll_words_utf8(const atoll_words *words, uint32_t word, char *out, size_t most);

/* What a code point is, whatever it says. */
enum {
    ATOLL_POINT_SPACE, /* white space, controls */
    ATOLL_POINT_LETTER,
    ATOLL_POINT_CAPITAL,
    ATOLL_POINT_DIGIT, /* all numbers */
    ATOLL_POINT_MARK   /* punctuation, symbols, and what Unicode does not assign yet: new emoji */
};
enum { ATOLL_POINTS_MAX = 32 }; /* that one code point may become; Unicode's longest is 18 */

/* One code point of a text, decomposed for compatibility (NFKD); without combining marks and what is ignorable. */
typedef struct atoll_points {
    uint32_t count;
    int32_t point[ATOLL_POINTS_MAX];
    uint8_t class[ATOLL_POINTS_MAX]; /* ATOLL_POINT_… */
} atoll_points;

/* Reads what valid UTF-8 begins with. Returns the bytes read, at least 1. */
size_t atoll_points_read(const char *data, size_t bytes, atoll_points *out);

static inline uint8_t atoll_point_ascii(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        return ATOLL_POINT_LETTER;
    if (c >= 'A' && c <= 'Z')
        return ATOLL_POINT_CAPITAL;
    if (c >= '0' && c <= '9')
        return ATOLL_POINT_DIGIT;
    return c <= ' ' || c == 127 ? ATOLL_POINT_SPACE : ATOLL_POINT_MARK;
}

/* Whether valid UTF-8 holds no word and no mark. */
bool atoll_text_blank(atoll_slice text);

/* Whether the bytes are UTF-8 (no surrogates, no overlong forms, nothing beyond U+10FFFF). */
bool atoll_utf8_valid(const char *data, size_t bytes);

/* The length to which `data` is cut to be at most `most` bytes and still UTF-8: for telling of it in an error. */
size_t atoll_utf8_clip(const char *data, size_t bytes, size_t most);

#endif
