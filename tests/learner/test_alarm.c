#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/rng.h"
#include "learner/alarm.h"

typedef struct trial {
    atoll_alarm alarm;
    atoll_novelty familiarities;
    atoll_rng rng;
} trial;

static trial *trial_open(uint64_t seed)
{
    trial *t = calloc(1, sizeof *t);
    assert_non_null(t);
    atoll_rng_seed(&t->rng, seed, 0);
    return t;
}

/* Records until the alarm rings, at most `most`; of familiarity and probability about these. */
static uint32_t hear(trial *t, float familiarity, float probability, uint32_t most)
{
    for (uint32_t i = 1; i <= most; i++) {
        float f = familiarity + 0.1f * atoll_rng_normal(&t->rng), p = probability + 0.1f * atoll_rng_normal(&t->rng);
        bool rings = atoll_alarm_hear(&t->alarm, &t->familiarities, f, p);
        atoll_novelty_learn(&t->familiarities, f);
        if (rings)
            return i;
    }
    return most;
}

static void an_exchangeable_stream_seldom_rings(void **state)
{
    enum { STREAMS = 8, RECORDS = 50000 };
    uint64_t rung = 0;
    (void)state;
    for (uint64_t seed = 0; seed < STREAMS; seed++) {
        trial *t = trial_open(seed);
        for (uint32_t i = 0; i < RECORDS; i += hear(t, 0.5f, 0.8f, RECORDS - i))
            ;
        rung += t->alarm.rung;
        free(t);
    }
    /* 400,000 records: four alarms are to be expected at most. */
    assert_true(rung <= 4);
}

static void ties_do_not_ring(void **state)
{
    (void)state;
    trial *t = trial_open(1);
    for (int i = 0; i < 20000; i++) {
        assert_false(atoll_alarm_hear(&t->alarm, &t->familiarities, 0, 0));
        atoll_novelty_learn(&t->familiarities, 0);
    }
    free(t);
}

static void a_change_rings_at_once_and_anew(void **state)
{
    (void)state;
    for (int of = 0; of < 2; of++) { /* one of both measures is enough */
        trial *t = trial_open(7);
        hear(t, 0.5f, 0.8f, 3000);
        assert_int_equal(t->alarm.rung, 0);
        assert_true(hear(t, of ? 0.5f : 0.2f, of ? 0.3f : 0.8f, 3000) < 30);
        assert_int_equal(t->alarm.rung, 1);
        assert_true(t->alarm.familiarity == 0 && t->alarm.probability == 0);
        assert_true(hear(t, of ? 0.5f : 0.2f, of ? 0.3f : 0.8f, 3000) < 60); /* the window is of the past as yet */
        free(t);
    }
}

static void what_becomes_more_familiar_does_not_ring(void **state)
{
    (void)state;
    trial *t = trial_open(9);
    for (int i = 0; i < 50; i++)
        hear(t, 0.2f + 0.01f * (float)i, 0.4f + 0.01f * (float)i, 300);
    assert_int_equal(t->alarm.rung, 0);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchangeable_stream_seldom_rings),
        cmocka_unit_test(ties_do_not_ring),
        cmocka_unit_test(a_change_rings_at_once_and_anew),
        cmocka_unit_test(what_becomes_more_familiar_does_not_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
