#include "core/ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/rng.h"

enum { M = ATOLL_RIDGE_FEATURES, WAITING = ATOLL_FACTOR_ROWS };

_Static_assert((int)M % (int)ATOLL_FACTOR_TILE == 0, "the factor's tiles fit");

/*
 * Where z z' has a mean diagonal of about one half. On pixels, clouds and boards of 2 to 784 dimensions, 100 to 4,500
 * records: 10 and 300 are each better somewhere by less, and worse elsewhere by more; pixels lose .02 at 2,000 with 10.
 */
static const float lambda = 50;

/*
 * How much of a second pass a solution takes: as if lambda were 100, 50, 25, 15 or 8, nearly. The best is flat, so
 * steps may be wide; below -0.5 squares of what is missed may fall where labels are found no more often.
 */
static const double shares[] = {-0.5, 0, 1, 2, 4};

enum { SHARES = sizeof shares / sizeof *shares, PROBES = 4 };

/* A solution takes as long as many records: it waits for a share of what there was, or for a label's news. */
enum { SOLVE_SHARE = 8, SOLVE_MOST = 1024, SOLVE_LEAST = 32, SOLVE_LABELS = 4, NEWS = 8 };

static size_t wait_floats(void)
{
    return (size_t)M * WAITING;
}

atoll_status atoll_ridge_new(atoll_ridge **out, atoll_error *error)
{
    atoll_ridge *ridge = calloc(1, sizeof *ridge);
    if (ridge && atoll_factor_init(&ridge->factor, M, lambda, error) == ATOLL_OK &&
        (ridge->wait = calloc(wait_floats(), sizeof *ridge->wait)) != NULL) {
        *out = ridge;
        return ATOLL_OK;
    }
    atoll_ridge_free(ridge);
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the analytic expert");
}

void atoll_ridge_free(atoll_ridge *ridge)
{
    if (!ridge)
        return;
    atoll_factor_clear(&ridge->factor);
    free(ridge->b);
    free(ridge->wait);
    free(ridge);
}

void atoll_ridge_reset(atoll_ridge *ridge)
{
    atoll_factor_reset(&ridge->factor, lambda);
    if (ridge->b)
        memset(ridge->b, 0, (size_t)ridge->capacity * M * sizeof *ridge->b);
    ridge->waiting = 0;
    ridge->records = ridge->solved = 0;
}

static atoll_status make_room(atoll_ridge *ridge, uint32_t labels, atoll_error *error)
{
    if (labels > ridge->capacity) {
        uint32_t capacity = labels + labels / 4 + 4;
        float *b = realloc(ridge->b, (size_t)capacity * M * sizeof *b);
        if (!b)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u labels", labels);
        memset(b + (size_t)ridge->capacity * M, 0, (size_t)(capacity - ridge->capacity) * M * sizeof *b);
        ridge->b = b;
        ridge->capacity = capacity;
    }
    if (labels > ridge->labels)
        ridge->labels = labels;
    return ATOLL_OK;
}

static void settle(atoll_ridge *ridge)
{
    atoll_factor_add(&ridge->factor, ridge->wait, ridge->waiting);
    ridge->waiting = 0;
}

atoll_status atoll_ridge_add(atoll_ridge *ridge, const float *z, uint32_t label, uint32_t labels, atoll_error *error)
{
    atoll_status status = make_room(ridge, labels, error);
    if (status)
        return status;
    float *row = ridge->b + (size_t)label * M;
    atoll_axpy(row, z, 1, M);
    for (size_t j = 0; j < M; j++)
        ridge->wait[j * WAITING + ridge->waiting] = z[j];
    if (++ridge->waiting == WAITING)
        settle(ridge);
    ridge->records++;
    /* Feature 0 is 1: its sum counts the label's records. Beyond 2^24 it stands still, and so does the news. */
    uint32_t count = (uint32_t)row[0];
    ridge->due |= count >= NEWS && (count & (count - 1)) == 0;
    return ATOLL_OK;
}

