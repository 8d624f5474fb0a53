#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/features.h"
#include "core/limits.h"
#include "core/rng.h"

enum { BUCKETS = 1 << 20 };

static int set_up(void **state)
{
    *state = atoll_text_scratch_new();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    atoll_text_scratch_free(*state);
    return 0;
}

/* The terms of `text`, checked to be ascending and inside their ranges. */
static uint32_t extract(atoll_text_scratch *scratch, const char *text, size_t bytes, uint32_t buckets,
                        atoll_term *terms)
{
    uint32_t count = 0;
    atoll_error error;
    assert_int_equal(atoll_terms_extract(scratch, (atoll_slice){text, bytes}, buckets, terms, &count, &error),
                     ATOLL_OK);
    assert_in_range(count, 1, ATOLL_FEATURES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(atoll_term_bucket(terms[i]) < buckets);
        assert_true(atoll_term_tf(terms[i]) > 0);
        if (i > 0)
            assert_true(atoll_term_bucket(terms[i - 1]) < atoll_term_bucket(terms[i]));
    }
    return count;
}

static uint32_t tf_sum(const atoll_term *terms, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += atoll_term_tf(terms[i]);
    return sum;
}

static void counts_every_kind(void **state)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    /* ^a$ as a 3-gram and the word. */
    assert_int_equal(extract(*state, "a", 1, BUCKETS, terms), 2);
    /* ^cat$: 3 + 2 + 1 n-grams and the word. */
    assert_int_equal(extract(*state, "cat", 3, BUCKETS, terms), 7);
    /* Two words and a bigram; "cat" occurs twice. The shapes of both marks and of "Cat!". */
    uint32_t count = extract(*state, "cat, Cat!", 9, BUCKETS, terms);
    assert_int_equal(count, 11);
    assert_int_equal(tf_sum(terms, count), 18);
    uint32_t kinds[ATOLL_TERM_KINDS] = {0};
    for (uint32_t i = 0; i < count; i++)
        kinds[atoll_term_kind(terms[i])]++;
    assert_int_equal(kinds[ATOLL_TERM_WORD], 1);
    assert_int_equal(kinds[ATOLL_TERM_BIGRAM], 1);
    assert_int_equal(kinds[ATOLL_TERM_NGRAM], 6);
    assert_int_equal(kinds[ATOLL_TERM_SHAPE], 3);
}

static void short_ngrams_are_read_beyond_ascii(void **state)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    /* The word, ^ne, ne$, ^ne$; of the accented letter itself, with what is before it, and with the end. */
    assert_int_equal(extract(*state, "n\xc3\xa9", 3, BUCKETS, terms), 4 + 3);
    assert_int_equal(extract(*state, "ne", 2, BUCKETS, terms), 4);
    assert_int_equal(extract(*state, "\xe4\xb8\xad", 3, BUCKETS, terms), 2); /* an ideograph is a word */
    /* Two syllables: each, three pairs with the marks of the ends, and what any word of two letters is. */
    assert_int_equal(extract(*state, "\xed\x95\x9c\xea\xb5\xad", 6, BUCKETS, terms), 4 + 2 + 3);
}

/* The shapes among the terms of `text`. */
static uint32_t shapes_of(atoll_text_scratch *scratch, const char *text, atoll_term *shape)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    uint32_t count = extract(scratch, text, strlen(text), BUCKETS, terms), shapes = 0;
    for (uint32_t i = 0; i < count; i++)
        if (atoll_term_kind(terms[i]) == ATOLL_TERM_SHAPE)
            shape[shapes++] = terms[i];
    return shapes;
}

static bool alike(atoll_text_scratch *scratch, const char *const pair[2])
{
    atoll_term one[ATOLL_FEATURES_MAX], other[ATOLL_FEATURES_MAX];
    uint32_t n = shapes_of(scratch, pair[0], one), m = shapes_of(scratch, pair[1], other);
    return n == m && !memcmp(one, other, n * sizeof *one);
}

