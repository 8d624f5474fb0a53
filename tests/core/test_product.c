#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/product.h"
#include "core/rng.h"

enum { BATCH_MOST = 27, COLUMNS_MOST = ATOLL_PRODUCT_LONG + 72, ROWS = ATOLL_PRODUCT_ROWS };

typedef struct trial {
    float b[ROWS][COLUMNS_MOST + 1], a[BATCH_MOST * (ROWS + 3)], c[BATCH_MOST * (COLUMNS_MOST + 5)],
        got[BATCH_MOST * (COLUMNS_MOST + 5)];
    const float *row[ROWS];
} trial;

static trial t;

static void draw(atoll_rng *rng)
{
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < COLUMNS_MOST + 1; k++)
            t.b[r][k] = atoll_rng_normal(rng);
        t.row[r] = t.b[r] + r % 2; /* rows may lie anywhere */
    }
    for (size_t i = 0; i < sizeof t.a / sizeof *t.a; i++)
        t.a[i] = atoll_rng_normal(rng);
    for (size_t i = 0; i < sizeof t.c / sizeof *t.c; i++)
        t.c[i] = atoll_rng_normal(rng);
    memcpy(t.got, t.c, sizeof t.c);
}

static void check(size_t batch, size_t columns, size_t rows, size_t lda, size_t ldc)
{
    for (size_t i = 0; i < sizeof t.c / sizeof *t.c; i++) {
        size_t row = i / ldc, column = i % ldc;
        double want = (double)t.c[i];
        for (size_t k = 0; k < rows && row < batch && column < columns; k++)
            want += (double)t.a[row * lda + k] * (double)t.row[k][column];
        assert_true(fabs((double)t.got[i] - want) < 2e-5);
    }
}

/* By every kernel that the processor has. */
static void products_are_added_and_nothing_else_is_touched(void **state)
{
    (void)state;
    static const size_t columns[] = {8, 16, 24, 40, 72, 112, 200, COLUMNS_MOST}, rows[] = {1, 5, 31, ROWS};
    const size_t lda = ROWS + 3;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    for (size_t batch = 1; batch <= BATCH_MOST; batch++)
        for (int n = 0; n < 8; n++) {
            size_t r = rows[(batch + (size_t)n) % 4], ldc = columns[n] + 5;
            draw(&rng);
            uint32_t kernels = 0;
            for (; atoll_product_rows_by(kernels, batch, columns[n], r, t.row, batch % 2 ? t.row : NULL, t.a, lda,
                                         t.got, ldc);
                 kernels++) {
                check(batch, columns[n], r, lda, ldc);
                memcpy(t.got, t.c, sizeof t.c);
            }
            assert_true(kernels > 0);
        }
}

/* What is asked for together does not change what comes out. */
static void a_row_does_not_depend_on_the_batch(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 2, 0);
    draw(&rng);
    atoll_product_rows(BATCH_MOST, 72, ROWS, t.row, NULL, t.a, ROWS, t.got, 72);
    for (size_t batch = 1; batch < BATCH_MOST; batch++)
        for (size_t from = 0; from + batch <= BATCH_MOST; from += batch) {
            float alone[BATCH_MOST * 72];
            memcpy(alone, t.c + from * 72, batch * 72 * sizeof *alone);
            atoll_product_rows(batch, 72, ROWS, t.row, NULL, t.a + from * ROWS, ROWS, alone, 72);
            assert_memory_equal(alone, t.got + from * 72, batch * 72 * sizeof *alone);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_added_and_nothing_else_is_touched),
        cmocka_unit_test(a_row_does_not_depend_on_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
