/* The demonstration's stream: read whole, divided into what is taught and what is held back for the examination. */
#ifndef ATOLL_API_DEMO_STREAM_H
#define ATOLL_API_DEMO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/status.h"
#include "core/writer.h"

enum {
    ATOLL_DEMO_HOLD_EVERY = 20, /* of each domain, one record in so many is held back, */
    ATOLL_DEMO_HOLD_FIRST = 10  /* the first after so many */
};

typedef struct atoll_demo_held {
    char *id, *text, *label; /* id may be "" */
    uint32_t domain;
} atoll_demo_held;

typedef struct atoll_demo_domain {
    char *name;
    uint64_t records; /* held back ones too */
    uint32_t held;
    size_t taught_end; /* number of records taught once the last of this domain is */
} atoll_demo_domain;

typedef struct atoll_demo_stream {
    atoll_writer lines; /* NDJSON of id, text and label: nothing that tells the domain */
    size_t *ends;       /* of each taught record in `lines` */
    size_t taught, taught_capacity;
    atoll_demo_held *held; /* in the stream's order */
    size_t held_count, held_capacity;
    atoll_demo_domain *domains; /* in the order in which they first came */
    size_t domain_count, domain_capacity;
} atoll_demo_stream;

/* Reads NDJSON with text and label, and perhaps id and domain. ATOLL_INVALID_JSON, ATOLL_INVALID_RECORD and the like
 * name the line; ATOLL_IO, ATOLL_NO_MEMORY. Free `out` in any case. */
atoll_status atoll_demo_stream_load(FILE *in, atoll_demo_stream *out, atoll_error *error);
void atoll_demo_stream_free(atoll_demo_stream *stream);

#endif
