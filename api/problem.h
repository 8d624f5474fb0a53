/*
 * What goes wrong, as HTTP says it: the one place that turns a status into an HTTP number, and writes the
 * application/problem+json body [RFC 9457] with the members `error` (one sentence) and `code` (stable) beside the
 * standard ones, and `line` where the fault lies in one record of a stream.
 */
#ifndef ATOLL_API_PROBLEM_H
#define ATOLL_API_PROBLEM_H

#include <stdint.h>

#include "core/status.h"
#include "core/writer.h"

#define ATOLL_PROBLEM_TYPE "application/problem+json"

enum { ATOLL_RETRY_AFTER_S = 1 }; /* told with 429 and 503 */

/* 400 to 599 for a failure, 200 for ATOLL_OK. */
int atoll_problem_http(atoll_status status);

/* The problem's members, without the braces, so that a caller may add its own. `line` 0 leaves it out. Of `error`,
 * which may be NULL, the detail is told; it need not be valid UTF-8. */
void atoll_problem_members(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line);

/* The whole object. */
void atoll_problem_write(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line);

/* {"line","code","error"}: one bad record of a stream. */
void atoll_problem_line(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line);

#endif
