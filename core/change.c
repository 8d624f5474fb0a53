#include "core/change.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/ridge.h"

enum { N = ATOLL_CHANGE_FEATURES, MOST = ATOLL_CHANGE_LABELS, ROWS = ATOLL_FACTOR_ROWS, STEADY = 512 };

_Static_assert((int)N % (int)ATOLL_FACTOR_TILE == 0 && (int)N <= (int)ATOLL_RIDGE_FEATURES, "the factor's tiles fit");

static const float lambda = 50; /* as the analytic half's: core/ridge.c */

static const float mark = 11.5129f; /* -ln ATOLL_CHANGE_FALSE_ALARM */

/* Of what the evidence is worth, so much is staked on the recent learner where the two differ. */
static const double stake = 0.5;

/* Records that the recent learner has after an alarm when it is judged, and from which on its lead counts. */
enum { JUDGED = 384, LEADS = 128 };

/* A label is watched from the first share on and until the second, of about the last 1 / share_rate records. */
static const float enters = 0.02f, leaves = 0.004f, share_rate = 1 / 300.0f;

/* Inputs with more than so many times the mean leverage are unlike those that the recent learner knows. */
static const double most_leverage = 2, leverage_rate = 0.01;

/* ---- learners ---- */

static atoll_status init(atoll_change_learner *learner, atoll_error *error)
{
    learner->b = calloc((size_t)MOST * N, sizeof *learner->b);
    learner->w = calloc((size_t)MOST * N, sizeof *learner->w);
    if (!learner->b || !learner->w)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to watch vectors");
    return atoll_factor_init(&learner->factor, N, lambda, error);
}

static void clear(atoll_change_learner *learner)
{
    atoll_factor_clear(&learner->factor);
    free(learner->b);
    free(learner->w);
}

static void begin(atoll_change_learner *learner)
{
    atoll_factor_reset(&learner->factor, lambda);
    memset(learner->b, 0, (size_t)MOST * N * sizeof *learner->b);
    memset(learner->w, 0, (size_t)MOST * N * sizeof *learner->w);
    learner->records = 0;
}

/* Records of labels that are not watched are inputs like others. */
static void learn(atoll_change *change, atoll_change_learner *learner, const float *const *z, const uint32_t *place,
                  uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (size_t j = 0; j < N; j++)
            change->rows[j * ROWS + i] = z[i][j];
        if (place[i] < MOST)
            atoll_axpy(learner->b + (size_t)place[i] * N, z[i], 1, N);
    }
    atoll_factor_add(&learner->factor, change->rows, count);
    learner->records += count;
}

static void solve(const atoll_change *change, atoll_change_learner *learner)
{
    memcpy(learner->w, learner->b, (size_t)change->now.labels * N * sizeof *learner->w);
    atoll_factor_solve(&learner->factor, change->now.labels, learner->w);
}

/* Whether the learner names the label in that place. */
static bool finds(const atoll_change *change, const atoll_change_learner *learner, const float *z, uint32_t place)
{
    float own = atoll_dot(learner->w + (size_t)place * N, z, N);
    for (uint32_t y = 0; y < change->now.labels; y++)
        if (y != place && atoll_dot(learner->w + (size_t)y * N, z, N) >= own)
            return false;
    return true;
}

/* z' (R'R)^-1 z of the recent learner: small where it knows inputs like this. */
static double leverage(const atoll_change *change, const float *z)
{
    float x[N];
    memcpy(x, z, sizeof x);
    atoll_factor_solve(&change->recent.factor, 1, x);
    return (double)atoll_dot(x, z, N);
}

/* ---- what is watched ---- */

atoll_status atoll_change_new(atoll_change **out, atoll_error *error)
{
    atoll_change *change = calloc(1, sizeof *change);
    atoll_status status = ATOLL_NO_MEMORY;
    if (!change || !(change->rows = malloc((size_t)N * ROWS * sizeof *change->rows)))
        atoll_fail(error, status, "no memory to watch vectors");
    else if ((status = init(&change->steady, error)) == ATOLL_OK && (status = init(&change->recent, error)) == ATOLL_OK)
        status = init(&change->next, error);
    if (status)
        atoll_change_free(change);
    else
        *out = change;
    return status;
}

void atoll_change_free(atoll_change *change)
{
    if (!change)
        return;
    clear(&change->steady);
    clear(&change->recent);
    clear(&change->next);
    free(change->rows);
    free(change);
}

void atoll_change_restart(atoll_change *change)
{
    begin(&change->steady);
    begin(&change->recent);
    begin(&change->next);
    change->now.evidence = change->now.leverage = 0;
    change->now.alarmed = 0;
    change->now.lead = 0;
}

/* A label's place among the watched, MOST where it is not. */
static uint32_t place_of(const atoll_change *change, uint32_t label)
{
    for (uint32_t y = 0; y < change->now.labels; y++)
        if (change->now.label[y] == label)
            return y;
    return MOST;
}

/* Follows the shares of labels; true where others than before are to be watched. */
static bool follow(atoll_change_state *now, const uint32_t *label, uint32_t count)
{
    float kept = powf(1 - share_rate, (float)count);
    bool changed = false;
    for (uint32_t y = 0; y < ATOLL_CHANGE_NUMBERED; y++)
        now->share[y] *= kept;
    for (uint32_t i = 0; i < count; i++)
        if (label[i] < ATOLL_CHANGE_NUMBERED)
            now->share[label[i]] += share_rate;
    for (uint32_t y = now->labels; y-- > 0;)
        if (now->share[now->label[y]] < leaves) {
            now->label[y] = now->label[--now->labels];
            changed = true;
        }
    for (uint32_t i = 0; i < count; i++) {
        if (label[i] >= ATOLL_CHANGE_NUMBERED)
            continue;
        bool watched = now->share[label[i]] <= enters || now->labels == MOST;
        for (uint32_t y = 0; y < now->labels; y++)
            watched |= now->label[y] == label[i];
        if (!watched) {
            now->label[now->labels++] = label[i];
            changed = true;
        }
    }
    return changed;
}

