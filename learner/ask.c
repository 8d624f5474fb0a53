/* Predictions from the published state. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/dispatch.h"
#include "core/group.h"
#include "core/predict.h"
#include "learner/dense.h"
#include "learner/explain.h"
#include "learner/inside.h"
#include "retrieval/context.h"

enum { CHUNK = 64 }; /* records that share one search and one view */

/* Where the shared expert gives no label as much, a search is made at once: one in twenty would have done without. */
static const float doubt_below = 0.5f;

/* The answer to one record. */
typedef struct verdict {
    const float *p;      /* labels */
    atoll_voices voices; /* that it was made of; the experts' is kept only to explain */
    uint64_t spent_ns;   /* in its experts */
    bool alone;          /* the shared expert's, which stands without all others, */
    bool sure;           /* or one that stands without a search, */
    bool doubtful;       /* or neither: it is not worth finding out */
    float novelty;       /* which would have told this */
} verdict;

struct atoll_asker {
    atoll_arena arena;
    atoll_text_scratch *text;
    atoll_workspace workspace;
    atoll_term *term; /* ATOLL_FEATURES_MAX */
    atoll_prediction prediction;
    atoll_encoded encoded[CHUNK];
    atoll_neighbours neighbours[CHUNK];
    atoll_context context[CHUNK];
    atoll_voices voices[CHUNK]; /* all but the experts' */
    atoll_gated gated[CHUNK];
    atoll_route route[CHUNK];
    verdict verdict[CHUNK];
    atoll_group_task task[CHUNK * ATOLL_TOP_K_MAX];
};

atoll_asker *atoll_asker_new(void)
{
    atoll_asker *asker = calloc(1, sizeof *asker);
    if (!asker)
        return NULL;
    atoll_arena_init(&asker->arena);
    atoll_workspace_init(&asker->workspace);
    asker->text = atoll_text_scratch_new();
    asker->term = malloc(ATOLL_FEATURES_MAX * sizeof *asker->term);
    if (asker->text && asker->term)
        return asker;
    atoll_asker_free(asker);
    return NULL;
}

void atoll_asker_free(atoll_asker *asker)
{
    if (!asker)
        return;
    atoll_arena_free(&asker->arena);
    atoll_workspace_free(&asker->workspace);
    atoll_text_scratch_free(asker->text);
    free(asker->term);
    free(asker);
}

/* One question's way: what the steps below hand on. */
typedef struct asking {
    atoll_learner *learner;
    atoll_asker *asker;
    const atoll_published *published;
    uint32_t top;
    bool explain, skips; /* skips: answers are made without a search yet, first by the shared expert alone, */
    bool embeds_late;    /* and only what is searched for needs an embedding */
    int64_t now_ms;
} asking;

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to answer with");
}

/* The record's vectors, and where tokens are routed their embeddings. */
static atoll_status scale(atoll_asker *asker, const atoll_encoder *encoder, bool tokens, const atoll_record *record,
                          atoll_encoded *encoded, atoll_error *error)
{
    uint32_t vectors = atoll_record_vectors(record);
    encoded->dense = atoll_arena_take(&asker->arena, atoll_record_numbers(record) * sizeof *encoded->dense);
    if (tokens)
        encoded->each = atoll_arena_take(&asker->arena, (size_t)vectors * encoder->embedding_dim * sizeof(float));
    if (!encoded->dense || (tokens && !encoded->each))
        return no_memory(error);
    if (!tokens) {
        atoll_encoder_scale(encoder, record->vector, encoded);
        return ATOLL_OK;
    }
    atoll_encoder_scale_all(encoder, record->vector, vectors, encoded);
    atoll_encoder_embed_each(encoder, encoded);
    return ATOLL_OK;
}

