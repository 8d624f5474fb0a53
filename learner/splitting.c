#include "learner/splitting.h"

#include <stdlib.h>

#include "core/log.h"
#include "learner/exemplars.h"
#include "learner/parting.h"

/* Both experts learn what they hold so often, in portions. */
enum { ROUNDS = 4, PORTION = 64 };

/* One label of the expert that is split: its records, and of its exemplars, how many there are on each side. */
typedef struct portion_of {
    uint32_t label, records, held[2];
} portion_of;

typedef struct split {
    uint32_t *slot; /* of all its exemplars */
    bool *side;
    uint32_t count;
    uint32_t id[2]; /* of the two experts */
    portion_of *label;
    uint32_t labels;
} split;

static void split_free(split *s)
{
    free(s->slot);
    free(s->side);
    free(s->label);
}

/* All exemplars of an expert, and how they are parted. */
static atoll_status find_parts(atoll_hand *h, const atoll_state *state, const atoll_expert *expert, split *s,
                               atoll_parting *found, atoll_error *error)
{
    const atoll_sample *sample[ATOLL_PARTING_SAMPLES];
    uint32_t owned = atoll_memory_owned(state->memory, expert->id);
    *found = (atoll_parting){0};
    if (owned == 0 || owned > ATOLL_PARTING_SAMPLES)
        return ATOLL_OK;
    s->slot = malloc(owned * sizeof *s->slot);
    s->side = malloc(owned * sizeof *s->side);
    if (!s->slot || !s->side)
        return atoll_step_no_memory(error);
    s->count = atoll_exemplars_pick(state, expert->id, owned, s->slot);
    atoll_arena_reset(&h->arena);
    for (uint32_t i = 0; i < s->count; i++)
        if (!(sample[i] = atoll_exemplars_words(h, state, s->slot[i])))
            return atoll_step_no_memory(error);
    return atoll_parting_find(sample, s->count, state->model.encoder.embedding_dim, expert->net.rank, s->side, found,
                              error);
}

/* The labels of the expert, and where their exemplars go. */
static atoll_status count_labels(const atoll_state *state, const atoll_expert *expert, split *s, atoll_error *error)
{
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    s->labels = expert->labels.count;
    s->label = calloc(s->labels + 1, sizeof *s->label);
    if (!s->label)
        return atoll_step_no_memory(error);
    for (uint32_t l = 0; l < s->labels; l++) {
        const atoll_expert_label *from = atoll_expert_label_at(expert, l);
        s->label[l] = (portion_of){.label = from->label, .records = from->records};
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t label = atoll_memory_at(&view, s->slot[i])->exemplar->label;
        s->label[atoll_expert_output(expert, label)].held[s->side[i]]++;
    }
    return ATOLL_OK;
}

/* An empty network for an expert that keeps all else but labels. */
static atoll_status begin_anew(atoll_state *state, atoll_expert *expert, atoll_error *error)
{
    atoll_expert kept = *expert;
    atoll_net_shape shape = atoll_state_shape(&state->model.config, expert->id);
    atoll_expert_clear(&state->pager, expert);
    atoll_expert_init(expert, kept.id, &shape);
    kept.net = expert->net;
    kept.served = expert->served;
    kept.labels = expert->labels;
    *expert = kept;
    expert->records = 0;
    return state->model.encoder.vector_dim
               ? atoll_net_set_dense(&state->pager, &expert->net, state->model.encoder.vector_dim, error)
               : ATOLL_OK;
}

/* Gives one of the two the labels of its side, with their share of the records; those without exemplars stay with the
 * first. */
static atoll_status take_labels(atoll_state *state, const split *s, int side, atoll_error *error)
{
    atoll_expert *expert = &state->model.expert[s->id[side]];
    for (uint32_t l = 0; l < s->labels; l++) {
        const portion_of *from = &s->label[l];
        uint32_t held = from->held[0] + from->held[1], output;
        /* The second takes its share rounded down, the first what is left. */
        uint64_t second = held ? (uint64_t)from->records * from->held[1] / held : 0;
        if (from->held[side] == 0 && (side || held))
            continue;
        atoll_status status = atoll_expert_add_label(&state->pager, expert, from->label, &output, error);
        atoll_expert_label *to =
            status == ATOLL_OK ? atoll_array_edit(&state->pager, &expert->labels, output) : NULL;
        if (!to)
            return status ? status : atoll_step_no_memory(error);
        to->records = (uint32_t)(side ? second : from->records - second);
        expert->records += to->records;
    }
    return ATOLL_OK;
}

/* What the second expert has from the first but its labels. */
static void inherit(atoll_state *state, const split *s, uint64_t commit)
{
    atoll_expert *first = &state->model.expert[s->id[0]], *second = &state->model.expert[s->id[1]];
    double share = (double)second->records / (double)(first->records + second->records + 1);
    second->state = ATOLL_EXPERT_ACTIVE;
    second->born = first->version = second->version = commit;
    second->born_records = first->born_records;
    second->last_routed_ms = first->last_routed_ms;
    second->loss = first->loss;
    second->share = first->share * share;
    second->turn = first->turn * share;
    first->share -= second->share;
    first->turn -= second->turn;
}

