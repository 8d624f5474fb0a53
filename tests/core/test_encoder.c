#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/encoder.h"
#include "core/kernels.h"
#include "core/limits.h"
#include "tests/core/paged.h"

enum { BUCKETS = 1 << 16, DIM = 256, VECTOR = 4 };

typedef struct trial {
    atoll_pager pager;
    atoll_encoder encoder;
    atoll_text_scratch *scratch;
} trial;

/* An encoded record with room of its own. */
typedef struct room {
    uint32_t bucket[ATOLL_FEATURES_MAX];
    float weight[ATOLL_FEATURES_MAX], embedding[DIM], dense[VECTOR];
    atoll_encoded encoded;
} room;

static void trial_open(trial *t)
{
    pager_open(&t->pager);
    t->scratch = atoll_text_scratch_new();
    assert_non_null(t->scratch);
    atoll_encoder_init(&t->encoder, BUCKETS, DIM, 11);
}

static void trial_close(trial *t)
{
    atoll_encoder_clear(&t->pager, &t->encoder);
    atoll_text_scratch_free(t->scratch);
    pager_close(&t->pager);
}

static void room_init(room *r)
{
    memset(r, 0xff, sizeof *r);
    r->encoded = (atoll_encoded){.bucket = r->bucket, .weight = r->weight, .embedding = r->embedding,
                                 .dense = r->dense};
}

static void open_for_vectors(trial *t, room *r)
{
    trial_open(t);
    room_init(r);
    assert_int_equal(atoll_encoder_set_vector(&t->pager, &t->encoder, VECTOR, NULL), ATOLL_OK);
}

static atoll_term term(uint32_t bucket, uint32_t tf)
{
    return bucket << 8 | tf;
}

static void learn(trial *t, const atoll_term *terms, uint32_t count, const float *vector)
{
    assert_int_equal(atoll_encoder_learn(&t->pager, &t->encoder, terms, count, vector, vector != NULL, NULL), ATOLL_OK);
}

/* Three texts: bucket 1 in all of them, 2 in two, 3 in one, 4 in none. idf = 1 + ln((N + 1) / (df + 1)). */
static void idf_is_what_was_learned_before(void **state)
{
    (void)state;
    static const atoll_term texts[3][3] = {{1 << 8 | 1, 2 << 8 | 5, 3 << 8 | 1}, {1 << 8 | 9, 2 << 8 | 1},
                                           {1 << 8 | 1}};
    const atoll_term ask[4] = {term(1, 1), term(2, 3), term(3, 63), term(4, 1)};
    static room r;
    trial t;
    trial_open(&t);
    room_init(&r);
    atoll_encoder_weigh(&t.encoder, ask, 4, &r.encoded); /* nothing learned: tf alone */
    double first[4] = {1, 1 + log(3), 1 + log(63), 1}, length = sqrt(2 + pow(1 + log(3), 2) + pow(1 + log(63), 2));
    for (int i = 0; i < 4; i++)
        assert_near(r.weight[i], first[i] / length, 1e-5);
    for (uint32_t i = 0; i < 3; i++)
        learn(&t, texts[i], 3 - i, NULL);
    assert_int_equal(t.encoder.documents, 3);
    learn(&t, NULL, 0, NULL); /* a record without text is no document */
    assert_int_equal(t.encoder.documents, 3);
    atoll_encoder_weigh(&t.encoder, ask, 4, &r.encoded);
    double weight[4] = {1 + log(4.0 / 4), (1 + log(3)) * (1 + log(4.0 / 3)), (1 + log(63)) * (1 + log(4.0 / 2)),
                        1 + log(4.0 / 1)};
    length = 0;
    for (int i = 0; i < 4; i++)
        length += weight[i] * weight[i];
    assert_int_equal(r.encoded.features, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(r.bucket[i], i + 1);
        assert_near(r.weight[i], weight[i] / sqrt(length), 1e-5);
    }
    trial_close(&t);
}

