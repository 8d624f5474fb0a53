#include "learner/step.h"

#include <string.h>

#include "core/half.h"
#include "core/hash.h"
#include "learner/dense.h"

enum { GATE_REPLAYS = 2 }; /* of a record's replays, so many are also shown to the gate: four measure no better */

/*
 * What the combination is rehearsed on must not have been learned: of exemplars that were learned when they came, the
 * experts are right about .94 where they are right about .53 of other records of that past. So records whose lot is
 * low are kept and not learned, and are released to replay when the bound falls below their lot. At most one in
 * HELD_OUT is, and not more than about HELD_OUT_MOST at a time; none while its owner has learned less than
 * HELD_OUT_KNOWN of its label.
 */
enum { HELD_OUT = 32, HELD_OUT_MOST = 512, HELD_OUT_KNOWN = 16 };

/* Lots below it are held out. */
static uint32_t bound(const atoll_state *state)
{
    uint32_t exemplars = atoll_memory_count(state->memory);
    return exemplars > HELD_OUT * HELD_OUT_MOST ? UINT32_MAX / exemplars * HELD_OUT_MOST : UINT32_MAX / HELD_OUT;
}

float atoll_step_held_out(const atoll_state *state)
{
    return (float)atoll_memory_count(state->memory) * ((float)bound(state) / (float)UINT32_MAX);
}

/* The record's lot where it is to be held out, else 0. */
static uint32_t draw_lot(const atoll_state *state, const atoll_step_item *it)
{
    const atoll_expert *owner = &state->model.expert[it->owner];
    uint32_t lot = (uint32_t)atoll_hash64(&it->seq, sizeof it->seq, 0), output;
    if (lot >= bound(state) || !state->model.config.replays ||
        (output = atoll_expert_output(owner, it->label)) == ATOLL_ROW_NONE)
        return 0;
    return atoll_expert_label_at(owner, output)->records < HELD_OUT_KNOWN ? 0 : lot;
}

/* The next sample of the step, still to be encoded; NULL where memory is short. */
static atoll_sample *add_sample(atoll_trainer *trainer, uint32_t label, uint32_t owner)
{
    atoll_sample *sample = atoll_arena_take(&trainer->hand[0].arena, sizeof *sample);
    if (!sample)
        return NULL;
    *sample = (atoll_sample){.label = label, .owner = owner, .slot = ATOLL_SLOT_NONE};
    return trainer->sample[trainer->samples++] = sample;
}

/* An exemplar that was drawn; NULL where memory is short. */
static atoll_sample *add_replay(atoll_trainer *trainer, const atoll_slot *held, uint32_t slot)
{
    atoll_sample *sample = add_sample(trainer, held->exemplar->label, held->owner);
    if (!sample)
        return NULL;
    sample->slot = slot;
    sample->term = held->exemplar->term;
    sample->terms = held->exemplar->terms;
    sample->vector = held->exemplar->vector;
    sample->code = held->exemplar->code;
    sample->numbers = held->exemplar->vector_dim;
    return sample;
}

static atoll_status add_fresh(atoll_trainer *trainer, const atoll_state *state, atoll_step_item *it,
                              atoll_error *error)
{
    atoll_sample *sample = add_sample(trainer, it->label, it->owner);
    if (!sample)
        return atoll_step_no_memory(error);
    sample->term = it->term;
    sample->terms = it->terms;
    sample->vector = it->record->vector;
    sample->numbers = atoll_record_numbers(it->record);
    sample->each = it->encoded.each;
    sample->fresh = true;
    it->lot = draw_lot(state, it);
    sample->held_out = it->lot;
    sample->gated = !sample->held_out;
    sample->embedding = it->encoded.embedding;
    return ATOLL_OK;
}

/* Samples' random features, and what the analytic half says of them. */
static atoll_status encode_dense(atoll_portion *w)
{
    atoll_encoded **encoded = atoll_arena_take(&w->hand->arena, (w->to - w->from + 1) * sizeof *encoded);
    if (!encoded)
        return atoll_step_no_memory(&w->error);
    for (uint32_t i = w->from; i < w->to; i++)
        encoded[i - w->from] = &w->trainer->sample[i]->encoded;
    return atoll_dense_read(&w->hand->arena, &w->state->model, encoded, w->to - w->from, &w->error);
}

