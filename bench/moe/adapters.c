#include "bench/moe/adapters.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/kernels.h"
#include "core/projection.h"
#include "core/rng.h"
#include "learner/fit.h"
#include "learner/step.h"

/* Of 4, 8, 16, 32 by .05, .1, .2: see docs/when-to-use-which.md. */
enum { RANK = 16 };
static const float rate_head = 0.1f, rate_low = 0.1f;

/* As for experts (learner/fit.c, core/net.c). */
static const float hard = 0.5f, sure = 0.97f, initial_scale = 0.3f, floor_of_squares = 1e-10f;

typedef struct adapter {
    bool open;
    atoll_rows sparse; /* A by bucket: [rank], and the row's accumulator */
    float *dense;      /* A by random feature, the same, or NULL */
    float *head;       /* by output: b, B [rank], then their accumulators */
    uint32_t outputs;
} adapter;

static struct {
    bool open;
    uint32_t rank;
    atoll_pager pager;
    adapter of[ATOLL_EXPERTS_MAX];
    /* The base is read after it has learned the step's samples, by the thread that fits experts beside it. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool base_learns;
    const atoll_expert *base;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* What the base said last on this thread, and of what. */
static _Thread_local struct {
    const atoll_expert *base;
    uint64_t input;
    uint32_t labels, room;
    float *p;
} said;

/* As the headers have them, so that a changed signature does not compile. */
__typeof__(atoll_fit_expert) __real_atoll_fit_expert, __wrap_atoll_fit_expert;
__typeof__(atoll_expert_predict) __real_atoll_expert_predict, __wrap_atoll_expert_predict;
__typeof__(atoll_step_rehearse) __real_atoll_step_rehearse, __wrap_atoll_step_rehearse;

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an adapter");
}

/* ---- life ---- */

static bool begin(void)
{
    const char *rank = getenv("ATOLL_ADAPTER_RANK");
    all.rank = rank ? (uint32_t)atoi(rank) : RANK;
    if (all.rank < 1 || all.rank > ADAPTERS_RANK_MAX || !(all.pager.reclaim = atoll_reclaim_new()))
        return false;
    all.base = NULL;
    all.open = true;
    return true;
}

static void end(void)
{
    all.open = false;
    for (uint32_t e = 0; e < ATOLL_EXPERTS_MAX; e++) {
        adapter *a = &all.of[e];
        if (a->open)
            atoll_rows_clear(&all.pager, &a->sparse);
        free(a->dense);
        free(a->head);
        *a = (adapter){0};
    }
    atoll_reclaim_free(all.pager.reclaim);
}

static uint64_t parameters(const adapter *a, double rows)
{
    double dense = a->dense ? ATOLL_PROJECTION_FEATURES : 0;
    return (uint64_t)((rows + dense) * all.rank) + (uint64_t)a->outputs * (1 + all.rank);
}

static run_extent measure(const atoll_model *model, double features)
{
    run_extent sum = {0};
    for (uint32_t e = 1; e < model->experts; e++) {
        const adapter *a = &all.of[e];
        if (!a->open || model->expert[e].state != ATOLL_EXPERT_ACTIVE)
            continue;
        sum.parameters += (double)parameters(a, a->sparse.rows.count);
        sum.active += model->expert[e].share * (double)parameters(a, features);
        sum.bytes += (double)atoll_rows_bytes(&a->sparse) + a->outputs * 2.0 * (1 + all.rank) * sizeof(float) +
                     (a->dense ? ATOLL_PROJECTION_FEATURES * (all.rank + 1.0) * sizeof(float) : 0);
    }
    return sum;
}

const run_stand_in adapters = {begin, end, measure};

/* ---- one adapter ---- */

static void draw(float *row, float scale, uint64_t seed, uint64_t number)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, number);
    for (uint32_t k = 0; k < all.rank; k++)
        row[k] = scale * atoll_rng_normal(&rng);
}

