/* GET …/stats: how well a model does, what it holds, where its records go. */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"

/* A score, or null where no answer is sure. */
static void put_bound(atoll_writer *out, const char *name, double bound)
{
    atoll_json_name(out, name);
    if (bound <= 1)
        atoll_json_put_double(out, bound);
    else
        atoll_json_put_null(out);
}

static void put_learning(atoll_writer *out, const atoll_stats *s)
{
    atoll_member_uint(out, "version", s->version);
    atoll_member_uint(out, "journal_last", s->journal_last);
    atoll_member_uint(out, "backlog", s->journal_last > s->version ? s->journal_last - s->version : 0);
    atoll_member_uint(out, "records", s->records);
    atoll_member_uint(out, "labels", s->labels);
    atoll_member_uint(out, "named_domains", s->domains);
    atoll_member_uint(out, "exemplars", s->exemplars);
    atoll_member_uint(out, "vector_dim", s->vector_dim);
    atoll_member_double(out, "prequential", s->prequential);
    atoll_member_double(out, "prequential_recent", s->prequential_recent);
    atoll_member_double(out, "log_loss", s->log_loss);
    atoll_member_double(out, "calibration_error", s->calibration_error);
    atoll_member_double(out, "no_change", s->no_change);
    atoll_member_double(out, "weight_shared", s->weight_shared);
    atoll_member_double(out, "weight_experts", s->weight_experts);
    atoll_member_double(out, "weight_votes", s->weight_votes);
    atoll_member_double(out, "weight_counts", s->weight_counts);
    atoll_member_double(out, "weight_analytic", s->weight_analytic);
    atoll_member_double(out, "weight_youth", s->weight_youth);
    atoll_member_double(out, "weight_names", s->weight_names);
    atoll_member_uint(out, "predictions", s->predictions);
    atoll_member_uint(out, "unsearched", s->unsearched);
    atoll_member_uint(out, "alone", s->alone);
    put_bound(out, "search_below", s->search_below);
    put_bound(out, "others_below", s->others_below);
    atoll_member_double(out, "learn_seconds", s->learn_seconds);
    atoll_member_text(out, "failure", s->failure[0] ? s->failure : NULL);
}

static void put_experts(atoll_writer *out, const atoll_stats *s)
{
    atoll_member_uint(out, "experts_active", s->experts_active);
    atoll_member_uint(out, "experts_candidate", s->experts_candidate);
    atoll_member_uint(out, "experts_archived", s->experts_archived);
    atoll_member_uint(out, "born", s->born);
    atoll_member_uint(out, "pruned", s->pruned);
    atoll_member_uint(out, "dropped_candidates", s->dropped_candidates);
    atoll_member_uint(out, "restored", s->restored);
    atoll_member_uint(out, "merged", s->merged);
    atoll_member_uint(out, "concepts_replaced", s->concepts_replaced);
    atoll_member_uint(out, "concepts_returned", s->concepts_returned);
    atoll_member_uint(out, "exemplars_dormant", s->exemplars_dormant);
    atoll_member_uint(out, "exemplars_refuted", s->exemplars_refuted);
    atoll_member_uint(out, "routed", s->routed);
    atoll_member_uint(out, "overflowed", s->overflowed);
    atoll_member_uint(out, "dropped", s->dropped);
    atoll_member_double(out, "gate_entropy", s->gate_entropy);
    atoll_member_uint(out, "collapses", s->collapses);
    atoll_json_name(out, "collapsed_to");
    if (s->collapsed)
        atoll_json_put_uint(out, s->collapsed);
    else
        atoll_json_put_null(out);
}

static void put_storage(atoll_writer *out, const atoll_stats *s)
{
    atoll_member_uint(out, "checkpoint", s->checkpoint);
    atoll_member_uint(out, "checkpoints", s->checkpoints);
    atoll_member_double(out, "checkpoint_seconds", s->checkpoint_seconds);
    atoll_member_uint(out, "journal_bytes", s->journal_bytes);
    atoll_member_uint(out, "state_bytes", s->state_bytes);
}

