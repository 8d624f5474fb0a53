#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static void a_model_is_made_changed_and_removed(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, "{\"seed\":7,\"routing\":{\"top_k\":3}}", 201);
    assert_has(&reply, "\"name\":\"m\"");
    assert_has(&reply, "\"seed\":7");
    assert_has(&reply, "\"top_k\":3");
    int64_t version = number_in(&reply, "version");
    assert_true(version >= 0);
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/m", JSON, "{\"routing\":{\"top_k\":4}}", 200);
    assert_has(&reply, "\"seed\":7");
    assert_has(&reply, "\"top_k\":4");
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m", NULL, NULL, 200);
    static const char *const members[] = {"\"version\":", "\"records\":0", "\"labels\":0",  "\"bytes\":",
                                          "\"backlog\":", "\"state\":\"",  "\"failure\":null", "\"top_k\":4",
                                          "\"parameters\":", "\"active_parameters\":", "\"parameter_bytes\":",
                                          "\"active_bytes\":"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_has(&reply, members[i]);
    http_free(&reply);
    reply = expect(h, "DELETE", "/v1/models/m", NULL, NULL, 200);
    assert_has(&reply, "\"removed\":\"m\"");
    http_free(&reply);
    expect_problem(h, "GET", "/v1/models/m", NULL, NULL, 404, "unknown_model");
    expect_problem(h, "DELETE", "/v1/models/m", NULL, NULL, 404, "unknown_model");
    reply = expect(h, "PUT", "/v1/models/m", NULL, NULL, 201);
    assert_has(&reply, "\"seed\":1");
    http_free(&reply);
}

static void the_list_is_by_name(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/v1/models", NULL, NULL, 200);
    assert_string_equal(reply.body, "{\"models\":[]}");
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/zebra", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/ant-1.0_x", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models", NULL, NULL, 200);
    const char *ant = strstr(reply.body, "\"name\":\"ant-1.0_x\""), *zebra = strstr(reply.body, "\"name\":\"zebra\"");
    assert_true(ant && zebra && ant < zebra);
    http_free(&reply);
}

static void bad_configurations_are_refused_and_leave_no_trace(void **state)
{
    harness *h = *state;
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{", 400, "invalid_json");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "[]", 400, "invalid_value");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"seeed\":1}", 400, "unknown_key");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"routing\":{\"top_k\":0}}", 400, "out_of_range");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"routing\":{\"top_k\":\"2\"}}", 400, "invalid_value");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"pruning\":{\"schedule\":\"61 * * * *\"}}", 400, "invalid_cron");
    expect_problem(h, "PUT", "/v1/models/.", JSON, "{}", 400, "invalid_name");
    expect_problem(h, "PUT", "/v1/models/a%2Fb", JSON, "{}", 400, "invalid_name");
    expect_problem(h, "DELETE", "/v1/models/a%20b", NULL, NULL, 400, "invalid_name");
    http_reply reply = expect(h, "GET", "/v1/models", NULL, NULL, 200);
    assert_string_equal(reply.body, "{\"models\":[]}");
    http_free(&reply);
}

static void a_fixed_setting_stays(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"seed\":2}", 409, "fixed_setting");
    expect_problem(h, "PUT", "/v1/models/m", JSON, "{\"routing\":{\"top_k\":99}}", 400, "out_of_range");
    reply = expect(h, "GET", "/v1/models/m", NULL, NULL, 200);
    assert_has(&reply, "\"seed\":1");
    assert_has(&reply, "\"top_k\":2");
    http_free(&reply);
}

static void models_survive_a_restart(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    http_reply reply = expect(&h, "PUT", "/v1/models/kept", JSON, "{\"seed\":11}", 201);
    http_free(&reply);
    reply = expect(&h, "PUT", "/v1/models/gone", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(&h, "DELETE", "/v1/models/gone", NULL, NULL, 200);
    http_free(&reply);
    harness_stop(&h);
    harness_start(&h);
    reply = expect(&h, "GET", "/v1/models/kept", NULL, NULL, 200);
    assert_has(&reply, "\"seed\":11");
    http_free(&reply);
    expect_problem(&h, "GET", "/v1/models/gone", NULL, NULL, 404, "unknown_model");
    harness_stop(&h);
    harness_delete(h.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_is_made_changed_and_removed, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(the_list_is_by_name, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_configurations_are_refused_and_leave_no_trace, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(a_fixed_setting_stays, harness_setup, harness_teardown),
        cmocka_unit_test(models_survive_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
