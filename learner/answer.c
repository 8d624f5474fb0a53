#include "learner/step.h"

#include <string.h>

#include "core/kernels.h"
#include "learner/dense.h"
#include "learner/growth.h"
#include "learner/hint.h"
#include "learner/tally.h"
#include "retrieval/context.h"

enum { NEWBORN = ATOLL_STEP_RECORDS }; /* most experts that are born in a step */

static const float fresh_importance = 1;

/* ---- encode ---- */

bool atoll_step_take_encoded(atoll_hand *h, const atoll_model *model, uint32_t terms, uint32_t numbers,
                             atoll_encoded *encoded)
{
    bool tokens = model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    *encoded = (atoll_encoded){0};
    encoded->bucket = atoll_arena_take(&h->arena, (terms + 1) * sizeof *encoded->bucket);
    encoded->weight = atoll_arena_take(&h->arena, (terms + 1) * sizeof *encoded->weight);
    encoded->embedding = atoll_arena_take(&h->arena, model->encoder.embedding_dim * sizeof *encoded->embedding);
    if (numbers)
        encoded->dense = atoll_arena_take(&h->arena, numbers * sizeof *encoded->dense);
    if (tokens)
        encoded->token = atoll_arena_take(&h->arena, terms + 1);
    return encoded->bucket && encoded->weight && encoded->embedding && (!numbers || encoded->dense) &&
           (!tokens || encoded->token);
}

bool atoll_step_embed_each(atoll_hand *h, const atoll_model *model, atoll_encoded *encoded)
{
    size_t floats = (size_t)encoded->vectors * model->encoder.embedding_dim;
    if (!floats || model->config.granularity != ATOLL_GRANULARITY_TOKEN)
        return true;
    encoded->each = atoll_arena_take(&h->arena, floats * sizeof *encoded->each);
    if (encoded->each)
        atoll_encoder_embed_each(&model->encoder, encoded);
    return encoded->each;
}

void atoll_step_scale(const atoll_model *model, const float *vector, uint32_t numbers, atoll_encoded *encoded)
{
    const atoll_encoder *encoder = &model->encoder;
    if (model->config.granularity == ATOLL_GRANULARITY_TOKEN)
        atoll_encoder_scale_all(encoder, vector, numbers / encoder->vector_dim, encoded);
    else
        atoll_encoder_scale(encoder, vector, encoded);
}

static atoll_status encode(atoll_hand *h, const atoll_state *state, atoll_step_item *it, atoll_error *error)
{
    const atoll_record *record = it->record;
    const atoll_model *model = &state->model;
    bool tokens = model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    it->terms = 0;
    if (record->text.data) {
        atoll_terms_seek(h->text, &model->encoder.frequency);
        /* What cannot be read as words was refused at the door; text without any is learned as none. */
        if ((tokens ? atoll_terms_in_order : atoll_terms_extract)(h->text, record->text, model->encoder.buckets,
                                                                  h->term, &it->terms, NULL) != ATOLL_OK)
            it->terms = 0;
    }
    it->term = atoll_arena_take(&h->arena, (it->terms + 1) * sizeof *it->term);
    if (!it->term || !atoll_step_take_encoded(h, model, it->terms, atoll_record_numbers(record), &it->encoded))
        return atoll_step_no_memory(error);
    memcpy(it->term, h->term, it->terms * sizeof *it->term);
    atoll_encoder_weigh(&model->encoder, it->term, it->terms, &it->encoded);
    if (record->vector)
        atoll_step_scale(model, record->vector, atoll_record_numbers(record), &it->encoded);
    if (!atoll_step_embed_each(h, model, &it->encoded))
        return atoll_step_no_memory(error);
    atoll_encoder_embed(&model->encoder, &it->encoded);
    return ATOLL_OK;
}

/* The dense part of the items from..to-1. */
static atoll_status encode_vectors(atoll_hand *h, const atoll_state *state, atoll_step_item *items, uint32_t from,
                                   uint32_t to, atoll_error *error)
{
    atoll_encoded *encoded[ATOLL_STEP_RECORDS];
    for (uint32_t i = from; i < to; i++)
        encoded[i - from] = &items[i].encoded;
    return atoll_dense_read(&h->arena, &state->model, encoded, to - from, error);
}

