#include "learner/merging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/log.h"
#include "learner/exemplars.h"
#include "learner/step.h"
#include "retrieval/context.h"

/* ---- whether two serve one domain ---- */

/* What the neighbours of one expert's exemplars say of an expert: votes that it owns, and of those for the label. */
typedef struct poll {
    double votes, right;
} poll;

/* The active experts that have enough exemplars, and their polls: poll[i * count + j] of i's exemplars about j. */
typedef struct survey {
    uint32_t count;
    uint32_t *id;     /* by place in the survey */
    uint32_t *place;  /* by id; UINT32_MAX where it is not in it */
    uint32_t *voted;  /* of its exemplars, how many the neighbours' votes name right */
    poll *poll;
} survey;

static void survey_free(survey *s)
{
    free(s->id);
    free(s->poll);
}

static atoll_status survey_init(survey *s, const atoll_state *state, atoll_error *error)
{
    uint32_t experts = state->model.experts;
    *s = (survey){.id = calloc((size_t)experts * 3, sizeof *s->id)};
    if (!s->id)
        return atoll_step_no_memory(error);
    s->place = s->id + experts;
    s->voted = s->place + experts;
    for (uint32_t e = 0; e < experts; e++) {
        bool in = e && state->model.expert[e].state == ATOLL_EXPERT_ACTIVE &&
                  atoll_memory_owned(state->memory, e) >= ATOLL_MERGING_LEAST;
        s->place[e] = in ? s->count : UINT32_MAX;
        if (in)
            s->id[s->count++] = e;
    }
    s->poll = calloc((size_t)s->count * s->count + 1, sizeof *s->poll);
    if (s->poll)
        return ATOLL_OK;
    survey_free(s);
    return atoll_step_no_memory(error);
}

/* Whether the label has most of the votes. */
static bool voted_right(const atoll_context *context, uint32_t label)
{
    float own = 0;
    for (uint32_t v = 0; v < context->count; v++)
        own += context->voter[v].label == label ? context->voter[v].vote : 0;
    for (uint32_t v = 0; v < context->count; v++) {
        float sum = 0;
        for (uint32_t w = 0; w < context->count; w++)
            sum += context->voter[w].label == context->voter[v].label ? context->voter[w].vote : 0;
        if (sum > own)
            return false;
    }
    return own > 0;
}

static void count_votes(survey *s, uint32_t place, const atoll_context *context, uint32_t label)
{
    for (uint32_t v = 0; v < context->count; v++) {
        const atoll_voter *voter = &context->voter[v];
        if (s->place[voter->owner] == UINT32_MAX)
            continue;
        poll *p = &s->poll[(size_t)place * s->count + s->place[voter->owner]];
        p->votes += voter->vote;
        p->right += voter->label == label ? voter->vote : 0;
    }
    s->voted[place] += voted_right(context, label);
}

