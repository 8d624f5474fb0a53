#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "tests/support/index_fixture.h"

enum { DIM = INDEX_FIXTURE_DIM };

/* Under a sanitizer the training of codes takes seconds: its large blocks are mapped and unmapped again and again. */
#ifdef ATOLL_SANITIZE
enum { CHANGES = 67000, READ_ROUNDS = 12, SLOTS = 7000 };
#else
enum { CHANGES = 140000, READ_ROUNDS = 80, SLOTS = 7000 };
#endif

static float dot(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Checks an answer against a scan of everything: returns how many of the true neighbours are in it. */
static uint32_t check_answer(const index_fixture *f, const float *query, const atoll_neighbours *got, uint32_t *there)
{
    float best[ATOLL_NEIGHBOURS + 1];
    uint32_t held = 0, found = 0;
    for (uint32_t slot = 0; slot < f->slots; slot++) {
        if (!f->held[slot])
            continue;
        float s = dot(query, f->vector + (size_t)slot * DIM);
        uint32_t at = held;
        for (; at && best[at - 1] < s; at--)
            best[at] = best[at - 1];
        best[at] = s;
        held += held < ATOLL_NEIGHBOURS;
    }
    assert_int_equal(got->count, held);
    for (uint32_t i = 0; i < got->count; i++) {
        assert_true(got->at[i].slot < f->slots && f->held[got->at[i].slot]);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(got->at[i].slot, got->at[k].slot);
        assert_true(fabsf(got->at[i].similarity - dot(query, f->vector + (size_t)got->at[i].slot * DIM)) < 1e-5f);
        assert_true(!i || got->at[i].similarity <= got->at[i - 1].similarity);
        found += got->at[i].similarity > best[held - 1] - 1e-5f;
    }
    *there += held;
    return found;
}

static double recall_of(index_fixture *f, uint32_t queries)
{
    float *query = malloc(queries * DIM * sizeof *query);
    atoll_neighbours *got = malloc(queries * sizeof *got);
    assert_true(query && got);
    for (uint32_t i = 0; i < queries; i++)
        index_fixture_draw_vector(f, query + i * DIM);
    atoll_index_search_live(f->index, query, queries, got);
    uint32_t found = 0, there = 0;
    for (uint32_t i = 0; i < queries; i++)
        found += check_answer(f, query + i * DIM, &got[i], &there);
    free(query);
    free(got);
    return there ? (double)found / there : 1;
}

static void an_empty_index_finds_nothing(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 100);
    float query[DIM] = {1};
    atoll_neighbours got = {.count = 9};
    const atoll_index_view *view = atoll_index_enter(f.index);
    atoll_index_search(view, query, 1, &got);
    atoll_index_leave(view);
    assert_int_equal(got.count, 0);
    index_fixture_publish(&f);
    index_fixture_put(&f, 5);
    index_fixture_drop(&f, 5);
    index_fixture_drop(&f, 6);
    index_fixture_publish(&f);
    atoll_index_search_live(f.index, query, 1, &got);
    assert_int_equal(got.count, 0);
    assert_int_equal(atoll_index_count(f.index), 0);
    index_fixture_close(&f);
    atoll_index_free(NULL);
}

static void flat_search_is_exact(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 400);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 30; i++) {
            uint32_t slot = atoll_rng_below(&f.rng, 400);
            if (atoll_rng_below(&f.rng, 4))
                index_fixture_put(&f, slot);
            else
                index_fixture_drop(&f, slot);
        }
        if (round % 3 == 1)
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        else
            index_fixture_publish(&f);
        assert_float_equal(recall_of(&f, 1 + (uint32_t)round % 25), 1, 0);
        assert_float_equal(index_fixture_verify(&f, 20), 1, 0);
    }
    index_fixture_close(&f);
}

static void codes_find_nearly_all(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, SLOTS);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        index_fixture_put(&f, slot);
        if (slot % 1000 == 999)
            index_fixture_publish(&f);
    }
    assert_int_equal(atoll_index_count(f.index), SLOTS);
    for (int round = 0; round < 20; round++) {
        assert_true(recall_of(&f, 20) >= 0.95);
        index_fixture_churn(&f, 600);
        if (round % 2)
            index_fixture_publish(&f);
        else
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        if (round % 5 == 0)
            assert_true(index_fixture_verify(&f, 50) >= 0.95);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) /* down to flat again */
        if (slot % 4)
            index_fixture_drop(&f, slot);
    index_fixture_publish(&f);
    assert_float_equal(recall_of(&f, 50), 1, 0);
    assert_float_equal(index_fixture_verify(&f, 50), 1, 0);
    index_fixture_close(&f);
}

static void equal_vectors_come_in_order_of_slots(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 20);
    for (uint32_t slot = 12; slot > 2; slot--) {
        index_fixture_put(&f, slot);
        memcpy(f.vector + slot * DIM, f.vector + (size_t)12 * DIM, DIM * sizeof(float));
        assert_int_equal(atoll_index_put(f.index, slot, f.vector + slot * DIM, NULL), ATOLL_OK);
    }
    index_fixture_publish(&f);
    atoll_neighbours got;
    atoll_index_search_live(f.index, f.vector + (size_t)12 * DIM, 1, &got);
    assert_int_equal(got.count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(got.at[i].slot, i + 3);
    index_fixture_close(&f);
}

