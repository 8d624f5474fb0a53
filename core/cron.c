#include "core/cron.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field {
    const char *name;
    int least, most;
    const char *const *names; /* of least, least + 1, … */
} fields[5] = {
    {"minute", 0, 59, NULL},        {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},  {"month", 1, 12, month_names},
    {"day of week", 0, 7, weekday_names}, /* 7 is Sunday too */
};

/* Reads a number or a name at *at; -1 where there is none in the field's range. */
static int read_value(const struct field *field, const char **at)
{
    for (int i = 0; field->names && field->names[i]; i++) {
        if (strncasecmp(*at, field->names[i], 3) == 0) {
            *at += 3;
            return field->least + i;
        }
    }
    int value = 0, digits = 0;
    for (; isdigit((unsigned char)**at) && digits < 4; digits++)
        value = 10 * value + *(*at)++ - '0';
    return digits > 0 && value >= field->least && value <= field->most ? value : -1;
}

/* Reads one item of a list ("*", "3", "1-5", "0-30/10") into `bits`. */
static bool read_item(const struct field *field, const char **at, uint64_t *bits)
{
    int from = field->least, to = field->most, step = 1;
    bool range = true;
    if (**at == '*') {
        (*at)++;
    } else {
        from = to = read_value(field, at);
        range = **at == '-';
        if (range) {
            (*at)++;
            to = read_value(field, at);
        }
    }
    if (range && **at == '/') {
        (*at)++;
        step = 0;
        for (int digits = 0; isdigit((unsigned char)**at) && digits < 4; digits++)
            step = 10 * step + *(*at)++ - '0';
    }
    if (from < 0 || to < from || step < 1)
        return false;
    for (int i = from; i <= to; i += step)
        *bits |= UINT64_C(1) << i;
    return true;
}

static bool read_field(const struct field *field, const char **at, uint64_t *bits)
{
    *bits = 0;
    for (;;) {
        if (!read_item(field, at, bits))
            return false;
        if (**at != ',')
            break;
        (*at)++;
    }
    return **at == 0 || **at == ' ' || **at == '\t';
}

static const char *expand(const char *expression)
{
    static const struct {
        const char *name, *meaning;
    } shorthand[] = {
        {"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"}, {"@weekly", "0 0 * * 0"}, {"@monthly", "0 0 1 * *"},
    };
    for (size_t i = 0; i < sizeof shorthand / sizeof *shorthand; i++)
        if (strcmp(expression, shorthand[i].name) == 0)
            return shorthand[i].meaning;
    return expression;
}

/* Every day of the calendar falls on every weekday in time, so only a day that no chosen month has never comes. */
static bool ever_matches(const atoll_cron *cron)
{
    static const int longest[13] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (cron->any_day || !cron->any_weekday)
        return true;
    for (int month = 1; month <= 12; month++)
        if (cron->months >> month & 1 && cron->days & ((UINT32_C(2) << longest[month]) - 2))
            return true;
    return false;
}

atoll_status atoll_cron_parse(const char *expression, atoll_cron *cron, atoll_error *error)
{
    const char *at = expand(expression);
    uint64_t bits[5];
    bool star[5];
    for (int i = 0; i < 5; i++) {
        at += strspn(at, " \t");
        if (*at == 0)
            return atoll_fail(error, ATOLL_INVALID_CRON, "%s: the field is missing", fields[i].name);
        star[i] = *at == '*';
        if (!read_field(&fields[i], &at, &bits[i]))
            return atoll_fail(error, ATOLL_INVALID_CRON, "%s: not a list of values or ranges in %d..%d",
                              fields[i].name, fields[i].least, fields[i].most);
    }
    if (at[strspn(at, " \t")] != 0)
        return atoll_fail(error, ATOLL_INVALID_CRON, "day of week: something follows it");
    *cron = (atoll_cron){
        .minutes = bits[0],
        .hours = (uint32_t)bits[1],
        .days = (uint32_t)bits[2],
        .months = (uint32_t)bits[3],
        .weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 127),
        .any_day = star[2],
        .any_weekday = star[4],
    };
    if (!ever_matches(cron))
        return atoll_fail(error, ATOLL_INVALID_CRON, "day of month: no chosen month has such a day");
    return ATOLL_OK;
}

/* Month and day of a day since 1970-01-01 [Hinnant, chrono-compatible low-level date algorithms]. */
static void civil_from_days(int64_t days, int *month, int *day)
{
    days += 719468; /* since 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t shifted = (5 * of_year + 2) / 153; /* months since March */
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
}

static bool day_matches(const atoll_cron *cron, int64_t days)
{
    int month, day;
    civil_from_days(days, &month, &day);
    int weekday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    bool by_day = cron->days >> day & 1, by_weekday = cron->weekdays >> weekday & 1;
    bool matches = cron->any_day || cron->any_weekday ? by_day && by_weekday : by_day || by_weekday;
    return matches && cron->months >> month & 1;
}

int64_t atoll_cron_next(const atoll_cron *cron, int64_t after_ms)
{
    enum { MINUTE_MS = 60000, DAY_MINUTES = 1440 };
    if (after_ms > INT64_MAX / 2)
        return INT64_MAX;
    int64_t minute = after_ms / MINUTE_MS - (after_ms % MINUTE_MS < 0) + 1;
    int64_t days = minute / DAY_MINUTES - (minute % DAY_MINUTES < 0);
    int first = (int)(minute - days * DAY_MINUTES);
    for (;; days++, first = 0) {
        if (!day_matches(cron, days))
            continue;
        for (int m = first; m < DAY_MINUTES; m++)
            if (cron->hours >> (m / 60) & 1 && cron->minutes >> (m % 60) & 1)
                return (days * DAY_MINUTES + m) * MINUTE_MS;
    }
}
