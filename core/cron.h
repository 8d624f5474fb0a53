/*
 * Cron expressions of five fields (minute, hour, day of month, month, day of week; lists, ranges, steps, names), UTC.
 * As in Vixie's cron, where both kinds of day are restricted either may match, and a field of days that begins with a
 * star does not count as a restriction. Also @hourly, @daily, @weekly, @monthly.
 */
#ifndef ATOLL_CORE_CRON_H
#define ATOLL_CORE_CRON_H

#include <stdint.h>

#include "core/status.h"

typedef struct atoll_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays;
    uint8_t any_day, any_weekday; /* the field began with a star */
} atoll_cron;

/* ATOLL_INVALID_CRON, naming the field; an expression that never matches (30 February) is refused too. */
atoll_status atoll_cron_parse(const char *expression, atoll_cron *cron, atoll_error *error);

/* The first matching minute after `after_ms`, Unix milliseconds. */
int64_t atoll_cron_next(const atoll_cron *cron, int64_t after_ms);

#endif
