#include "learner/step.h"

#include <stdlib.h>

#include "core/half.h"
#include "core/limits.h"
#include "learner/growth.h"
#include "learner/lean.h"
#include "learner/splitting.h"
#include "learner/tally.h"

static bool hand_init(atoll_hand *h)
{
    atoll_arena_init(&h->arena);
    atoll_workspace_init(&h->workspace);
    h->text = atoll_text_scratch_new();
    h->term = malloc(ATOLL_FEATURES_MAX * sizeof *h->term);
    return h->text && h->term;
}

static void hand_free(atoll_hand *h)
{
    atoll_arena_free(&h->arena);
    atoll_workspace_free(&h->workspace);
    atoll_text_scratch_free(h->text);
    free(h->term);
}

atoll_trainer *atoll_trainer_new(int niceness)
{
    atoll_trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return NULL;
    bool whole = hand_init(&trainer->hand[0]);
    whole &= hand_init(&trainer->hand[1]);
    trainer->twin = atoll_twin_new(niceness);
    if (whole && trainer->twin)
        return trainer;
    atoll_trainer_free(trainer);
    return NULL;
}

void atoll_trainer_free(atoll_trainer *trainer)
{
    if (!trainer)
        return;
    atoll_twin_free(trainer->twin);
    hand_free(&trainer->hand[0]);
    hand_free(&trainer->hand[1]);
    free(trainer);
}

uint64_t atoll_trainer_bytes(const atoll_trainer *trainer)
{
    return sizeof *trainer + 2 * ATOLL_FEATURES_MAX * sizeof *trainer->hand[0].term +
           atoll_arena_bytes(&trainer->hand[0].arena) + atoll_arena_bytes(&trainer->hand[1].arena);
}

atoll_status atoll_step_halve(atoll_trainer *trainer, atoll_state *state, uint32_t count, void (*work)(void *),
                              atoll_error *error)
{
    uint32_t middle = count / 2;
    atoll_portion halves[2] = {
        {.trainer = trainer, .state = state, .hand = &trainer->hand[0], .to = middle},
        {.trainer = trainer, .state = state, .hand = &trainer->hand[1], .from = middle, .to = count}};
    atoll_twin_run(trainer->twin, work, &halves[0], work, &halves[1]);
    for (int i = 0; i < 2; i++)
        if (halves[i].status) {
            if (error)
                *error = halves[i].error;
            return halves[i].status;
        }
    return ATOLL_OK;
}

/* ---- fit ---- */

/* The counts learn from what is new, by rows that the shared expert has by now. */
static atoll_status count(atoll_portion *w)
{
    const atoll_net *net = &w->state->model.expert[0].net;
    atoll_net_scratch *scratch = &w->hand->workspace.net;
    for (uint32_t i = 0; i < w->trainer->samples; i++) {
        const atoll_sample *sample = w->trainer->sample[i];
        atoll_counted counted = {scratch->row, sample->encoded.weight, sample->encoded.known};
        if (!sample->fresh || sample->held_out || !counted.features)
            continue;
        atoll_rows_find(&net->sparse, sample->encoded.bucket, counted.features, scratch->row);
        atoll_status status = atoll_counts_add(&w->state->pager, &w->state->model.counts, &counted,
                                               net->sparse.rows.count, sample->label, &w->error);
        if (status)
            return status;
    }
    return ATOLL_OK;
}

/* The shared expert learns from every sample. */
static void fit_shared(void *arg)
{
    atoll_portion *w = arg;
    atoll_expert *shared = &w->state->model.expert[0];
    if (w->state->model.config.freeze == ATOLL_FREEZE_EXPERTS)
        return;
    const float *lean = atoll_lean_find(&w->hand->arena, w->state->memory, w->state->model.labels, w->trainer->sample,
                                        w->trainer->samples);
    shared->version = w->commit;
    w->status = lean ? atoll_fit_expert(&w->state->pager, shared, &w->hand->workspace, w->trainer->sample,
                                        w->trainer->samples, lean, &w->error)
                     : atoll_step_no_memory(&w->error);
    if (w->status == ATOLL_OK)
        w->status = count(w);
}

/* The analytic half learns each new record once. */
static atoll_status fit_analytic(atoll_trainer *trainer, atoll_state *state, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    if (state->model.config.freeze == ATOLL_FREEZE_EXPERTS)
        return ATOLL_OK;
    for (uint32_t i = 0; i < trainer->samples && status == ATOLL_OK; i++)
        if (trainer->sample[i]->fresh && !trainer->sample[i]->held_out && trainer->sample[i]->encoded.z)
            status = atoll_ridge_add(state->ridge, trainer->sample[i]->encoded.z, trainer->sample[i]->label,
                                     state->model.labels, error);
    return status;
}

