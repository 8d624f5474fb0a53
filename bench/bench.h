/* What the benchmarks share: the texts of a stream, time, medians, and the same work on several threads at once. */
#ifndef ATOLL_BENCH_BENCH_H
#define ATOLL_BENCH_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/record.h"

enum { BENCH_ROUNDS = 3, BENCH_THREADS_MAX = 64 };

static inline double bench_seconds_since(int64_t start_ns)
{
    return (double)(atoll_clock_monotonic_ns() - start_ns) * 1e-9;
}

/* The thread's own time: whoever else runs on the machine then only takes cache and memory. */
static inline double bench_thread_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of values that are left sorted. */
static inline double bench_median_of(double *value, size_t count)
{
    qsort(value, count, sizeof *value, bench_compare);
    return value[count / 2];
}

static inline double bench_median(double value[BENCH_ROUNDS])
{
    return bench_median_of(value, BENCH_ROUNDS);
}

static inline int bench_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    return 1;
}

/* ---- the texts of a stream of NDJSON ---- */

typedef struct bench_texts {
    atoll_slice *at; /* each on the heap */
    size_t count, capacity;
} bench_texts;

static inline void bench_texts_free(bench_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free((char *)(void *)(size_t)texts->at[i].data);
    free(texts->at);
    *texts = (bench_texts){0};
}

static inline bool bench_texts_add(bench_texts *texts, const char *data, size_t bytes)
{
    if (texts->count == texts->capacity) {
        size_t capacity = texts->capacity ? 2 * texts->capacity : 1024;
        atoll_slice *at = realloc(texts->at, capacity * sizeof *at);
        if (!at)
            return false;
        texts->at = at;
        texts->capacity = capacity;
    }
    char *copy = malloc(bytes + 1);
    if (!copy)
        return false;
    memcpy(copy, data, bytes);
    texts->at[texts->count++] = (atoll_slice){copy, bytes};
    return true;
}

/* The `text` of each record; false where the file holds none or a line cannot be read. */
static inline bool bench_texts_read(const char *path, bench_texts *texts)
{
    FILE *in = fopen(path, "r");
    atoll_json_parser *parser = atoll_json_parser_new();
    char *line = NULL, *padded = NULL;
    size_t capacity = 0;
    bool good = in && parser;
    *texts = (bench_texts){0};
    for (ssize_t got; good && (got = getline(&line, &capacity, in)) > 0;) {
        atoll_json root, text;
        const char *data;
        size_t bytes;
        char *wider = realloc(padded, (size_t)got + ATOLL_JSON_PADDING);
        good = wider != NULL;
        if (!good)
            break;
        padded = wider;
        memcpy(padded, line, (size_t)got);
        memset(padded + got, 0, ATOLL_JSON_PADDING);
        good = !atoll_json_parse(parser, padded, (size_t)got, &root, NULL) &&
               atoll_json_member(root, "text", &text) && atoll_json_string(text, &data, &bytes) &&
               bench_texts_add(texts, data, bytes);
    }
    free(line);
    free(padded);
    atoll_json_parser_free(parser);
    if (in)
        fclose(in);
    return good && texts->count;
}

/* ---- threads ---- */

/* Runs `work(arg + i * stride)` on `threads` threads at once; returns the seconds until the last has ended. */
static inline double bench_together(int threads, void *(*work)(void *arg), void *arg, size_t stride)
{
    pthread_t thread[BENCH_THREADS_MAX];
    int started = 0;
    int64_t start = atoll_clock_monotonic_ns();
    for (; started < threads && started < BENCH_THREADS_MAX; started++)
        if (pthread_create(&thread[started], NULL, work, (char *)arg + (size_t)started * stride))
            break;
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    return bench_seconds_since(start) * threads / (started ? started : 1);
}

#endif
