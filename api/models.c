/* /v1/models and /v1/models/{m}: naming, making, changing and removing models. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"

static void put_experts(atoll_writer *out, const atoll_stats *stats)
{
    atoll_member_object(out, "experts");
    atoll_member_uint(out, "active", stats->experts_active);
    atoll_member_uint(out, "candidate", stats->experts_candidate);
    atoll_member_uint(out, "archived", stats->experts_archived);
    atoll_json_object_end(out);
}

/* What the list and the single model tell alike. */
static void put_summary(atoll_writer *out, const atoll_model *model)
{
    atoll_stats stats;
    atoll_learner_stats(model->learner, &stats);
    uint64_t backlog = stats.journal_last > stats.version ? stats.journal_last - stats.version : 0;
    atoll_member_text(out, "name", model->name);
    atoll_member_uint(out, "version", stats.version);
    atoll_member_uint(out, "records", stats.records);
    atoll_member_uint(out, "labels", stats.labels);
    atoll_member_uint(out, "domains", stats.domains);
    atoll_member_uint(out, "exemplars", stats.exemplars);
    atoll_member_uint(out, "vector_dim", stats.vector_dim);
    put_experts(out, &stats);
    atoll_member_uint(out, "parameters", stats.parameters);
    atoll_member_uint(out, "active_parameters", stats.active_parameters);
    atoll_member_uint(out, "parameter_bytes", stats.parameter_bytes);
    atoll_member_uint(out, "active_bytes", stats.active_bytes);
    atoll_member_uint(out, "bytes", stats.counted_bytes);
    atoll_member_uint(out, "backlog", backlog);
    atoll_member_text(out, "state", stats.failure[0] ? "failed" : !backlog ? "ready"
                                     : stats.embedding.down ? "waiting" : "learning");
    atoll_member_text(out, "failure", stats.failure[0] ? stats.failure : NULL);
}

static void put_model(atoll_writer *out, const atoll_model *model)
{
    atoll_config config = atoll_learner_config(model->learner);
    char *printed = atoll_config_print(&config);
    atoll_json_object_begin(out);
    put_summary(out, model);
    atoll_json_name(out, "config");
    if (printed)
        atoll_writer_text(out, printed);
    atoll_json_object_end(out);
    out->failed |= !printed;
    free(printed);
}

static atoll_outcome tell_model(atoll_request *request, int http)
{
    atoll_writer out;
    atoll_writer_init(&out);
    put_model(&out, request->model);
    return atoll_request_json(request, http, &out);
}

atoll_outcome atoll_handle_models(atoll_request *request, atoll_worker *worker)
{
    atoll_registry *registry = request->service->registry;
    atoll_model **models;
    uint32_t count;
    atoll_error error;
    atoll_writer out;
    (void)worker;
    atoll_status status = atoll_registry_all(registry, &models, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_array(&out, "models");
    for (uint32_t i = 0; i < count; i++) {
        atoll_json_object_begin(&out);
        put_summary(&out, models[i]);
        atoll_json_object_end(&out);
    }
    atoll_json_array_end(&out);
    atoll_json_object_end(&out);
    atoll_registry_release_all(registry, models, count);
    return atoll_request_json(request, 200, &out);
}

atoll_outcome atoll_handle_model_get(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : tell_model(request, 200);
}

/* ---- making and changing ---- */

static atoll_status merge(atoll_config *config, const atoll_request *request, atoll_error *error)
{
    bool none = !request->body_bytes;
    return atoll_config_merge(config, none ? "{}" : request->body, none ? 2 : request->body_bytes, error);
}

/* Comes twice where something changes: once to hand the new configuration to the learner, once to tell it. */
static atoll_outcome change(atoll_request *request)
{
    atoll_error error;
    atoll_config before = atoll_learner_config(request->model->learner), after = before;
    if (request->stage++)
        return tell_model(request, 200);
    atoll_status status = merge(&after, request, &error);
    if (!status)
        status = atoll_config_check_change(&before, &after, &error);
    if (!status)
        status = atoll_learner_configure(request->model->learner, &after, atoll_request_go_on, request, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : ATOLL_LATER;
}

atoll_outcome atoll_handle_model_put(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    atoll_config config;
    bool created;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        return change(request);
    if (status == ATOLL_UNKNOWN_MODEL) {
        atoll_config_defaults(&config);
        status = merge(&config, request, &error);
        if (!status)
            status = atoll_registry_create(request->service->registry, request->target.model, &config, &request->model,
                                           &created, &error);
    }
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    return created ? tell_model(request, 201) : change(request);
}

/* ---- removing ---- */

static void removed(void *arg, atoll_status status, const atoll_error *error)
{
    atoll_request *request = arg;
    atoll_writer out;
    if (status) {
        atoll_request_problem(request, status, error, 0);
    } else {
        atoll_writer_init(&out);
        atoll_json_object_begin(&out);
        atoll_member_text(&out, "removed", request->target.model);
        atoll_json_object_end(&out);
        atoll_request_json(request, 200, &out);
    }
    atoll_request_finish(request);
}

atoll_outcome atoll_handle_model_delete(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    (void)worker;
    if (!atoll_model_name_valid(request->target.model))
        return atoll_request_problem(request, ATOLL_INVALID_NAME, NULL, 0);
    atoll_status status = atoll_registry_remove(request->service->registry, request->target.model, removed, request,
                                                &error);
    return status ? atoll_request_problem(request, status, &error, 0) : ATOLL_LATER;
}
