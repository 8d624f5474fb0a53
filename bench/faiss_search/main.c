/*
 * Search alone: the embeddings of a stream's texts, as a model with the default configuration makes them, in the index;
 * and its codes alone, by our scan and by FAISS's own of the same FAISS index. One record in 16 is a query, the others
 * are searched, at most as many as a model remembers.
 *
 * usage: faiss_search STREAM THREADS
 */
#include "bench/bench.h"
#include "bench/faiss_search/fast_scan.h"
#include "core/encoder.h"
#include "core/features.h"
#include "core/half.h"
#include "core/kernels.h"
#include "core/limits.h"
#include "core/reclaim.h"
#include "retrieval/index_inside.h"

enum { BUCKETS = 1 << 20, DIM = 256, HELD_MAX = 50000, QUERY_EVERY = 16, QUERIES_MAX = 2048, BATCH = 64 };

typedef struct vectors {
    float *at;
    uint32_t count;
} vectors;

typedef struct scratch {
    atoll_text_scratch *text;
    atoll_term term[ATOLL_FEATURES_MAX];
    uint32_t bucket[ATOLL_FEATURES_MAX];
    float weight[ATOLL_FEATURES_MAX];
} scratch;

/* Embeddings of all texts, each with what was learned before it. */
static bool embed(const bench_texts *texts, float *out)
{
    atoll_encoder encoder;
    atoll_pager pager = {.reclaim = atoll_reclaim_new()};
    scratch *s = calloc(1, sizeof *s);
    atoll_encoder_init(&encoder, BUCKETS, DIM, 1);
    if (!s || !pager.reclaim || !(s->text = atoll_text_scratch_new()))
        return false;
    for (size_t i = 0; i < texts->count; i++) {
        uint32_t terms = 0;
        atoll_encoded encoded = {.bucket = s->bucket, .weight = s->weight, .embedding = out + i * DIM};
        if (atoll_terms_extract(s->text, texts->at[i], BUCKETS, s->term, &terms, NULL))
            terms = 0;
        atoll_encoder_weigh(&encoder, s->term, terms, &encoded);
        atoll_encoder_embed(&encoder, &encoded);
        if (atoll_encoder_learn(&pager, &encoder, s->term, terms, NULL, 0, NULL))
            return false;
    }
    atoll_encoder_clear(&pager, &encoder);
    atoll_reclaim_free(pager.reclaim);
    atoll_text_scratch_free(s->text);
    free(s);
    return true;
}

/* Divides the embeddings into queries and an even choice of the others, each moved to its place. */
static bool divide(const float *all, size_t count, vectors *held, vectors *queries)
{
    size_t others = count - (count + QUERY_EVERY - 1) / QUERY_EVERY, want = others < HELD_MAX ? others : HELD_MAX;
    *held = (vectors){malloc((want + 1) * DIM * sizeof(float)), 0};
    *queries = (vectors){malloc((size_t)QUERIES_MAX * DIM * sizeof(float)), 0};
    if (!held->at || !queries->at)
        return false;
    for (size_t i = 0, other = 0; i < count; i++) {
        vectors *to = NULL;
        if (i % QUERY_EVERY == 0)
            to = queries->count < QUERIES_MAX ? queries : NULL;
        else if ((other + 1) * want / others > other * want / others)
            to = held;
        other += i % QUERY_EVERY != 0;
        if (to)
            memcpy(to->at + (size_t)to->count++ * DIM, all + i * DIM, DIM * sizeof *all);
    }
    queries->count = queries->count / BATCH * BATCH;
    return held->count && queries->count;
}

/* ---- the index, on several threads ---- */

typedef struct searching {
    atoll_index *index;
    const vectors *queries;
    uint32_t batch;
    atoll_neighbours *found; /* of all queries */
} searching;

static void *search(void *arg)
{
    searching *s = arg;
    for (uint32_t at = 0; at < s->queries->count; at += s->batch) {
        const atoll_index_view *view = atoll_index_enter(s->index);
        atoll_index_search(view, s->queries->at + (size_t)at * DIM, s->batch, s->found + at);
        atoll_index_leave(view);
    }
    return NULL;
}

static double index_rate(searching *s, int threads, uint32_t batch)
{
    double rate[BENCH_ROUNDS];
    for (int i = 0; i < threads; i++)
        s[i].batch = batch;
    bench_together(threads, search, s, sizeof *s);
    for (int round = 0; round < BENCH_ROUNDS; round++)
        rate[round] = (double)s->queries->count * threads / bench_together(threads, search, s, sizeof *s);
    return bench_median(rate);
}

static bool fill(atoll_index *index, const vectors *held)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (atoll_index_put(index, i, held->at + (size_t)i * DIM, NULL))
            return false;
    return !atoll_index_publish(index, NULL);
}

/* ---- the codes alone, on one thread ---- */

extern void omp_set_num_threads(int count); /* libgomp's; its header is not needed for one prototype */

enum { WANT = ATOLL_INDEX_CANDIDATES };

/* Room for what is found for a batch of queries. */
static float scores[BATCH * WANT];
static int64_t numbers[BATCH * WANT];

