/*
 * Dense arithmetic: short vector loops of our own, compiled for several instruction sets and chosen when the program
 * starts, and the matrix products and factorisations of OpenBLAS (kernels.c is the only file that includes it).
 * All matrices are row-major float32; a leading dimension is the distance between rows in floats.
 */
#ifndef ATOLL_CORE_KERNELS_H
#define ATOLL_CORE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Once in a process, before the first product: one BLAS thread for each caller. ATOLL_UNSUPPORTED on an OpenMP build
 * of OpenBLAS, which cannot be told so. */
atoll_status atoll_kernels_init(atoll_error *error);

/* y += a x */
void atoll_axpy(float *y, const float *x, float a, size_t n);
/* sum of x y */
float atoll_dot(const float *x, const float *y, size_t n);
/* x *= a */
void atoll_scale(float *x, float a, size_t n);
/* Scales x to unit length; false, and x unchanged, where its length is 0. */
bool atoll_normalise(float *x, size_t n);

/* In place: x = softmax(x); returns log sum exp of what was there. */
float atoll_softmax(float *x, size_t n);

/*
 * One AdaGrad step [Duchi, Hazan, Singer 2011, diagonal] on n weights with gradient a g:
 * s += (a g)^2; w -= rate (a g) / sqrt(s + 1e-8).
 */
void atoll_adagrad(float *w, float *s, const float *g, float a, float rate, size_t n);

/* The same with accumulators in bfloat16, the upper half of a float, rounded to nearest. */
void atoll_adagrad_short(float *w, uint16_t *s, const float *g, float a, float rate, size_t n);

/* c = beta c + a b, with a: m x k, b: k x n, c: m x n. */
void atoll_gemm(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                float *c, size_t ldc);
/* c = beta c + a' b, with a: k x m, b: k x n, c: m x n. */
void atoll_gemm_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                   float *c, size_t ldc);
/* The upper triangle of c (n x n) += a' a, with a: k x n. */
void atoll_syrk(size_t n, size_t k, const float *a, size_t lda, float *c, size_t ldc);
/* Solves a x = b for `columns` right-hand sides, a (n x n) symmetric positive definite, its upper triangle given and
 * overwritten by its Cholesky factor. b: columns x n (one right-hand side a row), overwritten by x. False where a is
 * not positive definite. */
bool atoll_cholesky_solve(size_t n, size_t columns, float *a, float *b);

#endif