static void shapes_tell_what_words_leave_out(void **state)
{
    static const char *const same[][2] = {
        {"2026-11-22", "1999-01-30"},
        {"Some Words", "Other Text"}, /* how many letters a word has is not told */
        {"(see below)", "(or above)"},
        {"cafe\xcc\x81, noir", "caf\xc3\xa9, noir"}, /* decomposed and composed */
        {"yes\xef\xbc\x81", "yes!"}, /* a full-width exclamation mark */
        {"\xe2\x9d\xa4\xef\xb8\x8f", "\xe2\x9d\xa4"}, /* a heart, with and without a wish to see it as an emoji */
        {"wait....", "what..."}, /* three marks stand for as many as there are */
        {"no shape", "at all"},
    };
    static const char *const unlike[][2] = {
        {"2026-11-22", "2026/11/22"},
        {"1234", "12345"},
        {"Word", "WORD"},
        {"camelCase", "camelcase"},
        {"call(this)", "call (this)"},
        {"what?", "what?!"},
        {"'quoted'", "\"quoted\""},
        {"one two", "one, two"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\xa2"}, /* a face that grins, one that cries */
    };
    atoll_term shape[ATOLL_FEATURES_MAX];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_true(alike(*state, same[i]));
    for (size_t i = 0; i < sizeof unlike / sizeof *unlike; i++)
        assert_false(alike(*state, unlike[i]));
    assert_int_equal(shapes_of(*state, "no shape", shape), 0);
    assert_int_equal(shapes_of(*state, "well-known", shape), 1); /* the hyphen between letters */
    assert_int_equal(shapes_of(*state, "(aside)", shape), 3);    /* two marks, and the whole */
    assert_int_equal(shapes_of(*state, ":-)", shape), 1);
    assert_int_equal(shapes_of(*state, "B2", shape), 1);
}

/* Shapes of a long text are read to a limit, and its words all the same. */
static void shapes_leave_room_for_words(void **state)
{
    static const char mark[] = "!?.,:;#+";
    char text[4096];
    atoll_term terms[ATOLL_FEATURES_MAX];
    size_t used = 0;
    for (int i = 0; i < 512; i++)
        used += (size_t)sprintf(text + used, "%c%c%c ", mark[i % 8], mark[i / 8 % 8], mark[i / 64]);
    memcpy(text + used, "word", sizeof "word");
    assert_int_equal(shapes_of(*state, text, terms), 256);
    assert_int_equal(extract(*state, text, strlen(text), BUCKETS, terms), 256 + 1 + 9);
}

static int ascending(const void *a, const void *b)
{
    return (*(const atoll_term *)a > *(const atoll_term *)b) - (*(const atoll_term *)a < *(const atoll_term *)b);
}

/* The same terms as they came, and of which word each is. */
static void terms_in_order_tell_their_words(void **state)
{
    static const char text[] = "the cat saw the cat a dog saw it";
    atoll_term sorted[ATOLL_FEATURES_MAX], terms[ATOLL_FEATURES_MAX];
    uint8_t word[ATOLL_FEATURES_MAX];
    atoll_error error;
    uint32_t count, same = extract(*state, text, sizeof text - 1, BUCKETS, sorted);
    assert_int_equal(atoll_terms_in_order(*state, (atoll_slice){text, sizeof text - 1}, BUCKETS, terms, &count, &error),
                     ATOLL_OK);
    assert_int_equal(count, same);
    assert_int_equal(atoll_term_kind(terms[0]), ATOLL_TERM_WORD);
    assert_int_equal(atoll_term_tf(terms[0]), 2);
    /* Of "the cat" the second time "the" ends a new bigram, and "cat" brings nothing. */
    assert_int_equal(atoll_terms_words(terms, count, word), 8);
    uint32_t words[8] = {0}, own = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(i == 0 ? word[i] == 0 : word[i] == word[i - 1] || word[i] == word[i - 1] + 1);
        words[word[i]]++;
        own += atoll_term_kind(terms[i]) == ATOLL_TERM_WORD;
    }
    assert_int_equal(own, 6);
    assert_int_equal(words[0], 7);     /* the, and its n-grams */
    assert_int_equal(words[1], 1 + 7); /* the cat, cat, and its n-grams */
    assert_int_equal(words[3], 1);     /* saw the */
    static const char *const expected[8] = {"the", "cat", "saw", "the", "a", "dog", "saw", "it"};
    for (uint32_t i = 0; i < count; i++) {
        char told[8];
        size_t bytes = atoll_terms_word(*state, i, told, sizeof told);
        assert_int_equal(bytes, strlen(expected[word[i]]));
        assert_memory_equal(told, expected[word[i]], bytes);
    }
    assert_int_equal(atoll_terms_word(*state, 0, (char[2]){0}, 2), 2);
    qsort(terms, count, sizeof *terms, ascending);
    assert_memory_equal(terms, sorted, count * sizeof *terms);
    assert_int_equal(atoll_terms_words(terms, 0, word), 0);
}