static atoll_status encode(const asking *a, const atoll_record *record, atoll_encoded *encoded, atoll_error *error)
{
    const atoll_encoder *encoder = &a->published->model->encoder;
    atoll_asker *asker = a->asker;
    uint32_t terms = 0;
    atoll_status status = ATOLL_OK;
    bool tokens = a->published->model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    if (record->text.data) {
        atoll_terms_seek(asker->text, &encoder->frequency);
        status = atoll_terms_in_order(asker->text, record->text, encoder->buckets, asker->term, &terms, error);
    }
    if (status)
        return status;
    *encoded = (atoll_encoded){0};
    encoded->embedding = atoll_arena_take(&asker->arena, encoder->embedding_dim * sizeof *encoded->embedding);
    encoded->bucket = atoll_arena_take(&asker->arena, (terms + 1) * sizeof *encoded->bucket);
    encoded->weight = atoll_arena_take(&asker->arena, (terms + 1) * sizeof *encoded->weight);
    if (tokens)
        encoded->token = atoll_arena_take(&asker->arena, terms + 1);
    if (!encoded->embedding || !encoded->bucket || !encoded->weight || (tokens && !encoded->token))
        return no_memory(error);
    atoll_encoder_weigh(encoder, asker->term, terms, encoded);
    /* A model that has met no vector yet has no use for one. */
    if (record->vector && encoder->vector_dim == record->vector_dim &&
        (status = scale(asker, encoder, tokens, record, encoded, error)))
        return status;
    if (!a->embeds_late)
        atoll_encoder_embed(encoder, encoded);
    return ATOLL_OK;
}

static atoll_status encode_vectors(const asking *a, uint32_t count, atoll_error *error)
{
    atoll_encoded *encoded[CHUNK];
    for (uint32_t i = 0; i < count; i++)
        encoded[i] = &a->asker->encoded[i];
    return atoll_dense_read(&a->asker->arena, a->published->model, encoded, count, error);
}

/*
 * Adds the record's part in an expert that answers from floats; what it is not needed for gets no task. `reads` is by
 * how much the expert reads each of its vectors, or NULL.
 */
static void add_task(const asking *a, uint32_t expert, const atoll_encoded *encoded, const float *reads,
                     uint32_t *tasks)
{
    const atoll_expert *e = &a->published->model->expert[expert];
    bool answers = e->state == ATOLL_EXPERT_SHARED || e->state == ATOLL_EXPERT_ACTIVE;
    if (encoded->has_dense && e->net.dense_dim && answers && !atoll_expert_rounded(e))
        a->asker->task[(*tasks)++] = (atoll_group_task){.net = &e->net,
                                                        .v = encoded->dense,
                                                        .vectors = encoded->vectors ? encoded->vectors : 1,
                                                        .reads = reads};
}

/* The hidden layer of a record's expert, from tasks in the order of adding; NULL where there was none. */
static const float *task_of(const asking *a, uint32_t expert, const atoll_encoded *encoded, uint32_t tasks,
                            uint32_t *at)
{
    const atoll_group_task *next = &a->asker->task[*at];
    if (*at == tasks || next->net != &a->published->model->expert[expert].net || next->v != encoded->dense)
        return NULL;
    ++*at;
    return next->h;
}

/* The `top` most probable labels, best first. */
static void choose_labels(const asking *a, const float *p, atoll_prediction *out)
{
    const atoll_model *model = a->published->model;
    uint32_t best[ATOLL_TOP_MAX], count = 0;
    for (uint32_t y = 0; y < model->labels; y++) {
        if (count == a->top && p[y] <= p[best[count - 1]])
            continue;
        uint32_t at = count < a->top ? count++ : count - 1;
        for (; at && p[best[at - 1]] < p[y]; at--)
            best[at] = best[at - 1];
        best[at] = y;
    }
    out->labels = count;
    for (uint32_t i = 0; i < count; i++)
        out->label[i] = (atoll_scored_label){model->names->name[best[i]], p[best[i]]};
}

