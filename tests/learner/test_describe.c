#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "learner/inside.h"
#include "tests/support/running.h"

enum { BATCH = 80 };

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(atoll_expert_state_name(ATOLL_EXPERT_SHARED), "shared");
    assert_string_equal(atoll_expert_state_name(ATOLL_EXPERT_CANDIDATE), "candidate");
    assert_string_equal(atoll_expert_state_name(ATOLL_EXPERT_ACTIVE), "active");
    assert_string_equal(atoll_expert_state_name(ATOLL_EXPERT_ARCHIVED), "archived");
    assert_string_equal(atoll_expert_state_name(ATOLL_EXPERT_GONE), "gone");
    assert_string_equal(atoll_expert_state_name((atoll_expert_state)77), "unknown");
}

static void a_new_model_tells_of_nothing_learned(void **state)
{
    running *r = *state;
    atoll_expert_info *experts;
    atoll_domain_stats *domains;
    uint32_t count;
    atoll_stats stats = running_stats(r);
    assert_int_equal(stats.version, 1);
    assert_int_equal(stats.journal_last, 1);
    assert_int_equal(stats.records, 0);
    assert_int_equal(stats.labels, 0);
    assert_true(stats.prequential == 0 && stats.no_change == 0);
    assert_int_equal(stats.experts_active, 0);
    assert_string_equal(stats.failure, "");
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    assert_int_equal(count, 1);
    assert_int_equal(experts[0].state, ATOLL_EXPERT_SHARED);
    assert_int_equal(experts[0].labels, 0);
    assert_null(experts[0].domain);
    assert_true(experts[0].latency_s == 0);
    free(experts);
    assert_int_equal(atoll_learner_domains(r->learner, &domains, &count, NULL), ATOLL_OK);
    assert_int_equal(count, 0);
    free(domains);
}

static void stats_follow_what_was_learned(void **state)
{
    running *r = *state;
    running_feed(r, 0, 5, BATCH);
    atoll_stats stats = running_stats(r);
    assert_int_equal(stats.records, 5 * BATCH);
    assert_int_equal(stats.version, stats.journal_last);
    assert_int_equal(stats.labels, LEARNING_LABELS_A_DOMAIN);
    assert_int_equal(stats.domains, 1);
    assert_int_equal(stats.exemplars, r->config.memory_exemplars);
    assert_int_equal(stats.vector_dim, LEARNING_VECTOR_DIM);
    assert_true(stats.prequential > 0.3 && stats.prequential < 1);
    assert_true(stats.no_change > 0.1 && stats.no_change < 0.5);
    assert_true(stats.log_loss > 0);
    assert_true(stats.weight_shared > 0 && stats.weight_votes > 0);
    assert_int_equal(stats.experts_active, 1);
    assert_int_equal(stats.born, 1);
    assert_true(stats.routed > 0);
    assert_true(stats.learn_seconds > 0);
    assert_true(stats.journal_bytes > 0 && stats.state_bytes > 0);
    assert_true(stats.active_parameters > 0 && stats.active_parameters < stats.parameters);
    assert_int_equal(stats.active_bytes / sizeof(float), stats.active_parameters);
    assert_int_equal(stats.counted_bytes, atoll_footprint_sum(&stats.footprint));
    assert_int_equal(stats.budget_bytes, r->config.budget_bytes);
    assert_true(stats.footprint.experts && stats.footprint.gate && stats.footprint.analytic && stats.footprint.memory &&
                stats.footprint.index && stats.footprint.tables && stats.footprint.learning);
    assert_int_equal(atoll_learner_config(r->learner).memory_exemplars, r->config.memory_exemplars);
}

