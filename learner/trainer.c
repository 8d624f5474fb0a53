#include "learner/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/half.h"
#include "core/kernels.h"
#include "learner/fit.h"
#include "learner/growth.h"
#include "learner/twin.h"
#include "retrieval/context.h"

enum { GATE_REPLAY_EVERY = 2, SAMPLES_A_RECORD = 1 + ATOLL_REPLAYS };

_Static_assert(ATOLL_STEP_RECORDS * SAMPLES_A_RECORD <= ATOLL_FIT_SAMPLES, "one fit takes a step's samples");

static const double recent_rate = 1e-3, loss_rate = 1e-2, share_rate = 1e-3;

/* One record of the step under way. All arrays are the arena's. */
typedef struct item {
    const atoll_record *record;
    uint64_t seq;
    atoll_term *term;
    uint32_t terms;
    atoll_encoded encoded; /* as it was before it was learned */
    const float *z;
    atoll_context context;
    uint32_t label, domain, owner; /* numbers */
    float probability;             /* that was given to its label before it was learned */
} item;

/* What one of the two threads works with. */
typedef struct hand {
    atoll_arena arena;
    atoll_text_scratch *text;
    atoll_workspace workspace;
    atoll_term *term; /* ATOLL_FEATURES_MAX */
} hand;

struct atoll_trainer {
    hand hand[2]; /* the learner's own, and its twin's */
    atoll_twin *twin;
    item items[ATOLL_STEP_RECORDS];
    atoll_sample *sample[ATOLL_STEP_RECORDS * SAMPLES_A_RECORD]; /* all samples of the step, in order */
    atoll_sample *chosen[ATOLL_STEP_RECORDS * SAMPLES_A_RECORD];
    uint32_t samples;
};

static bool hand_init(hand *h)
{
    atoll_arena_init(&h->arena);
    atoll_workspace_init(&h->workspace);
    h->text = atoll_text_scratch_new();
    h->term = malloc(ATOLL_FEATURES_MAX * sizeof *h->term);
    return h->text && h->term;
}

static void hand_free(hand *h)
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

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn with");
}

/* One half of a piece of work: samples or items from..to-1 with one hand. */
typedef struct half {
    atoll_trainer *trainer;
    atoll_state *state;
    hand *hand;
    uint32_t from, to;
    uint64_t commit;
    atoll_status status;
    atoll_error error;
} half;

/* Does both halves of 0..count-1, and fails as the first that failed. */
static atoll_status in_halves(atoll_trainer *trainer, atoll_state *state, uint32_t count, void (*work)(void *),
                              atoll_error *error)
{
    half halves[2] = {{.trainer = trainer, .state = state, .hand = &trainer->hand[0], .to = count / 2},
                      {.trainer = trainer, .state = state, .hand = &trainer->hand[1], .from = count / 2, .to = count}};
    atoll_twin_run(trainer->twin, work, &halves[0], work, &halves[1]);
    for (int i = 0; i < 2; i++)
        if (halves[i].status) {
            if (error)
                *error = halves[i].error;
            return halves[i].status;
        }
    return ATOLL_OK;
}

/* ---- encode ---- */

/* Arrays for an encoded record of `terms` terms, with or without a vector. */
static bool take_encoded(hand *h, const atoll_encoder *encoder, uint32_t terms, bool vector,
                         atoll_encoded *encoded)
{
    *encoded = (atoll_encoded){0};
    encoded->bucket = atoll_arena_take(&h->arena, (terms + 1) * sizeof *encoded->bucket);
    encoded->weight = atoll_arena_take(&h->arena, (terms + 1) * sizeof *encoded->weight);
    encoded->embedding = atoll_arena_take(&h->arena, encoder->embedding_dim * sizeof *encoded->embedding);
    if (vector)
        encoded->dense = atoll_arena_take(&h->arena, encoder->vector_dim * sizeof *encoded->dense);
    return encoded->bucket && encoded->weight && encoded->embedding && (!vector || encoded->dense);
}

static atoll_status encode(hand *h, const atoll_state *state, item *it, atoll_error *error)
{
    const atoll_record *record = it->record;
    const atoll_encoder *encoder = &state->model.encoder;
    it->terms = 0;
    /* What cannot be read as words was refused at the door; text without any is learned as none. */
    if (record->text.data && atoll_terms_extract(h->text, record->text, encoder->buckets, h->term,
                                                 &it->terms, NULL) != ATOLL_OK)
        it->terms = 0;
    it->term = atoll_arena_take(&h->arena, (it->terms + 1) * sizeof *it->term);
    it->context.embedding = atoll_arena_take(&h->arena, encoder->embedding_dim * sizeof(float));
    if (!it->term || !it->context.embedding ||
        !take_encoded(h, encoder, it->terms, record->vector != NULL, &it->encoded))
        return no_memory(error);
    memcpy(it->term, h->term, it->terms * sizeof *it->term);
    atoll_encoder_weigh(encoder, it->term, it->terms, &it->encoded);
    if (record->vector)
        atoll_encoder_scale(encoder, record->vector, &it->encoded);
    atoll_encoder_embed(encoder, &it->encoded);
    return ATOLL_OK;
}

