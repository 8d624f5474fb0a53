#include "learner/step.h"

#include <stdlib.h>

#include "core/half.h"
#include "core/limits.h"
#include "learner/growth.h"
#include "learner/lean.h"
#include "learner/recount.h"
#include "learner/renewal.h"
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

atoll_trainer *atoll_trainer_new(int niceness, const atoll_patience *patience)
{
    atoll_trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return NULL;
    trainer->patience = patience;
    bool whole = hand_init(&trainer->hand[0]);
    whole &= hand_init(&trainer->hand[1]);
    whole &= hand_init(&trainer->aside);
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
    hand_free(&trainer->aside);
    free(trainer);
}

uint64_t atoll_trainer_bytes(const atoll_trainer *trainer)
{
    return sizeof *trainer + 3 * ATOLL_FEATURES_MAX * sizeof *trainer->hand[0].term +
           atoll_arena_bytes(&trainer->hand[0].arena) + atoll_arena_bytes(&trainer->hand[1].arena) +
           atoll_arena_bytes(&trainer->aside.arena);
}

/* ---- fit ---- */

static bool experts_learn(const atoll_state *state)
{
    return state->model.config.freeze != ATOLL_FREEZE_EXPERTS;
}

/* The shared expert learns from every sample. */
static atoll_status fit_shared(atoll_portion *w)
{
    atoll_expert *shared = &w->state->model.expert[0];
    atoll_status status = atoll_workspace_fit(&w->hand->workspace, &w->state->model, &w->error);
    if (status || !experts_learn(w->state))
        return status;
    shared->version = w->plan->commit;
    return atoll_fit_expert(&w->state->pager, shared, &w->hand->workspace, w->trainer->sample, w->trainer->samples,
                            w->trainer->lean, &w->error);
}

/* The counts learn from what is new, by rows that the shared expert has by now. */
static atoll_status count_fresh(atoll_portion *w)
{
    const atoll_net *net = &w->state->model.expert[0].net;
    uint32_t *row = atoll_arena_take(&w->hand->arena, ATOLL_FEATURES_MAX * sizeof *row);
    if (!row)
        return atoll_step_no_memory(&w->error);
    for (uint32_t i = 0; i < w->to && experts_learn(w->state); i++) {
        const atoll_sample *sample = w->trainer->fresh[i];
        const atoll_encoded *encoded = &sample->encoded;
        atoll_counted counted = {row, encoded->weight, encoded->known, encoded->bucket,
                                 encoded->features - encoded->known};
        if (sample->held_out || !encoded->features)
            continue;
        atoll_rows_find(&net->sparse, encoded->bucket, counted.features, row);
        atoll_status status = atoll_counts_add(&w->state->pager, &w->state->model.counts, &counted,
                                               net->sparse.rows.count, sample->label, 1, &w->error);
        if (status)
            return status;
    }
    return ATOLL_OK;
}

/* The analytic half learns each new record once. */
static atoll_status fit_analytic(atoll_portion *w)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < w->to && experts_learn(w->state) && status == ATOLL_OK; i++) {
        const atoll_sample *sample = w->trainer->fresh[i];
        if (!sample->held_out && sample->encoded.z)
            status = atoll_ridge_add(w->state->ridge, sample->encoded.z, sample->label, w->state->model.labels,
                                     &w->error);
    }
    return status;
}

/* Each expert learns from its own. */
static atoll_status fit_routed(atoll_portion *w)
{
    atoll_trainer *trainer = w->trainer;
    atoll_model *model = &w->state->model;
    atoll_status status = atoll_workspace_fit(&w->hand->workspace, model, &w->error);
    for (uint32_t e = 0; e < model->experts && status == ATOLL_OK && experts_learn(w->state); e++) {
        atoll_expert *expert = &model->expert[e];
        uint32_t chosen = 0;
        for (uint32_t i = 0; i < trainer->samples; i++)
            if (trainer->sample[i]->owner == e)
                trainer->chosen[chosen++] = trainer->sample[i];
        if (chosen == 0 || (expert->state != ATOLL_EXPERT_ACTIVE && expert->state != ATOLL_EXPERT_CANDIDATE))
            continue;
        expert->version = w->plan->commit;
        status = atoll_fit_expert(&w->state->pager, expert, &w->hand->workspace, trainer->chosen, chosen, NULL,
                                  &w->error);
    }
    return status;
}

/* The gate learns whose they are. */
static atoll_status fit_gate(atoll_portion *w)
{
    atoll_model *model = &w->state->model;
    float running[ATOLL_EXPERTS_MAX];
    atoll_status status = atoll_workspace_fit(&w->hand->workspace, model, &w->error);
    if (status || !atoll_model_gate_learns(model))
        return status;
    model->gate.version = w->plan->commit;
    atoll_gate_losses losses = atoll_fit_losses(model, running);
    for (uint32_t i = 0; i < w->trainer->samples && status == ATOLL_OK; i++)
        if (w->trainer->sample[i]->gated && w->trainer->sample[i]->owner != ATOLL_EXPERT_NONE)
            status = atoll_fit_gate(w->state, &w->hand->workspace, w->trainer->sample[i], &losses, &w->error);
    return status;
}

