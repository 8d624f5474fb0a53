/* Streaming NDJSON into a model. */
#ifndef ATOLL_API_CLIENT_INGEST_H
#define ATOLL_API_CLIENT_INGEST_H

#include <stdbool.h>
#include <stdio.h>

#include "api/client_session.h"
#include "core/writer.h"

enum {
    ATOLL_CLIENT_BATCH_RECORDS = 1000,
    ATOLL_CLIENT_BATCH_BYTES = 8 << 20, /* a batch ends sooner where its lines are this long */
    ATOLL_CLIENT_LINE_MAX_BYTES = 32 << 20
};

/* Lines on their way to the server. */
typedef struct atoll_client_lines {
    FILE *in;
    char *line;        /* getline's */
    size_t capacity;
    bool held;         /* `line` was read and waits for the next batch */
    int64_t held_bytes;
    uint64_t first_line; /* of the batch, from 1 */
    uint64_t next_line;
    uint64_t read_bytes;
} atoll_client_lines;

void atoll_client_lines_begin(atoll_client_lines *lines, FILE *in);
void atoll_client_lines_end(atoll_client_lines *lines);

/* Fills `batch`, which is emptied first, with the next lines as they are; no bytes mean the end. ATOLL_IO,
 * ATOLL_BODY_TOO_LARGE for a line over its limit, ATOLL_NO_MEMORY. */
atoll_status atoll_client_lines_next(atoll_client_lines *lines, atoll_writer *batch, atoll_error *error);

/*
 * Sends everything in `in` in batches and shows the progress on `err`, the sum on `out`. With `trained`, each batch is
 * waited for until it is learned. `name` is what messages call the input. Returns the exit status: 1 where a batch
 * failed, or where lines were rejected; the first of those are named on `err`.
 */
int atoll_client_ingest(atoll_client_session *session, FILE *in, const char *name, bool trained, FILE *out, FILE *err);

#endif
