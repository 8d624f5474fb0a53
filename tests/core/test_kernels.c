#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/kernels.h"
#include "tests/core/paged.h"

static int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL) == ATOLL_OK ? 0 : -1;
}

/* Lengths around every vector width, at every alignment; what stands behind the end stays. */
static void vectors_equal_the_plain_loops(void **state)
{
    (void)state;
    enum { MOST = 150, GUARD = 77 };
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (size_t n = 0; n <= MOST; n++) {
        float x[MOST + 16], y[MOST + 16], was[MOST + 16], a = atoll_rng_normal(&rng);
        size_t at = n % 9;
        double dot = 0, size = 0;
        fill_normal(&rng, x, MOST + 16);
        fill_normal(&rng, y, MOST + 16);
        x[at + n] = y[at + n] = GUARD;
        memcpy(was, y, sizeof was);
        for (size_t i = at; i < at + n; i++) {
            dot += (double)x[i] * y[i];
            size += fabs((double)x[i] * y[i]);
        }
        assert_true(fabs(atoll_dot(x + at, y + at, n) - dot) <= 1e-6 * size);
        atoll_axpy(y + at, x + at, a, n);
        for (size_t i = at; i < at + n; i++)
            assert_near(y[i], (double)was[i] + (double)a * x[i], 1e-6);
        memcpy(was, x, sizeof was);
        atoll_scale(x + at, a, n);
        for (size_t i = at; i < at + n; i++)
            assert_true(x[i] == was[i] * a);
        assert_true(x[at + n] == GUARD && y[at + n] == GUARD);
        assert_true(at == 0 || x[at - 1] == was[at - 1]);
    }
}

static void many_dots_are_dots(void **state)
{
    (void)state;
    enum { COUNT = 9, STRIDE = 41 };
    float rows[COUNT * STRIDE], x[STRIDE], out[COUNT + 1];
    atoll_rng rng;
    atoll_rng_seed(&rng, 8, 0);
    fill_normal(&rng, rows, COUNT * STRIDE);
    fill_normal(&rng, x, STRIDE);
    for (size_t n = 0; n <= STRIDE; n++) {
        out[COUNT] = 77;
        atoll_dots(rows, STRIDE, COUNT, x, n, out);
        for (size_t r = 0; r < COUNT; r++)
            assert_near(out[r], atoll_dot(rows + r * STRIDE, x, n), 1e-5);
        assert_true(out[COUNT] == 77);
    }
}

static void normalise_makes_unit_length(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    for (size_t n = 1; n < 100; n++) {
        float x[100], was[100];
        double square = 0, was_square = 0;
        fill_normal(&rng, x, n);
        memcpy(was, x, sizeof was);
        assert_true(atoll_normalise(x, n));
        for (size_t i = 0; i < n; i++) {
            square += (double)x[i] * x[i];
            was_square += (double)was[i] * was[i];
        }
        assert_near(square, 1, 1e-5);
        for (size_t i = 0; i < n; i++)
            assert_near(x[i], was[i] / sqrt(was_square), 1e-5);
    }
    float zero[3] = {0, 0, 0};
    assert_false(atoll_normalise(zero, 3));
    assert_false(atoll_normalise(zero, 0));
    assert_true(zero[0] == 0 && zero[1] == 0 && zero[2] == 0);
}

static void softmax_equals_the_definition(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 0);
    for (size_t n = 1; n < 200; n += 7) {
        float x[200];
        double e[200], sum = 0, total = 0, shift = n % 2 ? 1000 : -1000; /* exp of these is not finite, or 0 */
        for (size_t i = 0; i < n; i++) {
            x[i] = 5 * atoll_rng_normal(&rng) + (float)shift;
            sum += e[i] = exp(x[i] - shift);
        }
        assert_near(atoll_softmax(x, n), log(sum) + shift, 1e-6);
        for (size_t i = 0; i < n; i++) {
            assert_near(x[i], e[i] / sum, 1e-5);
            total += x[i];
        }
        assert_near(total, 1, 1e-5);
    }
    float closed[3] = {-INFINITY, 2, -INFINITY};
    assert_near(atoll_softmax(closed, 3), 2, 1e-6);
    assert_true(closed[0] == 0 && closed[1] == 1 && closed[2] == 0);
}