/* Networks and sums that do not read each other, the longest first. */
static void plan_fit(atoll_plan *plan, uint64_t after)
{
    uint64_t shared = atoll_plan_add(plan, fit_shared, 0, plan->count, after);
    atoll_plan_add(plan, fit_routed, 0, plan->count, after);
    atoll_plan_add(plan, fit_gate, 0, plan->count, after);
    atoll_plan_add(plan, count_fresh, 0, plan->count, shared);
    if (plan->state->ridge)
        atoll_plan_add(plan, fit_analytic, 0, plan->count, after);
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

static atoll_status remember(atoll_portion *w, const atoll_step_item *it)
{
    atoll_state *state = w->state;
    uint32_t slot, dim = state->model.encoder.embedding_dim;
    const atoll_record *record = it->record;
    atoll_exemplar like = {.seq = it->seq,
                           .time_ms = record->has_time ? record->time_ms : w->plan->time_ms,
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
        if (!(like.code = code_of(&w->hand->arena, &state->model, it)))
            return atoll_step_no_memory(&w->error);
    }
    atoll_status status = atoll_memory_offer(state->memory, &like, it->encoded.embedding, it->owner, w->plan->rng,
                                             &slot, &w->error);
    if (status || slot == ATOLL_SLOT_NONE)
        return status;
    float rounded[ATOLL_EMBEDDING_MAX_DIM];
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_drift_placed(&state->drift, slot, it->seq);
    atoll_half_to_float(atoll_memory_at(&view, slot)->exemplar->embedding, rounded, dim);
    return atoll_index_put(state->index, slot, rounded, &w->error);
}

static atoll_status remember_all(atoll_portion *w)
{
    /* What slept or woke while experts may not learn could not be counted anew (learner/recount.h): it waits. */
    atoll_status status = experts_learn(w->state) ? atoll_drift_settle(w->state, &w->error) : ATOLL_OK;
    for (uint32_t i = 0; i < w->to && status == ATOLL_OK; i++)
        status = remember(w, &w->trainer->items[i]);
    return status ? status : atoll_index_flush(w->state->index, &w->error);
}

/* ---- one step, one commit ---- */

/* Labels that few records have taught are known by their names too, with the weights that the words have by now. */
static atoll_status name_label(atoll_hand *h, atoll_state *state, const atoll_step_item *it, atoll_error *error)
{
    enum { KNOWN = 200 };
    const atoll_expert *shared = &state->model.expert[0];
    char text[2 * ATOLL_LABEL_MAX_BYTES];
    uint32_t terms, told = 0;
    atoll_encoded encoded;
    if (!it->terms || (it->label < shared->labels.count && atoll_expert_label_at(shared, it->label)->records >= KNOWN))
        return ATOLL_OK;
    atoll_slice spelled = {text, atoll_naming_spell(it->record->label, text)};
    if (atoll_terms_extract(h->text, spelled, state->model.encoder.buckets, h->term, &terms, NULL) != ATOLL_OK)
        return ATOLL_OK;
    for (uint32_t i = 0; i < terms; i++) /* a name's shape is whoever's who names labels */
        if (atoll_term_kind(h->term[i]) != ATOLL_TERM_SHAPE)
            h->term[told++] = h->term[i];
    if (!atoll_step_take_encoded(h, &state->model, told, 0, &encoded))
        return atoll_step_no_memory(error);
    atoll_encoder_weigh(&state->model.encoder, h->term, told, &encoded);
    return atoll_naming_put(&state->pager, &state->model.naming, encoded.bucket, encoded.weight, encoded.features,
                            it->label, error);
}

static atoll_status judge_all(atoll_portion *w)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < w->to && status == ATOLL_OK; i++)
        status = atoll_step_judge(w->hand, w->trainer, w->state, &w->trainer->items[i], w->plan->commit,
                                  w->plan->time_ms, &w->error);
    return status;
}

/* Frequencies, and the scale of vectors. */
static atoll_status learn_terms(atoll_portion *w)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < w->to && status == ATOLL_OK; i++) {
        const atoll_step_item *it = &w->trainer->items[i];
        status = atoll_encoder_learn(&w->state->pager, &w->state->model.encoder, it->term, it->terms,
                                     it->record->vector, atoll_record_vectors(it->record), &w->error);
    }
    return status;
}

static atoll_status rescale(atoll_portion *w)
{
    return w->trainer->scales != w->state->model.encoder.scales ? atoll_state_rescale(w->state, &w->error) : ATOLL_OK;
}

