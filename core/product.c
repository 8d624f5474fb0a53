#include "core/product.h"

#include <stdbool.h>

/* Sanitizers' run-time libraries are not ready when the loader resolves clones. */
#if defined(ATOLL_SANITIZE) || !defined(__x86_64__)
#define TARGET(arch)
#else
#define TARGET(arch) __attribute__((target(arch)))
#define X86 1
#endif

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float sixteen __attribute__((vector_size(64), aligned(4), may_alias));

enum {
    AHEAD = 128, /* columns from where a long row is multiplied to where it is sent for */
    NEAR = 128,  /* columns that stay in the nearest cache: 16 KiB of a block of rows */
    MOST = 12    /* rows of a that a tile may have */
};

/* Rows that are sent for, from a column on; NULL: none. */
typedef struct ahead {
    const float *const *row;
    size_t from;
} ahead;

/* While column `at` is multiplied: of long rows AHEAD columns on, past their end from the beginning of `next`; short
 * rows a whole row on. */
__attribute__((always_inline)) static inline ahead ahead_of(size_t at, size_t n, const float *const *row,
                                                            const float *const *next)
{
    size_t on = at + (n < ATOLL_PRODUCT_LONG ? n : AHEAD);
    return on < n ? (ahead){row, on} : (ahead){next, on - n};
}

/*
 * A tile of the result, `batch` rows by some vectors, held in registers while the rows of b pass. Both numbers are
 * constants where it is used, so that the loops over them vanish. As many columns are sent for.
 */
#define TILE(name, vector)                                                                                           \
    __attribute__((always_inline)) static inline void name(                                                          \
        const int batch, const int vectors, size_t rows, const float *const *row, size_t at, ahead ask,              \
        const float *a, size_t lda, float *c, size_t ldc)                                                            \
    {                                                                                                                \
        enum { LANES = sizeof(vector) / sizeof(float), LINE = 16 / LANES };                                          \
        vector sum[MOST][8]; /* of which `batch` by `vectors` are used */                                            \
        for (int i = 0; i < batch; i++)                                                                              \
            for (int j = 0; j < vectors; j++)                                                                        \
                sum[i][j] = *(const vector *)(c + (size_t)i * ldc + at + j * LANES);                                 \
        for (size_t r = 0; r < rows; r++) {                                                                          \
            const float *b = row[r] + at;                                                                            \
            for (int j = 0; ask.row && j < vectors; j += LINE)                                                       \
                __builtin_prefetch(ask.row[r] + ask.from + j * LANES);                                               \
            for (int i = 0; i < batch; i++)                                                                          \
                for (int j = 0; j < vectors; j++)                                                                    \
                    sum[i][j] += a[(size_t)i * lda + r] * *(const vector *)(b + j * LANES);                          \
        }                                                                                                            \
        for (int i = 0; i < batch; i++)                                                                              \
            for (int j = 0; j < vectors; j++)                                                                        \
                *(vector *)(c + (size_t)i * ldc + at + j * LANES) = sum[i][j];                                       \
    }

/*
 * Columns `at` to `end` for a constant number of rows of a, in tiles of as many vectors as there are registers for
 * their sums: each sum waits for itself, and rows of b come from memory sooner in long runs.
 */
