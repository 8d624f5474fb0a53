/*
 * Records from JSON: {"id","text","vector","label","domain","time"}, each but text or vector optional. "time" is Unix
 * milliseconds or an RFC 3339 string. null counts as absent.
 */
#ifndef ATOLL_CORE_RECORD_JSON_H
#define ATOLL_CORE_RECORD_JSON_H

#include "core/json.h"
#include "core/record.h"
#include "core/status.h"

/*
 * The record of a JSON object, checked (atoll_record_check). Its strings view the parser's memory, its vector is
 * `vector_space`, which holds ATOLL_VECTOR_MAX_DIM floats.
 * ATOLL_INVALID_RECORD where the value is no object or a field is of another kind; ATOLL_UNKNOWN_KEY; ATOLL_UNSUPPORTED
 * for "tokens"; ATOLL_NOT_FINITE for a number beyond a float; and what atoll_record_check gives. The error names the
 * field.
 */
atoll_status atoll_record_from_json(atoll_json value, float *vector_space, atoll_record *record, atoll_error *error);

#endif
