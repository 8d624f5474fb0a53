#include "core/encoder.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/limits.h"
#include "core/rng.h"

enum { DRAWN = 64 };

/* What the scale of a dimension is taken from. */
typedef struct moments {
    double mean, squares; /* of deviations [Welford 1962] */
    float least, most;
    float drawn[DRAWN];   /* values, drawn by lot */
} moments;

/* A value x is scaled to (b(x) - shift) factor, where b(x) is asinh((x - centre) bend), or x where bend is 0. */
typedef struct scale {
    float centre, bend, shift, factor;
} scale;

/*
 * A dimension is bent whose deviation is so many times that of a Gaussian with the same middle four fifths. Gaussians
 * have 1, exponentials 1.2, a log-normal of deviation 1 has 2.4. Not where there are more dimensions than BENT_DIM:
 * those of pixels that are mostly dark seem heavy, and are not.
 */
static const double heavy = 3;

enum { BENT_DIM = 256 };

/* Projected dimensions of vectors are numbered behind all buckets, so that text and vector do not share signs. */
enum { VECTOR_BUCKETS = 1 << 24 };

void atoll_encoder_init(atoll_encoder *encoder, uint32_t buckets, uint32_t embedding_dim, uint64_t seed)
{
    *encoder = (atoll_encoder){.buckets = buckets, .embedding_dim = embedding_dim, .seed = seed};
    atoll_array_init(&encoder->frequency, sizeof(uint32_t));
    atoll_array_init(&encoder->moments, sizeof(moments));
    atoll_array_init(&encoder->scale, sizeof(scale));
}

void atoll_encoder_clear(atoll_pager *pager, atoll_encoder *encoder)
{
    atoll_array_clear(pager, &encoder->frequency);
    atoll_array_clear(pager, &encoder->moments);
    atoll_array_clear(pager, &encoder->scale);
}

atoll_status atoll_encoder_set_vector(atoll_pager *pager, atoll_encoder *encoder, uint32_t vector_dim,
                                      atoll_error *error)
{
    atoll_status status = atoll_array_grow(pager, &encoder->moments, vector_dim, error);
    if (status == ATOLL_OK)
        status = atoll_array_grow(pager, &encoder->scale, vector_dim, error);
    if (status == ATOLL_OK)
        encoder->vector_dim = vector_dim;
    return status;
}

/* ln(n): logarithms of small numbers are asked for with each text. Each thread has its own, filled as they are asked
 * for: that needs neither a lock nor a start. */
static float log_of(uint32_t n)
{
    enum { KEPT = 4096 };
    static _Thread_local float kept[KEPT]; /* 0: not known yet */
    if (n < 2 || n >= KEPT)
        return logf((float)n);
    if (kept[n] == 0)
        kept[n] = logf((float)n);
    return kept[n];
}

static uint32_t frequency_of(const atoll_encoder *encoder, uint32_t bucket)
{
    return encoder->frequency.count ? *(const uint32_t *)atoll_array_at(&encoder->frequency, bucket) : 0;
}

/* A number for each kind of term. */
typedef float kinds __attribute__((vector_size(4 * ATOLL_TERM_KINDS)));

/*
 * Gives each kind of term that is there the same part of a vector of unit length; shapes less where their weights are
 * small beside those of the words, since most texts have the same.
 */
static void level(const uint8_t *kind, float *weight, uint32_t terms)
{
    const float most = 2; /* times what they weigh beside the words: docs/decisions.md */
    static const kinds of_kind[ATOLL_TERM_KINDS] = {{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}};
    float factor[ATOLL_TERM_KINDS] = {0}, length[ATOLL_TERM_KINDS] = {1, 1, 1, 1}, sum = 0;
    kinds square = {0}; /* in a register: in memory each sum would wait for the one before */
    for (uint32_t i = 0; i < terms; i++) {
        kinds w = weight[i] * of_kind[kind[i]];
        square += w * w;
    }
    if (square[ATOLL_TERM_WORD] > 0)
        length[ATOLL_TERM_SHAPE] = fminf(1, most * sqrtf(square[ATOLL_TERM_SHAPE] / square[ATOLL_TERM_WORD]));
    for (uint32_t k = 0; k < ATOLL_TERM_KINDS; k++)
        sum += square[k] > 0 ? length[k] * length[k] : 0;
    for (uint32_t k = 0; k < ATOLL_TERM_KINDS; k++)
        if (square[k] > 0)
            factor[k] = length[k] / sqrtf(sum * square[k]);
    for (uint32_t i = 0; i < terms; i++)
        weight[i] *= factor[kind[i]];
}