/* Each expert learns from its own, and the gate whose they are. */
static void fit_routed(void *arg)
{
    atoll_portion *w = arg;
    atoll_trainer *trainer = w->trainer;
    atoll_model *model = &w->state->model;
    float running[ATOLL_EXPERTS_MAX];
    for (uint32_t e = 0; e < model->experts && w->status == ATOLL_OK; e++) {
        atoll_expert *expert = &model->expert[e];
        uint32_t chosen = 0;
        for (uint32_t i = 0; i < trainer->samples; i++)
            if (trainer->sample[i]->owner == e)
                trainer->chosen[chosen++] = trainer->sample[i];
        if (chosen == 0 || model->config.freeze == ATOLL_FREEZE_EXPERTS ||
            (expert->state != ATOLL_EXPERT_ACTIVE && expert->state != ATOLL_EXPERT_CANDIDATE))
            continue;
        expert->version = w->commit;
        w->status = atoll_fit_expert(&w->state->pager, expert, &w->hand->workspace, trainer->chosen, chosen, NULL,
                                     &w->error);
    }
    if (w->status == ATOLL_OK)
        w->status = fit_analytic(trainer, w->state, &w->error);
    if (!atoll_model_gate_learns(model))
        return;
    model->gate.version = w->commit;
    atoll_gate_losses losses = atoll_fit_losses(model, running);
    for (uint32_t i = 0; i < trainer->samples && w->status == ATOLL_OK; i++)
        if (trainer->sample[i]->gated && trainer->sample[i]->owner != ATOLL_EXPERT_NONE)
            w->status = atoll_fit_gate(w->state, &w->hand->workspace, trainer->sample[i], &losses, &w->error);
}

static atoll_status fit(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_error *error)
{
    atoll_portion halves[2];
    for (int i = 0; i < 2; i++) {
        halves[i] = (atoll_portion){.trainer = trainer, .state = state, .hand = &trainer->hand[i], .commit = commit};
        atoll_status status = atoll_workspace_fit(&trainer->hand[i].workspace, &state->model, error);
        if (status)
            return status;
    }
    atoll_twin_run(trainer->twin, fit_shared, &halves[0], fit_routed, &halves[1]);
    for (int i = 0; i < 2; i++)
        if (halves[i].status) {
            if (error)
                *error = halves[i].error;
            return halves[i].status;
        }
    return ATOLL_OK;
}

/* ---- remember ---- */

/* The record's vector as exemplars keep it once the scale stays. */
static int8_t *code_of(atoll_arena *arena, const atoll_model *model, const atoll_step_item *it)
{
    uint32_t numbers = atoll_record_numbers(it->record);
    float *dense = atoll_arena_take(arena, numbers * sizeof *dense);
    int8_t *code = atoll_arena_take(arena, numbers);
    if (!dense || !code)
        return NULL;
    /* Anew: it was encoded with the scale that there was before the step. */
    atoll_encoded scaled = {.dense = dense, .embedding = it->encoded.embedding};
    atoll_step_scale(model, it->record->vector, numbers, &scaled);
    atoll_encoder_code(dense, numbers, code);
    return code;
}

static atoll_status remember(atoll_trainer *trainer, atoll_state *state, const atoll_step_item *it, atoll_rng *rng,
                             int64_t time_ms, atoll_error *error)
{
    uint32_t slot, dim = state->model.encoder.embedding_dim;
    const atoll_record *record = it->record;
    atoll_exemplar like = {.seq = it->seq,
                           .time_ms = record->has_time ? record->time_ms : time_ms,
                           .label = it->label,
                           .domain = it->domain,
                           .lot = it->lot,
                           .id_bytes = (uint32_t)record->id.bytes,
                           .terms = it->terms,
                           .vector_dim = atoll_record_numbers(record),
                           .embedding_dim = dim,
                           .id = record->id.data,
                           .term = it->term,
                           .vector = record->vector};
    if (record->vector && atoll_encoder_settled(&state->model.encoder)) {
        like.vector = NULL;
        if (!(like.code = code_of(&trainer->hand[0].arena, &state->model, it)))
            return atoll_step_no_memory(error);
    }
    atoll_status status = atoll_memory_offer(state->memory, &like, it->encoded.embedding, it->owner, rng, &slot, error);
    if (status || slot == ATOLL_SLOT_NONE)
        return status;
    float rounded[ATOLL_EMBEDDING_MAX_DIM];
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_drift_placed(&state->drift, slot, it->seq);
    atoll_half_to_float(atoll_memory_at(&view, slot)->exemplar->embedding, rounded, dim);
    return atoll_index_put(state->index, slot, rounded, error);
}

/* ---- one step, one commit ---- */

