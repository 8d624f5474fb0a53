#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>

#include "api/route.h"
#include "tests/api/harness.h"

static void the_specification_names_what_is_served(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/openapi.json", NULL, NULL, 200);
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root, paths, path, operation;
    assert_int_equal(atoll_json_parse(parser, reply.body, reply.bytes, &root, NULL), ATOLL_OK);
    assert_true(atoll_json_member(root, "paths", &paths));
    for (uint32_t i = 0; i < atoll_route_count; i++) {
        char method[8] = "";
        for (int k = 0; atoll_routes[i].method[k]; k++)
            method[k] = (char)tolower(atoll_routes[i].method[k]);
        if (!atoll_json_member(paths, atoll_routes[i].path, &path) || !atoll_json_member(path, method, &operation))
            fail_msg("%s %s is not in the specification", method, atoll_routes[i].path);
    }
    atoll_json_parser_free(parser);
    http_free(&reply);
}

typedef struct walk {
    const char *path;
    uint32_t operations;
} walk;

static bool visit_operation(void *arg, const char *name, atoll_json value)
{
    walk *w = arg;
    bool served = !strcmp(name, "parameters");
    (void)value;
    for (uint32_t i = 0; i < atoll_route_count && !served; i++)
        served = !strcmp(atoll_routes[i].path, w->path) && !strcasecmp(atoll_routes[i].method, name);
    if (!served)
        fail_msg("%s %s is not served", name, w->path);
    w->operations += strcmp(name, "parameters") != 0;
    return true;
}

static bool visit_path(void *arg, const char *name, atoll_json value)
{
    walk *w = arg;
    w->path = name;
    return atoll_json_each(value, visit_operation, w);
}

static void what_it_names_is_served(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/openapi.json", NULL, NULL, 200);
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root, paths;
    walk w = {0};
    assert_int_equal(atoll_json_parse(parser, reply.body, reply.bytes, &root, NULL), ATOLL_OK);
    assert_true(atoll_json_member(root, "paths", &paths));
    assert_true(atoll_json_each(paths, visit_path, &w));
    assert_int_equal(w.operations, atoll_route_count);
    atoll_json_parser_free(parser);
    http_free(&reply);
}

static void every_reference_is_defined(void **state)
{
    static const char mark[] = "\"$ref\":\"#/components/schemas/";
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/openapi.json", NULL, NULL, 200);
    const char *schemas = strstr(reply.body, "\"schemas\":{");
    assert_non_null(schemas);
    for (const char *at = reply.body; (at = strstr(at, mark)); at++) {
        char defined[64];
        const char *name = at + sizeof mark - 1;
        snprintf(defined, sizeof defined, "\"%.*s\":{\"type\":", (int)strcspn(name, "\""), name);
        assert_non_null(strstr(schemas, defined));
    }
    http_free(&reply);
}

/* What a reply of the server holds is in its schema, and the other way about. */
static bool is_member(void *object, const char *name, atoll_json value)
{
    atoll_json found;
    (void)value;
    if (!atoll_json_member(*(atoll_json *)object, name, &found))
        fail_msg("%s is on one side only", name);
    return true;
}

static void same_members(atoll_json schemas, const char *name, atoll_json reply)
{
    atoll_json schema, properties;
    assert_true(atoll_json_member(schemas, name, &schema));
    assert_true(atoll_json_member(schema, "properties", &properties));
    assert_true(atoll_json_each(properties, is_member, &reply));
    assert_true(atoll_json_each(reply, is_member, &properties));
}

static bool take_first(void *out, const char *name, atoll_json value)
{
    (void)name;
    *(atoll_json *)out = value;
    return false;
}

static void schemas_hold_what_is_told(void **state)
{
    static const char *const told[][2] = {{"Model", "/v1/models/m"}, {"Stats", "/v1/models/m/stats"},
                                          {"Expert", "/v1/models/m/experts"}};
    harness *h = *state;
    http_reply created = expect(h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_reply reply = expect(h, "GET", "/openapi.json", NULL, NULL, 200);
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root, components, schemas, experts;
    assert_int_equal(atoll_json_parse(parser, reply.body, reply.bytes, &root, NULL), ATOLL_OK);
    assert_true(atoll_json_member(root, "components", &components));
    assert_true(atoll_json_member(components, "schemas", &schemas));
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        http_reply answer = expect(h, "GET", told[i][1], NULL, NULL, 200);
        atoll_json_parser *other = atoll_json_parser_new();
        assert_int_equal(atoll_json_parse(other, answer.body, answer.bytes, &root, NULL), ATOLL_OK);
        if (atoll_json_member(root, "experts", &experts) && !strcmp(told[i][0], "Expert"))
            atoll_json_each(experts, take_first, &root);
        same_members(schemas, told[i][0], root);
        atoll_json_parser_free(other);
        http_free(&answer);
    }
    atoll_json_parser_free(parser);
    http_free(&reply);
    http_free(&created);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_specification_names_what_is_served, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(what_it_names_is_served, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(every_reference_is_defined, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(schemas_hold_what_is_told, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