static void features_are_of_unit_length(void **state)
{
    (void)state;
    static atoll_term terms[ATOLL_FEATURES_MAX];
    static room r;
    trial t;
    atoll_rng rng;
    trial_open(&t);
    atoll_rng_seed(&rng, 2, 0);
    for (uint32_t count = 0; count <= ATOLL_FEATURES_MAX; count = 2 * count + 1) {
        for (uint32_t i = 0; i < count; i++)
            terms[i] = term(i * 7, 1 + atoll_rng_below(&rng, 63)) | atoll_rng_below(&rng, ATOLL_TERM_KINDS) << 6;
        room_init(&r);
        atoll_encoder_weigh(&t.encoder, terms, count, &r.encoded);
        double square = 0;
        for (uint32_t i = 0; i < count; i++)
            square += (double)r.weight[i] * r.weight[i];
        assert_near(square, count ? 1 : 0, 1e-5);
        learn(&t, terms, count, NULL);
    }
    trial_close(&t);
}

static void each_kind_has_the_same_part(void **state)
{
    (void)state;
    enum { ASKED = 9 };
    static const uint32_t kind[ASKED] = {2, 2, 0, 2, 1, 2, 0, 2, 2};
    static room r;
    trial t;
    atoll_term ask[ASKED];
    double square[ATOLL_TERM_KINDS] = {0};
    trial_open(&t);
    room_init(&r);
    for (uint32_t i = 0; i < ASKED; i++)
        ask[i] = term(i + 1, 1 + i) | kind[i] << 6;
    atoll_encoder_weigh(&t.encoder, ask, ASKED, &r.encoded);
    for (uint32_t i = 0; i < ASKED; i++)
        square[kind[i]] += (double)r.weight[i] * r.weight[i];
    for (int k = 0; k < 3; k++)
        assert_near(square[k], 1.0 / 3, 1e-5);
    assert_near(r.weight[0] / r.weight[3], 1 / (1 + log(4)), 1e-5); /* within a kind the weights keep their ratio */
    atoll_encoder_weigh(&t.encoder, ask, 3, &r.encoded);            /* a kind that is not there takes no part */
    assert_near(r.weight[2], sqrt(.5), 1e-5);
    atoll_encoder_weigh(&t.encoder, ask, 1, &r.encoded);
    assert_near(r.weight[0], 1, 1e-5);
    trial_close(&t);
}

/* Shapes that many texts have get less than what is rare; without words they are a kind as others. */
static void shapes_have_what_they_say_beside_words(void **state)
{
    (void)state;
    enum { WORD = ATOLL_TERM_WORD << 6, SHAPE = ATOLL_TERM_SHAPE << 6, TEXTS = 100 };
    static room r;
    trial t;
    const atoll_term word = term(1, 1) | WORD, rare = term(2, 1) | SHAPE, usual = term(3, 1) | SHAPE;
    trial_open(&t);
    room_init(&r);
    for (int i = 0; i < TEXTS; i++)
        learn(&t, &usual, 1, NULL);
    atoll_encoder_weigh(&t.encoder, (atoll_term[]){word, rare}, 2, &r.encoded);
    assert_near(r.weight[0], sqrt(.5), 1e-5);
    assert_near(r.weight[1], sqrt(.5), 1e-5);
    atoll_encoder_weigh(&t.encoder, (atoll_term[]){usual, word}, 2, &r.encoded);
    assert_near(r.weight[0] / r.weight[1], 2 / (1 + log(TEXTS + 1)), 1e-4);
    assert_near(r.weight[0] * r.weight[0] + r.weight[1] * r.weight[1], 1, 1e-5);
    atoll_encoder_weigh(&t.encoder, &usual, 1, &r.encoded);
    assert_near(r.weight[0], 1, 1e-5);
    trial_close(&t);
}