/* Asks the neighbours of `count` of an expert's exemplars, ATOLL_STEP_RECORDS at most. */
static atoll_status poll_some(atoll_hand *h, atoll_state *state, survey *s, uint32_t place, const uint32_t *slot,
                              uint32_t count, atoll_error *error)
{
    float *embedding[ATOLL_STEP_RECORDS];
    atoll_context *context[ATOLL_STEP_RECORDS];
    uint32_t dim = state->model.encoder.embedding_dim;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_arena_reset(&h->arena);
    for (uint32_t i = 0; i < count; i++) {
        embedding[i] = atoll_arena_take(&h->arena, dim * sizeof **embedding);
        context[i] = atoll_arena_take(&h->arena, sizeof **context);
        if (!embedding[i] || !context[i])
            return atoll_step_no_memory(error);
        atoll_half_to_float(atoll_memory_at(&view, slot[i])->exemplar->embedding, embedding[i], dim);
    }
    atoll_status status = atoll_step_find_contexts(h, state, embedding, slot, context, count, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        count_votes(s, place, context[i], atoll_memory_at(&view, slot[i])->exemplar->label);
    return status;
}

static atoll_status poll_expert(atoll_hand *h, atoll_state *state, survey *s, uint32_t place, atoll_error *error)
{
    uint32_t slot[ATOLL_MERGING_SAMPLE], count = atoll_exemplars_pick(state, s->id[place], ATOLL_MERGING_SAMPLE, slot);
    atoll_status status = ATOLL_OK;
    for (uint32_t at = 0; at < count && status == ATOLL_OK; at += ATOLL_STEP_RECORDS)
        status = poll_some(h, state, s, place, slot + at,
                           count - at < ATOLL_STEP_RECORDS ? count - at : ATOLL_STEP_RECORDS, error);
    return status;
}

/* What the polls say: mixture and agreement of i's exemplars about j. */
static atoll_exchange exchange_of(const atoll_state *state, const survey *s, uint32_t i, uint32_t j)
{
    const poll *own = &s->poll[(size_t)i * s->count + i], *other = &s->poll[(size_t)i * s->count + j];
    double n_own = atoll_memory_owned(state->memory, s->id[i]) - 1.0;
    double n_other = atoll_memory_owned(state->memory, s->id[j]);
    double share = other->votes / (own->votes + other->votes + 1e-9), expected = n_other / (n_own + n_other);
    double own_right = own->right / (own->votes + 1e-9), other_right = other->right / (other->votes + 1e-9);
    return (atoll_exchange){.mixture = (float)(share / expected),
                            .agreement = (float)(other_right / (own_right + 1e-9))};
}

/* Whether `expert` names the sample's label first. */
static atoll_status names(const atoll_model *model, const atoll_expert *expert, atoll_workspace *workspace,
                          const atoll_sample *sample, bool *right, atoll_error *error)
{
    atoll_input input = atoll_predict_input(&sample->encoded);
    uint32_t output = atoll_expert_output(expert, sample->label);
    *right = false;
    if (output == ATOLL_ROW_NONE)
        return ATOLL_OK;
    memset(workspace->combined, 0, model->labels * sizeof *workspace->combined);
    atoll_status status = atoll_predict_expert(expert, workspace, &input, 1, workspace->combined, error);
    *right = status == ATOLL_OK;
    for (uint32_t i = 0; i < expert->net.outputs && *right; i++)
        *right = workspace->logits[i] <= workspace->logits[output];
    return status;
}

/* How many of i's exemplars j's network names right, to how many the neighbours do. */
static atoll_status know(atoll_hand *h, const atoll_state *state, const survey *s, uint32_t i, uint32_t j,
                         float *knowledge, atoll_error *error)
{
    uint32_t slot[ATOLL_MERGING_SAMPLE], known = 0;
    uint32_t count = atoll_exemplars_pick(state, s->id[i], ATOLL_MERGING_SAMPLE, slot);
    atoll_status status = atoll_workspace_fit(&h->workspace, &state->model, error);
    for (uint32_t k = 0; k < count && status == ATOLL_OK; k++) {
        bool right = false;
        atoll_arena_reset(&h->arena);
        const atoll_sample *sample = atoll_exemplars_encode(h, state, slot[k]);
        status = sample ? names(&state->model, &state->model.expert[s->id[j]], &h->workspace, sample, &right, error)
                        : atoll_step_no_memory(error);
        known += right;
    }
    *knowledge = (float)known / (float)(s->voted[i] ? s->voted[i] : 1);
    return status;
}

/* Whether the experts at two places serve one domain; knowledge is asked for only where the polls allow it. */
static atoll_status compare(atoll_hand *h, const atoll_state *state, const survey *s, uint32_t i, uint32_t j,
                            bool *one, atoll_exchange found[2], atoll_error *error)
{
    atoll_status status;
    found[0] = exchange_of(state, s, i, j);
    found[1] = exchange_of(state, s, j, i);
    *one = false;
    for (int way = 0; way < 2; way++)
        if (found[way].mixture < ATOLL_MERGING_MIXTURE || found[way].agreement < ATOLL_MERGING_AGREEMENT)
            return ATOLL_OK;
    if ((status = know(h, state, s, i, j, &found[0].knowledge, error)) ||
        (status = know(h, state, s, j, i, &found[1].knowledge, error)))
        return status;
    *one = found[0].knowledge >= ATOLL_MERGING_KNOWLEDGE && found[1].knowledge >= ATOLL_MERGING_KNOWLEDGE;
    return ATOLL_OK;
}

static atoll_status survey_all(atoll_hand *h, atoll_state *state, survey *s, atoll_error *error)
{
    atoll_status status = survey_init(s, state, error);
    if (status || s->count < 2)
        return status;
    for (uint32_t i = 0; i < s->count && status == ATOLL_OK; i++)
        status = poll_expert(h, state, s, i, error);
    if (status)
        survey_free(s);
    return status;
}

atoll_status atoll_merging_compare(atoll_trainer *trainer, atoll_state *state, uint32_t a, uint32_t b, bool *one,
                                   atoll_exchange found[2], atoll_error *error)
{
    survey s;
    atoll_status status = survey_all(&trainer->hand[0], state, &s, error);
    *one = false;
    found[0] = found[1] = (atoll_exchange){0};
    if (status)
        return status;
    if (a < state->model.experts && b < state->model.experts && s.place[a] != UINT32_MAX && s.place[b] != UINT32_MAX)
        status = compare(&trainer->hand[0], state, &s, s.place[a], s.place[b], one, found, error);
    survey_free(&s);
    return status;
}

/* ---- merging ---- */

/* The survivor gets the labels, counts and shares of the absorbed expert. */
static atoll_status inherit(atoll_state *state, atoll_expert *survivor, const atoll_expert *absorbed,
                            atoll_error *error)
{
    for (uint32_t i = 0; i < absorbed->labels.count; i++) {
        const atoll_expert_label *from = atoll_expert_label_at(absorbed, i);
        uint32_t output = atoll_expert_output(survivor, from->label);
        atoll_status status = ATOLL_OK;
        if (output == ATOLL_ROW_NONE)
            status = atoll_expert_add_label(&state->pager, survivor, from->label, &output, error);
        atoll_expert_label *to = status == ATOLL_OK ? atoll_array_edit(&state->pager, &survivor->labels, output) : NULL;
        if (!to)
            return status ? status : atoll_step_no_memory(error);
        to->records += from->records;
    }
    double share = (double)absorbed->records / (double)(survivor->records + absorbed->records + 1);
    survivor->loss += share * (absorbed->loss - survivor->loss);
    survivor->records += absorbed->records;
    survivor->share += absorbed->share;
    survivor->importance += absorbed->importance;
    survivor->carried += absorbed->carried;
    survivor->owned += absorbed->owned;
    survivor->turn += absorbed->turn;
    if (absorbed->born_records < survivor->born_records)
        survivor->born_records = absorbed->born_records;
    if (absorbed->last_routed_ms > survivor->last_routed_ms)
        survivor->last_routed_ms = absorbed->last_routed_ms;
    return ATOLL_OK;
}

/* Gives the survivor all exemplars of the absorbed expert. */
static atoll_status hand_over(atoll_state *state, uint32_t survivor, uint32_t absorbed, atoll_error *error)
{
    uint32_t slots = atoll_memory_freeze(state->memory).slots.count;
    for (uint32_t slot = 0; slot < slots; slot++) {
        atoll_memory_view view = atoll_memory_freeze(state->memory);
        const atoll_slot *held = atoll_memory_at(&view, slot);
        if (!held->exemplar || held->owner != absorbed)
            continue;
        atoll_status status = atoll_memory_reassign(state->memory, slot, survivor, error);
        if (status)
            return status;
    }
    return ATOLL_OK;
}

/* What is rehearsed: up to so many exemplars inherited, so often, each with one of the survivor's own beside it. One,
 * two and four rounds measure alike. */
enum { REHEARSED = 2048, ROUNDS = 2, PORTION = 64 };

/* Rehearses survivor and gate on `count` inherited slots, as many of its own, and as many of anybody's. */
static atoll_status rehearse(atoll_hand *h, atoll_state *state, uint32_t survivor, const uint32_t *slot,
                             const uint32_t *own, const uint32_t *any, uint32_t count, atoll_error *error)
{
    atoll_sample *sample[2 * PORTION], *shown[2 * PORTION];
    float running[ATOLL_EXPERTS_MAX];
    atoll_model *model = &state->model;
    atoll_arena_reset(&h->arena);
    for (uint32_t i = 0; i < count; i++) {
        sample[2 * i] = shown[2 * i] = atoll_exemplars_encode(h, state, slot[i]);
        sample[2 * i + 1] = atoll_exemplars_encode(h, state, own[i]);
        shown[2 * i + 1] = atoll_exemplars_encode(h, state, any[i]);
        if (!sample[2 * i] || !sample[2 * i + 1] || !shown[2 * i + 1])
            return atoll_step_no_memory(error);
    }
    atoll_gate_losses losses = atoll_fit_losses(model, running);
    atoll_status status = atoll_workspace_fit(&h->workspace, model, error);
    if (status == ATOLL_OK)
        status = atoll_fit_expert(&state->pager, &model->expert[survivor], &h->workspace, sample, 2 * count, NULL,
                                  error);
    for (uint32_t i = 0; i < 2 * count && status == ATOLL_OK; i++)
        if (!shown[i]->held_out && shown[i]->owner != ATOLL_EXPERT_NONE)
            status = atoll_fit_gate(state, &h->workspace, shown[i], &losses, error);
    return status;
}

static atoll_status rehearse_all(atoll_hand *h, atoll_state *state, uint32_t survivor, uint32_t *slot,
                                 uint32_t inherited, uint32_t *own, uint32_t owned, uint64_t commit,
                                 atoll_error *error)
{
    atoll_rng rng;
    atoll_status status = ATOLL_OK;
    atoll_rng_seed(&rng, state->model.config.seed, commit);
    for (int round = 0; round < ROUNDS && inherited && owned; round++) {
        atoll_exemplars_shuffle(&rng, slot, inherited);
        for (uint32_t at = 0; at < inherited && status == ATOLL_OK; at += PORTION) {
            uint32_t count = inherited - at < PORTION ? inherited - at : PORTION, mine[PORTION], any[PORTION];
            for (uint32_t i = 0; i < count; i++)
                mine[i] = own[atoll_rng_below(&rng, owned)];
            atoll_memory_draw(state->memory, &rng, count, any);
            status = rehearse(h, state, survivor, slot + at, mine, any, count, error);
        }
    }
    return status;
}

atoll_status atoll_merging_absorb(atoll_trainer *trainer, atoll_state *state, uint32_t survivor, uint32_t absorbed,
                                  uint64_t commit, atoll_error *error)
{
    atoll_expert *to = &state->model.expert[survivor], *from = &state->model.expert[absorbed];
    uint32_t *slot = malloc(2 * REHEARSED * sizeof *slot);
    if (!slot)
        return atoll_step_no_memory(error);
    uint32_t *own = slot + REHEARSED, inherited = atoll_exemplars_pick(state, absorbed, REHEARSED, slot);
    uint32_t owned = atoll_exemplars_pick(state, survivor, REHEARSED, own);
    atoll_status status = inherit(state, to, from, error);
    if (status || (status = hand_over(state, survivor, absorbed, error)))
        goto done;
    atoll_expert_clear(&state->pager, from);
    from->state = ATOLL_EXPERT_GONE;
    from->version = to->version = commit;
    if (atoll_model_gate_learns(&state->model))
        state->model.gate.version = commit;
    if (state->growth.youngest == absorbed)
        state->growth.youngest = ATOLL_EXPERT_NONE;
    state->growth.merged++;
    status = rehearse_all(&trainer->hand[0], state, survivor, slot, inherited, own, owned, commit, error);
done:
    free(slot);
    return status;
}

/* Merges the experts at two places and tells so; both leave the survey. */
static atoll_status merge(atoll_trainer *trainer, atoll_state *state, survey *s, uint32_t i, uint32_t j,
                          const atoll_exchange found[2], uint64_t commit, atoll_pruned *told, atoll_error *error)
{
    const atoll_expert *expert = state->model.expert;
    uint32_t survivor = s->id[i], absorbed = s->id[j];
    if (expert[absorbed].records > expert[survivor].records) {
        survivor = s->id[j];
        absorbed = s->id[i];
    }
    told->id = absorbed;
    snprintf(told->reason, sizeof told->reason, "merged into expert %u: mixture %.2f %.2f, agreement %.2f %.2f",
             survivor, (double)found[0].mixture, (double)found[1].mixture, (double)found[0].agreement,
             (double)found[1].agreement);
    s->place[s->id[i]] = s->place[s->id[j]] = UINT32_MAX;
    atoll_status status = atoll_merging_absorb(trainer, state, survivor, absorbed, commit, error);
    if (status == ATOLL_OK)
        atoll_log(ATOLL_LOG_INFO, "expert_merged", "expert", ATOLL_UINT(absorbed), "into", ATOLL_UINT(survivor),
                  "commit", ATOLL_UINT(commit), "reason", ATOLL_TEXT(told->reason), NULL);
    return status;
}

atoll_status atoll_merging_run(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_pruned *merged,
                               uint32_t *count, atoll_error *error)
{
    const atoll_config *config = &state->model.config;
    survey s;
    *count = 0;
    if (config->merge_off || config->freeze || config->gate == ATOLL_GATE_DOMAIN)
        return ATOLL_OK;
    atoll_status status = survey_all(&trainer->hand[0], state, &s, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < s.count && status == ATOLL_OK; i++)
        for (uint32_t j = i + 1; j < s.count && status == ATOLL_OK; j++) {
            atoll_exchange found[2];
            bool one;
            if (s.place[s.id[i]] == UINT32_MAX || s.place[s.id[j]] == UINT32_MAX)
                continue;
            status = compare(&trainer->hand[0], state, &s, i, j, &one, found, error);
            if (status == ATOLL_OK && one)
                status = merge(trainer, state, &s, i, j, found, commit, &merged[(*count)++], error);
        }
    survey_free(&s);
    return status;
}
