/*
 * Products of few rows with a matrix whose rows lie in pages: OpenBLAS wants a matrix in one piece, and spends more on
 * rearranging it than on the product where it meets only some rows.
 *
 * A row of the result is summed in the same order however many are asked for at once, so that a record's answer does
 * not depend on what it was asked together with.
 */
#ifndef ATOLL_CORE_PRODUCT_H
#define ATOLL_CORE_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ATOLL_PRODUCT_ROWS = 32, /* rows of b worked on at once, at most: short ones stay in the nearest cache */
    ATOLL_PRODUCT_LONG = 512 /* columns from which on rows are long, and multiplied as they come from memory */
};

/*
 * c += a b for b's rows row[0..rows-1], rows <= ATOLL_PRODUCT_ROWS: a is batch x rows (distance lda), c is batch x n
 * (distance ldc), n a multiple of 8. `next` are as many rows that will be wanted next, or NULL; they are sent for.
 */
void atoll_product_rows(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,
                        const float *a, size_t lda, float *c, size_t ldc);

/* The same by the n-th kernel that this processor has, best first, the portable one last; false past it. For tests. */
bool atoll_product_rows_by(uint32_t kernel, size_t batch, size_t n, size_t rows, const float *const *row,
                           const float *const *next, const float *a, size_t lda, float *c, size_t ldc);

/* Sends for what atoll_product_rows reads of a row of n columns before it reads what it sent for itself. */
void atoll_product_prefetch(const float *row, size_t n);

/* sum[0..width-1] += sum over `rows` rows of a_r row_r; width a multiple of 8. Rows to come are sent for. */
void atoll_product_sum(const float *const *row, const float *a, size_t rows, float *sum, size_t width);

#endif