/* First those of ATOLL_COMMON_TEXTS texts, then those of ATOLL_KNOWN_TEXTS, then the rest; each as they came. */
static void features_stand_in_the_order_of_common_known_and_rare(void **state)
{
    (void)state;
    enum { C = ATOLL_COMMON_TEXTS, K = ATOLL_KNOWN_TEXTS, ASKED = 9 };
    static const uint32_t texts[ASKED] = {K - 1, C, K, C + 1, 0, C - 1, 2 * C, K - 1, K};
    static room r;
    trial t;
    atoll_term ask[ASKED];
    double weight[ASKED], square = 0;
    uint32_t place[ASKED] = {0}, at = 0;
    trial_open(&t);
    for (uint32_t i = 0; i < ASKED; i++) {
        const atoll_term often = term(100 + i, 60); /* within a text: that does not count */
        ask[i] = term(100 + i, 1 + i);
        for (uint32_t n = 0; n < texts[i]; n++)
            learn(&t, &often, 1, NULL);
    }
    for (uint32_t rank = 0; rank < 3; rank++)
        for (uint32_t i = 0; i < ASKED; i++)
            if ((texts[i] >= C ? 0 : texts[i] >= K ? 1 : 2) == rank)
                place[at++] = i;
    room_init(&r);
    atoll_encoder_weigh(&t.encoder, ask, ASKED, &r.encoded);
    assert_int_equal(r.encoded.features, ASKED);
    assert_int_equal(r.encoded.common, 3);
    assert_int_equal(r.encoded.known, 6);
    for (uint32_t i = 0; i < ASKED; i++) {
        weight[i] = (1 + log(1.0 + i)) * (1 + log(((double)t.encoder.documents + 1) / (texts[i] + 1)));
        square += weight[i] * weight[i];
    }
    for (uint32_t i = 0; i < ASKED; i++) {
        assert_int_equal(r.bucket[i], 100 + place[i]);
        assert_near(r.weight[i], weight[place[i]] / sqrt(square), 1e-5);
    }
    atoll_encoder_weigh(&t.encoder, ask, 0, &r.encoded);
    assert_int_equal(r.encoded.features + r.encoded.known + r.encoded.common, 0);
    trial_close(&t);
}

/* The embedding is of all features, in whatever order they stand. */
static void the_order_is_not_in_the_embedding(void **state)
{
    (void)state;
    enum { TERMS = 60, LEARNED = 2 * ATOLL_COMMON_TEXTS };
    static room before, after;
    atoll_term terms[TERMS];
    trial t;
    trial_open(&t);
    for (uint32_t i = 0; i < TERMS; i++)
        terms[i] = term(i * 900, 1 + i % 3);
    for (uint32_t n = 0; n < LEARNED; n++) /* the later ones in more texts: they go first */
        learn(&t, terms + TERMS * n / LEARNED, TERMS - TERMS * n / LEARNED, NULL);
    room_init(&before);
    room_init(&after);
    atoll_encoder_weigh(&t.encoder, terms, TERMS, &after.encoded);
    assert_true(after.encoded.common > 0 && after.encoded.known > after.encoded.common);
    assert_true(after.encoded.features > after.encoded.known);
    for (uint32_t i = 0; i < TERMS; i++) { /* the same features, ascending */
        before.bucket[i] = i * 900;
        for (uint32_t k = 0; k < TERMS; k++)
            if (after.bucket[k] == i * 900)
                before.weight[i] = after.weight[k];
    }
    before.encoded.features = TERMS;
    atoll_encoder_embed(&t.encoder, &before.encoded);
    atoll_encoder_embed(&t.encoder, &after.encoded);
    for (int i = 0; i < DIM; i++)
        assert_near(after.embedding[i], before.embedding[i], 1e-6);
    trial_close(&t);
}

/* ---- vectors ---- */

static void vectors_are_scaled_by_the_past(void **state)
{
    (void)state;
    static const float first[VECTOR] = {1, 7, -2, 100}, second[VECTOR] = {3, 7, -2, 100};
    static room r;
    trial t;
    open_for_vectors(&t, &r);
    atoll_encoder_scale(&t.encoder, first, &r.encoded); /* nothing known: clipped only */
    assert_true(r.encoded.has_dense);
    assert_true(r.dense[0] == 1 && r.dense[1] == 4 && r.dense[2] == -2 && r.dense[3] == 4);
    learn(&t, NULL, 0, first);
    atoll_encoder_scale(&t.encoder, second, &r.encoded); /* of one no scale is taken */
    assert_true(r.dense[0] == 3 && r.dense[1] == 4 && r.dense[2] == -2 && r.dense[3] == 4);
    assert_int_equal(t.encoder.scales, 0);
    learn(&t, NULL, 0, second);
    assert_int_equal(t.encoder.scales, 1);
    static const float third[VECTOR] = {2.5f, 8, -2, 90}; /* mean 2 and deviation 1; the others do not vary */
    atoll_encoder_scale(&t.encoder, third, &r.encoded);
    assert_near(r.dense[0], 0.5, 1e-6);
    assert_near(r.dense[1], 1, 1e-6);
    assert_near(r.dense[2], 0, 0);
    assert_near(r.dense[3], -4, 0);
    assert_int_equal(t.encoder.vectors, 2);
    assert_int_equal(t.encoder.documents, 0);
    trial_close(&t);
}

