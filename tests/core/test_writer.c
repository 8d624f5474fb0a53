#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/writer.h"

static void writes_nested_json(void **state)
{
    (void)state;
    atoll_writer writer;
    atoll_writer_init(&writer);
    for (int line = 0; line < 2; line++) {
        atoll_json_object_begin(&writer);
        atoll_json_name(&writer, "a");
        atoll_json_array_begin(&writer);
        atoll_json_put_uint(&writer, UINT64_MAX);
        atoll_json_put_int(&writer, INT64_MIN);
        atoll_json_put_null(&writer);
        atoll_json_array_begin(&writer);
        atoll_json_array_end(&writer);
        atoll_json_object_begin(&writer);
        atoll_json_object_end(&writer);
        atoll_json_array_end(&writer);
        atoll_json_name(&writer, "b\"");
        atoll_json_put_bool(&writer, true);
        atoll_json_name(&writer, "c");
        atoll_json_put_bool(&writer, false);
        atoll_json_object_end(&writer);
        atoll_json_newline(&writer);
    }
    assert_true(atoll_writer_terminate(&writer));
    const char *once = "{\"a\":[18446744073709551615,-9223372036854775808,null,[],{}],\"b\\\"\":true,\"c\":false}\n";
    assert_int_equal(writer.bytes, 2 * strlen(once));
    assert_memory_equal(writer.data, once, strlen(once));
    assert_string_equal(writer.data + strlen(once), once);
    atoll_writer_free(&writer);
    assert_null(writer.data);
}

static void escapes_strings(void **state)
{
    (void)state;
    atoll_writer writer;
    atoll_writer_init(&writer);
    atoll_json_put_string(&writer, "a\"b\\c\n\r\t\b\f\x01\x1f\0/\xc3\xa9\x7f", 17);
    assert_true(atoll_writer_terminate(&writer));
    assert_string_equal(writer.data, "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f\\u0000/\xc3\xa9\x7f\"");
    writer.bytes = 0;
    writer.comma = false;
    atoll_json_put_text(&writer, "");
    assert_true(atoll_writer_terminate(&writer));
    assert_string_equal(writer.data, "\"\"");
    atoll_writer_free(&writer);
}

static const char *print(atoll_writer *writer, double value)
{
    writer->bytes = 0;
    writer->comma = false;
    atoll_json_put_double(writer, value);
    assert_true(atoll_writer_terminate(writer));
    return writer->data;
}

static void writes_short_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"}, {-0.0, "0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1f, "0.1"}, {0.1, "0.1"}, {0.9999999f, "0.9999999"},
        {0.001, "0.001"}, {0.00012345, "0.00012345"}, {-0.3333333432674408, "-0.33333334"}, {1e9, "1000000000"},
        {123456789.0, "123456789"}, {1234567.25, "1234567.2"}, {1e14, "100000000000000"}, {99.95f, "99.95"},
        {0.5, "0.5"}, {3.1415927f, "3.1415927"}, {1e-5f, "0.00001"},
        {1e300, "1e+300"}, {5e-324, "4.94066e-324"}, {1.5e-7f, "1.5e-07"},
        {NAN, "null"}, {INFINITY, "null"}, {-INFINITY, "null"},
    };
    atoll_writer writer;
    atoll_writer_init(&writer);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(print(&writer, cases[i].value), cases[i].text);
    atoll_writer_free(&writer);
}

static void numbers_read_back(void **state)
{
    (void)state;
    atoll_writer writer;
    atoll_writer_init(&writer);
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)atoll_rng_next(&rng);
        float value;
        memcpy(&value, &bits, 4);
        if (i % 2)
            value = atoll_rng_normal(&rng);
        if (!isfinite(value))
            continue;
        assert_true(strtof(print(&writer, (double)value), NULL) == value);
        assert_true((float)strtod(writer.data, NULL) == value);
        assert_true(writer.bytes <= 17);
    }
    atoll_writer_free(&writer);
}

static void grows_and_formats(void **state)
{
    (void)state;
    atoll_writer writer;
    atoll_writer_init(&writer);
    for (int i = 0; i < 5000; i++)
        atoll_writer_format(&writer, "%d,", i % 10);
    assert_int_equal(writer.bytes, 10000);
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    atoll_writer_format(&writer, "<%s>", longer);
    assert_int_equal(writer.bytes, 10000 + 999 + 2);
    assert_true(writer.data[10000] == '<' && writer.data[writer.bytes - 1] == '>');
    atoll_writer_raw(&writer, NULL, 0);
    atoll_writer_text(&writer, "");
    assert_int_equal(writer.bytes, 11001);
    assert_false(writer.failed);
    atoll_writer_free(&writer);
}

static void remembers_failure(void **state)
{
    (void)state;
    atoll_writer writer;
    atoll_writer_init(&writer);
    atoll_writer_text(&writer, "kept");
    atoll_writer_raw(&writer, "x", SIZE_MAX / 2 + 1); /* more than can be had */
    assert_true(writer.failed);
    atoll_json_put_uint(&writer, 1);
    assert_int_equal(writer.bytes, 4);
    assert_false(atoll_writer_terminate(&writer));
    atoll_writer_free(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_nested_json),   cmocka_unit_test(escapes_strings),
        cmocka_unit_test(writes_short_numbers), cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(grows_and_formats),    cmocka_unit_test(remembers_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
