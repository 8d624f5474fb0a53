#include "learner/hint.h"

atoll_status atoll_hint_assign(atoll_state *state, uint32_t domain, uint64_t commit, uint32_t *owner,
                               atoll_error *error)
{
    atoll_error why;
    *owner = atoll_model_expert_of(&state->model, domain);
    if (*owner || state->model.config.freeze)
        return ATOLL_OK;
    atoll_status status = atoll_state_add_expert(state, owner, &why);
    if (status == ATOLL_BUSY) {
        *owner = ATOLL_EXPERT_NONE;
        return ATOLL_OK;
    }
    if (status)
        return atoll_fail(error, status, "%s", why.detail);
    atoll_expert *expert = &state->model.expert[*owner];
    expert->state = ATOLL_EXPERT_ACTIVE;
    expert->domain = domain;
    expert->born = expert->version = commit;
    expert->born_records = state->model.records;
    expert->last_routed_ms = state->model.time_ms;
    state->growth.born++;
    state->growth.promoted++;
    return ATOLL_OK;
}
