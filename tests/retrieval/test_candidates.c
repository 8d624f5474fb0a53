#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>

#include "core/rng.h"
#include "retrieval/candidates.h"

enum { LISTS = 4, PAIRS = 8, COUNT = 10000, CENTRES = ATOLL_CANDIDATES_CENTRES };

static uint8_t code[COUNT][PAIRS];
static float product[2 * PAIRS * CENTRES];
static const int64_t order[LISTS] = {2, 0, 3, 1};
static const float near[LISTS] = {.9f, .5f, .4f, -.2f}; /* the query's product with the centres of the lists in order */

/* By whole lists: vector i is in list i % LISTS. */
static void fill(atoll_blocks *blocks, bool equal)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 3);
    for (uint32_t i = 0; i < 2 * PAIRS * CENTRES; i++)
        product[i] = 0.1f * atoll_rng_normal(&rng);
    assert_int_equal(atoll_blocks_init(blocks, LISTS, PAIRS, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t p = 0; p < PAIRS; p++)
            code[i][p] = equal ? 0x21 : (uint8_t)atoll_rng_below(&rng, 256);
        assert_int_equal(atoll_blocks_add(blocks, i % LISTS, i, code[i], NULL), ATOLL_OK);
    }
}

static float exact(uint32_t number)
{
    float sum = 0;
    for (uint32_t i = 0; i < LISTS; i++)
        sum += order[i] == number % LISTS ? near[i] : 0;
    for (uint32_t p = 0; p < PAIRS; p++)
        sum += product[2 * p * CENTRES + (code[number][p] & 15)] +
               product[(2 * p + 1) * CENTRES + (code[number][p] >> 4)];
    return sum;
}

/* How many of the `lists` nearest lists have a better product than `bar`. */
static uint32_t better_than(float bar, uint32_t lists)
{
    uint32_t better = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        for (uint32_t k = 0; k < lists; k++)
            better += order[k] == i % LISTS && exact(i) > bar;
    return better;
}

static void the_best_are_found(void **state)
{
    (void)state;
    static int64_t number[ATOLL_CANDIDATES_MAX];
    static float about[ATOLL_CANDIDATES_MAX];
    static const uint32_t wants[] = {1, 10, 300, ATOLL_CANDIDATES_MAX};
    atoll_blocks blocks;
    fill(&blocks, false);
    for (uint32_t lists = 1; lists <= LISTS; lists++)
        for (uint32_t w = 0; w < sizeof wants / sizeof *wants; w++) {
            uint32_t want = wants[w];
            assert_int_equal(atoll_candidates_find(&blocks, product, lists, order, near, want, number, about), want);
            float least = INFINITY;
            for (uint32_t i = 0; i < want; i++) {
                /* An entry is off by half a step, a centre's share by another. */
                assert_true(fabsf(about[i] - exact((uint32_t)number[i])) < .05f);
                least = fminf(least, exact((uint32_t)number[i]));
            }
            assert_true(better_than(least + .1f, lists) <= want);
        }
    assert_int_equal(atoll_candidates_find(&blocks, product, 0, order, near, 5, number, about), 0);
    atoll_blocks_clear(&blocks);
}

static void each_is_found_once(void **state)
{
    (void)state;
    enum { FEW = 700 };
    static int64_t number[FEW + 1];
    static float about[FEW + 1];
    static bool seen[FEW];
    atoll_blocks blocks;
    fill(&blocks, false);
    atoll_blocks_clear(&blocks);
    assert_int_equal(atoll_blocks_init(&blocks, LISTS, PAIRS, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < FEW; i++)
        assert_int_equal(atoll_blocks_add(&blocks, 1, i, code[i], NULL), ATOLL_OK);
    assert_int_equal(atoll_candidates_find(&blocks, product, LISTS, order, near, FEW + 1, number, about), FEW);
    for (uint32_t i = 0; i < FEW; i++) {
        assert_true(number[i] < FEW && !seen[number[i]]);
        seen[number[i]] = true;
    }
    atoll_blocks_clear(&blocks);
}

static void of_equals_the_first_count(void **state)
{
    (void)state;
    enum { WANT = 30 };
    int64_t number[WANT];
    float about[WANT];
    atoll_blocks blocks;
    fill(&blocks, true);
    assert_int_equal(atoll_candidates_find(&blocks, product, LISTS, order, near, WANT, number, about), WANT);
    for (uint32_t i = 0; i < WANT; i++)
        assert_true(number[i] % LISTS == 2 && number[i] < WANT * LISTS);
    atoll_blocks_clear(&blocks);
}

static void queries_together_find_what_each_finds(void **state)
{
    (void)state;
    enum { QUERIES = ATOLL_CANDIDATES_TOGETHER, TABLES = 2 * PAIRS * CENTRES, WANT = 100 };
    static float products[QUERIES * TABLES], score[QUERIES], about[QUERIES * WANT], about_one[WANT];
    static int64_t number[QUERIES * WANT], number_one[WANT];
    static const int64_t list[] = {0};
    static const uint32_t held[] = {0, 40, 64, 1024, 2048, 3000, COUNT}; /* of blocks and tiles, whole and not */
    uint32_t found[QUERIES];
    atoll_rng rng;
    atoll_blocks blocks;
    fill(&blocks, false);
    atoll_blocks_clear(&blocks);
    atoll_rng_seed(&rng, 7, 7);
    for (uint32_t i = 0; i < QUERIES * TABLES; i++)
        products[i] = 0.1f * atoll_rng_normal(&rng);
    for (uint32_t q = 0; q < QUERIES; q++)
        score[q] = 0.1f * (float)q;
    for (uint32_t h = 0; h < sizeof held / sizeof *held; h++) {
        assert_int_equal(atoll_blocks_init(&blocks, 1, PAIRS, NULL), ATOLL_OK);
        for (uint32_t i = 0; i < held[h]; i++)
            assert_int_equal(atoll_blocks_add(&blocks, 0, i, code[i], NULL), ATOLL_OK);
        for (uint32_t queries = 1; queries <= QUERIES; queries++) {
            atoll_candidates_find_all(&blocks, products, queries, score, WANT, number, about, found);
            for (uint32_t q = 0; q < queries; q++) {
                assert_int_equal(found[q], atoll_candidates_find(&blocks, products + q * TABLES, 1, list, &score[q],
                                                                 WANT, number_one, about_one));
                assert_memory_equal(number_one, number + q * WANT, found[q] * sizeof *number);
                assert_memory_equal(about_one, about + q * WANT, found[q] * sizeof *about);
            }
        }
        atoll_blocks_clear(&blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_found),
        cmocka_unit_test(each_is_found_once),
        cmocka_unit_test(of_equals_the_first_count),
        cmocka_unit_test(queries_together_find_what_each_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
