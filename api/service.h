/* What every handler works with. Made by serve.c, outlives every request. */
#ifndef ATOLL_API_SERVICE_H
#define ATOLL_API_SERVICE_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/counters.h"
#include "api/options.h"
#include "api/pool.h"
#include "api/registry.h"

typedef enum atoll_phase { ATOLL_PHASE_STARTING, ATOLL_PHASE_SERVING, ATOLL_PHASE_DRAINING } atoll_phase;

typedef struct atoll_service {
    const atoll_options *options;
    atoll_registry *registry;
    atoll_pool *pool;
    atoll_counters *counters; /* families are the routes in their order, then one for what matched none */
    _Atomic int phase;        /* an atoll_phase */
    _Atomic uint32_t behind;  /* models that have yet to learn what their journals held at the start */
    _Atomic uint64_t busy;    /* requests wholly received and not yet answered to the last byte */
    int64_t started_ms;       /* Unix milliseconds */
    char prediction_prefix[17]; /* makes prediction ids of this process unlike those of others */
} atoll_service;

/* Everything but the sockets: opens the models, starts the workers. The phase is ATOLL_PHASE_STARTING. */
atoll_status atoll_service_open(atoll_service *service, const atoll_options *options, atoll_error *error);

/* The phase becomes ATOLL_PHASE_SERVING, now or once every model has learned what its journal holds now: before that,
 * answers would come from an older version than those of the former process. They are given nevertheless. */
void atoll_service_begin(atoll_service *service);

/* Finishes what the workers are at, gives up what waits, closes the models with a checkpoint each. Afterwards every
 * request is finished, and new ones are refused. */
void atoll_service_close(atoll_service *service);
void atoll_service_free(atoll_service *service); /* closed, and no request comes any more */

#endif
