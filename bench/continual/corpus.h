/* Labelled data as it lies on disk, read whole; cases (case.h) make streams of it. */
#ifndef ATOLL_BENCH_CONTINUAL_CORPUS_H
#define ATOLL_BENCH_CONTINUAL_CORPUS_H

#include "bench/continual/stream.h"

typedef enum corpus_part { CORPUS_LEARNED, CORPUS_ASKED, CORPUS_OUTSIDE } corpus_part;

typedef struct corpus_item {
    atoll_record record;  /* strings are terminated */
    const char *domain;   /* or NULL */
    corpus_part part;     /* as the data has it */
} corpus_item;

typedef struct corpus {
    corpus_item *at;
    uint32_t count, capacity;
    atoll_arena owned;
} corpus;

/* A reader fills an empty corpus; false, and why in `reason`, where the data is not there or cannot be read. */
enum { CORPUS_REASON_BYTES = 256 };
typedef bool corpus_read(corpus *c, const char *data, char *reason);

/* CLINC150 below `data`: utterances with domains, and out-of-scope queries. */
corpus_read corpus_read_clinc;
/* Fashion-MNIST below `data`: 784 pixels of 0..1. */
corpus_read corpus_read_fashion;
/* The packages that apt knows, by data/packages.sh; domains are ecosystems. */
corpus_read corpus_read_packages;
/* data/atoll-stream.ndjson. */
corpus_read corpus_read_small;

/* Two streams of made-up texts: domains that agree on what words mean, and domains that contradict each other. */
corpus_read corpus_make_agreeing;
corpus_read corpus_make_contrary;

/* Adds a copy of the record's text and label, and of its domain (or NULL); false where memory is short. */
bool corpus_add(corpus *c, const atoll_record *record, const char *domain, corpus_part part);
void corpus_free(corpus *c);

#endif
