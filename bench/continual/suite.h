/*
 * A suite: variants of a model on cases, each over several orders; tables, a JSON file, and what has changed since
 * another such file. It runs in this process, on the calls that the server uses.
 */
#ifndef ATOLL_BENCH_CONTINUAL_SUITE_H
#define ATOLL_BENCH_CONTINUAL_SUITE_H

#include "bench/continual/run.h"

typedef struct suite_variant {
    const char *name;
    const char *config; /* over the defaults; %u is the width of a dense model as large as the mixture is */
    enum { SUITE_NO_SIZE, SUITE_ACTIVE, SUITE_TOTAL } size;
    bool hinted;
    const run_stand_in *stand_in; /* or NULL */
    const char *about;
} suite_variant;

/* The variants by which dense models are compared with the mixture, which is the first of every suite. */
#define SUITE_MIXTURE {"mixture", "{}", SUITE_NO_SIZE, false, NULL, "the defaults"}
#define SUITE_DENSE                                                                                                    \
    {"dense, active size", "{\"growth\":{\"mode\":\"off\"},\"experts\":{\"shared_hidden\":%u}}", SUITE_ACTIVE, false,  \
     NULL, "one model, as large as the shared expert and the experts that a record goes to"},                          \
    {"dense, total size", "{\"growth\":{\"mode\":\"off\"},\"experts\":{\"shared_hidden\":%u}}", SUITE_TOTAL, false,    \
     NULL, "one model, as large as all experts"}

typedef struct suite {
    const char *name;        /* as `./run bench` knows it */
    const char *out;         /* where results go by default */
    const char *const *cases; /* those run by default, ended by NULL, all variants on each; NULL: as the cases say */
    const suite_variant *variants;
    uint32_t variant_count;
    bool timed;
} suite;

/* The whole program; returns its exit status. */
int suite_main(const suite *s, int argc, char **argv);

#endif
