#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "core/sureness.h"

/* `count` answers of one score, of which every `every`-th lost `loss`, and the others nothing; 0: none. */
static void see(atoll_sureness *s, float score, uint32_t count, uint32_t every, int loss)
{
    float cue[ATOLL_CHEAP_CUES] = {1, 1, score, score, 1};
    for (uint32_t i = 1; i <= count; i++)
        atoll_sureness_learn(s, cue, 0.5f, score, every && i % every == 0 ? loss : 0);
}

static void few_records_prove_nothing(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 1500, 0, 0);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 1500, 0, 0);
    assert_true(s.bound <= 0.99f && s.bound > 0.98f); /* and nothing of lower scores */
}

static void the_bound_lies_above_what_loses(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.99f, 6000, 0, 0);
    see(&s, 0.7f, 2000, 0, 0);
    assert_true(s.bound <= 0.7f);
    see(&s, 0.7f, 1000, 20, 1);
    assert_true(s.bound > 0.7f && s.bound <= 0.99f);
    see(&s, 0.99f, 2000, 100, 1);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 40000, 0, 0); /* what was long ago fades */
    assert_true(s.bound <= 0.99f);
}

/* Rates that Wilson's interval must tell apart, about the loss that is allowed. */
static void the_interval_keeps_its_promise(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.9f, 60000, 500, 1); /* two in a thousand are too many */
    assert_true(s.bound > 1);
    atoll_sureness_init(&s);
    see(&s, 0.9f, 60000, 1200, 1);
    assert_true(s.bound <= 0.9f);
}

/* Losses and gains make up for each other, but the more of them there are, the less is proven. */
static void gains_make_up_for_losses(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    for (int i = 0; i < 300; i++) {
        see(&s, 0.9f, 200, 200, i % 2 ? 1 : -1);
        assert_true(i < 100 || s.bound <= 1);
    }
    for (int i = 0; i < 600; i++)
        see(&s, 0.9f, 10, 10, i % 2 ? 1 : -1);
    assert_true(s.bound > 1);
    see(&s, 0.9f, 20000, 10, -1);
    assert_true(s.bound <= 0.9f);
}

static void few_sure_answers_are_not_worth_asking_twice(void **state)
{
    atoll_sureness s;
    float cue[ATOLL_CHEAP_CUES] = {1, 1, 0.3f, 0.3f, 1};
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.99f, 3000, 0, 0);
    assert_true(s.bound <= 1);
    for (int i = 0; i < 20000; i++)
        atoll_sureness_learn(&s, cue, 0.5f, 0, 1);
    assert_true(s.bound > 1);
}

static void familiarity_is_foretold_from_the_cues(void **state)
{
    atoll_sureness s;
    atoll_rng rng;
    (void)state;
    atoll_sureness_init(&s);
    atoll_rng_seed(&rng, 5, 0);
    double worst = 0;
    for (int i = 0; i < 4000; i++) {
        float known = atoll_rng_uniform(&rng), score = 0.5f + 0.5f * atoll_rng_uniform(&rng);
        float cue[ATOLL_CHEAP_CUES] = {1, known, score, atoll_rng_uniform(&rng), 1}; /* one never varies */
        float is = 0.1f + 0.3f * known + 0.2f * score;
        if (i >= 1000)
            worst = fmax(worst, fabs(atoll_sureness_familiarity(&s, cue) - is));
        atoll_sureness_learn(&s, cue, is, score, 0);
    }
    assert_true(worst < 2e-3);
}

static void the_familiarity_of_the_unsure_is_no_matter(void **state)
{
    atoll_sureness s;
    float unsure[ATOLL_CHEAP_CUES] = {1, 1, 0.4f, 0.4f, 1}, sure[ATOLL_CHEAP_CUES] = {1, 1, 0.9f, 0.9f, 1};
    (void)state;
    atoll_sureness_init(&s);
    for (int i = 0; i < 100; i++) {
        atoll_sureness_learn(&s, unsure, -1, 0.4f, 0);
        atoll_sureness_learn(&s, sure, 0.8f, 0.9f, 0);
    }
    assert_true(fabsf(atoll_sureness_familiarity(&s, sure) - 0.8f) < 1e-2f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_records_prove_nothing),
        cmocka_unit_test(the_bound_lies_above_what_loses),
        cmocka_unit_test(the_interval_keeps_its_promise),
        cmocka_unit_test(gains_make_up_for_losses),
        cmocka_unit_test(few_sure_answers_are_not_worth_asking_twice),
        cmocka_unit_test(familiarity_is_foretold_from_the_cues),
        cmocka_unit_test(the_familiarity_of_the_unsure_is_no_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
