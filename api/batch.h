/*
 * The records of one request, or of one part of it, read from JSON. A batch owns a copy of everything its records point
 * at, so that the body and the parser may go on to something else. It belongs to one thread and is used again and
 * again; once warm it allocates nothing.
 */
#ifndef ATOLL_API_BATCH_H
#define ATOLL_API_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/record.h"
#include "core/status.h"

typedef struct atoll_batch_block atoll_batch_block;

typedef struct atoll_batch {
    atoll_record *records;
    uint32_t count, capacity;
    float *vector_space;       /* ATOLL_NUMBERS_MAX */
    atoll_batch_block *blocks; /* what the records point at; the newest first */
} atoll_batch;

atoll_batch *atoll_batch_new(void); /* NULL where memory is short */
void atoll_batch_free(atoll_batch *batch);

/* Forgets the records, and gives back memory beyond what a usual request needs. */
void atoll_batch_reset(atoll_batch *batch);

/* Reads one record behind the others. What atoll_record_from_json refuses, ATOLL_NO_MEMORY: nothing is added. */
atoll_status atoll_batch_add(atoll_batch *batch, atoll_json value, atoll_error *error);

/* The same from text with ATOLL_JSON_PADDING readable bytes behind it; ATOLL_INVALID_JSON, ATOLL_INVALID_UTF8. */
atoll_status atoll_batch_parse(atoll_batch *batch, atoll_json_parser *parser, const char *text, size_t bytes,
                               atoll_error *error);

/* Takes the last record away again. */
void atoll_batch_drop(atoll_batch *batch);

/* Walks the lines of NDJSON that are not blank. */
typedef struct atoll_lines {
    const char *at, *end;
    uint64_t number; /* of the line told last, from 1 */
} atoll_lines;

/* The next line that is not blank, without its end; false where there is none. */
bool atoll_lines_next(atoll_lines *lines, const char **line, size_t *bytes);

#endif
