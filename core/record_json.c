#include "core/record_json.h"

#include <string.h>

#include "core/limits.h"
#include "core/text.h"
#include "core/timestamp.h"

enum { NAME_SHOWN_BYTES = 80 };

static const int64_t time_most_ms = INT64_C(8640000000000000); /* 100 million days, the range of JavaScript's dates */

/* A record being read. */
typedef struct reading {
    atoll_record *record;
    float *vector_space;
    uint32_t seen; /* a bit for each of `members` */
    atoll_status status;
    atoll_error *error;
} reading;

enum { ID, TEXT, LABEL, DOMAIN_HINT, VECTOR, TOKENS, TIME, MEMBERS };

static const char *const members[MEMBERS] = {"id", "text", "label", "domain", "vector", "tokens", "time"};

static atoll_status read_string(const char *name, atoll_json value, atoll_slice *out, atoll_error *error)
{
    if (!atoll_json_string(value, &out->data, &out->bytes))
        return atoll_fail(error, ATOLL_INVALID_RECORD, "%s is not a string", name);
    return ATOLL_OK;
}

static atoll_status read_vector(reading *r, atoll_json value)
{
    size_t count;
    atoll_error why;
    if (atoll_json_kind_of(value) != ATOLL_JSON_ARRAY)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "vector is not an array");
    if (r->record->tokens)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "a vector and tokens");
    atoll_status status = atoll_json_floats(value, r->vector_space, ATOLL_VECTOR_MAX_DIM, &count, &why);
    if (status != ATOLL_OK)
        return atoll_fail(r->error, status == ATOLL_INVALID_VALUE ? ATOLL_INVALID_RECORD : status, "vector: %s",
                          why.detail);
    r->record->vector = r->vector_space;
    r->record->vector_dim = (uint32_t)count;
    return ATOLL_OK;
}

/* Tokens being read, one behind the other. */
typedef struct tokens {
    reading *reading;
    atoll_status status;
} tokens;

static bool visit_token(void *arg, const char *name, atoll_json value)
{
    tokens *t = arg;
    atoll_record *record = t->reading->record;
    atoll_error *error = t->reading->error, why;
    size_t count, used = (size_t)record->tokens * record->vector_dim, left = ATOLL_NUMBERS_MAX - used;
    (void)name;
    if (atoll_json_kind_of(value) != ATOLL_JSON_ARRAY) {
        t->status = atoll_fail(error, ATOLL_INVALID_RECORD, "element %u of tokens is not an array", record->tokens);
        return false;
    }
    t->status = atoll_json_floats(value, t->reading->vector_space + used, left, &count, &why);
    if (t->status)
        t->status = atoll_fail(error, t->status == ATOLL_INVALID_VALUE ? ATOLL_INVALID_RECORD : t->status,
                               "tokens: %s", why.detail);
    else if (record->tokens && count != record->vector_dim)
        t->status = atoll_fail(error, ATOLL_WRONG_DIMENSION, "element %u of tokens has %zu numbers, the first %u",
                               record->tokens, count, record->vector_dim);
    else if (record->tokens == ATOLL_TOKENS_MAX || count > left)
        t->status = atoll_fail(error, ATOLL_TOO_MANY_TOKENS, "at most %d tokens, and %d numbers in all",
                               ATOLL_TOKENS_MAX, ATOLL_NUMBERS_MAX);
    record->vector_dim = (uint32_t)count;
    record->tokens++;
    return !t->status;
}

static atoll_status read_tokens(reading *r, atoll_json value)
{
    tokens t = {r, ATOLL_OK};
    if (atoll_json_kind_of(value) != ATOLL_JSON_ARRAY)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "tokens is not an array");
    if (r->record->vector)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "a vector and tokens");
    r->record->vector = r->vector_space;
    atoll_json_each(value, visit_token, &t);
    if (!t.status && !r->record->tokens)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "tokens is empty");
    return t.status;
}

static atoll_status read_time(reading *r, atoll_json value)
{
    const char *text;
    size_t bytes;
    r->record->has_time = true;
    if (atoll_json_int64(value, &r->record->time_ms)) {
        if (r->record->time_ms < -time_most_ms || r->record->time_ms > time_most_ms)
            return atoll_fail(r->error, ATOLL_INVALID_RECORD, "time is out of range");
        return ATOLL_OK;
    }
    if (!atoll_json_string(value, &text, &bytes) || !atoll_timestamp_parse(text, bytes, &r->record->time_ms))
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "time is neither Unix milliseconds nor an RFC 3339 string");
    return ATOLL_OK;
}

static atoll_status read_member(reading *r, const char *name, atoll_json value)
{
    atoll_slice *const strings[] = {&r->record->id, &r->record->text, &r->record->label, &r->record->domain};
    uint32_t member = 0;
    while (member < MEMBERS && strcmp(name, members[member]) != 0)
        member++;
    if (member == MEMBERS)
        return atoll_fail(r->error, ATOLL_UNKNOWN_KEY, "a record has no member \"%.*s\"",
                          (int)atoll_utf8_clip(name, strlen(name), NAME_SHOWN_BYTES), name);
    if (r->seen & 1u << member)
        return atoll_fail(r->error, ATOLL_INVALID_RECORD, "%s comes twice", name);
    r->seen |= 1u << member;
    if (atoll_json_kind_of(value) == ATOLL_JSON_NULL)
        return ATOLL_OK;
    switch (member) {
    case VECTOR:
        return read_vector(r, value);
    case TOKENS:
        return read_tokens(r, value);
    case TIME:
        return read_time(r, value);
    default:
        return read_string(name, value, strings[member], r->error);
    }
}

static bool visit_member(void *arg, const char *name, atoll_json value)
{
    reading *r = arg;
    r->status = read_member(r, name, value);
    return r->status == ATOLL_OK;
}

atoll_status atoll_record_from_json(atoll_json value, float *vector_space, atoll_record *record, atoll_error *error)
{
    *record = (atoll_record){0};
    if (atoll_json_kind_of(value) != ATOLL_JSON_OBJECT)
        return atoll_fail(error, ATOLL_INVALID_RECORD, "the record is not an object");
    reading r = {.record = record, .vector_space = vector_space, .error = error};
    atoll_json_each(value, visit_member, &r);
    return r.status == ATOLL_OK ? atoll_record_check(record, error) : r.status;
}
