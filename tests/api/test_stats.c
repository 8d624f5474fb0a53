#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/api/harness.h"
#include "tests/support/tallied.h"

/* Model "m", with one record of a domain and two of another, and counts that are all different. */
static void make_tallied(harness *h)
{
    atoll_model *model;
    http_reply reply = expect(h, "POST", "/v1/models/m/ingest?wait=trained", NDJSON,
                              "{\"text\":\"red fox\",\"label\":\"animal\",\"domain\":\"wood\"}\n"
                              "{\"text\":\"tall oak\",\"label\":\"tree\",\"domain\":\"wood\"}\n"
                              "{\"text\":\"fast car\",\"label\":\"car\",\"domain\":\"city\"}",
                              200);
    http_free(&reply);
    assert_int_equal(atoll_registry_find(h->service.registry, "m", &model, NULL), ATOLL_OK);
    tallied_set(model->learner);
    atoll_registry_release(h->service.registry, model);
    reply = expect(h, "PUT", "/v1/models/m", JSON, "{\"budget_bytes\":123456789}", 200); /* which publishes them */
    http_free(&reply);
}

static void numbers_stand_by_their_names(void **state)
{
    static const char *const stats[] = {
        "\"records\":3,", "\"labels\":3,", "\"named_domains\":2,", "\"exemplars\":3,", "\"vector_dim\":0,",
        "\"prequential\":0.75,", "\"prequential_recent\":0.5,", "\"log_loss\":0.625,", "\"no_change\":0.25,",
        "\"weight_shared\":2.5,", "\"weight_analytic\":3.5,", "\"weight_experts\":4.5,", "\"weight_votes\":5.5,",
        "\"weight_counts\":6.5,", "\"weight_youth\":7.5,", "\"weight_names\":8.5,", "\"search_below\":0.875,",
        "\"others_below\":0.9375,", "\"failure\":null,", "\"born\":3,", "\"pruned\":4,", "\"dropped_candidates\":5,",
        "\"restored\":6,", "\"merged\":7,", "\"concepts_replaced\":8,", "\"concepts_returned\":9,",
        "\"exemplars_dormant\":10,", "\"exemplars_refuted\":11,", "\"routed\":21,", "\"overflowed\":22,",
        "\"dropped\":23,", "\"gate_entropy\":1.25,", "\"collapses\":17,", "\"collapsed_to\":2,",
        "\"budget_bytes\":123456789,", "\"embedding\":null,",
        "\"experts\":[{\"id\":0,\"state\":\"shared\",\"share\":0.25,\"entropy\":0.375,",
        "{\"id\":1,\"state\":\"candidate\",\"share\":0.75,\"entropy\":0.5,\"overflowed\":33,\"dropped\":34}",
        "\"domains\":[{\"domain\":\"wood\",\"records\":2,\"prequential\":0},{\"domain\":\"city\",\"records\":1,"};
    static const char *const metrics[] = {
        "records_learned_total{model=\"m\"} 3", "prequential_accuracy{model=\"m\",window=\"all\"} 0.75",
        "prequential_accuracy{model=\"m\",window=\"recent\"} 0.5", "no_change_accuracy{model=\"m\"} 0.25",
        "log_loss{model=\"m\"} 0.625", "gate_entropy{model=\"m\"} 1.25", "experts_born_total{model=\"m\"} 3",
        "experts_pruned_total{model=\"m\"} 4", "candidates_dropped_total{model=\"m\"} 5",
        "experts_restored_total{model=\"m\"} 6", "experts_merged_total{model=\"m\"} 7",
        "concepts_replaced_total{model=\"m\"} 8", "concepts_returned_total{model=\"m\"} 9",
        "exemplars_dormant{model=\"m\"} 10", "exemplars_refuted_total{model=\"m\"} 11",
        "tokens_routed_total{model=\"m\"} 21", "tokens_overflowed_total{model=\"m\"} 22",
        "tokens_dropped_total{model=\"m\"} 23", "routing_collapses_total{model=\"m\"} 17",
        "routing_collapsed_to{model=\"m\"} 2", "combination_weight{model=\"m\",voice=\"shared\"} 2.5",
        "expert_share{model=\"m\",expert=\"0\"} 0.25", "expert_share{model=\"m\",expert=\"1\"} 0.75",
        "expert_entropy{model=\"m\",expert=\"0\"} 0.375", "expert_drift{model=\"m\",expert=\"0\"} 0.5625",
        "expert_overflowed_total{model=\"m\",expert=\"1\"} 33",
        "expert_dropped_total{model=\"m\",expert=\"1\"} 34",
        "combination_weight{model=\"m\",voice=\"names\"} 8.5", "budget_bytes{model=\"m\"} 123456789"};
    harness *h = *state;
    char line[128];
    make_tallied(h);
    http_reply reply = expect(h, "GET", "/v1/models/m/stats", NULL, NULL, 200);
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++)
        assert_has(&reply, stats[i]);
    http_free(&reply);
    reply = expect(h, "GET", "/v1/models/m/experts/1", NULL, NULL, 200);
    assert_has(&reply, "\"share\":0.75,\"entropy\":0.5,\"overflowed\":33,\"dropped\":34,");
    assert_has(&reply, "\"loss\":0.4375,\"drift\":0.5625,");
    http_free(&reply);
    reply = expect(h, "GET", "/metrics", NULL, NULL, 200);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        snprintf(line, sizeof line, "\natoll_%s\n", metrics[i]);
        assert_has(&reply, line);
    }
    http_free(&reply);
}

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
        "retired_bytes", "writing_bytes", "journal_bytes", "state_bytes", "experts", "domains",
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
        cmocka_unit_test_setup_teardown(numbers_stand_by_their_names, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(every_statistic_is_told, harness_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
