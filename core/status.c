#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *code;
    const char *text;
} status_table[ATOLL_STATUS_COUNT] = {
#define X(name, code, text) [ATOLL_##name] = {code, text},
    ATOLL_STATUS_MAP(X)
#undef X
};

const char *atoll_status_code(atoll_status status)
{
    return (unsigned)status < ATOLL_STATUS_COUNT ? status_table[status].code : "unknown";
}

const char *atoll_status_text(atoll_status status)
{
    return (unsigned)status < ATOLL_STATUS_COUNT ? status_table[status].text : "unknown status";
}

atoll_status atoll_fail(atoll_error *error, atoll_status status, const char *format, ...)
{
    if (error) {
        va_list args;
        error->status = status;
        va_start(args, format);
        vsnprintf(error->detail, sizeof error->detail, format, args);
        va_end(args);
    }
    return status;
}