/* Labels that few records have taught are known by their names too, with the weights that the words have by now. */
static atoll_status name_label(atoll_hand *h, atoll_state *state, const atoll_step_item *it, atoll_error *error)
{
    enum { KNOWN = 200 };
    const atoll_expert *shared = &state->model.expert[0];
    char text[2 * ATOLL_LABEL_MAX_BYTES];
    uint32_t terms;
    atoll_encoded encoded;
    if (!it->terms || (it->label < shared->labels.count && atoll_expert_label_at(shared, it->label)->records >= KNOWN))
        return ATOLL_OK;
    atoll_slice spelled = {text, atoll_naming_spell(it->record->label, text)};
    if (atoll_terms_extract(h->text, spelled, state->model.encoder.buckets, h->term, &terms, NULL) != ATOLL_OK)
        return ATOLL_OK;
    if (!atoll_step_take_encoded(h, &state->model, terms, 0, &encoded))
        return atoll_step_no_memory(error);
    atoll_encoder_weigh(&state->model.encoder, h->term, terms, &encoded);
    return atoll_naming_put(&state->pager, &state->model.naming, encoded.bucket, encoded.weight, encoded.known,
                            it->label, error);
}

static atoll_status step(atoll_trainer *trainer, atoll_state *state, uint32_t count, uint64_t commit,
                         int64_t time_ms, atoll_rng *rng, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (trainer->items[i].record->vector && !state->model.encoder.vector_dim)
            status = atoll_state_set_vector(state, trainer->items[i].record->vector_dim, error);
    if (status || (status = atoll_step_ask(trainer, state, count, error)))
        return status;
    for (uint32_t i = 0; i < count; i++)
        if ((status = atoll_step_judge(trainer, state, &trainer->items[i], commit, time_ms, error)))
            return status;
    if ((status = atoll_drift_settle(state, error)))
        return status;
    uint32_t scales = state->model.encoder.scales;
    for (uint32_t i = 0; i < count; i++) {
        const atoll_step_item *it = &trainer->items[i];
        if ((status = atoll_encoder_learn(&state->pager, &state->model.encoder, it->term, it->terms,
                                          it->record->vector, atoll_record_vectors(it->record), error)))
            return status;
    }
    for (uint32_t i = 0; i < count; i++)
        if ((status = name_label(&trainer->hand[0], state, &trainer->items[i], error)))
            return status;
    if (scales != state->model.encoder.scales && (status = atoll_state_rescale(state, error)))
        return status;
    if ((status = atoll_step_gather(trainer, state, count, rng, error)) ||
        (status = atoll_step_rehearse(trainer, state, error)) || (status = fit(trainer, state, commit, error)))
        return status;
    for (uint32_t i = 0; i < count; i++)
        if ((status = remember(trainer, state, &trainer->items[i], rng, time_ms, error)))
            return status;
    if ((status = atoll_index_flush(state->index, error)))
        return status;
    state->model.records += count;
    atoll_tally_collapse(state);
    if (!state->model.config.freeze && ((status = atoll_growth_review(state, commit, error)) ||
                                        (status = atoll_splitting_review(trainer, state, commit, error))))
        return status;
    for (uint32_t e = 1; e < state->model.experts; e++)
        state->model.expert[e].exemplars = atoll_memory_owned(state->memory, e);
    return ATOLL_OK;
}

/* A new analytic solution, once one is due. */
static atoll_status solve(atoll_state *state, atoll_error *error)
{
    atoll_ridge_weights *solution;
    if (!state->ridge || !atoll_ridge_is_due(state->ridge))
        return ATOLL_OK;
    atoll_status status = atoll_ridge_solve(state->ridge, &solution, error);
    if (status)
        return status;
    if (state->model.analytic)
        atoll_reclaim_retire(state->reclaim, (void *)state->model.analytic, 0, free);
    state->model.analytic = solution;
    return ATOLL_OK;
}

atoll_status atoll_trainer_learn(atoll_trainer *trainer, atoll_state *state, const atoll_record *records,
                                 uint32_t count, uint64_t commit, uint64_t first_seq, int64_t time_ms,
                                 atoll_error *error)
{
    atoll_rng rng;
    atoll_status status = ATOLL_OK;
    atoll_rng_seed(&rng, state->model.config.seed, commit);
    for (uint32_t at = 0; at < count && status == ATOLL_OK; at += ATOLL_STEP_RECORDS) {
        uint32_t batch = count - at < ATOLL_STEP_RECORDS ? count - at : ATOLL_STEP_RECORDS;
        atoll_arena_reset(&trainer->hand[0].arena);
        atoll_arena_reset(&trainer->hand[1].arena);
        for (uint32_t i = 0; i < batch; i++) {
            atoll_step_item *it = &trainer->items[i];
            *it = (atoll_step_item){.record = &records[at + i], .seq = first_seq + at + i, .domain = UINT32_MAX};
            atoll_slice domain = records[at + i].domain;
            /* Domains beyond the limit are not counted apart. */
            if (domain.data && atoll_names_add(&state->domains, domain.data, domain.bytes, &it->domain, NULL))
                it->domain = UINT32_MAX;
        }
        status = step(trainer, state, batch, commit, time_ms, &rng, error);
    }
    return status ? status : solve(state, error);
}
