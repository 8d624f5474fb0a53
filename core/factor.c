#include "core/factor.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"

/* Columns that are turned at once: their scratch stays in cache, and is small beside the factor. */
enum { TILE = ATOLL_FACTOR_TILE, ROWS = ATOLL_FACTOR_ROWS, TURNED = 512 };

/* Where the panel begins whose first row is `row`. */
static size_t panel_at(uint32_t n, uint32_t row)
{
    size_t panels = row / TILE;
    return TILE * (panels * n - TILE * (panels * (panels - (panels > 0)) / 2));
}

uint64_t atoll_factor_floats(uint32_t n)
{
    return panel_at(n, n);
}

static uint64_t work_floats(uint32_t n)
{
    return (uint64_t)ATOLL_QR_BLOCK * (TILE + (n < TURNED ? n : TURNED));
}

atoll_status atoll_factor_init(atoll_factor *factor, uint32_t n, float lambda, atoll_error *error)
{
    assert(n % TILE == 0);
    *factor = (atoll_factor){.n = n,
                             .r = malloc(atoll_factor_floats(n) * sizeof *factor->r),
                             .work = malloc(work_floats(n) * sizeof *factor->work)};
    if (!factor->r || !factor->work) {
        atoll_factor_clear(factor);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the analytic expert");
    }
    atoll_factor_reset(factor, lambda);
    return ATOLL_OK;
}

void atoll_factor_clear(atoll_factor *factor)
{
    free(factor->r);
    free(factor->work);
    *factor = (atoll_factor){0};
}

void atoll_factor_reset(atoll_factor *factor, float lambda)
{
    memset(factor->r, 0, atoll_factor_floats(factor->n) * sizeof *factor->r);
    for (uint32_t row = 0; row < factor->n; row++)
        factor->r[panel_at(factor->n, row) + (size_t)(row % TILE) * (TILE + 1)] = sqrtf(lambda);
}

void atoll_factor_add(atoll_factor *factor, float *rows, uint32_t k)
{
    float *t = factor->work, *work = t + (size_t)ATOLL_QR_BLOCK * TILE;
    assert(k <= ROWS);
    for (uint32_t row = 0; row < factor->n && k; row += TILE) {
        float *panel = factor->r + panel_at(factor->n, row), *v = rows + (size_t)row * ROWS;
        uint32_t columns = factor->n - row;
        atoll_qr_fold(TILE, k, panel, TILE, v, ROWS, t, work);
        for (uint32_t at = TILE; at < columns; at += TURNED)
            atoll_qr_turn(TILE, k, columns - at < TURNED ? columns - at : TURNED, v, ROWS, t,
                          panel + (size_t)at * TILE, TILE, v + (size_t)at * ROWS, ROWS, work);
    }
}

void atoll_factor_solve(const atoll_factor *factor, uint32_t columns, float *b)
{
    uint32_t n = factor->n;
    for (uint32_t row = 0; row < n; row += TILE) { /* R' y = b */
        const float *panel = factor->r + panel_at(n, row);
        atoll_triangle_solve(TILE, columns, panel, TILE, true, b + row, n);
        atoll_gemm_less(columns, n - row - TILE, TILE, b + row, n, panel + TILE * TILE, TILE, true, b + row + TILE, n);
    }
    for (uint32_t row = n; row > 0;) { /* R x = y */
        row -= TILE;
        const float *panel = factor->r + panel_at(n, row);
        atoll_gemm_less(columns, TILE, n - row - TILE, b + row + TILE, n, panel + TILE * TILE, TILE, false, b + row, n);
        atoll_triangle_solve(TILE, columns, panel, TILE, false, b + row, n);
    }
}

uint64_t atoll_factor_bytes(const atoll_factor *factor)
{
    return factor->r ? (atoll_factor_floats(factor->n) + work_floats(factor->n)) * sizeof(float) : 0;
}
