#include "learner/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/half.h"
#include "core/hash.h"
#include "core/kernels.h"
#include "learner/fit.h"
#include "learner/growth.h"
#include "learner/tally.h"
#include "learner/twin.h"
#include "retrieval/context.h"

/*
 * Each how many records one replay is also shown to the gate, which needs a search. In a flat index that is cheap; in
 * codes a search takes several times as long, and half as many cost a quarter point of accuracy on CLINC150.
 */
enum { GATE_REPLAY_EVERY = 4, GATE_REPLAY_EVERY_CODED = 8, SAMPLES_A_RECORD = 1 + ATOLL_REPLAYS };

_Static_assert(ATOLL_STEP_RECORDS * SAMPLES_A_RECORD <= ATOLL_FIT_SAMPLES, "one fit takes a step's samples");

/*
 * One exemplar in HELD_OUT is never replayed; every REHEARSE_EVERY records one of those is asked for, for the
 * combination to learn from. With a rehearsal counting sixteen times a new record, the past has four times the say of
 * the present. Without, the weights follow the domain of the moment: on split Fashion-MNIST that costs seven points.
 */
enum { HELD_OUT = 16, REHEARSE_EVERY = 4, REHEARSALS = ATOLL_STEP_RECORDS / REHEARSE_EVERY };

static const float fresh_importance = 1, rehearsal_importance = 16;

enum { NEWBORN = 8 }; /* room for experts that are born in a step */

