#include "core/newton.h"

#include <math.h>

#include "core/kernels.h"

/*
 * The window is 2,000 records. 500 and 5,000 measure alike on texts and vectors, domains one after another or mixed.
 */
static const float kept = 0.9995f;

/* One record moves no weight further: scores of a first record may be all alike, and the curvature next to nothing. */
static const double longest = 0.1;

void atoll_moments_add(atoll_moments *moments, const float *p, const float *const *score, uint32_t weights,
                       uint32_t count)
{
    enum { BLOCK = 64 };
    float weighed[BLOCK];
    for (uint32_t from = 0; from < count; from += BLOCK) {
        uint32_t n = count - from < BLOCK ? count - from : BLOCK;
        for (uint32_t v = 0; v < weights; v++) {
            if (!score[v])
                continue;
            moments->speaks[v] = true;
            for (uint32_t i = 0; i < n; i++)
                weighed[i] = p[from + i] * score[v][from + i];
            for (uint32_t i = 0; i < n; i++)
                moments->mean[v] += weighed[i];
            for (uint32_t u = 0; u <= v; u++)
                if (score[u])
                    moments->product[v][u] += atoll_dot(weighed, score[u] + from, n);
        }
    }
}

void atoll_moments_divide(atoll_moments *moments, double total)
{
    for (uint32_t v = 0; v < ATOLL_NEWTON_MAX; v++) {
        moments->mean[v] /= total;
        for (uint32_t u = 0; u <= v; u++)
            moments->product[v][u] /= total;
    }
}

void atoll_moments_drop(atoll_moments *moments, uint32_t v)
{
    moments->speaks[v] = false;
}

/* x = (C + prior I)^-1 b in place, by Cholesky's factor, over the weights that speak; the others' b is 0. */
static void solve(const atoll_newton *newton, const bool *speaks, float prior, uint32_t weights, double *b)
{
    double factor[ATOLL_NEWTON_MAX][ATOLL_NEWTON_MAX];
    for (uint32_t i = 0; i < weights; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            double rest = (speaks[i] && speaks[j] ? newton->curvature[i][j] : 0) + (i == j ? prior : 0);
            for (uint32_t k = 0; k < j; k++)
                rest -= factor[i][k] * factor[j][k];
            factor[i][j] = i == j ? sqrt(fmax(rest, 1e-9)) : rest / factor[j][j];
        }
        for (uint32_t k = 0; k < i; k++)
            b[i] -= factor[i][k] * b[k];
        b[i] /= factor[i][i];
    }
    for (uint32_t i = weights; i-- > 0;) {
        for (uint32_t k = i + 1; k < weights; k++)
            b[i] -= factor[k][i] * b[k];
        b[i] /= factor[i][i];
    }
}

void atoll_newton_step(atoll_newton *newton, const atoll_moments *moments, const float *right,
                       const atoll_newton_prior *prior, float importance, float *weight, uint32_t weights,
                       float most)
{
    double step[ATOLL_NEWTON_MAX];
    for (uint32_t v = 0; v < weights; v++) {
        double slope = importance * (moments->mean[v] - right[v]);
        slope += (1 - kept) * prior->precision * (weight[v] - prior->home[v]);
        step[v] = moments->speaks[v] ? slope : 0;
        for (uint32_t u = 0; u <= v; u++) {
            float *c = &newton->curvature[v][u];
            double together = moments->product[v][u] - moments->mean[v] * moments->mean[u];
            *c = kept * *c + (moments->speaks[v] && moments->speaks[u] ? importance * (float)together : 0);
        }
    }
    solve(newton, moments->speaks, prior->precision, weights, step);
    for (uint32_t v = 0; v < weights; v++)
        if (moments->speaks[v])
            weight[v] = fminf(fmaxf(weight[v] - (float)fmin(fmax(step[v], -longest), longest), 0), most);
}