/* Room for `outputs`, and for the input's features; B and b start at 0, A at random, as in LoRA. */
static atoll_status prepare(adapter *a, uint32_t expert, uint32_t outputs, const atoll_input *input, uint32_t *row,
                            atoll_error *error)
{
    uint32_t width = 2 * (1 + all.rank), fresh;
    atoll_status status = ATOLL_OK;
    if (!a->open)
        atoll_rows_init(&a->sparse, all.rank + 1);
    a->open = true;
    if (outputs > a->outputs) {
        float *head = realloc(a->head, (size_t)outputs * width * sizeof *head);
        if (!head)
            return no_memory(error);
        memset(head + (size_t)a->outputs * width, 0, (size_t)(outputs - a->outputs) * width * sizeof *head);
        a->head = head;
        a->outputs = outputs;
    }
    if (input->z && !a->dense) {
        if (!(a->dense = calloc(ATOLL_PROJECTION_FEATURES, (all.rank + 1) * sizeof *a->dense)))
            return no_memory(error);
        float norm = sqrtf(atoll_dot(input->z, input->z, ATOLL_PROJECTION_FEATURES));
        for (uint32_t i = 0; i < ATOLL_PROJECTION_FEATURES; i++)
            draw(a->dense + (size_t)i * (all.rank + 1), initial_scale / norm, expert, UINT64_C(1) << 32 | i);
    }
    atoll_rows_find(&a->sparse, input->bucket, input->features, row);
    for (uint32_t i = 0; i < input->features && status == ATOLL_OK; i++)
        if (row[i] == ATOLL_ROW_NONE &&
            (status = atoll_rows_add(&all.pager, &a->sparse, input->bucket[i], &fresh, error)) == ATOLL_OK) {
            draw(atoll_rows_edit(&all.pager, &a->sparse, fresh), initial_scale, expert, input->bucket[i]);
            row[i] = fresh;
        }
    return status;
}

/* low = A x; logits += b + B low. */
static void run(const adapter *a, const atoll_input *input, const uint32_t *row, float *low, float *logits)
{
    uint32_t rank = all.rank;
    memset(low, 0, rank * sizeof *low);
    for (uint32_t i = 0; i < input->features; i++)
        if (row[i] != ATOLL_ROW_NONE)
            atoll_axpy(low, atoll_rows_at(&a->sparse, row[i]), input->weight[i], rank);
    for (uint32_t i = 0; input->z && a->dense && i < ATOLL_PROJECTION_FEATURES; i++)
        if (input->z[i] > 0)
            atoll_axpy(low, a->dense + (size_t)i * (rank + 1), input->z[i], rank);
    for (uint32_t o = 0; o < a->outputs; o++) {
        const float *head = a->head + (size_t)o * 2 * (1 + rank);
        logits[o] += head[0] + atoll_dot(head + 1, low, rank);
    }
}

static void step_low(float *row, const float *slope, float x, float mean_square)
{
    uint32_t rank = all.rank;
    row[rank] += x * x * mean_square;
    atoll_axpy(row, slope, -rate_low * x / sqrtf(row[rank] + floor_of_squares), rank);
}

/* One step down delta = dL/dlogits of the input that was run last. */
static void step(adapter *a, const atoll_input *input, const uint32_t *row, const float *low, const float *delta)
{
    const float one = 1;
    uint32_t rank = all.rank;
    float slope[ADAPTERS_RANK_MAX] = {0};
    for (uint32_t o = 0; o < a->outputs; o++) {
        float *head = a->head + (size_t)o * 2 * (1 + rank), *squares = head + 1 + rank;
        atoll_axpy(slope, head + 1, delta[o], rank);
        atoll_adagrad(head, squares, &one, delta[o], rate_head, 1);
        atoll_adagrad(head + 1, squares + 1, low, delta[o], rate_head, rank);
    }
    float mean_square = atoll_dot(slope, slope, rank) / (float)rank;
    for (uint32_t i = 0; i < input->features; i++)
        step_low(atoll_rows_edit(&all.pager, &a->sparse, row[i]), slope, input->weight[i], mean_square);
    for (uint32_t i = 0; input->z && i < ATOLL_PROJECTION_FEATURES; i++)
        if (input->z[i] > 0)
            step_low(a->dense + (size_t)i * (rank + 1), slope, input->z[i], mean_square);
}

/* ---- in the place of experts ---- */

static uint64_t key_of(const atoll_input *input)
{
    uint64_t key = atoll_hash64(input->bucket, input->features * sizeof *input->bucket, 1);
    return input->z ? atoll_hash64(input->z, 64 * sizeof *input->z, key) : key;
}

/* Leaves in `said` what the base says, asking it where it was asked of something else. `logits` is scratch. */
static atoll_status ask_base(const atoll_expert *base, atoll_net_scratch *scratch, const atoll_input *input,
                             float *logits, float *probability, atoll_error *error)
{
    uint64_t key = key_of(input);
    if (said.base == base && said.input == key && said.labels == base->net.outputs)
        return ATOLL_OK;
    atoll_status status = __real_atoll_expert_predict(base, scratch, input, NULL, 0, logits, probability, error);
    if (status)
        return status;
    if (said.room < base->net.outputs) {
        free(said.p);
        said.room = base->net.outputs + 64;
        if (!(said.p = malloc(said.room * sizeof *said.p)))
            return said.room = 0, no_memory(error);
    }
    memcpy(said.p, logits, base->net.outputs * sizeof *logits);
    said.base = base;
    said.input = key;
    said.labels = base->net.outputs;
    return ATOLL_OK;
}

