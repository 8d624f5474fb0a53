#include "api/counters.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

enum { HTTP_LEAST = 100, HTTP_MOST = 599, BUCKETS = 14 };

/* Upper bounds in nanoseconds, and as they are printed, in seconds. */
static const int64_t bucket_ns[BUCKETS] = {100000,   250000,    500000,    1000000,   2500000,    5000000,    10000000,
                                           25000000, 50000000, 100000000, 250000000, 1000000000, 5000000000,
                                           30000000000};
static const char *const bucket_text[BUCKETS] = {"0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
                                                 "0.025",  "0.05",    "0.1",    "0.25",  "1",      "5",     "30"};

/* Upper bounds of how many requests were answered in one pass: powers of two. */
enum { PASS_BUCKETS = 5 };

typedef struct family {
    const char *method, *path;
    _Atomic uint64_t answered[HTTP_MOST - HTTP_LEAST + 1];
    _Atomic uint64_t bucket[BUCKETS + 1]; /* not cumulated; the last is for all that took longer */
    _Atomic uint64_t duration_ns;
} family;

struct atoll_counters {
    uint32_t families;
    _Atomic uint64_t passes[PASS_BUCKETS + 1], passed; /* passes by size, not cumulated; requests of all */
    family family[ATOLL_FAMILIES_MAX];
};

atoll_counters *atoll_counters_new(void)
{
    return calloc(1, sizeof(atoll_counters));
}

bool atoll_counters_name(atoll_counters *counters, const char *method, const char *path)
{
    if (counters->families == ATOLL_FAMILIES_MAX)
        return false;
    family *f = &counters->family[counters->families++];
    f->method = method;
    f->path = path;
    return true;
}

void atoll_counters_free(atoll_counters *counters)
{
    free(counters);
}

static uint64_t read_count(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void add(_Atomic uint64_t *count, uint64_t more)
{
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

void atoll_counters_add(atoll_counters *counters, uint32_t which, int http, int64_t duration_ns)
{
    family *f = &counters->family[which];
    int bucket = 0;
    while (bucket < BUCKETS && duration_ns > bucket_ns[bucket])
        bucket++;
    add(&f->answered[(http < HTTP_LEAST || http > HTTP_MOST ? 500 : http) - HTTP_LEAST], 1);
    add(&f->bucket[bucket], 1);
    add(&f->duration_ns, (uint64_t)(duration_ns > 0 ? duration_ns : 0));
}

void atoll_counters_together(atoll_counters *counters, uint32_t requests)
{
    int bucket = 0;
    while (bucket < PASS_BUCKETS && requests > 1u << bucket)
        bucket++;
    add(&counters->passes[bucket], 1);
    add(&counters->passed, requests);
}

uint64_t atoll_counters_get(const atoll_counters *counters, uint32_t which, int http)
{
    return read_count(&counters->family[which].answered[http - HTTP_LEAST]);
}

static void print_durations(const atoll_counters *counters, uint32_t which, atoll_writer *out)
{
    static const char name[] = "atoll_http_request_duration_seconds";
    const family *f = &counters->family[which];
    const char *method = f->method, *path = f->path;
    uint64_t below = 0;
    for (int i = 0; i <= BUCKETS; i++) {
        below += read_count(&f->bucket[i]);
        atoll_writer_format(out, "%s_bucket{method=\"%s\",path=\"%s\",le=\"%s\"} %llu\n", name, method, path,
                            i < BUCKETS ? bucket_text[i] : "+Inf", (unsigned long long)below);
    }
    atoll_writer_format(out, "%s_sum{method=\"%s\",path=\"%s\"} %.9g\n", name, method, path,
                        (double)read_count(&f->duration_ns) / 1e9);
    atoll_writer_format(out, "%s_count{method=\"%s\",path=\"%s\"} %llu\n", name, method, path,
                        (unsigned long long)below);
}

static void print_passes(const atoll_counters *counters, atoll_writer *out)
{
    uint64_t below = 0;
    atoll_writer_text(out, "# HELP atoll_predict_together_requests Single predictions answered in one pass.\n"
                           "# TYPE atoll_predict_together_requests histogram\n");
    for (int i = 0; i <= PASS_BUCKETS; i++) {
        below += read_count(&counters->passes[i]);
        if (i < PASS_BUCKETS)
            atoll_writer_format(out, "atoll_predict_together_requests_bucket{le=\"%u\"} %llu\n", 1u << i,
                                (unsigned long long)below);
    }
    atoll_writer_format(out, "atoll_predict_together_requests_bucket{le=\"+Inf\"} %llu\n"
                             "atoll_predict_together_requests_sum %llu\natoll_predict_together_requests_count %llu\n",
                        (unsigned long long)below, (unsigned long long)read_count(&counters->passed),
                        (unsigned long long)below);
}

void atoll_counters_print(const atoll_counters *counters, atoll_writer *out)
{
    atoll_writer_text(out, "# HELP atoll_http_requests_total Requests answered, by route and HTTP status.\n"
                           "# TYPE atoll_http_requests_total counter\n");
    for (uint32_t i = 0; i < counters->families; i++) {
        for (int http = HTTP_LEAST; http <= HTTP_MOST; http++) {
            uint64_t count = atoll_counters_get(counters, i, http);
            if (count || http == 200)
                atoll_writer_format(out, "atoll_http_requests_total{method=\"%s\",path=\"%s\",status=\"%d\"} %llu\n",
                                    counters->family[i].method, counters->family[i].path, http,
                                    (unsigned long long)count);
        }
    }
    atoll_writer_text(out, "# HELP atoll_http_request_duration_seconds From a request's first line to its answer.\n"
                           "# TYPE atoll_http_request_duration_seconds histogram\n");
    for (uint32_t i = 0; i < counters->families; i++)
        print_durations(counters, i, out);
    print_passes(counters, out);
}
