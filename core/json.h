/*
 * Reading JSON, on simdjson (json.cpp is the only file that includes it). A document is parsed whole and checked to be
 * UTF-8; values are small handles into it, valid until the parser's next parse. An integer beyond 64 bits is refused as
 * invalid, as is a number beyond a double.
 */
#ifndef ATOLL_CORE_JSON_H
#define ATOLL_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "core/status.h"

enum { ATOLL_JSON_PADDING = 64 }; /* readable bytes that must follow a text to be parsed */

typedef struct atoll_json_parser atoll_json_parser; /* of one thread */

typedef struct atoll_json {
    const void *document;
    size_t at;
} atoll_json;

typedef enum atoll_json_kind {
    ATOLL_JSON_NULL, ATOLL_JSON_BOOL, ATOLL_JSON_NUMBER, ATOLL_JSON_STRING, ATOLL_JSON_ARRAY, ATOLL_JSON_OBJECT
} atoll_json_kind;

atoll_json_parser *atoll_json_parser_new(void); /* NULL where memory is short */
void atoll_json_parser_free(atoll_json_parser *parser);

/* `text` has ATOLL_JSON_PADDING readable bytes behind it; nesting beyond ATOLL_JSON_MAX_DEPTH is refused.
 * ATOLL_INVALID_JSON, ATOLL_INVALID_UTF8, ATOLL_NO_MEMORY. */
atoll_status atoll_json_parse(atoll_json_parser *parser, const char *text, size_t bytes, atoll_json *root,
                              atoll_error *error);

atoll_json_kind atoll_json_kind_of(atoll_json value);

/* Each false where the value is of another kind, or does not fit; int64 takes 2.0 and 1e3 too. Strings are views into
 * the parser, terminated; they may hold zero bytes. */
bool atoll_json_bool(atoll_json value, bool *out);
bool atoll_json_double(atoll_json value, double *out);
bool atoll_json_int64(atoll_json value, int64_t *out);
bool atoll_json_string(atoll_json value, const char **data, size_t *bytes);

/* The first member of that name; false where there is none or the value is no object. */
bool atoll_json_member(atoll_json object, const char *name, atoll_json *out);

/* Calls `visit` for each member or element (name NULL) until it returns false; false where the value is neither. */
typedef bool (*atoll_json_visit)(void *arg, const char *name, atoll_json value);
bool atoll_json_each(atoll_json value, atoll_json_visit visit, void *arg);

/* The elements of an array of numbers as floats, at most `capacity`; *count is how many the array has.
 * ATOLL_INVALID_VALUE where an element is no number, ATOLL_NOT_FINITE where one is too large for a float. */
atoll_status atoll_json_floats(atoll_json array, float *out, size_t capacity, size_t *count, atoll_error *error);

#ifdef __cplusplus
}
#endif

#endif
