#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch.h"
#include "core/limits.h"

static atoll_batch *batch;
static atoll_json_parser *parser;

static int setup(void **state)
{
    (void)state;
    batch = atoll_batch_new();
    parser = atoll_json_parser_new();
    return batch && parser ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    atoll_batch_free(batch);
    atoll_json_parser_free(parser);
    return 0;
}

static atoll_status parse(const char *text, atoll_error *error)
{
    char padded[4096] = {0};
    assert_true(strlen(text) + ATOLL_JSON_PADDING < sizeof padded);
    strcpy(padded, text);
    return atoll_batch_parse(batch, parser, padded, strlen(text), error);
}

static void assert_slice(atoll_slice slice, const char *text)
{
    assert_int_equal(slice.bytes, strlen(text));
    assert_memory_equal(slice.data, text, slice.bytes);
}

static void records_outlive_the_parser_s_next_text(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"id\":\"1\",\"text\":\"one\",\"label\":\"a\",\"vector\":[1,2.5]}", NULL), ATOLL_OK);
    assert_int_equal(parse("{\"id\":\"2\",\"text\":\"zwei\",\"domain\":\"d\"}", NULL), ATOLL_OK);
    assert_int_equal(batch->count, 2);
    assert_slice(batch->records[0].id, "1");
    assert_slice(batch->records[0].text, "one");
    assert_slice(batch->records[0].label, "a");
    assert_int_equal(batch->records[0].vector_dim, 2);
    assert_true(batch->records[0].vector[1] > 2.4f && batch->records[0].vector[1] < 2.6f);
    assert_slice(batch->records[1].text, "zwei");
    assert_slice(batch->records[1].domain, "d");
    assert_null(batch->records[1].label.data);
    assert_null(batch->records[1].vector);
}

static void bad_text_adds_nothing(void **state)
{
    atoll_error error;
    (void)state;
    assert_int_equal(parse("{\"text\":", &error), ATOLL_INVALID_JSON);
    assert_int_equal(parse("{\"text\":\"\xff\"}", &error), ATOLL_INVALID_UTF8);
    assert_int_equal(parse("[]", &error), ATOLL_INVALID_RECORD);
    assert_int_equal(parse("{\"label\":\"a\"}", &error), ATOLL_EMPTY_RECORD);
    assert_int_equal(batch->count, 0);
}

static void a_dropped_record_is_gone(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"text\":\"one\"}", NULL), ATOLL_OK);
    assert_int_equal(parse("{\"text\":\"two\"}", NULL), ATOLL_OK);
    atoll_batch_drop(batch);
    assert_int_equal(parse("{\"text\":\"three\"}", NULL), ATOLL_OK);
    assert_int_equal(batch->count, 2);
    assert_slice(batch->records[1].text, "three");
}

static void many_records_fit_and_a_reset_forgets_them(void **state)
{
    char text[96], wanted[16];
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10000; i++) {
            snprintf(text, sizeof text, "{\"text\":\"number %d and some more text\",\"id\":\"%d\"}", i, i);
            assert_int_equal(parse(text, NULL), ATOLL_OK);
        }
        assert_int_equal(batch->count, 10000);
        for (int i = 0; i < 10000; i += 777) {
            snprintf(wanted, sizeof wanted, "%d", i);
            assert_slice(batch->records[i].id, wanted);
        }
        atoll_batch_reset(batch);
        assert_int_equal(batch->count, 0);
    }
}

static void a_record_larger_than_a_block_fits(void **state)
{
    enum { DIM = ATOLL_VECTOR_MAX_DIM };
    (void)state;
    char *text = calloc(1, DIM * 2 + 64 + ATOLL_JSON_PADDING);
    strcpy(text, "{\"vector\":[");
    for (int i = 0; i < DIM; i++)
        strcat(text + 11 + (i ? 2 * i - 1 : 0), i ? ",1" : "1");
    strcat(text, "]}");
    for (int i = 0; i < 8; i++)
        assert_int_equal(atoll_batch_parse(batch, parser, text, strlen(text), NULL), ATOLL_OK);
    for (int i = 0; i < 8; i++)
        assert_true(batch->records[i].vector[DIM - 1] > 0.9f);
    free(text);
}

static void lines_are_numbered_and_blank_ones_passed(void **state)
{
    static const char text[] = "one\n\n \t\r\ntwo\r\nthree";
    atoll_lines lines = {text, text + sizeof text - 1, 0};
    const char *line;
    size_t bytes;
    (void)state;
    assert_true(atoll_lines_next(&lines, &line, &bytes));
    assert_int_equal(lines.number, 1);
    assert_memory_equal(line, "one", bytes);
    assert_true(atoll_lines_next(&lines, &line, &bytes));
    assert_int_equal(lines.number, 4);
    assert_int_equal(bytes, 4);
    assert_true(atoll_lines_next(&lines, &line, &bytes));
    assert_int_equal(lines.number, 5);
    assert_memory_equal(line, "three", bytes);
    assert_false(atoll_lines_next(&lines, &line, &bytes));
    lines = (atoll_lines){text, text, 0};
    assert_false(atoll_lines_next(&lines, &line, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_outlive_the_parser_s_next_text, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_text_adds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dropped_record_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(many_records_fit_and_a_reset_forgets_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_larger_than_a_block_fits, setup, teardown),
        cmocka_unit_test(lines_are_numbered_and_blank_ones_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
