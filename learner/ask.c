/* Predictions from the published state. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/dispatch.h"
#include "core/group.h"
#include "core/predict.h"
#include "learner/dense.h"
#include "learner/inside.h"
#include "retrieval/context.h"

enum { CHUNK = 64 }; /* records that share one search and one view */

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
    atoll_route route[CHUNK];
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
    bool explain;
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

static atoll_status encode(const asking *a, const atoll_record *record, float *embedding, atoll_encoded *encoded,
                           atoll_error *error)
{
    const atoll_encoder *encoder = &a->published->model->encoder;
    atoll_asker *asker = a->asker;
    uint32_t terms = 0;
    atoll_status status = ATOLL_OK;
    bool tokens = a->published->model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    if (record->text.data &&
        (status = (tokens ? atoll_terms_in_order : atoll_terms_extract)(asker->text, record->text, encoder->buckets,
                                                                        asker->term, &terms, error)))
        return status;
    *encoded = (atoll_encoded){.embedding = embedding};
    encoded->bucket = atoll_arena_take(&asker->arena, (terms + 1) * sizeof *encoded->bucket);
    encoded->weight = atoll_arena_take(&asker->arena, (terms + 1) * sizeof *encoded->weight);
    if (tokens)
        encoded->token = atoll_arena_take(&asker->arena, terms + 1);
    if (!encoded->bucket || !encoded->weight || (tokens && !encoded->token))
        return no_memory(error);
    atoll_encoder_weigh(encoder, asker->term, terms, encoded);
    /* A model that has met no vector yet has no use for one. */
    if (record->vector && encoder->vector_dim == record->vector_dim &&
        (status = scale(asker, encoder, tokens, record, encoded, error)))
        return status;
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

/* Adds the record's part in an expert that answers from floats; what it is not needed for gets no task. */
static void add_task(const asking *a, uint32_t expert, const atoll_encoded *encoded, uint32_t *tasks)
{
    const atoll_expert *e = &a->published->model->expert[expert];
    bool answers = e->state == ATOLL_EXPERT_SHARED || e->state == ATOLL_EXPERT_ACTIVE;
    if (encoded->has_dense && e->net.dense_dim && answers && !atoll_expert_rounded(e))
        a->asker->task[(*tasks)++] = (atoll_group_task){.net = &e->net, .v = encoded->dense};
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
        shown->similarity = context->voter[i].similarity;
    }
}

/* What each voice holds most likely. The odds of the young are no answer by themselves. */
static void show_voices(const asking *a, const atoll_voices *voices, atoll_prediction *out)
{
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = v == ATOLL_VOICE_YOUTH || v == ATOLL_VOICE_NAMES ? NULL : voices->says[v];
        uint32_t best = 0;
        for (uint32_t y = 1; says && y < voices->labels; y++)
            best = says[y] > says[best] ? y : best;
        out->voice[v] = says && voices->labels ? a->published->model->names->name[best] : NULL;
    }
}

static void show_experts(const asking *a, const atoll_route *route, uint64_t spent_ns, atoll_prediction *out)
{
    out->experts = route->count;
    for (uint32_t i = 0; i < route->count; i++) {
        /* For a candidate the shared expert has answered. */
        const atoll_expert *expert = &a->published->model->expert[route->expert[i]];
        uint32_t id = expert->state == ATOLL_EXPERT_ACTIVE ? expert->id : 0;
        out->expert[i] = (atoll_used_expert){id, a->published->model->expert[id].version, route->weight[i]};
        atomic_store_explicit(&a->learner->asked_ms[id], a->now_ms, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->learner->asked_ns[id], spent_ns / route->count, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->learner->asked_count[id], 1, memory_order_relaxed);
    }
}

