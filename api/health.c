/*
 * The probes. /livez: the process answers. /readyz: requests are welcome; no longer once draining. Both are answered on
 * the server's own thread. /healthz: a worker answers, and tells the state of the models; a model whose learning has
 * stopped, or waits for its embedding server, still predicts, so it is told and does not fail the probe.
 */
#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"

static atoll_outcome tell(atoll_request *request, int http, const char *state)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "status", state);
    atoll_json_object_end(&out);
    return atoll_request_json(request, http, &out);
}

atoll_outcome atoll_handle_livez(atoll_request *request, atoll_worker *worker)
{
    (void)worker;
    return tell(request, 200, "live");
}

atoll_outcome atoll_handle_readyz(atoll_request *request, atoll_worker *worker)
{
    (void)worker;
    switch (atomic_load(&request->service->phase)) {
    case ATOLL_PHASE_SERVING:
        return tell(request, 200, "ready");
    case ATOLL_PHASE_DRAINING:
        return tell(request, 503, "draining");
    default:
        return tell(request, 503, "starting");
    }
}

/* Models of which `ails` tells why, under that name. Returns how many there are. */
static uint32_t list(atoll_writer *out, atoll_model *const *models, uint32_t count, const char *list_name,
                     const char *reason_name, bool (*ails)(const atoll_stats *stats, const char **why))
{
    uint32_t listed = 0;
    atoll_member_array(out, list_name);
    for (uint32_t i = 0; i < count; i++) {
        atoll_stats stats;
        const char *why;
        atoll_learner_stats(models[i]->learner, &stats);
        if (!ails(&stats, &why))
            continue;
        listed++;
        atoll_json_object_begin(out);
        atoll_member_text(out, "model", models[i]->name);
        atoll_member_text(out, reason_name, why);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
    return listed;
}

static bool has_failed(const atoll_stats *stats, const char **why)
{
    *why = stats->failure;
    return stats->failure[0];
}

static bool lacks_embeddings(const atoll_stats *stats, const char **why)
{
    *why = stats->embedding.last_error;
    return stats->embedding.down;
}

atoll_outcome atoll_handle_healthz(atoll_request *request, atoll_worker *worker)
{
    atoll_registry *registry = request->service->registry;
    atoll_model **models;
    uint32_t count, ailing = 0;
    atoll_error error;
    atoll_writer out;
    (void)worker;
    atoll_status status = atoll_registry_all(registry, &models, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_uint(&out, "models", count);
    ailing += list(&out, models, count, "failed", "failure", has_failed);
    ailing += list(&out, models, count, "without_embeddings", "error", lacks_embeddings);
    atoll_member_text(&out, "status", ailing ? "degraded" : "ok");
    atoll_json_object_end(&out);
    atoll_registry_release_all(registry, models, count);
    return atoll_request_json(request, 200, &out);
}
