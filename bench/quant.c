/*
 * Answers from rounded weights against the same from floats: forward passes of a network over hashed features that
 * follow Zipf's law, and of dense experts, one record at a time, on one thread; and the bytes of the weights. Exits
 * with 1 where a bar is missed.
 *
 * usage: quant [PART] (text_58, text_150, text_15, text_15_turns or dense; all without)
 */
#include <math.h>

#include "bench/bench.h"
#include "core/kernels.h"
#include "core/net_layout.h"
#include "core/reclaim.h"
#include "core/rng.h"
#include "core/served.h"

enum {
    BUCKETS = 1 << 20,
    TEXT_TERMS = 130,
    RECORDS = 2000,
    ROUNDS_A_TEXT = 10, /* passes over the records in one measurement */
    EXPERTS_MOST = 24,  /* that take turns */
    DENSE_EXPERTS = 24,
    DENSE_RECORDS = 200,
    DENSE_IN = 768
};

typedef struct trial {
    atoll_pager pager;
    atoll_net_scratch scratch;
    atoll_rng rng;
    uint32_t *bucket; /* RECORDS x TEXT_TERMS, distinct in each record */
    float *weight, *logits, *h;
    double sum; /* keeps what is measured from being left out */
    bool missed;
} trial;

/* Of 8 bits: the rate beside that of floats, at least, and the bytes, at most; of 4 bits the bytes. */
static const double rate_bar = 2, bytes_bar_8 = 0.28, bytes_bar_4 = 0.16;

/* Bucket n has a share of about 1 / n, as words have. */
static uint32_t zipf(atoll_rng *rng, uint32_t ranks)
{
    double u = (double)atoll_rng_uniform(rng);
    return (uint32_t)(exp(u * log((double)ranks)) - 1);
}

static void draw_text(trial *t, uint32_t *bucket, float *weight, uint32_t ranks)
{
    for (uint32_t i = 0; i < TEXT_TERMS;) {
        uint32_t b = zipf(&t->rng, ranks) * 2654435761u & (BUCKETS - 1), k = 0;
        while (k < i && bucket[k] != b)
            k++;
        if (k < i)
            continue;
        bucket[i] = b;
        weight[i++] = 0.02f + 0.15f * atoll_rng_uniform(&t->rng);
    }
}

static bool trial_open(trial *t)
{
    *t = (trial){.pager = {.reclaim = atoll_reclaim_new()}};
    atoll_net_scratch_init(&t->scratch);
    atoll_rng_seed(&t->rng, 1, 0);
    t->bucket = malloc(sizeof *t->bucket * RECORDS * TEXT_TERMS);
    t->weight = malloc(sizeof *t->weight * RECORDS * TEXT_TERMS);
    t->logits = malloc(sizeof *t->logits * 4096);
    t->h = malloc(sizeof *t->h * 4096);
    return t->pager.reclaim && t->bucket && t->weight && t->logits && t->h;
}

static void trial_close(trial *t)
{
    atoll_net_scratch_free(&t->scratch);
    free(t->bucket);
    free(t->weight);
    free(t->logits);
    free(t->h);
    atoll_reclaim_free(t->pager.reclaim);
}

/* ---- text ---- */

/* A row for each bucket that may come, with weights as training leaves them: some large, most small. */
static atoll_status fill_rows(trial *t, atoll_net *net, uint32_t ranks, atoll_error *error)
{
    for (uint32_t n = 0; n < ranks; n++) {
        uint32_t bucket = n * 2654435761u & (BUCKETS - 1);
        float one = 1;
        atoll_input input = {.bucket = &bucket, .weight = &one, .features = 1};
        atoll_status status = atoll_net_admit(&t->pager, net, &t->scratch, &input, error);
        if (status)
            return status;
        float *row = atoll_rows_edit(&t->pager, &net->sparse, t->scratch.row[0]);
        for (uint32_t o = 0; o < net->outputs; o++)
            row[o] = 0.1f * atoll_rng_normal(&t->rng) * atoll_rng_uniform(&t->rng);
    }
    return ATOLL_OK;
}