static void put_footprint(atoll_writer *out, const atoll_stats *s)
{
    const atoll_footprint *f = &s->footprint;
    atoll_member_uint(out, "budget_bytes", s->budget_bytes);
    atoll_member_uint(out, "counted_bytes", s->counted_bytes);
    atoll_member_uint(out, "parameters", s->parameters);
    atoll_member_uint(out, "active_parameters", s->active_parameters);
    atoll_member_uint(out, "active_bytes", s->active_bytes);
    atoll_member_uint(out, "parameter_bytes", s->parameter_bytes);
    atoll_member_uint(out, "expert_bytes", f->experts);
    atoll_member_uint(out, "gate_bytes", f->gate);
    atoll_member_uint(out, "encoder_bytes", f->encoder);
    atoll_member_uint(out, "analytic_bytes", f->analytic);
    atoll_member_uint(out, "memory_bytes", f->memory);
    atoll_member_uint(out, "index_bytes", f->index);
    atoll_member_uint(out, "table_bytes", f->tables);
    atoll_member_uint(out, "learning_bytes", f->learning);
    atoll_member_uint(out, "retired_bytes", f->retired);
    atoll_member_uint(out, "writing_bytes", f->writing);
}

static void put_index(atoll_writer *out, const atoll_index_about *index)
{
    atoll_member_object(out, "index");
    atoll_member_text(out, "kind", index->lists ? "lists" : index->coded ? "codes" : "exact");
    atoll_member_uint(out, "lists", index->lists);
    atoll_member_uint(out, "probes", index->probes);
    atoll_member_uint(out, "candidates", index->candidates);
    atoll_json_name(out, "recall");
    if (index->recall < 0)
        atoll_json_put_null(out);
    else
        atoll_json_put_double(out, index->recall);
    atoll_json_object_end(out);
}

static void put_embedding(atoll_writer *out, const atoll_embedding_stats *e)
{
    atoll_json_name(out, "embedding");
    if (!e->outside) {
        atoll_json_put_null(out);
        return;
    }
    atoll_json_object_begin(out);
    atoll_member_text(out, "state", e->down ? "down" : "ok");
    atoll_member_text(out, "last_error", e->last_error[0] ? e->last_error : NULL);
    atoll_member_uint(out, "pending", e->pending);
    atoll_member_uint(out, "calls", e->calls);
    atoll_member_uint(out, "retries", e->retries);
    atoll_member_uint(out, "texts", e->texts);
    atoll_member_uint(out, "looked_up", e->looked_up);
    atoll_member_uint(out, "found", e->found);
    atoll_member_uint(out, "cached", e->cached);
    atoll_member_uint(out, "cache_bytes", e->cache_bytes);
    atoll_json_object_end(out);
}

static void put_routing(atoll_writer *out, const atoll_expert_routing *experts, uint32_t count)
{
    atoll_member_array(out, "experts");
    for (uint32_t i = 0; i < count; i++) {
        atoll_json_object_begin(out);
        atoll_member_uint(out, "id", experts[i].id);
        atoll_member_text(out, "state", atoll_expert_state_name(experts[i].state));
        atoll_member_double(out, "share", experts[i].share);
        atoll_member_double(out, "entropy", experts[i].entropy);
        atoll_member_uint(out, "overflowed", experts[i].overflowed);
        atoll_member_uint(out, "dropped", experts[i].dropped);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
}

static void put_domains(atoll_writer *out, const atoll_domain_stats *domains, uint32_t count)
{
    atoll_member_array(out, "domains");
    for (uint32_t i = 0; i < count; i++) {
        atoll_json_object_begin(out);
        atoll_member_text(out, "domain", domains[i].domain);
        atoll_member_uint(out, "records", domains[i].records);
        atoll_member_double(out, "prequential", domains[i].prequential);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
}

atoll_outcome atoll_handle_stats(atoll_request *request, atoll_worker *worker)
{
    atoll_error error;
    atoll_stats stats;
    atoll_domain_stats *domains = NULL;
    atoll_expert_routing *experts = NULL;
    uint32_t count = 0, expert_count = 0;
    atoll_writer out;
    (void)worker;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        status = atoll_learner_domains(request->model->learner, &domains, &count, &error);
    if (!status)
        status = atoll_learner_routing(request->model->learner, &experts, &expert_count, &error);
    if (status) {
        free(domains);
        return atoll_request_problem(request, status, &error, 0);
    }
    atoll_learner_stats(request->model->learner, &stats);
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "model", request->model->name);
    put_learning(&out, &stats);
    put_experts(&out, &stats);
    put_storage(&out, &stats);
    put_footprint(&out, &stats);
    put_index(&out, &stats.index);
    put_embedding(&out, &stats.embedding);
    put_routing(&out, experts, expert_count);
    put_domains(&out, domains, count);
    atoll_json_object_end(&out);
    free(experts);
    free(domains);
    return atoll_request_json(request, 200, &out);
}
