/*
 * One run: a stream learned in batches by a model in a folder of its own, through the calls that the server uses, and
 * asked after each phase.
 */
#ifndef ATOLL_BENCH_CONTINUAL_RUN_H
#define ATOLL_BENCH_CONTINUAL_RUN_H

#include "bench/continual/measure.h"
#include "bench/continual/stream.h"
#include "core/model.h"

/* What a single dense model has to be like to be as large. */
typedef struct run_sizes {
    uint32_t active_hidden; /* as the shared expert and those that a record goes to */
    uint32_t total_hidden;  /* as all experts together */
} run_sizes;

/* Parameters and bytes; `active` of them one record reads in the mean. */
typedef struct run_extent {
    double parameters, active, bytes;
} run_extent;

/* Something that stands in for the library's experts while a model is open. */
typedef struct run_stand_in {
    bool (*begin)(void); /* false where it cannot */
    void (*end)(void);
    run_extent (*measure)(const atoll_model *model, double features); /* that a record has in the mean */
} run_stand_in;

typedef struct run_request {
    const stream *stream;
    atoll_config config;
    uint32_t batch;
    uint32_t stale; /* so many records into the second half's first phase the gate is frozen till its end; 0: never */
    bool hinted; /* records name their domains, learned and asked */
    bool timed;  /* sizes and rates are measured too, on an idle machine */
    const run_stand_in *stand_in; /* or NULL */
} run_request;

/* `sizes` may be NULL. */
atoll_status run_measure(const run_request *request, measures *out, run_sizes *sizes, atoll_error *error);

#endif