/* Records a second, each from the next of `experts` networks; `served` NULL for floats. */
static double text_rate(trial *t, const atoll_net *net, const atoll_served *served, uint32_t experts)
{
    double start = bench_thread_s();
    for (uint32_t i = 0; i < RECORDS * ROUNDS_A_TEXT; i++) {
        uint32_t r = i % RECORDS, e = i % experts;
        atoll_input input = {.bucket = t->bucket + (size_t)r * TEXT_TERMS, .weight = t->weight + (size_t)r * TEXT_TERMS,
                             .features = TEXT_TERMS};
        if (served)
            atoll_served_forward(&net[e], &served[e], &t->scratch, &input, NULL, t->logits, NULL);
        else
            atoll_net_forward(&net[e], &t->scratch, &input, NULL, t->logits, NULL);
        t->sum += (double)t->logits[r % net->outputs];
    }
    return RECORDS * ROUNDS_A_TEXT / (bench_thread_s() - start);
}

static uint64_t payload(const atoll_served *s)
{
    return (uint64_t)s->rows.count * s->rows.element_bytes + (uint64_t)s->low.count * s->low.element_bytes +
           (uint64_t)s->head.count * s->head.element_bytes + (uint64_t)s->first.count * s->first.element_bytes;
}

/* The same weights as floats, without optimiser state. */
static uint64_t plain_bytes(const atoll_net *net)
{
    uint64_t floats = (uint64_t)net->sparse.rows.count * (net->capacity + net->rank) +
                      (uint64_t)net->head.count * (1 + net->rank + net->hidden) +
                      atoll_net_first_weights(net);
    return floats * sizeof(float);
}

static void tell(trial *t, const char *name, atoll_precision precision, double rate, double bytes)
{
    bool eight = precision == ATOLL_PRECISION_Q8;
    printf("{\"%s_q%d_rate_ratio\":%.2f,\"%s_q%d_bytes_ratio\":%.4f}\n", name, eight ? 8 : 4, rate, name,
           eight ? 8 : 4, bytes);
    t->missed |= eight ? rate < rate_bar || bytes > bytes_bar_8 : bytes > bytes_bar_4;
}

typedef struct text_case {
    const char *name;
    uint32_t outputs, rows, experts;
} text_case;

static atoll_status make_texts(trial *t, const text_case *c, atoll_net *net, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t e = 0; e < c->experts && status == ATOLL_OK; e++) {
        atoll_net_shape shape = {.rank = 16, .hidden = 64, .seed = 1 + e};
        atoll_net_init(&net[e], &shape);
        if ((status = atoll_net_grow(&t->pager, &net[e], c->outputs, error)) == ATOLL_OK)
            status = fill_rows(t, &net[e], c->rows, error);
    }
    for (uint32_t r = 0; r < RECORDS; r++)
        draw_text(t, t->bucket + (size_t)r * TEXT_TERMS, t->weight + (size_t)r * TEXT_TERMS, c->rows);
    return status;
}

/* Rounds alternate with the floats, so that both meet the same machine; the median of the ratios is told. */
static int measure_text(trial *t, const text_case *c)
{
    atoll_error error;
    static atoll_net net[EXPERTS_MOST];
    static atoll_served served[EXPERTS_MOST];
    if (make_texts(t, c, net, &error))
        return bench_fail(error.detail);
    for (uint32_t e = 0; e < c->experts; e++)
        atoll_served_init(&served[e]);
    for (int p = ATOLL_PRECISION_Q8; p <= ATOLL_PRECISION_Q4; p++) {
        double ratio[BENCH_ROUNDS], plain = 0;
        for (uint32_t e = 0; e < c->experts; e++)
            if (atoll_served_refresh(&t->pager, &served[e], &net[e], (atoll_precision)p, &error))
                return bench_fail(error.detail);
        for (int round = -1; round < BENCH_ROUNDS; round++) {
            plain = text_rate(t, net, NULL, c->experts);
            double rounded = text_rate(t, net, served, c->experts);
            if (round >= 0)
                ratio[round] = rounded / plain;
        }
        tell(t, c->name, (atoll_precision)p, bench_median(ratio), (double)payload(served) / (double)plain_bytes(net));
        printf("{\"%s_f32_us\":%.2f}\n", c->name, 1e6 / plain);
        atoll_reclaim_advance(t->pager.reclaim);
    }
    for (uint32_t e = 0; e < c->experts; e++) {
        atoll_net_clear(&t->pager, &net[e]);
        atoll_served_clear(&t->pager, &served[e]);
    }
    atoll_reclaim_advance(t->pager.reclaim);
    return 0;
}