/* Against sums in double of the first 2, 4, 8, ... vectors, until the scale stands still. */
static void the_scale_settles(void **state)
{
    (void)state;
    static float stream[1200][VECTOR];
    static room r;
    trial t;
    atoll_rng rng;
    open_for_vectors(&t, &r);
    atoll_rng_seed(&rng, 4, 0);
    for (int n = 0; n < 1200; n++) {
        for (int i = 0; i < VECTOR; i++)
            stream[n][i] = 1000.0f * (float)i + (n < ATOLL_SCALE_RECORDS ? 1 : 50) * (float)(i + 1) *
                                                    atoll_rng_normal(&rng);
        int known = 1;
        while (2 * known <= (n < ATOLL_SCALE_RECORDS ? n : ATOLL_SCALE_RECORDS))
            known *= 2;
        atoll_encoder_scale(&t.encoder, stream[n], &r.encoded);
        for (int i = 0; i < VECTOR && known > 1 && n % 37 == 0; i++) {
            double mean = 0, square = 0;
            for (int m = 0; m < known; m++)
                mean += (double)stream[m][i] / known;
            for (int m = 0; m < known; m++)
                square += (stream[m][i] - mean) * (stream[m][i] - mean) / known;
            double x = (stream[n][i] - mean) / sqrt(square);
            assert_near(r.dense[i], fmin(fmax(x, -4), 4), 1e-3);
        }
        learn(&t, NULL, 0, stream[n]);
    }
    assert_int_equal(t.encoder.vectors, ATOLL_SCALE_RECORDS);
    assert_int_equal(t.encoder.scales, 10);
    trial_close(&t);
}

static float scaled(trial *t, room *r, int dimension, float value)
{
    float vector[VECTOR] = {0};
    vector[dimension] = value;
    atoll_encoder_scale(&t->encoder, vector, &r->encoded);
    return r->dense[dimension];
}

/* Values over many powers of ten, and ordinary ones with an absurd one among them, are told apart all the same. */
static void heavy_tails_are_bent(void **state)
{
    (void)state;
    static room r;
    trial t;
    atoll_rng rng;
    open_for_vectors(&t, &r);
    atoll_rng_seed(&rng, 7, 0);
    for (int n = 0; n < ATOLL_SCALE_RECORDS; n++) {
        assert_true(atoll_array_bytes(&t.encoder.moments) > 0);
        float powers = expf(4 * atoll_rng_normal(&rng)), absurd = n == 7 ? 1e12f : 5 + atoll_rng_normal(&rng);
        learn(&t, NULL, 0, (const float[VECTOR]){powers, absurd, n % 50 ? 0 : 100, atoll_rng_normal(&rng)});
    }
    assert_true(scaled(&t, &r, 0, 60) - scaled(&t, &r, 0, 2) > 0.3f);
    assert_true(scaled(&t, &r, 0, 5000) - scaled(&t, &r, 0, 60) > 1);
    assert_true(scaled(&t, &r, 1, 6) - scaled(&t, &r, 1, 4) > 0.3f);
    for (float x = 1e-6f; x < 1e30f; x *= 10)
        assert_true(scaled(&t, &r, 0, 10 * x) >= scaled(&t, &r, 0, x));
    assert_near(scaled(&t, &r, 1, -3e38f), -ATOLL_SCALE_CLIP, 0);
    assert_true(scaled(&t, &r, 2, 1) < 0.1f); /* rare values are no heavy tail of zeros */
    assert_near(scaled(&t, &r, 3, 2) - scaled(&t, &r, 3, 1), scaled(&t, &r, 3, 1) - scaled(&t, &r, 3, 0), 1e-5);
    assert_int_equal(atoll_array_bytes(&t.encoder.moments), 0);
    trial_close(&t);
}

