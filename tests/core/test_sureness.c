#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "core/sureness.h"

/* `count` answers of one score, of which every `every`-th was changed by the search; 0: none. */
static void see(atoll_sureness *s, float score, uint32_t count, uint32_t every)
{
    float cue[ATOLL_CHEAP_CUES] = {1, 1, score, score, 1};
    for (uint32_t i = 1; i <= count; i++)
        atoll_sureness_learn(s, cue, 0.5f, true, every && i % every == 0);
}

static void few_records_prove_nothing(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 1500, 0);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 1500, 0);
    assert_true(s.bound <= 0.99f && s.bound > 0.98f); /* and nothing of lower scores */
}

static void the_bound_lies_above_what_is_changed(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.99f, 6000, 0);
    see(&s, 0.7f, 2000, 0);
    assert_true(s.bound <= 0.7f);
    see(&s, 0.7f, 1000, 20);
    assert_true(s.bound > 0.7f && s.bound <= 0.99f);
    see(&s, 0.99f, 2000, 100);
    assert_true(s.bound > 1);
    see(&s, 0.99f, 40000, 0); /* what was long ago fades */
    assert_true(s.bound <= 0.99f);
}

/* Rates that Wilson's interval must tell apart, about the share that is allowed. */
static void the_interval_keeps_its_promise(void **state)
{
    atoll_sureness s;
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.9f, 60000, 500); /* two in a thousand are too many */
    assert_true(s.bound > 1);
    atoll_sureness_init(&s);
    see(&s, 0.9f, 60000, 1200);
    assert_true(s.bound <= 0.9f);
}

static void few_sure_answers_are_not_worth_asking_twice(void **state)
{
    atoll_sureness s;
    float cue[ATOLL_CHEAP_CUES] = {1, 1, 0.3f, 0.3f, 1};
    (void)state;
    atoll_sureness_init(&s);
    see(&s, 0.99f, 3000, 0);
    assert_true(s.bound <= 1);
    for (int i = 0; i < 20000; i++)
        atoll_sureness_learn(&s, cue, 0.5f, false, true);
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
        atoll_sureness_learn(&s, cue, is, true, false);
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
        atoll_sureness_learn(&s, unsure, -1, true, false);
        atoll_sureness_learn(&s, sure, 0.8f, true, false);
    }
    assert_true(fabsf(atoll_sureness_familiarity(&s, sure) - 0.8f) < 1e-2f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_records_prove_nothing),
        cmocka_unit_test(the_bound_lies_above_what_is_changed),
        cmocka_unit_test(the_interval_keeps_its_promise),
        cmocka_unit_test(few_sure_answers_are_not_worth_asking_twice),
        cmocka_unit_test(familiarity_is_foretold_from_the_cues),
        cmocka_unit_test(the_familiarity_of_the_unsure_is_no_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
