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

/* Plain memory, handed from one thread to the other from round to round. */
typedef struct ledger {
    uint32_t side[2][64];
    uint32_t length; /* of the work */
} ledger;

static void count_first(void *arg)
{
    ledger *l = arg;
    for (uint32_t i = 0; i < 64 * l->length; i++)
        l->side[0][i % 64]++;
}

static void count_second(void *arg)
{
    ledger *l = arg;
    for (uint32_t i = 0; i < 64 * (7 - l->length); i++)
        l->side[1][i % 64] += 2;
}

static void what_one_did_the_other_sees(void **state)
{
    enum { ROUNDS = 3000 };
    ledger l = {0};
    uint32_t first = 0, second = 0;
    (void)state;
    atoll_twin *twin = atoll_twin_new(0);
    assert_non_null(twin);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        l.length = round % 8; /* either may be done first, and either may have nothing to do */
        if (round % 2)
            atoll_twin_run(twin, count_first, &l, count_second, &l);
        else
            atoll_twin_run(twin, count_second, &l, count_first, &l);
        first += l.length;
        second += 2 * (7 - l.length);
        for (int i = 0; i < 64; i++) {
            assert_int_equal(l.side[0][i], first);
            assert_int_equal(l.side[1][i], second);
        }
    }
    atoll_twin_free(twin);
}

/* Each half waits for the other inside the run: they do run side by side. */
static void wait_for_the_other(void *arg)
{
    pthread_barrier_wait(arg);
}

static void the_halves_run_at_one_time(void **state)
{
    pthread_barrier_t both;
    (void)state;
    atoll_twin *twin = atoll_twin_new(0);
    assert_non_null(twin);
    pthread_barrier_init(&both, NULL, 2);
    for (int round = 0; round < 200; round++)
        atoll_twin_run(twin, wait_for_the_other, &both, wait_for_the_other, &both);
    pthread_barrier_destroy(&both);
    atoll_twin_free(twin);
}

static void a_twin_can_go_whenever_it_is_idle(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        work mine = {0}, theirs = {0};
        atoll_twin *twin = atoll_twin_new(0);
        assert_non_null(twin);
        for (uint32_t asked = 0; asked < round % 3; asked++) /* at once, or never asked at all */
            atoll_twin_run(twin, add_up, &mine, add_up, &theirs);
        atoll_twin_free(twin);
        assert_int_equal(mine.times, round % 3);
        assert_int_equal(theirs.times, round % 3);
    }
    atoll_twin_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_are_done_when_run_returns_each_on_its_own_thread),
        cmocka_unit_test(what_one_did_the_other_sees),
        cmocka_unit_test(the_halves_run_at_one_time),
        cmocka_unit_test(a_twin_can_go_whenever_it_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
