#include "core/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/timestamp.h"
#include "core/writer.h"

static _Atomic int least_level = ATOLL_LOG_INFO;

static _Thread_local const char *about;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void atoll_log_set_level(atoll_log_level least)
{
    atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

void atoll_log_about(const char *model)
{
    about = model;
}

static void put_value(atoll_writer *line, const atoll_log_value *value)
{
    if (value->kind == ATOLL_LOG_UINT)
        atoll_json_put_uint(line, value->uint);
    else if (value->kind == ATOLL_LOG_REAL)
        atoll_json_put_double(line, value->real);
    else if (value->text)
        atoll_json_put_text(line, value->text);
    else
        atoll_json_put_null(line);
}

void atoll_log(atoll_log_level level, const char *event, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return;
    char time[ATOLL_TIMESTAMP_BYTES];
    atoll_writer line;
    va_list args;
    atoll_writer_init(&line);
    atoll_timestamp_print(atoll_clock_wall_ms(), time);
    atoll_json_object_begin(&line);
    atoll_json_name(&line, "time");
    atoll_json_put_text(&line, time);
    atoll_json_name(&line, "level");
    atoll_json_put_text(&line, level_names[level]);
    atoll_json_name(&line, "event");
    atoll_json_put_text(&line, event);
    if (about) {
        atoll_json_name(&line, "model");
        atoll_json_put_text(&line, about);
    }
    va_start(args, event);
    for (const char *name; (name = va_arg(args, const char *));) {
        atoll_json_name(&line, name);
        put_value(&line, va_arg(args, const atoll_log_value *));
    }
    va_end(args);
    atoll_json_object_end(&line);
    atoll_json_newline(&line);
    /* A line that cannot be written has nowhere to be reported. */
    if (!line.failed && write(STDERR_FILENO, line.data, line.bytes) < 0)
        line.failed = true;
    atoll_writer_free(&line);
}