#define STRIPE(name, tile, vector)                                                                                   \
    __attribute__((always_inline)) static inline void name(                                                          \
        const int batch, const int sums, size_t at, size_t end, size_t n, size_t rows, const float *const *row,      \
        const float *const *next, const float *a, size_t lda, float *c, size_t ldc)                                  \
    {                                                                                                                \
        enum { LANES = sizeof(vector) / sizeof(float) };                                                             \
        for (; 8 * batch <= sums && at + 8 * LANES <= end; at += 8 * LANES)                                          \
            tile(batch, 8, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                               \
        for (; 4 * batch <= sums && at + 4 * LANES <= end; at += 4 * LANES)                                          \
            tile(batch, 4, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                               \
        for (; at + 2 * LANES <= end; at += 2 * LANES)                                                               \
            tile(batch, 2, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                               \
        for (; at + LANES <= end; at += LANES)                                                                       \
            tile(batch, 1, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                               \
        for (; at < end; at += 8)                                                                                    \
            tile_eight(batch, 1, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                         \
    }

/* At most `most` rows of a at a time, in parts as even as can be; all parts read NEAR columns before the next. */
#define PART(count, stripe, most)                                                                                    \
    case count:                                                                                                      \
        if (count <= most)                                                                                           \
            stripe(count, 2 * most, at, end, n, rows, row, next, a + done * lda, lda, c + done * ldc, ldc);          \
        break;
#define PRODUCT(name, stripe, most, arch)                                                                            \
    TARGET(arch)                                                                                                     \
    static void name(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,         \
                     const float *a, size_t lda, float *c, size_t ldc)                                               \
    {                                                                                                                \
        for (size_t at = 0, end; at < n; at = end) {                                                                 \
            end = batch > most && at + NEAR < n ? at + NEAR : n;                                                     \
            for (size_t done = 0, left, count; (left = batch - done) > 0; done += count) {                           \
                count = left <= most ? left : left / ((left + most - 1) / most);                                     \
                switch (count) {                                                                                     \
                    PART(1, stripe, most)                                                                            \
                    PART(2, stripe, most)                                                                            \
                    PART(3, stripe, most)                                                                            \
                    PART(4, stripe, most)                                                                            \
                    PART(5, stripe, most)                                                                            \
                    PART(6, stripe, most)                                                                            \
                    PART(7, stripe, most)                                                                            \
                    PART(8, stripe, most)                                                                            \
                    PART(9, stripe, most)                                                                            \
                    PART(10, stripe, most)                                                                           \
                    PART(11, stripe, most)                                                                           \
                    PART(12, stripe, most)                                                                           \
                default:                                                                                             \
                    break;                                                                                           \
                }                                                                                                    \
            }                                                                                                        \
        }                                                                                                            \
    }

TILE(tile_eight, eight)
TILE(tile_sixteen, sixteen)
STRIPE(stripe_eight, tile_eight, eight)
STRIPE(stripe_sixteen, tile_sixteen, sixteen)

#ifdef X86
PRODUCT(product_v4, stripe_sixteen, MOST, "arch=x86-64-v4")
PRODUCT(product_v3, stripe_eight, 6, "arch=x86-64-v3")
#endif
PRODUCT(product_plain, stripe_eight, 4, "sse2")

typedef void product(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,
                     const float *a, size_t lda, float *c, size_t ldc);

static product *nth(uint32_t n)
{
#ifdef X86
    if (__builtin_cpu_supports("x86-64-v4") && !n--)
        return product_v4;
    if (__builtin_cpu_supports("x86-64-v3") && !n--)
        return product_v3;
#endif
    return n ? NULL : product_plain;
}

bool atoll_product_rows_by(uint32_t kernel, size_t batch, size_t n, size_t rows, const float *const *row,
                           const float *const *next, const float *a, size_t lda, float *c, size_t ldc)
{
    product *multiply = nth(kernel);
    if (multiply)
        multiply(batch, n, rows, row, next, a, lda, c, ldc);
    return multiply;
}

void atoll_product_rows(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,
                        const float *a, size_t lda, float *c, size_t ldc)
{
    nth(0)(batch, n, rows, row, next, a, lda, c, ldc);
}

void atoll_product_prefetch(const float *row, size_t n)
{
    enum { LINE = 16 };
    for (size_t i = 0; i < (n < ATOLL_PRODUCT_LONG ? n : AHEAD); i += LINE)
        __builtin_prefetch(row + i);
}

void atoll_product_sum(const float *const *row, const float *a, size_t rows, float *sum, size_t width)
{
    enum { ROWS = ATOLL_PRODUCT_ROWS };
    for (size_t at = 0; at < rows; at += ROWS) {
        bool more = rows - at >= 2 * ROWS;
        atoll_product_rows(1, width, rows - at < ROWS ? rows - at : ROWS, row + at, more ? row + at + ROWS : NULL,
                           a + at, ROWS, sum, width);
    }
}
