#include "learner/pruning.h"

#include <stdio.h>

/* Why an expert is idle, or false. */
static bool idle(const atoll_model *model, const atoll_expert *expert, int64_t asked_ms, int64_t now_ms,
                 atoll_pruned *pruned)
{
    int64_t last_ms = expert->last_routed_ms > asked_ms ? expert->last_routed_ms : asked_ms;
    if (now_ms - last_ms > model->config.idle_after_ms) {
        snprintf(pruned->reason, sizeof pruned->reason, "idle: routed nothing for %lld s",
                 (long long)((now_ms - last_ms) / 1000));
        return true;
    }
    uint64_t since_birth = model->records - expert->born_records;
    double share = since_birth ? (double)expert->records / (double)since_birth : 1;
    if (since_birth < ATOLL_PRUNING_LEAST_RECORDS || share >= model->config.min_share)
        return false;
    snprintf(pruned->reason, sizeof pruned->reason, "share: owns %.5f of the records since its birth", share);
    return true;
}

void atoll_pruning_plan(const atoll_model *model, const atoll_asked *asked, int64_t now_ms, atoll_pruned *pruned,
                        uint32_t *count)
{
    *count = 0;
    for (uint32_t e = 1; e < model->experts; e++) {
        const atoll_expert *expert = &model->expert[e];
        int64_t asked_ms = e < asked->count ? asked->last_ms[e] : 0;
        pruned[*count].id = e;
        if (expert->state == ATOLL_EXPERT_ACTIVE && idle(model, expert, asked_ms, now_ms, &pruned[*count]))
            ++*count;
    }
}

atoll_status atoll_pruning_archive(atoll_state *state, uint32_t id, uint64_t commit, atoll_error *error)
{
    atoll_expert *expert = &state->model.expert[id];
    uint32_t slots = atoll_memory_freeze(state->memory).slots.count;
    for (uint32_t slot = 0; slot < slots; slot++) {
        atoll_memory_view view = atoll_memory_freeze(state->memory); /* each drop may give the table another page */
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (!held->exemplar || held->owner != id)
            continue;
        atoll_status status = atoll_memory_drop(state->memory, slot);
        if (status)
            return atoll_fail(error, status, "no memory to empty a slot");
        if ((status = atoll_index_drop(state->index, slot, error)))
            return status;
    }
    expert->state = ATOLL_EXPERT_ARCHIVED;
    expert->version = commit;
    if (state->growth.youngest == id)
        state->growth.youngest = ATOLL_EXPERT_NONE;
    state->growth.pruned++;
    return atoll_index_flush(state->index, error);
}

atoll_status atoll_pruning_restore(atoll_state *state, uint32_t id, uint64_t commit, int64_t now_ms,
                                   atoll_error *error)
{
    atoll_status status;
    if (id == 0 || id >= state->model.experts || state->model.expert[id].state == ATOLL_EXPERT_GONE)
        return atoll_fail(error, ATOLL_UNKNOWN_EXPERT, "the model has no expert %u", id);
    atoll_expert *expert = &state->model.expert[id];
    if (expert->state != ATOLL_EXPERT_ARCHIVED)
        return atoll_fail(error, ATOLL_WRONG_STATE, "expert %u is not archived", id);
    /* Vectors may have come since it was archived. */
    uint32_t dim = state->model.encoder.vector_dim;
    if (dim && (status = atoll_net_set_dense(&state->pager, &expert->net, dim, error)))
        return status;
    expert->state = ATOLL_EXPERT_ACTIVE;
    expert->version = commit;
    expert->last_routed_ms = now_ms;
    state->growth.restored++;
    return ATOLL_OK;
}
