#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/record.h"
#include "core/rng.h"

static atoll_slice slice(const char *text)
{
    return (atoll_slice){text, strlen(text)};
}

static atoll_status check(atoll_record record)
{
    atoll_error error = {0};
    atoll_status status = atoll_record_check(&record, &error);
    if (status != ATOLL_OK) {
        assert_int_equal(error.status, status);
        assert_true(error.detail[0] != 0);
    }
    return status;
}

static void checks_text(void **state)
{
    (void)state;
    static char longest[ATOLL_TEXT_MAX_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(check((atoll_record){0}), ATOLL_EMPTY_RECORD);
    assert_int_equal(check((atoll_record){.label = slice("only")}), ATOLL_EMPTY_RECORD);
    assert_int_equal(check((atoll_record){.text = slice("x")}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.text = slice("")}), ATOLL_EMPTY_TEXT);
    assert_int_equal(check((atoll_record){.text = slice(" \t\r\n\xc2\xa0")}), ATOLL_EMPTY_TEXT);
    assert_int_equal(check((atoll_record){.text = slice(" ?")}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.text = slice("\xff")}), ATOLL_INVALID_UTF8);
    assert_int_equal(check((atoll_record){.text = {longest, ATOLL_TEXT_MAX_BYTES}}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.text = {longest, ATOLL_TEXT_MAX_BYTES + 1}}), ATOLL_TEXT_TOO_LONG);
}

static void checks_vectors(void **state)
{
    (void)state;
    static float vector[ATOLL_VECTOR_MAX_DIM + 1];
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = 0}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = 1}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = ATOLL_VECTOR_MAX_DIM}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = ATOLL_VECTOR_MAX_DIM + 1}),
                     ATOLL_WRONG_DIMENSION);
    vector[3] = NAN;
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = 3}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = 4}), ATOLL_NOT_FINITE);
    vector[3] = -INFINITY;
    assert_int_equal(check((atoll_record){.vector = vector, .vector_dim = 4}), ATOLL_NOT_FINITE);
}

static void checks_tokens(void **state)
{
    (void)state;
    static float numbers[ATOLL_NUMBERS_MAX + 1];
    atoll_record record = {.vector = numbers, .vector_dim = 256, .tokens = ATOLL_TOKENS_MAX};
    assert_int_equal(check(record), ATOLL_OK);
    assert_int_equal(atoll_record_vectors(&record), 256);
    assert_int_equal(atoll_record_numbers(&record), ATOLL_NUMBERS_MAX);
    record.vector_dim = 257;
    assert_int_equal(check(record), ATOLL_TOO_MANY_TOKENS);
    record = (atoll_record){.vector = numbers, .vector_dim = 1, .tokens = ATOLL_TOKENS_MAX + 1};
    assert_int_equal(check(record), ATOLL_TOO_MANY_TOKENS);
    record = (atoll_record){.vector = numbers, .vector_dim = 0, .tokens = 2};
    assert_int_equal(check(record), ATOLL_INVALID_RECORD);
    record = (atoll_record){.vector = numbers, .vector_dim = 4, .tokens = 2};
    numbers[7] = NAN;
    assert_int_equal(check(record), ATOLL_NOT_FINITE);
    record.tokens = 1;
    assert_int_equal(check(record), ATOLL_OK);
}

static void checks_names(void **state)
{
    (void)state;
    static char longest[ATOLL_LABEL_MAX_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    atoll_slice fits = {longest, ATOLL_LABEL_MAX_BYTES}, over = {longest, ATOLL_LABEL_MAX_BYTES + 1};
    atoll_slice text = slice("x"), none = slice(""), bad = slice("a\x80");
    assert_int_equal(check((atoll_record){.text = text, .id = fits, .label = fits, .domain = fits}), ATOLL_OK);
    assert_int_equal(check((atoll_record){.text = text, .label = over}), ATOLL_LABEL_TOO_LONG);
    assert_int_equal(check((atoll_record){.text = text, .id = over}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = text, .domain = over}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = text, .label = none}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = text, .id = none}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = text, .domain = none}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = text, .label = bad}), ATOLL_INVALID_UTF8);
    assert_int_equal(check((atoll_record){.text = text, .label = {"a\0b", 3}}), ATOLL_INVALID_RECORD);
    assert_int_equal(check((atoll_record){.text = {"a\0b", 3}}), ATOLL_OK);
}

