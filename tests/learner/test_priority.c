#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "learner/priority.h"

static int niceness(pid_t id)
{
    return getpriority(PRIO_PROCESS, (id_t)id);
}

/* Not in the process's first thread, which the others are measured by. */
static void *go_down_and_up(void *arg)
{
    int *seen = arg;
    atoll_priority_lower(2);
    seen[0] = niceness(gettid());
    atoll_priority_set(gettid(), 3);
    seen[1] = niceness(gettid());
    atoll_priority_set(gettid(), 0);
    seen[2] = niceness(gettid());
    return NULL;
}

static void a_thread_is_as_nice_as_it_was_told(void **state)
{
    enum { NICEST = 19 };
    (void)state;
    pthread_t thread;
    int seen[3] = {0}, first = niceness(getpid());
    assert_int_equal(pthread_create(&thread, NULL, go_down_and_up, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen[0], first + 2 < NICEST ? first + 2 : NICEST);
    assert_int_equal(seen[1], first + 3 < NICEST ? first + 3 : NICEST);
    assert_true(seen[2] == first || seen[2] == seen[1]); /* up again, or as nice where that is not allowed */
    assert_int_equal(niceness(getpid()), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thread_is_as_nice_as_it_was_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