/* Eight bits over the clipped range: half a code off at most. */
static void codes_are_near_what_they_stand_for(void **state)
{
    (void)state;
    static const float dense[VECTOR] = {-4, 0, 3.97f, 0.015f};
    static room r;
    int8_t code[VECTOR];
    trial t;
    open_for_vectors(&t, &r);
    atoll_encoder_code(dense, VECTOR, code);
    assert_true(code[0] == -127 && code[1] == 0);
    atoll_encoder_decode(&t.encoder, code, VECTOR, &r.encoded);
    assert_true(r.encoded.has_dense);
    for (int i = 0; i < VECTOR; i++)
        assert_near(r.dense[i], dense[i], 4.0 / 127 / 2 + 1e-6);
    trial_close(&t);
}

/* A dimension that is still but for a few vectors is divided by an eighth of its spread, not by its deviation. */
static void a_quiet_dimension_is_not_blown_up(void **state)
{
    (void)state;
    static room r;
    trial t;
    open_for_vectors(&t, &r);
    for (int n = 0; n < ATOLL_SCALE_RECORDS; n++) {
        const float v[VECTOR] = {n == 100 ? 16.0f : 0, n % 2 ? 1e-6f : -1e-6f, n % 2 ? 1e9f : -1e9f, 5};
        learn(&t, NULL, 0, v);
    }
    static const float asked[VECTOR] = {3, 1e-6f, -2e9f, 6};
    atoll_encoder_scale(&t.encoder, asked, &r.encoded);
    assert_near(r.dense[0], (3 - 16.0 / ATOLL_SCALE_RECORDS) / 2, 1e-4);
    assert_near(r.dense[1], 1, 1e-4);
    assert_near(r.dense[2], -2, 1e-4);
    assert_near(r.dense[3], 1, 1e-6);
    trial_close(&t);
}

/* ---- embeddings ---- */

static double length_of(const float *x)
{
    return sqrt(atoll_dot(x, x, DIM));
}

static void embed_text(trial *t, const char *text, room *r, int learned)
{
    static atoll_term terms[ATOLL_FEATURES_MAX];
    uint32_t count;
    room_init(r);
    assert_int_equal(atoll_terms_extract(t->scratch, (atoll_slice){text, strlen(text)}, BUCKETS, terms, &count, NULL),
                     ATOLL_OK);
    atoll_encoder_weigh(&t->encoder, terms, count, &r->encoded);
    atoll_encoder_embed(&t->encoder, &r->encoded);
    if (learned)
        learn(t, terms, count, NULL);
}

static void alike_texts_lie_near(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"please transfer money to my savings account", "transfer some money into the savings account"},
        {"what is the weather in Paris tomorrow", "tell me tomorrow's weather for Paris"},
        {"a library for parsing XML documents", "parser library for XML documents and fragments"},
        {"set an alarm for seven in the morning", "set my alarm to seven this morning"},
    };
    enum { PAIRS = sizeof pairs / sizeof pairs[0] };
    static room r[PAIRS][2];
    trial t;
    trial_open(&t);
    for (int learned = 1; learned >= 0; learned--)
        for (int i = 0; i < PAIRS; i++)
            for (int k = 0; k < 2; k++)
                embed_text(&t, pairs[i][k], &r[i][k], learned);
    for (int i = 0; i < PAIRS; i++) {
        assert_near(length_of(r[i][0].embedding), 1, 1e-5);
        double alike = atoll_dot(r[i][0].embedding, r[i][1].embedding, DIM);
        assert_true(alike > 0.2);
        for (int j = 0; j < PAIRS; j++)
            for (int k = 0; k < 2 && j != i; k++)
                assert_true(atoll_dot(r[i][0].embedding, r[j][k].embedding, DIM) < alike - 0.05);
    }
    static room again;
    embed_text(&t, pairs[1][0], &again, 0);
    assert_memory_equal(again.embedding, r[1][0].embedding, sizeof again.embedding);
    trial_close(&t);
}