static void shapes_are_the_first_words(void **state)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    uint8_t word[ATOLL_FEATURES_MAX];
    uint32_t count;
    char told[8];
    assert_int_equal(atoll_terms_in_order(*state, (atoll_slice){"Red, dog", 8}, BUCKETS, terms, &count, NULL),
                     ATOLL_OK);
    assert_int_equal(atoll_terms_words(terms, count, word), 2);
    for (uint32_t i = 0; i < count; i++) {
        bool shape = atoll_term_kind(terms[i]) == ATOLL_TERM_SHAPE;
        assert_true(word[i] == 0 || !shape);
        assert_int_equal(atoll_terms_word(*state, i, told, sizeof told), shape ? 0 : 3);
    }
    assert_int_equal(atoll_terms_in_order(*state, (atoll_slice){":-) ;", 5}, BUCKETS, terms, &count, NULL), ATOLL_OK);
    assert_int_equal(count, 2);
    assert_int_equal(atoll_terms_words(terms, count, word), 1);
}

/* A long text's last words are one. */
static void words_are_limited(void **state)
{
    enum { WORDS = ATOLL_TOKENS_MAX + 40 };
    char text[8 * WORDS];
    atoll_term terms[ATOLL_FEATURES_MAX];
    uint8_t word[ATOLL_FEATURES_MAX];
    uint32_t count;
    size_t used = 0;
    for (int i = 0; i < WORDS; i++)
        used += (size_t)sprintf(text + used, "%d ", 1000 + 7 * i);
    assert_int_equal(atoll_terms_in_order(*state, (atoll_slice){text, used}, BUCKETS, terms, &count, NULL), ATOLL_OK);
    assert_int_equal(atoll_terms_words(terms, count, word), ATOLL_TOKENS_MAX);
    assert_int_equal(word[count - 1], ATOLL_TOKENS_MAX - 1);
    assert_int_equal(word[count - 100], ATOLL_TOKENS_MAX - 1);
}

static void order_of_words_matters_to_bigrams_only(void **state)
{
    atoll_term one[ATOLL_FEATURES_MAX], other[ATOLL_FEATURES_MAX];
    uint32_t n = extract(*state, "red dog", 7, BUCKETS, one), m = extract(*state, "dog red", 7, BUCKETS, other);
    assert_int_equal(n, m);
    uint32_t shared = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < m; j++)
            shared += one[i] == other[j];
    assert_int_equal(shared, n - 1);
}

