/*
 * A packed triangular factor that rows are added to: R'R = lambda I + sum z z', R upper triangular, kept by orthogonal
 * updates [Golub, Van Loan, 6.5; LAPACK's tpqrt]. It takes half of what a sum and its Cholesky factor would, no copy is
 * made to solve with it, and its rounding errors are those of z, not of z z'.
 */
#ifndef ATOLL_CORE_FACTOR_H
#define ATOLL_CORE_FACTOR_H

#include <stdint.h>

#include "core/status.h"

enum {
    ATOLL_FACTOR_TILE = 64, /* n is a multiple of it; so many rows at once are added fastest */
    ATOLL_FACTOR_ROWS = 64  /* rows added at once */
};

typedef struct atoll_factor {
    uint32_t n;
    float *r;    /* panels of ATOLL_FACTOR_TILE rows from the diagonal on, each by columns */
    float *work;
} atoll_factor;

/* R = sqrt(lambda) I. ATOLL_NO_MEMORY leaves it empty. */
atoll_status atoll_factor_init(atoll_factor *factor, uint32_t n, float lambda, atoll_error *error);
void atoll_factor_clear(atoll_factor *factor);
void atoll_factor_reset(atoll_factor *factor, float lambda);

/* Adds k <= ATOLL_FACTOR_ROWS rows, given by columns ATOLL_FACTOR_ROWS apart: rows[j * ATOLL_FACTOR_ROWS + i], which
 * is overwritten. */
void atoll_factor_add(atoll_factor *factor, float *rows, uint32_t k);

/* b (columns x n, a right-hand side a row) becomes (R'R)^-1 b. */
void atoll_factor_solve(const atoll_factor *factor, uint32_t columns, float *b);

uint64_t atoll_factor_floats(uint32_t n); /* of r */
uint64_t atoll_factor_bytes(const atoll_factor *factor);

#endif