/* One portion: experts learn their own, the gate whose they are, and as many of anybody's. */
static atoll_status rehearse(atoll_hand *h, atoll_state *state, const uint32_t *slot, const uint32_t *any,
                             uint32_t count, atoll_error *error)
{
    atoll_sample *own[PORTION], *shown[2 * PORTION];
    float running[ATOLL_EXPERTS_MAX];
    atoll_model *model = &state->model;
    atoll_arena_reset(&h->arena);
    for (uint32_t i = 0; i < count; i++) {
        shown[2 * i] = atoll_exemplars_encode(h, state, slot[i]);
        shown[2 * i + 1] = atoll_exemplars_encode(h, state, any[i]);
        if (!shown[2 * i] || !shown[2 * i + 1])
            return atoll_step_no_memory(error);
    }
    atoll_gate_losses losses = atoll_fit_losses(model, running);
    atoll_status status = atoll_workspace_fit(&h->workspace, model, error);
    for (uint32_t e = 1; e < model->experts && status == ATOLL_OK; e++) {
        uint32_t owned = 0;
        for (uint32_t i = 0; i < count; i++)
            if (shown[2 * i]->owner == e)
                own[owned++] = shown[2 * i];
        if (owned)
            status = atoll_fit_expert(&state->pager, &model->expert[e], &h->workspace, own, owned, NULL, error);
    }
    for (uint32_t i = 0; i < 2 * count && status == ATOLL_OK; i++)
        if (!shown[i]->held_out && shown[i]->owner != ATOLL_EXPERT_NONE && !atoll_owner_dormant(shown[i]->owner))
            status = atoll_fit_gate(state, &h->workspace, shown[i], &losses, error);
    return status;
}

static atoll_status rehearse_all(atoll_hand *h, atoll_state *state, const split *s, uint64_t commit,
                                 atoll_error *error)
{
    atoll_rng rng;
    atoll_status status = ATOLL_OK;
    atoll_rng_seed(&rng, state->model.config.seed, commit);
    for (int round = 0; round < ROUNDS; round++) {
        atoll_exemplars_shuffle(&rng, s->slot, s->count);
        for (uint32_t at = 0; at < s->count && status == ATOLL_OK; at += PORTION) {
            uint32_t any[PORTION], count = s->count - at < PORTION ? s->count - at : PORTION;
            atoll_memory_draw(state->memory, &rng, count, any);
            status = rehearse(h, state, s->slot + at, any, count, error);
        }
    }
    return status;
}

/* Two experts of one. */
static atoll_status divide(atoll_hand *h, atoll_state *state, split *s, uint64_t commit, atoll_error *error)
{
    atoll_status status = count_labels(state, &state->model.expert[s->id[0]], s, error);
    if (status || (status = begin_anew(state, &state->model.expert[s->id[0]], error)) ||
        (status = take_labels(state, s, 0, error)) || (status = take_labels(state, s, 1, error)))
        return status;
    inherit(state, s, commit);
    for (uint32_t i = 0; i < s->count && status == ATOLL_OK; i++)
        if (s->side[i])
            status = atoll_memory_reassign(state->memory, s->slot[i], s->id[1], error);
    if (atoll_model_gate_learns(&state->model))
        state->model.gate.version = commit;
    state->growth.youngest = ATOLL_EXPERT_NONE; /* neither of them is new */
    state->growth.born++;
    state->growth.promoted++;
    return status ? status : rehearse_all(h, state, s, commit, error);
}

atoll_status atoll_splitting_review(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_error *error)
{
    const atoll_config *config = &state->model.config;
    atoll_growth *growth = &state->growth;
    atoll_expert *youngest = &state->model.expert[growth->youngest];
    if (config->growth_off || config->freeze || config->gate == ATOLL_GATE_DOMAIN || !growth->youngest ||
        growth->examined == youngest->born || youngest->state != ATOLL_EXPERT_ACTIVE ||
        youngest->records < ATOLL_SPLITTING_RECORDS)
        return ATOLL_OK;
    growth->examined = youngest->born;
    split s = {.id = {growth->youngest}};
    atoll_parting found;
    atoll_status status = find_parts(&trainer->hand[0], state, youngest, &s, &found, error);
    atoll_error full;
    if (status || !found.parted || atoll_state_add_expert(state, &s.id[1], &full) != ATOLL_OK)
        goto done;
    atoll_log(ATOLL_LOG_INFO, "expert_split", "expert", ATOLL_UINT(s.id[0]), "other", ATOLL_UINT(s.id[1]), "commit",
              ATOLL_UINT(commit), "labels", ATOLL_UINT(found.labels), "meanings", ATOLL_UINT(found.meanings), NULL);
    status = divide(&trainer->hand[0], state, &s, commit, error);
done:
    atoll_arena_free(&trainer->hand[0].arena); /* a step takes much less */
    split_free(&s);
    return status;
}