static void hashes_stay(void **state)
{
    /* Stored exemplars and weights rest on these numbers: they may not change without a new format. */
    atoll_term terms[ATOLL_FEATURES_MAX];
    uint64_t sum = 0;
    const char *text = "the quick brown fox jumps over the lazy dog";
    uint32_t count = extract(*state, text, strlen(text), BUCKETS, terms);
    for (uint32_t i = 0; i < count; i++)
        sum = sum * 31 + terms[i];
    assert_int_equal(count, 88);
    assert_int_equal(sum, UINT64_C(12942775114079416639));
    count = shapes_of(*state, "On 2026-11-22, at 09:30: \"DONE!\" \xe2\x80\x93 fooBar(x) \xf0\x9f\x98\x80", terms);
    for (uint32_t i = 0; i < count; i++)
        sum = sum * 31 + terms[i];
    assert_int_equal(count, 15);
    assert_int_equal(sum, UINT64_C(0xf02c2029e7547821));
}

static void ascii_shortcut_gives_the_same_terms(void **state)
{
    atoll_term one[ATOLL_FEATURES_MAX], other[ATOLL_FEATURES_MAX];
    atoll_rng rng;
    atoll_rng_seed(&rng, 7, 0);
    for (int round = 0; round < 300; round++) {
        char text[260];
        size_t bytes = 1 + atoll_rng_below(&rng, 250);
        text[0] = 'x';
        for (size_t i = 1; i < bytes; i++)
            text[i] = (char)atoll_rng_below(&rng, 128);
        uint32_t n = extract(*state, text, bytes, BUCKETS, one);
        memcpy(text + bytes, "\xe2\x80\x8b", 3); /* a space of no width, which is ignorable */
        uint32_t m = extract(*state, text, bytes + 3, BUCKETS, other);
        assert_int_equal(n, m);
        assert_memory_equal(one, other, n * sizeof *one);
    }
}

/* What is sent for changes no term, and may hold fewer elements than there are buckets, or none. */
static void looking_ahead_changes_nothing(void **state)
{
    atoll_pager pager = {.reclaim = atoll_reclaim_new()};
    atoll_array array;
    atoll_term one[ATOLL_FEATURES_MAX], other[ATOLL_FEATURES_MAX];
    const char *text = "what is read next is sent for";
    uint32_t n = extract(*state, text, strlen(text), BUCKETS, one);
    assert_non_null(pager.reclaim);
    atoll_array_init(&array, sizeof(uint32_t));
    for (uint32_t elements = 0; elements <= BUCKETS; elements += BUCKETS / 2) {
        assert_int_equal(atoll_array_grow(&pager, &array, elements, NULL), ATOLL_OK);
        atoll_terms_seek(*state, &array);
        assert_int_equal(extract(*state, text, strlen(text), BUCKETS, other), n);
        assert_memory_equal(one, other, n * sizeof *one);
    }
    atoll_array_clear(&pager, &array);
    atoll_reclaim_free(pager.reclaim);
}

static void tf_saturates(void **state)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    char text[2 * 300];
    for (int i = 0; i < 300; i++)
        memcpy(text + 2 * i, "a ", 2);
    uint32_t count = extract(*state, text, sizeof text, BUCKETS, terms);
    assert_int_equal(count, 3); /* the word, its 3-gram, its bigram with itself */
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(atoll_term_tf(terms[i]), ATOLL_TERM_TF_MAX);
}

static void long_words_are_read_to_a_limit(void **state)
{
    atoll_term one[ATOLL_FEATURES_MAX], other[ATOLL_FEATURES_MAX];
    char text[201];
    memset(text, 'b', sizeof text);
    for (int i = 0; i < 64; i++)
        text[i] = (char)('a' + i % 26);
    uint32_t n = extract(*state, text, 200, BUCKETS, one), m = extract(*state, text, 201, BUCKETS, other);
    assert_int_equal(n, m);
    /* The words differ, their n-grams do not. */
    uint32_t shared = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < m; j++)
            shared += one[i] == other[j];
    assert_int_equal(shared, n - 1);
}

