#include "core/dispatch.h"

#include <string.h>

#include "core/soft.h"
#include "core/tokens.h"

/* The records' routes from those of their tokens. */
static atoll_status gather(const atoll_model *model, const atoll_gated *gated, uint32_t count,
                           const atoll_route *token, atoll_arena *arena, atoll_route *routes, atoll_error *error)
{
    for (uint32_t i = 0; i < count; token += gated[i++].tokens) {
        uint32_t tokens = gated[i].tokens;
        float *reads = atoll_arena_take(arena, (size_t)ATOLL_TOP_K_MAX * tokens * sizeof *reads);
        if (!reads)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for routes");
        atoll_tokens_gather(token, tokens, model->experts, reads, &routes[i]);
    }
    return ATOLL_OK;
}

/* Every open expert answers, for every row. */
static atoll_status soften(const atoll_model *model, const atoll_gated *gated, uint32_t count, atoll_arena *arena,
                           atoll_route *routes, atoll_route_counts *counts, atoll_error *error)
{
    uint32_t experts = model->experts;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t tokens = gated[i].tokens;
        float *all = atoll_arena_take(arena, experts * sizeof *all);
        float *reads = atoll_arena_take(arena, ((size_t)experts * tokens + 1) * sizeof *reads);
        if (!all || !reads)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for routes");
        atoll_soft_route(gated[i].gate, tokens, experts, all, reads, &routes[i]);
        for (uint32_t e = 0; e < experts; e++)
            counts->routed += all[e] > 0 ? (tokens ? tokens : 1) : 0;
    }
    return ATOLL_OK;
}

atoll_status atoll_dispatch(const atoll_model *model, const atoll_gated *gated, uint32_t count,
                            atoll_overflow overflow, uint32_t *load, atoll_arena *arena, atoll_route *routes,
                            atoll_route_counts *counts, atoll_error *error)
{
    const atoll_config *config = &model->config;
    uint32_t rows = 0, experts = model->experts;
    memset(load, 0, (size_t)ATOLL_LOADS * experts * sizeof *load);
    if (config->gate == ATOLL_GATE_SOFT)
        return soften(model, gated, count, arena, routes, counts, error);
    bool tokens = config->granularity == ATOLL_GRANULARITY_TOKEN;
    for (uint32_t i = 0; i < count; i++)
        rows += tokens ? gated[i].tokens : 1;
    float *gate = atoll_arena_take(arena, ((size_t)rows * experts + 1) * sizeof *gate), *at = gate;
    atoll_route *token = tokens ? atoll_arena_take(arena, (rows + 1) * sizeof *token) : routes;
    if (!gate || !token)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for routes");
    for (uint32_t i = 0; i < count; i++) {
        size_t floats = (size_t)(tokens ? gated[i].tokens : 1) * experts;
        memcpy(at, gated[i].gate, floats * sizeof *at);
        at += floats;
    }
    atoll_gate_route(gate, rows, experts, config->top_k, config->capacity_factor, overflow, load, token, counts);
    return tokens ? gather(model, gated, count, token, arena, routes, error) : ATOLL_OK;
}