/* One record of the step under way. All arrays are the arena's. */
typedef struct item {
    const atoll_record *record;
    uint64_t seq;
    atoll_term *term;
    uint32_t terms;
    atoll_encoded encoded; /* as it was before it was learned */
    const float *z;
    atoll_context context;
    atoll_voices voices;    /* as they were before the step */
    float *gate, *vote;     /* experts of that time, and NEWBORN zeros */
    atoll_route route;
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
    atoll_sample *sample[ATOLL_STEP_RECORDS * SAMPLES_A_RECORD + REHEARSALS]; /* all samples of the step, in order */
    atoll_sample *chosen[ATOLL_STEP_RECORDS * SAMPLES_A_RECORD];
    uint32_t samples;
    atoll_sample *rehearsed[REHEARSALS]; /* behind the others in `sample`, not counted in `samples` */
    uint32_t rehearsals;
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

/* Random features of those of the items from..to-1 that have a vector, as one product. */
static atoll_status encode_vectors(hand *h, const atoll_state *state, item *items, uint32_t from, uint32_t to,
                                   atoll_error *error)
{
    uint32_t vectors = 0, dim = state->model.encoder.vector_dim;
    for (uint32_t i = from; i < to; i++)
        vectors += items[i].encoded.has_dense;
    if (!vectors)
        return ATOLL_OK;
    float *v = atoll_arena_take(&h->arena, (size_t)vectors * dim * sizeof *v);
    float *z = atoll_arena_take(&h->arena, (size_t)vectors * ATOLL_RIDGE_FEATURES * sizeof *z);
    if (!v || !z)
        return no_memory(error);
    vectors = 0;
    for (uint32_t i = from; i < to; i++)
        if (items[i].encoded.has_dense) {
            memcpy(v + (size_t)vectors * dim, items[i].encoded.dense, dim * sizeof *v);
            items[i].z = z + (size_t)vectors++ * ATOLL_RIDGE_FEATURES;
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

/* A copy of `count` floats, with `more` zeros behind them. */
static float *keep_floats(hand *h, const float *from, uint32_t count, uint32_t more)
{
    float *kept = atoll_arena_take(&h->arena, (count + more + 1) * sizeof *kept);
    if (!kept)
        return NULL;
    memcpy(kept, from, count * sizeof *kept);
    memset(kept + count, 0, more * sizeof *kept);
    return kept;
}

/* Asks voices and gate, and keeps what they say. */
static atoll_status ask(hand *h, const atoll_state *state, item *it, atoll_error *error)
{
    const atoll_model *model = &state->model;
    atoll_input input = atoll_predict_input(model, &h->workspace, &it->encoded, &it->context);
    atoll_status status = atoll_predict_others(model, &h->workspace, &input, &it->context, it->z, &it->voices, error);
    if (status || (status = atoll_predict_gate(model, &h->workspace, &input, &it->context, error)))
        return status;
    it->gate = keep_floats(h, h->workspace.gate, model->experts, NEWBORN);
    it->vote = keep_floats(h, h->workspace.vote, model->experts, NEWBORN);
    bool whole = it->gate && it->vote;
    for (int v = 0; v < ATOLL_VOICES && whole; v++)
        if (it->voices.says[v])
            whole = (it->voices.says[v] = keep_floats(h, it->voices.says[v], model->labels, 0)) != NULL;
    return whole ? ATOLL_OK : no_memory(error);
}

/* What `ask` kept of an item, back in a workspace that fits the model. */
static void recall(atoll_workspace *workspace, const atoll_model *model, item *it)
{
    memcpy(workspace->gate, it->gate, model->experts * sizeof *workspace->gate);
    memcpy(workspace->vote, it->vote, model->experts * sizeof *workspace->vote);
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (it->voices.says[v]) {
            memcpy(workspace->voice[v], it->voices.says[v], it->voices.labels * sizeof(float));
            it->voices.says[v] = workspace->voice[v];
        }
}

/* Encodes items, finds their contexts, and asks. */
static void encode_half(void *arg)
{
    half *w = arg;
    item *items = w->trainer->items;
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS], count = 0;
    w->status = atoll_workspace_fit(&w->hand->workspace, &w->state->model, &w->error);
    for (uint32_t i = w->from; i < w->to && w->status == ATOLL_OK; i++) {
        w->status = encode(w->hand, w->state, &items[i], &w->error);
        embedding[count] = items[i].encoded.embedding;
        context[count] = &items[i].context;
        except[count++] = ATOLL_SLOT_NONE;
    }
    if (w->status || !count ||
        (w->status = find_contexts(w->hand, w->state, embedding, except, context, count, &w->error)) ||
        (w->status = encode_vectors(w->hand, w->state, items, w->from, w->to, &w->error)))
        return;
    for (uint32_t i = w->from; i < w->to && w->status == ATOLL_OK; i++)
        w->status = ask(w->hand, w->state, &items[i], &w->error);
}

/* ---- answer first ---- */

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

/* Routes the step's records as one batch. */
static atoll_status route(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_error *error)
{
    const atoll_model *model = &state->model;
    atoll_arena *arena = &trainer->hand[0].arena;
    float *gate = atoll_arena_take(arena, ((size_t)count * model->experts + 1) * sizeof *gate);
    atoll_route *routes = atoll_arena_take(arena, count * sizeof *routes);
    if (!gate || !routes)
        return no_memory(error);
    for (uint32_t i = 0; i < count; i++)
        memcpy(gate + (size_t)i * model->experts, trainer->items[i].gate, model->experts * sizeof *gate);
    atoll_gate_route(gate, count, model->experts, model->config.top_k, model->config.capacity_factor,
                     (atoll_overflow)model->config.overflow, trainer->hand[0].workspace.load, routes,
                     &state->tally.routes);
    for (uint32_t i = 0; i < count; i++)
        trainer->items[i].route = routes[i];
    return ATOLL_OK;
}

/* Answers, counts, weighs the candidate and names the owner of one record. */
static atoll_status judge(atoll_trainer *trainer, atoll_state *state, item *it, uint64_t commit, int64_t time_ms,
                          atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &trainer->hand[0].workspace;
    atoll_slice name = it->record->label;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    if (status)
        return status;
    uint32_t label = atoll_names_find(&state->labels, name.data, name.bytes);
    bool known = label < it->voices.labels;
    atoll_input input = atoll_predict_input(model, workspace, &it->encoded, &it->context);
    float novelty = atoll_novelty_of(&model->novelty, it->context.familiarity);
    recall(workspace, model, it);
    if ((status = combine(model, workspace, &input, &it->route, false, &it->voices, error)))
        return status;
    atoll_tally_route(state, workspace->gate, &it->route, time_ms);
    atoll_tally_answer(state, &it->voices, workspace->combined, label, it->domain);
    if (known)
        atoll_combiner_learn(&model->combiner, &it->voices, workspace->combined, label, fresh_importance);
    it->probability = known ? workspace->combined[label] : 0;
    if (state->growth.candidate) {
        if ((status = combine(model, workspace, &input, &it->route, true, &it->voices, error)))
            return status;
        if (known)
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

/* What the voices say of an exemplar that is never replayed, they would say of any record of its past. */
static bool held_out(const atoll_slot *held)
{
    return atoll_hash64(&held->exemplar->seq, sizeof held->exemplar->seq, 0) % HELD_OUT == 0;
}

/* Draws exemplars that are held out, or that are not: up to `count`, fewer where they are hard to find. */
static uint32_t draw(const atoll_state *state, atoll_rng *rng, bool out, uint32_t count, uint32_t *slot)
{
    enum { TRIES = 4 * HELD_OUT };
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t drawn = 0;
    for (uint32_t tries = 0; drawn < count && tries < TRIES; tries++)
        if (atoll_memory_draw(state->memory, ATOLL_SLOT_NONE, rng, 1, &slot[drawn]) &&
            held_out(atoll_memory_at(&view, slot[drawn])) == out)
            drawn++;
    return drawn;
}

/* Each record with its replays behind it, some of which are also shown to the gate. */
static atoll_status gather(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_rng *rng,
                           atoll_error *error)
{
    uint32_t slot[ATOLL_REPLAYS], dim = state->model.encoder.embedding_dim;
    bool coded = atoll_index_count(state->index) > ATOLL_INDEX_FLAT_MAX;
    uint32_t every = coded ? GATE_REPLAY_EVERY_CODED : GATE_REPLAY_EVERY;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    trainer->samples = trainer->rehearsals = 0;
    for (uint32_t i = 0; i < count; i++) {
        atoll_status status = add_fresh(trainer, &trainer->items[i], error);
        uint32_t drawn = draw(state, rng, false, ATOLL_REPLAYS, slot);
        for (uint32_t r = 0; r < drawn && status == ATOLL_OK; r++)
            status = add_replay(trainer, atoll_memory_at(&view, slot[r]), slot[r], r == 0 && i % every == 1,
                                dim, error);
        if (status == ATOLL_OK && i % REHEARSE_EVERY == 0 && draw(state, rng, true, 1, slot)) {
            if ((status = add_replay(trainer, atoll_memory_at(&view, slot[0]), slot[0], true, dim, error)))
                return status;
            trainer->rehearsed[trainer->rehearsals++] = trainer->sample[--trainer->samples];
        }
        if (status)
            return status;
    }
    memcpy(trainer->sample + trainer->samples, trainer->rehearsed, trainer->rehearsals * sizeof *trainer->rehearsed);
    return in_halves(trainer, state, trainer->samples + trainer->rehearsals, encode_samples_half, error);
}

/* Asks for the exemplars that are held out, and lets the combination learn from what is said. */
static atoll_status rehearse(atoll_trainer *trainer, atoll_state *state, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &trainer->hand[0].workspace;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    for (uint32_t i = 0; i < trainer->rehearsals && status == ATOLL_OK; i++) {
        const atoll_sample *sample = trainer->rehearsed[i];
        float z[ATOLL_RIDGE_FEATURES];
        atoll_voices voices;
        atoll_route route;
        atoll_route_counts ignored = {0};
        if (sample->vector)
            atoll_ridge_features(state->ridge->random, model->encoder.vector_dim, sample->encoded.dense, 1, z);
        atoll_input input = atoll_predict_input(model, workspace, &sample->encoded, sample->context);
        if ((status = atoll_predict_others(model, workspace, &input, sample->context, sample->vector ? z : NULL,
                                           &voices, error)) ||
            (status = atoll_predict_gate(model, workspace, &input, sample->context, error)))
            return status;
        /* Labels of the past are old: to them the odds of the young only do harm, and would be unlearned. */
        voices.says[ATOLL_VOICE_YOUTH] = NULL;
        atoll_gate_route(workspace->gate, 1, model->experts, model->config.top_k, model->config.capacity_factor,
                         ATOLL_OVERFLOW_KEEP, workspace->load, &route, &ignored);
        if ((status = combine(model, workspace, &input, &route, false, &voices, error)) == ATOLL_OK)
            atoll_combiner_learn(&model->combiner, &voices, workspace->combined, sample->label, rehearsal_importance);
    }
    return status;
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
    for (uint32_t i = 0; i < trainer->rehearsals && w->status == ATOLL_OK; i++)
        if (trainer->rehearsed[i]->owner != ATOLL_EXPERT_NONE)
            w->status = atoll_fit_gate(w->state, &w->hand->workspace, trainer->rehearsed[i], share, &w->error);
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

static atoll_status fit_analytic(atoll_trainer *trainer, atoll_state *state, uint32_t from, uint32_t to,
                                 atoll_error *error)
{
    uint32_t label[ATOLL_STEP_RECORDS], vectors = 0;
    const float *z = NULL; /* the features of one half stand one behind another */
    for (uint32_t i = from; i < to; i++) {
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
        (status = route(trainer, state, count, error)))
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
    if ((status = gather(trainer, state, count, rng, error)) ||
        (status = rehearse(trainer, state, error)) || (status = fit(trainer, state, commit, error)) ||
        (status = fit_analytic(trainer, state, 0, count / 2, error)) ||
        (status = fit_analytic(trainer, state, count / 2, count, error)))
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
