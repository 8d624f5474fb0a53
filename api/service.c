#include "api/service.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/route.h"
#include "core/clock.h"
#include "core/log.h"

enum {
    WORKERS_LEAST = 2,
    CATCH_UP_MS = 600000 /* a model that is still behind by then no longer keeps the server from being ready */
};

static atoll_counters *new_counters(atoll_error *error)
{
    atoll_counters *counters = atoll_counters_new();
    bool named = counters;
    for (uint32_t i = 0; named && i < atoll_route_count; i++)
        named = atoll_counters_name(counters, atoll_routes[i].method, atoll_routes[i].path);
    if (named && atoll_counters_name(counters, "other", "other"))
        return counters;
    atoll_counters_free(counters);
    atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the counters");
    return NULL;
}

static uint32_t worker_count(const atoll_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (options->workers)
        return (uint32_t)options->workers;
    return cores < WORKERS_LEAST ? WORKERS_LEAST : cores > 256 ? 256 : (uint32_t)cores;
}

atoll_status atoll_service_open(atoll_service *service, const atoll_options *options, atoll_error *error)
{
    uint64_t number = 0;
    memset(service, 0, sizeof *service);
    service->options = options;
    service->started_ms = atoll_clock_wall_ms();
    atomic_init(&service->phase, ATOLL_PHASE_STARTING);
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint64_t)atoll_clock_monotonic_ns() ^ (uint64_t)getpid() << 40;
    snprintf(service->prediction_prefix, sizeof service->prediction_prefix, "%016llx", (unsigned long long)number);
    service->counters = new_counters(error);
    if (!service->counters)
        return ATOLL_NO_MEMORY;
    atoll_status status = atoll_registry_open(options->data_dir, options->map_bytes, &service->registry, error);
    if (!status)
        status = atoll_pool_start(worker_count(options), (uint32_t)options->queue_max, &service->pool, error);
    if (status) {
        atoll_service_close(service);
        atoll_service_free(service);
    }
    return status;
}

/* ---- catching up ---- */

typedef struct catching_up {
    atoll_service *service;
    atoll_model *model;
} catching_up;

static void count_down(atoll_service *service)
{
    int starting = ATOLL_PHASE_STARTING;
    if (atomic_fetch_sub(&service->behind, 1) == 1)
        atomic_compare_exchange_strong(&service->phase, &starting, ATOLL_PHASE_SERVING);
}

static void caught_up(void *arg, atoll_status status, const atoll_error *error)
{
    catching_up *c = arg;
    if (status && status != ATOLL_SHUTTING_DOWN)
        atoll_log(ATOLL_LOG_WARN, "model_behind", "model", ATOLL_TEXT(c->model->name), "detail",
                  ATOLL_TEXT(error ? error->detail : ""), NULL);
    atoll_registry_release(c->service->registry, c->model);
    count_down(c->service);
    free(c);
}

/* Takes over the reference to the model. */
static void catch_up(atoll_service *service, atoll_model *model)
{
    atoll_stats stats;
    atoll_learner_stats(model->learner, &stats);
    catching_up *c = stats.version < stats.journal_last ? malloc(sizeof *c) : NULL;
    if (c) {
        *c = (catching_up){service, model};
        if (!atoll_learner_wait(model->learner, stats.journal_last, CATCH_UP_MS, caught_up, c, NULL))
            return;
        free(c);
    }
    atoll_registry_release(service->registry, model);
    count_down(service);
}

void atoll_service_begin(atoll_service *service)
{
    atoll_model **models = NULL;
    uint32_t count = 0;
    if (atoll_registry_all(service->registry, &models, &count, NULL))
        count = 0;
    atomic_store(&service->behind, count + 1);
    for (uint32_t i = 0; i < count; i++)
        catch_up(service, models[i]);
    free(models);
    count_down(service);
}

/* ---- the end ---- */

void atoll_service_close(atoll_service *service)
{
    if (service->pool)
        atoll_pool_stop(service->pool);
    atoll_registry_close(service->registry);
}

void atoll_service_free(atoll_service *service)
{
    atoll_pool_free(service->pool);
    atoll_counters_free(service->counters);
    service->pool = NULL;
    service->counters = NULL;
}
