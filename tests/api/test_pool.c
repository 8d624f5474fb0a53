#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/pool.h"

/* A job that counts itself, and may hold its worker until it is let go. */
typedef struct counted {
    atoll_job job;
    pthread_mutex_t *gate;
    _Atomic int *ran, *gave_up, *entered;
} counted;

static void count(atoll_job *job, atoll_worker *worker)
{
    counted *c = (counted *)(void *)job;
    if (!worker) {
        atomic_fetch_add(c->gave_up, 1);
        return;
    }
    assert_non_null(worker->asker);
    assert_non_null(worker->parser);
    assert_non_null(worker->batch);
    atomic_fetch_add(c->entered, 1);
    if (c->gate) {
        pthread_mutex_lock(c->gate);
        pthread_mutex_unlock(c->gate);
    }
    atomic_fetch_add(c->ran, 1);
}

static void wait_for(_Atomic int *value, int wanted)
{
    while (atomic_load(value) < wanted)
        sched_yield();
}

static void jobs_run_once_each(void **state)
{
    enum { JOBS = 2000 };
    static counted jobs[JOBS];
    _Atomic int ran = 0, gave_up = 0, entered = 0;
    atoll_pool *pool;
    (void)state;
    assert_int_equal(atoll_pool_start(3, 10, &pool, NULL), ATOLL_OK);
    assert_int_equal(atoll_pool_threads(pool), 3);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (counted){{NULL, count}, NULL, &ran, &gave_up, &entered};
        atoll_pool_push(pool, &jobs[i].job);
    }
    wait_for(&ran, JOBS);
    atoll_pool_stop(pool);
    atoll_pool_free(pool);
    assert_int_equal(ran, JOBS);
    assert_int_equal(gave_up, 0);
}

static void the_queue_is_bounded_for_offers_only(void **state)
{
    _Atomic int ran = 0, gave_up = 0, entered = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    counted held = {{NULL, count}, &gate, &ran, &gave_up, &entered}, waits = held, refused = held, pushed = held;
    atoll_pool *pool;
    (void)state;
    assert_int_equal(atoll_pool_start(1, 1, &pool, NULL), ATOLL_OK);
    pthread_mutex_lock(&gate);
    assert_true(atoll_pool_offer(pool, &held.job));
    wait_for(&entered, 1);
    assert_true(atoll_pool_offer(pool, &waits.job));
    assert_false(atoll_pool_offer(pool, &refused.job));
    atoll_pool_push(pool, &pushed.job);
    assert_int_equal(atoll_pool_waiting(pool), 2);
    pthread_mutex_unlock(&gate);
    wait_for(&ran, 3);
    atoll_pool_stop(pool);
    atoll_pool_free(pool);
    assert_int_equal(gave_up, 0);
    pthread_mutex_destroy(&gate);
}

static void *stop(void *pool)
{
    atoll_pool_stop(pool);
    return NULL;
}

static void a_stopping_pool_gives_up_what_waits(void **state)
{
    _Atomic int ran = 0, gave_up = 0, entered = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    counted held = {{NULL, count}, &gate, &ran, &gave_up, &entered}, waits = held, late = held;
    pthread_t stopper;
    atoll_pool *pool;
    (void)state;
    assert_int_equal(atoll_pool_start(1, 1, &pool, NULL), ATOLL_OK);
    pthread_mutex_lock(&gate);
    atoll_pool_push(pool, &held.job);
    wait_for(&entered, 1);
    atoll_pool_push(pool, &waits.job);
    pthread_create(&stopper, NULL, stop, pool);
    while (!atoll_pool_offer(pool, &late.job)) /* the queue is full until the pool stops: then it is given up here */
        sched_yield();
    pthread_mutex_unlock(&gate);
    pthread_join(stopper, NULL);
    assert_int_equal(ran, 1);
    assert_int_equal(gave_up, 2);
    assert_true(atoll_pool_offer(pool, &late.job));
    assert_int_equal(gave_up, 3);
    atoll_pool_free(pool);
    pthread_mutex_destroy(&gate);
}

typedef struct visit {
    atoll_pool *pool;
    _Atomic bool stopped;
} visit;

static void *stop_and_tell(void *arg)
{
    visit *v = arg;
    atoll_pool_stop(v->pool);
    atomic_store(&v->stopped, true);
    return NULL;
}

static void guests_are_awaited_at_the_end(void **state)
{
    visit v = {0};
    pthread_t stopper;
    (void)state;
    assert_int_equal(atoll_pool_start(1, 1, &v.pool, NULL), ATOLL_OK);
    assert_true(atoll_pool_enter(v.pool));
    assert_true(atoll_pool_enter(v.pool));
    atoll_pool_leave(v.pool);
    pthread_create(&stopper, NULL, stop_and_tell, &v);
    while (atoll_pool_enter(v.pool)) { /* until the pool stops */
        atoll_pool_leave(v.pool);
        sched_yield();
    }
    assert_false(atomic_load(&v.stopped));
    atoll_pool_leave(v.pool);
    pthread_join(stopper, NULL);
    assert_false(atoll_pool_enter(v.pool));
    atoll_pool_free(v.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_once_each),
        cmocka_unit_test(the_queue_is_bounded_for_offers_only),
        cmocka_unit_test(a_stopping_pool_gives_up_what_waits),
        cmocka_unit_test(guests_are_awaited_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
