/*
 * The settings of `atoll serve`. One table (options.c) holds each one's flag, environment twin, kind, default, minimum,
 * maximum and help text; reading, checking and `atoll help serve` follow from it. A flag wins over the environment.
 */
#ifndef ATOLL_API_OPTIONS_H
#define ATOLL_API_OPTIONS_H

#include <stdint.h>

#include "core/log.h"
#include "core/status.h"

typedef struct atoll_options {
    const char *data_dir;      /* --data-dir, ATOLL_DATA_DIR */
    const char *listen;        /* --listen, ATOLL_LISTEN: HOST:PORT, [V6]:PORT; port 0 takes a free one */
    const char *log_level;     /* --log-level, ATOLL_LOG_LEVEL: debug, info, warn, error */
    uint64_t workers;          /* --workers, ATOLL_WORKERS: 0 for one a core, at least two */
    uint64_t body_max_bytes;   /* --body-max-bytes, ATOLL_BODY_MAX_BYTES */
    uint64_t map_bytes;        /* --map-bytes, ATOLL_MAP_BYTES: of each of a model's two stores */
    uint64_t queue_max;        /* --queue-max, ATOLL_QUEUE_MAX: requests that may wait for a worker */
    uint64_t connections_max;  /* --connections-max, ATOLL_CONNECTIONS_MAX */
    uint64_t body_deadline_ms; /* --body-deadline-ms, ATOLL_BODY_DEADLINE_MS: for a whole request to arrive */
    uint64_t idle_timeout_ms;  /* --idle-timeout-ms, ATOLL_IDLE_TIMEOUT_MS: of a connection kept alive */
    uint64_t drain_ms;         /* --drain-ms, ATOLL_DRAIN_MS: for requests under way at the end */
} atoll_options;

/* Every setting at its default. */
void atoll_options_defaults(atoll_options *options);

/*
 * Defaults, then the environment, then the flags argv[0..argc): "--flag VALUE" or "--flag=VALUE". The strings are views
 * into argv or the environment. ATOLL_UNKNOWN_KEY, ATOLL_INVALID_VALUE, ATOLL_OUT_OF_RANGE; the error names the flag.
 */
atoll_status atoll_options_read(atoll_options *options, int argc, char **argv, atoll_error *error);

/* Calls `line` for each setting with one line of help. */
void atoll_options_help(void (*line)(void *arg, const char *text), void *arg);

/* The level by its name; ATOLL_INVALID_VALUE. */
atoll_status atoll_options_log_level(const char *name, atoll_log_level *level, atoll_error *error);

#endif
