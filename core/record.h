/*
 * A record: what is ingested or asked. Its strings and its vector are views into memory of somebody else (a request's
 * body, a journal entry); a record owns nothing.
 */
#ifndef ATOLL_CORE_RECORD_H
#define ATOLL_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* A view of UTF-8 bytes, not terminated; absent where data is NULL. */
typedef struct atoll_slice {
    const char *data;
    size_t bytes;
} atoll_slice;

typedef struct atoll_record {
    atoll_slice id, text, label, domain;
    const float *vector;  /* vector_dim finite values, or NULL; of a record with tokens, one of them behind the other */
    uint32_t vector_dim;
    uint32_t tokens;      /* vectors there are then, 0 for a record without */
    bool has_time;
    int64_t time_ms;      /* Unix milliseconds, where has_time */
} atoll_record;

/* Vectors of a record: its tokens, or one, or none; and their numbers in all. */
static inline uint32_t atoll_record_vectors(const atoll_record *record)
{
    return record->tokens ? record->tokens : record->vector != NULL;
}

static inline uint32_t atoll_record_numbers(const atoll_record *record)
{
    return atoll_record_vectors(record) * record->vector_dim;
}

/*
 * Checks what holds for every record by itself. ATOLL_EMPTY_RECORD without text and vector, ATOLL_EMPTY_TEXT where the
 * text has neither word nor mark, ATOLL_TEXT_TOO_LONG, ATOLL_LABEL_TOO_LONG, ATOLL_WRONG_DIMENSION where the vector is
 * over its limit, ATOLL_TOO_MANY_TOKENS, ATOLL_NOT_FINITE, ATOLL_INVALID_UTF8; ATOLL_INVALID_RECORD for an empty label,
 * id, domain or vector, for one of these names with a zero byte, and for an id or domain over its limit.
 */
atoll_status atoll_record_check(const atoll_record *record, atoll_error *error);

/* ATOLL_UNSUPPORTED: what a record with tokens gets of a model that routes records. */
atoll_status atoll_record_refuse_tokens(atoll_error *error);

/* A checked record as bytes, little endian, self-delimiting. Size returns what encode writes; encode, the bytes
 * written. */
size_t atoll_record_size(const atoll_record *record);
size_t atoll_record_encode(const atoll_record *record, uint8_t *out);

/*
 * Reads one record from `in`. The slices view `in`; the vector is copied to `vector_space` (at least
 * ATOLL_NUMBERS_MAX floats) because `in` need not be aligned. `*used` is the number of bytes read.
 * ATOLL_DAMAGED where the bytes are not those of a record.
 */
atoll_status atoll_record_decode(const uint8_t *in, size_t bytes, float *vector_space, atoll_record *record,
                                 size_t *used, atoll_error *error);

#endif