static void series_equal_the_functions(void **state)
{
    enum { LONG = 530 };
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 8, 0);
    for (size_t n = 1; n <= LONG; n += 23) {
        float x[LONG], e[LONG], log_sum, floor = n % 2 ? 0.01f : 0.05f;
        for (size_t i = 0; i < n; i++)
            x[i] = e[i] = i % 5 == 3 && n > 4 ? -INFINITY : (n % 3 ? 30 : 3) * atoll_rng_normal(&rng);
        log_sum = atoll_softmax(e, n);
        assert_near(atoll_softmax_long(x, n), log_sum, 1e-5);
        for (size_t i = 0; i < n; i++) {
            assert_true(e[i] > 0 || x[i] == 0);
            assert_near(x[i], e[i], 2e-6 * e[i] + 1e-36);
        }
        for (size_t i = 0; i < n; i++)
            x[i] = e[i] = i % 4 ? powf(10, -8 * atoll_rng_uniform(&rng)) * (i % 4 == 3 ? 1e6f : 1) : 0;
        atoll_log_long(x, floor, n);
        for (size_t i = 0; i < n; i++)
            assert_near(x[i], log((double)(e[i] + floor)), 2e-6);
    }
}

static void adagrad_equals_the_formula(void **state)
{
    (void)state;
    enum { N = 67 };
    atoll_rng rng;
    float w[N], s[N] = {0}, g[N];
    double w_exact[N], s_exact[N] = {0};
    atoll_rng_seed(&rng, 4, 0);
    fill_normal(&rng, w, N);
    for (int i = 0; i < N; i++)
        w_exact[i] = w[i];
    for (int step = 0; step < 50; step++) {
        float a = atoll_rng_normal(&rng), rate = 0.01f + atoll_rng_uniform(&rng);
        fill_normal(&rng, g, N);
        g[step % N] = 0;
        atoll_adagrad(w, s, g, a, rate, N);
        for (int i = 0; i < N; i++) {
            double gradient = (double)a * g[i];
            s_exact[i] += gradient * gradient;
            w_exact[i] -= rate * gradient / sqrt(s_exact[i] + 1e-8);
            assert_near(s[i], s_exact[i], 1e-5);
            assert_near(w[i], w_exact[i], 1e-4);
        }
    }
    float still = 3, zero = 0, none = 0;
    atoll_adagrad(&still, &zero, &none, 1, 1, 1);
    assert_true(still == 3 && zero == 0);
}

static float widen(uint16_t upper)
{
    uint32_t bits = (uint32_t)upper << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Each step rounds to the nearest, half a unit of the last of eight bits; weights move as if it did not. */
static void short_accumulators_are_the_upper_halves_of_floats(void **state)
{
    (void)state;
    enum { MOST = 67, GUARD = 0x4321 };
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 1);
    for (size_t n = 0; n <= MOST; n++) {
        float w[MOST + 1], g[MOST + 1];
        uint16_t s[MOST + 1] = {0};
        fill_normal(&rng, w, MOST + 1);
        s[n] = GUARD;
        for (int step = 0; step < 50; step++) {
            float was[MOST + 1], a = atoll_rng_normal(&rng), rate = 0.01f + atoll_rng_uniform(&rng);
            float start = step % 2 ? 1e-8f : atoll_rng_uniform(&rng);
            double square[MOST + 1];
            fill_normal(&rng, g, MOST + 1);
            g[step] = 0;
            memcpy(was, w, sizeof was);
            for (size_t i = 0; i < n; i++)
                square[i] = widen(s[i]) + pow((double)a * g[i], 2);
            atoll_adagrad_short(w, s, g, a, rate, start, n);
            for (size_t i = 0; i < n; i++) {
                assert_true(fabs(widen(s[i]) - square[i]) <= square[i] * (1.0 / 256 + 1e-6));
                assert_near(w[i], was[i] - rate * a * g[i] / sqrt(square[i] + start), 1e-5);
            }
            assert_true(w[n] == was[n] && s[n] == GUARD);
        }
    }
}

