#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/limits.h"

static int set_up(void **state)
{
    *state = atoll_json_parser_new();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    atoll_json_parser_free(*state);
    return 0;
}

static atoll_status parse_bytes(void **state, const char *text, size_t bytes, atoll_json *root, atoll_error *error)
{
    char *padded = calloc(1, bytes + ATOLL_JSON_PADDING);
    assert_non_null(padded);
    memcpy(padded, text, bytes);
    *error = (atoll_error){0};
    atoll_status status = atoll_json_parse(*state, padded, bytes, root, error);
    free(padded); /* the document does not need its text any more */
    return status;
}

static atoll_json parse(void **state, const char *text)
{
    atoll_json root;
    atoll_error error;
    assert_int_equal(parse_bytes(state, text, strlen(text), &root, &error), ATOLL_OK);
    return root;
}

static atoll_json member(atoll_json object, const char *name)
{
    atoll_json out;
    assert_true(atoll_json_member(object, name, &out));
    return out;
}

static void tells_kinds(void **state)
{
    atoll_json root = parse(state, "{\"n\":null,\"b\":true,\"i\":-3,\"u\":18446744073709551615,\"d\":0.5,"
                                   "\"s\":\"x\",\"a\":[],\"o\":{}}");
    assert_int_equal(atoll_json_kind_of(root), ATOLL_JSON_OBJECT);
    assert_int_equal(atoll_json_kind_of(member(root, "n")), ATOLL_JSON_NULL);
    assert_int_equal(atoll_json_kind_of(member(root, "b")), ATOLL_JSON_BOOL);
    assert_int_equal(atoll_json_kind_of(member(root, "i")), ATOLL_JSON_NUMBER);
    assert_int_equal(atoll_json_kind_of(member(root, "u")), ATOLL_JSON_NUMBER);
    assert_int_equal(atoll_json_kind_of(member(root, "d")), ATOLL_JSON_NUMBER);
    assert_int_equal(atoll_json_kind_of(member(root, "s")), ATOLL_JSON_STRING);
    assert_int_equal(atoll_json_kind_of(member(root, "a")), ATOLL_JSON_ARRAY);
    assert_int_equal(atoll_json_kind_of(member(root, "o")), ATOLL_JSON_OBJECT);
    atoll_json out;
    assert_false(atoll_json_member(root, "missing", &out));
    assert_false(atoll_json_member(member(root, "a"), "n", &out));
}

static void reads_values(void **state)
{
    atoll_json root = parse(state, "{\"b\":true,\"i\":-3,\"u\":18446744073709551615,\"d\":0.5,\"k\":1e3,\"h\":1e300,"
                                   "\"z\":-0,\"s\":\"a\\u0000\\u00e9\\n\"}");
    bool truth = false;
    double real;
    int64_t integer;
    const char *data;
    size_t bytes;
    assert_true(atoll_json_bool(member(root, "b"), &truth) && truth);
    assert_false(atoll_json_bool(member(root, "i"), &truth));
    assert_true(atoll_json_int64(member(root, "i"), &integer) && integer == -3);
    assert_true(atoll_json_int64(member(root, "k"), &integer) && integer == 1000);
    assert_true(atoll_json_int64(member(root, "z"), &integer) && integer == 0);
    assert_false(atoll_json_int64(member(root, "u"), &integer));
    assert_false(atoll_json_int64(member(root, "d"), &integer));
    assert_false(atoll_json_int64(member(root, "h"), &integer));
    assert_false(atoll_json_int64(member(root, "s"), &integer));
    assert_true(atoll_json_double(member(root, "d"), &real) && real == 0.5);
    assert_true(atoll_json_double(member(root, "i"), &real) && real == -3);
    assert_true(atoll_json_double(member(root, "u"), &real) && real == 18446744073709551615.0);
    assert_false(atoll_json_double(member(root, "b"), &real));
    assert_true(atoll_json_string(member(root, "s"), &data, &bytes));
    assert_int_equal(bytes, 5);
    assert_memory_equal(data, "a\0\xc3\xa9\n", 6);
    assert_false(atoll_json_string(member(root, "d"), &data, &bytes));
}

static void first_of_equal_names_counts(void **state)
{
    int64_t integer;
    assert_true(atoll_json_int64(member(parse(state, "{\"a\":1,\"a\":2}"), "a"), &integer) && integer == 1);
}

static bool collect(void *arg, const char *name, atoll_json value)
{
    char *out = arg;
    int64_t integer = 0;
    atoll_json_int64(value, &integer);
    sprintf(out + strlen(out), "%s=%d;", name ? name : "-", (int)integer);
    return integer != 3;
}

