#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/rng.h"
#include "retrieval/scan.h"

enum { BLOCK = ATOLL_SCAN_BLOCK, PAIRS_MAX = 64 };

static uint8_t codes[PAIRS_MAX * BLOCK];
static _Alignas(16) uint8_t tables[PAIRS_MAX * 32];

static void fill(uint64_t seed, uint32_t pairs, uint32_t most)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, 8, seed);
    for (uint32_t i = 0; i < pairs * BLOCK; i++)
        codes[i] = (uint8_t)atoll_rng_below(&rng, 256);
    for (uint32_t i = 0; i < pairs * 32; i++)
        tables[i] = (uint8_t)(most - atoll_rng_below(&rng, most / 2 + 1));
}

static void the_reference_sums_entries(void **state)
{
    (void)state;
    int16_t sum[BLOCK];
    fill(1, 2, 100);
    uint64_t enough = atoll_scan_portable(codes, tables, 2, 250, sum);
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint8_t first = codes[i], second = codes[BLOCK + i];
        int expected = tables[first & 15] + tables[16 + (first >> 4)] + tables[32 + (second & 15)] +
                       tables[48 + (second >> 4)];
        assert_int_equal(sum[i], expected);
        assert_int_equal(enough >> i & 1, expected >= 250);
    }
}

static void kernels_agree(void **state)
{
    (void)state;
    assert_ptr_equal(atoll_scan_best(), atoll_scan_nth(0));
    for (uint32_t n = 0; atoll_scan_nth(n); n++)
        for (uint32_t pairs = 1; pairs <= PAIRS_MAX; pairs += pairs < 4 ? 1 : 15) {
            int16_t expected[BLOCK], sum[BLOCK];
            fill(pairs, pairs, ATOLL_SCAN_ENTRY);
            int16_t middle = (int16_t)(2 * pairs * 95);
            const int16_t least[] = {0, middle, (int16_t)(middle + 30), ATOLL_SCAN_SUM, ATOLL_SCAN_SUM + 1};
            for (uint32_t i = 0; i < sizeof least / sizeof *least; i++) {
                uint64_t enough = atoll_scan_portable(codes, tables, pairs, least[i], expected);
                assert_true(atoll_scan_nth(n)(codes, tables, pairs, least[i], sum) == enough);
                assert_memory_equal(sum, expected, sizeof sum);
            }
        }
}

static void the_largest_entries_fit(void **state)
{
    (void)state;
    int16_t sum[BLOCK];
    memset(codes, 0xff, sizeof codes);
    memset(tables, ATOLL_SCAN_ENTRY, sizeof tables);
    for (uint32_t n = 0; atoll_scan_nth(n); n++) {
        assert_true(atoll_scan_nth(n)(codes, tables, PAIRS_MAX, 128 * 127, sum) == UINT64_MAX);
        assert_true(atoll_scan_nth(n)(codes, tables, PAIRS_MAX, 128 * 127 + 1, sum) == 0);
        for (uint32_t i = 0; i < BLOCK; i++)
            assert_int_equal(sum[i], 128 * 127);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_sums_entries),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(the_largest_entries_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
