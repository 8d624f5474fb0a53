#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api/demo_stream.h"

static atoll_status load(const char *text, atoll_demo_stream *stream, atoll_error *error)
{
    FILE *in = fmemopen((void *)text, strlen(text), "r");
    atoll_status status = atoll_demo_stream_load(in, stream, error);
    fclose(in);
    return status;
}

static void one_in_twenty_of_each_domain_is_held_back(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    for (int i = 0; i < 45; i++)
        fprintf(out, "{\"id\":\"a%d\",\"text\":\"t\",\"label\":\"x\",\"domain\":\"first\"}\n", i);
    for (int i = 0; i < 11; i++)
        fprintf(out, "{\"domain\":\"second\",\"label\":\"y\",\"text\":\"u %d\"}\n", i);
    fprintf(out, "{\"text\":\"\\\"q\\\"\",\"label\":\"z\"}\n\n");
    fclose(out);
    atoll_demo_stream stream;
    assert_int_equal(load(text, &stream, NULL), ATOLL_OK);
    assert_int_equal(stream.domain_count, 3);
    assert_string_equal(stream.domains[0].name, "first");
    assert_int_equal(stream.domains[0].records, 45);
    assert_int_equal(stream.domains[0].held, 2);
    assert_int_equal(stream.domains[0].taught_end, 43);
    assert_int_equal(stream.domains[1].held, 1);
    assert_int_equal(stream.domains[1].taught_end, 53);
    assert_int_equal(stream.domains[2].taught_end, 54);
    assert_int_equal(stream.held_count, 3);
    assert_string_equal(stream.held[0].id, "a10");
    assert_string_equal(stream.held[1].id, "a30");
    assert_string_equal(stream.held[2].id, "");
    assert_string_equal(stream.held[2].text, "u 10");
    assert_string_equal(stream.held[2].label, "y");
    assert_int_equal(stream.held[2].domain, 1);
    atoll_demo_stream_free(&stream);
    free(text);
}

static void what_is_taught_does_not_tell_its_domain(void **state)
{
    (void)state;
    atoll_demo_stream stream;
    assert_int_equal(load("{\"id\":\"1\",\"text\":\"a\\nb\",\"label\":\"l\",\"domain\":\"d\"}\n"
                          "{\"text\":\"c\",\"label\":\"m\",\"domain\":\"d\"}", &stream, NULL), ATOLL_OK);
    const char *expected = "{\"id\":\"1\",\"text\":\"a\\nb\",\"label\":\"l\"}\n{\"text\":\"c\",\"label\":\"m\"}\n";
    assert_int_equal(stream.lines.bytes, strlen(expected));
    assert_memory_equal(stream.lines.data, expected, stream.lines.bytes);
    assert_int_equal(stream.taught, 2);
    assert_int_equal(stream.ends[1], stream.lines.bytes);
    atoll_demo_stream_free(&stream);
}

static void a_bad_line_is_named(void **state)
{
    (void)state;
    atoll_demo_stream stream;
    atoll_error error;
    assert_int_equal(load("{\"text\":\"a\",\"label\":\"b\"}\n\nnonsense\n", &stream, &error), ATOLL_INVALID_JSON);
    assert_memory_equal(error.detail, "line 3: ", 8);
    atoll_demo_stream_free(&stream);
    assert_int_equal(load("{\"text\":\"a\"}\n", &stream, &error), ATOLL_INVALID_RECORD);
    assert_string_equal(error.detail, "line 1: no label");
    atoll_demo_stream_free(&stream);
    assert_int_equal(load("{\"label\":\"a\"}\n", &stream, &error), ATOLL_INVALID_RECORD);
    atoll_demo_stream_free(&stream);
    assert_int_equal(load("[]\n", &stream, &error), ATOLL_INVALID_RECORD);
    atoll_demo_stream_free(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_in_twenty_of_each_domain_is_held_back),
        cmocka_unit_test(what_is_taught_does_not_tell_its_domain),
        cmocka_unit_test(a_bad_line_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
