#include "core/record.h"

#include <math.h>
#include <string.h>

#include "core/limits.h"
#include "core/text.h"

/*
 * The bytes of a record: its size in all (u32), which fields there are (u8), then these in order. A string is its
 * length (u32) and its bytes, a vector its dimension (u32) and its floats, tokens their number (u32), dimension (u32)
 * and floats, a time an i64.
 */
enum {
    HAS_ID = 1, HAS_TEXT = 2, HAS_LABEL = 4, HAS_DOMAIN = 8, HAS_VECTOR = 16, HAS_TIME = 32,
    HAS_TOKENS = 64, /* in place of a vector */
    HAS_ALL = 127,
    HEAD_BYTES = 5
};

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the record format is written as memory holds it: little endian"
#endif

/* A string other than the text: absent, or 1 to `most` bytes of UTF-8. */
static atoll_status check_name(atoll_slice name, const char *field, size_t most, atoll_status too_long,
                               atoll_error *error)
{
    if (!name.data)
        return ATOLL_OK;
    if (name.bytes == 0)
        return atoll_fail(error, ATOLL_INVALID_RECORD, "%s is empty", field);
    if (name.bytes > most)
        return atoll_fail(error, too_long, "%s of %zu bytes is over the limit of %zu", field, name.bytes, most);
    if (memchr(name.data, 0, name.bytes))
        return atoll_fail(error, ATOLL_INVALID_RECORD, "%s holds a zero byte", field);
    if (!atoll_utf8_valid(name.data, name.bytes))
        return atoll_fail(error, ATOLL_INVALID_UTF8, "%s is not valid UTF-8", field);
    return ATOLL_OK;
}

static atoll_status check_text(atoll_slice text, atoll_error *error)
{
    if (!text.data)
        return ATOLL_OK;
    if (text.bytes > ATOLL_TEXT_MAX_BYTES)
        return atoll_fail(error, ATOLL_TEXT_TOO_LONG, "text of %zu bytes is over the limit of %d", text.bytes,
                          ATOLL_TEXT_MAX_BYTES);
    if (!atoll_utf8_valid(text.data, text.bytes))
        return atoll_fail(error, ATOLL_INVALID_UTF8, "text is not valid UTF-8");
    if (atoll_text_blank(text))
        return atoll_fail(error, ATOLL_EMPTY_TEXT, "the text holds no letter, no digit and no mark");
    return ATOLL_OK;
}

static atoll_status check_vectors(const atoll_record *record, atoll_error *error)
{
    uint32_t dim = record->vector_dim, vectors = atoll_record_vectors(record);
    const char *field = record->tokens ? "one of the tokens" : "vector";
    if (!record->vector)
        return ATOLL_OK;
    if (dim == 0)
        return atoll_fail(error, ATOLL_INVALID_RECORD, "%s is empty", field);
    if (dim > ATOLL_VECTOR_MAX_DIM)
        return atoll_fail(error, ATOLL_WRONG_DIMENSION, "%s of dimension %u is over the limit of %d", field, dim,
                          ATOLL_VECTOR_MAX_DIM);
    if (vectors > ATOLL_TOKENS_MAX || (uint64_t)vectors * dim > ATOLL_NUMBERS_MAX)
        return atoll_fail(error, ATOLL_TOO_MANY_TOKENS, "%u tokens of %u numbers are over the limit of %d, or of %d "
                          "numbers in all", vectors, dim, ATOLL_TOKENS_MAX, ATOLL_NUMBERS_MAX);
    for (uint32_t i = 0; i < vectors * dim; i++)
        if (!isfinite(record->vector[i]))
            return atoll_fail(error, ATOLL_NOT_FINITE, "element %u of %s is not finite", i % dim, field);
    return ATOLL_OK;
}

atoll_status atoll_record_check(const atoll_record *record, atoll_error *error)
{
    if (!record->text.data && !record->vector)
        return atoll_fail(error, ATOLL_EMPTY_RECORD, "neither text nor vector");
    atoll_status status = check_text(record->text, error);
    if (status == ATOLL_OK)
        status = check_vectors(record, error);
    if (status == ATOLL_OK)
        status = check_name(record->id, "id", ATOLL_ID_MAX_BYTES, ATOLL_INVALID_RECORD, error);
    if (status == ATOLL_OK)
        status = check_name(record->label, "label", ATOLL_LABEL_MAX_BYTES, ATOLL_LABEL_TOO_LONG, error);
    if (status == ATOLL_OK)
        status = check_name(record->domain, "domain", ATOLL_DOMAIN_MAX_BYTES, ATOLL_INVALID_RECORD, error);
    return status;
}

atoll_status atoll_record_refuse_tokens(atoll_error *error)
{
    return atoll_fail(error, ATOLL_UNSUPPORTED, "tokens are for a model whose routing.granularity is \"token\"");
}

static size_t slice_size(atoll_slice slice)
{
    return slice.data ? 4 + slice.bytes : 0;
}

