/*
 * What the machine can do at most: products of large matrices and reading of memory, on one thread and on as many as
 * there are cores; and the products at the sizes that a model of pictures of 28 x 28 pixels asks for.
 *
 * usage: sgemm THREADS
 */
#include "bench/bench.h"
#include "core/kernels.h"

enum { SIDE = 1024, PRODUCTS = 4, STREAM_FLOATS = 16 << 20, READS = 4 };

/* One thread's matrices, or its two arrays to be read. */
typedef struct share {
    float *a, *b, *c;
    double sum; /* keeps the reading from being left out */
} share;

static bool make(share *s, size_t floats)
{
    s->a = malloc(floats * sizeof *s->a);
    s->b = malloc(floats * sizeof *s->b);
    s->c = malloc(floats * sizeof *s->c);
    if (!s->a || !s->b || !s->c)
        return false;
    for (size_t i = 0; i < floats; i++)
        s->a[i] = s->b[i] = s->c[i] = (float)(i % 97) * 1e-3f;
    return true;
}

static void drop(share *s)
{
    free(s->a);
    free(s->b);
    free(s->c);
    *s = (share){0};
}

static void *multiply(void *arg)
{
    share *s = arg;
    for (int i = 0; i < PRODUCTS; i++)
        atoll_gemm(SIDE, SIDE, SIDE, s->a, SIDE, s->b, SIDE, 0, s->c, SIDE);
    return NULL;
}

static void *read_memory(void *arg)
{
    share *s = arg;
    for (int i = 0; i < READS; i++)
        s->sum += (double)atoll_dot(s->a, s->b, STREAM_FLOATS);
    return NULL;
}

static double median_rate(int threads, void *(*work)(void *arg), share *shares, double amount)
{
    double rate[BENCH_ROUNDS];
    bench_together(threads, work, shares, sizeof *shares);
    for (int round = 0; round < BENCH_ROUNDS; round++)
        rate[round] = amount * threads / bench_together(threads, work, shares, sizeof *shares);
    return bench_median(rate);
}

/* GFLOP/s of one product of m x k by k x n, over and over. */
static double product_rate(share *s, size_t m, size_t n, size_t k)
{
    double rate[BENCH_ROUNDS], flops = 2.0 * (double)m * (double)n * (double)k;
    size_t times = (size_t)(1e9 / flops) + 1;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        int64_t start = atoll_clock_monotonic_ns();
        for (size_t i = 0; i < times; i++)
            atoll_gemm(m, n, k, s->a, k, s->b, n, 0, s->c, n);
        rate[round] = flops * (double)times / bench_seconds_since(start) * 1e-9;
    }
    return bench_median(rate);
}

int main(int argc, char **argv)
{
    int threads = argc == 2 ? atoi(argv[1]) : 0;
    share shares[BENCH_THREADS_MAX] = {0};
    if (threads < 1 || threads > BENCH_THREADS_MAX)
        return bench_fail("usage: sgemm THREADS");
    if (atoll_kernels_init(NULL))
        return bench_fail("this OpenBLAS cannot be used");
    for (int i = 0; i < threads; i++)
        if (!make(&shares[i], STREAM_FLOATS))
            return bench_fail("no memory");
    double flops = 2.0 * PRODUCTS * SIDE * SIDE * SIDE * 1e-9;
    double bytes = 2.0 * READS * STREAM_FLOATS * sizeof(float) * 1e-9;
    printf("{\"threads\":%d,\"gflops_1\":%.1f", threads, median_rate(1, multiply, shares, flops));
    printf(",\"gflops_all\":%.1f", median_rate(threads, multiply, shares, flops));
    printf(",\"gflops_hidden\":%.1f", product_rate(&shares[0], 16, 64, 784));
    printf(",\"gflops_random_features\":%.1f", product_rate(&shares[0], 64, 1024, 784));
    printf(",\"read_gb_s_1\":%.1f", median_rate(1, read_memory, shares, bytes));
    printf(",\"read_gb_s_all\":%.1f}\n", median_rate(threads, read_memory, shares, bytes));
    for (int i = 0; i < threads; i++)
        drop(&shares[i]);
    return 0;
}
