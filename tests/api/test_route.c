#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/route.h"

static const atoll_route table[] = {
    {"GET", "/", NULL, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", "/v1/models/{model}", NULL, ATOLL_TAKES_NOTHING, NULL, false},
    {"PUT", "/v1/models/{model}", NULL, ATOLL_TAKES_JSON, NULL, false},
    {"POST", "/v1/models/{model}/ingest", NULL, ATOLL_TAKES_RECORDS, "wait top ", false},
    {"GET", "/v1/models/{model}/experts/{id}", NULL, ATOLL_TAKES_NOTHING, NULL, false},
};

static atoll_target target;
static atoll_error error;

static atoll_status match(const char *method, const char *text)
{
    error.detail[0] = 0;
    return atoll_route_match(table, sizeof table / sizeof *table, method, text, &target, &error);
}

static void paths_find_their_route(void **state)
{
    (void)state;
    assert_int_equal(match("GET", "/"), ATOLL_OK);
    assert_ptr_equal(target.route, &table[0]);
    assert_int_equal(match("HEAD", "/v1/models/m"), ATOLL_OK);
    assert_ptr_equal(target.route, &table[1]);
    assert_string_equal(target.model, "m");
    assert_int_equal(match("GET", "/v1/models/a%2Db%2fc/experts/17"), ATOLL_OK);
    assert_ptr_equal(target.route, &table[4]);
    assert_string_equal(target.model, "a-b/c");
    assert_string_equal(target.id, "17");
}

static void unknown_paths_are_told(void **state)
{
    static const char *const unknown[] = {"/v1", "/v1/models/m/", "/v1/models/m/nope", "//v1/models/m", "/V1/models/m",
                                          "/v1/models/m/experts", "/a/b/c/d/e/f/g/h/i/j"};
    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(match("GET", unknown[i]), ATOLL_UNKNOWN_PATH);
}

static void a_wrong_method_tells_the_right_ones(void **state)
{
    (void)state;
    assert_int_equal(match("DELETE", "/v1/models/m"), ATOLL_METHOD_NOT_ALLOWED);
    assert_string_equal(target.allow, "GET, HEAD, PUT");
    assert_int_equal(match("GET", "/v1/models/m/ingest"), ATOLL_METHOD_NOT_ALLOWED);
    assert_string_equal(target.allow, "POST");
}

static void queries_are_decoded_and_known(void **state)
{
    (void)state;
    assert_int_equal(match("POST", "/v1/models/m/ingest?wait=tr%61ined&top=a+b%2B"), ATOLL_OK);
    assert_string_equal(atoll_target_query(&target, "wait"), "trained");
    assert_string_equal(atoll_target_query(&target, "top"), "a b+");
    assert_null(atoll_target_query(&target, "nope"));
    assert_int_equal(match("POST", "/v1/models/m/ingest?wait&&"), ATOLL_OK);
    assert_string_equal(atoll_target_query(&target, "wait"), "");
    assert_int_equal(match("POST", "/v1/models/m/ingest?wai=1"), ATOLL_UNKNOWN_KEY);
    assert_non_null(strstr(error.detail, "\"wai\""));
    assert_int_equal(match("POST", "/v1/models/m/ingest?wait=1&wait=2"), ATOLL_UNKNOWN_KEY);
    assert_int_equal(match("GET", "/?x"), ATOLL_UNKNOWN_KEY);
}

static void absolute_targets_are_taken(void **state)
{
    (void)state;
    assert_int_equal(match("POST", "http://127.0.0.1:8080/v1/models/m/ingest?wait=trained"), ATOLL_OK);
    assert_string_equal(target.model, "m");
    assert_string_equal(atoll_target_query(&target, "wait"), "trained");
    assert_int_equal(match("GET", "HTTP://host/"), ATOLL_OK);
    assert_ptr_equal(target.route, &table[0]);
    assert_int_equal(match("GET", "http://host//"), ATOLL_UNKNOWN_PATH);
}

static void bad_targets_are_refused(void **state)
{
    static const char *const bad[] = {"/v1/models/%", "/v1/models/%4", "/v1/models/%zz", "/v1/models/a%00b",
                                      "*", "", "http://host", "http://host?x", "https://host/"};
    char wide[ATOLL_TARGET_MAX_BYTES + 2];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(match("GET", bad[i]), ATOLL_BAD_REQUEST);
    assert_int_equal(match("POST", "/v1/models/m/ingest?wait=%1"), ATOLL_BAD_REQUEST);
    memset(wide, 'a', sizeof wide);
    wide[0] = '/';
    wide[ATOLL_TARGET_MAX_BYTES] = 0;
    assert_int_equal(match("GET", wide), ATOLL_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_route),        cmocka_unit_test(unknown_paths_are_told),
        cmocka_unit_test(a_wrong_method_tells_the_right_ones), cmocka_unit_test(queries_are_decoded_and_known),
        cmocka_unit_test(absolute_targets_are_taken),    cmocka_unit_test(bad_targets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