/* 256 (1 + 1/128) is the next above 256: 1 is half way and goes up, less is lost. */
static void short_accumulators_lose_what_is_far_below_them(void **state)
{
    (void)state;
    static const struct {
        float gradient, after;
    } step[] = {{16, 256}, {0, 256}, {0.99f, 256}, {-0.99f, 256}, {1, 258}, {1.7f, 260}, {1e18f, 1e36f}};
    float w = 0;
    uint16_t s = 0;
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        float was = w;
        atoll_adagrad_short(&w, &s, &step[i].gradient, 1, 1, 1e-8f, 1);
        assert_true(fabs(widen(s) - step[i].after) <= step[i].after / 300);
        assert_true(step[i].gradient > 0 ? w < was : step[i].gradient < 0 ? w > was : w == was);
    }
}

/* c = beta c + op(a) b, a read as m x k (or k x m where `across`), all with leading dimensions wider than need be. */
static void check_product(atoll_rng *rng, size_t m, size_t n, size_t k, float beta, int across)
{
    size_t lda = (across ? m : k) + 3, ldb = n + 2, ldc = n + 1;
    float *a = malloc((across ? k : m) * lda * sizeof *a), *b = malloc(k * ldb * sizeof *b);
    float *c = malloc(m * ldc * sizeof *c), *was = malloc(m * ldc * sizeof *was);
    fill_normal(rng, a, (across ? k : m) * lda);
    fill_normal(rng, b, k * ldb);
    fill_normal(rng, c, m * ldc);
    memcpy(was, c, m * ldc * sizeof *c);
    if (across)
        atoll_gemm_tn(m, n, k, a, lda, b, ldb, beta, c, ldc);
    else
        atoll_gemm(m, n, k, a, lda, b, ldb, beta, c, ldc);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = (double)beta * was[i * ldc + j];
            for (size_t l = 0; l < k; l++)
                sum += (double)(across ? a[l * lda + i] : a[i * lda + l]) * b[l * ldb + j];
            assert_near(c[i * ldc + j], sum, 1e-4);
        }
        assert_true(c[i * ldc + n] == was[i * ldc + n]);
    }
    free(a);
    free(b);
    free(c);
    free(was);
}

static void products_equal_the_plain_loops(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 5, 0);
    for (int i = 0; i < 60; i++) {
        size_t m = 1 + atoll_rng_below(&rng, 40), n = 1 + atoll_rng_below(&rng, 40), k = 1 + atoll_rng_below(&rng, 70);
        static const float betas[] = {0, 1, 0.5f};
        check_product(&rng, m, n, k, betas[i % 3], i % 2);
    }
    check_product(&rng, 1, 64, 512, 1, 0);
    check_product(&rng, 200, 10, 1, 0, 1);
}

static void differences_equal_the_plain_loops(void **state)
{
    (void)state;
    enum { M = 7, N = 9, K = 5, LD = 12 };
    atoll_rng rng;
    float a[M * LD], b[N * LD], c[M * LD], was[M * LD], product[M * LD];
    atoll_rng_seed(&rng, 6, 0);
    fill_normal(&rng, a, M * LD);
    fill_normal(&rng, b, N * LD);
    for (int transposed = 0; transposed < 2; transposed++) {
        fill_normal(&rng, c, M * LD);
        memcpy(was, c, sizeof was);
        atoll_gemm_less(M, N, K, a, LD, b, LD, transposed, c, LD);
        atoll_gemm_nt(M, N, K, a, LD, b, LD, product, LD);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int l = 0; l < K; l++)
                    sum += (double)a[i * LD + l] * (transposed ? b[j * LD + l] : b[l * LD + j]);
                assert_near(c[i * LD + j], was[i * LD + j] - sum, 1e-5);
                if (transposed)
                    assert_near(product[i * LD + j], sum, 1e-5);
            }
    }
    memcpy(was, c, sizeof was);
    atoll_gemm_less(M, 0, K, a, LD, b, LD, true, c, LD);
    assert_memory_equal(c, was, sizeof was);
}

