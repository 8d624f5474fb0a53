#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/record_json.h"

typedef struct fixture {
    atoll_json_parser *parser;
    float *vector;
} fixture;

static fixture shared;

static int set_up(void **state)
{
    shared.parser = atoll_json_parser_new();
    shared.vector = malloc(ATOLL_NUMBERS_MAX * sizeof(float));
    *state = &shared;
    return shared.parser && shared.vector ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    atoll_json_parser_free(f->parser);
    free(f->vector);
    return 0;
}

static atoll_status read_json(fixture *f, const char *json, atoll_record *record, atoll_error *error)
{
    size_t bytes = strlen(json);
    char *padded = calloc(1, bytes + ATOLL_JSON_PADDING);
    assert_non_null(padded);
    memcpy(padded, json, bytes);
    atoll_json root;
    assert_int_equal(atoll_json_parse(f->parser, padded, bytes, &root, error), ATOLL_OK);
    free(padded);
    return atoll_record_from_json(root, f->vector, record, error);
}

static void assert_slice(atoll_slice slice, const char *text)
{
    assert_int_equal(slice.bytes, strlen(text));
    assert_memory_equal(slice.data, text, slice.bytes);
}

static void reads_every_field(void **state)
{
    atoll_record record;
    atoll_error error;
    assert_int_equal(read_json(*state,
                               "{\"id\":\"7\",\"text\":\"Caf\\u00e9 \\n x\",\"vector\":[1,-0.5],\"label\":\"l\","
                               "\"domain\":\"d\",\"time\":1767323045678}", &record, &error), ATOLL_OK);
    assert_slice(record.id, "7");
    assert_slice(record.text, "Caf\xc3\xa9 \n x");
    assert_slice(record.label, "l");
    assert_slice(record.domain, "d");
    assert_int_equal(record.vector_dim, 2);
    assert_true(record.vector[0] == 1 && record.vector[1] == -0.5f);
    assert_true(record.has_time);
    assert_int_equal(record.time_ms, 1767323045678);
    assert_int_equal(read_json(*state, "{\"text\":\"x\",\"time\":\"2026-01-02T03:04:05.678Z\"}", &record, &error),
                     ATOLL_OK);
    assert_int_equal(record.time_ms, 1767323045678);
}

static void null_is_absent(void **state)
{
    atoll_record record;
    atoll_error error;
    assert_int_equal(read_json(*state,
                               "{\"id\":null,\"text\":\"x\",\"vector\":null,\"label\":null,\"domain\":null,"
                               "\"time\":null,\"tokens\":null}", &record, &error), ATOLL_OK);
    assert_true(!record.id.data && !record.label.data && !record.domain.data && !record.vector && !record.has_time);
    assert_int_equal(read_json(*state, "{\"text\":null}", &record, &error), ATOLL_EMPTY_RECORD);
}

