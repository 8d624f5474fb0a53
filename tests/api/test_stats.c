#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"

static void every_statistic_is_told(void **state)
{
    static const char *const names[] = {
        "version", "journal_last", "backlog", "records", "labels", "named_domains", "exemplars", "vector_dim",
        "prequential", "prequential_recent", "log_loss", "calibration_error",
        "no_change", "weight_shared", "weight_experts", "weight_votes",
        "predictions", "unsearched", "alone", "search_below", "others_below",
        "learn_seconds", "failure", "experts_active", "experts_candidate", "experts_archived", "born", "pruned",
        "dropped_candidates", "restored", "merged",
        "concepts_replaced", "concepts_returned", "exemplars_dormant", "exemplars_refuted",
        "routed", "overflowed", "dropped", "gate_entropy", "collapses", "collapsed_to", "checkpoint",
        "checkpoints",
        "checkpoint_seconds", "budget_bytes", "counted_bytes", "parameters", "active_parameters", "active_bytes",
        "parameter_bytes", "expert_bytes", "gate_bytes",
        "encoder_bytes", "analytic_bytes", "memory_bytes", "index_bytes", "table_bytes", "learning_bytes",
        "retired_bytes", "writing_bytes", "journal_bytes", "state_bytes", "domains",
        "index", "kind", "lists", "probes", "candidates", "recall"};
    harness *h = *state;
    char member[64];
    http_reply reply = expect(h, "POST", "/v1/models/m/ingest?wait=trained", NDJSON,
                              "{\"text\":\"red fox\",\"label\":\"animal\",\"domain\":\"wood\"}", 200);
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(member, sizeof member, "\"%s\":", names[i]);
        assert_has(&reply, member);
    }
    assert_int_equal(number_in(&reply, "records"), 1);
    assert_int_equal(number_in(&reply, "labels"), 1);
    assert_int_equal(number_in(&reply, "backlog"), 0);
    http_free(&reply);
    expect_problem(h, "GET", "/v1/models/none/stats", NULL, NULL, 404, "unknown_model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_statistic_is_told, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
