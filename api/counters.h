/*
 * Counts of what was asked over HTTP, by route and by HTTP status, and how long it took. Written by any thread without
 * a lock; what is read together was not counted at one instant.
 */
#ifndef ATOLL_API_COUNTERS_H
#define ATOLL_API_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/writer.h"

enum { ATOLL_FAMILIES_MAX = 32 };

typedef struct atoll_counters atoll_counters;

atoll_counters *atoll_counters_new(void); /* NULL where memory is short */
void atoll_counters_free(atoll_counters *counters);

/* One more family of requests, told by these two; they must outlive the counters. Before anything is counted. False
 * where there are ATOLL_FAMILIES_MAX. */
bool atoll_counters_name(atoll_counters *counters, const char *method, const char *path);

/* `family` counts from 0 as they were named; HTTP statuses outside 100..599 are taken as 500. */
void atoll_counters_add(atoll_counters *counters, uint32_t family, int http, int64_t duration_ns);

/* So many single predictions were answered in one pass (together.h). */
void atoll_counters_together(atoll_counters *counters, uint32_t requests);

/* One answered request with that status; 0 where there was none. */
uint64_t atoll_counters_get(const atoll_counters *counters, uint32_t family, int http);

/* The series in Prometheus text format 0.0.4. */
void atoll_counters_print(const atoll_counters *counters, atoll_writer *out);

#endif