static void visits_members_and_elements(void **state)
{
    char out[128] = "";
    assert_true(atoll_json_each(parse(state, "{\"x\":1,\"y\":{\"z\":9},\"w\":2}"), collect, out));
    assert_string_equal(out, "x=1;y=0;w=2;");
    out[0] = 0;
    assert_true(atoll_json_each(parse(state, "[1,[7],2,3,4]"), collect, out));
    assert_string_equal(out, "-=1;-=0;-=2;-=3;");
    out[0] = 0;
    assert_true(atoll_json_each(parse(state, "[]"), collect, out));
    assert_false(atoll_json_each(parse(state, "7"), collect, out));
    assert_string_equal(out, "");
}

static void refuses_what_is_not_json(void **state)
{
    static const char *const bad[] = {
        "", "  \n", "{", "[1,]", "{\"a\"}", "nul", "\"open", "{} x", "NaN", "[Infinity]", "01", "1e400", "'a'",
        "\"\\x\"", "\"a\nb\"", "123456789012345678901234567890", "{\"a\":1}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        atoll_json root;
        atoll_error error;
        assert_int_equal(parse_bytes(state, bad[i], strlen(bad[i]), &root, &error), ATOLL_INVALID_JSON);
        assert_int_equal(error.status, ATOLL_INVALID_JSON);
        assert_true(error.detail[0] != 0);
        assert_null(strchr(error.detail, '/'));
    }
    parse(state, "{}"); /* a failure leaves the parser usable */
}

static void refuses_what_is_not_utf8(void **state)
{
    static const char *const bad[] = {"\"\xff\"", "{\"a\":\"\xed\xa0\x80\"}", "\"\xc0\x80\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        atoll_json root;
        atoll_error error;
        assert_int_equal(parse_bytes(state, bad[i], strlen(bad[i]), &root, &error), ATOLL_INVALID_UTF8);
    }
}

static void limits_depth(void **state)
{
    char text[2 * ATOLL_JSON_MAX_DEPTH + 3];
    for (int depth = ATOLL_JSON_MAX_DEPTH; depth <= ATOLL_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        text[depth] = '1';
        memset(text + depth + 1, ']', (size_t)depth);
        atoll_json root;
        atoll_error error;
        assert_int_equal(parse_bytes(state, text, 2 * (size_t)depth + 1, &root, &error),
                         depth <= ATOLL_JSON_MAX_DEPTH ? ATOLL_OK : ATOLL_INVALID_JSON);
    }
}

static void reads_floats(void **state)
{
    float out[4] = {0, 0, 0, 77};
    size_t count = 9;
    atoll_error error;
    assert_int_equal(atoll_json_floats(parse(state, "[1,-2.5,3e-1]"), out, 4, &count, &error), ATOLL_OK);
    assert_int_equal(count, 3);
    assert_true(out[0] == 1 && out[1] == -2.5f && out[2] == 0.3f && out[3] == 77);
    assert_int_equal(atoll_json_floats(parse(state, "[5,6,7,8]"), out, 3, &count, &error), ATOLL_OK);
    assert_int_equal(count, 4);
    assert_true(out[2] == 7 && out[3] == 77);
    assert_int_equal(atoll_json_floats(parse(state, "[]"), out, 4, &count, &error), ATOLL_OK);
    assert_int_equal(count, 0);
    assert_int_equal(atoll_json_floats(parse(state, "[1,\"2\"]"), out, 4, &count, &error), ATOLL_INVALID_VALUE);
    assert_non_null(strstr(error.detail, "1"));
    assert_int_equal(atoll_json_floats(parse(state, "[1,null]"), out, 4, &count, &error), ATOLL_INVALID_VALUE);
    assert_int_equal(atoll_json_floats(parse(state, "{}"), out, 4, &count, &error), ATOLL_INVALID_VALUE);
    assert_int_equal(atoll_json_floats(parse(state, "[0,1e39]"), out, 4, &count, &error), ATOLL_NOT_FINITE);
}

static void gives_memory_back_after_a_large_text(void **state)
{
    size_t bytes = 6 << 20;
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    memset(text, ' ', bytes);
    text[0] = '[';
    text[bytes - 1] = ']';
    atoll_json root;
    atoll_error error;
    assert_int_equal(parse_bytes(state, text, bytes, &root, &error), ATOLL_OK);
    assert_int_equal(atoll_json_kind_of(root), ATOLL_JSON_ARRAY);
    free(text);
    int64_t integer;
    assert_true(atoll_json_int64(parse(state, "5"), &integer) && integer == 5);
    limits_depth(state);
}

static void free_takes_null(void **state)
{
    (void)state;
    atoll_json_parser_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_kinds),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(first_of_equal_names_counts),
        cmocka_unit_test(visits_members_and_elements),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_what_is_not_utf8),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(reads_floats),
        cmocka_unit_test(gives_memory_back_after_a_large_text),
        cmocka_unit_test(free_takes_null),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
