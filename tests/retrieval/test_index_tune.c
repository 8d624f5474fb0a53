#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "retrieval/index_inside.h"
#include "tests/support/index_fixture.h"

enum { DIM = INDEX_FIXTURE_DIM, SLOTS = 9000, FROM = 5000 };

static void fill(index_fixture *f, uint32_t slots)
{
    for (uint32_t slot = 0; slot < slots; slot++)
        index_fixture_put(f, slot);
    index_fixture_publish(f);
}

/* Vectors without any structure, so that no list holds more of a vector's neighbours than another. */
static void scatter(index_fixture *f, uint32_t slots)
{
    for (int c = 0; c < INDEX_FIXTURE_CLUSTERS; c++)
        memset(f->centre[c], 0, sizeof f->centre[c]);
    fill(f, slots);
}

/* The share of the exact ten nearest of vectors drawn anew that searches find. */
static double recall_of(index_fixture *f, uint32_t queries)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < queries; i++) {
        float query[DIM];
        atoll_neighbours got, exact;
        index_fixture_draw_vector(f, query);
        atoll_index_search_live(f->index, query, 1, &got);
        atoll_index_search_rows(&f->index->side[f->index->live], query, 1, &exact);
        for (uint32_t k = 0; k < 10; k++)
            found += got.at[k].similarity >= exact.at[9].similarity;
    }
    return found / (10.0 * queries);
}

static void small_indexes_are_not_measured(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, SLOTS);
    fill(&f, 1000);
    atoll_index_about about = atoll_index_describe(f.index);
    assert_true(!about.coded && about.recall < 0);
    fill(&f, SLOTS);
    about = atoll_index_describe(f.index);
    assert_true(about.coded && !about.lists && !about.probes && about.recall < 0);
    assert_int_equal(about.candidates, ATOLL_INDEX_CANDIDATES);
    index_fixture_close(&f);
}

static void clusters_are_searched_in_lists(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, SLOTS);
    f.index->lists_from = FROM;
    fill(&f, SLOTS);
    atoll_index_about about = atoll_index_describe(f.index);
    assert_true(about.coded && about.lists >= 48 && about.probes && about.probes <= about.lists / 4);
    assert_true(about.recall >= .95);
    assert_true(recall_of(&f, 200) >= .93);
    index_fixture_verify(&f, 30);
    for (int round = 0; round < 4; round++) { /* dead positions, measured again, trained again */
        index_fixture_churn(&f, SLOTS / 3);
        index_fixture_publish(&f);
        assert_true(atoll_index_describe(f.index).recall >= .95);
        assert_true(recall_of(&f, 200) >= .93);
        index_fixture_verify(&f, 30);
    }
    /* The halves, and on both sides codes with positions. */
    assert_true(atoll_index_bytes(f.index) > (uint64_t)SLOTS * (DIM * 2 + 2 * (DIM / 4 + 4)));
    index_fixture_close(&f);
}

static void what_has_no_clusters_is_searched_linearly(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, SLOTS);
    f.index->lists_from = FROM;
    scatter(&f, SLOTS);
    atoll_index_about about = atoll_index_describe(f.index);
    assert_true(about.coded && !about.lists && !about.probes && about.recall >= 0);
    assert_true(about.candidates >= ATOLL_INDEX_CANDIDATES && about.candidates <= ATOLL_INDEX_CANDIDATES_MAX);
    index_fixture_close(&f);
}

static void it_is_measured_again_when_a_quarter_is_new(void **state)
{
    (void)state;
    index_fixture f;
    index_fixture_open(&f, SLOTS);
    f.index->lists_from = FROM;
    fill(&f, SLOTS);
    assert_false(atoll_index_wants_tuning(f.index));
    uint32_t before = f.index->tuned_at;
    for (uint32_t slot = 0; slot < SLOTS / 4 - 1; slot++)
        index_fixture_put(&f, slot);
    assert_false(atoll_index_wants_tuning(f.index));
    index_fixture_put(&f, SLOTS - 1);
    assert_true(atoll_index_wants_tuning(f.index));
    index_fixture_publish(&f);
    assert_int_equal(f.index->tuned_at, before + SLOTS / 4);
    index_fixture_close(&f);
}

static void the_same_changes_give_the_same_choice(void **state)
{
    (void)state;
    void *blob[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        index_fixture f;
        index_fixture_open(&f, SLOTS);
        f.index->lists_from = FROM;
        fill(&f, SLOTS);
        index_fixture_churn(&f, 300);
        index_fixture_publish(&f);
        assert_int_equal(atoll_index_save(f.index, &blob[i], &bytes[i], NULL), ATOLL_OK);
        index_fixture_close(&f);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(blob[0], blob[1], bytes[0]);
    free(blob[0]);
    free(blob[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_indexes_are_not_measured),
        cmocka_unit_test(clusters_are_searched_in_lists),
        cmocka_unit_test(what_has_no_clusters_is_searched_linearly),
        cmocka_unit_test(it_is_measured_again_when_a_quarter_is_new),
        cmocka_unit_test(the_same_changes_give_the_same_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
