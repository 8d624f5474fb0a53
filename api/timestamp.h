/* Instants as the API tells them: ISO 8601, UTC, whole seconds. */
#ifndef ATOLL_API_TIMESTAMP_H
#define ATOLL_API_TIMESTAMP_H

#include <stdint.h>

#include "core/writer.h"

/* null where `unix_ms` is 0 or cannot be told */
void atoll_member_time(atoll_writer *out, const char *name, int64_t unix_ms);

#endif