static void show_neighbours(const asking *a, const atoll_context *context, atoll_prediction *out)
{
    for (uint32_t i = 0; i < context->count && i < ATOLL_EXPLAIN_NEIGHBOURS; i++) {
        const atoll_exemplar *exemplar = atoll_memory_at(&a->published->memory, context->voter[i].slot)->exemplar;
        atoll_shown_neighbour *shown = &out->neighbour[out->neighbours++];
        memcpy(shown->id, exemplar->id, exemplar->id_bytes);
        shown->id[exemplar->id_bytes] = '\0';
        shown->label = a->published->model->names->name[exemplar->label];
        shown->similarity = fminf(context->voter[i].similarity, 1); /* rounding may take it above */
    }
}

/*
 * What each voice holds most likely, the neighbours' also where the answer was sure without them. The odds of the young
 * are no answer by themselves.
 */
static void show_voices(const asking *a, const atoll_context *context, const atoll_voices *voices,
                        atoll_prediction *out)
{
    float *votes = a->asker->workspace.voice[ATOLL_VOICE_VOTES];
    if (context->count)
        atoll_predict_votes(context, voices->labels, votes);
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = v == ATOLL_VOICE_YOUTH || v == ATOLL_VOICE_NAMES ? NULL : voices->says[v];
        if (v == ATOLL_VOICE_VOTES)
            says = context->count ? votes : NULL;
        uint32_t best = 0;
        for (uint32_t y = 1; says && y < voices->labels; y++)
            best = says[y] > says[best] ? y : best;
        out->voice[v] = says && voices->labels ? a->published->model->names->name[best] : NULL;
    }
}

/* Who is routed to is not idle, though the shared expert may have answered alone. */
static void show_experts(const asking *a, const atoll_route *route, const verdict *found, atoll_prediction *out)
{
    out->experts = route->count;
    for (uint32_t i = 0; i < route->count; i++) {
        /* For a candidate the shared expert has answered. */
        const atoll_expert *expert = &a->published->model->expert[route->expert[i]];
        uint32_t id = expert->state == ATOLL_EXPERT_ACTIVE ? expert->id : 0;
        out->expert[i] = (atoll_used_expert){id, a->published->model->expert[id].version, route->weight[i]};
        atomic_store_explicit(&a->learner->asked_ms[id], a->now_ms, memory_order_relaxed);
        if (found->alone)
            continue;
        atomic_fetch_add_explicit(&a->learner->asked_ns[id], found->spent_ns / route->count, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->learner->asked_count[id], 1, memory_order_relaxed);
    }
}

/* A copy of `count` floats; NULL where memory is short. */
static float *keep_floats(atoll_asker *asker, const float *from, uint32_t count)
{
    float *kept = atoll_arena_take(&asker->arena, (count + 1) * sizeof *kept);
    if (kept)
        memcpy(kept, from, count * sizeof *kept);
    return kept;
}

/* What has been spent in the record's experts before is in verdict->spent_ns. */
static atoll_status combine(const asking *a, uint32_t i, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    atoll_workspace *workspace = &asker->workspace;
    atoll_input input = atoll_predict_input(&asker->encoded[i]);
    const atoll_route *route = &asker->route[i];
    verdict *out = &asker->verdict[i];
    out->voices = asker->voices[i];
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (out->voices.says[v])
            memcpy(workspace->voice[v], out->voices.says[v], out->voices.labels * sizeof(float));
    if (!out->voices.says[ATOLL_VOICE_VOTES])
        memset(workspace->voice[ATOLL_VOICE_VOTES], 0, model->labels * sizeof(float));
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = atoll_predict_experts(model, workspace, &input, route, error);
    if (status)
        return status;
    out->spent_ns += (uint64_t)(atoll_clock_monotonic_ns() - start);
    atoll_predict_hush(model, route, &out->voices);
    out->voices.says[ATOLL_VOICE_EXPERTS] = route->count ? workspace->voice[ATOLL_VOICE_EXPERTS] : NULL;
    atoll_combine(&model->combiner, &out->voices, workspace->combined);
    if (!out->alone && !(out->p = keep_floats(asker, workspace->combined, out->voices.labels)))
        return no_memory(error);
    if (a->explain && route->count &&
        !(out->voices.says[ATOLL_VOICE_EXPERTS] =
              keep_floats(asker, workspace->voice[ATOLL_VOICE_EXPERTS], out->voices.labels)))
        return no_memory(error);
    return ATOLL_OK;
}

