/*
 * What a model has learned about its input before any expert reads it: document frequencies of terms, and the scale of
 * vectors. Both are causal: a record is encoded with what was learned before it.
 */
#ifndef ATOLL_CORE_ENCODER_H
#define ATOLL_CORE_ENCODER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/features.h"
#include "core/pages.h"

/*
 * The scale of vectors is taken anew after 2 vectors, 4, 8, ... and last after so many: what is learned later stays
 * valid, and what was learned on exemplars can be learned again from them.
 */
enum { ATOLL_SCALE_RECORDS = 1024 };

/*
 * Networks have rows for features of at least ATOLL_KNOWN_TEXTS texts, the gate for those of ATOLL_COMMON_TEXTS: rarer
 * ones are most of all features, and measure as of no use.
 */
enum { ATOLL_KNOWN_TEXTS = 2, ATOLL_COMMON_TEXTS = 8 };

/* Plain data: copy it to freeze it. */
typedef struct atoll_encoder {
    uint32_t buckets, embedding_dim, vector_dim; /* vector_dim is 0 until the first vector */
    uint64_t seed;
    bool outside;           /* a record's vector, of embedding_dim values, is its embedding */
    uint64_t documents;     /* texts learned */
    uint64_t vectors;       /* vectors learned */
    atoll_array frequency;  /* of uint32_t by bucket: texts that held it */
    atoll_array moments;    /* by dimension, what the scale is taken from; gone once it stays */
    atoll_array scale;      /* by dimension, once it was taken */
    uint32_t scales;        /* taken */
} atoll_encoder;

/* One encoded record; its arrays are the caller's: weight and bucket for ATOLL_FEATURES_MAX or `terms` of them. */
typedef struct atoll_encoded {
    uint32_t *bucket;
    float *weight;      /* tf-idf, each kind of term and the whole normalised */
    uint32_t features;  /* ordered: first those in at least ATOLL_COMMON_TEXTS learned texts, */
    uint32_t common;    /* so many; then those in at least ATOLL_KNOWN_TEXTS, */
    uint32_t known;     /* so many with the common ones; then the rest */
    float *embedding;   /* embedding_dim, unit length (all zero for a vector of zeros alone) */
    float *dense;       /* vector_dim scaled values; has_dense tells whether they are there */
    const float *z;     /* their random features (core/projection.h), and what the analytic half says of them; */
    const float *score; /* of the model's first `scores` labels. NULL until worked out */
    uint32_t scores;
    bool has_dense;
    uint8_t *token;     /* by feature: the word that it is of. NULL where records are routed, not tokens */
    uint32_t words;     /* that there are then */
    uint32_t vectors;   /* in `dense`, vector_dim values each: a record's tokens. 0 is as 1 where has_dense */
    float *each;        /* their embeddings, embedding_dim each, of unit length; NULL where not wanted */
} atoll_encoded;

void atoll_encoder_init(atoll_encoder *encoder, uint32_t buckets, uint32_t embedding_dim, uint64_t seed);
void atoll_encoder_clear(atoll_pager *pager, atoll_encoder *encoder);

/* The first vector's dimension. */
atoll_status atoll_encoder_set_vector(atoll_pager *pager, atoll_encoder *encoder, uint32_t vector_dim,
                                      atoll_error *error);

/* Sends for the frequencies of terms that are weighed soon: all lie apart, and one by one the memory would be waited
 * for. Of a text that is read first, atoll_terms_seek with `frequency` does. */
void atoll_encoder_seek(const atoll_encoder *encoder, const atoll_term *term, uint32_t terms);

/*
 * Features of terms: tf-idf as core/features.h tells, in the order that atoll_encoded tells. With out->token the terms
 * are in the order of the text (atoll_terms_in_order), and so are the features within each of the three parts.
 */
void atoll_encoder_weigh(const atoll_encoder *encoder, const atoll_term *term, uint32_t terms, atoll_encoded *out);

/*
 * Scales a vector of vector_dim floats: (v - mean) / deviation, clipped to ±ATOLL_SCALE_CLIP; where the values of a
 * dimension spread over more than 8 deviations, an eighth of the spread takes the deviation's place. So dimensions of
 * any scale count alike, but one that was quiet while the scale was taken is not blown up: on split Fashion-MNIST,
 * where the first classes leave many pixels dark, that is worth .004. Of vectors of up to 256 numbers, dimensions with
 * heavy tails are bent by asinh before that, so that a few great values do not leave all others alike. An embedding
 * from outside is also left in out->embedding, at unit length.
 */
#define ATOLL_SCALE_CLIP 4.0f
void atoll_encoder_scale(const atoll_encoder *encoder, const float *vector, atoll_encoded *out);

/* The same for the `vectors` tokens of a record, which lie behind each other. */
void atoll_encoder_scale_all(const atoll_encoder *encoder, const float *vector, uint32_t vectors, atoll_encoded *out);

/* Whether the scale stays from now on, so that what is kept may be kept scaled. */
static inline bool atoll_encoder_settled(const atoll_encoder *encoder)
{
    return encoder->vectors >= ATOLL_SCALE_RECORDS;
}

/* Scaled values at eight bits each, and back into out->dense. */
void atoll_encoder_code(const float *dense, uint32_t numbers, int8_t *code);
void atoll_encoder_decode(const atoll_encoder *encoder, const int8_t *code, uint32_t numbers, atoll_encoded *out);

/*
 * The embedding of what weigh and scale left in `out`: projections of both parts, each of unit length, summed. That of
 * several vectors is the mean of out->each, which must be there. Where embeddings come from outside it is what scale
 * left, or zeros without a vector.
 */
void atoll_encoder_embed(const atoll_encoder *encoder, atoll_encoded *out);

/* Fills out->each from out->dense. */
void atoll_encoder_embed_each(const atoll_encoder *encoder, atoll_encoded *out);

/* Whether this is the embedding of a record that has none from outside: it is near nothing. */
bool atoll_encoder_lacks(const atoll_encoder *encoder, const float *embedding);

/* Learns from one record's terms (0 for none) and vectors (0 for none). */
atoll_status atoll_encoder_learn(atoll_pager *pager, atoll_encoder *encoder, const atoll_term *term, uint32_t terms,
                                 const float *vector, uint32_t vectors, atoll_error *error);

#endif