/* ---- find neighbours ---- */

atoll_status atoll_step_find_contexts(atoll_hand *h, const atoll_state *state, float *const *embedding,
                                      const uint32_t *except, atoll_context *const *context, uint32_t count,
                                      atoll_error *error)
{
    uint32_t dim = state->model.encoder.embedding_dim;
    float *queries = atoll_arena_take(&h->arena, (size_t)count * dim * sizeof *queries);
    atoll_neighbours *found = atoll_arena_take(&h->arena, count * sizeof *found);
    if (!queries || !found)
        return atoll_step_no_memory(error);
    for (uint32_t i = 0; i < count; i++)
        memcpy(queries + (size_t)i * dim, embedding[i], dim * sizeof *queries);
    uint32_t most = state->model.config.neighbours;
    if (most)
        atoll_index_search_live(state->index, queries, count, found);
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t i = 0; i < count; i++) {
        atoll_context_limit(&found[i], atoll_encoder_lacks(&state->model.encoder, embedding[i]) ? 0 : most);
        atoll_context_fill(&view, &found[i], except[i], context[i]);
    }
    return ATOLL_OK;
}

/* A copy of `count` floats, with `more` zeros behind them. */
static float *keep_floats(atoll_hand *h, const float *from, uint32_t count, uint32_t more)
{
    float *kept = atoll_arena_take(&h->arena, (count + more + 1) * sizeof *kept);
    if (!kept)
        return NULL;
    memcpy(kept, from, count * sizeof *kept);
    memset(kept + count, 0, more * sizeof *kept);
    return kept;
}

/* Whether the record's expert follows from the domain that it names. */
static bool hinted(const atoll_model *model, const atoll_step_item *it)
{
    return model->config.gate == ATOLL_GATE_DOMAIN && it->domain != ATOLL_DOMAIN_NONE;
}

/*
 * Whether answers of this step that are sure do without a search, as those of requests. Where there are vectors none
 * does: growth judges those by their neighbours more than by their words.
 */
static bool skips(const atoll_model *model)
{
    return atoll_predict_may_skip(model) && model->sureness.bound <= 1 && !model->encoder.vector_dim;
}

/* Asks voices and gate, and keeps what they say. */
static atoll_status ask(atoll_hand *h, const atoll_state *state, atoll_step_item *it, atoll_error *error)
{
    const atoll_model *model = &state->model;
    atoll_input input = atoll_predict_input(&it->encoded);
    atoll_status status = atoll_predict_others(model, &h->workspace, &input, &it->context, &it->voices, error);
    if (status || (status = atoll_predict_gate(model, &h->workspace, &input, &it->context, &it->voices, error)))
        return status;
    it->experts = model->experts;
    if (hinted(model, it))
        atoll_predict_only(model, &h->workspace, atoll_model_expert_of(model, it->domain));
    it->gate = keep_floats(h, h->workspace.gate, model->experts, NEWBORN);
    it->gated = (atoll_gated){it->gate, h->workspace.token.count};
    if (it->gated.tokens)
        it->gated.gate = keep_floats(h, h->workspace.token.gate,
                                     (uint32_t)atoll_gated_floats(it->gated.tokens, model->experts), 0);
    it->vote = keep_floats(h, h->workspace.vote, model->experts, NEWBORN);
    bool whole = it->gate && it->vote && it->gated.gate;
    for (int c = 0; c < ATOLL_CUES && whole; c++)
        whole = (it->cue[c] = keep_floats(h, h->workspace.cue[c], model->experts, 0)) != NULL;
    for (int v = 0; v < ATOLL_VOICES && whole; v++)
        if (it->voices.says[v])
            whole = (it->voices.says[v] = keep_floats(h, it->voices.says[v], model->labels, 0)) != NULL;
    if (!skips(model) && atoll_step_compares(model, it->seq)) {
        atoll_predict_unhear(model, &h->workspace);
        whole &= (it->unheard = keep_floats(h, h->workspace.gate, model->experts, NEWBORN)) != NULL;
    }
    return whole ? ATOLL_OK : atoll_step_no_memory(error);
}

