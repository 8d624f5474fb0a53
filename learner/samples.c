#include "learner/step.h"

#include <string.h>

#include "core/half.h"
#include "core/hash.h"

/*
 * Each how many records one replay is also shown to the gate, which needs a search. In a flat index that is cheap; in
 * codes a search takes several times as long, and half as many cost a quarter point of accuracy on CLINC150.
 */
enum { GATE_REPLAY_EVERY = 4, GATE_REPLAY_EVERY_CODED = 8 };

enum { HELD_OUT = 16 }; /* one exemplar in so many is never replayed but rehearsed (learner/rehearsal.c) */

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
        return atoll_step_no_memory(error);
    sample->slot = slot;
    sample->term = held->exemplar->term;
    sample->terms = held->exemplar->terms;
    sample->vector = held->exemplar->vector_dim ? held->exemplar->vector : NULL;
    if (!gated)
        return ATOLL_OK;
    sample->context = atoll_arena_take(arena, sizeof *sample->context);
    if (!sample->context || !(sample->context->embedding = atoll_arena_take(arena, embedding_dim * sizeof(float))))
        return atoll_step_no_memory(error);
    return ATOLL_OK;
}

static atoll_status add_fresh(atoll_trainer *trainer, atoll_step_item *it, atoll_error *error)
{
    atoll_sample *sample = add_sample(trainer, it->label, it->owner);
    if (!sample)
        return atoll_step_no_memory(error);
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
    atoll_portion *w = arg;
    const atoll_encoder *encoder = &w->state->model.encoder;
    atoll_memory_view view = atoll_memory_freeze(w->state->memory);
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS], gated = 0;
    for (uint32_t i = w->from; i < w->to; i++) {
        atoll_sample *sample = w->trainer->sample[i];
        if (!atoll_step_take_encoded(w->hand, encoder, sample->terms, sample->vector != NULL, &sample->encoded)) {
            w->status = atoll_step_no_memory(&w->error);
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
        w->status = atoll_step_find_contexts(w->hand, w->state, embedding, except, context, gated, &w->error);
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
        if (atoll_memory_draw(state->memory, rng, 1, &slot[drawn]) &&
            held_out(atoll_memory_at(&view, slot[drawn])) == out)
            drawn++;
    return drawn;
}

atoll_status atoll_step_gather(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_rng *rng,
                               atoll_error *error)
{
    uint32_t slot[ATOLL_REPLAYS_MAX], dim = state->model.encoder.embedding_dim, replays = state->model.config.replays;
    bool coded = atoll_index_count(state->index) > ATOLL_INDEX_FLAT_MAX;
    uint32_t every = coded ? GATE_REPLAY_EVERY_CODED : GATE_REPLAY_EVERY;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    trainer->samples = trainer->rehearsals = 0;
    for (uint32_t i = 0; i < count; i++) {
        atoll_status status = add_fresh(trainer, &trainer->items[i], error);
        uint32_t drawn = draw(state, rng, false, replays, slot);
        for (uint32_t r = 0; r < drawn && status == ATOLL_OK; r++)
            status = add_replay(trainer, atoll_memory_at(&view, slot[r]), slot[r], r == 0 && i % every == 1,
                                dim, error);
        if (status == ATOLL_OK && replays && i % ATOLL_REHEARSE_EVERY == 0 && draw(state, rng, true, 1, slot)) {
            if ((status = add_replay(trainer, atoll_memory_at(&view, slot[0]), slot[0], true, dim, error)))
                return status;
            trainer->rehearsed[trainer->rehearsals++] = trainer->sample[--trainer->samples];
        }
        if (status)
            return status;
    }
    memcpy(trainer->sample + trainer->samples, trainer->rehearsed, trainer->rehearsals * sizeof *trainer->rehearsed);
    return atoll_step_halve(trainer, state, trainer->samples + trainer->rehearsals, encode_samples_half, error);
}