static void vectors_keep_their_angles(void **state)
{
    (void)state;
    static const float v[3][VECTOR] = {{1, 1, 0, 0}, {1, 0.8f, 0.1f, 0}, {0, 0, -1, 1}};
    static room r[3];
    trial t;
    trial_open(&t);
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, VECTOR, NULL), ATOLL_OK);
    for (int i = 0; i < 3; i++) {
        room_init(&r[i]);
        r[i].encoded.features = 0;
        atoll_encoder_scale(&t.encoder, v[i], &r[i].encoded);
        atoll_encoder_embed(&t.encoder, &r[i].encoded);
        assert_near(length_of(r[i].embedding), 1, 1e-5);
    }
    assert_true(atoll_dot(r[0].embedding, r[1].embedding, DIM) > 0.9);
    assert_true(fabsf(atoll_dot(r[0].embedding, r[2].embedding, DIM)) < 0.4f);
    static const float zero[VECTOR];
    atoll_encoder_scale(&t.encoder, zero, &r[0].encoded);
    atoll_encoder_embed(&t.encoder, &r[0].encoded);
    for (int i = 0; i < DIM; i++)
        assert_true(r[0].embedding[i] == 0);
    trial_close(&t);
}

/* However many dimensions are projected at once. */
static void each_dimension_has_signs_of_its_own(void **state)
{
    (void)state;
    enum { WIDE = 600, BEHIND_BUCKETS = 1 << 24 };
    static const uint32_t one[] = {0, 255, 256, 599};
    static float vector[WIDE], dense[WIDE];
    static room r;
    trial t;
    trial_open(&t);
    room_init(&r);
    r.encoded.features = 0;
    r.encoded.dense = dense;
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, WIDE, NULL), ATOLL_OK);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        float expected[DIM] = {0}, weight = 1;
        uint32_t bucket = BEHIND_BUCKETS + one[i];
        vector[one[i]] = 1;
        atoll_encoder_scale(&t.encoder, vector, &r.encoded);
        atoll_encoder_embed(&t.encoder, &r.encoded);
        vector[one[i]] = 0;
        atoll_project_sparse(&bucket, &weight, 1, t.encoder.seed, expected, DIM);
        atoll_normalise(expected, DIM);
        for (uint32_t k = 0; k < DIM; k++)
            assert_near(r.embedding[k], expected[k], 1e-6);
    }
    trial_close(&t);
}

/* Text and vector weigh the same, whatever their scales. */
static void both_parts_have_their_say(void **state)
{
    (void)state;
    static const float v[VECTOR] = {0.001f, -0.002f, 0.0005f, 0};
    static room text, vector, both;
    trial t;
    trial_open(&t);
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, VECTOR, NULL), ATOLL_OK);
    embed_text(&t, "words beside numbers", &text, 0);
    room_init(&vector);
    atoll_encoder_scale(&t.encoder, v, &vector.encoded);
    atoll_encoder_embed(&t.encoder, &vector.encoded);
    embed_text(&t, "words beside numbers", &both, 0);
    atoll_encoder_scale(&t.encoder, v, &both.encoded);
    atoll_encoder_embed(&t.encoder, &both.encoded);
    assert_near(length_of(both.embedding), 1, 1e-5);
    float sum[DIM];
    for (int i = 0; i < DIM; i++)
        sum[i] = text.embedding[i] + vector.embedding[i];
    assert_true(atoll_normalise(sum, DIM));
    for (int i = 0; i < DIM; i++)
        assert_near(both.embedding[i], sum[i], 1e-5);
    trial_close(&t);
}

/* Neither projected nor scaled, and words have no say in it. */
static void an_embedding_from_outside_is_the_vector_itself(void **state)
{
    (void)state;
    static room r;
    static float vector[DIM], dense[DIM];
    trial t;
    trial_open(&t);
    room_init(&r);
    r.encoded.dense = dense;
    t.encoder.outside = true;
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, DIM, NULL), ATOLL_OK);
    for (int i = 0; i < DIM; i++)
        vector[i] = (float)(i % 7) - 3;
    learn(&t, NULL, 0, vector);
    atoll_term word = term(9, 1);
    atoll_encoder_weigh(&t.encoder, &word, 1, &r.encoded);
    atoll_encoder_scale(&t.encoder, vector, &r.encoded);
    atoll_encoder_embed(&t.encoder, &r.encoded);
    assert_true(atoll_normalise(vector, DIM));
    assert_memory_equal(r.embedding, vector, sizeof vector);
    assert_false(atoll_encoder_lacks(&t.encoder, r.embedding));

    room_init(&r); /* words alone are near nothing */
    atoll_encoder_weigh(&t.encoder, &word, 1, &r.encoded);
    atoll_encoder_embed(&t.encoder, &r.encoded);
    for (int i = 0; i < DIM; i++)
        assert_true(r.embedding[i] == 0);
    assert_true(atoll_encoder_lacks(&t.encoder, r.embedding));
    t.encoder.outside = false;
    assert_false(atoll_encoder_lacks(&t.encoder, r.embedding));
    trial_close(&t);
}