/* Random features of the items that have a vector, as one product. */
static atoll_status encode_vectors(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_error *error)
{
    uint32_t vectors = 0, dim = state->model.encoder.vector_dim;
    for (uint32_t i = 0; i < count; i++)
        vectors += trainer->items[i].encoded.has_dense;
    if (!vectors)
        return ATOLL_OK;
    float *v = atoll_arena_take(&trainer->hand[0].arena, (size_t)vectors * dim * sizeof *v);
    float *z = atoll_arena_take(&trainer->hand[0].arena, (size_t)vectors * ATOLL_RIDGE_FEATURES * sizeof *z);
    if (!v || !z)
        return no_memory(error);
    vectors = 0;
    for (uint32_t i = 0; i < count; i++)
        if (trainer->items[i].encoded.has_dense) {
            memcpy(v + (size_t)vectors * dim, trainer->items[i].encoded.dense, dim * sizeof *v);
            trainer->items[i].z = z + (size_t)vectors++ * ATOLL_RIDGE_FEATURES;
        }
    atoll_ridge_features(state->ridge->random, dim, v, vectors, z);
    return ATOLL_OK;
}

/* ---- find neighbours ---- */

/* Contexts for `count` embeddings, given one by one; `except[i]` is a slot not to be seen by query i. */
static atoll_status find_contexts(hand *h, const atoll_state *state, float *const *embedding,
                                  const uint32_t *except, atoll_context *const *context, uint32_t count,
                                  atoll_error *error)
{
    uint32_t dim = state->model.encoder.embedding_dim;
    float *queries = atoll_arena_take(&h->arena, (size_t)count * dim * sizeof *queries);
    atoll_neighbours *found = atoll_arena_take(&h->arena, count * sizeof *found);
    if (!queries || !found)
        return no_memory(error);
    for (uint32_t i = 0; i < count; i++)
        memcpy(queries + (size_t)i * dim, embedding[i], dim * sizeof *queries);
    atoll_status status = atoll_index_search_live(state->index, queries, count, found, error);
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        atoll_context_fill(&view, &found[i], except[i], dim, context[i]);
    return status;
}

/* Encodes items and finds their contexts. */
static void encode_half(void *arg)
{
    half *w = arg;
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS], count = 0;
    for (uint32_t i = w->from; i < w->to && w->status == ATOLL_OK; i++) {
        item *it = &w->trainer->items[i];
        w->status = encode(w->hand, w->state, it, &w->error);
        embedding[count] = it->encoded.embedding;
        context[count] = &it->context;
        except[count++] = ATOLL_SLOT_NONE;
    }
    if (w->status == ATOLL_OK && count)
        w->status = find_contexts(w->hand, w->state, embedding, except, context, count, &w->error);
}

/* ---- answer first ---- */

static void count_route(atoll_state *state, const atoll_workspace *workspace, const atoll_route *route,
                        int64_t time_ms)
{
    atoll_model *model = &state->model;
    double entropy = 0;
    for (uint32_t e = 1; e < model->experts; e++) {
        float p = workspace->gate[e];
        entropy -= p > 0 ? p * log(p) : 0;
        model->expert[e].share -= share_rate * model->expert[e].share;
    }
    for (uint32_t i = 0; i < route->count; i++) {
        model->expert[route->expert[i]].share += share_rate;
        model->expert[route->expert[i]].last_routed_ms = time_ms;
    }
    state->tally.entropy += loss_rate * (entropy - state->tally.entropy);
}

/* Counts whether the answer was right, and lets the combination learn from it. */
static void count_answer(atoll_state *state, const atoll_voices *voices, const float *p, uint32_t label,
                         uint32_t domain)
{
    atoll_tally *tally = &state->tally;
    uint32_t best = 0;
    for (uint32_t y = 1; y < voices->labels; y++)
        best = p[y] > p[best] ? y : best;
    bool known = label < voices->labels, right = known && best == label;
    tally->asked++;
    tally->right += right;
    tally->recent += fmax(recent_rate, 1.0 / (double)tally->asked) * (right - tally->recent);
    if (domain != UINT32_MAX) {
        state->domain[domain].records++;
        state->domain[domain].right += right;
    }
    if (!known)
        return;
    tally->log_loss += loss_rate * (-log(fmax(p[label], 1e-12)) - tally->log_loss);
    atoll_combiner_learn(&state->model.combiner, voices, p, label);
    atoll_expert *shared = &state->model.expert[0];
    if (voices->says[ATOLL_VOICE_SHARED])
        shared->loss += loss_rate * (-log(fmax(voices->says[ATOLL_VOICE_SHARED][label], 1e-12)) - shared->loss);
}

