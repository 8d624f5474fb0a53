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

/* All columns for a constant number of rows of a: pairs of vectors, then what is left by eights. */
#define STRIPE(name, tile, vector)                                                                                   \
    __attribute__((always_inline)) static inline void name(                                                          \
        const int batch, size_t n, size_t rows, const float *const *row, const float *const *next, const float *a,   \
        size_t lda, float *c, size_t ldc)                                                                            \
    {                                                                                                                \
        enum { WIDE = 2 * sizeof(vector) / sizeof(float) };                                                          \
        size_t at = 0;                                                                                               \
        for (; at + WIDE <= n; at += WIDE)                                                                           \
            tile(batch, 2, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                               \
        for (; at < n; at += 8)                                                                                      \
            tile_eight(batch, 1, rows, row, at, ahead_of(at, n, row, next), a, lda, c, ldc);                         \
    }

/* The same for one row of a: each of its sums waits for itself, so up to eight vectors of them pass at once. */
#define LONE(name, tile, vector)                                                                                     \
    __attribute__((always_inline)) static inline void name(size_t n, size_t rows, const float *const *row,           \
                                                           const float *const *next, const float *a, float *c)       \
    {                                                                                                                \
        enum { LANES = sizeof(vector) / sizeof(float) };                                                             \
        size_t at = 0;                                                                                               \
        for (; at + 8 * LANES <= n; at += 8 * LANES)                                                                 \
            tile(1, 8, rows, row, at, ahead_of(at, n, row, next), a, 0, c, 0);                                       \
        if (n - at >= 4 * LANES) {                                                                                   \
            tile(1, 4, rows, row, at, ahead_of(at, n, row, next), a, 0, c, 0);                                       \
            at += 4 * LANES;                                                                                         \
        }                                                                                                            \
        if (n - at >= 2 * LANES) {                                                                                   \
            tile(1, 2, rows, row, at, ahead_of(at, n, row, next), a, 0, c, 0);                                       \
            at += 2 * LANES;                                                                                         \
        }                                                                                                            \
        if (n - at >= LANES) {                                                                                       \
            tile(1, 1, rows, row, at, ahead_of(at, n, row, next), a, 0, c, 0);                                       \
            at += LANES;                                                                                             \
        }                                                                                                            \
        if (n > at)                                                                                                  \
            tile_eight(1, 1, rows, row, at, ahead_of(at, n, row, next), a, 0, c, 0);                                 \
    }

/* At most `most` rows of a at a time, in parts as even as can be. */
#define PART(count, stripe, most)                                                                                    \
    case count:                                                                                                      \
        if (count <= most)                                                                                           \
            stripe(count, n, rows, row, next, a, lda, c, ldc);                                                       \
        break;
#define PRODUCT(name, stripe, lone, most, arch)                                                                      \
    TARGET(arch)                                                                                                     \
    static void name(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,         \
                     const float *a, size_t lda, float *c, size_t ldc)                                               \
    {                                                                                                                \
        for (size_t count; batch; batch -= count, a += count * lda, c += count * ldc) {                              \
            count = batch <= most ? batch : batch / ((batch + most - 1) / most);                                     \
            switch (count) {                                                                                         \
            case 1:                                                                                                  \
                lone(n, rows, row, next, a, c);                                                                      \
                break;                                                                                               \
                PART(2, stripe, most)                                                                                \
                PART(3, stripe, most)                                                                                \
                PART(4, stripe, most)                                                                                \
                PART(5, stripe, most)                                                                                \
                PART(6, stripe, most)                                                                                \
                PART(7, stripe, most)                                                                                \
                PART(8, stripe, most)                                                                                \
                PART(9, stripe, most)                                                                                \
                PART(10, stripe, most)                                                                               \
                PART(11, stripe, most)                                                                               \
                PART(12, stripe, most)                                                                               \
            default:                                                                                                 \
                break;                                                                                               \
            }                                                                                                        \
        }                                                                                                            \
    }

TILE(tile_eight, eight)
TILE(tile_sixteen, sixteen)
STRIPE(stripe_eight, tile_eight, eight)
STRIPE(stripe_sixteen, tile_sixteen, sixteen)
LONE(lone_eight, tile_eight, eight)
LONE(lone_sixteen, tile_sixteen, sixteen)

#ifdef X86
PRODUCT(product_v4, stripe_sixteen, lone_sixteen, MOST, "arch=x86-64-v4")
PRODUCT(product_v3, stripe_eight, lone_eight, 6, "arch=x86-64-v3")
#endif
PRODUCT(product_plain, stripe_eight, lone_eight, 4, "sse2")

void atoll_product_rows(size_t batch, size_t n, size_t rows, const float *const *row, const float *const *next,
                        const float *a, size_t lda, float *c, size_t ldc)
{
#ifdef X86
    if (__builtin_cpu_supports("x86-64-v4")) {
        product_v4(batch, n, rows, row, next, a, lda, c, ldc);
        return;
    }
    if (__builtin_cpu_supports("x86-64-v3")) {
        product_v3(batch, n, rows, row, next, a, lda, c, ldc);
        return;
    }
#endif
    product_plain(batch, n, rows, row, next, a, lda, c, ldc);
}

void atoll_product_prefetch(const float *row, size_t n)
{
    enum { LINE = 16 };
    for (size_t i = 0; i < n && i < AHEAD; i += LINE)
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
