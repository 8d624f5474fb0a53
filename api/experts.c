/* /v1/models/{m}/experts: what a model's experts are, and bringing an archived one back. */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"

static void put_expert(atoll_writer *out, const atoll_expert_info *expert)
{
    uint32_t shown = expert->labels < 64 ? expert->labels : 64;
    atoll_json_object_begin(out);
    atoll_member_uint(out, "id", expert->id);
    atoll_member_uint(out, "version", expert->version);
    atoll_member_text(out, "state", atoll_expert_state_name(expert->state));
    atoll_member_array(out, "labels");
    for (uint32_t i = 0; i < shown; i++)
        if (expert->label[i])
            atoll_json_put_text(out, expert->label[i]);
    atoll_json_array_end(out);
    atoll_member_uint(out, "label_count", expert->labels);
    atoll_member_text(out, "domain", expert->domain);
    atoll_member_uint(out, "born", expert->born);
    atoll_member_uint(out, "parameters", expert->parameters);
    atoll_member_uint(out, "bytes", expert->bytes);
    atoll_member_uint(out, "active_parameters", expert->active_parameters);
    atoll_member_uint(out, "active_bytes", expert->active_bytes);
    atoll_member_uint(out, "records", expert->records);
    atoll_member_uint(out, "exemplars", expert->exemplars);
    atoll_member_double(out, "share", expert->share);
    atoll_member_double(out, "entropy", expert->entropy);
    atoll_member_uint(out, "overflowed", expert->overflowed);
    atoll_member_uint(out, "dropped", expert->dropped);
    atoll_member_time(out, "last_routed", expert->last_routed_ms);
    atoll_member_double(out, "loss", expert->loss);
    atoll_member_double(out, "drift", expert->drift);
    atoll_member_double(out, "latency", expert->latency_s);
    atoll_json_object_end(out);
}

static atoll_status load(atoll_request *request, atoll_expert_info **experts, uint32_t *count, atoll_error *error)
{
    atoll_status status = atoll_request_find_model(request, error);
    return status ? status : atoll_learner_experts(request->model->learner, experts, count, error);
}

atoll_outcome atoll_handle_experts(atoll_request *request, atoll_worker *worker)
{
    atoll_expert_info *experts;
    uint32_t count;
    atoll_error error;
    atoll_writer out;
    (void)worker;
    atoll_status status = load(request, &experts, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "model", request->model->name);
    atoll_member_array(&out, "experts");
    for (uint32_t i = 0; i < count; i++)
        put_expert(&out, &experts[i]);
    atoll_json_array_end(&out);
    atoll_json_object_end(&out);
    free(experts);
    return atoll_request_json(request, 200, &out);
}

/* Tells one expert of the model. */
static atoll_outcome tell_expert(atoll_request *request, uint32_t id)
{
    atoll_expert_info *experts;
    uint32_t count, at = 0;
    atoll_error error;
    atoll_writer out;
    atoll_status status = load(request, &experts, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    while (at < count && experts[at].id != id)
        at++;
    atoll_writer_init(&out);
    if (at < count)
        put_expert(&out, &experts[at]);
    else
        status = atoll_fail(&error, ATOLL_UNKNOWN_EXPERT, "the model has no expert %u", id);
    free(experts);
    return status ? atoll_request_problem(request, status, &error, 0) : atoll_request_json(request, 200, &out);
}

atoll_outcome atoll_handle_expert(atoll_request *request, atoll_worker *worker)
{
    uint32_t id;
    atoll_error error;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        status = atoll_request_expert(request, &id, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : tell_expert(request, id);
}

/* Comes twice: once to ask the learner for it, once to tell what the expert then is. */
atoll_outcome atoll_handle_expert_restore(atoll_request *request, atoll_worker *worker)
{
    uint32_t id;
    atoll_error error;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        status = atoll_request_expert(request, &id, &error);
    if (!status && request->stage++)
        return tell_expert(request, id);
    if (!status)
        status = atoll_learner_restore(request->model->learner, id, atoll_request_go_on, request, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : ATOLL_LATER;
}
