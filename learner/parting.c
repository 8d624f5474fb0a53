#include "learner/parting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/rng.h"

enum {
    HALVES_STARTS = 4,
    HALVES_ROUNDS = 10,
    HALVES_LEAST = 16, /* a label with fewer exemplars is not halved */
    PARTS_STARTS = 32
};

/* Of the 15 labels of a CLINC150 domain 3 at most are over it, of two such domains folded onto the same labels 11. */
static const float alike = 0.25f;

/* One term of one sample. */
typedef struct held {
    uint32_t bucket, sample;
    float weight;
} held;

typedef struct parting {
    const atoll_sample *const *sample;
    uint32_t count, dim, labels, meanings;
    uint32_t *label;   /* by sample: place of its label, 0..labels-1 */
    uint32_t *meaning; /* by sample */
    bool *half;        /* by sample */
    float *centre;     /* labels x 2 x dim: the halves' directions */
    bool *twofold;     /* by label: whether its halves are unlike */
    double *likeness;  /* meanings x meanings, then what is joined by it */
    float *score;      /* samples x meanings */
    double *square;    /* 2 x meanings: squared lengths of the centres of both folds */
    held *term;
    size_t terms;
} parting;

static void clear(parting *p)
{
    free(p->label);
    free(p->meaning);
    free(p->half);
    free(p->centre);
    free(p->twofold);
    free(p->likeness);
    free(p->score);
    free(p->square);
    free(p->term);
}

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to part an expert");
}

/* Numbers the labels in the order of their first sample; false where there are too many. */
static bool number_labels(parting *p)
{
    uint32_t label[ATOLL_PARTING_MEANINGS];
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t l = 0;
        while (l < p->labels && label[l] != p->sample[i]->label)
            l++;
        if (l == ATOLL_PARTING_MEANINGS)
            return false;
        if (l == p->labels)
            label[p->labels++] = p->sample[i]->label;
        p->label[i] = l;
    }
    return true;
}

/* ---- halves of a label ---- */

static float unit(float *v, uint32_t dim)
{
    float length = sqrtf(atoll_dot(v, v, dim));
    for (uint32_t d = 0; d < dim && length > 0; d++)
        v[d] /= length;
    return length;
}

/* Sums of both halves of the samples, made unit vectors; how many are in the first, and the sum of the lengths. */
static uint32_t centres(const parting *p, const uint32_t *of, uint32_t count, const bool *half, float *two,
                        float *length)
{
    uint32_t first = 0;
    memset(two, 0, 2 * p->dim * sizeof *two);
    for (uint32_t i = 0; i < count; i++) {
        atoll_axpy(two + (half[i] ? p->dim : 0), p->sample[of[i]]->encoded.embedding, 1, p->dim);
        first += !half[i];
    }
    *length = unit(two, p->dim) + unit(two + p->dim, p->dim);
    return first;
}

/* Spherical 2-means from one sample and the one least like it. Its goal, -1 where one half is left empty. */
static float run_means(const parting *p, const uint32_t *of, uint32_t count, uint32_t start, float *two, bool *half)
{
    const float *from = p->sample[of[start]]->encoded.embedding;
    float least = INFINITY, length = -1;
    uint32_t far = start;
    for (uint32_t i = 0; i < count; i++) {
        float near = atoll_dot(from, p->sample[of[i]]->encoded.embedding, p->dim);
        far = near < least ? i : far;
        least = fminf(near, least);
    }
    memcpy(two, from, p->dim * sizeof *two);
    memcpy(two + p->dim, p->sample[of[far]]->encoded.embedding, p->dim * sizeof *two);
    for (int round = 0; round < HALVES_ROUNDS; round++) {
        for (uint32_t i = 0; i < count; i++) {
            const float *e = p->sample[of[i]]->encoded.embedding;
            half[i] = atoll_dot(e, two + p->dim, p->dim) > atoll_dot(e, two, p->dim);
        }
        uint32_t first = centres(p, of, count, half, two, &length);
        if (first == 0 || first == count)
            return -1;
    }
    return length;
}

