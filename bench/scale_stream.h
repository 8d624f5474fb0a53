/*
 * A stream of any length and any number of domains, made up: each domain has words of its own, of which each of its
 * labels prefers some, and all share common words; words follow Zipf's law. What a record says follows from its number
 * alone.
 */
#ifndef ATOLL_BENCH_SCALE_STREAM_H
#define ATOLL_BENCH_SCALE_STREAM_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/record.h"
#include "core/rng.h"

enum {
    SCALE_LABELS_EACH = 2,   /* labels of a domain */
    SCALE_WORDS = 12,        /* of a record */
    SCALE_DOMAIN_WORDS = 150,
    SCALE_LABEL_WORDS = 20,
    SCALE_COMMON_WORDS = 4000,
    SCALE_TEXT_BYTES = 256
};

typedef struct scale_stream {
    uint32_t domains;
    uint32_t labels; /* that all domains share between them */
} scale_stream;

typedef struct scale_record {
    char text[SCALE_TEXT_BYTES], label[32], domain[32];
} scale_record;

/* Rank n has a share of about 1 / (n + 3). */
static inline uint32_t scale_zipf(atoll_rng *rng, uint32_t ranks)
{
    double u = (double)atoll_rng_uniform(rng);
    return (uint32_t)(3 * (exp(u * log((double)ranks / 3 + 1)) - 1));
}

/* A word of 4 to 9 letters for a number. */
static inline size_t scale_word(uint64_t number, char *out)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, 77, number);
    uint32_t letters = 4 + atoll_rng_below(&rng, 6);
    for (uint32_t i = 0; i < letters; i++)
        out[i] = i % 2 ? "aeiouy"[atoll_rng_below(&rng, 6)] : "bcdfghklmnprstvwz"[atoll_rng_below(&rng, 17)];
    return letters;
}

static inline void scale_make(const scale_stream *stream, uint32_t domain, uint64_t number, scale_record *out)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, 1 + domain, number);
    uint32_t concept = atoll_rng_below(&rng, SCALE_LABELS_EACH);
    uint64_t own = UINT64_C(1000000) * (domain + 1), labels = own + 1000 * (concept + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < SCALE_WORDS; i++) {
        uint32_t kind = atoll_rng_below(&rng, 10);
        uint64_t word = kind < 4   ? scale_zipf(&rng, SCALE_COMMON_WORDS)
                        : kind < 7 ? own + scale_zipf(&rng, SCALE_DOMAIN_WORDS)
                                   : labels + scale_zipf(&rng, SCALE_LABEL_WORDS);
        at += scale_word(word, out->text + at);
        out->text[at++] = ' ';
    }
    out->text[at - 1] = '\0';
    uint32_t label = (domain * SCALE_LABELS_EACH + concept) % stream->labels;
    snprintf(out->label, sizeof out->label, "label %u", label);
    snprintf(out->domain, sizeof out->domain, "domain %u", domain);
}

static inline atoll_record scale_view(const scale_record *from)
{
    return (atoll_record){.text = {from->text, strlen(from->text)},
                          .label = {from->label, strlen(from->label)},
                          .domain = {from->domain, strlen(from->domain)}};
}

#endif