static void long_texts_fill_to_the_limit(void **state)
{
    atoll_term *terms = malloc(ATOLL_FEATURES_MAX * sizeof *terms);
    char *text = malloc(ATOLL_TEXT_MAX_BYTES);
    assert_true(terms && text);
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 0);
    for (size_t i = 0; i < ATOLL_TEXT_MAX_BYTES; i++)
        text[i] = i % 8 == 7 ? ' ' : (char)('a' + atoll_rng_below(&rng, 26));
    assert_int_equal(extract(*state, text, ATOLL_TEXT_MAX_BYTES, BUCKETS, terms), ATOLL_FEATURES_MAX);
    assert_int_equal(extract(*state, text, ATOLL_TEXT_MAX_BYTES, 1 << 24, terms), ATOLL_FEATURES_MAX);
    assert_int_equal(extract(*state, text, ATOLL_TEXT_MAX_BYTES, 1024, terms), 1024);
    /* The beginning of the text is what was kept. */
    atoll_term first[ATOLL_FEATURES_MAX];
    uint32_t all = extract(*state, text, ATOLL_TEXT_MAX_BYTES, BUCKETS, terms);
    uint32_t few = extract(*state, text, 7, BUCKETS, first);
    for (uint32_t i = 0; i < few; i++) {
        bool found = false;
        for (uint32_t j = 0; j < all; j++)
            found |= atoll_term_bucket(terms[j]) == atoll_term_bucket(first[i]);
        assert_true(found);
    }
    free(text);
    free(terms);
}

static void refuses_bad_text(void **state)
{
    atoll_term terms[ATOLL_FEATURES_MAX];
    uint32_t count = 1;
    atoll_error error;
    assert_int_equal(atoll_terms_extract(*state, (atoll_slice){"", 0}, BUCKETS, terms, &count, &error),
                     ATOLL_EMPTY_TEXT);
    assert_int_equal(count, 0);
    assert_int_equal(atoll_terms_extract(*state, (atoll_slice){" \n\t ", 4}, BUCKETS, terms, &count, &error),
                     ATOLL_EMPTY_TEXT);
    assert_int_equal(atoll_terms_extract(*state, (atoll_slice){"ab\xff", 3}, BUCKETS, terms, &count, &error),
                     ATOLL_INVALID_UTF8);
    assert_int_equal(error.status, ATOLL_INVALID_UTF8);
}

static void projects_with_signs_to_all_coordinates(void **state)
{
    (void)state;
    static const uint32_t dims[] = {16, 24, 200, 256, 4096};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        uint32_t dim = dims[d];
        float *sum = calloc(dim, sizeof *sum), *one = calloc(dim, sizeof *one);
        uint32_t *hits = calloc(dim, sizeof *hits);
        assert_true(sum && one && hits);
        uint32_t buckets = 20 * dim;
        for (uint32_t bucket = 0; bucket < buckets; bucket++) {
            memset(one, 0, dim * sizeof *one);
            atoll_project_sparse(&bucket, &(float){2}, 1, 5, one, dim);
            uint32_t nonzeros = 0;
            for (uint32_t i = 0; i < dim; i++) {
                assert_true(one[i] == 0 || fabsf(one[i]) == 2 || (dim % 16 != 0 && fabsf(one[i]) == 4));
                nonzeros += one[i] != 0;
                hits[i] += one[i] != 0;
                sum[i] += one[i];
            }
            /* Where 16 does not divide dim, neighbouring stretches share a coordinate. */
            assert_in_range(nonzeros, dim % 16 == 0 ? 16 : 1, 16);
            if (dim == 4096 && bucket == 2000)
                break;
        }
        for (uint32_t i = 0; i < dim && dim < 4096; i++) {
            double mean = (double)buckets * ATOLL_PROJECTION_NONZEROS / dim;
            assert_true(hits[i] > mean / 3 && hits[i] < 2 * mean);
            assert_true(fabsf(sum[i]) < 2 * 6 * sqrtf((float)hits[i]));
        }
        free(sum);
        free(one);
        free(hits);
    }
}

