/*
 * Records from JSON: {"id","text","vector","tokens","label","domain","time"}, each optional but one of text, vector and
 * tokens. "tokens" is a list of equally long vectors, and takes the place of a vector. "time" is Unix
 * milliseconds or an RFC 3339 string. null counts as absent.
 */
#ifndef ATOLL_CORE_RECORD_JSON_H
#define ATOLL_CORE_RECORD_JSON_H

#include "core/json.h"
#include "core/record.h"
#include "core/status.h"

/*
 * The record of a JSON object, checked (atoll_record_check). Its strings view the parser's memory, its vector is
 * `vector_space`, which holds ATOLL_NUMBERS_MAX floats.
 * ATOLL_INVALID_RECORD where the value is no object, a field is of another kind, or there are a vector and tokens;
 * ATOLL_WRONG_DIMENSION where tokens differ in length; ATOLL_TOO_MANY_TOKENS; ATOLL_UNKNOWN_KEY; ATOLL_NOT_FINITE for a
 * number beyond a float; and what atoll_record_check gives. The error names the field.
 */
atoll_status atoll_record_from_json(atoll_json value, float *vector_space, atoll_record *record, atoll_error *error);

#endif
