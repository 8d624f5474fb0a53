#include "api/scheduler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/cron.h"
#include "core/log.h"

/* The plan of one model: known by its learner too, so that a new model of an old name starts afresh. */
typedef struct plan {
    char model[ATOLL_NAME_MAX_BYTES + 1];
    const atoll_learner *learner;
    char schedule[ATOLL_CRON_MAX_BYTES];
    int64_t next_ms; /* INT64_MAX for never */
    bool seen;
} plan;

struct atoll_scheduler {
    atoll_registry *registry;
    plan plans[ATOLL_MODELS_MAX];
    uint32_t count;
    pthread_mutex_t lock; /* guards stopping */
    pthread_cond_t stop;
    bool stopping, runs;
    pthread_t thread;
};

/* What a pruning's callback needs. */
typedef struct firing {
    atoll_registry *registry;
    atoll_model *model;
} firing;

static void pruned(void *arg, atoll_status status, const atoll_pruned *list, uint32_t count, uint64_t version,
                   const atoll_error *error)
{
    firing *f = arg;
    if (status)
        atoll_log(ATOLL_LOG_WARN, "scheduled_prune_failed", "model", ATOLL_TEXT(f->model->name), "detail",
                  ATOLL_TEXT(error ? error->detail : ""), NULL);
    else
        atoll_log(ATOLL_LOG_INFO, "scheduled_prune", "model", ATOLL_TEXT(f->model->name), "pruned", ATOLL_UINT(count),
                  "version", ATOLL_UINT(version), NULL);
    (void)list;
    atoll_registry_release(f->registry, f->model);
    free(f);
}

/* Takes over the reference to the model. */
static void fire(atoll_scheduler *scheduler, atoll_model *model)
{
    atoll_error error = {0};
    firing *f = malloc(sizeof *f);
    atoll_status status = ATOLL_NO_MEMORY;
    if (f) {
        *f = (firing){scheduler->registry, model};
        status = atoll_learner_prune(model->learner, pruned, f, &error);
    }
    if (!status)
        return;
    atoll_log(ATOLL_LOG_WARN, "scheduled_prune_failed", "model", ATOLL_TEXT(model->name), "detail",
              ATOLL_TEXT(error.detail), NULL);
    atoll_registry_release(scheduler->registry, model);
    free(f);
}

static int64_t next_of(const char *schedule, int64_t after_ms)
{
    atoll_cron cron;
    if (!*schedule || atoll_cron_parse(schedule, &cron, NULL))
        return INT64_MAX;
    return atoll_cron_next(&cron, after_ms);
}

/* The model's plan, renewed where its schedule is another than before. NULL where there is no place. */
static plan *plan_of(atoll_scheduler *scheduler, const atoll_model *model, int64_t now_ms)
{
    atoll_config config = atoll_learner_config(model->learner);
    plan *p = NULL;
    for (uint32_t i = 0; i < scheduler->count && !p; i++)
        if (scheduler->plans[i].learner == model->learner && !strcmp(scheduler->plans[i].model, model->name))
            p = &scheduler->plans[i];
    if (!p) {
        if (scheduler->count == ATOLL_MODELS_MAX)
            return NULL;
        p = &scheduler->plans[scheduler->count++];
        memcpy(p->model, model->name, sizeof p->model);
        p->learner = model->learner;
        p->schedule[0] = 0;
        p->next_ms = INT64_MAX;
    }
    p->seen = true;
    if (strcmp(p->schedule, config.prune_schedule)) {
        memcpy(p->schedule, config.prune_schedule, sizeof p->schedule);
        p->next_ms = next_of(p->schedule, now_ms);
    }
    return p;
}

static void forget_absent(atoll_scheduler *scheduler)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < scheduler->count; i++) {
        if (!scheduler->plans[i].seen)
            continue;
        scheduler->plans[kept] = scheduler->plans[i];
        scheduler->plans[kept++].seen = false;
    }
    scheduler->count = kept;
}

uint32_t atoll_scheduler_tick(atoll_scheduler *scheduler, int64_t now_ms)
{
    atoll_model **models;
    uint32_t count, fired = 0;
    if (atoll_registry_all(scheduler->registry, &models, &count, NULL))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        plan *p = plan_of(scheduler, models[i], now_ms);
        if (p && p->next_ms <= now_ms) {
            p->next_ms = next_of(p->schedule, now_ms);
            fired++;
            fire(scheduler, models[i]);
            models[i] = NULL;
        }
    }
    forget_absent(scheduler);
    atoll_registry_release_all(scheduler->registry, models, count);
    return fired;
}

static void *run(void *arg)
{
    atoll_scheduler *scheduler = arg;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->stopping) {
        struct timespec until;
        pthread_mutex_unlock(&scheduler->lock);
        atoll_scheduler_tick(scheduler, atoll_clock_wall_ms());
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_mutex_lock(&scheduler->lock);
        while (!scheduler->stopping && !pthread_cond_timedwait(&scheduler->stop, &scheduler->lock, &until))
            ;
    }
    pthread_mutex_unlock(&scheduler->lock);
    return NULL;
}

atoll_scheduler *atoll_scheduler_new(atoll_registry *registry)
{
    pthread_condattr_t monotonic;
    atoll_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler)
        return NULL;
    scheduler->registry = registry;
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&scheduler->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return scheduler;
}

atoll_status atoll_scheduler_start(atoll_scheduler *scheduler, atoll_error *error)
{
    int failed = pthread_create(&scheduler->thread, NULL, run, scheduler);
    scheduler->runs = !failed;
    return failed ? atoll_fail(error, ATOLL_IO, "cannot start the scheduler: %s", strerror(failed)) : ATOLL_OK;
}

void atoll_scheduler_free(atoll_scheduler *scheduler)
{
    if (!scheduler)
        return;
    pthread_mutex_lock(&scheduler->lock);
    scheduler->stopping = true;
    pthread_cond_broadcast(&scheduler->stop);
    pthread_mutex_unlock(&scheduler->lock);
    if (scheduler->runs)
        pthread_join(scheduler->thread, NULL);
    pthread_mutex_destroy(&scheduler->lock);
    pthread_cond_destroy(&scheduler->stop);
    free(scheduler);
}
