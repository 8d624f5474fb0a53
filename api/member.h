/* Members of JSON objects, name and value in one call. */
#ifndef ATOLL_API_MEMBER_H
#define ATOLL_API_MEMBER_H

#include "core/timestamp.h"
#include "core/writer.h"

static inline void atoll_member_uint(atoll_writer *out, const char *name, uint64_t value)
{
    atoll_json_name(out, name);
    atoll_json_put_uint(out, value);
}

static inline void atoll_member_double(atoll_writer *out, const char *name, double value)
{
    atoll_json_name(out, name);
    atoll_json_put_double(out, value);
}

static inline void atoll_member_bool(atoll_writer *out, const char *name, bool value)
{
    atoll_json_name(out, name);
    atoll_json_put_bool(out, value);
}

/* null where `value` is NULL */
static inline void atoll_member_text(atoll_writer *out, const char *name, const char *value)
{
    atoll_json_name(out, name);
    if (value)
        atoll_json_put_text(out, value);
    else
        atoll_json_put_null(out);
}

/* RFC 3339, UTC; null where `unix_ms` is 0 */
static inline void atoll_member_time(atoll_writer *out, const char *name, int64_t unix_ms)
{
    char text[ATOLL_TIMESTAMP_BYTES];
    atoll_timestamp_print(unix_ms, text);
    atoll_member_text(out, name, unix_ms ? text : NULL);
}

static inline void atoll_member_object(atoll_writer *out, const char *name)
{
    atoll_json_name(out, name);
    atoll_json_object_begin(out);
}

static inline void atoll_member_array(atoll_writer *out, const char *name)
{
    atoll_json_name(out, name);
    atoll_json_array_begin(out);
}

#endif