static atoll_status tell(const asking *a, const atoll_record *record, uint32_t i, atoll_prediction *out,
                         atoll_error *error)
{
    atoll_asker *asker = a->asker;
    const verdict *found = &asker->verdict[i];
    const atoll_context *context = &asker->context[i];
    out->prediction = atomic_fetch_add_explicit(&a->learner->predictions, 1, memory_order_relaxed);
    out->neighbours = out->tokens = 0;
    choose_labels(a, found->p, out);
    float score = out->labels ? out->label[0].score : 0;
    out->novelty = found->sure ? found->novelty
                               : atoll_novelty_of(&a->published->model->assured,
                                                  atoll_predict_assurance(context->familiarity, score));
    out->abstain = out->labels == 0 || atoll_predict_abstains(score, out->novelty);
    show_experts(a, &asker->route[i], found, out);
    if (!a->explain)
        return ATOLL_OK;
    show_neighbours(a, context, out);
    show_voices(a, context, &found->voices, out);
    atoll_explained explained = {a->published->model, record->text, asker->encoded[i].words, &asker->gated[i],
                                 &asker->route[i]};
    return atoll_explain_tokens(&explained, asker->text, asker->term, &asker->arena, out, error);
}

/* The published expert of the domain that a record names. Numbers of names are the learner's to look up, names not. */
static uint32_t hinted_expert(const asking *a, atoll_slice domain)
{
    const atoll_model *model = a->published->model;
    for (uint32_t e = 1; e < model->experts; e++) {
        const atoll_expert *expert = &model->expert[e];
        if (expert->state != ATOLL_EXPERT_ACTIVE || expert->domain == ATOLL_DOMAIN_NONE)
            continue;
        const char *name = a->learner->state.domains.name[expert->domain];
        if (strlen(name) == domain.bytes && memcmp(name, domain.data, domain.bytes) == 0)
            return e;
    }
    return ATOLL_EXPERT_NONE;
}

/* Copies what the voices say out of the workspace. */
static atoll_status keep_voices(atoll_asker *asker, atoll_voices *voices, atoll_error *error)
{
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (voices->says[v] && !(voices->says[v] = keep_floats(asker, voices->says[v], voices->labels)))
            return no_memory(error);
    return ATOLL_OK;
}

/* Copies what the gate says out of the workspace. */
static atoll_status keep_gate(atoll_asker *asker, uint32_t experts, atoll_gated *gated, atoll_error *error)
{
    const atoll_workspace *workspace = &asker->workspace;
    uint32_t tokens = workspace->token.count;
    size_t bytes = atoll_gated_floats(tokens, experts) * sizeof(float);
    float *gate = atoll_arena_take(&asker->arena, bytes);
    if (!gate)
        return no_memory(error);
    memcpy(gate, tokens ? workspace->token.gate : workspace->gate, bytes);
    *gated = (atoll_gated){gate, tokens};
    return ATOLL_OK;
}

