#include "retrieval/context.h"

#include <math.h>

/* How fast a vote falls with distance: a neighbour 0.1 farther away has less than a quarter of the say. */
static const float vote_sharpness = 15;

void atoll_context_fill(const atoll_memory_view *view, const atoll_neighbours *neighbours, uint32_t except,
                        atoll_context *context)
{
    float sum = 0, near = 0;
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
    uint32_t nearest = context->count < ATOLL_NOVELTY_NEIGHBOURS ? context->count : ATOLL_NOVELTY_NEIGHBOURS;
    for (uint32_t i = 0; i < context->count; i++) {
        atoll_voter *voter = &context->voter[i];
        voter->vote /= sum;
        near += i < nearest ? voter->similarity : 0;
    }
    context->familiarity = nearest ? near / (float)nearest : 0;
}
