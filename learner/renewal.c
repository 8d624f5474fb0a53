#include "learner/renewal.h"

#include <math.h>
#include <stdlib.h>

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

/* r->z: the random features of what is in `held`; false where it has no vector or is dormant. */
static bool read_exemplar(const atoll_state *state, const atoll_slot *held, reader *r)
{
    const atoll_encoder *encoder = &state->model.encoder;
    const atoll_exemplar *exemplar = held->exemplar;
    float embedding[ATOLL_EMBEDDING_MAX_DIM]; /* not wanted here */
    atoll_encoded encoded = {.dense = r->v, .embedding = embedding};
    if (!exemplar || !(exemplar->vector || exemplar->code) || atoll_owner_dormant(held->owner))
        return false;
    if (exemplar->code)
        atoll_encoder_decode(encoder, exemplar->code, exemplar->vector_dim, &encoded);
    else
        atoll_encoder_scale_all(encoder, exemplar->vector, exemplar->vector_dim / encoder->vector_dim, &encoded);
    atoll_dense_mean(state->model.projection, r->v, encoded.vectors, r->z, r->scratch);
    return true;
}

atoll_status atoll_renewal_relearn(atoll_state *state, atoll_error *error)
{
    reader r;
    atoll_status status = open_reader(state, &r, error);
    if (status)
        return status;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_ridge_reset(state->ridge);
    for (uint32_t slot = 0; slot < view.slots.count && status == ATOLL_OK; slot++) {
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (held->exemplar && !held->exemplar->lot && read_exemplar(state, held, &r))
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
    reader r;
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
