#include "core/kernels.h"

#include <cblas.h>
#include <math.h>

/* Sanitizers' run-time libraries are not ready when the loader resolves clones. */
#if defined(ATOLL_SANITIZE) || !defined(__x86_64__)
#define CLONES
#else
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void spotrs_(const char *uplo, const int *n, const int *columns, const float *a, const int *lda, float *b,
             const int *ldb, int *info);

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
        most = fmaxf(most, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += x[i] = expf(x[i] - most);
    atoll_scale(x, 1 / sum, n);
    return most + logf(sum);
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
                                size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union {
            uint32_t bits;
            float value;
        } square = {.bits = (uint32_t)s[i] << 16};
        float step = a * g[i];
        square.value += step * step;
        w[i] -= rate * step / sqrtf(square.value + 1e-8f);
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

void atoll_syrk(size_t n, size_t k, const float *a, size_t lda, float *c, size_t ldc)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)k, 1, a, (int)lda, 1, c, (int)ldc);
}

bool atoll_cholesky_solve(size_t n, size_t columns, float *a, float *b)
{
    /* LAPACK counts by columns: our upper triangle is its lower one, our row of b its column. */
    int order = (int)n, right = (int)columns, info;
    spotrf_("L", &order, a, &order, &info);
    if (info)
        return false;
    spotrs_("L", &order, &right, a, &order, b, &order, &info);
    return info == 0;
}
