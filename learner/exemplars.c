#include "learner/exemplars.h"

#include "core/half.h"
#include "learner/dense.h"

uint32_t atoll_exemplars_pick(const atoll_state *state, uint32_t owner, uint32_t most, uint32_t *slot)
{
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t owned = atoll_memory_owned(state->memory, owner), met = 0, picked = 0;
    for (uint32_t s = 0; s < view.slots.count && met < owned && picked < most; s++) {
        const atoll_slot *held = atoll_memory_at(&view, s);
        if (!held->exemplar || held->owner != owner)
            continue;
        if ((uint64_t)met * most >= (uint64_t)picked * owned)
            slot[picked++] = s;
        met++;
    }
    return picked;
}

atoll_sample *atoll_exemplars_words(atoll_hand *h, const atoll_state *state, uint32_t slot)
{
    const atoll_encoder *encoder = &state->model.encoder;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    const atoll_slot *held = atoll_memory_at(&view, slot);
    const atoll_exemplar *exemplar = held->exemplar;
    atoll_sample *sample = atoll_arena_take(&h->arena, sizeof *sample);
    if (!sample)
        return NULL;
    *sample = (atoll_sample){.label = exemplar->label,
                             .owner = held->owner,
                             .slot = slot,
                             .held_out = held->lot != 0,
                             .term = exemplar->term,
                             .terms = exemplar->terms,
                             .vector = exemplar->vector,
                             .code = exemplar->code,
                             .numbers = exemplar->vector_dim,
                             .gated = true};
    if (!atoll_step_encode(h, &state->model, sample))
        return NULL;
    atoll_half_to_float(exemplar->embedding, sample->encoded.embedding, encoder->embedding_dim);
    return sample;
}

atoll_sample *atoll_exemplars_encode(atoll_hand *h, const atoll_state *state, uint32_t slot)
{
    atoll_sample *sample = atoll_exemplars_words(h, state, slot);
    atoll_encoded *encoded = sample ? &sample->encoded : NULL;
    return sample && atoll_dense_read(&h->arena, &state->model, &encoded, 1, NULL) == ATOLL_OK ? sample : NULL;
}

void atoll_exemplars_shuffle(atoll_rng *rng, uint32_t *slot, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = atoll_rng_below(rng, i), swapped = slot[j];
        slot[j] = slot[i - 1];
        slot[i - 1] = swapped;
    }
}
