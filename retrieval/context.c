#include "retrieval/context.h"

#include <math.h>

/* How fast a vote falls with distance: a neighbour 0.1 farther away has less than a quarter of the say. */
static const float vote_sharpness = 15;

void atoll_context_fill(const atoll_memory_view *view, const atoll_neighbours *neighbours, uint32_t except,
                        atoll_context *context)
{
    float sum = 0, near = 0;
    context->count = context->sleepers = 0;
    for (uint32_t i = 0; i < neighbours->count; i++) {
        uint32_t slot = neighbours->at[i].slot;
        if (slot == except || slot >= view->slots.count)
            continue;
        const atoll_slot *held = atoll_memory_at(view, slot);
        if (!held->exemplar)
            continue;
        bool dormant = atoll_owner_dormant(held->owner);
        uint32_t place = dormant ? ATOLL_NEIGHBOURS - ++context->sleepers : context->count++;
        atoll_voter *voter = &context->voter[place];
        *voter = (atoll_voter){.slot = slot,
                               .owner = held->owner,
                               .label = held->exemplar->label,
                               .similarity = neighbours->at[i].similarity,
                               .vote = expf(vote_sharpness * (neighbours->at[i].similarity - 1))};
        sum += dormant ? 0 : voter->vote;
    }
    for (uint32_t i = 0; i < context->sleepers && sum > 0; i++)
        context->voter[ATOLL_NEIGHBOURS - 1 - i].vote /= sum;
    uint32_t nearest = context->count < ATOLL_NOVELTY_NEIGHBOURS ? context->count : ATOLL_NOVELTY_NEIGHBOURS;
    for (uint32_t i = 0; i < context->count; i++) {
        atoll_voter *voter = &context->voter[i];
        voter->vote /= sum;
        near += i < nearest ? voter->similarity : 0;
    }
    context->familiarity = nearest ? near / (float)nearest : 0;
}