/* The combination with the experts on the route, a candidate on `trial` among them. */
static atoll_status combine(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                            const atoll_route *route, bool trial, atoll_voices *voices, atoll_error *error)
{
    atoll_status status = atoll_predict_experts(model, workspace, input, route, trial, error);
    voices->says[ATOLL_VOICE_EXPERTS] = route->count ? workspace->voice[ATOLL_VOICE_EXPERTS] : NULL;
    if (status == ATOLL_OK)
        atoll_combine(&model->combiner, voices, workspace->combined);
    return status;
}

/* Predicts, counts, weighs the candidate and names the owner of one record. */
static atoll_status judge(atoll_trainer *trainer, atoll_state *state, item *it, uint64_t commit, int64_t time_ms,
                          atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &trainer->hand[0].workspace;
    atoll_slice name = it->record->label;
    atoll_voices voices;
    atoll_route route;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    if (status)
        return status;
    uint32_t label = atoll_names_find(&state->labels, name.data, name.bytes);
    atoll_input input = atoll_predict_input(model, workspace, &it->encoded, &it->context);
    float novelty = atoll_novelty_of(&model->novelty, it->context.familiarity);
    if ((status = atoll_predict_others(model, workspace, &input, &it->context, it->z, &voices, error)) ||
        (status = atoll_predict_gate(model, workspace, &input, &it->context, error)))
        return status;
    atoll_gate_route(workspace->gate, 1, model->experts, model->config.top_k, model->config.capacity_factor,
                     ATOLL_OVERFLOW_KEEP, workspace->load, &route, &state->tally.routes);
    if ((status = combine(model, workspace, &input, &route, false, &voices, error)))
        return status;
    count_route(state, workspace, &route, time_ms);
    count_answer(state, &voices, workspace->combined, label, it->domain);
    it->probability = label < voices.labels ? workspace->combined[label] : 0;
    if (state->growth.candidate) {
        if ((status = combine(model, workspace, &input, &route, true, &voices, error)))
            return status;
        if (label < voices.labels)
            atoll_growth_weigh(state, workspace->combined[label], it->probability);
    }
    atoll_novelty_learn(&model->novelty, it->context.familiarity);
    state->tally.repeated += label == state->tally.last_label;
    atoll_judged judged = {&input, &it->context, label, novelty};
    if ((status = atoll_growth_assign(state, workspace, &judged, commit, &it->owner, error)) ||
        (status = atoll_names_add(&state->labels, name.data, name.bytes, &it->label, error)))
        return status;
    state->tally.last_label = it->label;
    model->labels = state->labels.count;
    return ATOLL_OK;
}

/* ---- samples ---- */

/* The next sample of the step, still to be encoded; NULL where memory is short. */
static atoll_sample *add_sample(atoll_trainer *trainer, uint32_t label, uint32_t owner)
{
    atoll_sample *sample = atoll_arena_take(&trainer->hand[0].arena, sizeof *sample);
    if (!sample)
        return NULL;
    *sample = (atoll_sample){.label = label, .owner = owner, .slot = ATOLL_SLOT_NONE};
    return trainer->sample[trainer->samples++] = sample;
}

/* An exemplar drawn for replay. With `gated` it is one of the gate's samples. */
static atoll_status add_replay(atoll_trainer *trainer, const atoll_slot *held, uint32_t slot, bool gated,
                               uint32_t embedding_dim, atoll_error *error)
{
    atoll_arena *arena = &trainer->hand[0].arena;
    atoll_sample *sample = add_sample(trainer, held->exemplar->label, held->owner);
    if (!sample)
        return no_memory(error);
    sample->slot = slot;
    sample->term = held->exemplar->term;
    sample->terms = held->exemplar->terms;
    sample->vector = held->exemplar->vector_dim ? held->exemplar->vector : NULL;
    if (!gated)
        return ATOLL_OK;
    sample->context = atoll_arena_take(arena, sizeof *sample->context);
    if (!sample->context || !(sample->context->embedding = atoll_arena_take(arena, embedding_dim * sizeof(float))))
        return no_memory(error);
    return ATOLL_OK;
}

