/*
 * Fires each model's pruning by its cron schedule. One thread looks at every model once a second: a schedule that was
 * changed or a model that came or went needs no telling, and 256 models cost nothing. What it does at an instant is a
 * function of its own, so that tests need no waiting.
 */
#ifndef ATOLL_API_SCHEDULER_H
#define ATOLL_API_SCHEDULER_H

#include <stdint.h>

#include "api/registry.h"
#include "core/status.h"

typedef struct atoll_scheduler atoll_scheduler;

/* Without its thread, for atoll_scheduler_tick. NULL where memory is short. */
atoll_scheduler *atoll_scheduler_new(atoll_registry *registry);
void atoll_scheduler_free(atoll_scheduler *scheduler); /* stops the thread; NULL is fine */

/* ATOLL_IO where there is no thread to be had. */
atoll_status atoll_scheduler_start(atoll_scheduler *scheduler, atoll_error *error);

/* Prunes each model whose next time, as it was found at an earlier tick, is not after `now_ms`; returns how many. A
 * time that passed while nobody ticked fires once. */
uint32_t atoll_scheduler_tick(atoll_scheduler *scheduler, int64_t now_ms);

#endif