/* An item that was asked with an empty context; *settled where its answer is sure, and a grown label that is right. */
static atoll_status consider(atoll_hand *h, const atoll_state *state, atoll_step_item *it, bool *settled,
                             atoll_error *error)
{
    const atoll_model *model = &state->model;
    atoll_slice name = it->record->label;
    atoll_input input = atoll_predict_input(&it->encoded);
    atoll_voices voices = it->voices;
    atoll_route_counts ignored = {0};
    float cue[ATOLL_CHEAP_CUES], novelty;
    atoll_status status = atoll_dispatch(model, &it->gated, 1, ATOLL_OVERFLOW_KEEP, h->workspace.load, &h->arena,
                                         &it->route, &ignored, error);
    *settled = false;
    if (status || (status = atoll_step_combine(model, &h->workspace, &input, &it->route, &voices, error)))
        return status;
    uint32_t label = atoll_predict_cues(&h->workspace, &input, &voices, it->gate, &it->route, cue);
    /* What looks novel is searched however sure the answer is: growth goes by its neighbours. */
    bool suffices = atoll_predict_suffices(model, &model->sureness, cue, &novelty) && !atoll_predict_is_novel(novelty);
    it->sure = suffices && !atoll_step_compares(model, it->seq);
    it->stands_for = it->sure ? 0 : suffices ? ATOLL_REHEARSE_EVERY : 1;
    if (!it->sure)
        return ATOLL_OK;
    *settled = label == atoll_names_find(&state->labels, name.data, name.bytes) &&
               !atoll_predict_is_young(model, label);
    it->context.familiarity = atoll_sureness_familiarity(&model->sureness, cue);
    it->voices.says[ATOLL_VOICE_EXPERTS] = voices.says[ATOLL_VOICE_EXPERTS];
    if (voices.says[ATOLL_VOICE_EXPERTS] &&
        !(it->voices.says[ATOLL_VOICE_EXPERTS] = keep_floats(h, voices.says[ATOLL_VOICE_EXPERTS], model->labels, 0)))
        return atoll_step_no_memory(error);
    return ATOLL_OK;
}

/* Lets the neighbours have their say in an item that was asked without. Of a sure answer they tell the owner alone. */
static atoll_status hear(atoll_hand *h, const atoll_model *model, atoll_step_item *it, atoll_error *error)
{
    atoll_workspace *workspace = &h->workspace;
    if (it->sure) {
        atoll_gate_votes(&it->context, model->experts, it->vote);
        return ATOLL_OK;
    }
    float *gate = keep_floats(h, it->gate, model->experts, NEWBORN);
    if (!gate)
        return atoll_step_no_memory(error);
    atoll_predict_hear(model, workspace, &it->context, gate, &it->voices);
    it->unheard = atoll_step_compares(model, it->seq) ? it->gate : NULL;
    it->gate = gate;
    it->gated.gate = gate;
    memcpy(it->vote, workspace->vote, model->experts * sizeof *it->vote);
    memcpy(it->cue[ATOLL_CUE_VOTES], workspace->cue[ATOLL_CUE_VOTES], model->experts * sizeof(float));
    const float *votes = it->voices.says[ATOLL_VOICE_VOTES];
    if (votes && !(it->voices.says[ATOLL_VOICE_VOTES] = keep_floats(h, votes, model->labels, 0)))
        return atoll_step_no_memory(error);
    return ATOLL_OK;
}

/* Finds the contexts of `count` items. */
static atoll_status find(atoll_hand *h, const atoll_state *state, atoll_step_item *const *items, uint32_t count,
                         atoll_error *error)
{
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t except[ATOLL_STEP_RECORDS];
    if (!count)
        return ATOLL_OK;
    for (uint32_t i = 0; i < count; i++) {
        embedding[i] = items[i]->encoded.embedding;
        context[i] = &items[i]->context;
        except[i] = ATOLL_SLOT_NONE;
    }
    return atoll_step_find_contexts(h, state, embedding, except, context, count, error);
}

/*
 * Asks without a search, then with one where the answer is not sure. Neighbours are also found where it is sure and
 * wrong, or its label is young: drift and growth are to see what contradicts the model, and what the label contradicts.
 */