static atoll_status add_fresh(atoll_trainer *trainer, item *it, atoll_error *error)
{
    atoll_sample *sample = add_sample(trainer, it->label, it->owner);
    if (!sample)
        return no_memory(error);
    sample->term = it->term;
    sample->terms = it->terms;
    sample->vector = it->record->vector;
    sample->fresh = true;
    sample->context = &it->context;
    sample->embedding = it->encoded.embedding;
    return ATOLL_OK;
}

/* Encodes samples, with what the step's own records have added, and finds the contexts that the gate needs. */
static void encode_samples_half(void *arg)
{
    half *w = arg;
    const atoll_encoder *encoder = &w->state->model.encoder;
    atoll_memory_view view = atoll_memory_freeze(w->state->memory);
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS], gated = 0;
    for (uint32_t i = w->from; i < w->to; i++) {
        atoll_sample *sample = w->trainer->sample[i];
        if (!take_encoded(w->hand, encoder, sample->terms, sample->vector != NULL, &sample->encoded)) {
            w->status = no_memory(&w->error);
            return;
        }
        atoll_encoder_weigh(encoder, sample->term, sample->terms, &sample->encoded);
        if (sample->vector)
            atoll_encoder_scale(encoder, sample->vector, &sample->encoded);
        if (!sample->context)
            continue;
        if (sample->fresh) {
            memcpy(sample->encoded.embedding, sample->embedding, encoder->embedding_dim * sizeof(float));
            continue;
        }
        atoll_half_to_float(atoll_memory_at(&view, sample->slot)->exemplar->embedding, sample->encoded.embedding,
                            encoder->embedding_dim);
        embedding[gated] = sample->encoded.embedding;
        context[gated] = sample->context;
        except[gated++] = sample->slot;
    }
    if (gated)
        w->status = find_contexts(w->hand, w->state, embedding, except, context, gated, &w->error);
}

/* Each record with its replays behind it; one replay of every second record is also shown to the gate. */
static atoll_status gather(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_rng *rng,
                           atoll_error *error)
{
    uint32_t slot[ATOLL_REPLAYS], dim = state->model.encoder.embedding_dim;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    trainer->samples = 0;
    for (uint32_t i = 0; i < count; i++) {
        atoll_status status = add_fresh(trainer, &trainer->items[i], error);
        uint32_t drawn = atoll_memory_draw(state->memory, ATOLL_SLOT_NONE, rng, ATOLL_REPLAYS, slot);
        for (uint32_t r = 0; r < drawn && status == ATOLL_OK; r++)
            status = add_replay(trainer, atoll_memory_at(&view, slot[r]), slot[r], r == 0 && i % GATE_REPLAY_EVERY == 0,
                                dim, error);
        if (status)
            return status;
    }
    return in_halves(trainer, state, trainer->samples, encode_samples_half, error);
}

/* ---- fit ---- */

/* The shared expert learns from every sample. */
static void fit_shared(void *arg)
{
    half *w = arg;
    atoll_expert *shared = &w->state->model.expert[0];
    shared->version = w->commit;
    w->status = atoll_fit_expert(&w->state->pager, shared, &w->hand->workspace, w->trainer->sample,
                                 w->trainer->samples, &w->error);
}

/* Each expert learns from its own, and the gate whose they are. */
static void fit_routed(void *arg)
{
    half *w = arg;
    atoll_trainer *trainer = w->trainer;
    atoll_model *model = &w->state->model;
    float share[ATOLL_EXPERTS_MAX];
    for (uint32_t e = 0; e < model->experts && w->status == ATOLL_OK; e++) {
        atoll_expert *expert = &model->expert[e];
        uint32_t chosen = 0;
        share[e] = (float)expert->share;
        for (uint32_t i = 0; i < trainer->samples; i++)
            if (trainer->sample[i]->owner == e)
                trainer->chosen[chosen++] = trainer->sample[i];
        if (chosen == 0 || (expert->state != ATOLL_EXPERT_ACTIVE && expert->state != ATOLL_EXPERT_CANDIDATE))
            continue;
        expert->version = w->commit;
        w->status = atoll_fit_expert(&w->state->pager, expert, &w->hand->workspace, trainer->chosen, chosen, &w->error);
    }
    model->gate.version = w->commit;
    for (uint32_t i = 0; i < trainer->samples && w->status == ATOLL_OK; i++)
        if (trainer->sample[i]->context && trainer->sample[i]->owner != ATOLL_EXPERT_NONE)
            w->status = atoll_fit_gate(w->state, &w->hand->workspace, trainer->sample[i], share, &w->error);
}