/* log p of the expert's labels. */
static void start_from_base(const atoll_expert *expert, float *logits)
{
    for (uint32_t o = 0; o < expert->net.outputs; o++) {
        uint32_t label = atoll_expert_label_at(expert, o)->label;
        logits[o] = logf((label < said.labels ? said.p[label] : 0) + 1e-8f);
    }
}

atoll_status __wrap_atoll_expert_predict(const atoll_expert *expert, atoll_net_scratch *scratch,
                                         const atoll_input *input, const float *h, float scale, float *logits,
                                         float *probability, atoll_error *error)
{
    if (!all.open)
        return __real_atoll_expert_predict(expert, scratch, input, h, scale, logits, probability, error);
    if (expert->state == ATOLL_EXPERT_SHARED) {
        said.base = NULL;
        atoll_status status = ask_base(expert, scratch, input, logits, probability, error);
        for (uint32_t o = 0; o < expert->net.outputs && status == ATOLL_OK; o++)
            probability[o] += scale * logits[o];
        return status;
    }
    const adapter *a = &all.of[expert->id];
    float low[ADAPTERS_RANK_MAX];
    uint32_t row[ATOLL_FEATURES_MAX];
    atoll_status status = ATOLL_OK;
    if (expert->net.outputs == 0 || !said.base ||
        (status = ask_base(said.base, scratch, input, logits, probability, error)))
        return status;
    start_from_base(expert, logits);
    if (a->open && a->outputs <= expert->net.outputs) {
        atoll_rows_find(&a->sparse, input->bucket, input->features, row);
        run(a, input, row, low, logits);
    }
    atoll_softmax(logits, expert->net.outputs);
    for (uint32_t o = 0; o < expert->net.outputs; o++)
        probability[atoll_expert_label_at(expert, o)->label] += scale * logits[o];
    return ATOLL_OK;
}

/* One sample; *probability is what its label had before. */
static atoll_status fit_one(const atoll_expert *expert, atoll_workspace *workspace, const atoll_sample *sample,
                            float *probability, atoll_error *error)
{
    adapter *a = &all.of[expert->id];
    float low[ADAPTERS_RANK_MAX], *logits = workspace->logits;
    uint32_t row[ATOLL_FEATURES_MAX], output = atoll_expert_output(expert, sample->label);
    atoll_input input = atoll_predict_input(&sample->encoded);
    atoll_status status = ask_base(all.base, &workspace->net, &input, logits, workspace->combined, error);
    if (status || (status = prepare(a, expert->id, expert->net.outputs, &input, row, error)))
        return status;
    start_from_base(expert, logits);
    run(a, &input, row, low, logits);
    atoll_softmax(logits, a->outputs);
    *probability = logits[output];
    if (*probability > sure)
        return ATOLL_OK;
    logits[output] -= 1;
    step(a, &input, row, low, logits);
    return ATOLL_OK;
}

atoll_status __wrap_atoll_fit_expert(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                                     atoll_sample *const *samples, uint32_t count, const float *lean,
                                     atoll_error *error)
{
    if (!all.open)
        return __real_atoll_fit_expert(pager, expert, workspace, samples, count, lean, error);
    atoll_status status;
    if (expert->state == ATOLL_EXPERT_SHARED) {
        status = __real_atoll_fit_expert(pager, expert, workspace, samples, count, lean, error);
        pthread_mutex_lock(&all.mutex);
        all.base = expert;
        all.base_learns = false;
        pthread_cond_signal(&all.changed);
        pthread_mutex_unlock(&all.mutex);
        return status;
    }
    /* Held out, they are counted and fit nothing. */
    atoll_sample counted[ATOLL_FIT_SAMPLES], *pointer[ATOLL_FIT_SAMPLES];
    float probability[ATOLL_FIT_SAMPLES];
    for (uint32_t i = 0; i < count; i++) {
        counted[i] = *samples[i];
        counted[i].held_out = true;
        pointer[i] = &counted[i];
    }
    status = __real_atoll_fit_expert(pager, expert, workspace, pointer, count, lean, error);
    pthread_mutex_lock(&all.mutex);
    while (all.base_learns)
        pthread_cond_wait(&all.changed, &all.mutex);
    pthread_mutex_unlock(&all.mutex);
    said.base = NULL;
    for (int again = 0; again < 2; again++)
        for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
            if (!samples[i]->held_out && atoll_expert_output(expert, samples[i]->label) != ATOLL_ROW_NONE &&
                (!again || probability[i] < hard))
                status = fit_one(expert, workspace, samples[i], &probability[i], error);
    said.base = NULL;
    return status;
}

atoll_status __wrap_atoll_step_rehearse(atoll_hand *h, atoll_trainer *trainer, atoll_state *state, atoll_error *error)
{
    pthread_mutex_lock(&all.mutex);
    all.base_learns = all.open;
    pthread_mutex_unlock(&all.mutex);
    return __real_atoll_step_rehearse(h, trainer, state, error);
}
