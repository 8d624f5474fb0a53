#include "core/kernels.h"

#include <assert.h>
#include <cblas.h>
#include <math.h>

/* Sanitizers' run-time libraries are not ready when the loader resolves clones. */
#if defined(ATOLL_SANITIZE) || !defined(__x86_64__)
#define CLONES
#else
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

void stpqrt_(const int *m, const int *n, const int *l, const int *nb, float *a, const int *lda, float *b,
             const int *ldb, float *t, const int *ldt, float *work, int *info);
void stpmqrt_(const char *side, const char *trans, const int *m, const int *n, const int *k, const int *l,
              const int *nb, const float *v, const int *ldv, const float *t, const int *ldt, float *a, const int *lda,
              float *b, const int *ldb, float *work, int *info);

atoll_status atoll_kernels_init(atoll_error *error)
{
    enum { OPENMP_BUILD = 2 };
    if (openblas_get_parallel() == OPENMP_BUILD)
        return atoll_fail(error, ATOLL_UNSUPPORTED,
                          "this OpenBLAS is an OpenMP build; install the serial or the pthread one");
    openblas_set_num_threads(1);
    return ATOLL_OK;
}

CLONES void atoll_axpy(float *restrict y, const float *restrict x, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

CLONES float atoll_dot(const float *restrict x, const float *restrict y, size_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

CLONES void atoll_dots(const float *restrict rows, size_t stride, size_t count, const float *restrict x, size_t n,
                       float *restrict out)
{
    for (size_t r = 0; r < count; r++, rows += stride) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++)
            sum += rows[i] * x[i];
        out[r] = sum;
    }
}

CLONES void atoll_scale(float *x, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= a;
}

bool atoll_normalise(float *x, size_t n)
{
    float square = atoll_dot(x, x, n);
    if (!(square > 0))
        return false;
    atoll_scale(x, 1 / sqrtf(square), n);
    return true;
}

float atoll_softmax(float *x, size_t n)
{
    float most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += x[i] = expf(x[i] - most);
    atoll_scale(x, 1 / sum, n);
    return most + logf(sum);
}

typedef union bits {
    float value;
    int32_t word; /* sign, 8 bits of exponent + BIAS, MANTISSA bits */
} bits;

enum { BIAS = 127, MANTISSA = 23 };

/* x = e^(x - most): 2^k e^r with |r| <= ln(2) / 2, of which Taylor's series; returns the sum. */
CLONES static float exponentials(float *x, float most, size_t n)
{
    const float log2_e = 1.44269504f, least = -88; /* of which k is -BIAS, and the power 0 */
    const float ln2 = 0.693359375f, too_much = 2.12194440e-4f; /* so that k ln2 is exact */
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] - most > least ? x[i] - most : least;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        int32_t k = (int32_t)(x[i] * log2_e - 0.5f); /* x <= 0 */
        float r = x[i] - (float)k * ln2 + (float)k * too_much;
        float e = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
        bits power = {.word = (k + BIAS) << MANTISSA};
        x[i] = e * power.value;
        sum += x[i];
    }
    return sum;
}

float atoll_softmax_long(float *x, size_t n)
{
    float most = x[0];
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    float sum = exponentials(x, most, n);
    atoll_scale(x, 1 / sum, n);
    return most + logf(sum);
}

/* x + floor = 2^k (1 + s) / (1 - s) with 2/3 <= (1 + s) / (1 - s) < 4/3, and ln of that is 2 (s + s^3 / 3 + ...). */
CLONES void atoll_log_long(float *x, float floor, size_t n)
{
    const float ln2 = 0.693147181f;
    const int32_t two_thirds = 0x3f2aaaab;
    for (size_t i = 0; i < n; i++) {
        bits at = {.value = x[i] + floor};
        int32_t k = (at.word - two_thirds) >> MANTISSA;
        at.word -= k * (1 << MANTISSA);
        float s = (at.value - 1) / (at.value + 1), square = s * s;
        float series = 1 + square * (1.0f / 3 + square * (1.0f / 5 + square * (1.0f / 7 + square / 9)));
        x[i] = (float)k * ln2 + 2 * s * series;
    }
}

CLONES void atoll_adagrad(float *restrict w, float *restrict s, const float *restrict g, float a, float rate, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float step = a * g[i];
        s[i] += step * step;
        w[i] -= rate * step / sqrtf(s[i] + 1e-8f);
    }
}

CLONES void atoll_adagrad_short(float *restrict w, uint16_t *restrict s, const float *restrict g, float a, float rate,
                                float start, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union {
            uint32_t bits;
            float value;
        } square = {.bits = (uint32_t)s[i] << 16};
        float step = a * g[i];
        square.value += step * step;
        w[i] -= rate * step / sqrtf(square.value + start);
        s[i] = (uint16_t)((square.bits + 0x8000u) >> 16);
    }
}

void atoll_gemm(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, beta,
                c, (int)ldc);
}

void atoll_gemm_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                   float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, beta, c,
                (int)ldc);
}

void atoll_gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                   size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, 0, c,
                (int)ldc);
}

void atoll_gemm_less(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                     bool transposed, float *c, size_t ldc)
{
    if (m && n && k)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, -1, a,
                    (int)lda, b, (int)ldb, 1, c, (int)ldc);
}

void atoll_qr_fold(size_t n, size_t k, float *top, size_t ldtop, float *rows, size_t ldrows, float *t, float *work)
{
    int order = (int)n, below = (int)k, lda = (int)ldtop, ldb = (int)ldrows, block = ATOLL_QR_BLOCK, none = 0, info;
    stpqrt_(&below, &order, &none, &block, top, &lda, rows, &ldb, t, &block, work, &info);
    assert(info == 0);
}

void atoll_qr_turn(size_t n, size_t k, size_t columns, const float *v, size_t ldv, const float *t, float *top,
                   size_t ldtop, float *rows, size_t ldrows, float *work)
{
    int order = (int)n, below = (int)k, right = (int)columns, block = ATOLL_QR_BLOCK, none = 0, info;
    int lda = (int)ldtop, ldb = (int)ldrows, ldfrom = (int)ldv;
    stpmqrt_("L", "T", &below, &right, &order, &none, &block, v, &ldfrom, t, &block, top, &lda, rows, &ldb, work,
             &info);
    assert(info == 0);
}

void atoll_triangle_solve(size_t n, size_t columns, const float *r, size_t ldr, bool transposed, float *b, size_t ldb)
{
    cblas_strsm(CblasColMajor, CblasLeft, CblasUpper, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, (int)n,
                (int)columns, 1, r, (int)ldr, b, (int)ldb);
}

CLONES void atoll_sparse_relu(const float *restrict x, const uint16_t *restrict input, const float *restrict weight,
                              const float *restrict bias, size_t inputs, size_t features, float *const *z,
                              size_t lanes)
{
    enum { LANES = ATOLL_SPARSE_LANES };
    for (size_t j = 0; j < features; j++) {
        float sum[LANES];
        for (size_t lane = 0; lane < LANES; lane++)
            sum[lane] = bias[j];
        for (size_t i = 0; i < inputs; i++) {
            const float *number = x + (size_t)input[j * inputs + i] * LANES;
            for (size_t lane = 0; lane < LANES; lane++)
                sum[lane] += weight[j * inputs + i] * number[lane];
        }
        for (size_t lane = 0; lane < lanes; lane++)
            z[lane][j] = sum[lane] > 0 ? sum[lane] : 0;
    }
}
