/* Times as text: RFC 3339, on the proleptic Gregorian calendar, to and from Unix milliseconds. */
#ifndef ATOLL_CORE_TIMESTAMP_H
#define ATOLL_CORE_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ATOLL_TIMESTAMP_BYTES = 32 }; /* room for a printed time and its end */

/* "2026-01-02T03:04:05.678Z"; years 0 to 9999, a time outside them is printed as the nearest one inside. */
void atoll_timestamp_print(int64_t time_ms, char out[ATOLL_TIMESTAMP_BYTES]);

/* Any RFC 3339 time; digits behind the millisecond are dropped. False where it is none. */
bool atoll_timestamp_parse(const char *text, size_t bytes, int64_t *time_ms);

#endif