/* `spent_ns` has been spent in its experts already. */
static atoll_status answer(const asking *a, const atoll_encoded *encoded, const atoll_context *context,
                           const atoll_route *route, const atoll_voices *asked, uint64_t spent_ns,
                           atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_workspace *workspace = &a->asker->workspace;
    atoll_prediction *out = &a->asker->prediction;
    atoll_input input = atoll_predict_input(encoded);
    atoll_voices voices = *asked;
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (voices.says[v])
            memcpy(workspace->voice[v], voices.says[v], voices.labels * sizeof(float));
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = atoll_predict_experts(model, workspace, &input, route, error);
    if (status)
        return status;
    spent_ns += (uint64_t)(atoll_clock_monotonic_ns() - start);
    atoll_predict_hush(model, route, &voices);
    if (route->count)
        voices.says[ATOLL_VOICE_EXPERTS] = workspace->voice[ATOLL_VOICE_EXPERTS];
    atoll_combine(&model->combiner, &voices, workspace->combined);
    out->prediction = atomic_fetch_add_explicit(&a->learner->predictions, 1, memory_order_relaxed);
    out->neighbours = 0;
    choose_labels(a, workspace->combined, out);
    float score = out->labels ? out->label[0].score : 0;
    out->novelty = atoll_novelty_of(&model->assured, atoll_predict_assurance(context->familiarity, score));
    out->abstain = out->labels == 0 || atoll_predict_abstains(score, out->novelty);
    show_experts(a, route, spent_ns, out);
    if (a->explain) {
        show_neighbours(a, context, out);
        show_voices(a, &voices, out);
    }
    return ATOLL_OK;
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
    for (int v = 0; v < ATOLL_VOICES; v++) {
        if (!voices->says[v])
            continue;
        float *kept = atoll_arena_take(&asker->arena, voices->labels * sizeof *kept);
        if (!kept)
            return no_memory(error);
        memcpy(kept, voices->says[v], voices->labels * sizeof *kept);
        voices->says[v] = kept;
    }
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

static void count_load(atoll_learner *learner, const uint32_t *load, uint32_t experts)
{
    for (uint32_t e = 1; e < experts; e++) {
        uint32_t overflowed = load[ATOLL_LOAD_OVERFLOWED * experts + e];
        if (!overflowed)
            continue;
        atomic_fetch_add_explicit(&learner->asked_overflowed[e], overflowed, memory_order_relaxed);
        atomic_fetch_add_explicit(&learner->asked_dropped[e], load[ATOLL_LOAD_DROPPED * experts + e],
                                  memory_order_relaxed);
    }
}

/* Asks all voices but the experts', and routes the chunk's records as one batch. */
static atoll_status route_chunk(const asking *a, const atoll_record *records, uint32_t count, atoll_error *error)
{
    const atoll_model *model = a->published->model;
    atoll_asker *asker = a->asker;
    atoll_route_counts counts = {0};
    atoll_gated gated[CHUNK];
    uint32_t tasks = 0, done = 0;
    for (uint32_t i = 0; i < count; i++)
        add_task(a, 0, &asker->encoded[i], &tasks);
    atoll_status status = atoll_group_hidden(asker->task, tasks, &asker->arena, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        atoll_voices *voices = &asker->voices[i];
        atoll_input input = atoll_predict_input(&asker->encoded[i]);
        asker->workspace.given[0] = task_of(a, 0, &asker->encoded[i], tasks, &done);
        status = atoll_predict_others(model, &asker->workspace, &input, &asker->context[i], voices, error);
        if (status || (status = atoll_predict_gate(model, &asker->workspace, &input, &asker->context[i], voices,
                                                   error)) ||
            (status = keep_voices(asker, voices, error)))
            break;
        if (model->config.gate == ATOLL_GATE_DOMAIN && records[i].domain.data)
            atoll_predict_only(model, &asker->workspace, hinted_expert(a, records[i].domain));
        status = keep_gate(asker, model->experts, &gated[i], error);
    }
    if (status || (status = atoll_dispatch(model, gated, count, (atoll_overflow)model->config.overflow,
                                           asker->workspace.load, &asker->arena, asker->route, &counts, error)))
        return status;
    count_load(a->learner, asker->workspace.load, model->experts);
    atomic_fetch_add_explicit(&a->learner->routed, counts.routed, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->learner->overflowed, counts.overflowed, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->learner->dropped, counts.dropped, memory_order_relaxed);
    return ATOLL_OK;
}

static atoll_status find_neighbours(const asking *a, const float *queries, uint32_t count, atoll_error *error)
{
    const atoll_encoder *encoder = &a->published->model->encoder;
    uint32_t most = a->published->model->config.neighbours;
    atoll_status status = ATOLL_OK;
    if (most) {
        const atoll_index_view *view = atoll_index_enter(a->learner->state.index);
        status = atoll_index_search(view, queries, count, a->asker->neighbours, error);
        atoll_index_leave(view);
    }
    for (uint32_t i = 0; i < count; i++)
        atoll_context_limit(&a->asker->neighbours[i],
                            atoll_encoder_lacks(encoder, queries + (size_t)i * encoder->embedding_dim) ? 0 : most);
    return status;
}

/* Experts whose hidden layers are worked out as one batch; not those of a soft gate, which may be many. */
static uint32_t grouped(const atoll_route *route)
{
    return route->all ? 0 : route->count;
}

/* What is left once the chunk is routed: the experts' hidden layers as one batch, then record by record. */
static atoll_status answer_chunk(const asking *a, uint32_t count, uint32_t first, atoll_predicted each, void *arg,
                                 atoll_error *error)
{
    atoll_asker *asker = a->asker;
    uint32_t tasks = 0, done = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < grouped(&asker->route[i]); k++)
            add_task(a, asker->route[i].expert[k], &asker->encoded[i], &tasks);
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = atoll_group_hidden(asker->task, tasks, &asker->arena, error);
    uint64_t each_ns = tasks ? (uint64_t)(atoll_clock_monotonic_ns() - start) / tasks : 0;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        const atoll_route *route = &asker->route[i];
        uint32_t before = done;
        for (uint32_t k = 0; k < grouped(route); k++)
            asker->workspace.given[1 + k] = task_of(a, route->expert[k], &asker->encoded[i], tasks, &done);
        status = answer(a, &asker->encoded[i], &asker->context[i], route, &asker->voices[i], (done - before) * each_ns,
                        error);
        if (status == ATOLL_OK)
            each(arg, first + i, &asker->prediction);
    }
    return status;
}

