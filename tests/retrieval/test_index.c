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

#include "core/half.h"
#include "core/rng.h"
#include "retrieval/index.h"

enum { DIM = 64, SLOTS = 7000, CLUSTERS = 40 };

/* Under a sanitizer the training of codes takes seconds: its large blocks are mapped and unmapped again and again. */
#ifdef ATOLL_SANITIZE
enum { CHANGES = 67000, READ_ROUNDS = 12, RESTORED = 2, RESTORED_ROUNDS = 5 };
#else
enum { CHANGES = 140000, READ_ROUNDS = 80, RESTORED = 3, RESTORED_ROUNDS = 12 };
#endif

/* An index and what it should hold. */
typedef struct fixture {
    atoll_index *index;
    uint32_t slots;
    float *vector; /* slots x DIM, as the halves that the index keeps */
    bool *held;
    atoll_rng rng;
    float centre[CLUSTERS][DIM];
} fixture;

static void normalise(float *vector)
{
    float sum = 0;
    uint16_t half[DIM];
    for (int i = 0; i < DIM; i++)
        sum += vector[i] * vector[i];
    for (int i = 0; i < DIM; i++)
        vector[i] /= sqrtf(sum);
    atoll_half_from_float(vector, half, DIM);
    atoll_half_to_float(half, vector, DIM);
}

static void open_index(fixture *f, uint32_t slots)
{
    memset(f, 0, sizeof *f);
    atoll_rng_seed(&f->rng, 11, slots);
    f->slots = slots;
    f->vector = calloc((size_t)slots * DIM, sizeof(float));
    f->held = calloc(slots, sizeof(bool));
    assert_true(f->vector && f->held);
    for (int c = 0; c < CLUSTERS; c++)
        for (int i = 0; i < DIM; i++)
            f->centre[c][i] = atoll_rng_normal(&f->rng);
    assert_int_equal(atoll_index_new(DIM, slots, &f->index, NULL), ATOLL_OK);
}

static void close_index(fixture *f)
{
    atoll_index_free(f->index);
    free(f->vector);
    free(f->held);
}

static void draw_vector(fixture *f, float *vector)
{
    const float *centre = f->centre[atoll_rng_below(&f->rng, CLUSTERS)];
    for (int i = 0; i < DIM; i++)
        vector[i] = centre[i] + atoll_rng_normal(&f->rng);
    normalise(vector);
}

static void put(fixture *f, uint32_t slot)
{
    draw_vector(f, f->vector + (size_t)slot * DIM);
    f->held[slot] = true;
    assert_int_equal(atoll_index_put(f->index, slot, f->vector + (size_t)slot * DIM, NULL), ATOLL_OK);
}

static void drop(fixture *f, uint32_t slot)
{
    f->held[slot] = false;
    assert_int_equal(atoll_index_drop(f->index, slot, NULL), ATOLL_OK);
}