void atoll_encoder_seek(const atoll_encoder *encoder, const atoll_term *term, uint32_t terms)
{
    for (uint32_t i = 0; i < terms && encoder->frequency.count; i++)
        __builtin_prefetch(atoll_array_at(&encoder->frequency, atoll_term_bucket(term[i])));
}

void atoll_encoder_weigh(const atoll_encoder *encoder, const atoll_term *term, uint32_t terms, atoll_encoded *out)
{
    enum { COMMON, KNOWN, RARE, RANKS };
    uint8_t rank[ATOLL_FEATURES_MAX], kind[ATOLL_FEATURES_MAX], word[ATOLL_FEATURES_MAX];
    uint32_t frequency[ATOLL_FEATURES_MAX], place[RANKS] = {0};
    float log_documents = logf((float)(encoder->documents + 1));
    for (uint32_t i = 0; i < terms; i++) {
        uint32_t df = frequency[i] = frequency_of(encoder, atoll_term_bucket(term[i]));
        rank[i] = df >= ATOLL_COMMON_TEXTS ? COMMON : df >= ATOLL_KNOWN_TEXTS ? KNOWN : RARE;
        place[rank[i]]++;
    }
    out->features = terms;
    out->words = out->token ? atoll_terms_words(term, terms, word) : 0;
    out->common = place[COMMON];
    out->known = place[COMMON] + place[KNOWN];
    place[COMMON] = 0;
    place[KNOWN] = out->common;
    place[RARE] = out->known;
    for (uint32_t i = 0; i < terms; i++) {
        uint32_t at = place[rank[i]]++, tf = atoll_term_tf(term[i]);
        float idf = 1 + log_documents - log_of(frequency[i] + 1);
        out->bucket[at] = atoll_term_bucket(term[i]);
        kind[at] = (uint8_t)atoll_term_kind(term[i]);
        out->weight[at] = (tf == 1 ? 1 : 1 + log_of(tf)) * idf;
        if (out->token)
            out->token[at] = word[i];
    }
    level(kind, out->weight, terms);
}

static void scale_one(const atoll_encoder *encoder, const float *vector, float *dense)
{
    for (uint32_t i = 0; i < encoder->vector_dim; i++) {
        const scale *by = atoll_array_at(&encoder->scale, i);
        float x = by->bend > 0 ? asinhf((vector[i] - by->centre) * by->bend) : vector[i];
        if (encoder->scales)
            x = (x - by->shift) * by->factor;
        dense[i] = fminf(fmaxf(x, -ATOLL_SCALE_CLIP), ATOLL_SCALE_CLIP);
    }
}

void atoll_encoder_scale_all(const atoll_encoder *encoder, const float *vector, uint32_t vectors, atoll_encoded *out)
{
    uint32_t dim = encoder->embedding_dim;
    if (encoder->outside)
        memset(out->embedding, 0, dim * sizeof *out->embedding);
    for (uint32_t v = 0; v < vectors; v++, vector += encoder->vector_dim) {
        scale_one(encoder, vector, out->dense + (size_t)v * encoder->vector_dim);
        float length = encoder->outside ? sqrtf(atoll_dot(vector, vector, dim)) : 0;
        if (length > 0)
            atoll_axpy(out->embedding, vector, 1 / length, dim);
    }
    if (encoder->outside)
        atoll_normalise(out->embedding, dim);
    out->has_dense = true;
    out->vectors = vectors;
}

void atoll_encoder_scale(const atoll_encoder *encoder, const float *vector, atoll_encoded *out)
{
    scale_one(encoder, vector, out->dense);
    out->has_dense = true;
    if (encoder->outside) {
        memcpy(out->embedding, vector, encoder->embedding_dim * sizeof *out->embedding);
        atoll_normalise(out->embedding, encoder->embedding_dim);
    }
}

