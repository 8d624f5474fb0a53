#include "learner/publish.h"

#include <stdlib.h>
#include <string.h>

/* How fast the growth a record follows what was measured between two publications. */
static const double growth_rate = 0.2;

void atoll_published_free(void *published)
{
    atoll_published *p = published;
    free(p->model);
    free(p->standing_room);
    free(p->domain);
    free(p);
}

/* ---- what it holds ---- */

static atoll_footprint measure(const atoll_learner *learner)
{
    const atoll_state *state = &learner->state;
    const atoll_model *model = &state->model;
    atoll_footprint f = {.gate = atoll_net_bytes(&model->gate.net) + atoll_served_bytes(&state->gate),
                         .encoder = atoll_array_bytes(&model->encoder.frequency) +
                                    atoll_array_bytes(&model->encoder.moments) +
                                    atoll_array_bytes(&model->encoder.scale),
                         .analytic = atoll_projection_bytes(state->projection) + atoll_ridge_bytes(state->ridge) +
                                     atoll_ridge_weights_bytes(model->analytic) + atoll_change_bytes(state->change) +
                                     atoll_counts_bytes(&model->counts) + atoll_naming_bytes(&model->naming),
                         .memory = atoll_memory_bytes(state->memory),
                         .index = atoll_index_bytes(state->index),
                         .tables = atoll_names_bytes(&state->labels) + atoll_names_bytes(&state->domains) +
                                   state->domains.limit * sizeof *state->domain + atoll_drift_bytes(&state->drift) +
                                   learner->admitted_places * sizeof *learner->admitted,
                         .learning = atoll_trainer_bytes(learner->trainer) + atoll_ridge_solve_bytes(state->ridge)};
    for (uint32_t e = 0; e < model->experts; e++)
        f.experts += atoll_expert_bytes(&model->expert[e]);
    return f;
}

static size_t published_bytes(const atoll_published *p)
{
    const atoll_model *model = p->model;
    return sizeof *p + sizeof *model + model->experts * sizeof *model->expert + atoll_standing_bytes(model) +
           p->domains * sizeof *p->domain;
}

/* What a record adds to the parts that last; running mean. */
static double growth_a_record(const atoll_published *before, const atoll_published *now)
{
    if (!before)
        return atoll_learner_mean_growth(atoll_footprint_lasting(&now->footprint), now->model->records);
    if (now->model->records <= before->model->records)
        return before->growth_bytes;
    double from = (double)atoll_footprint_lasting(&before->footprint);
    double to = (double)atoll_footprint_lasting(&now->footprint);
    double records = (double)(now->model->records - before->model->records);
    double measured = to > from ? (to - from) / records : 0;
    return before->growth_bytes + growth_rate * (measured - before->growth_bytes);
}

/* ---- publishing ---- */

static bool can_go(const atoll_learner *learner, const atoll_expert *expert)
{
    return expert->state == ATOLL_EXPERT_ARCHIVED && !expert->unloaded &&
           expert->version <= atomic_load(&learner->checkpoint_commit);
}

bool atoll_publish_unloads(const atoll_learner *learner)
{
    const atoll_model *model = &learner->state.model;
    for (uint32_t e = 1; e < model->experts; e++)
        if (can_go(learner, &model->expert[e]))
            return true;
    return false;
}

static void unload(atoll_learner *learner)
{
    atoll_state *state = &learner->state;
    for (uint32_t e = 1; e < state->model.experts; e++) {
        atoll_expert *expert = &state->model.expert[e];
        if (!can_go(learner, expert))
            continue;
        atoll_net_unload(&state->pager, &expert->net);
        expert->unloaded = true;
    }
}

/* Rounds what has changed of the gate, where it knows many experts, and of the experts that answer. */
static atoll_status round_weights(atoll_state *state, atoll_error *error)
{
    const atoll_net *gate = &state->model.gate.net;
    atoll_precision of_gate = gate->outputs > ATOLL_GATE_FLOATS_MAX ? ATOLL_PRECISION_Q4 : ATOLL_PRECISION_F32;
    atoll_status status = atoll_served_refresh(&state->pager, &state->gate, gate, of_gate, error);
    for (uint32_t e = 0; e < state->model.experts && status == ATOLL_OK; e++) {
        atoll_expert *expert = &state->model.expert[e];
        bool answers = expert->state == ATOLL_EXPERT_SHARED || expert->state == ATOLL_EXPERT_ACTIVE;
        atoll_precision precision = answers ? (atoll_precision)state->model.config.precision : ATOLL_PRECISION_F32;
        status = atoll_served_refresh(&state->pager, &expert->served, &expert->net, precision, error);
    }
    return status;
}

static atoll_published *published_new(const atoll_learner *learner)
{
    const atoll_state *state = &learner->state;
    atoll_published *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (atoll_published){.gate = state->gate,
                           .memory = atoll_memory_freeze(state->memory),
                           .growth = state->growth,
                           .drift = state->drift.now,
                           .tally = state->tally,
                           .exemplars = atoll_memory_count(state->memory),
                           .domains = state->domains.count,
                           .index = atoll_index_describe(state->index),
                           .footprint = measure(learner),
                           .live_bytes = atomic_load(&state->pager.live_bytes)};
    p->model = atoll_model_freeze(&state->model);
    p->domain = malloc((p->domains + 1) * sizeof *p->domain);
    p->standing_room = malloc(atoll_standing_bytes(&state->model) + 1);
    if (!p->model || !p->domain || !p->standing_room) {
        atoll_published_free(p);
        return NULL;
    }
    atoll_standing_fill(p->model, p->standing_room, &p->standing);
    for (uint32_t e = 0; e < p->model->experts; e++)
        p->model->expert[e].serving = true;
    memcpy(p->domain, state->domain, p->domains * sizeof *p->domain);
    p->footprint.tables += published_bytes(p);
    p->growth_bytes = growth_a_record(atomic_load(&learner->published), p);
    return p;
}

atoll_status atoll_publish(atoll_learner *learner, atoll_error *error)
{
    atoll_state *state = &learner->state;
    unload(learner);
    atoll_status status = round_weights(state, error);
    if (status || (status = atoll_index_publish(state->index, error)))
        return status;
    atoll_published *fresh = published_new(learner);
    if (!fresh)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to publish a version");
    atoll_published *old = atomic_exchange(&learner->published, fresh);
    if (old)
        atoll_reclaim_retire(state->reclaim, old, 0, published_bytes(old), atoll_published_free);
    atoll_reclaim_advance(state->reclaim);
    return ATOLL_OK;
}

bool atoll_publish_let_go(atoll_learner *learner)
{
    atoll_state *state = &learner->state;
    if (atoll_learner_version(learner) < state->model.version)
        return true; /* what was replaced since is part of the published version */
    atoll_reclaim_advance(state->reclaim);
    return atoll_reclaim_waiting_bytes(state->reclaim) == 0;
}