/* ---- dense ---- */

static double dense_rate(trial *t, const atoll_net *net, const atoll_served *served, const float *v)
{
    double start = bench_thread_s();
    for (uint32_t r = 0; r < DENSE_RECORDS; r++) {
        uint32_t e = r % DENSE_EXPERTS;
        atoll_input input = {.dense = v};
        if (served) {
            atoll_served_hidden(&net[e], &served[e], &t->scratch, v, 1, NULL, t->h, NULL);
            atoll_served_forward(&net[e], &served[e], &t->scratch, &input, t->h, t->logits, NULL);
        } else {
            atoll_net_hidden(&net[e], v, 1, t->h, 0);
            atoll_net_forward(&net[e], &t->scratch, &input, t->h, t->logits, NULL);
        }
        t->sum += (double)t->logits[0];
    }
    return DENSE_RECORDS / (bench_thread_s() - start);
}

static int measure_dense(trial *t)
{
    atoll_error error;
    static atoll_net net[DENSE_EXPERTS];
    static atoll_served served[DENSE_EXPERTS];
    float v[DENSE_IN];
    for (int i = 0; i < DENSE_IN; i++)
        v[i] = atoll_rng_normal(&t->rng);
    for (uint32_t e = 0; e < DENSE_EXPERTS; e++) {
        atoll_net_shape shape = {.rank = 16, .hidden = 1024, .seed = e};
        atoll_net_init(&net[e], &shape);
        atoll_served_init(&served[e]);
        if (atoll_net_grow(&t->pager, &net[e], 10, &error) ||
            atoll_net_set_dense(&t->pager, &net[e], DENSE_IN, &error))
            return bench_fail(error.detail);
    }
    for (int p = ATOLL_PRECISION_Q8; p <= ATOLL_PRECISION_Q4; p++) {
        double ratio[BENCH_ROUNDS];
        uint64_t bytes = 0, floats = 0;
        for (uint32_t e = 0; e < DENSE_EXPERTS; e++) {
            if (atoll_served_refresh(&t->pager, &served[e], &net[e], (atoll_precision)p, &error))
                return bench_fail(error.detail);
            bytes += payload(&served[e]);
            floats += plain_bytes(&net[e]);
        }
        for (int round = -1; round < BENCH_ROUNDS; round++) {
            double plain = dense_rate(t, net, NULL, v), rounded = dense_rate(t, net, served, v);
            if (round >= 0)
                ratio[round] = rounded / plain;
        }
        tell(t, "dense", (atoll_precision)p, bench_median(ratio), (double)bytes / (double)floats);
        atoll_reclaim_advance(t->pager.reclaim);
    }
    for (uint32_t e = 0; e < DENSE_EXPERTS; e++) {
        atoll_net_clear(&t->pager, &net[e]);
        atoll_served_clear(&t->pager, &served[e]);
    }
    return 0;
}

/* A shared expert of many records and one of few, an expert with labels of its own, and ten such that take turns. */
static const text_case texts[] = {{"text_58", 58, 200000, 1},
                                  {"text_150", 150, 20000, 1},
                                  {"text_15", 15, 20000, 1},
                                  {"text_15_turns", 15, 20000, 10}};

int main(int argc, char **argv)
{
    trial t;
    atoll_error error;
    if (atoll_kernels_init(&error))
        return bench_fail(error.detail);
    if (!trial_open(&t))
        return bench_fail("no memory");
    printf("{\"kernels\":\"%s\"}\n", atoll_quant_best()->name);
    const char *only = argc > 1 ? argv[1] : NULL;
    int failed = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !failed; i++)
        if (!only || !strcmp(only, texts[i].name))
            failed = measure_text(&t, &texts[i]);
    if (!failed && (!only || !strcmp(only, "dense")))
        failed = measure_dense(&t);
    trial_close(&t);
    return failed || t.missed;
}