enum { CODES = 127 }; /* of either sign */

void atoll_encoder_code(const float *dense, uint32_t numbers, int8_t *code)
{
    for (uint32_t i = 0; i < numbers; i++)
        code[i] = (int8_t)lrintf(dense[i] * (CODES / ATOLL_SCALE_CLIP));
}

void atoll_encoder_decode(const atoll_encoder *encoder, const int8_t *code, uint32_t numbers, atoll_encoded *out)
{
    for (uint32_t i = 0; i < numbers; i++)
        out->dense[i] = (float)code[i] * (ATOLL_SCALE_CLIP / CODES);
    out->has_dense = true;
    out->vectors = numbers / encoder->vector_dim;
}

/* A deviation, or a share of the spread where values spread over more than eight of them. */
static double deviation_of(double variance, double least, double most)
{
    const double spread_share = 0.125;
    return fmax(sqrt(variance), spread_share * (most - least));
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The scale of a dimension with heavy tails, taken from the values that were drawn; false for any other. */
static bool bend(const moments *m, double deviation, scale *out)
{
    const double gaussian = 2.563; /* deviations between its first tenth and its last */
    float drawn[DRAWN];
    memcpy(drawn, m->drawn, sizeof drawn);
    qsort(drawn, DRAWN, sizeof *drawn, by_size);
    double width = ((double)drawn[DRAWN - 1 - DRAWN / 10] - drawn[DRAWN / 10]) / gaussian;
    if (width < FLT_MIN || deviation <= heavy * width)
        return false;
    double centre = drawn[DRAWN / 2], by = fmin(1 / width, FLT_MAX), mean = 0, variance = 0;
    for (int i = 0; i < DRAWN; i++)
        mean += asinh((drawn[i] - centre) * by) / DRAWN;
    for (int i = 0; i < DRAWN; i++) {
        double from = asinh((drawn[i] - centre) * by) - mean;
        variance += from * from / DRAWN;
    }
    deviation = deviation_of(variance, asinh((m->least - centre) * by), asinh((m->most - centre) * by));
    *out = (scale){(float)centre, (float)by, (float)mean, (float)(1 / deviation)};
    return true;
}

static atoll_status take_scale(atoll_pager *pager, atoll_encoder *encoder, atoll_error *error)
{
    for (uint32_t i = 0; i < encoder->vector_dim; i++) {
        const moments *m = atoll_array_at(&encoder->moments, i);
        scale *to = atoll_array_edit(pager, &encoder->scale, i);
        if (!to)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the scale of vectors");
        double deviation = deviation_of(m->squares / (double)encoder->vectors, m->least, m->most);
        if (encoder->vectors >= DRAWN && encoder->vector_dim <= BENT_DIM && bend(m, deviation, to))
            continue;
        *to = (scale){.shift = (float)m->mean, .factor = 1};
        if (deviation > FLT_MIN)
            to->factor = (float)fmin(1 / deviation, FLT_MAX);
    }
    encoder->scales++;
    return ATOLL_OK;
}

/* part = the projection of one scaled vector. */
static void project(const atoll_encoder *encoder, const float *dense, float *part)
{
    enum { TOGETHER = 256 };
    uint32_t bucket[TOGETHER];
    memset(part, 0, encoder->embedding_dim * sizeof *part);
    for (uint32_t at = 0, some; at < encoder->vector_dim; at += some) {
        some = encoder->vector_dim - at < TOGETHER ? encoder->vector_dim - at : TOGETHER;
        for (uint32_t i = 0; i < some; i++)
            bucket[i] = VECTOR_BUCKETS + at + i;
        atoll_project_sparse(bucket, dense + at, some, encoder->seed, part, encoder->embedding_dim);
    }
}

/* The vector that was scaled, as far as it was not clipped. */
static void unscale(const atoll_encoder *encoder, const float *dense, float *vector)
{
    for (uint32_t i = 0; i < encoder->vector_dim; i++) {
        const scale *by = atoll_array_at(&encoder->scale, i);
        float x = encoder->scales ? dense[i] / by->factor + by->shift : dense[i];
        vector[i] = by->bend > 0 ? sinhf(x) / by->bend + by->centre : x;
    }
}

void atoll_encoder_embed_each(const atoll_encoder *encoder, atoll_encoded *out)
{
    uint32_t dim = encoder->embedding_dim;
    for (uint32_t v = 0; v < out->vectors; v++) {
        const float *dense = out->dense + (size_t)v * encoder->vector_dim;
        float *each = out->each + (size_t)v * dim;
        if (encoder->outside)
            unscale(encoder, dense, each);
        else
            project(encoder, dense, each);
        atoll_normalise(each, dim);
    }
}

void atoll_encoder_embed(const atoll_encoder *encoder, atoll_encoded *out)
{
    float part[ATOLL_EMBEDDING_MAX_DIM];
    uint32_t dim = encoder->embedding_dim;
    if (encoder->outside && out->has_dense)
        return;
    memset(out->embedding, 0, dim * sizeof *out->embedding);
    if (encoder->outside)
        return;
    if (out->features)
        atoll_project_sparse(out->bucket, out->weight, out->features, encoder->seed, out->embedding, dim);
    if (out->has_dense) {
        if (out->vectors <= 1)
            project(encoder, out->dense, part);
        else
            memset(part, 0, dim * sizeof *part);
        for (uint32_t v = 0; out->vectors > 1 && v < out->vectors; v++)
            atoll_axpy(part, out->each + (size_t)v * dim, 1, dim);
        atoll_normalise(out->embedding, dim);
        atoll_normalise(part, dim);
        atoll_axpy(out->embedding, part, 1, dim);
    }
    atoll_normalise(out->embedding, dim);
}

bool atoll_encoder_lacks(const atoll_encoder *encoder, const float *embedding)
{
    bool lacks = encoder->outside;
    for (uint32_t i = 0; lacks && i < encoder->embedding_dim; i++)
        lacks = embedding[i] == 0;
    return lacks;
}

static atoll_status learn_vector(atoll_pager *pager, atoll_encoder *encoder, const float *vector, atoll_error *error)
{
    uint64_t seen = encoder->vectors++;
    uint32_t place = (uint32_t)seen;
    if (seen >= DRAWN) {
        atoll_rng rng;
        atoll_rng_seed(&rng, encoder->seed, UINT64_C(5) << 32 | seen);
        place = atoll_rng_below(&rng, (uint32_t)seen + 1);
    }
    for (uint32_t i = 0; i < encoder->vector_dim; i++) {
        moments *m = atoll_array_edit(pager, &encoder->moments, i);
        if (!m)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the scale of vectors");
        double before = vector[i] - m->mean;
        m->mean += before / (double)encoder->vectors;
        m->squares += before * (vector[i] - m->mean);
        m->least = seen ? fminf(m->least, vector[i]) : vector[i];
        m->most = seen ? fmaxf(m->most, vector[i]) : vector[i];
        if (place < DRAWN)
            m->drawn[place] = vector[i];
    }
    bool due = seen && (encoder->vectors & seen) == 0;
    atoll_status status = due ? take_scale(pager, encoder, error) : ATOLL_OK;
    if (atoll_encoder_settled(encoder))
        atoll_array_clear(pager, &encoder->moments);
    return status;
}

atoll_status atoll_encoder_learn(atoll_pager *pager, atoll_encoder *encoder, const atoll_term *term, uint32_t terms,
                                 const float *vector, uint32_t vectors, atoll_error *error)
{
    /* A model that meets no text holds no table. */
    if (terms && !encoder->frequency.count &&
        atoll_array_grow(pager, &encoder->frequency, encoder->buckets, error) != ATOLL_OK)
        return ATOLL_NO_MEMORY;
    for (uint32_t i = 0; i < terms; i++) {
        uint32_t *frequency = atoll_array_edit(pager, &encoder->frequency, atoll_term_bucket(term[i]));
        if (!frequency)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for document frequencies");
        ++*frequency;
    }
    encoder->documents += terms > 0;
    atoll_status status = ATOLL_OK;
    for (uint32_t v = 0; v < vectors && encoder->vectors < ATOLL_SCALE_RECORDS && status == ATOLL_OK; v++)
        status = learn_vector(pager, encoder, vector + (size_t)v * encoder->vector_dim, error);
    return status;
}