static double codes_rate(const atoll_faiss *codes, const vectors *queries)
{
    double rate[BENCH_ROUNDS];
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        int64_t start = atoll_clock_monotonic_ns();
        for (uint32_t at = 0; at < queries->count; at++)
            atoll_faiss_search(codes, queries->at + (size_t)at * DIM, 1, WANT, numbers, scores);
        rate[round] = queries->count / bench_seconds_since(start);
    }
    return bench_median(rate);
}

/* By FAISS, `batch` queries at a time. */
static double fast_scan_rate(const fast_scan *scan, const vectors *queries, uint32_t batch)
{
    double rate[BENCH_ROUNDS];
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        int64_t start = atoll_clock_monotonic_ns();
        for (uint32_t at = 0; at < queries->count; at += batch)
            if (!fast_scan_search(scan, batch, queries->at + (size_t)at * DIM, WANT, scores, numbers))
                return 0;
        rate[round] = queries->count / bench_seconds_since(start);
    }
    return bench_median(rate);
}

/* ---- exactly ---- */

/* The similarity that the last of the best ATOLL_NEIGHBOURS has. */
static float last_similarity(const float *dot, uint32_t count)
{
    float best[ATOLL_NEIGHBOURS];
    uint32_t held = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = held < ATOLL_NEIGHBOURS ? held++ : ATOLL_NEIGHBOURS;
        for (; at && best[at - 1] < dot[i]; at--)
            if (at < ATOLL_NEIGHBOURS)
                best[at] = best[at - 1];
        if (at < ATOLL_NEIGHBOURS)
            best[at] = dot[i];
    }
    return best[held - 1];
}

/* How many exact searches there are a second, one by one; *recall is the share of what they find that was found. */
static double exact_rate(const vectors *held, const vectors *queries, uint32_t count, const atoll_neighbours *found,
                         double *recall)
{
    uint16_t *rows = malloc((size_t)held->count * DIM * sizeof *rows);
    float *dot = malloc((size_t)held->count * sizeof *dot);
    uint64_t hits = 0, wanted = 0;
    int64_t start = atoll_clock_monotonic_ns();
    if (rows && dot)
        atoll_half_from_float(held->at, rows, (size_t)held->count * DIM);
    for (uint32_t q = 0; q < count && rows && dot; q++) {
        atoll_half_dots(rows, held->count, queries->at + (size_t)q * DIM, 1, DIM, dot);
        float last = last_similarity(dot, held->count);
        for (uint32_t i = 0; i < found[q].count; i++)
            hits += found[q].at[i].similarity >= last;
        wanted += held->count < ATOLL_NEIGHBOURS ? held->count : ATOLL_NEIGHBOURS;
    }
    *recall = wanted ? (double)hits / (double)wanted : 1;
    free(rows);
    free(dot);
    return count / bench_seconds_since(start);
}

static bool measure(atoll_index *index, const vectors *held, const vectors *queries, int threads)
{
    uint32_t few = queries->count < 512 ? queries->count : 512; /* exact search is slow */
    searching s[BENCH_THREADS_MAX];
    const atoll_faiss *codes = index->side[index->live].codes;
    double recall;
    omp_set_num_threads(1);
    fast_scan *scan = codes ? fast_scan_new(atoll_faiss_object(codes)) : NULL;
    if (!scan)
        return false;
    for (int i = 0; i < threads; i++) {
        s[i] = (searching){.index = index, .queries = queries,
                           .found = calloc(queries->count, sizeof(atoll_neighbours))};
        if (!s[i].found)
            return false;
    }
    printf("{\"vectors\":%u,\"dim\":%d,\"threads\":%d", held->count, DIM, threads);
    printf(",\"index_single_per_s\":%.0f", index_rate(s, 1, 1));
    printf(",\"index_per_s\":%.0f", index_rate(s, 1, BATCH));
    printf(",\"index_all_per_s\":%.0f", index_rate(s, threads, BATCH));
    printf(",\"codes_per_s\":%.0f", codes_rate(codes, queries));
    printf(",\"faiss_single_per_s\":%.0f", fast_scan_rate(scan, queries, 1));
    printf(",\"faiss_per_s\":%.0f", fast_scan_rate(scan, queries, BATCH));
    printf(",\"exact_single_per_s\":%.0f", exact_rate(held, queries, few, s[0].found, &recall));
    printf(",\"recall\":%.4f}\n", recall);
    for (int i = 0; i < threads; i++)
        free(s[i].found);
    fast_scan_free(scan);
    return true;
}

int main(int argc, char **argv)
{
    int threads = argc == 3 ? atoi(argv[2]) : 0;
    bench_texts texts;
    vectors held, queries;
    atoll_index *index;
    if (threads < 1 || threads > BENCH_THREADS_MAX || !bench_texts_read(argv[1], &texts))
        return bench_fail("usage: faiss_search STREAM THREADS");
    float *all = malloc(texts.count * DIM * sizeof *all);
    if (!all || atoll_kernels_init(NULL) || !embed(&texts, all))
        return bench_fail("no memory");
    if (!divide(all, texts.count, &held, &queries))
        return bench_fail("no memory, or fewer records than make a batch of queries");
    if (atoll_index_new(DIM, HELD_MAX, &index, NULL) || !fill(index, &held))
        return bench_fail("no memory");
    free(all);
    bench_texts_free(&texts);
    bool good = measure(index, &held, &queries, threads);
    atoll_index_free(index);
    free(held.at);
    free(queries.at);
    return good ? 0 : bench_fail("no memory, or too few vectors for codes");
}