bool atoll_ridge_is_due(const atoll_ridge *ridge)
{
    uint64_t fresh = ridge->records - ridge->solved, share = ridge->solved / SOLVE_SHARE;
    uint64_t most = SOLVE_MOST + SOLVE_LABELS * ridge->labels, least = SOLVE_LEAST + SOLVE_LABELS * ridge->labels;
    return fresh && (fresh >= (share < most ? share : most) || (ridge->due && fresh >= least));
}

/* x . y over `rows` rows of features. */
static double product(const float *x, const float *y, uint32_t rows)
{
    double sum = 0;
    for (size_t i = 0; i < (size_t)rows * M; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* Random signs, which tell traces: the mean of u'Cu is C's [Hutchinson 1990]. */
static void draw_probes(float *u)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, 0, 0);
    for (size_t i = 0; i < (size_t)PROBES * M; i++)
        u[i] = atoll_rng_next(&rng) & 1 ? 1 : -1;
}

/*
 * The share with the least generalised cross-validation score [Golub, Heath, Wahba 1979]: the square sum of what is
 * missed, over the square of the degrees of freedom that are left. Both follow from products of the solution (`once`),
 * its second pass (`again`) and b, for Sigma z z' = R'R - lambda I; traces from what both passes make of probes.
 */
static float choose_share(const atoll_ridge *ridge, const float *once, const float *again, const float *probe)
{
    uint32_t l = ridge->labels;
    size_t probes = (size_t)l * M;
    double n = (double)ridge->records, b0 = product(ridge->b, once, l), b1 = product(ridge->b, again, l);
    double p00 = product(once, once, l), p01 = product(once, again, l), p11 = product(again, again, l);
    double trace = product(probe, once + probes, PROBES) / PROBES;
    double second = product(probe, again + probes, PROBES) / PROBES, least = HUGE_VAL;
    float chosen = 0;
    for (uint32_t i = 0; i < SHARES; i++) {
        double s = shares[i], used = M - lambda * trace + s * lambda * (trace - second);
        double missed = n - b0 - s * b1 + lambda * ((s - 1) * p00 + s * (s - 2) * p01 - s * s * p11);
        double left = n - used, score = fmax(missed, 0) / (left * left);
        if (left > 0 && score < least) {
            least = score;
            chosen = (float)s;
        }
    }
    return chosen;
}

/* Rows that are solved for: the labels', and the probes' behind them. */
static uint32_t rows_of(const atoll_ridge *ridge)
{
    return ridge->labels + PROBES;
}

static size_t room_floats(const atoll_ridge *ridge)
{
    return (size_t)(rows_of(ridge) + PROBES) * M;
}

/* once = w + s lambda (R'R)^-1 w, w = (R'R)^-1 b, with room for rows_of; `room` for room_floats. */
static void solve(const atoll_ridge *ridge, float *room, float *once)
{
    uint32_t rows = rows_of(ridge);
    size_t solution = (size_t)ridge->labels * M, all = (size_t)rows * M;
    float *again = room, *probe = again + all;
    draw_probes(probe);
    memcpy(once, ridge->b, solution * sizeof *once);
    memcpy(once + solution, probe, PROBES * M * sizeof *once);
    atoll_factor_solve(&ridge->factor, rows, once);
    for (size_t i = 0; i < all; i++)
        again[i] = lambda * once[i];
    atoll_factor_solve(&ridge->factor, rows, again);
    atoll_axpy(once, again, choose_share(ridge, once, again, probe), solution);
}

atoll_status atoll_ridge_solve(atoll_ridge *ridge, atoll_ridge_weights **out, atoll_error *error)
{
    *out = NULL;
    if (ridge->records == 0)
        return ATOLL_OK;
    atoll_ridge_weights *weights = malloc(sizeof *weights + (size_t)rows_of(ridge) * M * sizeof *weights->w);
    float *room = malloc(room_floats(ridge) * sizeof *room);
    if (!weights || !room) {
        free(weights);
        free(room);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the analytic expert's weights");
    }
    settle(ridge);
    solve(ridge, room, weights->w);
    free(room);
    weights->labels = ridge->labels;
    atoll_ridge_weights *shrunk = realloc(weights, atoll_ridge_weights_bytes(weights));
    weights = shrunk ? shrunk : weights;
    ridge->solved = ridge->records;
    ridge->due = false;
    *out = weights;
    return ATOLL_OK;
}

