/* POST …/prune, now or as a dry run; GET and PUT …/schedule. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"
#include "core/clock.h"
#include "core/cron.h"

static atoll_outcome tell_pruned(atoll_request *request, bool dry_run, const atoll_pruned *pruned, uint32_t count,
                                 uint64_t version)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "model", request->target.model);
    atoll_member_bool(&out, "dry_run", dry_run);
    atoll_member_uint(&out, "version", version);
    atoll_member_array(&out, "pruned");
    for (uint32_t i = 0; i < count; i++) {
        atoll_json_object_begin(&out);
        atoll_member_uint(&out, "id", pruned[i].id);
        atoll_member_text(&out, "reason", pruned[i].reason);
        atoll_json_object_end(&out);
    }
    atoll_json_array_end(&out);
    atoll_json_object_end(&out);
    return atoll_request_json(request, 200, &out);
}

static void pruned(void *arg, atoll_status status, const atoll_pruned *list, uint32_t count, uint64_t version,
                   const atoll_error *error)
{
    atoll_request *request = arg;
    if (status)
        atoll_request_problem(request, status, error, 0);
    else
        tell_pruned(request, false, list, count, version);
    atoll_request_finish(request);
}

typedef struct options {
    bool dry_run;
    atoll_status status;
    atoll_error *error;
} options;

static bool visit_option(void *arg, const char *name, atoll_json value)
{
    options *o = arg;
    if (strcmp(name, "dry_run"))
        o->status = atoll_fail(o->error, ATOLL_UNKNOWN_KEY, "unknown key \"%.64s\"", name);
    else if (!atoll_json_bool(value, &o->dry_run))
        o->status = atoll_fail(o->error, ATOLL_INVALID_VALUE, "dry_run is neither true nor false");
    return !o->status;
}

static atoll_outcome plan(atoll_request *request)
{
    atoll_pruned *list;
    uint32_t count;
    atoll_error error;
    atoll_stats stats;
    atoll_learner_stats(request->model->learner, &stats);
    atoll_status status = atoll_learner_prune_plan(request->model->learner, &list, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    atoll_outcome outcome = tell_pruned(request, true, list, count, stats.version);
    free(list);
    return outcome;
}

atoll_outcome atoll_handle_prune(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    atoll_json root;
    options o = {.error = &error};
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        status = atoll_request_object(request, worker, &root, &error);
    if (!status) {
        atoll_json_each(root, visit_option, &o);
        status = o.status;
    }
    if (!status && o.dry_run)
        return plan(request);
    if (!status)
        status = atoll_learner_prune(request->model->learner, pruned, request, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : ATOLL_LATER;
}

/* ---- the schedule ---- */

static int64_t next_run_ms(const char *schedule)
{
    atoll_cron cron;
    if (!*schedule || atoll_cron_parse(schedule, &cron, NULL))
        return 0;
    return atoll_cron_next(&cron, atoll_clock_wall_ms());
}

/* {"model", … the members of the configuration's "pruning" …, "next"} */
static atoll_outcome tell_schedule(atoll_request *request)
{
    atoll_config config = atoll_learner_config(request->model->learner);
    char *printed = atoll_config_print(&config);
    const char *start = printed ? strstr(printed, "\"pruning\":{") : NULL;
    const char *end = start ? strchr(start, '}') : NULL;
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "model", request->model->name);
    if (end) {
        start += strlen("\"pruning\":{");
        atoll_writer_raw(&out, ",", 1);
        atoll_writer_raw(&out, start, (size_t)(end - start));
    }
    atoll_member_time(&out, "next", next_run_ms(config.prune_schedule));
    atoll_json_object_end(&out);
    out.failed |= !end;
    free(printed);
    return atoll_request_json(request, 200, &out);
}

atoll_outcome atoll_handle_schedule_get(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    return status ? atoll_request_problem(request, status, &error, 0) : tell_schedule(request);
}

/* The body is the configuration's "pruning", whole or in part: one object, as was checked before it is wrapped. */
static atoll_status merge(atoll_config *config, const atoll_request *request, atoll_error *error)
{
    atoll_writer wrapped;
    atoll_writer_init(&wrapped);
    atoll_writer_text(&wrapped, "{\"pruning\":");
    if (request->body_bytes)
        atoll_writer_raw(&wrapped, request->body, request->body_bytes);
    else
        atoll_writer_text(&wrapped, "{}");
    atoll_writer_text(&wrapped, "}");
    atoll_status status = wrapped.failed ? atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the schedule")
                                         : atoll_config_merge(config, wrapped.data, wrapped.bytes, error);
    atoll_writer_free(&wrapped);
    return status;
}

/* Comes twice: once to hand the change to the learner, once to tell it. */
atoll_outcome atoll_handle_schedule_put(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    atoll_json root;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status && request->stage++)
        return tell_schedule(request);
    if (!status)
        status = atoll_request_object(request, worker, &root, &error);
    if (!status) {
        atoll_config config = atoll_learner_config(request->model->learner);
        status = merge(&config, request, &error);
        if (!status)
            status = atoll_learner_configure(request->model->learner, &config, atoll_request_go_on, request, &error);
    }
    return status ? atoll_request_problem(request, status, &error, 0) : ATOLL_LATER;
}