/* Half as many coordinates are pairs of neighbours; sums of small whole numbers have no order. */
static void projection_folds(void **state)
{
    (void)state;
    enum { N = 300 };
    uint32_t bucket[N];
    float weight[N], wide[512] = {0}, narrow[256] = {0};
    atoll_rng rng;
    atoll_rng_seed(&rng, 11, 0);
    for (uint32_t i = 0; i < N; i++) {
        bucket[i] = atoll_rng_below(&rng, BUCKETS);
        weight[i] = (float)(1 + atoll_rng_below(&rng, 9));
    }
    atoll_project_sparse(bucket, weight, N, 5, wide, 512);
    atoll_project_sparse(bucket, weight, N / 2, 5, narrow, 256); /* what comes later is added */
    atoll_project_sparse(bucket + N / 2, weight + N / 2, N - N / 2, 5, narrow, 256);
    for (uint32_t i = 0; i < 256; i++)
        assert_true(narrow[i] == wide[2 * i] + wide[2 * i + 1]);
}

static void projection_keeps_angles(void **state)
{
    (void)state;
    enum { N = 200, DIM = 256 };
    atoll_rng rng;
    atoll_rng_seed(&rng, 11, 0);
    double error = 0;
    for (int round = 0; round < 50; round++) {
        uint32_t a[N], b[N];
        float w[N], x[DIM] = {0}, y[DIM] = {0};
        /* Half of the buckets are shared, so the cosine is one half. */
        for (int i = 0; i < N; i++) {
            a[i] = atoll_rng_below(&rng, BUCKETS);
            b[i] = i % 2 ? a[i] : atoll_rng_below(&rng, BUCKETS);
            w[i] = 1;
        }
        atoll_project_sparse(a, w, N, 1, x, DIM);
        atoll_project_sparse(b, w, N, 1, y, DIM);
        double xy = 0, xx = 0, yy = 0;
        for (int i = 0; i < DIM; i++) {
            xy += (double)x[i] * y[i];
            xx += (double)x[i] * x[i];
            yy += (double)y[i] * y[i];
        }
        error += fabs(xy / sqrt(xx * yy) - 0.5);
    }
    assert_true(error / 50 < 0.08); /* about 1 / sqrt(256) is expected */
}

static void projection_depends_on_seed_only(void **state)
{
    (void)state;
    uint32_t buckets[3] = {1, 77, 999999};
    float weights[3] = {0.5f, 1, 2}, x[64] = {0}, y[64] = {0}, z[64] = {0};
    atoll_project_sparse(buckets, weights, 3, 1, x, 64);
    atoll_project_sparse(buckets, weights, 3, 1, y, 64);
    atoll_project_sparse(buckets, weights, 3, 2, z, 64);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_not_equal(x, z, sizeof x);
}

static void free_takes_null(void **state)
{
    (void)state;
    atoll_text_scratch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_every_kind),
        cmocka_unit_test(short_ngrams_are_read_beyond_ascii),
        cmocka_unit_test(shapes_tell_what_words_leave_out),
        cmocka_unit_test(shapes_leave_room_for_words),
        cmocka_unit_test(terms_in_order_tell_their_words),
        cmocka_unit_test(shapes_are_the_first_words),
        cmocka_unit_test(words_are_limited),
        cmocka_unit_test(order_of_words_matters_to_bigrams_only),
        cmocka_unit_test(hashes_stay),
        cmocka_unit_test(ascii_shortcut_gives_the_same_terms),
        cmocka_unit_test(looking_ahead_changes_nothing),
        cmocka_unit_test(tf_saturates),
        cmocka_unit_test(long_words_are_read_to_a_limit),
        cmocka_unit_test(long_texts_fill_to_the_limit),
        cmocka_unit_test(refuses_bad_text),
        cmocka_unit_test(projects_with_signs_to_all_coordinates),
        cmocka_unit_test(projection_folds),
        cmocka_unit_test(projection_keeps_angles),
        cmocka_unit_test(projection_depends_on_seed_only),
        cmocka_unit_test(free_takes_null),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
