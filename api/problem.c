#include "api/problem.h"

#include <stdio.h>
#include <string.h>

int atoll_problem_http(atoll_status status)
{
    switch (status) {
    case ATOLL_OK:
        return 200;
    case ATOLL_UNKNOWN_MODEL:
    case ATOLL_UNKNOWN_EXPERT:
    case ATOLL_UNKNOWN_PATH:
    case ATOLL_NOT_FOUND:
        return 404;
    case ATOLL_METHOD_NOT_ALLOWED:
        return 405;
    case ATOLL_WRONG_STATE:
    case ATOLL_FIXED_SETTING:
        return 409;
    case ATOLL_BODY_TOO_LARGE:
    case ATOLL_TOO_MANY_RECORDS:
        return 413;
    case ATOLL_UNSUPPORTED_TYPE:
        return 415;
    case ATOLL_BUSY:
        return 429;
    case ATOLL_EMBEDDING_DOWN:
    case ATOLL_SHUTTING_DOWN:
    case ATOLL_NO_MEMORY:
        return 503;
    case ATOLL_TIMEOUT:
        return 504;
    case ATOLL_NO_SPACE:
        return 507;
    case ATOLL_NEWER_FORMAT:
    case ATOLL_OLDER_FORMAT:
    case ATOLL_DAMAGED:
    case ATOLL_IO:
    case ATOLL_INTERNAL:
        return 500;
    default:
        return 400;
    }
}

/* The length of the UTF-8 sequence at p, 0 where it is none; p is terminated. */
static int sequence(const unsigned char *p)
{
    int length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
    bool beyond = (*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

/* A detail quotes what came from outside, and is cut at a byte: what is no UTF-8 in it is told as "?". */
static void put_text(atoll_writer *out, atoll_status status, const atoll_error *error)
{
    char text[ATOLL_ERROR_DETAIL_BYTES];
    if (!error || error->status != status || !error->detail[0]) {
        atoll_json_put_text(out, atoll_status_text(status));
        return;
    }
    memcpy(text, error->detail, sizeof text);
    for (char *p = text; *p;) {
        int length = sequence((const unsigned char *)p);
        if (!length)
            *p = '?';
        p += length ? length : 1;
    }
    atoll_json_put_text(out, text);
}

void atoll_problem_members(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line)
{
    char type[64];
    snprintf(type, sizeof type, "urn:atoll:problem:%s", atoll_status_code(status));
    atoll_json_name(out, "type");
    atoll_json_put_text(out, type);
    atoll_json_name(out, "title");
    atoll_json_put_text(out, atoll_status_text(status));
    atoll_json_name(out, "status");
    atoll_json_put_int(out, atoll_problem_http(status));
    atoll_json_name(out, "detail");
    put_text(out, status, error);
    atoll_json_name(out, "error");
    put_text(out, status, error);
    atoll_json_name(out, "code");
    atoll_json_put_text(out, atoll_status_code(status));
    if (line) {
        atoll_json_name(out, "line");
        atoll_json_put_uint(out, line);
    }
}

void atoll_problem_write(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line)
{
    atoll_json_object_begin(out);
    atoll_problem_members(out, status, error, line);
    atoll_json_object_end(out);
}

void atoll_problem_line(atoll_writer *out, atoll_status status, const atoll_error *error, uint64_t line)
{
    atoll_json_object_begin(out);
    atoll_json_name(out, "line");
    atoll_json_put_uint(out, line);
    atoll_json_name(out, "code");
    atoll_json_put_text(out, atoll_status_code(status));
    atoll_json_name(out, "error");
    put_text(out, status, error);
    atoll_json_object_end(out);
}
