#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "learner/hint.h"
#include "tests/support/learning.h"

static uint32_t assign(atoll_state *state, uint32_t domain)
{
    uint32_t owner = 99;
    assert_int_equal(atoll_hint_assign(state, domain, 7, &owner, NULL), ATOLL_OK);
    return owner;
}

static void each_domain_has_one_expert(void **state)
{
    atoll_state s;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.experts_max = 2;
    assert_int_equal(atoll_state_init(&s, &config, NULL), ATOLL_OK);
    uint32_t a = assign(&s, 4), b = assign(&s, 0);
    assert_true(a && b && a != b);
    assert_int_equal(assign(&s, 4), a);
    assert_int_equal(assign(&s, 0), b);
    assert_int_equal(atoll_model_expert_of(&s.model, 4), a);
    assert_int_equal(s.model.expert[a].state, ATOLL_EXPERT_ACTIVE);
    assert_int_equal(s.model.expert[a].born, 7);
    assert_int_equal(s.growth.promoted, 2);
    assert_int_equal(assign(&s, 5), ATOLL_EXPERT_NONE); /* no room */
    assert_int_equal(atoll_model_expert_of(&s.model, 5), 0);
    s.model.expert[a].state = ATOLL_EXPERT_ARCHIVED;
    assert_int_equal(atoll_model_expert_of(&s.model, 4), 0);
    atoll_state_free(&s);
}

/* Half the labels are called otherwise in the second domain; and many domains may begin in one step. */
static void named_domains_are_kept_apart(void **state)
{
    enum { COUNT = 64 };
    static learning_record records[COUNT];
    learning l;
    atoll_config config;
    (void)state;
    learning_config(&config);
    config.gate = ATOLL_GATE_DOMAIN;
    learning_open(&l, &config, 1);
    for (uint32_t commit = 0; commit < 20; commit++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t domain = commit ? i % 2 : i;
            learning_draw_contrary(&records[i], &l.rng, domain, atoll_rng_below(&l.rng, LEARNING_LABELS_A_DOMAIN));
            records[i].record.domain = (atoll_slice){records[i].domain, 1 + (size_t)(domain > 9)};
            records[i].domain[0] = (char)('a' + domain % 10);
            records[i].domain[1] = (char)('a' + domain / 10);
        }
        learning_commit(&l, records, COUNT);
        atoll_reclaim_advance(l.state.reclaim);
    }
    assert_int_equal(atoll_model_count(&l.state.model, ATOLL_EXPERT_ACTIVE), COUNT);
    assert_int_equal(l.state.domains.count, COUNT);
    for (uint32_t d = 0; d < 2; d++) {
        uint32_t e = atoll_model_expert_of(&l.state.model, d);
        assert_int_equal(l.state.model.expert[e].records, 1 + 19 * COUNT / 2);
    }
    atoll_memory_view view = atoll_memory_freeze(l.state.memory);
    for (uint32_t slot = 0; slot < view.slots.count; slot++) {
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (held->exemplar)
            assert_int_equal(held->owner, atoll_model_expert_of(&l.state.model, held->exemplar->domain));
    }
    assert_true(l.state.tally.recent > 0.8);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_domain_has_one_expert),
        cmocka_unit_test(named_domains_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