size_t atoll_record_size(const atoll_record *record)
{
    return HEAD_BYTES + slice_size(record->id) + slice_size(record->text) + slice_size(record->label) +
           slice_size(record->domain) + (record->tokens ? 4 : 0) +
           (record->vector ? 4 + atoll_record_numbers(record) * sizeof(float) : 0) + (record->has_time ? 8 : 0);
}

static uint8_t *put(uint8_t *out, const void *data, size_t bytes)
{
    if (bytes > 0)
        memcpy(out, data, bytes);
    return out + bytes;
}

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    return put(out, &value, 4);
}

static uint8_t *put_slice(uint8_t *out, atoll_slice slice)
{
    if (!slice.data)
        return out;
    return put(put_u32(out, (uint32_t)slice.bytes), slice.data, slice.bytes);
}

size_t atoll_record_encode(const atoll_record *record, uint8_t *out)
{
    size_t size = atoll_record_size(record);
    uint8_t fields = 0;
    fields |= record->id.data ? HAS_ID : 0;
    fields |= record->text.data ? HAS_TEXT : 0;
    fields |= record->label.data ? HAS_LABEL : 0;
    fields |= record->domain.data ? HAS_DOMAIN : 0;
    fields |= record->tokens ? HAS_TOKENS : record->vector ? HAS_VECTOR : 0;
    fields |= record->has_time ? HAS_TIME : 0;
    out = put_u32(out, (uint32_t)size);
    *out++ = fields;
    out = put_slice(out, record->id);
    out = put_slice(out, record->text);
    out = put_slice(out, record->label);
    out = put_slice(out, record->domain);
    if (record->tokens)
        out = put_u32(out, record->tokens);
    if (record->vector)
        out = put(put_u32(out, record->vector_dim), record->vector, atoll_record_numbers(record) * sizeof(float));
    if (record->has_time)
        put(out, &record->time_ms, 8);
    return size;
}

/* What is left to read of a record. Once something does not fit, `bad` stays and reads give nothing. */
typedef struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
} reader;

static const uint8_t *get(reader *in, size_t bytes)
{
    if (in->bad || bytes > in->left) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *at = in->at;
    in->at += bytes;
    in->left -= bytes;
    return at;
}

static uint32_t get_u32(reader *in)
{
    uint32_t value = 0;
    const uint8_t *at = get(in, 4);
    if (at)
        memcpy(&value, at, 4);
    return value;
}

static atoll_slice get_slice(reader *in, bool present, size_t most)
{
    if (!present)
        return (atoll_slice){0};
    size_t bytes = get_u32(in);
    in->bad |= bytes > most;
    const uint8_t *at = get(in, bytes);
    return (atoll_slice){(const char *)at, at ? bytes : 0};
}

/* The vector, or the tokens, copied to `space`. */
static void get_vectors(reader *in, uint8_t fields, float *space, atoll_record *record)
{
    if (!(fields & (HAS_VECTOR | HAS_TOKENS)))
        return;
    if (fields & HAS_TOKENS) {
        record->tokens = get_u32(in);
        in->bad |= !record->tokens || record->tokens > ATOLL_TOKENS_MAX || (fields & HAS_VECTOR);
    }
    record->vector_dim = get_u32(in);
    record->vector = space;
    in->bad |= record->vector_dim > ATOLL_VECTOR_MAX_DIM;
    uint32_t numbers = in->bad ? 0 : atoll_record_numbers(record);
    in->bad |= numbers > ATOLL_NUMBERS_MAX;
    const uint8_t *at = get(in, numbers * sizeof *space);
    if (at)
        memcpy(space, at, numbers * sizeof *space);
}

atoll_status atoll_record_decode(const uint8_t *in, size_t bytes, float *vector_space, atoll_record *record,
                                 size_t *used, atoll_error *error)
{
    *record = (atoll_record){0};
    reader all = {in, bytes, false};
    size_t size = get_u32(&all);
    if (all.bad || size < HEAD_BYTES || size > bytes)
        return atoll_fail(error, ATOLL_DAMAGED, "a stored record is cut short");
    reader body = {in + 4, size - 4, false};
    uint8_t fields = *get(&body, 1);
    body.bad = (fields & ~HAS_ALL) != 0;
    record->id = get_slice(&body, fields & HAS_ID, ATOLL_ID_MAX_BYTES);
    record->text = get_slice(&body, fields & HAS_TEXT, ATOLL_TEXT_MAX_BYTES);
    record->label = get_slice(&body, fields & HAS_LABEL, ATOLL_LABEL_MAX_BYTES);
    record->domain = get_slice(&body, fields & HAS_DOMAIN, ATOLL_DOMAIN_MAX_BYTES);
    get_vectors(&body, fields, vector_space, record);
    record->has_time = fields & HAS_TIME;
    const uint8_t *time = get(&body, record->has_time ? 8 : 0);
    if (time && record->has_time)
        memcpy(&record->time_ms, time, 8);
    if (body.bad || body.left > 0) {
        *record = (atoll_record){0};
        return atoll_fail(error, ATOLL_DAMAGED, "a stored record is not of the expected form");
    }
    *used = size;
    return ATOLL_OK;
}
