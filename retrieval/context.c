#include "retrieval/context.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/kernels.h"

/* How fast a vote falls with distance: a neighbour 0.1 farther away has less than a quarter of the say. */
static const float vote_sharpness = 15;

void atoll_context_fill(const atoll_memory_view *view, const atoll_neighbours *neighbours, uint32_t except,
                        uint32_t embedding_dim, atoll_context *context)
{
    float sum = 0, near = 0, embedding[ATOLL_EMBEDDING_MAX_DIM];
    context->count = 0;
    for (uint32_t i = 0; i < neighbours->count; i++) {
        uint32_t slot = neighbours->at[i].slot;
        if (slot == except || slot >= view->slots.count)
            continue;
        const atoll_slot *held = atoll_memory_at(view, slot);
        if (!held->exemplar)
            continue;
        atoll_voter *voter = &context->voter[context->count++];
        *voter = (atoll_voter){.slot = slot,
                               .owner = held->owner,
                               .label = held->exemplar->label,
                               .similarity = neighbours->at[i].similarity,
                               .vote = expf(vote_sharpness * (neighbours->at[i].similarity - 1))};
        sum += voter->vote;
    }
    memset(context->embedding, 0, embedding_dim * sizeof *context->embedding);
    uint32_t nearest = context->count < ATOLL_NOVELTY_NEIGHBOURS ? context->count : ATOLL_NOVELTY_NEIGHBOURS;
    for (uint32_t i = 0; i < context->count; i++) {
        atoll_voter *voter = &context->voter[i];
        voter->vote /= sum;
        near += i < nearest ? voter->similarity : 0;
        atoll_half_to_float(atoll_memory_at(view, voter->slot)->exemplar->embedding, embedding, embedding_dim);
        atoll_axpy(context->embedding, embedding, voter->vote, embedding_dim);
    }
    context->familiarity = nearest ? near / (float)nearest : 0;
}