bool atoll_step_encode(atoll_hand *h, const atoll_model *model, atoll_sample *sample)
{
    atoll_encoded *encoded = &sample->encoded;
    if (!atoll_step_take_encoded(h, model, sample->terms, sample->numbers, encoded))
        return false;
    atoll_encoder_weigh(&model->encoder, sample->term, sample->terms, encoded);
    if (sample->vector)
        atoll_step_scale(model, sample->vector, sample->numbers, encoded);
    if (sample->code)
        atoll_encoder_decode(&model->encoder, sample->code, sample->numbers, encoded);
    encoded->each = sample->each;
    return sample->each || !(sample->gated || sample->context) || atoll_step_embed_each(h, model, encoded);
}

/* Encodes samples, with what the step's own records have added, and finds the contexts of what is rehearsed. */
static void encode_samples_half(void *arg)
{
    atoll_portion *w = arg;
    const atoll_encoder *encoder = &w->state->model.encoder;
    atoll_memory_view view = atoll_memory_freeze(w->state->memory);
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS], rehearsed = 0;
    for (uint32_t i = w->from; i < w->to; i++) {
        atoll_sample *sample = w->trainer->sample[i];
        if (!atoll_step_encode(w->hand, &w->state->model, sample)) {
            w->status = atoll_step_no_memory(&w->error);
            return;
        }
        if (sample->fresh)
            memcpy(sample->encoded.embedding, sample->embedding, encoder->embedding_dim * sizeof(float));
        else if (sample->gated || sample->context)
            atoll_half_to_float(atoll_memory_at(&view, sample->slot)->exemplar->embedding, sample->encoded.embedding,
                                encoder->embedding_dim);
        if (!sample->context)
            continue;
        embedding[rehearsed] = sample->encoded.embedding;
        context[rehearsed] = sample->context;
        except[rehearsed++] = sample->slot;
    }
    w->status = encode_dense(w);
    if (rehearsed && w->status == ATOLL_OK)
        w->status = atoll_step_find_contexts(w->hand, w->state, embedding, except, context, rehearsed, &w->error);
}

/* Draws exemplars that are held out, or that are not: up to `count`, fewer where they are hard to find. */
static uint32_t draw(const atoll_state *state, atoll_rng *rng, bool out, uint32_t count, uint32_t *slot)
{
    uint32_t drawn = 0, below = bound(state), tries = 4 * (UINT32_MAX / below);
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    while (drawn < count && tries-- && atoll_memory_draw(state->memory, rng, 1, &slot[drawn])) {
        const atoll_slot *held = atoll_memory_at(&view, slot[drawn]);
        uint32_t lot = held->lot;
        drawn += !atoll_owner_dormant(held->owner) && (lot && lot < below) == out;
    }
    return drawn;
}

atoll_status atoll_step_gather(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_rng *rng,
                               atoll_error *error)
{
    uint32_t slot[ATOLL_REPLAYS_MAX], replays = state->model.config.replays;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    float share = (float)atoll_memory_count(state->memory) / (float)(state->model.records + 1);
    trainer->samples = trainer->rehearsals = 0;
    for (uint32_t i = 0; i < count; i++) {
        atoll_status status = add_fresh(trainer, state, &trainer->items[i], error);
        uint32_t drawn = draw(state, rng, false, replays, slot);
        for (uint32_t r = 0; r < drawn && status == ATOLL_OK; r++) {
            atoll_sample *sample = add_replay(trainer, atoll_memory_at(&view, slot[r]), slot[r]);
            if (!sample)
                return atoll_step_no_memory(error);
            sample->gated = r < GATE_REPLAYS;
        }
        if (status == ATOLL_OK && replays && i % ATOLL_REHEARSE_EVERY == 0 && draw(state, rng, true, 1, slot)) {
            atoll_sample *sample = add_replay(trainer, atoll_memory_at(&view, slot[0]), slot[0]);
            if (!sample || !(sample->context = atoll_arena_take(&trainer->hand[0].arena, sizeof *sample->context)))
                return atoll_step_no_memory(error);
            sample->importance = atoll_memory_stands_for(state->memory, slot[0]) * share;
            trainer->rehearsed[trainer->rehearsals++] = trainer->sample[--trainer->samples];
        }
        if (status)
            return status;
    }
    memcpy(trainer->sample + trainer->samples, trainer->rehearsed, trainer->rehearsals * sizeof *trainer->rehearsed);
    return atoll_step_halve(trainer, state, trainer->samples + trainer->rehearsals, encode_samples_half, error);
}