static bool same(atoll_slice a, atoll_slice b)
{
    return !a.data == !b.data && a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static const float sample_vector[3] = {1, -2.5f, 3e-38f};

/* A record whose fields are those of `fields`, one bit each. */
static atoll_record sample(int fields)
{
    atoll_record record = {0};
    if (fields & 1)
        record.id = slice("id-1");
    if (fields & 2)
        record.text = slice("some text \xc3\xa9");
    if (fields & 4)
        record.label = slice("label");
    if (fields & 8)
        record.domain = slice("d");
    if (fields & 16) {
        record.vector = sample_vector;
        record.vector_dim = 3;
    }
    if (fields & 64) {
        record.vector = sample_vector;
        record.vector_dim = 1;
        record.tokens = 3;
    }
    record.has_time = fields & 32;
    record.time_ms = record.has_time ? -1234567890123 : 0;
    return record;
}

static void survives_the_way_to_bytes_and_back(void **state)
{
    (void)state;
    static float space[ATOLL_NUMBERS_MAX];
    for (int fields = 0; fields < 128; fields++) {
        atoll_record in = sample(fields), out;
        uint8_t bytes[256] = {0};
        size_t size = atoll_record_size(&in), used = 0;
        atoll_error error;
        assert_int_equal(atoll_record_encode(&in, bytes + 1), size);
        assert_int_equal(atoll_record_decode(bytes + 1, sizeof bytes - 1, space, &out, &used, &error), ATOLL_OK);
        assert_int_equal(used, size);
        assert_true(same(in.id, out.id) && same(in.text, out.text) && same(in.label, out.label));
        assert_true(same(in.domain, out.domain));
        assert_int_equal(in.vector_dim, out.vector_dim);
        assert_int_equal(in.tokens, out.tokens);
        assert_int_equal(!in.vector, !out.vector);
        if (in.vector)
            assert_memory_equal(out.vector, in.vector, 3 * sizeof(float));
        assert_int_equal(in.has_time, out.has_time);
        assert_int_equal(in.time_ms, out.time_ms);
    }
}

static void refuses_damaged_bytes(void **state)
{
    (void)state;
    float *space = malloc(ATOLL_NUMBERS_MAX * sizeof *space);
    assert_non_null(space);
    atoll_record record = sample(63), out;
    size_t size = atoll_record_size(&record), used;
    atoll_error error;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut + 1), whole[256];
        assert_non_null(exact);
        atoll_record_encode(&record, whole);
        memcpy(exact, whole, cut);
        assert_int_equal(atoll_record_decode(exact, cut, space, &out, &used, &error), ATOLL_DAMAGED);
        /* The same with a size that pretends to be whole. */
        uint32_t claimed = (uint32_t)cut;
        if (cut >= 4) {
            memcpy(exact, &claimed, 4);
            assert_int_equal(atoll_record_decode(exact, cut, space, &out, &used, &error), ATOLL_DAMAGED);
            assert_null(out.text.data);
        }
        free(exact);
    }
    uint8_t bytes[256];
    atoll_record_encode(&record, bytes);
    bytes[4] |= 128; /* a field that is not known */
    assert_int_equal(atoll_record_decode(bytes, size, space, &out, &used, &error), ATOLL_DAMAGED);
    free(space);
}

static void random_damage_reads_nothing_outside(void **state)
{
    (void)state;
    float *space = malloc(ATOLL_NUMBERS_MAX * sizeof *space);
    atoll_record record = sample(63 + 64 - 16), out;
    size_t size = atoll_record_size(&record), used = 0;
    uint8_t *bytes = malloc(size);
    assert_true(space && bytes);
    atoll_rng rng;
    atoll_rng_seed(&rng, 5, 0);
    for (int round = 0; round < 20000; round++) {
        atoll_error error;
        atoll_record_encode(&record, bytes);
        for (uint32_t i = 0, n = 1 + atoll_rng_below(&rng, 3); i < n; i++)
            bytes[atoll_rng_below(&rng, (uint32_t)size)] = (uint8_t)atoll_rng_next(&rng);
        atoll_status status = atoll_record_decode(bytes, size, space, &out, &used, &error);
        assert_true(status == ATOLL_DAMAGED || used == size);
    }
    free(bytes);
    free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_text),
        cmocka_unit_test(checks_vectors),
        cmocka_unit_test(checks_tokens),
        cmocka_unit_test(checks_names),
        cmocka_unit_test(survives_the_way_to_bytes_and_back),
        cmocka_unit_test(refuses_damaged_bytes),
        cmocka_unit_test(random_damage_reads_nothing_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
