/* What a running model tells of itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/predict.h"
#include "learner/inside.h"

const char *atoll_expert_state_name(atoll_expert_state state)
{
    static const char *const name[] = {[ATOLL_EXPERT_SHARED] = "shared",
                                       [ATOLL_EXPERT_CANDIDATE] = "candidate",
                                       [ATOLL_EXPERT_ACTIVE] = "active",
                                       [ATOLL_EXPERT_ARCHIVED] = "archived",
                                       [ATOLL_EXPERT_GONE] = "gone"};
    return (unsigned)state < sizeof name / sizeof *name ? name[state] : "unknown";
}

/* ---- experts ---- */

/* Exemplars by owner, and by owner and domain. */
typedef struct census {
    uint32_t experts, domains;
    uint32_t *owned;     /* experts */
    uint32_t *by_domain; /* experts x domains */
} census;

static bool take_census(const atoll_published *p, census *c)
{
    enum { DOMAINS_SHOWN = 256 };
    *c = (census){.experts = p->model->experts, .domains = p->domains < DOMAINS_SHOWN ? p->domains : DOMAINS_SHOWN};
    c->owned = calloc(c->experts, sizeof *c->owned);
    c->by_domain = calloc((size_t)c->experts * c->domains + 1, sizeof *c->by_domain);
    if (!c->owned || !c->by_domain)
        return false;
    for (uint32_t slot = 0; slot < p->memory.slots.count; slot++) {
        const atoll_slot *held = atoll_memory_at(&p->memory, slot);
        if (!held->exemplar || held->owner >= c->experts)
            continue;
        c->owned[held->owner]++;
        if (held->exemplar->domain < c->domains)
            c->by_domain[(size_t)held->owner * c->domains + held->exemplar->domain]++;
    }
    return true;
}

static const char *main_domain(const atoll_learner *learner, const census *c, uint32_t expert)
{
    const uint32_t *count = c->by_domain + (size_t)expert * c->domains;
    uint32_t best = 0;
    for (uint32_t d = 1; d < c->domains; d++)
        best = count[d] > count[best] ? d : best;
    return c->domains && count[best] ? learner->state.domains.name[best] : NULL;
}

static int by_records(const void *a, const void *b)
{
    const atoll_expert_label *x = a, *y = b;
    return (x->records < y->records) - (x->records > y->records);
}

/* The labels with most records first. */
static bool show_labels(const atoll_model *model, const atoll_expert *expert, atoll_expert_info *info)
{
    enum { SHOWN = sizeof info->label / sizeof *info->label };
    uint32_t count = expert->labels.count;
    atoll_expert_label *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return false;
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = *atoll_expert_label_at(expert, i);
    qsort(sorted, count, sizeof *sorted, by_records);
    info->labels = count;
    for (uint32_t i = 0; i < count && i < SHOWN; i++)
        info->label[i] = model->names->name[sorted[i].label];
    free(sorted);
    return true;
}

/* Learning and asking together. */
static atoll_expert_routing routing_of(const atoll_learner *learner, const atoll_expert *expert)
{
    uint32_t id = expert->id;
    return (atoll_expert_routing){.id = id,
                                  .state = expert->state,
                                  .share = expert->share,
                                  .entropy = expert->entropy,
                                  .overflowed = expert->overflowed + atomic_load(&learner->asked_overflowed[id]),
                                  .dropped = expert->dropped + atomic_load(&learner->asked_dropped[id])};
}

static bool describe(atoll_learner *learner, const atoll_published *p, const census *c, const atoll_expert *expert,
                     atoll_expert_info *info)
{
    uint32_t id = expert->id;
    int64_t asked_ms = atomic_load(&learner->asked_ms[id]);
    uint64_t timed = atomic_load(&learner->asked_count[id]);
    atoll_expert_routing routing = routing_of(learner, expert);
    *info = (atoll_expert_info){.id = id,
                                .state = expert->state,
                                .version = expert->version,
                                .born = expert->born,
                                .domain = main_domain(learner, c, id),
                                .parameters = atoll_net_parameters(&expert->net),
                                .active_parameters = atoll_net_active(&expert->net, p->tally.features),
                                .bytes = atoll_expert_bytes(expert),
                                .records = expert->records,
                                .exemplars = c->owned[id],
                                .share = routing.share,
                                .entropy = routing.entropy,
                                .overflowed = routing.overflowed,
                                .dropped = routing.dropped,
                                .last_routed_ms = expert->last_routed_ms > asked_ms ? expert->last_routed_ms : asked_ms,
                                .loss = expert->loss,
                                .drift = fmin(fmax(expert->drift, 0), 1)};
    info->active_bytes = atoll_served_active(&expert->served, &expert->net, p->tally.features);
    if (timed)
        info->latency_s = (double)atomic_load(&learner->asked_ns[id]) * 1e-9 / (double)timed;
    return show_labels(p->model, expert, info);
}