/* What was to wait for labels and owners. */
static atoll_status settle(atoll_portion *w)
{
    atoll_trainer *trainer = w->trainer;
    atoll_state *state = w->state;
    for (uint32_t i = 0; i < w->to; i++) {
        atoll_status status = name_label(w->hand, state, &trainer->items[i], &w->error);
        if (status)
            return status;
    }
    atoll_step_settle(trainer, state, w->to);
    trainer->lean = atoll_lean_find(&w->hand->arena, state->memory, state->model.labels, trainer->sample,
                                    trainer->samples);
    return trainer->lean ? ATOLL_OK : atoll_step_no_memory(&w->error);
}

static atoll_status rehearse(atoll_portion *w)
{
    return atoll_step_rehearse(w->hand, w->trainer, w->state, &w->error);
}

/*
 * What one thread alone can do (judging, rehearsing) goes beside what the other can: drawing and encoding replays,
 * remembering.
 */
static atoll_status work(atoll_plan *plan, atoll_error *error)
{
    const atoll_encoder *encoder = &plan->state->model.encoder;
    uint64_t asked = atoll_step_ask(plan);
    uint64_t heard = atoll_step_hear(plan, asked);
    uint64_t judged = atoll_plan_add(plan, judge_all, 0, plan->count, heard);
    uint64_t learned = atoll_plan_add(plan, learn_terms, 0, plan->count, asked);
    /* A new scale changes what is remembered, which judging reads. */
    if (encoder->vector_dim && !atoll_encoder_settled(encoder))
        learned = atoll_plan_add(plan, rescale, 0, plan->count, learned | judged);
    uint64_t drawn = atoll_step_draw(plan, learned);
    uint64_t settled = atoll_plan_add(plan, settle, 0, plan->count, judged | drawn);
    uint64_t recalled = atoll_step_recall(plan, drawn);
    uint64_t rehearsed = atoll_plan_add(plan, rehearse, 0, plan->count, settled | recalled);
    uint64_t encoded = atoll_step_encode_samples(plan, drawn);
    plan_fit(plan, rehearsed | encoded);
    atoll_plan_add(plan, remember_all, 0, plan->count, settled | recalled | encoded);
    return atoll_plan_run(plan, error);
}

/* Shows the records that have vectors to the watch over them, by the features that there are by now. */
static atoll_status watch(const atoll_plan *plan, uint64_t returned, atoll_error *error)
{
    const atoll_trainer *trainer = plan->trainer;
    const float *z[ATOLL_STEP_RECORDS];
    uint32_t label[ATOLL_STEP_RECORDS], seen = 0;
    for (uint32_t i = 0; i < plan->count; i++)
        if (trainer->fresh[i]->encoded.z && !plan->state->model.config.freeze) {
            z[seen] = trainer->fresh[i]->encoded.z;
            label[seen++] = trainer->fresh[i]->label;
        }
    return atoll_renewal_observe(plan->state, z, label, seen, trainer->items[0].seq, returned, error);
}

static atoll_status step(atoll_plan *plan, atoll_error *error)
{
    atoll_trainer *trainer = plan->trainer;
    atoll_state *state = plan->state;
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < plan->count && status == ATOLL_OK; i++)
        if (trainer->items[i].record->vector && !state->model.encoder.vector_dim)
            status = atoll_state_set_vector(state, trainer->items[i].record->vector_dim, error);
    trainer->scales = state->model.encoder.scales;
    uint64_t returned = state->drift.now.returned;
    if (status || (status = work(plan, error)) || (status = watch(plan, returned, error)) ||
        (status = atoll_recount(state, error)))
        return status;
    state->model.records += plan->count;
    atoll_tally_collapse(state);
    if (!state->model.config.freeze && ((status = atoll_growth_review(state, plan->commit, error)) ||
                                        (status = atoll_splitting_review(trainer, state, plan->commit, error))))
        return status;
    for (uint32_t e = 1; e < state->model.experts; e++)
        state->model.expert[e].exemplars = atoll_memory_owned(state->memory, e);
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
        if (trainer->patience && atoll_patience_is_over(trainer->patience))
            return atoll_fail(error, ATOLL_SHUTTING_DOWN, "the model is being closed");
        atoll_arena_reset(&trainer->hand[0].arena);
        atoll_arena_reset(&trainer->hand[1].arena);
        atoll_arena_reset(&trainer->aside.arena);
        for (uint32_t i = 0; i < batch; i++) {
            atoll_step_item *it = &trainer->items[i];
            *it = (atoll_step_item){.record = &records[at + i], .seq = first_seq + at + i, .domain = UINT32_MAX};
            atoll_slice domain = records[at + i].domain;
            /* Domains beyond the limit are not counted apart. */
            if (domain.data && atoll_names_add(&state->domains, domain.data, domain.bytes, &it->domain, NULL))
                it->domain = UINT32_MAX;
        }
        trainer->plan = (atoll_plan){.trainer = trainer,
                                     .state = state,
                                     .count = batch,
                                     .commit = commit,
                                     .time_ms = time_ms,
                                     .rng = &rng};
        status = step(&trainer->plan, error);
    }
    if (status || !state->ridge || !atoll_ridge_is_due(state->ridge))
        return status;
    return atoll_state_solve(state, error);
}
