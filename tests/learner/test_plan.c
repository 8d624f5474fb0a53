#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "learner/step.h"
#include "tests/support/learning.h"

enum { NUMBERS = 100 };

static uint32_t seen[NUMBERS];
static atomic_uint begun;

static void open_plan(learning *l, uint32_t count)
{
    learning_open(l, NULL, 1);
    l->trainer->plan = (atoll_plan){.trainer = l->trainer, .state = &l->state, .count = count, .commit = 7};
    for (uint32_t i = 0; i < NUMBERS; i++)
        seen[i] = 0;
    atomic_store(&begun, 0);
}

static atoll_status see(atoll_portion *w)
{
    atomic_fetch_add(&begun, 1);
    if (w->plan->commit != 7 || (w->hand != &w->trainer->hand[0] && w->hand != &w->trainer->hand[1]))
        return atoll_fail(&w->error, ATOLL_INTERNAL, "a portion of something else");
    for (uint32_t i = w->from; i < w->to; i++)
        seen[i]++;
    return ATOLL_OK;
}

static void numbers_are_spread(uint32_t step)
{
    learning l;
    open_plan(&l, step);
    atoll_plan *plan = &l.trainer->plan;
    assert_int_equal(atoll_plan_spread(plan, see, 0, 16, 0), 0);
    assert_int_equal(atoll_plan_spread(plan, see, 96, 32, 0), 7);
    assert_int_equal(atoll_plan_spread(plan, see, 33, 32, 7), 8 | 16);
    assert_int_equal(atoll_plan_add(plan, see, 99, 100, 8), 32);
    assert_int_equal(plan->tasks, 6);
    assert_int_equal(atoll_plan_run(plan, NULL), ATOLL_OK);
    assert_int_equal(atomic_load(&begun), 6);
    for (uint32_t i = 0; i < NUMBERS; i++)
        assert_int_equal(seen[i], i < 33 ? 2 : i < 96 || i == 99);
    learning_close(&l);
}

static void numbers_are_spread_over_tasks(void **state)
{
    (void)state;
    numbers_are_spread(ATOLL_STEP_RECORDS);
    numbers_are_spread(1); /* on one thread */
}

static atoll_status refuse(atoll_portion *w)
{
    return atoll_fail(&w->error, ATOLL_NO_MEMORY, "refused from %u", w->from);
}

static void what_comes_after_a_failure_is_left_undone(void **state)
{
    learning l;
    atoll_error error = {0};
    (void)state;
    open_plan(&l, ATOLL_STEP_RECORDS);
    atoll_plan *plan = &l.trainer->plan;
    uint64_t before = atoll_plan_spread(plan, see, 40, 20, 0);
    uint64_t failing = atoll_plan_add(plan, refuse, 5, 6, before);
    uint64_t later = atoll_plan_spread(plan, see, 40, 20, failing);
    atoll_plan_add(plan, refuse, 8, 9, later);
    assert_int_equal(atoll_plan_run(plan, &error), ATOLL_NO_MEMORY);
    assert_string_equal(error.detail, "refused from 5");
    assert_int_equal(atomic_load(&begun), 2);
    assert_int_equal(atoll_plan_run(&(atoll_plan){.trainer = l.trainer}, NULL), ATOLL_OK); /* of nothing */
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_spread_over_tasks),
        cmocka_unit_test(what_comes_after_a_failure_is_left_undone),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
