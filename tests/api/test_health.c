#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static void the_probes_tell_the_phase(void **state)
{
    static const struct {
        atoll_phase phase;
        int ready;
        const char *text;
    } rows[] = {{ATOLL_PHASE_STARTING, 503, "starting"}, {ATOLL_PHASE_SERVING, 200, "ready"}, {ATOLL_PHASE_DRAINING,
                                                                                               503, "draining"}};
    harness *h = *state;
    for (int i = 0; i < 3; i++) {
        atomic_store(&h->service.phase, rows[i].phase);
        http_reply reply = expect(h, "GET", "/readyz", NULL, NULL, rows[i].ready);
        assert_has(&reply, rows[i].text);
        http_free(&reply);
        reply = expect(h, "GET", "/livez", NULL, NULL, 200);
        http_free(&reply);
    }
}

static void health_tells_of_the_models(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "GET", "/healthz", NULL, NULL, 200);
    assert_string_equal(reply.body, "{\"models\":1,\"failed\":[],\"without_embeddings\":[],\"status\":\"ok\"}");
    http_free(&reply);
    expect_problem(h, "POST", "/healthz", NULL, NULL, 405, "method_not_allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_probes_tell_the_phase, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(health_tells_of_the_models, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
