/*
 * Counts of what was asked over HTTP, by route and by HTTP status, and how long it took. Written by any thread without a
 * lock; what is read together was not counted at one instant.
 */
#ifndef ATOLL_API_COUNTERS_H
#define ATOLL_API_COUNTERS_H

#include <stdint.h>

#include "core/writer.h"

enum { ATOLL_FAMILIES_MAX = 32 };

typedef struct atoll_counters atoll_counters;

/* `families` names, one for each family of requests, each "METHOD path"; they must outlive the counters. NULL where
 * memory is short or there are more than ATOLL_FAMILIES_MAX. */
atoll_counters *atoll_counters_new(const char *const *methods, const char *const *paths, uint32_t families);
void atoll_counters_free(atoll_counters *counters);

/* `family` from 0; HTTP statuses outside 100..599 are taken as 500. */
void atoll_counters_add(atoll_counters *counters, uint32_t family, int http, int64_t duration_ns);

/* One answered request with that status; 0 where there was none. */
uint64_t atoll_counters_get(const atoll_counters *counters, uint32_t family, int http);

/* The series in Prometheus text format 0.0.4. */
void atoll_counters_print(const atoll_counters *counters, atoll_writer *out);

#endif
