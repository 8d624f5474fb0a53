#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/hash.h"

/* Values of the reference implementation: they stand on disk, so they must never change. */
static void test_known_values(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    assert_int_equal(atoll_hash64("", 0, 0), 0x2d06800538d394c2);
    assert_int_equal(atoll_hash64("atoll", 5, 0), 0x6b41a5efd081ed73);
    assert_int_equal(atoll_hash64("atoll", 5, 1), 0x8788bb985b92b595);
    assert_int_equal(atoll_hash64(bytes, 200, 42), 0xb04cc37ae5a4a48d);
    assert_int_equal(atoll_hash64(bytes, sizeof bytes, 42), 0xf0f163846cbf0c33);
}

static void test_nothing_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(atoll_hash64(NULL, 0, 7), atoll_hash64("x", 0, 7));
}

static void test_alignment_does_not_matter(void **state)
{
    (void)state;
    uint8_t bytes[512 + 8];
    for (size_t bytes_long = 0; bytes_long <= 512; bytes_long += 37) {
        uint8_t plain[512];
        for (size_t i = 0; i < bytes_long; i++)
            plain[i] = (uint8_t)(i * 31);
        uint64_t expected = atoll_hash64(plain, bytes_long, 5);
        for (size_t shift = 0; shift < 8; shift++) {
            memcpy(bytes + shift, plain, bytes_long);
            assert_int_equal(atoll_hash64(bytes + shift, bytes_long, 5), expected);
        }
    }
}

/* Of a stored blob every single flipped bit must be seen. */
static void test_every_bit_counts(void **state)
{
    (void)state;
    uint8_t bytes[300] = {0};
    uint64_t whole = atoll_hash64(bytes, sizeof bytes, 0);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(atoll_hash64(bytes, sizeof bytes, 0), whole);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_nothing_is_allowed),
        cmocka_unit_test(test_alignment_does_not_matter),
        cmocka_unit_test(test_every_bit_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