/* Halves the samples of one label; whether both halves hold a quarter of them. */
static bool halve(parting *p, uint32_t label, uint32_t *of, bool *half, bool *best)
{
    float *two = p->centre + (size_t)label * 2 * p->dim, most = -1, length;
    uint32_t count = 0;
    atoll_rng rng;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->label[i] == label)
            of[count++] = i;
    memset(best, 0, count * sizeof *best);
    atoll_rng_seed(&rng, label, count);
    for (int start = 0; start < HALVES_STARTS && count >= HALVES_LEAST; start++) {
        float goal = run_means(p, of, count, atoll_rng_below(&rng, count), two, half);
        if (goal > most) {
            most = goal;
            memcpy(best, half, count * sizeof *best);
        }
    }
    uint32_t first = centres(p, of, count, best, two, &length);
    for (uint32_t i = 0; i < count; i++)
        p->half[of[i]] = best[i];
    return 4 * first >= count && 4 * (count - first) >= count;
}

/* Of the pairs of a half of this label and one of another, the share that are at least as much alike as its own. */
static float rank(const parting *p, uint32_t label)
{
    const float *own = p->centre + (size_t)label * 2 * p->dim;
    float likeness = atoll_dot(own, own + p->dim, p->dim);
    uint32_t more = 0, pairs = 0;
    for (uint32_t other = 0; other < p->labels * 2; other++) {
        const float *c = p->centre + (size_t)other * p->dim;
        if (other / 2 == label)
            continue;
        more += (atoll_dot(own, c, p->dim) >= likeness) + (atoll_dot(own + p->dim, c, p->dim) >= likeness);
        pairs += 2;
    }
    return pairs ? (float)more / (float)pairs : 0;
}

/* Finds the meanings. */
static atoll_status find_meanings(parting *p, atoll_error *error)
{
    uint32_t twofold = 0;
    uint32_t *of = malloc(p->count * sizeof *of);
    bool *half = malloc(2 * p->count * sizeof *half);
    p->centre = malloc((size_t)p->labels * 2 * p->dim * sizeof *p->centre);
    p->twofold = malloc(p->labels * sizeof *p->twofold);
    if (of && half && p->centre && p->twofold) {
        for (uint32_t l = 0; l < p->labels; l++)
            p->twofold[l] = halve(p, l, of, half, half + p->count);
        for (uint32_t l = 0; l < p->labels; l++)
            twofold += p->twofold[l] = p->twofold[l] && rank(p, l) > alike;
    }
    bool whole = of && half && p->centre && p->twofold, doubled = 2 * twofold >= p->labels;
    free(of);
    free(half);
    if (!whole)
        return no_memory(error);
    p->meanings = p->labels * (doubled ? 2 : 1);
    for (uint32_t i = 0; i < p->count; i++)
        p->meaning[i] = doubled ? p->label[i] * 2 + p->half[i] : p->label[i];
    return ATOLL_OK;
}

/* ---- likeness of meanings, and how well they are told apart ---- */

static int by_bucket(const void *a, const void *b)
{
    const held *x = a, *y = b;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static atoll_status gather_terms(parting *p, atoll_error *error)
{
    size_t terms = 0;
    for (uint32_t i = 0; i < p->count; i++)
        terms += p->sample[i]->encoded.known;
    if (!(p->term = malloc((terms + 1) * sizeof *p->term)))
        return no_memory(error);
    for (uint32_t i = 0; i < p->count; i++) {
        const atoll_encoded *e = &p->sample[i]->encoded;
        for (uint32_t t = 0; t < e->known; t++)
            p->term[p->terms++] = (held){e->bucket[t], i, e->weight[t]};
    }
    qsort(p->term, p->terms, sizeof *p->term, by_bucket);
    return ATOLL_OK;
}

/* Adds what one term says to the likenesses: `count` samples hold it. */
static void add_likeness(parting *p, const held *term, uint32_t count)
{
    uint32_t holders[ATOLL_PARTING_MEANINGS] = {0}, of[ATOLL_PARTING_MEANINGS], meanings = 0, twice = 0;
    double g[ATOLL_PARTING_MEANINGS];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t c = p->meaning[term[i].sample];
        if (holders[c]++ == 0)
            of[meanings++] = c;
        twice += holders[c] == 2;
    }
    double rare = log((p->meanings + 1.0) / (twice + 1.0));
    for (uint32_t i = 0; i < meanings; i++)
        g[i] = log1p(holders[of[i]]) * rare;
    for (uint32_t i = 0; i < meanings; i++)
        for (uint32_t j = 0; j < meanings; j++)
            p->likeness[(size_t)of[i] * p->meanings + of[j]] += g[i] * g[j];
}