/* ---- records ---- */

/* Before a record of a watched label is learned. */
static void weigh(atoll_change *change, const float *z, uint32_t place, uint64_t seq)
{
    atoll_change_state *now = &change->now;
    bool steady = finds(change, &change->steady, z, place), recent = finds(change, &change->recent, z, place);
    if (now->alarmed) {
        now->lead += change->recent.records >= LEADS ? recent - steady : 0;
        return;
    }
    if (change->steady.records < STEADY || now->evidence >= (double)mark)
        return;
    if (now->evidence <= 0)
        now->start = seq;
    if (steady != recent)
        now->evidence = fmax(0, now->evidence + log1p(recent ? stake : -stake));
}

static void rotate(atoll_change *change)
{
    atoll_change_learner old = change->recent;
    change->recent = change->next;
    change->next = old;
    begin(&change->next);
}

void atoll_change_observe(atoll_change *change, const float *const *z, const uint32_t *label, uint32_t count,
                          uint64_t first)
{
    atoll_change_state *now = &change->now;
    uint32_t place[ROWS];
    if (follow(now, label, count))
        atoll_change_restart(change);
    for (uint32_t i = 0; i < count; i++) {
        place[i] = place_of(change, label[i]);
        if (change->recent.records)
            now->leverage += leverage_rate * (leverage(change, z[i]) - now->leverage);
        if (place[i] < MOST && now->labels > 1)
            weigh(change, z[i], place[i], first + i);
    }
    if (!now->alarmed && now->evidence >= (double)mark) {
        now->alarmed = 1;
        now->alarms++;
        now->lead = 0;
        now->leverage = 0;
        begin(&change->recent);
    }
    learn(change, &change->recent, z, place, count);
    solve(change, &change->recent);
    if (now->alarmed)
        return;
    learn(change, &change->steady, z, place, count);
    solve(change, &change->steady);
    learn(change, &change->next, z, place, count);
    if (change->next.records >= ATOLL_CHANGE_WINDOW) {
        rotate(change);
        solve(change, &change->recent);
    }
}

bool atoll_change_is_due(const atoll_change *change)
{
    return change->now.alarmed && change->recent.records >= JUDGED;
}

atoll_change_opinion atoll_change_judge(const atoll_change *change, const float *z, uint32_t label)
{
    uint32_t place = place_of(change, label);
    if (place == MOST || leverage(change, z) > most_leverage * change->now.leverage)
        return (atoll_change_opinion){0};
    return (atoll_change_opinion){.known = true,
                                  .steady = finds(change, &change->steady, z, place),
                                  .recent = finds(change, &change->recent, z, place)};
}

/* ---- saving ---- */

static char *save_learner(const atoll_change_learner *learner, char *to)
{
    size_t factor = atoll_factor_floats(N) * sizeof(float), rows = (size_t)MOST * N * sizeof(float);
    uint64_t records = learner->records;
    memcpy(to, &records, sizeof records);
    memcpy(to += sizeof records, learner->factor.r, factor);
    memcpy(to += factor, learner->b, rows);
    memcpy(to += rows, learner->w, rows);
    return to + rows;
}

static const char *load_learner(atoll_change_learner *learner, const char *from)
{
    size_t factor = atoll_factor_floats(N) * sizeof(float), rows = (size_t)MOST * N * sizeof(float);
    uint64_t records;
    memcpy(&records, from, sizeof records);
    learner->records = (uint32_t)records;
    memcpy(learner->factor.r, from += sizeof records, factor);
    memcpy(learner->b, from += factor, rows);
    memcpy(learner->w, from += rows, rows);
    return from + rows;
}

uint64_t atoll_change_save_bytes(void)
{
    return sizeof(atoll_change_state) +
           3 * (sizeof(uint64_t) + (atoll_factor_floats(N) + 2 * (uint64_t)MOST * N) * sizeof(float));
}

void atoll_change_save(const atoll_change *change, void *blob)
{
    char *to = blob;
    memcpy(to, &change->now, sizeof change->now);
    to = save_learner(&change->steady, to + sizeof change->now);
    save_learner(&change->next, save_learner(&change->recent, to));
}

atoll_status atoll_change_load(atoll_change *change, const void *blob, uint64_t bytes, atoll_error *error)
{
    atoll_change_state now;
    const char *from = blob;
    if (bytes != atoll_change_save_bytes())
        return atoll_fail(error, ATOLL_DAMAGED, "the watch over vectors has %llu bytes", (unsigned long long)bytes);
    memcpy(&now, from, sizeof now);
    bool whole = now.labels <= MOST;
    for (uint32_t y = 0; whole && y < now.labels; y++)
        whole = now.label[y] < ATOLL_CHANGE_NUMBERED;
    if (!whole)
        return atoll_fail(error, ATOLL_DAMAGED, "the watch over vectors watches unknown labels");
    change->now = now;
    from = load_learner(&change->steady, from + sizeof now);
    load_learner(&change->next, load_learner(&change->recent, from));
    return ATOLL_OK;
}

uint64_t atoll_change_bytes(const atoll_change *change)
{
    if (!change)
        return 0;
    return sizeof *change + (uint64_t)N * ROWS * sizeof(float) +
           3 * (atoll_factor_bytes(&change->steady.factor) + 2 * (uint64_t)MOST * N * sizeof(float));
}
