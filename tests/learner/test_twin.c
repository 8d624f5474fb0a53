#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "learner/twin.h"

typedef struct work {
    pthread_t thread;
    uint64_t sum;
    uint32_t times;
} work;

static void add_up(void *arg)
{
    work *w = arg;
    w->thread = pthread_self();
    w->times++;
    for (uint32_t i = 0; i < 1000; i++)
        w->sum += i;
}

static void both_halves_are_done_when_run_returns_each_on_its_own_thread(void **state)
{
    enum { ROUNDS = 500 };
    work mine = {0}, theirs = {0};
    (void)state;
    atoll_twin *twin = atoll_twin_new(5);
    assert_non_null(twin);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        atoll_twin_run(twin, add_up, &mine, add_up, &theirs);
        assert_int_equal(mine.times, round);
        assert_int_equal(theirs.times, round);
    }
    assert_int_equal(mine.sum, ROUNDS * 499500);
    assert_int_equal(theirs.sum, ROUNDS * 499500);
    assert_true(pthread_equal(mine.thread, pthread_self()));
    assert_false(pthread_equal(theirs.thread, pthread_self()));
    atoll_twin_free(twin);
}

static void a_twin_that_was_never_asked_can_go(void **state)
{
    (void)state;
    atoll_twin_free(atoll_twin_new(0));
    atoll_twin_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_are_done_when_run_returns_each_on_its_own_thread),
        cmocka_unit_test(a_twin_that_was_never_asked_can_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
