#include "api/timestamp.h"

#include <time.h>

#include "api/member.h"

void atoll_member_time(atoll_writer *out, const char *name, int64_t unix_ms)
{
    char text[40];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    bool known = unix_ms && gmtime_r(&seconds, &parts) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    atoll_member_text(out, name, known ? text : NULL);
}
