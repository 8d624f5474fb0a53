/*
 * The threads that answer. Jobs wait in one queue, first come first served; each worker takes one, runs it to its end
 * and takes the next. A job is embedded in what it works for, so that queueing allocates nothing.
 */
#ifndef ATOLL_API_POOL_H
#define ATOLL_API_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/batch.h"
#include "core/json.h"
#include "core/status.h"
#include "learner/learner.h"

/* What one thread needs to answer; its own. */
typedef struct atoll_worker {
    atoll_asker *asker;
    atoll_json_parser *parser;
    atoll_batch *batch;
} atoll_worker;

/* False for want of memory; clean it all the same. */
bool atoll_worker_prepare(atoll_worker *worker);
void atoll_worker_clean(atoll_worker *worker);

typedef struct atoll_job atoll_job;

struct atoll_job {
    atoll_job *next;
    void (*run)(atoll_job *job, atoll_worker *worker); /* worker NULL: the pool is at its end, give up */
};

typedef struct atoll_pool atoll_pool;

/* `threads` workers; atoll_pool_offer refuses beyond `waiting_max` waiting jobs. ATOLL_NO_MEMORY, ATOLL_IO. */
atoll_status atoll_pool_start(uint32_t threads, uint32_t waiting_max, atoll_pool **out, atoll_error *error);

/* Any thread. False, and nothing done, where the queue is full. */
bool atoll_pool_offer(atoll_pool *pool, atoll_job *job);

/* Any thread; the same without the bound, for work that was let in before. */
void atoll_pool_push(atoll_pool *pool, atoll_job *job);

/* Any thread that answers by itself, as a guest, between the two. False once the pool is at its end. */
bool atoll_pool_enter(atoll_pool *pool);
void atoll_pool_leave(atoll_pool *pool);

/* Finishes the jobs that run and awaits the guests, gives up what waits, ends the threads. What is pushed from now on
 * is given up on the pushing thread. */
void atoll_pool_stop(atoll_pool *pool);
void atoll_pool_free(atoll_pool *pool); /* stopped, and nobody pushes any more */

uint32_t atoll_pool_threads(const atoll_pool *pool);
uint32_t atoll_pool_waiting(atoll_pool *pool);

#endif
