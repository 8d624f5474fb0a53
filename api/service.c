#include "api/service.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/route.h"
#include "core/clock.h"

enum { WORKERS_LEAST = 2 };

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
