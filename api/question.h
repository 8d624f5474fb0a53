/*
 * What a body or a query of POST …/predict asks for besides its records. The same names stand in both; the body of
 * NDJSON has none, and where both have one the body's counts.
 */
#ifndef ATOLL_API_QUESTION_H
#define ATOLL_API_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "api/request.h"
#include "core/json.h"

typedef struct atoll_question {
    uint64_t top, min_version, timeout_ms;
    bool explain;
    atoll_json records; /* an array, of a JSON body; lives as long as the worker's parser holds it */
} atoll_question;

/* The defaults, and what the query says. ATOLL_INVALID_VALUE, ATOLL_OUT_OF_RANGE. */
atoll_status atoll_question_query(const atoll_request *request, atoll_question *question, atoll_error *error);

/* Then the JSON body, with its records. The same, and what atoll_request_object refuses, ATOLL_UNKNOWN_KEY. */
atoll_status atoll_question_body(atoll_request *request, atoll_worker *worker, atoll_question *question,
                                 atoll_error *error);

#endif
