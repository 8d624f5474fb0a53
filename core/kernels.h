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
/* out[r] = sum of x y for y the n numbers at rows + r stride, r < count. */
void atoll_dots(const float *rows, size_t stride, size_t count, const float *x, size_t n, float *out);
/* x *= a */
void atoll_scale(float *x, float a, size_t n);
/* Scales x to unit length; false, and x unchanged, where its length is 0. */
bool atoll_normalise(float *x, size_t n);

/* In place: x = softmax(x); returns log sum exp of what was there. */
float atoll_softmax(float *x, size_t n);

/*
 * The same for long x, each number to 2e-6 of itself but 0 below e^-87 of the largest; and x = ln(x + floor) for
 * x >= 0, to 2e-6. By series, which take a vector of numbers at once.
 */
float atoll_softmax_long(float *x, size_t n);
void atoll_log_long(float *x, float floor, size_t n);

/*
 * One AdaGrad step [Duchi, Hazan, Singer 2011, diagonal] on n weights with gradient a g:
 * s += (a g)^2; w -= rate (a g) / sqrt(s + 1e-8).
 */
void atoll_adagrad(float *w, float *s, const float *g, float a, float rate, size_t n);

/*
 * The same with accumulators in bfloat16, the upper half of a float, rounded to nearest, and `start` in place of 1e-8.
 */
void atoll_adagrad_short(float *w, uint16_t *s, const float *g, float a, float rate, float start, size_t n);

/* c = beta c + a b, with a: m x k, b: k x n, c: m x n. */
void atoll_gemm(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                float *c, size_t ldc);
/* c = beta c + a' b, with a: k x m, b: k x n, c: m x n. */
void atoll_gemm_tn(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                   float *c, size_t ldc);
/* c = a b', with a: m x k, b: n x k, c: m x n. */
void atoll_gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                   size_t ldc);
/* c -= a b, or a b' where `transposed`, with a: m x k, b: k x n (or n x k), c: m x n. */
void atoll_gemm_less(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                     bool transposed, float *c, size_t ldc);

/*
 * Rows under a triangle, by columns as LAPACK has them (its tpqrt and tpmqrt). `fold` turns [top; rows], top (n x n)
 * upper triangular and rows k x n, into a new top; rows and t (ATOLL_QR_BLOCK x n) receive the rotation, which `turn`
 * applies to [top; rows] of n and k rows and `columns` columns. work: ATOLL_QR_BLOCK x the larger of n and columns.
 */
enum { ATOLL_QR_BLOCK = 32 };
void atoll_qr_fold(size_t n, size_t k, float *top, size_t ldtop, float *rows, size_t ldrows, float *t, float *work);
void atoll_qr_turn(size_t n, size_t k, size_t columns, const float *v, size_t ldv, const float *t, float *top,
                   size_t ldtop, float *rows, size_t ldrows, float *work);

/* b (columns x n, a right-hand side a row) becomes r^-1 b, or r'^-1 b; r upper triangular, by columns. */
void atoll_triangle_solve(size_t n, size_t columns, const float *r, size_t ldr, bool transposed, float *b, size_t ldb);

/*
 * z[lane][j] = relu(bias[j] + sum_i weight[j][i] x[input[j][i]][lane]), j < features, lane < lanes;
 * lanes <= ATOLL_SPARSE_LANES; x: numbers by lane, ATOLL_SPARSE_LANES of each; weight and input: features x inputs.
 */
enum { ATOLL_SPARSE_LANES = 16 };
void atoll_sparse_relu(const float *x, const uint16_t *input, const float *weight, const float *bias, size_t inputs,
                       size_t features, float *const *z, size_t lanes);

#endif
