#include "learner/renewal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "learner/dense.h"

/*
 * Labels were replaced where the recent learner, which leads on what is new, loses against the steady one on what was
 * remembered before: by so many deviations of McNemar's test, and on at least one in LEAST_PART of what it knows.
 */
static const double deviations = 4;

enum { LEAST_PART = 50 };

/* Room to read exemplars. */
typedef struct reader {
    float *v, *z, *scratch;
} reader;

static atoll_status open_reader(const atoll_state *state, reader *r, atoll_error *error)
{
    uint32_t dim = state->model.encoder.vector_dim;
    size_t most = state->model.config.granularity == ATOLL_GRANULARITY_TOKEN ? ATOLL_NUMBERS_MAX : dim;
    r->v = malloc((most + ATOLL_RIDGE_FEATURES + ATOLL_DENSE_SCRATCH + atoll_projection_scratch(dim)) * sizeof *r->v);
    if (!r->v)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn vectors anew");
    r->z = r->v + most;
    r->scratch = r->z + ATOLL_RIDGE_FEATURES;
    return ATOLL_OK;
}

static bool has_vectors(const atoll_slot *held)
{
    return held->exemplar && (held->exemplar->vector || held->exemplar->code) && !atoll_owner_dormant(held->owner);
}

/* r->v: what is in `held`, scaled; how many vectors, 0 where it has none or is dormant. */
static uint32_t read_vectors(const atoll_state *state, const atoll_slot *held, reader *r)
{
    const atoll_encoder *encoder = &state->model.encoder;
    const atoll_exemplar *exemplar = held->exemplar;
    float embedding[ATOLL_EMBEDDING_MAX_DIM]; /* not wanted here */
    atoll_encoded encoded = {.dense = r->v, .embedding = embedding};
    if (!has_vectors(held))
        return 0;
    if (exemplar->code)
        atoll_encoder_decode(encoder, exemplar->code, exemplar->vector_dim, &encoded);
    else
        atoll_encoder_scale_all(encoder, exemplar->vector, exemplar->vector_dim / encoder->vector_dim, &encoded);
    return encoded.vectors;
}

/* r->z: their random features; false where there are none. */
static bool read_exemplar(const atoll_state *state, const atoll_slot *held, reader *r)
{
    uint32_t vectors = read_vectors(state, held, r);
    if (vectors)
        atoll_dense_mean(state->model.projection, r->v, vectors, r->z, r->scratch);
    return vectors;
}

/* Whether vectors are learned from it: what is held out is not. */
static bool teaches(const atoll_slot *held)
{
    return has_vectors(held) && !held->exemplar->lot;
}

static uint32_t count_teachers(const atoll_state *state)
{
    uint32_t count = 0;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t slot = 0; slot < view.slots.count; slot++)
        count += teaches(atoll_memory_at(&view, slot));
    return count;
}

/* What is learned from, for atoll_pairs_find: one vector an exemplar, the first. Returns how many. */
static uint32_t gather(const atoll_state *state, reader *r, float *vector, uint32_t *label)
{
    uint32_t dim = state->model.encoder.vector_dim, count = 0;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t slot = 0; slot < view.slots.count; slot++) {
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (!teaches(held) || !read_vectors(state, held, r))
            continue;
        memcpy(vector + (size_t)count * dim, r->v, dim * sizeof *vector);
        label[count++] = held->exemplar->label;
    }
    return count;
}

static void release_projection(void *projection)
{
    atoll_projection_free(projection);
}

/*
 * Weights of features that are others from now on. Their accumulators stay, for slopes are what they were; with none,
 * first steps would be too long.
 */
static atoll_status forget(atoll_state *state, atoll_net *net, atoll_error *error)
{
    for (uint32_t o = 0; o < net->random.count; o++) {
        float *row = atoll_array_edit(&state->pager, &net->random, o);
        if (!row)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn vectors anew");
        for (uint32_t j = 0; j < net->random_dim; j++)
            if (!atoll_projection_keeps(j))
                row[j] = 0;
    }
    return ATOLL_OK;
}

