/*
 * Streams to learn from: records in the order in which they arrive, cut into phases, and records held out of it, by
 * domain. A domain is begun in one phase; after each phase, all domains begun so far are asked about.
 */
#ifndef ATOLL_BENCH_CONTINUAL_STREAM_H
#define ATOLL_BENCH_CONTINUAL_STREAM_H

#include "core/arena.h"
#include "core/record.h"

enum { STREAM_DOMAINS_MAX = 64, STREAM_NAME_BYTES = 64 };

typedef struct stream_record {
    atoll_record record; /* without a domain hint */
    uint32_t domain;
} stream_record;

typedef struct stream_list {
    stream_record *at;
    uint32_t count, capacity;
} stream_list;

typedef struct stream {
    stream_list learned; /* in order; phase p ends before end[p] */
    stream_list asked;   /* held out */
    stream_list outside; /* of no label that is learned */
    uint32_t phases, domains;
    uint32_t end[STREAM_DOMAINS_MAX];
    uint32_t phase_of[STREAM_DOMAINS_MAX]; /* by domain */
    char name[STREAM_DOMAINS_MAX][STREAM_NAME_BYTES];
    atoll_arena owned;   /* strings that are this stream's own */
} stream;

/* Adds a record; false where memory is short. */
bool stream_add(stream_list *list, const atoll_record *record, uint32_t domain);
void stream_free(stream *s);

/* ---- the order of things ---- */

/*
 * Mersenne twister 19937 [Matsumoto, Nishimura 1998], seeded by an integer and shuffling as Python's random does, so
 * that an order here is the order that a Python program with the same seed has.
 */
typedef struct twister {
    uint32_t state[624], at;
} twister;

void twister_seed(twister *t, uint32_t seed);
uint32_t twister_below(twister *t, uint32_t bound);
/* Shuffles `count` things of `bytes` each, at most 256. */
void twister_shuffle(twister *t, void *things, size_t count, size_t bytes);

#endif
