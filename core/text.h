/*
 * Text to words. Text is normalised to NFKC with case folding (default-ignorable code points left out) and cut into
 * words: a word begins with a letter or a number and goes on over letters, numbers and marks; each ideograph is a word
 * by itself. Pure ASCII takes a shortcut with the same result. Of a run of combining marks the first 30 are read, as in
 * the Stream-Safe Text Format of Unicode's Annex 15, so that no text takes more than linear time.
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

/* Whether the bytes are UTF-8 (no surrogates, no overlong forms, nothing beyond U+10FFFF). */
bool atoll_utf8_valid(const char *data, size_t bytes);

/* The length to which `data` is cut to be at most `most` bytes and still UTF-8: for telling of it in an error. */
size_t atoll_utf8_clip(const char *data, size_t bytes, size_t most);

#endif
