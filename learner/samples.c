#include "learner/step.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/hash.h"
#include "learner/dense.h"

enum { GATE_REPLAYS = 3 }; /* of a record's replays, so many are also shown to the gate */

/*
 * What the combination is rehearsed on must not have been learned: of exemplars that were learned when they came, the
 * experts are right about .94 where they are right about .53 of other records of that past. So records whose lot is
 * low are kept and not learned, and are released to replay when the bound falls below their lot. About one in
 * HELD_OUT of the first HELD_OUT_FIRST exemplars is, and one in HELD_OUT_LATER of more, up to HELD_OUT_MOST at a time;
 * none while its owner has learned less than HELD_OUT_KNOWN of its label.
 */
enum { HELD_OUT = 32, HELD_OUT_FIRST = 3072, HELD_OUT_LATER = 112, HELD_OUT_MOST = 512, HELD_OUT_KNOWN = 16 };

/* How many are held out, about. */
static float held_out(const atoll_state *state)
{
    uint32_t exemplars = atoll_memory_count(state->memory);
    uint32_t first = exemplars < HELD_OUT_FIRST ? exemplars : HELD_OUT_FIRST;
    float held = (float)first / HELD_OUT + (float)(exemplars - first) / HELD_OUT_LATER;
    return fminf(held, HELD_OUT_MOST);
}

/* Lots below it are held out. */
static uint32_t bound(const atoll_state *state)
{
    uint32_t exemplars = atoll_memory_count(state->memory);
    return exemplars <= HELD_OUT_FIRST ? UINT32_MAX / HELD_OUT
                                       : (uint32_t)((double)held_out(state) / exemplars * UINT32_MAX);
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

/* ---- draw ---- */

/* An exemplar that was drawn; NULL where memory is short. */
static atoll_sample *add_replay(atoll_hand *h, const atoll_slot *held, uint32_t slot)
{
    atoll_sample *sample = atoll_arena_take(&h->arena, sizeof *sample);
    if (!sample)
        return NULL;
    *sample = (atoll_sample){.label = held->exemplar->label,
                             .owner = held->owner,
                             .slot = slot,
                             .term = held->exemplar->term,
                             .terms = held->exemplar->terms,
                             .vector = held->exemplar->vector,
                             .code = held->exemplar->code,
                             .numbers = held->exemplar->vector_dim};
    return sample;
}

/* A record of the step, all but what is known once it has been judged; NULL where memory is short. */
static atoll_sample *add_fresh(atoll_hand *h, const atoll_step_item *it)
{
    atoll_sample *sample = atoll_arena_take(&h->arena, sizeof *sample);
    if (!sample)
        return NULL;
    *sample = (atoll_sample){.slot = ATOLL_SLOT_NONE,
                             .term = it->term,
                             .terms = it->terms,
                             .vector = it->record->vector,
                             .numbers = atoll_record_numbers(it->record),
                             .each = it->encoded.each,
                             .fresh = true,
                             .embedding = it->encoded.embedding};
    return sample;
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

static atoll_status draw_all(atoll_portion *w)
{
    atoll_trainer *trainer = w->trainer;
    const atoll_state *state = w->state;
    atoll_rng *rng = w->plan->rng;
    uint32_t slot[ATOLL_REPLAYS_MAX], replays = state->model.config.replays;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    float share = (float)atoll_memory_count(state->memory) / (float)(state->model.records + 1);
    trainer->held_out = held_out(state);
    trainer->samples = trainer->rehearsals = 0;
    for (uint32_t i = 0; i < w->to; i++) {
        atoll_sample *sample = trainer->fresh[i] = add_fresh(w->hand, &trainer->items[i]);
        if (!sample)
            return atoll_step_no_memory(&w->error);
        trainer->sample[trainer->samples++] = sample;
        uint32_t drawn = draw(state, rng, false, replays, slot);
        for (uint32_t r = 0; r < drawn; r++) {
            if (!(sample = add_replay(w->hand, atoll_memory_at(&view, slot[r]), slot[r])))
                return atoll_step_no_memory(&w->error);
            sample->gated = r < GATE_REPLAYS;
            trainer->sample[trainer->samples++] = sample;
        }
        if (!replays || i % ATOLL_REHEARSE_EVERY || !draw(state, rng, true, 1, slot))
            continue;
        sample = add_replay(w->hand, atoll_memory_at(&view, slot[0]), slot[0]);
        if (!sample || !(sample->context = atoll_arena_take(&w->hand->arena, sizeof *sample->context)))
            return atoll_step_no_memory(&w->error);
        sample->importance = atoll_memory_stands_for(state->memory, slot[0]) * share;
        trainer->rehearsed[trainer->rehearsals++] = sample;
    }
    return ATOLL_OK;
}

uint64_t atoll_step_draw(atoll_plan *plan, uint64_t after)
{
    return atoll_plan_add(plan, draw_all, 0, plan->count, after);
}

void atoll_step_settle(atoll_trainer *trainer, const atoll_state *state, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        atoll_step_item *it = &trainer->items[i];
        atoll_sample *sample = trainer->fresh[i];
        it->lot = draw_lot(state, it);
        sample->label = it->label;
        sample->owner = it->owner;
        sample->held_out = it->lot;
        sample->gated = !sample->held_out;
    }
}

/* ---- encode ---- */

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
    /* A new record's were made when it was asked; whether the gate will learn it may be settled while this runs. */
    return sample->fresh || !(sample->gated || sample->context) || atoll_step_embed_each(h, model, encoded);
}