static void publish(fixture *f)
{
    atoll_error error = {.detail = ""};
    if (atoll_index_publish(f->index, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static const float *held_vector(void *arg, uint32_t slot)
{
    fixture *f = arg;
    return f->held[slot] ? f->vector + (size_t)slot * DIM : NULL;
}

static double verify(fixture *f, uint32_t samples)
{
    double recall = 0;
    atoll_error error = {.detail = ""};
    if (atoll_index_verify(f->index, held_vector, f, samples, &recall, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
    return recall;
}

static float dot(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Checks an answer against a scan of everything: returns how many of the true neighbours are in it. */
static uint32_t check_answer(const fixture *f, const float *query, const atoll_neighbours *got, uint32_t *there)
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

static double recall_of(fixture *f, uint32_t queries)
{
    float *query = malloc(queries * DIM * sizeof *query);
    atoll_neighbours *got = malloc(queries * sizeof *got);
    assert_true(query && got);
    for (uint32_t i = 0; i < queries; i++)
        draw_vector(f, query + i * DIM);
    assert_int_equal(atoll_index_search_live(f->index, query, queries, got, NULL), ATOLL_OK);
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
    fixture f;
    open_index(&f, 100);
    float query[DIM] = {1};
    atoll_neighbours got = {.count = 9};
    const atoll_index_view *view = atoll_index_enter(f.index);
    assert_int_equal(atoll_index_search(view, query, 1, &got, NULL), ATOLL_OK);
    atoll_index_leave(view);
    assert_int_equal(got.count, 0);
    publish(&f);
    put(&f, 5);
    drop(&f, 5);
    drop(&f, 6);
    publish(&f);
    assert_int_equal(atoll_index_search_live(f.index, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(atoll_index_count(f.index), 0);
    close_index(&f);
    atoll_index_free(NULL);
}

static void flat_search_is_exact(void **state)
{
    (void)state;
    fixture f;
    open_index(&f, 400);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 30; i++) {
            uint32_t slot = atoll_rng_below(&f.rng, 400);
            if (atoll_rng_below(&f.rng, 4))
                put(&f, slot);
            else
                drop(&f, slot);
        }
        if (round % 3 == 1)
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        else
            publish(&f);
        assert_float_equal(recall_of(&f, 1 + (uint32_t)round % 25), 1, 0);
        assert_float_equal(verify(&f, 20), 1, 0);
    }
    close_index(&f);
}

static void churn(fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t slot = atoll_rng_below(&f->rng, f->slots);
        if (atoll_rng_below(&f->rng, 8))
            put(f, slot);
        else
            drop(f, slot);
    }
}

static void codes_find_nearly_all(void **state)
{
    (void)state;
    fixture f;
    open_index(&f, SLOTS);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        put(&f, slot);
        if (slot % 1000 == 999)
            publish(&f);
    }
    assert_int_equal(atoll_index_count(f.index), SLOTS);
    for (int round = 0; round < 20; round++) {
        assert_true(recall_of(&f, 20) >= 0.95);
        churn(&f, 600);
        if (round % 2)
            publish(&f);
        else
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        if (round % 5 == 0)
            assert_true(verify(&f, 50) >= 0.95);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) /* down to flat again */
        if (slot % 4)
            drop(&f, slot);
    publish(&f);
    assert_float_equal(recall_of(&f, 50), 1, 0);
    assert_float_equal(verify(&f, 50), 1, 0);
    close_index(&f);
}

static void equal_vectors_come_in_order_of_slots(void **state)
{
    (void)state;
    fixture f;
    open_index(&f, 20);
    for (uint32_t slot = 12; slot > 2; slot--) {
        put(&f, slot);
        memcpy(f.vector + slot * DIM, f.vector + (size_t)12 * DIM, DIM * sizeof(float));
        assert_int_equal(atoll_index_put(f.index, slot, f.vector + slot * DIM, NULL), ATOLL_OK);
    }
    publish(&f);
    atoll_neighbours got;
    assert_int_equal(atoll_index_search_live(f.index, f.vector + (size_t)12 * DIM, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(got.at[i].slot, i + 3);
    close_index(&f);
}

static void readers_see_what_was_published(void **state)
{
    (void)state;
    fixture f;
    open_index(&f, 50);
    atoll_neighbours got;
    put(&f, 7);
    publish(&f);
    const float *query = f.vector + (size_t)7 * DIM;
    put(&f, 8);
    const atoll_index_view *view = atoll_index_enter(f.index);
    assert_int_equal(atoll_index_search_live(f.index, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 1); /* not flushed */
    assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_search_live(f.index, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 2);
    assert_int_equal(atoll_index_search(view, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 1);
    publish(&f);
    assert_int_equal(atoll_index_search(view, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 1); /* the view stays */
    atoll_index_leave(view);
    view = atoll_index_enter(f.index);
    assert_int_equal(atoll_index_search(view, query, 1, &got, NULL), ATOLL_OK);
    assert_int_equal(got.count, 2);
    atoll_index_leave(view);
    close_index(&f);
}

static void batches_do_not_matter_to_codes(void **state)
{
    (void)state;
    enum { QUERIES = 70 };
    fixture f;
    open_index(&f, 5000);
    for (uint32_t slot = 0; slot < 5000; slot++)
        put(&f, slot);
    churn(&f, 300);
    publish(&f);
    static float query[QUERIES * DIM];
    static atoll_neighbours all[QUERIES], one;
    for (int i = 0; i < QUERIES; i++)
        draw_vector(&f, query + (size_t)i * DIM);
    assert_int_equal(atoll_index_search_live(f.index, query, QUERIES, all, NULL), ATOLL_OK);
    for (int i = 0; i < QUERIES; i++) {
        assert_int_equal(atoll_index_search_live(f.index, query + (size_t)i * DIM, 1, &one, NULL), ATOLL_OK);
        assert_memory_equal(&one, &all[i], sizeof one);
    }
    close_index(&f);
}

/* A second index from a saved one, with what it should hold. */
static void copy_index(fixture *from, fixture *to)
{
    void *blob;
    size_t bytes;
    open_index(to, from->slots);
    assert_int_equal(atoll_index_save(from->index, &blob, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_load(to->index, blob, bytes, NULL), ATOLL_OK);
    free(blob);
    for (uint32_t slot = 0; slot < from->slots; slot++)
        if (from->held[slot])
            assert_int_equal(atoll_index_put(to->index, slot, from->vector + (size_t)slot * DIM, NULL), ATOLL_OK);
    publish(to);
    memcpy(to->vector, from->vector, (size_t)from->slots * DIM * sizeof(float));
    memcpy(to->held, from->held, from->slots * sizeof(bool));
    memcpy(to->centre, from->centre, sizeof to->centre);
    to->rng = from->rng;
}

static void compare(fixture *a, fixture *b)
{
    enum { QUERIES = 30 };
    static float query[QUERIES * DIM];
    static atoll_neighbours from_a[QUERIES], from_b[QUERIES];
    memset(from_a, 0, sizeof from_a);
    memset(from_b, 0, sizeof from_b);
    for (int i = 0; i < QUERIES; i++)
        draw_vector(a, query + (size_t)i * DIM);
    b->rng = a->rng;
    assert_int_equal(atoll_index_search_live(a->index, query, QUERIES, from_a, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_search_live(b->index, query, QUERIES, from_b, NULL), ATOLL_OK);
    assert_memory_equal(from_a, from_b, sizeof from_a);
}

static void a_restored_index_goes_on_identically(void **state)
{
    (void)state;
    /* Flat; about to become codes; codes with dead positions; codes about to be trained anew or to become flat. */
    const uint32_t slots[] = {300, 5500, 6000};
    for (int kind = 0; kind < RESTORED; kind++) {
        fixture f, copy;
        open_index(&f, slots[kind]);
        uint32_t first = kind == 1 ? 4000 : slots[kind];
        for (uint32_t slot = 0; slot < first; slot++)
            put(&f, slot);
        publish(&f);
        churn(&f, kind ? 400 : 40);
        assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        copy_index(&f, &copy);
        compare(&f, &copy);
        for (int round = 0; round < RESTORED_ROUNDS; round++) {
            for (uint32_t slot = 0; round > RESTORED_ROUNDS * 2 / 3 && slot < f.slots; slot++) {
                if (slot % 3 == 0) {
                    drop(&f, slot);
                    drop(&copy, slot);
                }
            }
            int count = round < 3 ? 20 : (int)f.slots / 4;
            churn(&f, count);
            churn(&copy, count);
            if (round % 2)
                publish(&f);
            else
                assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
            publish(&copy);
            compare(&f, &copy);
        }
        assert_int_equal(atoll_index_count(f.index), atoll_index_count(copy.index));
        void *a, *b;
        size_t a_bytes, b_bytes;
        assert_int_equal(atoll_index_save(f.index, &a, &a_bytes, NULL), ATOLL_OK);
        assert_int_equal(atoll_index_save(copy.index, &b, &b_bytes, NULL), ATOLL_OK);
        assert_int_equal(a_bytes, b_bytes);
        assert_memory_equal(a, b, a_bytes);
        free(a);
        free(b);
        verify(&copy, 20);
        close_index(&copy);
        close_index(&f);
    }
}

static void damaged_blobs_are_refused(void **state)
{
    (void)state;
    fixture f;
    atoll_index *copy;
    unsigned char *blob;
    size_t bytes;
    open_index(&f, 4500);
    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_OK);
    assert_null(blob);
    assert_int_equal(bytes, 0);
    for (uint32_t slot = 0; slot < 4200; slot++)
        put(&f, slot);
    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_WRONG_STATE);
    publish(&f);
    churn(&f, 100);
    publish(&f);
    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_OK);
    for (size_t cut = 1; cut < bytes; cut += 1 + bytes / 37) {
        assert_int_equal(atoll_index_new(DIM, 4500, &copy, NULL), ATOLL_OK);
        assert_int_equal(atoll_index_load(copy, blob, cut, NULL), ATOLL_DAMAGED);
        atoll_index_free(copy);
    }
    for (size_t i = 4; i < 20; i += 4) { /* dim, positions, count, coded */
        assert_int_equal(atoll_index_new(DIM, 4500, &copy, NULL), ATOLL_OK);
        blob[i] ^= 1;
        assert_int_equal(atoll_index_load(copy, blob, bytes, NULL), ATOLL_DAMAGED);
        blob[i] ^= 1;
        atoll_index_free(copy);
    }
    assert_int_equal(atoll_index_new(DIM, 4500, &copy, NULL), ATOLL_OK);
    memcpy(blob + 40, blob + 44, 4); /* two positions of one slot */
    assert_int_equal(atoll_index_load(copy, blob, bytes, NULL), ATOLL_DAMAGED);
    atoll_index_free(copy);
    free(blob);

    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_new(DIM, 4500, &copy, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_load(copy, blob, bytes, NULL), ATOLL_OK);
    uint32_t slot = 0;
    while (f.held[slot])
        slot++;
    assert_int_equal(atoll_index_put(copy, slot, f.vector, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_index_publish(copy, NULL), ATOLL_DAMAGED); /* nothing was put */
    atoll_index_free(copy);
    blob[0]++;
    assert_int_equal(atoll_index_new(DIM, 4500, &copy, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_load(copy, blob, bytes, NULL), ATOLL_NEWER_FORMAT);
    atoll_index_free(copy);
    free(blob);
    close_index(&f);
}

static void the_verifier_sees_a_difference(void **state)
{
    (void)state;
    fixture f;
    double recall;
    open_index(&f, 200);
    for (uint32_t slot = 0; slot < 150; slot++)
        put(&f, slot);
    assert_int_equal(atoll_index_verify(f.index, held_vector, &f, 5, &recall, NULL), ATOLL_WRONG_STATE);
    publish(&f);
    verify(&f, 20);
    f.vector[(size_t)20 * DIM + 3] += 0.25f;
    assert_int_equal(atoll_index_verify(f.index, held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    f.vector[(size_t)20 * DIM + 3] -= 0.25f;
    f.held[30] = false;
    assert_int_equal(atoll_index_verify(f.index, held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    f.held[30] = f.held[160] = true;
    assert_int_equal(atoll_index_verify(f.index, held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    close_index(&f);
}

static void any_number_of_changes_may_be_gathered(void **state)
{
    (void)state;
    fixture f;
    open_index(&f, 9);
    for (int i = 0; i < CHANGES; i++)
        put(&f, (uint32_t)i % 9);
    publish(&f);
    assert_int_equal(atoll_index_count(f.index), 9);
    assert_float_equal(verify(&f, 9), 1, 0);
    assert_true(atoll_index_bytes(f.index) < 30 << 20);
    close_index(&f);
}

/* --- readers beside the writer --- */

typedef struct reader {
    fixture *f;
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
        r->faults += atoll_index_search(view, r->query, 4, got, NULL) != ATOLL_OK;
        r->faults += atoll_index_search(view, r->query, 4, again, NULL) != ATOLL_OK;
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
    fixture f;
    open_index(&f, 5000);
    _Atomic bool stop = false;
    reader readers[4];
    pthread_t threads[4];
    memset(readers, 0, sizeof readers);
    for (int i = 0; i < 4; i++) {
        readers[i].f = &f;
        readers[i].stop = &stop;
        for (int q = 0; q < 4; q++)
            draw_vector(&f, readers[i].query + (size_t)q * DIM);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int round = 0; round < READ_ROUNDS; round++) {
        for (uint32_t slot = 0; slot < 5000; slot++) { /* flat, codes, flat again */
            if (round == READ_ROUNDS / 4)
                put(&f, slot);
            else if (round == READ_ROUNDS * 3 / 4 && slot % 3)
                drop(&f, slot);
        }
        churn(&f, 60);
        if (round % 4 == 3)
            assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        churn(&f, 10);
        publish(&f);
    }
    assert_true(recall_of(&f, 20) >= 0.95);
    verify(&f, 20);
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].faults, 0);
        assert_true(readers[i].searches > 0);
    }
    close_index(&f);
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
        cmocka_unit_test(a_restored_index_goes_on_identically),
        cmocka_unit_test(damaged_blobs_are_refused),
        cmocka_unit_test(the_verifier_sees_a_difference),
        cmocka_unit_test(any_number_of_changes_may_be_gathered),
        cmocka_unit_test(readers_search_while_the_writer_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
