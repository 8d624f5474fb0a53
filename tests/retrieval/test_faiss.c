#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "retrieval/faiss.h"
#include "tests/retrieval/clustered.h"

static atoll_faiss *trained_on(uint32_t lists, uint32_t count, const uint16_t *const *rows)
{
    void *trained;
    size_t bytes;
    atoll_faiss *faiss;
    assert_int_equal(atoll_faiss_train(DIM, lists, count, rows, &trained, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_new(trained, bytes, &faiss, NULL), ATOLL_OK);
    free(trained);
    return faiss;
}

static atoll_faiss *holding(uint32_t lists, uint32_t count)
{
    atoll_faiss *faiss = trained_on(lists, COUNT, row);
    assert_int_equal(atoll_faiss_add(faiss, count, vectors, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_count(faiss), count);
    return faiss;
}

static void assert_same_answers(const atoll_faiss *one, const atoll_faiss *other)
{
    for (uint32_t i = 0; i < 100; i++) {
        int64_t number[2][20];
        float score[2][20];
        uint32_t count = atoll_faiss_search(one, vectors + (size_t)i * DIM, 5, 20, number[0], score[0]);
        assert_int_equal(atoll_faiss_search(other, vectors + (size_t)i * DIM, 5, 20, number[1], score[1]), count);
        assert_memory_equal(number[0], number[1], count * sizeof(int64_t));
        assert_memory_equal(score[0], score[1], count * sizeof(float));
    }
}

static void training_is_repeatable(void **state)
{
    (void)state;
    void *data[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(atoll_faiss_train(DIM, LISTS, COUNT, row, &data[i], &bytes[i], NULL), ATOLL_OK);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    free(data[0]);
    free(data[1]);
}

static void few_or_equal_vectors_are_enough(void **state)
{
    (void)state;
    const uint16_t *same[LISTS];
    int64_t list;
    for (int i = 0; i < LISTS; i++)
        same[i] = row[0];
    for (int equal = 0; equal < 2; equal++) {
        atoll_faiss *faiss = trained_on(LISTS, LISTS, equal ? same : row);
        assert_int_equal(atoll_faiss_nearest(faiss, vectors, 1, &list), 1);
        assert_int_equal(atoll_faiss_add(faiss, 1, vectors, NULL), ATOLL_OK);
        atoll_faiss_free(faiss);
    }
}

static void damage_is_found(void **state)
{
    (void)state;
    void *trained;
    size_t bytes;
    atoll_faiss *faiss;
    assert_int_equal(atoll_faiss_train(DIM, LISTS, COUNT, row, &trained, &bytes, NULL), ATOLL_OK);
    for (size_t short_of = 1; short_of < bytes; short_of = 3 * short_of + 1)
        assert_int_equal(atoll_faiss_new(trained, bytes - short_of, &faiss, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_faiss_new(trained, 0, &faiss, NULL), ATOLL_DAMAGED);
    assert_null(faiss);
    uint8_t *at = trained;
    for (size_t i = 0; i < bytes; i += 1 + bytes / 300) {
        at[i] ^= 1;
        assert_int_equal(atoll_faiss_new(trained, bytes, &faiss, NULL), ATOLL_DAMAGED);
        at[i] ^= 1;
    }
    /* Whole, and not what FAISS wrote. */
    uint64_t text[2] = {0, 17};
    text[0] = atoll_hash64(&text[1], sizeof text[1], 0);
    assert_int_equal(atoll_faiss_new(text, sizeof text, &faiss, NULL), ATOLL_DAMAGED);
    free(trained);
}

/* What has `value` at `at` instead, behind a checksum of that, is refused. */
static void assert_refused(uint8_t *trained, size_t bytes, uint8_t *at, uint64_t value)
{
    uint64_t before, hash;
    atoll_faiss *faiss;
    memcpy(&before, at, sizeof before);
    memcpy(at, &value, sizeof value);
    hash = atoll_hash64(trained + sizeof hash, bytes - sizeof hash, 0);
    memcpy(trained, &hash, sizeof hash);
    assert_int_equal(atoll_faiss_new(trained, bytes, &faiss, NULL), ATOLL_DAMAGED);
    assert_null(faiss);
    memcpy(at, &before, sizeof before);
}

/* Sizes that do not fit one another, which FAISS reads all the same: others it refuses, and leaks what it has read. */
static void sizes_that_do_not_fit_are_found(void **state)
{
    (void)state;
    void *trained;
    size_t bytes;
    assert_int_equal(atoll_faiss_train(DIM, LISTS, COUNT, row, &trained, &bytes, NULL), ATOLL_OK);
    uint8_t *data = trained, *codes = NULL, *dim = data + sizeof(uint64_t) + sizeof(uint32_t); /* checksum and kind */
    uint64_t word, shape[] = {DIM, DIM / 2, 4};
    for (size_t at = sizeof word; !codes && at + sizeof shape <= bytes; at++)
        if (memcmp(data + at, shape, sizeof shape) == 0)
            codes = data + at;
    assert_non_null(codes);
    memcpy(&word, dim, sizeof word);
    assert_int_equal(word, DIM);
    assert_refused(data, bytes, dim, DIM + 8);
    assert_refused(data, bytes, codes + sizeof word, DIM);
    assert_refused(data, bytes, codes + sizeof word, DIM / 4);
    assert_refused(data, bytes, codes + 2 * sizeof word, 8);
    free(trained);
}

static void nearest_lists_come_first(void **state)
{
    (void)state;
    atoll_faiss *faiss = holding(LISTS, 0);
    int64_t near[2 * LISTS], one, number[8];
    float score[8];
    uint32_t lists = atoll_faiss_lists(faiss);
    assert_int_equal(atoll_faiss_dim(faiss), DIM);
    assert_in_range(lists, LISTS / 2, 2 * LISTS);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t count = atoll_faiss_nearest(faiss, vectors + (size_t)i * DIM, 2 * LISTS, near);
        assert_int_equal(atoll_faiss_nearest(faiss, vectors + (size_t)i * DIM, 1, &one), 1);
        assert_true(count >= 8 && count <= lists && near[0] == one);
        for (uint32_t k = 0; k < count; k++)
            assert_true(near[k] >= 0 && near[k] < lists);
    }
    assert_int_equal(atoll_faiss_search(faiss, vectors, 4, 8, number, score), 0); /* nothing is there */
    atoll_faiss_free(faiss);
    atoll_faiss_free(NULL);
}

static void one_list_holds_all(void **state)
{
    (void)state;
    enum { HELD = 2000 };
    static int64_t number[HELD];
    static float score[HELD];
    static bool seen[HELD];
    atoll_faiss *faiss = holding(1, HELD);
    assert_int_equal(atoll_faiss_lists(faiss), 1);
    assert_int_equal(atoll_faiss_search(faiss, vectors, 3, HELD, number, score), HELD);
    for (uint32_t i = 0; i < HELD; i++) {
        assert_true(number[i] < HELD && !seen[number[i]]);
        seen[number[i]] = true;
    }
    assert_true(atoll_faiss_bytes(faiss) >= HELD * (DIM / 4 + 4));
    atoll_faiss_free(faiss);
}

/* What we find is what FAISS finds by the same codes, but for what is almost equal. */
static void answers_are_those_of_faiss(void **state)
{
    (void)state;
    enum { WANT = 40, QUERIES = 100 };
    static const uint32_t lists[] = {1, LISTS};
    for (int l = 0; l < 2; l++) {
        atoll_faiss *faiss = holding(lists[l], COUNT);
        uint32_t same = 0;
        for (uint32_t i = 0; i < QUERIES; i++) {
            const float *query = vectors + (size_t)i * DIM;
            int64_t number[WANT], expected[WANT];
            float score[WANT], exact[WANT];
            assert_int_equal(atoll_faiss_search(faiss, query, 4, WANT, number, score), WANT);
            assert_int_equal(atoll_faiss_search_reference(faiss, query, 4, WANT, expected, exact, NULL), ATOLL_OK);
            for (uint32_t k = 0; k < WANT; k++)
                for (uint32_t j = 0; j < WANT; j++) {
                    same += number[k] == expected[j];
                    assert_true(number[k] != expected[j] || fabsf(score[k] - exact[j]) < .03f);
                }
        }
        assert_true(same > .93 * WANT * QUERIES);
        atoll_faiss_free(faiss);
    }
}

static void how_many_are_asked_at_once_makes_no_difference(void **state)
{
    (void)state;
    enum { WANT = 40, QUERIES = 37 };
    static int64_t number[QUERIES * WANT], one[WANT];
    static float score[QUERIES * WANT], one_score[WANT];
    static const uint32_t lists[] = {1, LISTS};
    uint32_t found[QUERIES];
    for (int l = 0; l < 2; l++) {
        atoll_faiss *faiss = holding(lists[l], COUNT);
        atoll_faiss_search_all(faiss, vectors, QUERIES, 4, WANT, number, score, found);
        for (uint32_t i = 0; i < QUERIES; i++) {
            assert_int_equal(atoll_faiss_search(faiss, vectors + (size_t)i * DIM, 4, WANT, one, one_score), found[i]);
            assert_memory_equal(one, number + i * WANT, found[i] * sizeof *one);
            assert_memory_equal(one_score, score + i * WANT, found[i] * sizeof *one_score);
        }
        atoll_faiss_free(faiss);
    }
}

static void how_many_are_added_at_once_makes_no_difference(void **state)
{
    (void)state;
    atoll_faiss *together = holding(LISTS, 1000), *singly = trained_on(LISTS, COUNT, row);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(atoll_faiss_add(singly, 1, vectors + (size_t)i * DIM, NULL), ATOLL_OK);
    assert_same_answers(together, singly);
    assert_int_equal(atoll_faiss_bytes(together), atoll_faiss_bytes(singly));
    atoll_faiss_free(together);
    atoll_faiss_free(singly);
}

static void a_copy_goes_on_like_what_it_was_copied_from(void **state)
{
    (void)state;
    atoll_faiss *faiss = holding(LISTS, COUNT), *copy = trained_on(LISTS, COUNT, row);
    assert_int_equal(atoll_faiss_copy(copy, faiss, NULL), ATOLL_OK);
    assert_int_equal(atoll_faiss_count(copy), COUNT);
    for (uint32_t i = 0; i < 100; i++) {
        const float *vector = vectors + (size_t)(COUNT - 1 - i) * DIM;
        assert_int_equal(atoll_faiss_add(faiss, 1, vector, NULL), ATOLL_OK);
        assert_int_equal(atoll_faiss_add(copy, 1, vector, NULL), ATOLL_OK);
    }
    assert_same_answers(faiss, copy);
    atoll_faiss_free(faiss);
    atoll_faiss_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_is_repeatable),
        cmocka_unit_test(few_or_equal_vectors_are_enough),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(sizes_that_do_not_fit_are_found),
        cmocka_unit_test(nearest_lists_come_first),
        cmocka_unit_test(one_list_holds_all),
        cmocka_unit_test(answers_are_those_of_faiss),
        cmocka_unit_test(how_many_are_asked_at_once_makes_no_difference),
        cmocka_unit_test(how_many_are_added_at_once_makes_no_difference),
        cmocka_unit_test(a_copy_goes_on_like_what_it_was_copied_from),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
