/* The cases: which corpus, in which order, with how much memory. */
#ifndef ATOLL_BENCH_CONTINUAL_CASE_H
#define ATOLL_BENCH_CONTINUAL_CASE_H

#include "bench/continual/corpus.h"

typedef struct bench_case {
    const char *name;
    uint32_t memory;  /* exemplars */
    uint32_t batch;   /* records ingested at once */
    bool ablated;     /* all variants are run on it by default, else the mixture alone */
    bool quick;       /* part of the quick mode */
    uint32_t corpus;  /* place among corpora */
    /* Orders the corpus by the seed; `limit` bounds records learned (a domain, where they come one after another). */
    bool (*order)(const corpus *c, uint32_t seed, uint32_t limit, stream *out);
    uint32_t quick_limit; /* 0: none */
    const char *about;
} bench_case;

typedef struct bench_corpus {
    corpus_read *read;
    corpus corpus;
    bool tried, there;
    char reason[CORPUS_REASON_BYTES];
} bench_corpus;

extern const bench_case bench_cases[];
extern const uint32_t bench_case_count;

/* The case's corpus, read once; NULL, and why in *reason, where it is not there. */
const corpus *bench_case_corpus(const bench_case *which, const char *data, const char **reason);
void bench_corpora_free(void);

#endif
