#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/factor.h"
#include "core/kernels.h"
#include "core/rng.h"

enum { N = 10 * ATOLL_FACTOR_TILE, ROWS = ATOLL_FACTOR_ROWS, COLUMNS = 3 };

static int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL) == ATOLL_OK ? 0 : -1;
}

/* lambda I + sum z z' of the same rows, in double. */
static double sums[N][N];

static void add_rows(atoll_factor *factor, atoll_rng *rng, uint32_t k)
{
    static float rows[N * ROWS];
    for (uint32_t j = 0; j < N; j++)
        for (uint32_t i = 0; i < ROWS; i++)
            rows[j * ROWS + i] = i < k ? fmaxf(atoll_rng_normal(rng), 0) : NAN; /* never read */
    for (uint32_t a = 0; a < N; a++)
        for (uint32_t b = 0; b < N; b++)
            for (uint32_t i = 0; i < k; i++)
                sums[a][b] += (double)rows[a * ROWS + i] * rows[b * ROWS + i];
    atoll_factor_add(factor, rows, k);
}

static void expect_solutions(const atoll_factor *factor, atoll_rng *rng)
{
    static float b[COLUMNS * N], x[COLUMNS * N];
    for (uint32_t i = 0; i < COLUMNS * N; i++)
        x[i] = atoll_rng_normal(rng);
    for (uint32_t c = 0; c < COLUMNS; c++)
        for (uint32_t i = 0; i < N; i++) {
            double sum = 0;
            for (uint32_t j = 0; j < N; j++)
                sum += sums[i][j] * x[c * N + j];
            b[c * N + i] = (float)sum;
        }
    atoll_factor_solve(factor, COLUMNS, b);
    for (uint32_t i = 0; i < COLUMNS * N; i++)
        if (fabsf(b[i] - x[i]) > 5e-3f)
            fail_msg("x[%u] is %g, not %g", i, (double)b[i], (double)x[i]);
}

static void solutions_are_those_of_the_sums(void **state)
{
    static const uint32_t sizes[] = {1, ROWS, 7, 0, ROWS, ROWS, 33, ROWS};
    atoll_factor factor;
    atoll_rng rng;
    (void)state;
    assert_int_equal(atoll_factor_init(&factor, N, 4, NULL), ATOLL_OK);
    assert_true(atoll_factor_bytes(&factor) >= atoll_factor_floats(N) * sizeof(float));
    assert_int_equal(atoll_factor_floats(N), ATOLL_FACTOR_TILE * ATOLL_FACTOR_TILE * 55);
    for (int again = 0; again < 2; again++) {
        memset(sums, 0, sizeof sums);
        for (int i = 0; i < N; i++)
            sums[i][i] = 4;
        atoll_rng_seed(&rng, 4, (uint64_t)again);
        expect_solutions(&factor, &rng);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            add_rows(&factor, &rng, sizes[i]);
            expect_solutions(&factor, &rng);
        }
        atoll_factor_reset(&factor, 4);
    }
    atoll_factor_clear(&factor);
    assert_int_equal(atoll_factor_bytes(&factor), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(solutions_are_those_of_the_sums)};
    return cmocka_run_group_tests(tests, start, NULL);
}
