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

/* The specification as it is served, in *root, and its schemas. */
static atoll_json schemas_of(const http_reply *reply, atoll_json_parser *parser, atoll_json *root)
{
    atoll_json components, schemas;
    assert_int_equal(atoll_json_parse(parser, reply->body, reply->bytes, root, NULL), ATOLL_OK);
    assert_true(atoll_json_member(*root, "components", &components));
    assert_true(atoll_json_member(components, "schemas", &schemas));
    return schemas;
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
    atoll_json root, experts, schemas = schemas_of(&reply, parser, &root);
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

/* ---- replies by the schema of their operation ---- */

typedef struct checking {
    atoll_json schemas, schema;
    const char *path;
} checking;

static void conforms(atoll_json schemas, atoll_json schema, atoll_json value, const char *path);

static bool type_fits(const char *type, atoll_json_kind kind)
{
    static const char *const names[] = {[ATOLL_JSON_NULL] = "null", [ATOLL_JSON_BOOL] = "boolean",
                                        [ATOLL_JSON_NUMBER] = "number", [ATOLL_JSON_STRING] = "string",
                                        [ATOLL_JSON_ARRAY] = "array", [ATOLL_JSON_OBJECT] = "object"};
    return !strcmp(type, names[kind]) || (kind == ATOLL_JSON_NUMBER && !strcmp(type, "integer"));
}

typedef struct fit {
    atoll_json_kind kind;
    bool fits;
} fit;

static bool visit_type(void *arg, const char *name, atoll_json value)
{
    fit *f = arg;
    const char *type;
    size_t bytes;
    (void)name;
    assert_true(atoll_json_string(value, &type, &bytes));
    f->fits |= type_fits(type, f->kind);
    return true;
}

static bool visit_told(void *arg, const char *name, atoll_json value)
{
    const checking *c = arg;
    atoll_json inner, schema;
    if (!name && atoll_json_member(c->schema, "items", &schema))
        conforms(c->schemas, schema, value, c->path);
    else if (name && atoll_json_member(c->schema, "properties", &inner) && atoll_json_member(inner, name, &schema))
        conforms(c->schemas, schema, value, name);
    else if (name && atoll_json_member(c->schema, "additionalProperties", &schema))
        conforms(c->schemas, schema, value, name);
    else if (name && atoll_json_member(c->schema, "properties", &inner))
        fail_msg("%s: %s is not in the specification", c->path, name);
    return true;
}

static void conforms(atoll_json schemas, atoll_json schema, atoll_json value, const char *path)
{
    static const char prefix[] = "#/components/schemas/";
    atoll_json type;
    const char *name;
    size_t bytes;
    if (atoll_json_member(schema, "$ref", &type)) {
        assert_true(atoll_json_string(type, &name, &bytes));
        assert_true(atoll_json_member(schemas, name + sizeof prefix - 1, &schema));
    }
    if (atoll_json_member(schema, "type", &type)) {
        fit f = {atoll_json_kind_of(value), false};
        if (!atoll_json_each(type, visit_type, &f))
            visit_type(&f, NULL, type);
        if (!f.fits)
            fail_msg("%s is of another type than the specification says", path);
    }
    checking c = {schemas, schema, path};
    atoll_json_each(value, visit_told, &c);
}

/* The schema of a JSON reply with 200 or 201. */
static atoll_json schema_of(atoll_json root, const char *path, const char *method, const char *status)
{
    const char *const steps[] = {"paths", path, method, "responses", status, "content", "application/json", "schema"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (!atoll_json_member(root, steps[i], &root))
            fail_msg("%s %s: no %s in the specification", method, path, steps[i]);
    return root;
}

static void replies_are_as_specified(void **state)
{
    static const struct {
        const char *method, *path, *target, *body, *status;
    } calls[] = {
        {"PUT", "/v1/models/{model}", "/v1/models/m", "{\"routing\":{\"granularity\":\"token\"}}", "201"},
        {"PUT", "/v1/models/{model}", "/v1/models/m", "{\"experts\":{\"max\":9}}", "200"},
        {"POST", "/v1/models/{model}/ingest", "/v1/models/m/ingest?wait=trained",
         "{\"records\":[{\"text\":\"red fox\",\"id\":\"1\",\"label\":\"a\",\"domain\":\"d\"},{}]}", "200"},
        {"POST", "/v1/models/{model}/predict", "/v1/models/m/predict",
         "{\"records\":[{\"text\":\"red fox\"}],\"explain\":true}", "200"},
        {"GET", "/v1/models", "/v1/models", NULL, "200"},
        {"GET", "/v1/models/{model}", "/v1/models/m", NULL, "200"},
        {"GET", "/v1/models/{model}/experts", "/v1/models/m/experts", NULL, "200"},
        {"GET", "/v1/models/{model}/experts/{id}", "/v1/models/m/experts/0", NULL, "200"},
        {"POST", "/v1/models/{model}/prune", "/v1/models/m/prune", "{\"dry_run\":true}", "200"},
        {"GET", "/v1/models/{model}/schedule", "/v1/models/m/schedule", NULL, "200"},
        {"PUT", "/v1/models/{model}/schedule", "/v1/models/m/schedule", "{\"schedule\":\"\"}", "200"},
        {"GET", "/v1/models/{model}/stats", "/v1/models/m/stats", NULL, "200"},
        {"GET", "/healthz", "/healthz", NULL, "200"},
        {"GET", "/readyz", "/readyz", NULL, "200"},
        {"DELETE", "/v1/models/{model}", "/v1/models/m", NULL, "200"},
    };
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/openapi.json", NULL, NULL, 200);
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root, told, schemas = schemas_of(&reply, parser, &root);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char method[8] = "";
        for (int k = 0; calls[i].method[k]; k++)
            method[k] = (char)tolower(calls[i].method[k]);
        http_reply answer = expect(h, calls[i].method, calls[i].target, calls[i].body ? JSON : NULL, calls[i].body,
                                   atoi(calls[i].status));
        atoll_json_parser *other = atoll_json_parser_new();
        assert_int_equal(atoll_json_parse(other, answer.body, answer.bytes, &told, NULL), ATOLL_OK);
        conforms(schemas, schema_of(root, calls[i].path, method, calls[i].status), told, calls[i].target);
        atoll_json_parser_free(other);
        http_free(&answer);
    }
    atoll_json_parser_free(parser);
    http_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_specification_names_what_is_served, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(what_it_names_is_served, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(every_reference_is_defined, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(schemas_hold_what_is_told, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(replies_are_as_specified, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
