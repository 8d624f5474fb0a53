#include "api/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"

typedef enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_BYTES } option_kind;

typedef struct option_row {
    const char *flag, *variable;
    option_kind kind;
    size_t at; /* in atoll_options */
    const char *text;
    uint64_t number, least, most;
    const char *help;
} option_row;

#define TEXT(flag, variable, field, text, help) \
    {flag, variable, OPTION_TEXT, offsetof(atoll_options, field), text, 0, 0, 0, help}
#define NUMBER(flag, variable, field, number, least, most, help) \
    {flag, variable, OPTION_NUMBER, offsetof(atoll_options, field), NULL, number, least, most, help}
#define BYTES(flag, variable, field, number, least, most, help) \
    {flag, variable, OPTION_BYTES, offsetof(atoll_options, field), NULL, number, least, most, help}

static const option_row option_rows[] = {
    TEXT("data-dir", "ATOLL_DATA_DIR", data_dir, "./atoll-data", "folder of the models; made if it is not there"),
    TEXT("listen", "ATOLL_LISTEN", listen, "127.0.0.1:8080", "address; port 0 takes a free one"),
    TEXT("log-level", "ATOLL_LOG_LEVEL", log_level, "info", "debug, info, warn or error"),
    NUMBER("workers", "ATOLL_WORKERS", workers, 0, 0, 256, "threads that answer; 0: one a core, at least two"),
    BYTES("body-max-bytes", "ATOLL_BODY_MAX_BYTES", body_max_bytes, ATOLL_BODY_MAX_BYTES, 1024, 1ull << 32,
          "largest body of a request"),
    BYTES("map-bytes", "ATOLL_MAP_BYTES", map_bytes, 64ull << 30, 1 << 20, 1ull << 42,
          "most that each of a model's two stores may hold"),
    NUMBER("queue-max", "ATOLL_QUEUE_MAX", queue_max, 1024, 1, 1 << 20, "requests that may wait for a worker"),
    NUMBER("connections-max", "ATOLL_CONNECTIONS_MAX", connections_max, 1000, 1, 1 << 20, "open connections"),
    NUMBER("body-deadline-ms", "ATOLL_BODY_DEADLINE_MS", body_deadline_ms, 30000, 100, 86400000,
           "time for a whole request to arrive"),
    NUMBER("idle-timeout-ms", "ATOLL_IDLE_TIMEOUT_MS", idle_timeout_ms, 60000, 1000, 86400000,
           "time after which a silent connection is closed"),
    NUMBER("drain-ms", "ATOLL_DRAIN_MS", drain_ms, 5000, 0, 600000, "time for requests under way at the end"),
};

enum { OPTION_ROWS = sizeof option_rows / sizeof *option_rows };

static const char **text_at(atoll_options *options, const option_row *row)
{
    return (const char **)(void *)((char *)options + row->at);
}

static uint64_t *number_at(atoll_options *options, const option_row *row)
{
    return (uint64_t *)(void *)((char *)options + row->at);
}

void atoll_options_defaults(atoll_options *options)
{
    memset(options, 0, sizeof *options);
    for (int i = 0; i < OPTION_ROWS; i++) {
        const option_row *row = &option_rows[i];
        if (row->kind == OPTION_TEXT)
            *text_at(options, row) = row->text;
        else
            *number_at(options, row) = row->number;
    }
}

/* Digits, and for bytes one of K, M, G, T behind them (powers of 1024). */
static bool read_number(const char *text, bool bytes, uint64_t *out)
{
    static const char units[] = "KMGT";
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return false;
    const char *unit = *p && bytes ? strchr(units, *p) : NULL;
    if (unit) {
        int shift = 10 * (int)(unit - units + 1);
        if (value > UINT64_MAX >> shift)
            return false;
        value <<= shift;
        p++;
    }
    *out = value;
    return !*p;
}

static atoll_status set(atoll_options *options, const option_row *row, const char *value, const char *named,
                        atoll_error *error)
{
    if (row->kind == OPTION_TEXT) {
        atoll_log_level level;
        if (!*value)
            return atoll_fail(error, ATOLL_INVALID_VALUE, "%s is empty", named);
        if (row->at == offsetof(atoll_options, log_level) && atoll_options_log_level(value, &level, error))
            return ATOLL_INVALID_VALUE;
        *text_at(options, row) = value;
        return ATOLL_OK;
    }
    uint64_t number;
    if (!read_number(value, row->kind == OPTION_BYTES, &number))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: \"%.64s\" is not a number", named, value);
    if (number < row->least || number > row->most)
        return atoll_fail(error, ATOLL_OUT_OF_RANGE, "%s: %llu is not within %llu to %llu", named,
                          (unsigned long long)number, (unsigned long long)row->least, (unsigned long long)row->most);
    *number_at(options, row) = number;
    return ATOLL_OK;
}

static const option_row *find(const char *flag, size_t bytes)
{
    for (int i = 0; i < OPTION_ROWS; i++)
        if (strlen(option_rows[i].flag) == bytes && !memcmp(option_rows[i].flag, flag, bytes))
            return &option_rows[i];
    return NULL;
}

atoll_status atoll_options_read(atoll_options *options, int argc, char **argv, atoll_error *error)
{
    atoll_options_defaults(options);
    for (int i = 0; i < OPTION_ROWS; i++) {
        const char *value = getenv(option_rows[i].variable);
        atoll_status status = value ? set(options, &option_rows[i], value, option_rows[i].variable, error) : ATOLL_OK;
        if (status)
            return status;
    }
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i];
        if (strncmp(flag, "--", 2))
            return atoll_fail(error, ATOLL_UNKNOWN_KEY, "unexpected argument \"%.64s\"", flag);
        const char *equals = strchr(flag, '=');
        const option_row *row = find(flag + 2, equals ? (size_t)(equals - flag - 2) : strlen(flag + 2));
        if (!row)
            return atoll_fail(error, ATOLL_UNKNOWN_KEY, "unknown flag \"%.64s\"", flag);
        if (!equals && i + 1 == argc)
            return atoll_fail(error, ATOLL_INVALID_VALUE, "%s wants a value", flag);
        const char *value = equals ? equals + 1 : argv[++i];
        char named[32];
        snprintf(named, sizeof named, "--%s", row->flag);
        atoll_status status = set(options, row, value, named, error);
        if (status)
            return status;
    }
    return ATOLL_OK;
}

void atoll_options_help(void (*line)(void *arg, const char *text), void *arg)
{
    char text[256], standard[32];
    for (int i = 0; i < OPTION_ROWS; i++) {
        const option_row *row = &option_rows[i];
        if (row->kind == OPTION_TEXT)
            snprintf(standard, sizeof standard, "%s", row->text);
        else
            snprintf(standard, sizeof standard, "%llu", (unsigned long long)row->number);
        snprintf(text, sizeof text, "  --%-18s %-24s %s (%s)", row->flag, row->variable, row->help, standard);
        line(arg, text);
    }
}

atoll_status atoll_options_log_level(const char *name, atoll_log_level *level, atoll_error *error)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++) {
        if (!strcmp(name, names[i])) {
            *level = (atoll_log_level)i;
            return ATOLL_OK;
        }
    }
    return atoll_fail(error, ATOLL_INVALID_VALUE, "log level \"%.32s\" is none of debug, info, warn, error", name);
}
