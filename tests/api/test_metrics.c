#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

/* Each line is a comment or a series with a number; a family has one HELP and one TYPE, before its series. */
static void check_format(const char *text)
{
    char seen[200][64];
    int families = 0;
    char family[64] = "";
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        char name[64];
        if (sscanf(line, "# HELP %63s", name) == 1) {
            for (int i = 0; i < families; i++)
                assert_string_not_equal(seen[i], name);
            assert_true(families < 200);
            strcpy(seen[families++], name);
            strcpy(family, name);
            line = strchr(line, '\n') + 1;
            assert_int_equal(sscanf(line, "# TYPE %63s", name), 1);
            assert_string_equal(name, family);
            continue;
        }
        assert_int_equal(strncmp(line, family, strlen(family)), 0);
        const char *value = line + strcspn(line, " \n");
        char *end;
        assert_int_equal(*value, ' ');
        strtod(value + 1, &end);
        assert_int_equal(*end, '\n');
    }
}

static void the_text_is_well_formed_and_has_zeros(void **state)
{
    static const char *const wanted[] = {
        "process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_start_time_seconds ",
        "process_open_fds ",
        "atoll_models 1\n", "atoll_requests_waiting 0\n",
        "atoll_http_requests_total{method=\"POST\",path=\"/v1/models/{model}/ingest\",status=\"200\"} 0\n",
        "atoll_http_requests_total{method=\"PUT\",path=\"/v1/models/{model}\",status=\"201\"} 1\n",
        "atoll_http_requests_total{method=\"other\",path=\"other\",status=\"404\"} 1\n",
        "# TYPE atoll_http_request_duration_seconds histogram\n",
        "atoll_records_learned_total{model=\"m\"} 0\n", "atoll_backlog_commits{model=\"m\"} ",
        "atoll_prequential_accuracy{model=\"m\",window=\"recent\"} ",
        "atoll_experts{model=\"m\",state=\"archived\"} 0\n",
        "atoll_memory_bytes{model=\"m\",part=\"experts\"} ",
        "atoll_parameters{model=\"m\",kind=\"active\"} ",
        "atoll_expert_bytes{model=\"m\",expert=\"0\",kind=\"total\"} ", "atoll_tokens_dropped_total{model=\"m\"} 0\n",
        "atoll_expert_overflowed_total{model=\"m\",expert=\"0\"} 0\n",
        "atoll_expert_entropy{model=\"m\",expert=\"0\"} ",
        "atoll_expert_dropped_total{model=\"m\",expert=\"0\"} 0\n", "atoll_routing_collapsed_to{model=\"m\"} 0\n",
        "atoll_checkpoints_total{model=\"m\"} ", "atoll_gate_entropy{model=\"m\"} ",
        "atoll_learning_failed{model=\"m\"} 0\n",
        "atoll_concepts_replaced_total{model=\"m\"} 0\n", "atoll_exemplars_dormant{model=\"m\"} 0\n",
        "atoll_expert_drift{model=\"m\",expert=\"0\"} ",
        "atoll_expert_share{model=\"m\",expert=\"0\"} ", "atoll_expert_records_total{model=\"m\",expert=\"0\"} "};
    harness *h = *state;
    char type[64];
    http_reply reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    check_format(reply.body);
    http_free(&reply);
    expect_problem(h, "GET", "/nope", NULL, NULL, 404, "unknown_path");
    reply = expect(h, "PUT", "/v1/models/m", JSON, "{}", 201);
    http_free(&reply);
    reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    assert_string_equal(http_header(&reply, "Content-Type", type, sizeof type),
                        "text/plain; version=0.0.4; charset=utf-8");
    check_format(reply.body);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_has(&reply, wanted[i]);
    http_free(&reply);
}

static void counters_count(void **state)
{
    harness *h = *state;
    http_reply reply = expect(h, "POST", "/v1/models/m/ingest?wait=trained", NDJSON,
                              "{\"text\":\"x\",\"label\":\"a\"}\n{\"text\":\"y\",\"label\":\"a\"}", 200);
    http_free(&reply);
    reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    assert_has(&reply, "atoll_records_learned_total{model=\"m\"} 2\n");
    assert_has(&reply,
               "atoll_http_requests_total{method=\"POST\",path=\"/v1/models/{model}/ingest\",status=\"200\"} 1\n");
    assert_has(&reply, "_count{method=\"POST\",path=\"/v1/models/{model}/ingest\"} 1\n");
    http_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_text_is_well_formed_and_has_zeros, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(counters_count, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
