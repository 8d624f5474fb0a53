#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "learner/twin.h"

/* A task that looks whether all that it comes after are done, in plain memory. */
typedef struct work {
    uint32_t *done; /* times, by task */
    uint32_t number, round;
    uint64_t after;
    uint32_t early; /* times that one was not */
    uint32_t on[2]; /* times, by thread */
} work;

static void look(void *arg, int thread)
{
    work *w = arg;
    for (uint32_t i = 0; i < w->number; i++)
        if (w->after >> i & 1)
            w->early += w->done[i] != w->round;
    w->on[thread]++;
    w->done[w->number]++;
}

/* Every list there is: `shape` tells which tasks each comes after. */
static void run_rounds(uint32_t count, uint32_t rounds, uint64_t (*shape)(uint32_t number, uint32_t round))
{
    uint32_t done[ATOLL_TWIN_TASKS] = {0};
    work w[ATOLL_TWIN_TASKS];
    atoll_task task[ATOLL_TWIN_TASKS];
    atoll_twin *twin = atoll_twin_new(5);
    assert_non_null(twin);
    for (uint32_t i = 0; i < count; i++)
        w[i] = (work){.done = done, .number = i};
    for (uint32_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            w[i].round = round;
            w[i].after = shape(i, round);
            task[i] = (atoll_task){look, &w[i], w[i].after};
        }
        atoll_twin_run(twin, task, count);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(done[i], round);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(w[i].early, 0);
        assert_int_equal(w[i].on[0] + w[i].on[1], rounds);
    }
    atoll_twin_free(twin);
}

static uint64_t none(uint32_t number, uint32_t round)
{
    (void)number;
    (void)round;
    return 0;
}

static uint64_t the_one_before(uint32_t number, uint32_t round)
{
    (void)round;
    return number ? UINT64_C(1) << (number - 1) : 0;
}

/* Some of those before it, differently in each round. */
static uint64_t some(uint32_t number, uint32_t round)
{
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) * (2 * round + 1);
    return mixed & mixed >> 32 & ((UINT64_C(1) << number) - 1);
}

static void every_task_is_done_once_and_after_those_that_it_comes_after(void **state)
{
    (void)state;
    run_rounds(1, 300, none);
    run_rounds(2, 1000, none);
    run_rounds(ATOLL_TWIN_TASKS, 100, none);
    run_rounds(9, 500, the_one_before);
    run_rounds(40, 200, some);
    run_rounds(ATOLL_TWIN_TASKS, 200, some);
}

/* Each waits for the other inside the run: they do run side by side. */
static void wait_for_the_other(void *arg, int thread)
{
    (void)thread;
    pthread_barrier_wait(arg);
}

static void two_tasks_run_at_one_time(void **state)
{
    pthread_barrier_t both;
    atoll_task task[] = {{wait_for_the_other, &both, 0}, {wait_for_the_other, &both, 0}};
    (void)state;
    atoll_twin *twin = atoll_twin_new(0);
    assert_non_null(twin);
    pthread_barrier_init(&both, NULL, 2);
    for (int round = 0; round < 200; round++)
        atoll_twin_run(twin, task, 2);
    pthread_barrier_destroy(&both);
    atoll_twin_free(twin);
}

static void count_up(void *arg, int thread)
{
    (void)thread;
    ++*(uint32_t *)arg;
}

static void a_twin_can_go_whenever_it_is_idle(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t times[2] = {0};
        atoll_task task[] = {{count_up, &times[0], 0}, {count_up, &times[1], 0}};
        atoll_twin *twin = atoll_twin_new(0);
        assert_non_null(twin);
        atoll_twin_run(twin, task, 0);
        for (uint32_t asked = 0; asked < round % 3; asked++) /* at once, or never asked at all */
            atoll_twin_run(twin, task, 2);
        atoll_twin_free(twin);
        assert_int_equal(times[0], round % 3);
        assert_int_equal(times[1], round % 3);
    }
    atoll_twin_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_is_done_once_and_after_those_that_it_comes_after),
        cmocka_unit_test(two_tasks_run_at_one_time),
        cmocka_unit_test(a_twin_can_go_whenever_it_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