static void frozen_encoders_do_not_learn(void **state)
{
    (void)state;
    static const float v[2][VECTOR] = {{1, 2, 3, 4}, {4, 3, 2, 0}};
    static room r;
    float weight[40], dense[VECTOR];
    atoll_term terms[40];
    trial t;
    trial_open(&t);
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, VECTOR, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < 40; i++)
        terms[i] = term(i * 1500, 1 + i);
    learn(&t, terms, 20, v[0]);
    learn(&t, terms, 20, v[1]);
    room_init(&r);
    atoll_encoder frozen = t.encoder;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    atoll_encoder_weigh(&frozen, terms, 40, &r.encoded);
    atoll_encoder_scale(&frozen, v[0], &r.encoded);
    memcpy(weight, r.weight, sizeof weight);
    memcpy(dense, r.dense, sizeof dense);
    for (uint32_t i = 0; i < 20; i++)
        learn(&t, terms + i, 10, v[i % 2]);
    atoll_encoder_weigh(&frozen, terms, 40, &r.encoded);
    atoll_encoder_scale(&frozen, v[0], &r.encoded);
    assert_memory_equal(r.weight, weight, sizeof weight);
    assert_memory_equal(r.dense, dense, sizeof dense);
    atoll_encoder_weigh(&t.encoder, terms, 40, &r.encoded);
    assert_memory_not_equal(r.weight, weight, sizeof weight);
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    trial_close(&t);
}

static void short_memory_is_a_status(void **state)
{
    (void)state;
    static const float v[VECTOR] = {1, 2, 3, 4};
    const atoll_term one = term(5, 1);
    trial t;
    trial_open(&t);
    blocks_left = 2; /* the table of frequencies takes more */
    assert_int_equal(atoll_encoder_learn(&t.pager, &t.encoder, &one, 1, NULL, 0, NULL), ATOLL_NO_MEMORY);
    blocks_left = 0;
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, VECTOR, NULL), ATOLL_NO_MEMORY);
    assert_int_equal(t.encoder.vector_dim, 0);
    atoll_reclaim_advance(t.pager.reclaim);
    assert_int_equal(atoll_encoder_learn(&t.pager, &t.encoder, &one, 1, NULL, 0, NULL), ATOLL_NO_MEMORY);
    blocks_left = LONG_MAX;
    assert_int_equal(atoll_encoder_set_vector(&t.pager, &t.encoder, VECTOR, NULL), ATOLL_OK);
    learn(&t, &one, 1, v);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idf_is_what_was_learned_before),
        cmocka_unit_test(features_are_of_unit_length),
        cmocka_unit_test(each_kind_has_the_same_part),
        cmocka_unit_test(shapes_have_what_they_say_beside_words),
        cmocka_unit_test(features_stand_in_the_order_of_common_known_and_rare),
        cmocka_unit_test(the_order_is_not_in_the_embedding),
        cmocka_unit_test(vectors_are_scaled_by_the_past),
        cmocka_unit_test(the_scale_settles),
        cmocka_unit_test(heavy_tails_are_bent),
        cmocka_unit_test(a_quiet_dimension_is_not_blown_up),
        cmocka_unit_test(codes_are_near_what_they_stand_for),
        cmocka_unit_test(alike_texts_lie_near),
        cmocka_unit_test(vectors_keep_their_angles),
        cmocka_unit_test(each_dimension_has_signs_of_its_own),
        cmocka_unit_test(both_parts_have_their_say),
        cmocka_unit_test(an_embedding_from_outside_is_the_vector_itself),
        cmocka_unit_test(frozen_encoders_do_not_learn),
        cmocka_unit_test(short_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