static atoll_status draw_anew(atoll_state *state, const atoll_pair *pair, uint32_t pairs, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_projection *drawn;
    atoll_status status =
        atoll_projection_new(model->encoder.vector_dim, model->config.seed, pair, pairs, &drawn, error);
    if (status)
        return status;
    atoll_reclaim_retire(state->reclaim, state->projection, 0, atoll_projection_bytes(state->projection),
                         release_projection);
    model->projection = state->projection = drawn;
    for (uint32_t e = 0; e < model->experts && status == ATOLL_OK; e++)
        status = forget(state, &model->expert[e].net, error);
    return status;
}

atoll_status atoll_renewal_choose(atoll_state *state, atoll_error *error)
{
    atoll_pair pair[ATOLL_PAIRS_MOST];
    uint32_t dim = state->model.encoder.vector_dim, pairs = 0;
    if (dim > ATOLL_PAIRS_DIM || state->model.config.freeze == ATOLL_FREEZE_EXPERTS ||
        atoll_model_count(&state->model, ATOLL_EXPERT_ARCHIVED))
        return ATOLL_OK;
    reader r = {0};
    atoll_status status = open_reader(state, &r, error);
    if (status)
        return status;
    size_t teachers = count_teachers(state);
    float *vector = malloc((teachers * dim + 1) * sizeof *vector);
    uint32_t *label = malloc((teachers + 1) * sizeof *label);
    if (!vector || !label) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory to choose random features");
    } else {
        uint32_t count = gather(state, &r, vector, label);
        status = atoll_pairs_find(vector, label, count, dim, pair, &pairs, error);
    }
    free(label);
    free(vector);
    free(r.v);
    return status || !pairs ? status : draw_anew(state, pair, pairs, error);
}

atoll_status atoll_renewal_relearn(atoll_state *state, atoll_error *error)
{
    reader r = {0};
    atoll_status status = open_reader(state, &r, error);
    if (status)
        return status;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_ridge_reset(state->ridge);
    for (uint32_t slot = 0; slot < view.slots.count && status == ATOLL_OK; slot++) {
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (teaches(held) && read_exemplar(state, held, &r))
            status = atoll_ridge_add(state->ridge, r.z, held->exemplar->label, state->model.labels, error);
    }
    free(r.v);
    atoll_change_restart(state->change);
    return status;
}

/* An alarm is judged: the exemplars that hold no longer become a dormant concept, if they are enough. */
static atoll_status judge(atoll_state *state, atoll_error *error)
{
    const atoll_change *change = state->change;
    reader r = {0};
    atoll_status status = open_reader(state, &r, error);
    if (status)
        return status;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t count = 0, known = 0, lost = 0, won = 0, *slot = malloc((view.slots.count + 1) * sizeof *slot);
    if (!slot)
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory to judge a change");
    for (uint32_t s = 0; s < view.slots.count && slot; s++) {
        const atoll_slot *held = atoll_memory_at(&view, s);
        if (!held->exemplar || held->exemplar->seq >= change->now.start || !read_exemplar(state, held, &r))
            continue;
        atoll_change_opinion opinion = atoll_change_judge(change, r.z, held->exemplar->label);
        known += opinion.known;
        lost += opinion.known && opinion.steady && !opinion.recent;
        won += opinion.known && !opinion.steady && opinion.recent;
        if (opinion.known && !opinion.recent)
            slot[count++] = s;
    }
    double excess = (double)lost - (double)won;
    bool replaced = change->now.lead > 0 && excess * LEAST_PART >= (double)known &&
                    excess >= deviations * sqrt((double)lost + (double)won);
    if (slot && replaced && count && (status = atoll_drift_replace(state, slot, count, error)) == ATOLL_OK)
        status = atoll_renewal_relearn(state, error);
    else
        atoll_change_restart(state->change);
    free(slot);
    free(r.v);
    return status;
}

atoll_status atoll_renewal_observe(atoll_state *state, const float *const *z, const uint32_t *label, uint32_t count,
                                   uint64_t first, uint64_t returned, atoll_error *error)
{
    if (!state->change || !count)
        return ATOLL_OK;
    if (state->drift.now.returned != returned)
        return atoll_renewal_relearn(state, error);
    atoll_change_observe(state->change, z, label, count, first);
    return atoll_change_is_due(state->change) ? judge(state, error) : ATOLL_OK;
}
