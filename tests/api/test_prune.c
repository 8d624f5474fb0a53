#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static int setup(void **state)
{
    harness_setup(state);
    http_reply reply = expect((harness *)*state, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    return 0;
}

static void pruning_tells_what_it_did(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", "/v1/models/m/prune", JSON, "{\"dry_run\":true}", 200);
    assert_has(&reply, "{\"model\":\"m\",\"dry_run\":true,\"version\":");
    assert_has(&reply, "\"pruned\":[");
    int64_t version = number_in(&reply, "version");
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/m/prune", JSON, "{}", 200);
    assert_has(&reply, "\"dry_run\":false");
    assert_true(number_in(&reply, "version") > version);
    http_free(&reply);
    reply = expect(h, "POST", "/v1/models/m/prune", NULL, NULL, 200);
    http_free(&reply);
}

static void bad_prunings_are_refused(void **state)
{
    harness *h = *state;
    expect_problem(h, "POST", "/v1/models/m/prune", JSON, "{\"dry\":true}", 400, "unknown_key");
    expect_problem(h, "POST", "/v1/models/m/prune", JSON, "{\"dry_run\":1}", 400, "invalid_value");
    expect_problem(h, "POST", "/v1/models/m/prune", JSON, "[]", 400, "invalid_value");
    expect_problem(h, "POST", "/v1/models/none/prune", JSON, "{}", 404, "unknown_model");
    expect_problem(h, "GET", "/v1/models/m/prune", NULL, NULL, 405, "method_not_allowed");
}

static void a_schedule_is_told_and_changed(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/v1/models/m/schedule", NULL, NULL, 200);
    assert_has(&reply, "{\"model\":\"m\",");
    assert_has(&reply, "\"schedule\":\"0 3 * * *\"");
    assert_has(&reply, "\"idle_after\":\"");
    assert_has(&reply, "\"min_share\":");
    assert_has(&reply, "T03:00:00.000Z\"");
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/m/schedule", JSON, "{\"schedule\":\"30 4 * * 0\",\"idle_after\":\"2h\"}", 200);
    assert_has(&reply, "\"schedule\":\"30 4 * * 0\"");
    assert_has(&reply, "T04:30:00.000Z\"");
    http_free(&reply);
    reply = expect(h, "PUT", "/v1/models/m/schedule", JSON, "{\"schedule\":\"\"}", 200);
    assert_has(&reply, "\"next\":null");
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m", NULL, NULL, 200);
    assert_has(&reply, "\"schedule\":\"\"");
    assert_has(&reply, "\"idle_after\":\"2h\"");
    http_free(&reply);
}

static void bad_schedules_are_refused(void **state)
{
    harness *h = *state;
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "{\"schedule\":\"bad\"}", 400, "invalid_cron");
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "{\"schedule\":\"0 0 30 2 *\"}", 400, "invalid_cron");
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "{\"cron\":\"\"}", 400, "unknown_key");
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "{\"min_share\":2}", 400, "out_of_range");
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "{},\"seed\":2", 400, "invalid_json");
    expect_problem(h, "PUT", "/v1/models/m/schedule", JSON, "\"x\"", 400, "invalid_value");
    expect_problem(h, "PUT", "/v1/models/none/schedule", JSON, "{}", 404, "unknown_model");
    expect_problem(h, "GET", "/v1/models/none/schedule", NULL, NULL, 404, "unknown_model");
    http_reply reply = expect(h, "GET", "/v1/models/m/schedule", NULL, NULL, 200);
    assert_has(&reply, "\"schedule\":\"0 3 * * *\"");
    http_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pruning_tells_what_it_did, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_prunings_are_refused, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_schedule_is_told_and_changed, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(bad_schedules_are_refused, setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