static void what_arrays_grow_by_is_counted_before_it_is_published(void **state)
{
    enum { GROWN_BYTES = 1 << 16 };
    running *r = *state;
    running_feed(r, 0, 5, BATCH);
    uint64_t counted = running_stats(r).footprint.learning;
    atomic_fetch_add(&r->learner->state.pager.live_bytes, GROWN_BYTES);
    assert_int_equal(running_stats(r).footprint.learning, counted + GROWN_BYTES);
    atomic_fetch_sub(&r->learner->state.pager.live_bytes, 2 * GROWN_BYTES);
    assert_int_equal(running_stats(r).footprint.learning, counted); /* what has gone counts until it is published */
    atomic_fetch_add(&r->learner->state.pager.live_bytes, GROWN_BYTES);
}

static void experts_tell_their_labels_domain_and_work(void **state)
{
    running *r = *state;
    atoll_expert_info *experts;
    uint32_t count, exemplars = 0;
    running_feed(r, 3, 5, BATCH);
    free(running_answers(r));
    atoll_stats stats = running_stats(r);
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    assert_true(count >= 2);
    assert_int_equal(experts[0].id, 0);
    assert_int_equal(experts[0].state, ATOLL_EXPERT_SHARED);
    assert_int_equal(experts[0].records, stats.records);
    for (uint32_t e = 0; e < count; e++) {
        if (e)
            assert_true(experts[e].id > experts[e - 1].id);
        exemplars += (uint32_t)experts[e].exemplars;
        assert_true(experts[e].parameters > 0 && experts[e].bytes > experts[e].parameters);
        assert_true(experts[e].active_parameters > 0 && experts[e].active_parameters < experts[e].parameters);
        assert_true(experts[e].active_bytes < experts[e].bytes);
        assert_true(experts[e].labels >= 1 && experts[e].labels <= LEARNING_LABELS_A_DOMAIN);
        for (uint32_t i = 0; i < experts[e].labels; i++)
            assert_memory_equal(experts[e].label[i], "d3-l", 4);
        if (experts[e].state != ATOLL_EXPERT_ACTIVE)
            continue;
        assert_string_equal(experts[e].domain, "3");
        assert_true(experts[e].share > 0 && experts[e].share <= 1);
        assert_true(experts[e].last_routed_ms > 0);
        assert_true(experts[e].latency_s > 0 && experts[e].latency_s < 1);
        assert_true(experts[e].born > 1 && experts[e].version <= stats.version);
    }
    assert_int_equal(exemplars, stats.exemplars);
    free(experts);
}

static void labels_stand_in_the_order_of_their_records(void **state)
{
    running *r = *state;
    atoll_expert_info *experts;
    uint32_t count;
    learning_record records[12];
    for (uint32_t i = 0; i < 12; i++)
        learning_draw_text(&records[i], &r->rng, 0, i < 2 ? 0 : i < 9 ? 1 : 2);
    assert_int_equal(running_ingest(r, records, 12, true, NULL), ATOLL_OK);
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    assert_int_equal(experts[0].labels, 3);
    assert_string_equal(experts[0].label[0], "d0-l1");
    assert_string_equal(experts[0].label[1], "d0-l2");
    assert_string_equal(experts[0].label[2], "d0-l0");
    free(experts);
}

static void domains_have_accounts_of_their_own(void **state)
{
    running *r = *state;
    atoll_domain_stats *domains;
    uint32_t count;
    running_feed(r, 0, 4, BATCH);
    running_feed(r, 1, 2, BATCH);
    assert_int_equal(atoll_learner_domains(r->learner, &domains, &count, NULL), ATOLL_OK);
    assert_int_equal(count, 2);
    assert_string_equal(domains[0].domain, "0");
    assert_string_equal(domains[1].domain, "1");
    assert_true(domains[0].records > domains[1].records);
    assert_true(domains[1].records > 0 && domains[1].records <= 2 * BATCH);
    assert_true(domains[0].prequential > 0.3 && domains[0].prequential < 1);
    free(domains);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_have_names),
        TEST(a_new_model_tells_of_nothing_learned),
        TEST(stats_follow_what_was_learned),
        TEST(what_arrays_grow_by_is_counted_before_it_is_published),
        TEST(experts_tell_their_labels_domain_and_work),
        TEST(labels_stand_in_the_order_of_their_records),
        TEST(domains_have_accounts_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
