#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "retrieval/blocks.h"

enum { LISTS = 3, PAIRS = 8, COUNT = 60000, SOME = 500 };

static uint8_t code_byte(uint32_t number, uint32_t p)
{
    return (uint8_t)(number * 31 + p * 7 + number / 256);
}

/* All in list 0 but each tenth, which is in list 2. */
static void fill(atoll_blocks *blocks)
{
    assert_int_equal(atoll_blocks_init(blocks, LISTS, PAIRS, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t code[PAIRS];
        for (uint32_t p = 0; p < PAIRS; p++)
            code[p] = code_byte(i, p);
        assert_int_equal(atoll_blocks_add(blocks, i % 10 ? 0 : 2, i, code, NULL), ATOLL_OK);
    }
}

static void lists_give_back_what_was_added(void **state)
{
    (void)state;
    static const uint32_t from[] = {0, 1, 63, 64, 1000, COUNT / 10 - SOME};
    atoll_blocks blocks;
    fill(&blocks);
    assert_int_equal(blocks.list[0].count, COUNT / 10 * 9);
    assert_int_equal(blocks.list[1].count, 0);
    assert_int_equal(blocks.list[2].count, COUNT / 10);
    for (uint32_t f = 0; f < sizeof from / sizeof *from; f++) {
        int64_t number[SOME];
        uint8_t code[SOME * PAIRS];
        atoll_blocks_numbers(&blocks, 2, from[f], SOME, number);
        atoll_blocks_codes(&blocks, 2, from[f], SOME, code);
        for (uint32_t i = 0; i < SOME; i++) {
            assert_int_equal(number[i], 10 * (from[f] + i));
            for (uint32_t p = 0; p < PAIRS; p++)
                assert_int_equal(code[i * PAIRS + p], code_byte((uint32_t)number[i], p));
        }
        atoll_blocks_numbers(&blocks, 1, 0, 0, number); /* nothing is there, and nothing read */
        atoll_blocks_codes(&blocks, 1, 0, 0, code);
    }
    atoll_blocks_clear(&blocks);
}

static void blocks_are_as_kernels_read_them(void **state)
{
    (void)state;
    atoll_blocks blocks;
    fill(&blocks);
    uint32_t block = blocks.list[2].head, at = 0;
    for (; block != ATOLL_BLOCKS_NONE; block = blocks.next[block]) {
        const uint8_t *codes = atoll_blocks_at(&blocks, block);
        const uint32_t *number = atoll_blocks_numbers_of(&blocks, codes);
        for (uint32_t i = 0; i < ATOLL_SCAN_BLOCK && at < blocks.list[2].count; i++, at++) {
            assert_int_equal(number[i], 10 * at);
            for (uint32_t p = 0; p < PAIRS; p++)
                assert_int_equal(codes[p * ATOLL_SCAN_BLOCK + i], code_byte(10 * at, p));
        }
    }
    assert_int_equal(at, COUNT / 10);
    atoll_blocks_clear(&blocks);
}

static void what_lists_take_is_little_more_than_they_hold(void **state)
{
    (void)state;
    atoll_blocks blocks;
    fill(&blocks);
    uint64_t least = COUNT * (PAIRS + sizeof(uint32_t)), bytes = atoll_blocks_bytes(&blocks);
    assert_true(bytes >= least && bytes < least + least / 4 + (1 << 17));
    atoll_blocks_clear(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_give_back_what_was_added),
        cmocka_unit_test(blocks_are_as_kernels_read_them),
        cmocka_unit_test(what_lists_take_is_little_more_than_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
