#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static int setup(void **state)
{
    harness_setup(state);
    http_reply reply = expect((harness *)*state, "POST", "/v1/models/m/ingest?wait=trained", NDJSON,
                              "{\"text\":\"red fox\",\"label\":\"animal\"}", 200);
    http_free(&reply);
    return 0;
}

static void the_shared_expert_comes_first_with_every_member(void **state)
{
    static const char *const members[] = {
        "{\"model\":\"m\",\"experts\":[{\"id\":0,\"version\":", "\"state\":\"shared\"", "\"labels\":[\"animal\"",
        "\"label_count\":1", "\"domain\":", "\"born\":", "\"parameters\":", "\"bytes\":", "\"records\":",
        "\"exemplars\":",
        "\"share\":", "\"last_routed\":", "\"loss\":", "\"latency\":"};
    harness *h = *state;
    http_reply reply = expect(h, "GET", "/v1/models/m/experts", NULL, NULL, 200);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_has(&reply, members[i]);
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m/experts/0", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "id"), 0);
    assert_has(&reply, "\"state\":\"shared\"");
    http_free(&reply);
}

static void unknown_experts_are_told(void **state)
{
    static const char *const unknown[] = {"999", "99999999999999999999", "x", "-1", "1x", "4294967296"};
    harness *h = *state;
    char target[96];
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        snprintf(target, sizeof target, "/v1/models/m/experts/%s", unknown[i]);
        expect_problem(h, "GET", target, NULL, NULL, 404, "unknown_expert");
        snprintf(target, sizeof target, "/v1/models/m/experts/%s/restore", unknown[i]);
        expect_problem(h, "POST", target, NULL, NULL, 404, "unknown_expert");
    }
    expect_problem(h, "GET", "/v1/models/none/experts", NULL, NULL, 404, "unknown_model");
    expect_problem(h, "GET", "/v1/models/none/experts/0", NULL, NULL, 404, "unknown_model");
    expect_problem(h, "POST", "/v1/models/none/experts/0/restore", NULL, NULL, 404, "unknown_model");
    expect_problem(h, "DELETE", "/v1/models/m/experts/0", NULL, NULL, 405, "method_not_allowed");
}

static void only_what_is_archived_comes_back(void **state)
{
    harness *h = *state;
    http_reply reply = http_call(h->port, "POST", "/v1/models/m/experts/0/restore", NULL, NULL);
    assert_true(reply.status == 404 || reply.status == 409); /* the shared expert is never archived */
    http_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_shared_expert_comes_first_with_every_member, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(unknown_experts_are_told, setup, harness_teardown),
        cmocka_unit_test_setup_teardown(only_what_is_archived_comes_back, setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