/* Up to CHUNK records; `first` is the number of the first of them. */
static atoll_status ask_chunk(const asking *a, const atoll_record *records, uint32_t count, uint32_t first,
                              atoll_predicted each, void *arg, atoll_error *error)
{
    atoll_asker *asker = a->asker;
    uint32_t dim = a->published->model->encoder.embedding_dim;
    atoll_arena_reset(&asker->arena);
    float *queries = atoll_arena_take(&asker->arena, (size_t)count * dim * sizeof *queries);
    if (!queries)
        return no_memory(error);
    atoll_status status = atoll_workspace_fit(&asker->workspace, a->published->model, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        status = encode(a, &records[i], queries + (size_t)i * dim, &asker->encoded[i], error);
    if (status || (status = encode_vectors(a, count, error)) ||
        (status = find_neighbours(a, queries, count, error)))
        return status;
    for (uint32_t i = 0; i < count; i++)
        atoll_context_fill(&a->published->memory, &asker->neighbours[i], ATOLL_SLOT_NONE, &asker->context[i]);
    status = route_chunk(a, records, count, error);
    return status ? status : answer_chunk(a, count, first, each, arg, error);
}

atoll_status atoll_learner_predict(atoll_learner *learner, atoll_asker *asker, const atoll_record *records,
                                   uint32_t count, uint32_t top, bool explain, atoll_predicted each, void *arg,
                                   uint64_t *version, atoll_error *error)
{
    int ticket;
    atoll_status status = ATOLL_OK;
    asking a = {learner, asker, atoll_learner_enter(learner, &ticket), top, explain, atoll_clock_wall_ms()};
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