static atoll_status ask_sure(atoll_portion *w)
{
    atoll_step_item *items = w->trainer->items, *sought[ATOLL_STEP_RECORDS] = {NULL};
    uint32_t count = 0;
    atoll_status status = ATOLL_OK;
    for (uint32_t i = w->from; i < w->to && status == ATOLL_OK; i++) {
        bool settled = false;
        status = ask(w->hand, w->state, &items[i], &w->error);
        if (status == ATOLL_OK)
            status = consider(w->hand, w->state, &items[i], &settled, &w->error);
        if (settled)
            memcpy(items[i].vote, items[i].gate, w->state->model.experts * sizeof(float));
        else
            sought[count++] = &items[i];
    }
    if (status || (status = find(w->hand, w->state, sought, count, &w->error)))
        return status;
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        status = hear(w->hand, &w->state->model, sought[i], &w->error);
    return status;
}

/* Asks with a search for all. */
static atoll_status ask_all(atoll_portion *w)
{
    atoll_step_item *items = w->trainer->items, *sought[ATOLL_STEP_RECORDS] = {NULL};
    for (uint32_t i = w->from; i < w->to; i++) {
        items[i].stands_for = 1;
        sought[i - w->from] = &items[i];
    }
    atoll_status status = find(w->hand, w->state, sought, w->to - w->from, &w->error);
    for (uint32_t i = w->from; i < w->to && status == ATOLL_OK; i++)
        status = ask(w->hand, w->state, &items[i], &w->error);
    return status;
}

static atoll_status ask_portion(atoll_portion *w)
{
    atoll_step_item *items = w->trainer->items;
    atoll_status status = atoll_workspace_fit(&w->hand->workspace, &w->state->model, &w->error);
    for (uint32_t i = w->from; i < w->to && status == ATOLL_OK; i++)
        status = encode(w->hand, w->state, &items[i], &w->error);
    if (status || (status = encode_vectors(w->hand, w->state, items, w->from, w->to, &w->error)))
        return status;
    return skips(&w->state->model) ? ask_sure(w) : ask_all(w);
}

uint64_t atoll_step_ask(atoll_plan *plan)
{
    return atoll_plan_spread(plan, ask_portion, plan->count, (plan->count + 1) / 2, 0);
}

/* ---- ask experts ---- */

atoll_status atoll_step_combine(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                const atoll_route *route, atoll_voices *voices, atoll_error *error)
{
    atoll_status status = atoll_predict_experts(model, workspace, input, route, error);
    atoll_predict_hush(model, route, voices);
    voices->says[ATOLL_VOICE_EXPERTS] = route->count ? workspace->voice[ATOLL_VOICE_EXPERTS] : NULL;
    if (status == ATOLL_OK)
        atoll_combine(&model->combiner, voices, workspace->combined);
    return status;
}

/* Routes the step's records as one batch. */
static atoll_status route_all(atoll_portion *w)
{
    atoll_gated gated[ATOLL_STEP_RECORDS] = {{0}};
    atoll_route routes[ATOLL_STEP_RECORDS];
    atoll_model *model = &w->state->model;
    atoll_step_item *items = w->trainer->items;
    uint32_t *load = w->hand->workspace.load;
    atoll_status status = atoll_workspace_fit(&w->hand->workspace, model, &w->error);
    for (uint32_t i = 0; i < w->to; i++)
        gated[i] = items[i].gated;
    if (status == ATOLL_OK)
        status = atoll_dispatch(model, gated, w->to, (atoll_overflow)model->config.overflow, load, &w->hand->arena,
                                routes, &w->state->tally.routes, &w->error);
    if (status == ATOLL_OK)
        atoll_tally_load(w->state, load, model->experts);
    for (uint32_t i = 0; i < w->to && status == ATOLL_OK; i++)
        items[i].route = routes[i];
    return status;
}