static void count_routes(const asking *a, const atoll_route_counts *counts)
{
    atoll_learner *learner = a->learner;
    const uint32_t *load = a->asker->workspace.load;
    uint32_t experts = a->published->model->experts;
    for (uint32_t e = 1; e < experts && counts->overflowed; e++) {
        uint32_t overflowed = load[ATOLL_LOAD_OVERFLOWED * experts + e];
        if (!overflowed)
            continue;
        atomic_fetch_add_explicit(&learner->asked_overflowed[e], overflowed, memory_order_relaxed);
        atomic_fetch_add_explicit(&learner->asked_dropped[e], load[ATOLL_LOAD_DROPPED * experts + e],
                                  memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&learner->routed, counts->routed, memory_order_relaxed);
    atomic_fetch_add_explicit(&learner->overflowed, counts->overflowed, memory_order_relaxed);
    atomic_fetch_add_explicit(&learner->dropped, counts->dropped, memory_order_relaxed);
}

/* Whether no other voice is to be asked for a record: to explain, all are asked that the answer does without. */
static bool settled(const asking *a, uint32_t i)
{
    return a->asker->verdict[i].alone && !a->explain;
}

/* Whether what the shared expert has just said stands alone. */
static atoll_status consider_alone(const asking *a, uint32_t i, const atoll_input *input, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    verdict *found = &asker->verdict[i];
    const atoll_voices *voices = &asker->voices[i];
    float cue[ATOLL_CHEAP_CUES];
    if (!a->skips || model->alone.bound > 1 || !atoll_predict_may_be_alone(input, voices))
        return ATOLL_OK;
    atoll_predict_alone(input, voices, cue);
    found->doubtful = cue[ATOLL_CHEAP_SCORE] < doubt_below;
    found->alone = atoll_predict_suffices(model, &model->alone, cue, &found->novelty);
    found->sure = settled(a, i);
    if (found->alone && !(found->p = keep_floats(asker, voices->says[ATOLL_VOICE_SHARED], voices->labels)))
        return no_memory(error);
    return ATOLL_OK;
}

/* Asks all voices but the experts', and the gate; where the shared expert's stands alone, no other voice. */
static atoll_status ask_others(const asking *a, const atoll_record *records, uint32_t count, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    uint32_t tasks = 0, done = 0;
    for (uint32_t i = 0; i < count; i++)
        add_task(a, 0, &asker->encoded[i], NULL, &tasks);
    atoll_status status = atoll_group_hidden(&asker->workspace.net, asker->task, tasks, &asker->arena, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        atoll_voices *voices = &asker->voices[i];
        atoll_input input = atoll_predict_input(&asker->encoded[i]);
        asker->workspace.given[0] = task_of(a, 0, &asker->encoded[i], tasks, &done);
        if ((status = atoll_predict_shared(model, &asker->workspace, &input, voices, error)) ||
            (status = consider_alone(a, i, &input, error)))
            break;
        if (!settled(a, i))
            atoll_predict_beside(model, &asker->workspace, &input, &asker->context[i], voices);
        if ((status = atoll_predict_gate(model, &asker->workspace, &input, &asker->context[i], voices, error)) ||
            (!settled(a, i) && (status = keep_voices(asker, voices, error))))
            break;
        if (model->config.gate == ATOLL_GATE_DOMAIN && records[i].domain.data)
            atoll_predict_only(model, &asker->workspace, hinted_expert(a, records[i].domain));
        status = keep_gate(asker, model->experts, &asker->gated[i], error);
    }
    return status;
}

/* Routes the chunk's records as one batch. */
static atoll_status route_chunk(const asking *a, uint32_t count, atoll_route_counts *counts, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    *counts = (atoll_route_counts){0};
    return atoll_dispatch(model, asker->gated, count, (atoll_overflow)model->config.overflow, asker->workspace.load,
                          &asker->arena, asker->route, counts, error);
}

/* Finds the contexts of `count` records of the chunk. */
static atoll_status find_contexts(const asking *a, const uint32_t *which, uint32_t count, atoll_error *error)
{
    atoll_asker *asker = a->asker;
    const atoll_encoder *encoder = &a->published->model->encoder;
    uint32_t most = a->published->model->config.neighbours, dim = encoder->embedding_dim;
    if (!most || !count)
        return ATOLL_OK;
    float *queries = atoll_arena_take(&asker->arena, (size_t)count * dim * sizeof *queries);
    if (!queries)
        return no_memory(error);
    for (uint32_t k = 0; k < count; k++) {
        atoll_encoded *encoded = &asker->encoded[which[k]];
        if (a->embeds_late)
            atoll_encoder_embed(encoder, encoded);
        memcpy(queries + (size_t)k * dim, encoded->embedding, dim * sizeof *queries);
    }
    const atoll_index_view *view = atoll_index_enter(a->learner->state.index);
    atoll_index_search(view, queries, count, asker->neighbours);
    atoll_index_leave(view);
    for (uint32_t k = 0; k < count; k++) {
        bool lacks = atoll_encoder_lacks(encoder, queries + (size_t)k * dim);
        atoll_context_limit(&asker->neighbours[k], lacks ? 0 : most);
        atoll_context_fill(&a->published->memory, &asker->neighbours[k], ATOLL_SLOT_NONE, &asker->context[which[k]]);
    }
    return ATOLL_OK;
}

/* Experts whose hidden layers are worked out as one batch; not those of a soft gate, which may be many. */
static uint32_t grouped(const atoll_route *route)
{
    return route->all ? 0 : route->count;
}

/* By how much the k-th expert of a record's route reads each of its vectors; NULL where it reads the whole record. */
static const float *vector_reads(const atoll_asker *asker, uint32_t i, uint32_t k)
{
    const float *reads = asker->route[i].reads;
    return reads ? reads + (size_t)k * asker->gated[i].tokens + asker->encoded[i].words : NULL;
}

/* Whether an answer without a search is sure. */
static void consider(const asking *a, uint32_t i)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    verdict *found = &asker->verdict[i];
    atoll_input input = atoll_predict_input(&asker->encoded[i]);
    float cue[ATOLL_CHEAP_CUES];
    found->sure = found->alone;
    if (found->alone)
        return;
    atoll_predict_cues(&asker->workspace, &input, &found->voices, asker->gated[i].gate, &asker->route[i], cue);
    found->sure = atoll_predict_suffices(model, &model->sureness, cue, &found->novelty);
}