void atoll_ridge_score(const atoll_ridge_weights *weights, const float *z, uint32_t count, float *score)
{
    atoll_gemm_nt(count, weights->labels, M, z, M, weights->w, M, score, weights->labels);
}

/* ---- saving ---- */

/* The head of a blob; the factor follows, then b, then what waits. */
typedef struct saved {
    uint64_t records, solved;
    uint32_t labels, waiting, due, zero;
} saved;

static uint64_t saved_bytes(uint32_t labels, uint32_t waiting)
{
    return sizeof(saved) +
           (atoll_factor_floats(M) + (uint64_t)labels * M + (uint64_t)waiting * M) * sizeof(float);
}

uint64_t atoll_ridge_save_bytes(const atoll_ridge *ridge)
{
    return saved_bytes(ridge->labels, ridge->waiting);
}

void atoll_ridge_save(const atoll_ridge *ridge, void *blob)
{
    saved head = {ridge->records, ridge->solved, ridge->labels, ridge->waiting, ridge->due, 0};
    char *at = blob;
    memcpy(at, &head, sizeof head);
    memcpy(at += sizeof head, ridge->factor.r, atoll_factor_floats(M) * sizeof(float));
    at += atoll_factor_floats(M) * sizeof(float);
    if (ridge->labels)
        memcpy(at, ridge->b, (size_t)ridge->labels * M * sizeof(float));
    at += (size_t)ridge->labels * M * sizeof(float);
    float *rows = (float *)(void *)at;
    for (uint32_t i = 0; i < ridge->waiting; i++)
        for (size_t j = 0; j < M; j++)
            rows[i * M + j] = ridge->wait[j * WAITING + i];
}

/* Blobs are aligned as malloc aligns. */
atoll_status atoll_ridge_load(atoll_ridge *ridge, const void *blob, uint64_t bytes, atoll_error *error)
{
    saved head;
    const char *at = blob;
    if (bytes < sizeof head)
        return atoll_fail(error, ATOLL_DAMAGED, "the analytic expert has %llu bytes", (unsigned long long)bytes);
    memcpy(&head, at, sizeof head);
    if (head.waiting >= WAITING || bytes != saved_bytes(head.labels, head.waiting))
        return atoll_fail(error, ATOLL_DAMAGED, "the analytic expert has %llu bytes", (unsigned long long)bytes);
    atoll_status status = make_room(ridge, head.labels, error);
    if (status)
        return status;
    memcpy(ridge->factor.r, at += sizeof head, atoll_factor_floats(M) * sizeof(float));
    at += atoll_factor_floats(M) * sizeof(float);
    if (head.labels)
        memcpy(ridge->b, at, (size_t)head.labels * M * sizeof(float));
    at += (size_t)head.labels * M * sizeof(float);
    const float *rows = (const float *)(const void *)at;
    for (uint32_t i = 0; i < head.waiting; i++)
        for (size_t j = 0; j < M; j++)
            ridge->wait[j * WAITING + i] = rows[i * M + j];
    ridge->records = head.records;
    ridge->solved = head.solved;
    ridge->waiting = head.waiting;
    ridge->due = head.due != 0;
    return ATOLL_OK;
}

/* ---- size ---- */

uint64_t atoll_ridge_bytes(const atoll_ridge *ridge)
{
    if (!ridge)
        return 0;
    return sizeof *ridge + atoll_factor_bytes(&ridge->factor) +
           (wait_floats() + (uint64_t)ridge->capacity * M) * sizeof(float);
}

uint64_t atoll_ridge_solve_bytes(const atoll_ridge *ridge)
{
    if (!ridge || ridge->records == 0)
        return 0;
    return sizeof(atoll_ridge_weights) + ((uint64_t)rows_of(ridge) * M + room_floats(ridge)) * sizeof(float);
}

uint64_t atoll_ridge_weights_bytes(const atoll_ridge_weights *weights)
{
    return weights ? sizeof *weights + (uint64_t)ATOLL_RIDGE_FEATURES * weights->labels * sizeof(float) : 0;
}