static void refuses_and_names_the_field(void **state)
{
    static const struct {
        const char *json;
        atoll_status status;
        const char *named;
    } cases[] = {
        {"[]", ATOLL_INVALID_RECORD, "object"},
        {"\"text\"", ATOLL_INVALID_RECORD, "object"},
        {"{}", ATOLL_EMPTY_RECORD, "text"},
        {"{\"label\":\"x\"}", ATOLL_EMPTY_RECORD, "text"},
        {"{\"text\":\"\"}", ATOLL_EMPTY_TEXT, "text"},
        {"{\"text\":\" \"}", ATOLL_EMPTY_TEXT, "text"},
        {"{\"text\":5}", ATOLL_INVALID_RECORD, "text"},
        {"{\"text\":\"x\",\"id\":5}", ATOLL_INVALID_RECORD, "id"},
        {"{\"text\":\"x\",\"label\":true}", ATOLL_INVALID_RECORD, "label"},
        {"{\"text\":\"x\",\"label\":\"\"}", ATOLL_INVALID_RECORD, "label"},
        {"{\"text\":\"x\",\"label\":\"a\\u0000\"}", ATOLL_INVALID_RECORD, "label"},
        {"{\"text\":\"x\",\"domain\":[]}", ATOLL_INVALID_RECORD, "domain"},
        {"{\"text\":\"x\",\"colour\":1}", ATOLL_UNKNOWN_KEY, "colour"},
        {"{\"text\":\"x\",\"colour\":null}", ATOLL_UNKNOWN_KEY, "colour"},
        {"{\"text\":\"x\",\"Text\":\"x\"}", ATOLL_UNKNOWN_KEY, "Text"},
        {"{\"tokens\":[]}", ATOLL_INVALID_RECORD, "tokens"},
        {"{\"tokens\":1}", ATOLL_INVALID_RECORD, "tokens"},
        {"{\"tokens\":[1,2]}", ATOLL_INVALID_RECORD, "tokens"},
        {"{\"tokens\":[[]]}", ATOLL_INVALID_RECORD, "tokens"},
        {"{\"tokens\":[[1,2],[1]]}", ATOLL_WRONG_DIMENSION, "element 1 of tokens"},
        {"{\"tokens\":[[1],[\"a\"]]}", ATOLL_INVALID_RECORD, "tokens"},
        {"{\"tokens\":[[1],[1e200]]}", ATOLL_NOT_FINITE, "tokens"},
        {"{\"tokens\":[[1]],\"vector\":[1]}", ATOLL_INVALID_RECORD, "a vector and tokens"},
        {"{\"vector\":[1],\"tokens\":[[1]]}", ATOLL_INVALID_RECORD, "a vector and tokens"},
        {"{\"vector\":[]}", ATOLL_INVALID_RECORD, "vector"},
        {"{\"vector\":\"1,2\"}", ATOLL_INVALID_RECORD, "vector"},
        {"{\"vector\":[1,\"2\"]}", ATOLL_INVALID_RECORD, "vector"},
        {"{\"vector\":[1,[2]]}", ATOLL_INVALID_RECORD, "vector"},
        {"{\"vector\":[1,1e200]}", ATOLL_NOT_FINITE, "vector"},
        {"{\"text\":\"x\",\"label\":\"a\",\"text\":\"y\"}", ATOLL_INVALID_RECORD, "text comes twice"},
        {"{\"text\":\"x\",\"time\":null,\"time\":1}", ATOLL_INVALID_RECORD, "time comes twice"},
        {"{\"tokens\":[[1]],\"tokens\":[[2]]}", ATOLL_INVALID_RECORD, "tokens comes twice"},
        {"{\"text\":\"x\",\"time\":\"yesterday\"}", ATOLL_INVALID_RECORD, "time"},
        {"{\"text\":\"x\",\"time\":1.5}", ATOLL_INVALID_RECORD, "time"},
        {"{\"text\":\"x\",\"time\":9223372036854775807}", ATOLL_INVALID_RECORD, "time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atoll_record record;
        atoll_error error = {0};
        assert_int_equal(read_json(*state, cases[i].json, &record, &error), cases[i].status);
        assert_int_equal(error.status, cases[i].status);
        assert_non_null(strstr(error.detail, cases[i].named));
    }
}

static void reads_tokens_one_behind_the_other(void **state)
{
    atoll_record record;
    atoll_error error;
    assert_int_equal(read_json(*state, "{\"text\":\"x\",\"tokens\":[[1,2],[3,4],[5,6.5]]}", &record, &error), ATOLL_OK);
    assert_int_equal(record.tokens, 3);
    assert_int_equal(record.vector_dim, 2);
    for (int i = 0; i < 5; i++)
        assert_true(record.vector[i] == (float)(i + 1));
    assert_true(record.vector[5] == 6.5f);
}

static void limits_tokens(void **state)
{
    char *json = malloc(1 << 20);
    assert_non_null(json);
    atoll_record record;
    atoll_error error;
    for (int dim = 1; dim <= 300; dim += 299)
        for (int count = ATOLL_TOKENS_MAX; count <= ATOLL_TOKENS_MAX + 1; count++) {
            size_t used = (size_t)sprintf(json, "{\"tokens\":[");
            for (int t = 0; t < count; t++) {
                used += (size_t)sprintf(json + used, t ? ",[0" : "[0");
                for (int i = 1; i < dim; i++)
                    used += (size_t)sprintf(json + used, ",1");
                used += (size_t)sprintf(json + used, "]");
            }
            strcpy(json + used, "]}");
            assert_int_equal(read_json(*state, json, &record, &error),
                             count <= ATOLL_TOKENS_MAX && dim * count <= ATOLL_NUMBERS_MAX ? ATOLL_OK
                                                                                           : ATOLL_TOO_MANY_TOKENS);
        }
    free(json);
}

static void limits_sizes(void **state)
{
    char *json = malloc(1 << 20);
    assert_non_null(json);
    atoll_record record;
    atoll_error error;
    sprintf(json, "{\"text\":\"%0*d\"}", ATOLL_TEXT_MAX_BYTES + 1, 0);
    assert_int_equal(read_json(*state, json, &record, &error), ATOLL_TEXT_TOO_LONG);
    sprintf(json, "{\"text\":\"x\",\"label\":\"%0*d\"}", ATOLL_LABEL_MAX_BYTES + 1, 0);
    assert_int_equal(read_json(*state, json, &record, &error), ATOLL_LABEL_TOO_LONG);
    sprintf(json, "{\"text\":\"x\",\"%0*d\":0}", 1000, 0);
    assert_int_equal(read_json(*state, json, &record, &error), ATOLL_UNKNOWN_KEY);
    for (int dim = ATOLL_VECTOR_MAX_DIM; dim <= ATOLL_VECTOR_MAX_DIM + 1; dim++) {
        size_t used = (size_t)sprintf(json, "{\"vector\":[0");
        for (int i = 1; i < dim; i++)
            used += (size_t)sprintf(json + used, ",%d", i);
        strcpy(json + used, "]}");
        assert_int_equal(read_json(*state, json, &record, &error),
                         dim <= ATOLL_VECTOR_MAX_DIM ? ATOLL_OK : ATOLL_WRONG_DIMENSION);
    }
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(null_is_absent),
        cmocka_unit_test(refuses_and_names_the_field),
        cmocka_unit_test(reads_tokens_one_behind_the_other),
        cmocka_unit_test(limits_tokens),
        cmocka_unit_test(limits_sizes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