/* Encodes samples from..to-1 of a list, with what the step's own records have added. */
static atoll_status encode_samples(atoll_portion *w, atoll_sample *const *samples, uint32_t from, uint32_t to)
{
    const atoll_model *model = &w->state->model;
    uint32_t dim = model->encoder.embedding_dim;
    atoll_memory_view view = atoll_memory_freeze(w->state->memory);
    atoll_encoded *encoded[ATOLL_STEP_PART];
    for (uint32_t i = from; i < to; i++) {
        atoll_sample *sample = samples[i];
        if (i + 1 < to)
            atoll_encoder_seek(&model->encoder, samples[i + 1]->term, samples[i + 1]->terms);
        if (!atoll_step_encode(w->hand, model, sample))
            return atoll_step_no_memory(&w->error);
        if (sample->fresh)
            memcpy(sample->encoded.embedding, sample->embedding, dim * sizeof(float));
        else if (sample->gated || sample->context)
            atoll_half_to_float(atoll_memory_at(&view, sample->slot)->exemplar->embedding, sample->encoded.embedding,
                                dim);
        encoded[i - from] = &sample->encoded;
    }
    return from < to ? atoll_dense_read(&w->hand->arena, model, encoded, to - from, &w->error) : ATOLL_OK;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static atoll_status encode_portion(atoll_portion *w)
{
    return encode_samples(w, w->trainer->sample, w->from, least(w->to, w->trainer->samples));
}

static atoll_status encode_rehearsed(atoll_portion *w)
{
    atoll_sample *const *rehearsed = w->trainer->rehearsed;
    float *embedding[ATOLL_REHEARSALS];
    atoll_context *context[ATOLL_REHEARSALS];
    uint32_t except[ATOLL_REHEARSALS], count = 0, to = least(w->to, w->trainer->rehearsals);
    atoll_status status = encode_samples(w, rehearsed, w->from, to);
    for (uint32_t i = w->from; i < to; i++) {
        embedding[count] = rehearsed[i]->encoded.embedding;
        context[count] = rehearsed[i]->context;
        except[count++] = rehearsed[i]->slot;
    }
    if (status || !count)
        return status;
    return atoll_step_find_contexts(w->hand, w->state, embedding, except, context, count, &w->error);
}

uint64_t atoll_step_recall(atoll_plan *plan, uint64_t after)
{
    return atoll_plan_spread(plan, encode_rehearsed, (plan->count + ATOLL_REHEARSE_EVERY - 1) / ATOLL_REHEARSE_EVERY,
                             ATOLL_REHEARSALS / 2, after);
}

uint64_t atoll_step_encode_samples(atoll_plan *plan, uint64_t after)
{
    return atoll_plan_spread(plan, encode_portion, plan->count * (1 + plan->state->model.config.replays),
                             ATOLL_STEP_PART, after);
}