atoll_status atoll_learner_experts(atoll_learner *learner, atoll_expert_info **out, uint32_t *count,
                                   atoll_error *error)
{
    int ticket;
    census c;
    const atoll_published *p = atoll_learner_enter(learner, &ticket);
    atoll_expert_info *info = malloc(p->model->experts * sizeof *info);
    bool whole = take_census(p, &c) && info;
    *count = 0;
    for (uint32_t e = 0; e < p->model->experts && whole; e++)
        if (p->model->expert[e].state != ATOLL_EXPERT_GONE)
            whole = describe(learner, p, &c, &p->model->expert[e], &info[(*count)++]);
    atoll_learner_leave(learner, ticket);
    free(c.owned);
    free(c.by_domain);
    if (whole) {
        *out = info;
        return ATOLL_OK;
    }
    free(info);
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to describe experts");
}

atoll_status atoll_learner_routing(atoll_learner *learner, atoll_expert_routing **out, uint32_t *count,
                                   atoll_error *error)
{
    int ticket;
    const atoll_model *model = atoll_learner_enter(learner, &ticket)->model;
    *out = malloc(model->experts * sizeof **out);
    *count = 0;
    for (uint32_t e = 0; *out && e < model->experts; e++)
        if (model->expert[e].state != ATOLL_EXPERT_GONE)
            (*out)[(*count)++] = routing_of(learner, &model->expert[e]);
    atoll_learner_leave(learner, ticket);
    return *out ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory to describe experts");
}

/* ---- stats ---- */

