#include "core/sureness.h"

#include <math.h>

/* What a sum keeps at each record seen: of the last 10,000, which are 20,000 of the stream. */
static const double kept = 1 - 1e-4;

/* Of the mean loss, which is that far off by chance in one of 44 cases. */
static const double deviations = 2;

/* In the place of so many records that say nothing, where cues do not vary. */
static const double ridge = 1e-2;

void atoll_sureness_init(atoll_sureness *sureness)
{
    *sureness = (atoll_sureness){.bound = INFINITY};
}

static float edge_of(int bin)
{
    return 1 - exp2f(-0.25f * (float)bin);
}

static int bin_of(float score)
{
    int bin = ATOLL_SURENESS_BINS - 1;
    while (bin > 0 && score < edge_of(bin))
        bin--;
    return bin;
}

/* Whether a mean loss of ATOLL_SURENESS_LOSS is refuted by what was seen. */
static bool loses_less(double loss, double square, double seen)
{
    double mean = ATOLL_SURENESS_LOSS, variance = fmax(square / seen, mean) - mean * mean;
    return mean - loss / seen >= deviations * sqrt(variance / seen);
}

/* The least score from which answers are sure. */
static float find_bound(const atoll_sureness *s)
{
    double seen = 0, loss = 0, square = 0;
    float bound = INFINITY;
    for (int bin = ATOLL_SURENESS_BINS - 1; bin >= 0; bin--) {
        seen += s->seen[bin];
        loss += s->loss[bin];
        square += s->square[bin];
        if (s->seen[bin] > 0 && seen >= ATOLL_SURENESS_SHARE * s->all && loses_less(loss, square, seen))
            bound = edge_of(bin);
    }
    return bound;
}

/* (product + ridge) weight = target, by Cholesky's factorisation. */
static void solve(atoll_sureness *s)
{
    enum { N = ATOLL_CHEAP_CUES };
    double l[N][N], x[N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double sum = s->product[i][j] + (i == j ? ridge : 0);
            for (int k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(fmax(sum, ridge * 1e-6)) : sum / l[j][j];
        }
    for (int i = 0; i < N; i++) {
        x[i] = s->target[i];
        for (int k = 0; k < i; k++)
            x[i] -= l[i][k] * x[k];
        x[i] /= l[i][i];
    }
    for (int i = N - 1; i >= 0; i--) {
        for (int k = i + 1; k < N; k++)
            x[i] -= l[k][i] * x[k];
        x[i] /= l[i][i];
        s->weight[i] = (float)x[i];
    }
}

float atoll_sureness_familiarity(const atoll_sureness *sureness, const float *cue)
{
    float sum = 0;
    for (int i = 0; i < ATOLL_CHEAP_CUES; i++)
        sum += sureness->weight[i] * cue[i];
    return sum;
}

void atoll_sureness_learn(atoll_sureness *sureness, const float *cue, float familiarity, float credit, int loss)
{
    atoll_sureness *s = sureness;
    for (int bin = 0; bin < ATOLL_SURENESS_BINS; bin++) {
        s->seen[bin] *= kept;
        s->loss[bin] *= kept;
        s->square[bin] *= kept;
    }
    s->all = kept * s->all + 1;
    if (credit > 0) {
        int bin = bin_of(credit);
        s->seen[bin]++;
        s->loss[bin] += loss;
        s->square[bin] += loss * loss;
    }
    s->bound = find_bound(s);
    /* Only familiarities of answers that might be sure are ever foretold. */
    if (cue[ATOLL_CHEAP_SCORE] < 0.5f)
        return;
    for (int i = 0; i < ATOLL_CHEAP_CUES; i++) {
        for (int j = 0; j <= i; j++)
            s->product[i][j] = kept * s->product[i][j] + (double)(cue[i] * cue[j]);
        s->target[i] = kept * s->target[i] + (double)(cue[i] * familiarity);
    }
    solve(s);
}