/* The triangle after folding has the product that triangle and rows had, and turns other columns alike. */
static void folding_keeps_products(void **state)
{
    (void)state;
    enum { N = 40, K = 9, COLUMNS = 3, ALL = N + COLUMNS };
    atoll_rng rng;
    static float top[ALL * N], rows[ALL * K], t[ATOLL_QR_BLOCK * N], work[ATOLL_QR_BLOCK * N];
    static double product[ALL * ALL];
    atoll_rng_seed(&rng, 7, 0);
    fill_normal(&rng, top, ALL * N);
    fill_normal(&rng, rows, ALL * K);
    for (int j = 0; j < N; j++)
        for (int i = j + 1; i < N; i++)
            top[j * N + i] = 0;
    for (int turned = 0; turned < 2; turned++) {
        for (int i = 0; i < ALL; i++)
            for (int j = 0; j < ALL; j++) {
                double sum = 0;
                for (int l = 0; l < N; l++)
                    sum += (double)top[i * N + l] * top[j * N + l];
                for (int l = 0; l < K && (!turned || (i >= N && j >= N)); l++)
                    sum += (double)rows[i * K + l] * rows[j * K + l];
                if (turned)
                    assert_near(sum, product[i * ALL + j], 2e-3);
                product[i * ALL + j] = sum;
            }
        if (turned)
            break;
        atoll_qr_fold(N, K, top, N, rows, K, t, work);
        atoll_qr_turn(N, K, COLUMNS, rows, K, t, top + N * N, N, rows + N * K, K, work);
    }
}

static void triangles_are_solved_both_ways(void **state)
{
    (void)state;
    enum { N = 30, COLUMNS = 4 };
    atoll_rng rng;
    float r[N * N], x[COLUMNS * N], b[COLUMNS * N];
    atoll_rng_seed(&rng, 8, 0);
    fill_normal(&rng, x, COLUMNS * N);
    for (int j = 0; j < N; j++)
        for (int i = 0; i < N; i++)
            r[j * N + i] = i < j ? 0.2f * atoll_rng_normal(&rng) : i == j ? 2 : NAN; /* below is never read */
    for (int transposed = 0; transposed < 2; transposed++) {
        for (int c = 0; c < COLUMNS; c++)
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int j = 0; j < N; j++)
                    if (transposed ? j <= i : i <= j)
                        sum += (double)x[c * N + j] * (transposed ? r[i * N + j] : r[j * N + i]);
                b[c * N + i] = (float)sum;
            }
        atoll_triangle_solve(N, COLUMNS, r, N, transposed, b, N);
        for (int i = 0; i < COLUMNS * N; i++)
            assert_near(b[i], x[i], 1e-4);
    }
}

static void sparse_features_equal_the_formula(void **state)
{
    (void)state;
    enum { LANES = ATOLL_SPARSE_LANES, DIM = 11, INPUTS = 3, FEATURES = 50, ASKED = 5 };
    atoll_rng rng;
    float x[DIM * LANES], weight[FEATURES * INPUTS], bias[FEATURES], out[LANES][FEATURES], *z[LANES];
    uint16_t input[FEATURES * INPUTS];
    atoll_rng_seed(&rng, 9, 0);
    fill_normal(&rng, x, DIM * LANES);
    fill_normal(&rng, weight, FEATURES * INPUTS);
    fill_normal(&rng, bias, FEATURES);
    for (int i = 0; i < FEATURES * INPUTS; i++)
        input[i] = (uint16_t)atoll_rng_below(&rng, DIM);
    for (int lane = 0; lane < LANES; lane++)
        z[lane] = out[lane];
    memset(out, 0xff, sizeof out);
    atoll_sparse_relu(x, input, weight, bias, INPUTS, FEATURES, z, ASKED);
    for (int lane = 0; lane < LANES; lane++)
        for (int j = 0; j < FEATURES; j++) {
            double sum = bias[j];
            for (int i = 0; i < INPUTS; i++)
                sum += (double)weight[j * INPUTS + i] * x[input[j * INPUTS + i] * LANES + lane];
            if (lane < ASKED)
                assert_near(out[lane][j], fmax(sum, 0), 1e-5);
            else
                assert_true(isnan(out[lane][j])); /* left as it was */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_equal_the_plain_loops),
        cmocka_unit_test(many_dots_are_dots),
        cmocka_unit_test(normalise_makes_unit_length),
        cmocka_unit_test(softmax_equals_the_definition),
        cmocka_unit_test(series_equal_the_functions),
        cmocka_unit_test(adagrad_equals_the_formula),
        cmocka_unit_test(short_accumulators_are_the_upper_halves_of_floats),
        cmocka_unit_test(short_accumulators_lose_what_is_far_below_them),
        cmocka_unit_test(products_equal_the_plain_loops),
        cmocka_unit_test(differences_equal_the_plain_loops),
        cmocka_unit_test(folding_keeps_products),
        cmocka_unit_test(triangles_are_solved_both_ways),
        cmocka_unit_test(sparse_features_equal_the_formula),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