/* Whether the record needs no answer, or none before the search. */
static bool decided(const asking *a, uint32_t i)
{
    return a->asker->verdict[i].sure || (a->skips && a->asker->verdict[i].doubtful);
}

/* Answers of the routed chunk that are not decided yet: the experts' hidden layers as one batch, then one by one. */
static atoll_status combine_chunk(const asking *a, uint32_t count, atoll_error *error)
{
    atoll_asker *asker = a->asker;
    uint32_t tasks = 0, done = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; !decided(a, i) && k < grouped(&asker->route[i]); k++)
            add_task(a, asker->route[i].expert[k], &asker->encoded[i], vector_reads(asker, i, k), &tasks);
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = atoll_group_hidden(&asker->workspace.net, asker->task, tasks, &asker->arena, error);
    uint64_t each_ns = tasks ? (uint64_t)(atoll_clock_monotonic_ns() - start) / tasks : 0;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        const atoll_route *route = &asker->route[i];
        uint32_t before = done;
        if (decided(a, i))
            continue;
        for (uint32_t k = 0; k < grouped(route); k++)
            asker->workspace.given[1 + k] = task_of(a, route->expert[k], &asker->encoded[i], tasks, &done);
        asker->verdict[i].spent_ns += (done - before) * each_ns;
        status = combine(a, i, error);
        if (status == ATOLL_OK && a->skips)
            consider(a, i);
    }
    return status;
}

/* Lets the neighbours have their say in an answer that was begun without. */
static atoll_status hear(const asking *a, uint32_t i, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    atoll_voices *voices = &asker->voices[i];
    float *gate = keep_floats(asker, asker->gated[i].gate, model->experts);
    if (!gate)
        return no_memory(error);
    atoll_predict_hear(model, &asker->workspace, &asker->context[i], gate, voices);
    asker->gated[i].gate = gate;
    const float *votes = voices->says[ATOLL_VOICE_VOTES];
    if (votes && !(voices->says[ATOLL_VOICE_VOTES] = keep_floats(asker, votes, voices->labels)))
        return no_memory(error);
    return ATOLL_OK;
}

/*
 * Answers without a search, then those that are not sure with one. To explain, neighbours of all are found, but the
 * answer is the same.
 */
