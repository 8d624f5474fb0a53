#include "tests/support/tallied.h"

#include "learner/inside.h"

void tallied_set(atoll_learner *learner)
{
    atoll_state *state = &learner->state;
    float *weight = state->model.combiner.weight;
    state->growth.promoted = 3;
    state->growth.pruned = 4;
    state->growth.given_up = 5;
    state->growth.restored = 6;
    state->growth.merged = 7;
    state->drift.now.replaced = 8;
    state->drift.now.returned = 9;
    state->drift.now.dormant = 10;
    state->drift.now.refuted = 11;
    state->tally.asked = 16;
    state->tally.right = 12;
    state->tally.repeated = 4;
    state->tally.recent = 0.5;
    state->tally.log_loss = 0.625;
    state->tally.entropy = 1.25;
    state->tally.routes = (atoll_route_counts){.routed = 21, .overflowed = 22, .dropped = 23};
    state->tally.collapsed = 2;
    state->tally.collapses = 17;
    for (uint32_t e = 0; e < state->model.experts && e < 2; e++) {
        atoll_expert *expert = &state->model.expert[e];
        expert->share = e ? 0.75 : 0.25;
        expert->entropy = e ? 0.5 : 0.375;
        expert->overflowed = 31 + 2 * e;
        expert->dropped = 32 + 2 * e;
        expert->loss = 0.4375;
        expert->drift = 0.5625;
    }
    for (int v = 0; v < ATOLL_VOICES; v++)
        weight[v] = (float)v + 2.5f;
    state->model.sureness.bound = 0.875f;
    state->model.alone.bound = 0.9375f;
}
