/* What benchmarks that learn in process share: calls of a learner that are waited for, and counting right answers. */
#ifndef ATOLL_BENCH_LEARNING_H
#define ATOLL_BENCH_LEARNING_H

#include <pthread.h>
#include <string.h>

#include "core/clock.h"
#include "learner/learner.h"

typedef struct bench_call {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool over;
    atoll_error error;
} bench_call;

#define BENCH_CALL {.mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER}

static inline void bench_finish(bench_call *call, atoll_status status, const atoll_error *error)
{
    pthread_mutex_lock(&call->mutex);
    call->error = status ? *error : (atoll_error){.status = ATOLL_OK};
    call->over = true;
    pthread_cond_signal(&call->done);
    pthread_mutex_unlock(&call->mutex);
}

static inline atoll_status bench_await(bench_call *call, atoll_error *error)
{
    pthread_mutex_lock(&call->mutex);
    while (!call->over)
        pthread_cond_wait(&call->done, &call->mutex);
    pthread_mutex_unlock(&call->mutex);
    if (call->error.status)
        *error = call->error;
    return call->error.status;
}

/* Of calls that give no more than a status. */
static inline void bench_configured(void *arg, atoll_status status, const atoll_error *error)
{
    bench_finish(arg, status, error);
}

static inline void bench_ingested(void *arg, atoll_status status, const atoll_ingested *result,
                                  const atoll_error *error)
{
    (void)result;
    bench_finish(arg, status, error);
}

/* Checks records as a request's are, and returns when they are learned. */
static inline atoll_status bench_learn(atoll_learner *learner, const atoll_record *records, uint32_t count,
                                       atoll_error *error)
{
    bench_call call = BENCH_CALL;
    for (uint32_t i = 0; i < count; i++) {
        atoll_status status = atoll_learner_check(learner, &records[i], true, error);
        if (status)
            return status;
    }
    atoll_status status = atoll_learner_ingest(learner, records, count, true, bench_ingested, &call, error);
    return status ? status : bench_await(&call, error);
}

/* How many of the records that have this label are answered with it. */
typedef struct bench_answers {
    uint32_t right;
    const char *label;
} bench_answers;

/* An atoll_predicted. */
static inline void bench_note(void *arg, uint32_t record, const atoll_prediction *p)
{
    bench_answers *a = arg;
    (void)record;
    a->right += p->labels && strcmp(p->label[0].label, a->label) == 0;
}

/* One question, answered in this thread as by a server's, and how long that took in microseconds. */
static inline atoll_status bench_ask(atoll_learner *learner, atoll_asker *asker, const atoll_record *record,
                                     bench_answers *answers, double *us, atoll_error *error)
{
    uint64_t version;
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = atoll_learner_predict(learner, asker, record, 1, 1, false, bench_note, answers, &version,
                                                error);
    *us = (double)(atoll_clock_monotonic_ns() - start) * 1e-3;
    return status;
}

#endif