static atoll_status answer_sure(asking *a, uint32_t count, atoll_route_counts *counts, atoll_error *error)
{
    atoll_asker *asker = a->asker;
    uint32_t which[CHUNK], alone = 0, unsure = 0, sought = 0;
    atoll_status status = route_chunk(a, count, counts, error);
    if (status || (status = combine_chunk(a, count, error)))
        return status;
    for (uint32_t i = 0; i < count; i++) {
        alone += asker->verdict[i].alone;
        unsure += !asker->verdict[i].sure;
        if (!asker->verdict[i].sure || a->explain)
            which[sought++] = i;
    }
    atomic_fetch_add_explicit(&a->learner->alone, alone, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->learner->unsearched, count - unsure, memory_order_relaxed);
    a->skips = false;
    status = find_contexts(a, which, sought, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (!asker->verdict[i].sure)
            status = hear(a, i, error);
    if (status || !unsure || (status = route_chunk(a, count, counts, error)))
        return status;
    return combine_chunk(a, count, error);
}

/* Answers with a search for all. */
static atoll_status answer_all(const asking *a, uint32_t count, atoll_route_counts *counts, atoll_error *error)
{
    atoll_status status = route_chunk(a, count, counts, error);
    return status ? status : combine_chunk(a, count, error);
}

/* Up to CHUNK records; `first` is the number of the first of them. */
static atoll_status ask_chunk(asking *a, const atoll_record *records, uint32_t count, uint32_t first,
                              atoll_predicted each, void *arg, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    bool skips = a->skips = atoll_predict_may_skip(model) && model->sureness.bound <= 1;
    a->embeds_late = skips && !model->encoder.vector_dim && atoll_predict_gate_is_idle(model, &a->published->standing);
    uint32_t all[CHUNK];
    atoll_route_counts counts;
    atoll_arena_reset(&asker->arena);
    atoll_status status = atoll_workspace_fit(&asker->workspace, model, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        all[i] = i;
        asker->context[i].count = asker->context[i].sleepers = 0;
        asker->context[i].familiarity = 0;
        asker->verdict[i] = (verdict){0};
        status = encode(a, &records[i], &asker->encoded[i], error);
    }
    if (status || (status = encode_vectors(a, count, error)) ||
        (!skips && (status = find_contexts(a, all, count, error))) ||
        (status = ask_others(a, records, count, error)) ||
        (status = skips ? answer_sure(a, count, &counts, error) : answer_all(a, count, &counts, error)))
        return status;
    count_routes(a, &counts);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if ((status = tell(a, &records[i], i, &asker->prediction, error)) == ATOLL_OK)
            each(arg, first + i, &asker->prediction);
    return status;
}

atoll_status atoll_learner_predict(atoll_learner *learner, atoll_asker *asker, const atoll_record *records,
                                   uint32_t count, uint32_t top, bool explain, atoll_predicted each, void *arg,
                                   uint64_t *version, atoll_error *error)
{
    int ticket;
    atoll_status status = ATOLL_OK;
    asking a = {.learner = learner,
                .asker = asker,
                .published = atoll_learner_enter(learner, &ticket),
                .top = top,
                .explain = explain,
                .now_ms = atoll_clock_wall_ms()};
    *version = a.published->model->version;
    asker->workspace.standing = &a.published->standing;
    asker->workspace.rounded = &a.published->gate;
    for (uint32_t at = 0; at < count && status == ATOLL_OK; at += CHUNK)
        status = ask_chunk(&a, records + at, count - at < CHUNK ? count - at : CHUNK, at, each, arg, error);
    atoll_learner_leave(learner, ticket);
    return status;
}

bool atoll_learner_embeds(const atoll_learner *learner)
{
    return learner->embedder != NULL;
}

atoll_status atoll_learner_embed(atoll_learner *learner, const atoll_slice *texts, uint32_t count,
                                 atoll_embed_done done, void *arg, atoll_embedded **out, bool *later,
                                 atoll_error *error)
{
    *out = NULL;
    *later = false;
    if (!learner->embedder)
        return ATOLL_OK;
    return atoll_embedder_ask(learner->embedder, texts, count, done, arg, out, later, error);
}