/* Adds what one term says to the scores: samples of each fold are scored by the centres of the other. */
static void add_scores(parting *p, const held *term, uint32_t count)
{
    for (uint32_t fold = 0; fold < 2; fold++) {
        float centre[ATOLL_PARTING_MEANINGS] = {0};
        for (uint32_t i = 0; i < count; i++)
            if (term[i].sample % 2 == fold)
                centre[p->meaning[term[i].sample]] += term[i].weight;
        for (uint32_t i = 0; i < count; i++)
            if (term[i].sample % 2 != fold)
                atoll_axpy(p->score + (size_t)term[i].sample * p->meanings, centre, term[i].weight, p->meanings);
        for (uint32_t c = 0; c < p->meanings; c++)
            p->square[fold * p->meanings + c] += (double)centre[c] * (double)centre[c];
    }
}

static atoll_status compare_meanings(parting *p, atoll_error *error)
{
    size_t square = (size_t)p->meanings * p->meanings;
    p->likeness = calloc(square, sizeof *p->likeness);
    p->score = calloc((size_t)p->count * p->meanings, sizeof *p->score);
    p->square = calloc(2 * p->meanings, sizeof *p->square);
    if (!p->likeness || !p->score || !p->square)
        return no_memory(error);
    for (size_t at = 0, end; at < p->terms; at = end) {
        for (end = at + 1; end < p->terms && p->term[end].bucket == p->term[at].bucket;)
            end++;
        add_likeness(p, p->term + at, (uint32_t)(end - at));
        add_scores(p, p->term + at, (uint32_t)(end - at));
    }
    return ATOLL_OK;
}

/* The share of the samples whose nearest meaning is on their side. */
static float routable(const parting *p, const bool *side)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const double *square = p->square + (i % 2 ? 0 : p->meanings);
        const float *score = p->score + (size_t)i * p->meanings;
        double most = -1;
        uint32_t nearest = 0;
        for (uint32_t c = 0; c < p->meanings; c++) {
            double near = square[c] > 0 ? (double)score[c] / sqrt(square[c]) : 0;
            if (near > most) {
                most = near;
                nearest = c;
            }
        }
        right += side[nearest] == side[p->meaning[i]];
    }
    return (float)right / (float)p->count;
}

/* ---- two parts ---- */

/* Likenesses become cosines less what the meanings' sums let expect: what is gained by having two on one side. */
static void expect(parting *p, double *sum)
{
    double all = 0;
    uint32_t n = p->meanings;
    memset(sum, 0, n * sizeof *sum);
    for (uint32_t c = 0; c < n; c++)
        sum[c] = sqrt(p->likeness[(size_t)c * n + c]);
    for (uint32_t c = 0; c < n; c++)
        for (uint32_t d = 0; d < n; d++) {
            double lengths = c == d ? 0 : sum[c] * sum[d];
            double *at = &p->likeness[(size_t)c * n + d];
            *at = lengths > 0 ? *at / lengths : 0;
        }
    for (uint32_t c = 0; c < n; c++) {
        sum[c] = 0;
        for (uint32_t d = 0; d < n; d++)
            sum[c] += p->likeness[(size_t)c * n + d];
        all += sum[c];
    }
    for (uint32_t c = 0; c < n; c++)
        for (uint32_t d = 0; d < n; d++)
            p->likeness[(size_t)c * n + d] -= c == d || all == 0 ? 0 : sum[c] * sum[d] / all;
}

/* What is gained by having the labels on the sides `x` says, between two labels: the second meaning of each is on the
 * other side. */
static double bond(const parting *p, uint32_t a, uint32_t b)
{
    uint32_t fold = p->meanings / p->labels;
    double sum = 0;
    for (uint32_t i = 0; i < fold; i++)
        for (uint32_t j = 0; j < fold; j++)
            sum += (i == j ? 1 : -1) * p->likeness[(size_t)(a * fold + i) * p->meanings + b * fold + j];
    return sum;
}

