#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "retrieval/index_inside.h"
#include "tests/support/index_fixture.h"

enum { DIM = INDEX_FIXTURE_DIM };

/* Under a sanitizer the training of codes takes seconds: its large blocks are mapped and unmapped again and again. */
#ifdef ATOLL_SANITIZE
enum { RESTORED = 2, RESTORED_ROUNDS = 5 };
#else
enum { RESTORED = 4, RESTORED_ROUNDS = 12 };
#endif

/* A second index from a saved one, with what it should hold. */
static void copy_index(index_fixture *from, index_fixture *to)
{
    void *blob;
    size_t bytes;
    index_fixture_open(to, from->slots);
    to->index->lists_from = from->index->lists_from;
    assert_int_equal(atoll_index_save(from->index, &blob, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_index_load(to->index, blob, bytes, NULL), ATOLL_OK);
    free(blob);
    for (uint32_t slot = 0; slot < from->slots; slot++)
        if (from->held[slot])
            assert_int_equal(atoll_index_put(to->index, slot, from->vector + (size_t)slot * DIM, NULL), ATOLL_OK);
    index_fixture_publish(to);
    memcpy(to->vector, from->vector, (size_t)from->slots * DIM * sizeof(float));
    memcpy(to->held, from->held, from->slots * sizeof(bool));
    memcpy(to->centre, from->centre, sizeof to->centre);
    to->rng = from->rng;
}

static void compare(index_fixture *a, index_fixture *b)
{
    enum { QUERIES = 30 };
    static float query[QUERIES * DIM];
    static atoll_neighbours from_a[QUERIES], from_b[QUERIES];
    memset(from_a, 0, sizeof from_a);
    memset(from_b, 0, sizeof from_b);
    for (int i = 0; i < QUERIES; i++)
        index_fixture_draw_vector(a, query + (size_t)i * DIM);
    b->rng = a->rng;
    atoll_index_search_live(a->index, query, QUERIES, from_a);
    atoll_index_search_live(b->index, query, QUERIES, from_b);
    assert_memory_equal(from_a, from_b, sizeof from_a);
}

static void a_restored_index_goes_on_identically(void **state)
{
    (void)state;
    /* Flat; about to become codes; codes with dead positions; codes about to be trained anew or to become flat; the
     * same in lists. */
    const uint32_t slots[] = {300, 5500, 6000, 6000};
    for (int kind = 0; kind < RESTORED; kind++) {
        index_fixture f, copy;
        index_fixture_open(&f, slots[kind]);
        f.index->lists_from = kind == 3 ? 4500 : f.index->lists_from;
        uint32_t first = kind == 1 ? 4000 : slots[kind];
        for (uint32_t slot = 0; slot < first; slot++)
            index_fixture_put(&f, slot);
        index_fixture_publish(&f);
        index_fixture_churn(&f, kind ? 400 : 40);
        assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
        assert_int_equal(atoll_index_describe(f.index).lists != 0, kind == 3);
        copy_index(&f, &copy);
        compare(&f, &copy);
        for (int round = 0; round < RESTORED_ROUNDS; round++) {
            for (uint32_t slot = 0; round > RESTORED_ROUNDS * 2 / 3 && slot < f.slots; slot++) {
                if (slot % 3 == 0) {
                    index_fixture_drop(&f, slot);
                    index_fixture_drop(&copy, slot);
                }
            }
            int count = round < 3 ? 20 : (int)f.slots / 4;
            index_fixture_churn(&f, count);
            index_fixture_churn(&copy, count);
            if (round % 2)
                index_fixture_publish(&f);
            else
                assert_int_equal(atoll_index_flush(f.index, NULL), ATOLL_OK);
            index_fixture_publish(&copy);
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
        index_fixture_verify(&copy, 20);
        index_fixture_close(&copy);
        index_fixture_close(&f);
    }
}

static void damaged_blobs_are_refused(void **state)
{
    (void)state;
    index_fixture f;
    atoll_index *copy;
    unsigned char *blob;
    size_t bytes;
    index_fixture_open(&f, 4500);
    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_OK);
    assert_null(blob);
    assert_int_equal(bytes, 0);
    for (uint32_t slot = 0; slot < 4200; slot++)
        index_fixture_put(&f, slot);
    assert_int_equal(atoll_index_save(f.index, (void **)&blob, &bytes, NULL), ATOLL_WRONG_STATE);
    index_fixture_publish(&f);
    index_fixture_churn(&f, 100);
    index_fixture_publish(&f);
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
    index_fixture_close(&f);
}

static void the_verifier_sees_a_difference(void **state)
{
    (void)state;
    index_fixture f;
    double recall;
    index_fixture_open(&f, 200);
    for (uint32_t slot = 0; slot < 150; slot++)
        index_fixture_put(&f, slot);
    assert_int_equal(atoll_index_verify(f.index, index_fixture_held_vector, &f, 5, &recall, NULL), ATOLL_WRONG_STATE);
    index_fixture_publish(&f);
    index_fixture_verify(&f, 20);
    f.vector[(size_t)20 * DIM + 3] += 0.25f;
    assert_int_equal(atoll_index_verify(f.index, index_fixture_held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    f.vector[(size_t)20 * DIM + 3] -= 0.25f;
    f.held[30] = false;
    assert_int_equal(atoll_index_verify(f.index, index_fixture_held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    f.held[30] = f.held[160] = true;
    assert_int_equal(atoll_index_verify(f.index, index_fixture_held_vector, &f, 5, &recall, NULL), ATOLL_DAMAGED);
    f.held[160] = false;
    index_fixture_close(&f);
}

/* Whatever of a number is damaged, and mended again. */
static void expect_damage(index_fixture *f, uint32_t *number)
{
    double recall;
    (*number)++;
    assert_int_equal(atoll_index_verify(f->index, index_fixture_held_vector, f, 5, &recall, NULL), ATOLL_DAMAGED);
    (*number)--;
    assert_int_equal(atoll_index_verify(f->index, index_fixture_held_vector, f, 5, &recall, NULL), ATOLL_OK);
}

static void the_verifier_sees_damage_inside(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, 200);
    for (uint32_t slot = 0; slot < 150; slot++)
        index_fixture_put(&f, slot);
    index_fixture_publish(&f);
    atoll_index_view *live = &f.index->side[f.index->live];
    expect_damage(&f, &f.index->position_of[7]);
    expect_damage(&f, &f.index->slot_of[7]);
    expect_damage(&f, &live->slot_of[7]);
    expect_damage(&f, &f.index->count);
    live->generation++;
    assert_int_equal(atoll_index_verify(f.index, index_fixture_held_vector, &f, 5, &(double){0}, NULL), ATOLL_DAMAGED);
    live->generation--;
    index_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_index_goes_on_identically),
        cmocka_unit_test(damaged_blobs_are_refused),
        cmocka_unit_test(the_verifier_sees_a_difference),
        cmocka_unit_test(the_verifier_sees_damage_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
