#include "api/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct atoll_pool {
    pthread_mutex_t lock;
    pthread_cond_t some;     /* a job waits, or the end has come */
    pthread_cond_t changed;  /* a worker has its scratch, or could not get it; the last guest has left */
    atoll_job *first, **last;
    uint32_t waiting, waiting_max;
    uint32_t threads, started, prepared, guests;
    bool stopping, short_of_memory;
    pthread_t thread[];
};

bool atoll_worker_prepare(atoll_worker *worker)
{
    worker->asker = atoll_asker_new();
    worker->parser = atoll_json_parser_new();
    worker->batch = atoll_batch_new();
    return worker->asker && worker->parser && worker->batch;
}

void atoll_worker_clean(atoll_worker *worker)
{
    atoll_asker_free(worker->asker);
    atoll_json_parser_free(worker->parser);
    atoll_batch_free(worker->batch);
}

static atoll_job *take_first(atoll_pool *pool)
{
    atoll_job *job = pool->first;
    pool->first = job->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->waiting--;
    return job;
}

static void *work(void *arg)
{
    atoll_pool *pool = arg;
    atoll_worker worker = {0};
    bool able = atoll_worker_prepare(&worker); /* here and not in start, since scratch may depend on the thread */
    pthread_mutex_lock(&pool->lock);
    pool->prepared++;
    pool->short_of_memory |= !able;
    pthread_cond_broadcast(&pool->changed);
    while (able) {
        while (!pool->first && !pool->stopping)
            pthread_cond_wait(&pool->some, &pool->lock);
        if (pool->stopping)
            break;
        atoll_job *job = take_first(pool);
        pthread_mutex_unlock(&pool->lock);
        job->run(job, &worker);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    atoll_worker_clean(&worker);
    return NULL;
}

atoll_status atoll_pool_start(uint32_t threads, uint32_t waiting_max, atoll_pool **out, atoll_error *error)
{
    atoll_pool *pool = calloc(1, sizeof *pool + threads * sizeof *pool->thread);
    if (!pool)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u workers", threads);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->some, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->last = &pool->first;
    pool->waiting_max = waiting_max;
    pool->threads = threads;
    int failed = 0;
    while (!failed && pool->started < threads) {
        failed = pthread_create(&pool->thread[pool->started], NULL, work, pool);
        pool->started += !failed;
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->prepared < pool->started)
        pthread_cond_wait(&pool->changed, &pool->lock);
    bool short_of_memory = pool->short_of_memory;
    pthread_mutex_unlock(&pool->lock);
    if (failed || short_of_memory) {
        atoll_pool_stop(pool);
        atoll_pool_free(pool);
        return failed ? atoll_fail(error, ATOLL_IO, "cannot start a worker: %s", strerror(failed))
                      : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a worker's scratch");
    }
    *out = pool;
    return ATOLL_OK;
}

static bool enqueue(atoll_pool *pool, atoll_job *job, uint32_t waiting_max)
{
    pthread_mutex_lock(&pool->lock);
    bool stopping = pool->stopping;
    bool full = pool->waiting >= waiting_max;
    if (!stopping && !full) {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
    }
    pthread_mutex_unlock(&pool->lock);
    /* Behind the lock, or the woken worker would only wait for that. */
    if (!stopping && !full)
        pthread_cond_signal(&pool->some);
    if (stopping)
        job->run(job, NULL);
    return stopping || !full;
}

bool atoll_pool_offer(atoll_pool *pool, atoll_job *job)
{
    return enqueue(pool, job, pool->waiting_max);
}

void atoll_pool_push(atoll_pool *pool, atoll_job *job)
{
    enqueue(pool, job, UINT32_MAX);
}

bool atoll_pool_enter(atoll_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool open = !pool->stopping;
    pool->guests += open;
    pthread_mutex_unlock(&pool->lock);
    return open;
}

void atoll_pool_leave(atoll_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (!--pool->guests && pool->stopping)
        pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void atoll_pool_stop(atoll_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool before = pool->stopping;
    pool->stopping = true;
    pthread_cond_broadcast(&pool->some);
    pthread_mutex_unlock(&pool->lock);
    if (before)
        return;
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_mutex_lock(&pool->lock);
    while (pool->guests)
        pthread_cond_wait(&pool->changed, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    while (pool->first) {
        atoll_job *job = take_first(pool);
        job->run(job, NULL);
    }
}

void atoll_pool_free(atoll_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->some);
    pthread_cond_destroy(&pool->changed);
    free(pool);
}

uint32_t atoll_pool_threads(const atoll_pool *pool)
{
    return pool->threads;
}

uint32_t atoll_pool_waiting(atoll_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint32_t waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
