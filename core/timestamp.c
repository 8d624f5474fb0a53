#include "core/timestamp.h"

#include <stdio.h>

static const int64_t day_ms = 86400000;
static const int64_t least_ms = INT64_C(-62167219200000); /* 0000-01-01T00:00:00.000Z */
static const int64_t most_ms = INT64_C(253402300799999);  /* 9999-12-31T23:59:59.999Z */

/* Days from 1970-01-01, and back [Hinnant, chrono-compatible low-level date algorithms]. Years are at least 0. */
static int64_t days_from_civil(int year, int month, int day)
{
    year += month <= 2 ? 399 : 400; /* one era more, so that divisions never see a negative year */
    int era = year / 400, of_era = year % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)(era - 1) * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468 + 146097;
    int era = (int)(days / 146097), of_era = (int)(days % 146097);
    int year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + (era - 1) * 400 + (*month <= 2);
}

void atoll_timestamp_print(int64_t time_ms, char out[ATOLL_TIMESTAMP_BYTES])
{
    if (time_ms < least_ms)
        time_ms = least_ms;
    if (time_ms > most_ms)
        time_ms = most_ms;
    int64_t days = time_ms / day_ms - (time_ms % day_ms < 0);
    int rest = (int)(time_ms - days * day_ms), year, month, day;
    civil_from_days(days, &year, &month, &day);
    snprintf(out, ATOLL_TIMESTAMP_BYTES, "%04u-%02u-%02uT%02d:%02d:%02d.%03dZ", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, rest / 3600000, rest / 60000 % 60, rest / 1000 % 60,
             rest % 1000);
}

/* What is left of the text. Once something is not as expected, `bad` stays. */
typedef struct scan {
    const char *at, *end;
    bool bad;
} scan;

/* A letter is wanted in lower case and taken in either. */
static bool take(scan *in, char wanted)
{
    bool letter = wanted >= 'a' && wanted <= 'z';
    if (in->at == in->end || (*in->at != wanted && !(letter && *in->at == wanted - 32)))
        return false;
    in->at++;
    return true;
}

static void expect(scan *in, char wanted)
{
    in->bad |= !take(in, wanted);
}

static int number(scan *in, int digits, int least, int most)
{
    int value = 0;
    for (; digits > 0 && in->at < in->end && *in->at >= '0' && *in->at <= '9'; digits--)
        value = 10 * value + *in->at++ - '0';
    in->bad |= digits > 0 || value < least || value > most;
    return value;
}

static int month_days(int year, int month)
{
    static const int days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month];
}

static int milliseconds(scan *in)
{
    int value = 0, digits = 0;
    if (!take(in, '.'))
        return 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++, digits++)
        if (digits < 3)
            value = 10 * value + *in->at - '0';
    in->bad |= digits == 0;
    for (; digits < 3; digits++)
        value *= 10;
    return value;
}

bool atoll_timestamp_parse(const char *text, size_t bytes, int64_t *time_ms)
{
    scan in = {text, text + bytes, false};
    int year = number(&in, 4, 0, 9999);
    expect(&in, '-');
    int month = number(&in, 2, 1, 12);
    if (in.bad)
        return false;
    expect(&in, '-');
    int day = number(&in, 2, 1, month_days(year, month));
    if (!take(&in, 't'))
        expect(&in, ' ');
    int hour = number(&in, 2, 0, 23);
    expect(&in, ':');
    int minute = number(&in, 2, 0, 59);
    expect(&in, ':');
    int second = number(&in, 2, 0, 60); /* 60 in a leap second, which Unix time gives to the next minute */
    int ms = milliseconds(&in), offset = 0;
    if (!take(&in, 'z')) {
        int sign = take(&in, '-') ? -1 : 1;
        if (sign > 0)
            expect(&in, '+');
        offset = number(&in, 2, 0, 23) * 60;
        expect(&in, ':');
        offset = sign * (offset + number(&in, 2, 0, 59));
    }
    if (in.bad || in.at != in.end)
        return false;
    *time_ms = days_from_civil(year, month, day) * day_ms +
               ((int64_t)(hour * 60 + minute - offset) * 60 + second) * 1000 + ms;
    return true;
}