/* Asks the experts that items were routed to. */
static atoll_status hear_portion(atoll_portion *w)
{
    const atoll_model *model = &w->state->model;
    atoll_workspace *workspace = &w->hand->workspace;
    atoll_status status = atoll_workspace_fit(workspace, model, &w->error);
    for (uint32_t i = w->from; i < w->to && status == ATOLL_OK; i++) {
        atoll_step_item *it = &w->trainer->items[i];
        atoll_input input = atoll_predict_input(&it->encoded);
        if (it->sure)
            continue;
        for (int v = 0; v < ATOLL_VOICES; v++)
            if (it->voices.says[v])
                memcpy(workspace->voice[v], it->voices.says[v], model->labels * sizeof(float));
            else
                memset(workspace->voice[v], 0, model->labels * sizeof(float));
        status = atoll_predict_experts(model, workspace, &input, &it->route, &w->error);
        if (status || !it->route.count)
            continue;
        it->voices.says[ATOLL_VOICE_EXPERTS] =
            keep_floats(w->hand, workspace->voice[ATOLL_VOICE_EXPERTS], model->labels, 0);
        if (!it->voices.says[ATOLL_VOICE_EXPERTS])
            status = atoll_step_no_memory(&w->error);
    }
    return status;
}

uint64_t atoll_step_hear(atoll_plan *plan, uint64_t after)
{
    enum { PART = 16 };
    return atoll_plan_spread(plan, hear_portion, plan->count, PART,
                             atoll_plan_add(plan, route_all, 0, plan->count, after));
}

/* ---- answer first, assign ---- */

atoll_status atoll_step_judge(atoll_hand *h, atoll_trainer *trainer, atoll_state *state, atoll_step_item *it,
                              uint64_t commit, int64_t time_ms, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &h->workspace;
    atoll_slice name = it->record->label;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    if (status)
        return status;
    uint32_t label = atoll_names_find(&state->labels, name.data, name.bytes);
    bool known = label < it->voices.labels;
    atoll_input input = atoll_predict_input(&it->encoded);
    float novelty = atoll_novelty_of(&model->novelty, it->context.familiarity);
    atoll_voices voices = it->voices;
    memcpy(workspace->gate, it->gate, model->experts * sizeof *workspace->gate);
    memcpy(workspace->vote, it->vote, model->experts * sizeof *workspace->vote);
    atoll_predict_hush(model, &it->route, &voices);
    atoll_combine(&model->combiner, &voices, workspace->combined);
    atoll_compared compared = {&input, &it->context, &it->voices, it->unheard, workspace->combined, label};
    if (it->unheard && (status = atoll_step_compare(trainer, state, &compared, error)))
        return status;
    atoll_tally_route(state, workspace->gate, &it->route, time_ms);
    atoll_tally_features(state, it->encoded.known, it->encoded.common);
    float score = atoll_tally_answer(state, &voices, workspace->combined, label, it->domain);
    for (uint32_t n = 0; n < it->stands_for; n++)
        atoll_novelty_learn(&model->assured, atoll_predict_assurance(it->context.familiarity, score));
    float importance = voices.says[ATOLL_VOICE_ANALYTIC] ? ATOLL_STEP_CALM : fresh_importance;
    if (known)
        atoll_combiner_learn(&model->combiner, &voices, workspace->combined, label, importance, importance);
    it->probability = known ? workspace->combined[label] : 0;
    atoll_drift_observe(state, &(atoll_drift_seen){&it->context, workspace->combined, voices.labels, label, novelty,
                                                   it->seq});
    state->tally.repeated += label != UINT32_MAX && label == state->tally.last_label;
    atoll_judged judged = {&input, &it->context, label, novelty, it->probability};
    if ((status = hinted(model, it) ? atoll_hint_assign(state, it->domain, commit, &it->owner, error)
                                    : atoll_growth_assign(state, workspace, &judged, commit, &it->owner, error)) ||
        (status = atoll_names_add(&state->labels, name.data, name.bytes, &it->label, error)))
        return status;
    for (uint32_t n = 0; n < it->stands_for; n++)
        atoll_novelty_learn(&model->novelty, it->context.familiarity);
    atoll_tally_owner(state, it->owner);
    if (atoll_model_gate_learns(model) && !it->sure && !hinted(model, it) && it->owner && it->owner < it->experts)
        atoll_gate_weigh(&model->gate, it->cue, it->gate, it->experts, it->owner, fresh_importance);
    state->tally.last_label = it->label;
    model->labels = state->labels.count;
    return ATOLL_OK;
}
