/*
 * The encoder: text to hashed sparse features, and features to a dense embedding.
 *
 * Text is cut into normalised words (core/text.h); its terms are the words, word bigrams, and character 3- to 5-grams
 * of each word's first 64 code points with a mark at either end, and those of one and two that are not ASCII alone: an
 * accent tells of a language, a syllable of a word. Terms are hashed to buckets [Weinberger et al. 2009] by a
 * multiply-and-shift mix of their code points: n-grams with one beginning share their work, which no hash of bytes can.
 *
 * What words leave out is told by shapes. One is of each run of marks, with what stands on either side: small letter,
 * capital, digit, nothing. One is of each piece between white space with a capital, a digit, or marks in two places:
 * its runs of small letters, of capitals (one, or more), of digits (how many, up to 8) and of marks, so that all dates
 * are alike, and all prices.
 *
 * A feature's weight is sublinear tf, 1 + ln(tf), times an inverse document frequency, 1 + ln((N+1)/(df+1)), that
 * counts only records already learned. The weights of the words, of the bigrams, of the n-grams and of the shapes of a
 * text are L2-normalised each on their own, then together: n-grams are nine of ten terms, and would leave little to the
 * rest. Shapes are given less where theirs were less than half as long as those of the words (core/encoder.c).
 */
#ifndef ATOLL_CORE_FEATURES_H
#define ATOLL_CORE_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "core/pages.h"
#include "core/record.h"
#include "core/status.h"

/* Kinds of terms, as many as a term has room for. */
enum { ATOLL_TERM_WORD, ATOLL_TERM_BIGRAM, ATOLL_TERM_NGRAM, ATOLL_TERM_SHAPE, ATOLL_TERM_KINDS };
enum { ATOLL_TERM_TF_MAX = 63 };

/* A hashed term of one text, packed because exemplars keep them: bucket << 8 | kind << 6 | min(tf, ATOLL_TERM_TF_MAX),
 * where bucket < 2^24 and tf is how often the term occurs. Of terms that share a bucket the first gives the kind. */
typedef uint32_t atoll_term;

static inline uint32_t atoll_term_bucket(atoll_term term)
{
    return term >> 8;
}

static inline uint32_t atoll_term_tf(atoll_term term)
{
    return term & ATOLL_TERM_TF_MAX;
}

static inline uint32_t atoll_term_kind(atoll_term term)
{
    return term >> 6 & (ATOLL_TERM_KINDS - 1);
}

/* Scratch of one thread for atoll_terms_extract; grows to what the longest text needed, then allocates no more. */
typedef struct atoll_text_scratch atoll_text_scratch;
atoll_text_scratch *atoll_text_scratch_new(void); /* NULL where memory is short */
void atoll_text_scratch_free(atoll_text_scratch *scratch);

/*
 * The distinct terms of `text`, at most ATOLL_FEATURES_MAX, ascending by bucket, into `terms`; `buckets` is a power of
 * two from 2^10 to 2^24. Shapes are read first, up to 256 different ones; reading stops at the first term that no
 * longer fits.
 * ATOLL_INVALID_UTF8, ATOLL_EMPTY_TEXT where neither word nor mark is in it, ATOLL_TEXT_TOO_LONG, ATOLL_NO_MEMORY.
 */
atoll_status atoll_terms_extract(atoll_text_scratch *scratch, atoll_slice text, uint32_t buckets, atoll_term *terms,
                                 uint32_t *count, atoll_error *error);

/*
 * The same in the order of the text: first all shapes; then of each word itself, the bigram that it ends, its n-grams,
 * as far as they did not occur before. So a word's terms follow from the kinds (atoll_terms_words), and nothing else
 * need be kept of it.
 */
atoll_status atoll_terms_in_order(atoll_text_scratch *scratch, atoll_slice text, uint32_t buckets, atoll_term *terms,
                                  uint32_t *count, atoll_error *error);

/*
 * The next text of this scratch is read to look its buckets up in `array`: while it is read, elements are sent for as
 * their terms are found. The array must not change until then.
 */
void atoll_terms_seek(atoll_text_scratch *scratch, const atoll_array *array);

/*
 * The word of the text that term i is of, among those that the last such call with this scratch gave: normalised, as
 * atoll_words_utf8; of a shape none. Returns bytes.
 */
size_t atoll_terms_word(const atoll_text_scratch *scratch, uint32_t i, char *out, size_t most);

/*
 * word[i]: the word, from 0, that term i of such an order is of. Shapes are the first word's. Words that bring no new
 * term are none; from the ATOLL_TOKENS_MAX-th on all are one. Returns how many there are.
 */
uint32_t atoll_terms_words(const atoll_term *terms, uint32_t count, uint8_t *word);

/*
 * Signed sparse random projection [Li, Hastie, Church 2006; Kane, Nelson 2014]: each bucket adds its weight, with
 * signs, to ATOLL_PROJECTION_NONZEROS of `dim` coordinates, one in each of as many equal stretches, by a hash of
 * (seed, bucket). `dim` is at least that many and at most ATOLL_EMBEDDING_MAX_DIM. The caller zeroes and later
 * normalises `out`.
 */
enum { ATOLL_PROJECTION_NONZEROS = 16 };
void atoll_project_sparse(const uint32_t *buckets, const float *weights, uint32_t count, uint64_t seed, float *out,
                          uint32_t dim);

#endif
