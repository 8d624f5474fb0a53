#include "learner/twin.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "learner/priority.h"

struct atoll_twin {
    pthread_t thread;
    int niceness;
    pthread_mutex_t mutex; /* over all that follows */
    pthread_cond_t called[2]; /* by thread: one waiter each, so that none is woken in another's place */
    const atoll_task *task;
    uint32_t count; /* 0 while there is no list */
    uint64_t taken, done;
    bool leaving;
};

/* Tasks that may begin. */
static uint64_t ready(const atoll_twin *twin)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < twin->count; i++)
        bits |= (uint64_t)!(twin->task[i].after & ~twin->done) << i;
    return bits & ~twin->taken;
}

static bool over(const atoll_twin *twin)
{
    return twin->done == UINT64_MAX >> (ATOLL_TWIN_TASKS - twin->count);
}

/* Calls the other thread, if it waits, where there is more than the one task that this thread will take itself. */
static void call_other(atoll_twin *twin, int thread)
{
    uint64_t bits = ready(twin);
    if ((bits & (bits - 1)) || over(twin))
        pthread_cond_signal(&twin->called[!thread]);
}

/* Does the first task that may begin, or waits for one. The mutex is held, but not during the task. */
static void take(atoll_twin *twin, int thread)
{
    uint64_t bits = ready(twin);
    if (!bits) {
        pthread_cond_wait(&twin->called[thread], &twin->mutex);
        return;
    }
    uint64_t bit = bits & -bits;
    const atoll_task *task = &twin->task[__builtin_ctzll(bits)];
    twin->taken |= bit;
    pthread_mutex_unlock(&twin->mutex);
    task->work(task->arg, thread);
    pthread_mutex_lock(&twin->mutex);
    twin->done |= bit;
    call_other(twin, thread);
}

static void *serve(void *arg)
{
    atoll_twin *twin = arg;
    atoll_priority_lower(twin->niceness);
    pthread_mutex_lock(&twin->mutex);
    while (!twin->leaving)
        take(twin, 1);
    pthread_mutex_unlock(&twin->mutex);
    return NULL;
}

atoll_twin *atoll_twin_new(int niceness)
{
    atoll_twin *twin = calloc(1, sizeof *twin);
    if (!twin)
        return NULL;
    twin->niceness = niceness;
    pthread_mutex_init(&twin->mutex, NULL);
    pthread_cond_init(&twin->called[0], NULL);
    pthread_cond_init(&twin->called[1], NULL);
    if (pthread_create(&twin->thread, NULL, serve, twin) == 0)
        return twin;
    pthread_cond_destroy(&twin->called[0]);
    pthread_cond_destroy(&twin->called[1]);
    pthread_mutex_destroy(&twin->mutex);
    free(twin);
    return NULL;
}

void atoll_twin_free(atoll_twin *twin)
{
    if (!twin)
        return;
    pthread_mutex_lock(&twin->mutex);
    twin->leaving = true;
    pthread_cond_signal(&twin->called[1]);
    pthread_mutex_unlock(&twin->mutex);
    pthread_join(twin->thread, NULL);
    pthread_cond_destroy(&twin->called[0]);
    pthread_cond_destroy(&twin->called[1]);
    pthread_mutex_destroy(&twin->mutex);
    free(twin);
}

void atoll_twin_run(atoll_twin *twin, const atoll_task *task, uint32_t count)
{
    assert(count <= ATOLL_TWIN_TASKS);
    if (!count)
        return;
    pthread_mutex_lock(&twin->mutex);
    twin->task = task;
    twin->count = count;
    twin->taken = twin->done = 0;
    call_other(twin, 0);
    while (!over(twin))
        take(twin, 0);
    twin->count = 0;
    pthread_mutex_unlock(&twin->mutex);
}
