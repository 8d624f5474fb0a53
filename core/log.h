/*
 * Structured log: one JSON object a line on standard error, for each event that an operator cares about.
 * {"time":"2026-01-02T03:04:05.678Z","level":"info","event":"expert_born","model":"m","expert":3}
 */
#ifndef ATOLL_CORE_LOG_H
#define ATOLL_CORE_LOG_H

#include <stdint.h>

typedef enum atoll_log_level { ATOLL_LOG_DEBUG, ATOLL_LOG_INFO, ATOLL_LOG_WARN, ATOLL_LOG_ERROR } atoll_log_level;

/* Lines below `least` are not written; the least is info to begin with. Any thread. */
void atoll_log_set_level(atoll_log_level least);

/*
 * `event` is a constant name. Then pairs of a name and a value, made by the macros below, ended by NULL:
 *     atoll_log(ATOLL_LOG_INFO, "expert_born", "model", ATOLL_TEXT(name), "expert", ATOLL_UINT(id), NULL);
 * A line is written by one write(2).
 */
typedef struct atoll_log_value {
    enum { ATOLL_LOG_TEXT, ATOLL_LOG_UINT, ATOLL_LOG_REAL } kind;
    const char *text;
    uint64_t uint;
    double real;
} atoll_log_value;

/* What this thread writes from now on carries `"model":name`, NULL for none. The name must outlive that. */
void atoll_log_about(const char *model);

#define ATOLL_TEXT(x) (&(atoll_log_value){.kind = ATOLL_LOG_TEXT, .text = (x)})
#define ATOLL_UINT(x) (&(atoll_log_value){.kind = ATOLL_LOG_UINT, .uint = (x)})
#define ATOLL_REAL(x) (&(atoll_log_value){.kind = ATOLL_LOG_REAL, .real = (x)})

void atoll_log(atoll_log_level level, const char *event, ...) __attribute__((sentinel));

#endif