static atoll_status fit(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_error *error)
{
    half halves[2];
    for (int i = 0; i < 2; i++) {
        halves[i] = (half){.trainer = trainer, .state = state, .hand = &trainer->hand[i], .commit = commit};
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

static atoll_status fit_analytic(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_error *error)
{
    uint32_t label[ATOLL_STEP_RECORDS], vectors = 0;
    const float *z = NULL; /* the items' features stand one behind another */
    for (uint32_t i = 0; i < count; i++) {
        const item *it = &trainer->items[i];
        if (it->z) {
            z = z ? z : it->z;
            label[vectors++] = it->label;
        }
    }
    return vectors ? atoll_ridge_add(state->ridge, z, label, vectors, state->model.labels, error) : ATOLL_OK;
}

/* ---- remember ---- */

static atoll_status remember(atoll_state *state, const item *it, atoll_rng *rng, int64_t time_ms, atoll_error *error)
{
    uint32_t slot, dim = state->model.encoder.embedding_dim;
    const atoll_record *record = it->record;
    atoll_exemplar like = {.seq = it->seq,
                           .time_ms = record->has_time ? record->time_ms : time_ms,
                           .label = it->label,
                           .domain = it->domain,
                           .id_bytes = (uint32_t)record->id.bytes,
                           .terms = it->terms,
                           .vector_dim = record->vector ? record->vector_dim : 0,
                           .embedding_dim = dim,
                           .id = record->id.data,
                           .term = it->term,
                           .vector = record->vector};
    atoll_status status = atoll_memory_offer(state->memory, &like, it->encoded.embedding, it->owner, rng, &slot, error);
    if (status || slot == ATOLL_SLOT_NONE)
        return status;
    float rounded[ATOLL_EMBEDDING_MAX_DIM];
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_half_to_float(atoll_memory_at(&view, slot)->exemplar->embedding, rounded, dim);
    return atoll_index_put(state->index, slot, rounded, error);
}

/* ---- one step, one commit ---- */

static atoll_status step(atoll_trainer *trainer, atoll_state *state, uint32_t count, uint64_t commit,
                         int64_t time_ms, atoll_rng *rng, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (trainer->items[i].record->vector && !state->model.encoder.vector_dim)
            status = atoll_state_set_vector(state, trainer->items[i].record->vector_dim, error);
    if (status || (status = in_halves(trainer, state, count, encode_half, error)) ||
        (status = encode_vectors(trainer, state, count, error)))
        return status;
    for (uint32_t i = 0; i < count; i++)
        if ((status = judge(trainer, state, &trainer->items[i], commit, time_ms, error)))
            return status;
    for (uint32_t i = 0; i < count; i++) {
        const item *it = &trainer->items[i];
        if ((status = atoll_encoder_learn(&state->pager, &state->model.encoder, it->term, it->terms,
                                          it->record->vector, error)))
            return status;
    }
    if ((status = gather(trainer, state, count, rng, error)) || (status = fit(trainer, state, commit, error)) ||
        (status = fit_analytic(trainer, state, count, error)))
        return status;
    for (uint32_t i = 0; i < count; i++)
        if ((status = remember(state, &trainer->items[i], rng, time_ms, error)))
            return status;
    if ((status = atoll_index_flush(state->index, error)))
        return status;
    state->model.records += count;
    return atoll_growth_review(state, commit, error);
}

/* A new analytic solution, once enough has been added that it would differ. */
static atoll_status solve(atoll_state *state, atoll_error *error)
{
    enum { SMALL = 1024, FEW = 32 };
    atoll_ridge_weights *solution;
    if (!state->ridge || state->ridge->records == state->solved ||
        (state->ridge->records > SMALL && state->ridge->records - state->solved < FEW))
        return ATOLL_OK;
    atoll_status status = atoll_ridge_solve(state->ridge, &solution, error);
    if (status)
        return status;
    if (state->model.analytic)
        atoll_reclaim_retire(state->reclaim, (void *)state->model.analytic, 0, free);
    state->model.analytic = solution;
    state->solved = state->ridge->records;
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
            item *it = &trainer->items[i];
            *it = (item){.record = &records[at + i], .seq = first_seq + at + i, .domain = UINT32_MAX};
            atoll_slice domain = records[at + i].domain;
            /* Domains beyond the limit are not counted apart. */
            if (domain.data && atoll_names_add(&state->domains, domain.data, domain.bytes, &it->domain, NULL))
                it->domain = UINT32_MAX;
        }
        status = step(trainer, state, batch, commit, time_ms, &rng, error);
    }
    return status ? status : solve(state, error);
}