/* Moves labels to the other side one by one, the most gainful first, until none gains. The gain of it all. */
static double exchange(const double *bonds, uint32_t labels, double *pull, int8_t *x)
{
    double gain = 0;
    for (uint32_t a = 0; a < labels; a++) {
        pull[a] = 0;
        for (uint32_t b = 0; b < labels; b++)
            pull[a] += a == b ? 0 : bonds[a * labels + b] * x[b];
    }
    for (;;) {
        uint32_t worst = 0;
        for (uint32_t a = 1; a < labels; a++)
            worst = pull[a] * x[a] < pull[worst] * x[worst] ? a : worst;
        if (pull[worst] * x[worst] > -1e-9)
            break;
        x[worst] = (int8_t)-x[worst];
        for (uint32_t a = 0; a < labels; a++)
            pull[a] += a == worst ? 0 : 2 * bonds[a * labels + worst] * x[worst];
    }
    for (uint32_t a = 0; a < labels; a++)
        gain += pull[a] * x[a];
    return gain;
}

/* The sides of meanings; false where memory is short. */
static bool part(parting *p, bool *side)
{
    uint32_t n = p->labels, fold = p->meanings / n;
    double *bonds = malloc(((size_t)n * n + n + p->meanings) * sizeof *bonds), most = -INFINITY;
    int8_t x[ATOLL_PARTING_MEANINGS], best[ATOLL_PARTING_MEANINGS] = {0};
    atoll_rng rng;
    if (!bonds)
        return false;
    double *pull = bonds + (size_t)n * n;
    expect(p, pull + n);
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            bonds[a * n + b] = bond(p, a, b);
    atoll_rng_seed(&rng, n, p->count);
    for (int start = 0; start < PARTS_STARTS; start++) {
        for (uint32_t a = 0; a < n; a++)
            x[a] = atoll_rng_below(&rng, 2) ? 1 : -1;
        double gain = exchange(bonds, n, pull, x);
        if (gain > most) {
            most = gain;
            memcpy(best, x, n * sizeof *best);
        }
    }
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t i = 0; i < fold; i++)
            side[a * fold + i] = (best[a] > 0) != (i > 0);
    free(bonds);
    return true;
}

/* Whether both sides hold a quarter of the samples. */
static bool balanced(const parting *p, const bool *side)
{
    uint32_t second = 0;
    for (uint32_t i = 0; i < p->count; i++)
        second += side[p->meaning[i]];
    return 4 * second >= p->count && 4 * (p->count - second) >= p->count;
}

atoll_status atoll_parting_find(const atoll_sample *const *sample, uint32_t count, uint32_t embedding_dim,
                                uint32_t room, bool *side, atoll_parting *found, atoll_error *error)
{
    bool of_meaning[ATOLL_PARTING_MEANINGS];
    parting p = {.sample = sample, .count = count, .dim = embedding_dim};
    atoll_status status = ATOLL_OK;
    *found = (atoll_parting){0};
    if (count == 0 || count > ATOLL_PARTING_SAMPLES)
        return ATOLL_OK;
    p.label = malloc(count * sizeof *p.label);
    p.meaning = malloc(count * sizeof *p.meaning);
    p.half = malloc(count * sizeof *p.half);
    if (!p.label || !p.meaning || !p.half) {
        status = no_memory(error);
        goto done;
    }
    if (!number_labels(&p) || 2 * p.labels <= room)
        goto done;
    if ((status = find_meanings(&p, error)))
        goto done;
    found->labels = p.labels;
    found->meanings = p.meanings;
    if (p.meanings <= room || p.meanings > ATOLL_PARTING_MEANINGS)
        goto done;
    if ((status = gather_terms(&p, error)) || (status = compare_meanings(&p, error)))
        goto done;
    if (!part(&p, of_meaning)) {
        status = no_memory(error);
        goto done;
    }
    found->routable = routable(&p, of_meaning);
    float enough = p.meanings > p.labels ? ATOLL_PARTING_ROUTABLE_TWOFOLD : ATOLL_PARTING_ROUTABLE;
    found->parted = p.terms && balanced(&p, of_meaning) && found->routable >= enough;
    for (uint32_t i = 0; i < count; i++)
        side[i] = of_meaning[p.meaning[i]];
done:
    clear(&p);
    return status;
}