static double share_of(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

/*
 * Total and active parameters [Shazeer et al. 2017]: a record reads the shared expert, gate, analytic half, and of each
 * active expert the share that it is routed to; of a soft gate all of it.
 */
static void count_parameters(const atoll_published *p, atoll_stats *out)
{
    const atoll_model *model = p->model;
    const atoll_ridge_weights *analytic = model->analytic;
    bool soft = model->config.gate == ATOLL_GATE_SOFT;
    double active = (double)atoll_net_active(&model->gate.net, p->tally.common);
    double bytes = (double)atoll_served_active(&p->gate, &model->gate.net, p->tally.common);
    out->parameters = atoll_net_parameters(&model->gate.net);
    if (analytic) {
        uint64_t features = (uint64_t)ATOLL_RIDGE_FEATURES * (model->projection->inputs + 1 + analytic->labels);
        out->parameters += features;
        active += (double)features;
        bytes += (double)features * sizeof(float);
    }
    double counts = atoll_counts_active(&model->counts, p->tally.features);
    out->parameters += atoll_counts_parameters(&model->counts);
    active += counts;
    bytes += counts * sizeof(float);
    for (uint32_t e = 0; e < model->experts; e++) {
        const atoll_expert *expert = &model->expert[e];
        out->parameters += atoll_net_parameters(&expert->net);
        if (e && expert->state != ATOLL_EXPERT_ACTIVE)
            continue;
        double share = e && !soft ? expert->share : 1;
        active += share * (double)atoll_net_active(&expert->net, p->tally.features);
        bytes += share * (double)atoll_served_active(&expert->served, &expert->net, p->tally.features);
    }
    out->active_parameters = (uint64_t)active;
    out->active_bytes = (uint64_t)bytes;
}

static void describe_published(const atoll_published *p, atoll_stats *out)
{
    const atoll_model *model = p->model;
    const float *weight = model->combiner.weight;
    bool skips = atoll_predict_may_skip(model);
    *out = (atoll_stats){.version = model->version,
                         .records = model->records,
                         .labels = model->labels,
                         .domains = p->domains,
                         .exemplars = p->exemplars,
                         .vector_dim = model->encoder.vector_dim,
                         .experts_active = atoll_model_count(model, ATOLL_EXPERT_ACTIVE),
                         .experts_candidate = atoll_model_count(model, ATOLL_EXPERT_CANDIDATE),
                         .experts_archived = atoll_model_count(model, ATOLL_EXPERT_ARCHIVED),
                         .born = p->growth.promoted,
                         .pruned = p->growth.pruned,
                         .dropped_candidates = p->growth.given_up,
                         .restored = p->growth.restored,
                         .merged = p->growth.merged,
                         .concepts_replaced = p->drift.replaced,
                         .concepts_returned = p->drift.returned,
                         .exemplars_dormant = p->drift.dormant,
                         .exemplars_refuted = p->drift.refuted,
                         .prequential = share_of(p->tally.right, p->tally.asked),
                         .prequential_recent = p->tally.recent,
                         .log_loss = p->tally.log_loss,
                         .calibration_error = atoll_calibration_error(&p->tally.calibration),
                         .no_change = share_of(p->tally.repeated, p->tally.asked),
                         .weight_shared = weight[ATOLL_VOICE_SHARED],
                         .weight_experts = weight[ATOLL_VOICE_EXPERTS],
                         .weight_votes = weight[ATOLL_VOICE_VOTES],
                         .weight_analytic = weight[ATOLL_VOICE_ANALYTIC],
                         .weight_counts = weight[ATOLL_VOICE_COUNTS],
                         .weight_youth = weight[ATOLL_VOICE_YOUTH],
                         .weight_names = weight[ATOLL_VOICE_NAMES],
                         .routed = p->tally.routes.routed,
                         .overflowed = p->tally.routes.overflowed,
                         .dropped = p->tally.routes.dropped,
                         .gate_entropy = p->tally.entropy,
                         .collapsed = p->tally.collapsed,
                         .collapses = p->tally.collapses,
                         .index = p->index,
                         .search_below = skips ? fmax(model->sureness.bound, ATOLL_PREDICT_BELIEVED) : INFINITY,
                         .others_below = skips ? fmax(model->alone.bound, ATOLL_PREDICT_BELIEVED) : INFINITY,
                         .budget_bytes = model->config.budget_bytes};
    count_parameters(p, out);
}

void atoll_learner_stats(atoll_learner *learner, atoll_stats *out)
{
    int ticket;
    const atoll_published *p = atoll_learner_enter(learner, &ticket);
    describe_published(p, out);
    atoll_footprint f = out->footprint = atoll_learner_footprint(learner, p);
    atoll_learner_leave(learner, ticket);
    out->parameter_bytes = f.experts + f.gate + f.encoder + f.analytic;
    out->counted_bytes = atoll_footprint_sum(&f);
    out->routed += atomic_load(&learner->routed);
    out->overflowed += atomic_load(&learner->overflowed);
    out->dropped += atomic_load(&learner->dropped);
    out->predictions = atomic_load(&learner->predictions);
    out->unsearched = atomic_load(&learner->unsearched);
    out->alone = atomic_load(&learner->alone);
    out->journal_last = atoll_journal_last(learner->journal);
    out->checkpoint = atomic_load(&learner->checkpoint_commit);
    out->checkpoints = (uint32_t)atomic_load(&learner->checkpoints);
    out->checkpoint_seconds = (double)atomic_load(&learner->checkpoint_ns) * 1e-9;
    out->learn_seconds = (double)atomic_load(&learner->learn_ns) * 1e-9;
    out->journal_bytes = atoll_journal_bytes(learner->journal);
    out->state_bytes = atoll_store_bytes(learner->store);
    if (learner->embedder)
        atoll_embedder_stats(learner->embedder, &out->embedding);
    if (atomic_load(&learner->failed)) {
        pthread_mutex_lock(&learner->mutex);
        memcpy(out->failure, learner->failure, sizeof out->failure);
        pthread_mutex_unlock(&learner->mutex);
    }
}

atoll_status atoll_learner_domains(atoll_learner *learner, atoll_domain_stats **out, uint32_t *count,
                                   atoll_error *error)
{
    int ticket;
    const atoll_published *p = atoll_learner_enter(learner, &ticket);
    *count = p->domains;
    *out = malloc((p->domains + 1) * sizeof **out);
    for (uint32_t d = 0; *out && d < p->domains; d++)
        (*out)[d] = (atoll_domain_stats){.domain = learner->state.domains.name[d],
                                         .records = p->domain[d].records,
                                         .prequential = share_of(p->domain[d].right, p->domain[d].records)};
    atoll_learner_leave(learner, ticket);
    return *out ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory to describe domains");
}

atoll_config atoll_learner_config(atoll_learner *learner)
{
    int ticket;
    atoll_config config = atoll_learner_enter(learner, &ticket)->model->config;
    atoll_learner_leave(learner, ticket);
    if (learner->embedder)
        atoll_embedder_present(learner->embedder, &config);
    return config;
}

atoll_footprint atoll_learner_footprint(const atoll_learner *learner, const atoll_published *published)
{
    atoll_footprint f = published->footprint;
    uint64_t live = atomic_load(&learner->state.pager.live_bytes), then = published->live_bytes;
    f.learning += atomic_load(&learner->entry_bytes) + (live > then ? live - then : 0);
    f.retired = atoll_reclaim_waiting_bytes(learner->state.reclaim) +
                atoll_slabs_spare_bytes(atoll_reclaim_slabs(learner->state.reclaim));
    f.writing = atoll_journal_waiting_bytes(learner->journal) + atoll_store_held_bytes(learner->store) +
                atomic_load(&learner->checkpoint_bytes);
    return f;
}

uint64_t atoll_learner_bytes(atoll_learner *learner)
{
    int ticket;
    atoll_footprint f = atoll_learner_footprint(learner, atoll_learner_enter(learner, &ticket));
    atoll_learner_leave(learner, ticket);
    return atoll_footprint_sum(&f);
}