static void readers_see_what_was_published(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 50);
    atoll_neighbours got;
    index_fixture_put(&f, 7);
    index_fixture_publish(&f);
    const float *query = f.vector + (size_t)7 * DIM;
    index_fixture_put(&f, 8);
    const atoll_index_view *view = atoll_index_enter(f.index);
    atoll_index_search_live(f.index, query, 1, &got);
    assert_int_equal(got.count, 1); /* not flushed */
    assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
    atoll_index_search_live(f.index, query, 1, &got);
    assert_int_equal(got.count, 2);
    atoll_index_search(view, query, 1, &got);
    assert_int_equal(got.count, 1);
    index_fixture_publish(&f);
    atoll_index_search(view, query, 1, &got);
    assert_int_equal(got.count, 1); /* the view stays */
    atoll_index_leave(view);
    view = atoll_index_enter(f.index);
    atoll_index_search(view, query, 1, &got);
    assert_int_equal(got.count, 2);
    atoll_index_leave(view);
    index_fixture_close(&f);
}

static void batches_do_not_matter_to_codes(void **state)
{
    (void)state;
    enum { QUERIES = 70 };
    index_fixture f;
    index_fixture_open(&f, 5000);
    for (uint32_t slot = 0; slot < 5000; slot++)
        index_fixture_put(&f, slot);
    index_fixture_churn(&f, 300);
    index_fixture_publish(&f);
    static float query[QUERIES * DIM];
    static atoll_neighbours all[QUERIES], one;
    for (int i = 0; i < QUERIES; i++)
        index_fixture_draw_vector(&f, query + (size_t)i * DIM);
    atoll_index_search_live(f.index, query, QUERIES, all);
    for (int i = 0; i < QUERIES; i++) {
        atoll_index_search_live(f.index, query + (size_t)i * DIM, 1, &one);
        assert_memory_equal(&one, &all[i], sizeof one);
    }
    index_fixture_close(&f);
}

static void any_number_of_changes_may_be_gathered(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 9);
    for (int i = 0; i < CHANGES; i++)
        index_fixture_put(&f, (uint32_t)i % 9);
    index_fixture_publish(&f);
    assert_int_equal(atoll_index_count(f.index), 9);
    assert_float_equal(index_fixture_verify(&f, 9), 1, 0);
    assert_true(atoll_index_bytes(f.index) < 30 << 20);
    index_fixture_close(&f);
}

/* --- readers beside the writer --- */

typedef struct reader {
    index_fixture *f;
    _Atomic bool *stop;
    uint64_t searches, faults;
    float query[4 * DIM];
} reader;

static void *read_on(void *arg)
{
    reader *r = arg;
    atoll_neighbours got[4], again[4];
    while (!atomic_load(r->stop)) {
        const atoll_index_view *view = atoll_index_enter(r->f->index);
        memset(got, 0, sizeof got);
        memset(again, 0, sizeof again);
        atoll_index_search(view, r->query, 4, got);
        atoll_index_search(view, r->query, 4, again);
        atoll_index_leave(view);
        r->faults += memcmp(got, again, sizeof got) != 0;
        for (int q = 0; q < 4; q++) {
            for (uint32_t i = 0; i < got[q].count; i++) {
                const atoll_neighbour *n = &got[q].at[i];
                r->faults += n->slot >= r->f->slots || !(n->similarity <= 1.01f && n->similarity >= -1.01f);
                r->faults += i && n->similarity > got[q].at[i - 1].similarity;
            }
        }
        r->searches++;
    }
    return NULL;
}

static void readers_search_while_the_writer_changes(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 5000);
    _Atomic bool stop = false;
    reader readers[4];
    pthread_t threads[4];
    memset(readers, 0, sizeof readers);
    for (int i = 0; i < 4; i++) {
        readers[i].f = &f;
        readers[i].stop = &stop;
        for (int q = 0; q < 4; q++)
            index_fixture_draw_vector(&f, readers[i].query + (size_t)q * DIM);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int round = 0; round < READ_ROUNDS; round++) {
        for (uint32_t slot = 0; slot < 5000; slot++) { /* flat, codes, flat again */
            if (round == READ_ROUNDS / 4)
                index_fixture_put(&f, slot);
            else if (round == READ_ROUNDS * 3 / 4 && slot % 3)
                index_fixture_drop(&f, slot);
        }
        index_fixture_churn(&f, 60);
        if (round % 4 == 3)
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        index_fixture_churn(&f, 10);
        index_fixture_publish(&f);
    }
    assert_true(recall_of(&f, 20) >= 0.95);
    index_fixture_verify(&f, 20);
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].faults, 0);
        assert_true(readers[i].searches > 0);
    }
    index_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_index_finds_nothing),
        cmocka_unit_test(flat_search_is_exact),
        cmocka_unit_test(codes_find_nearly_all),
        cmocka_unit_test(equal_vectors_come_in_order_of_slots),
        cmocka_unit_test(readers_see_what_was_published),
        cmocka_unit_test(batches_do_not_matter_to_codes),
        cmocka_unit_test(any_number_of_changes_may_be_gathered),
        cmocka_unit_test(readers_search_while_the_writer_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
