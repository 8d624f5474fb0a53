#include "learner/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/log.h"
#include "learner/state.h"
#include "retrieval/context.h"

/*
 * Records more novel than that lie at the edge of what is known, where new domains come from. With .9 the ten domains
 * of CLINC150 in sequence lose twice as many exemplars to false alarms, and replaced labels are found no better.
 */
static const float most_novel = 0.7f;

/* How often a label is still found where it was replaced, and how far probabilities are believed. */
static const float stale_right = 0.05f, least_p = 0.05f, most_p = 0.9f;

/* How often a concept that has returned is right, and the same for it. */
static const float returned_right = 0.8f, most_returned_p = 0.95f;

/* An exemplar goes only on own evidence of at least this, whatever speaks against others of its label. */
static const float own_least = 0.5f;

/*
 * A concept was replaced, where of CELLS_LEAST cells one exemplar in CELL_PART was refuted lately, and at least
 * CELL_LEAST: in this span of CONCEPT_RECORDS or the one before. Where labels are asked no more, what comes near them
 * refutes exemplars for good, with time half of a cell; but not of two at once. It takes in all that is refuted in its
 * first records; concepts that were replaced hold one DORMANT_PART of the memory.
 */
enum { CELL_PART = 2, CELL_LEAST = 4, CELLS_LEAST = 2, CONCEPT_RECORDS = 1500, DORMANT_PART = 2 };

static const double drift_rate = 1e-2;

enum { EXPERT_BITS = 12, BATCH = 64 };

_Static_assert(ATOLL_EXPERTS_MAX <= 1 << EXPERT_BITS, "a dormant owner tells its expert");

static uint32_t concept_of(uint32_t owner)
{
    return (owner & ~ATOLL_OWNER_DORMANT) >> EXPERT_BITS;
}

static uint32_t expert_of(uint32_t owner)
{
    return owner & ((1u << EXPERT_BITS) - 1);
}

atoll_status atoll_drift_init(atoll_drift *drift, uint32_t slots, atoll_error *error)
{
    *drift = (atoll_drift){.slots = slots};
    drift->slot = calloc(slots, sizeof *drift->slot);
    drift->label = calloc(ATOLL_LABELS_MAX, sizeof *drift->label);
    if (drift->slot && drift->label)
        return ATOLL_OK;
    atoll_drift_free(drift);
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to watch for drift");
}

void atoll_drift_free(atoll_drift *drift)
{
    free(drift->slot);
    free(drift->label);
    free(drift->move);
    *drift = (atoll_drift){0};
}

uint64_t atoll_drift_bytes(const atoll_drift *drift)
{
    return drift->slots * sizeof *drift->slot + drift->labels * sizeof *drift->label +
           drift->room * sizeof *drift->move;
}

void atoll_drift_placed(atoll_drift *drift, uint32_t slot, uint64_t seq)
{
    drift->now.dormant -= drift->slot[slot].dormant;
    drift->slot[slot] = (atoll_drift_slot){.since = seq};
}

/* ---- observe ---- */

static float within(float p, float least, float most)
{
    return fminf(fmaxf(p, least), most);
}

static float said(const atoll_drift_seen *seen, uint32_t label)
{
    return label < seen->labels ? seen->p[label] : 0;
}

/* ln of the likelihood of what was seen if the label is right there with probability `right`, over that with p. */
static float gain(bool right_label, float right, float p)
{
    return right_label ? logf(right / p) : logf((1 - right) / (1 - p));
}

/* Whether the concept that went last takes in what is refuted now. */
static bool follows(const atoll_state *state)
{
    const atoll_drift_state *now = &state->drift.now;
    return now->current && state->model.records - now->concept[now->current].records <= CONCEPT_RECORDS;
}

/* What evidence must reach; less once a concept was replaced, for what else the stream contradicts then is of it. */
static float mark(bool following)
{
    return following ? -logf((float)ATOLL_DRIFT_FOLLOWING) : -logf((float)ATOLL_DRIFT_FALSE_ALARM);
}

/* Whether all that speaks against an exemplar is enough. */
static bool refuted(const atoll_state *state, uint32_t slot, uint32_t label)
{
    const atoll_drift_slot *own = &state->drift.slot[slot];
    const atoll_drift_label *sum = &state->drift.label[label];
    if (own->evidence < own_least || own->dormant)
        return false;
    return own->evidence + (own->since <= sum->start ? sum->evidence : 0) >= mark(follows(state));
}

/* The evidence against a label as a whole: of its old exemplars among the neighbours, by their votes. */
static void weigh_label(atoll_drift *drift, const atoll_drift_seen *seen, uint32_t label)
{
    const atoll_context *context = seen->context;
    atoll_drift_label *sum = &drift->label[label];
    float old = 0;
    drift->labels = label < drift->labels ? drift->labels : label + 1;
    if (sum->evidence <= 0)
        sum->start = seen->seq - 1;
    for (uint32_t i = 0; i < context->count; i++)
        if (context->voter[i].label == label && drift->slot[context->voter[i].slot].since <= sum->start)
            old += context->voter[i].vote;
    float p = within(said(seen, label), least_p, most_p);
    sum->evidence = fmax(0, sum->evidence + old * gain(label == seen->label, stale_right, p));
}

/* Whether a neighbour has the record's own label and is younger than neighbour `than`. */
static bool witnessed(const atoll_drift *drift, const atoll_drift_seen *seen, uint32_t than)
{
    const atoll_context *context = seen->context;
    for (uint32_t i = 0; i < context->count; i++)
        if (context->voter[i].label == seen->label &&
            drift->slot[context->voter[i].slot].since > drift->slot[context->voter[than].slot].since)
            return true;
    return false;
}

static void weigh_exemplars(atoll_state *state, const atoll_drift_seen *seen)
{
    atoll_drift *drift = &state->drift;
    const atoll_context *context = seen->context;
    bool counts[ATOLL_NEIGHBOURS];
    for (uint32_t i = 0; i < context->count; i++) {
        const atoll_voter *voter = &context->voter[i];
        counts[i] = voter->label == seen->label || witnessed(drift, seen, i);
        if (!counts[i])
            continue;
        float others = 0;
        bool first = true;
        for (uint32_t k = 0; k < context->count; k++)
            if (k != i && context->voter[k].label == voter->label) {
                others += context->voter[k].vote;
                first &= k > i || !counts[k];
            }
        others /= fmaxf(1 - voter->vote, 1e-6f);
        float p = within((others + said(seen, voter->label)) / 2, least_p, most_p);
        float nearness = sqrtf(voter->vote / context->voter[0].vote);
        atoll_drift_slot *slot = &drift->slot[voter->slot];
        slot->evidence = fmaxf(0, slot->evidence + nearness * gain(voter->label == seen->label, stale_right, p));
        if (first)
            weigh_label(drift, seen, voter->label);
        bool against = refuted(state, voter->slot, voter->label);
        drift->now.due |= against && !slot->refuted;
        slot->refuted = against ? slot->refuted : 0;
    }
}

/* Evidence that concepts with exemplars among the neighbours have returned, by the part that they are of them. */
static void weigh_concepts(atoll_drift *drift, const atoll_drift_seen *seen)
{
    const atoll_context *context = seen->context;
    const atoll_voter *sleeper = context->voter + ATOLL_NEIGHBOURS - context->sleepers;
    float all = context->count ? 1 : 0;
    for (uint32_t i = 0; i < context->sleepers; i++)
        all += sleeper[i].vote;
    for (uint32_t i = context->sleepers; i-- > 0;) {
        uint32_t concept = concept_of(sleeper[i].owner);
        float part = 0;
        bool nearest = true;
        for (uint32_t k = 0; k < context->sleepers; k++)
            if (concept_of(sleeper[k].owner) == concept) {
                part += sleeper[k].vote;
                nearest &= k <= i;
            }
        if (!nearest)
            continue;
        float p = within(said(seen, sleeper[i].label), least_p, most_returned_p);
        double *evidence = &drift->now.concept[concept].evidence;
        bool right = sleeper[i].label == seen->label;
        float step = gain(right, returned_right, p);
        /* To be wrong less often than the mixture says of itself is no sign of having returned. */
        *evidence = fmax(0, *evidence + part / all * (right ? step : fminf(step, 0)));
    }
}

/* How much more often than said the mixture is wrong where an expert owns most of the neighbourhood, and anywhere. */
static void tally(atoll_model *model, const atoll_drift_seen *seen)
{
    float vote[ATOLL_NEIGHBOURS] = {0};
    uint32_t answer = 0, home = 0;
    for (uint32_t y = 1; y < seen->labels; y++)
        answer = seen->p[y] > seen->p[answer] ? y : answer;
    for (uint32_t i = 0; i < seen->context->count; i++) {
        uint32_t first = 0;
        while (seen->context->voter[first].owner != seen->context->voter[i].owner)
            first++;
        vote[first] += seen->context->voter[i].vote;
        home = vote[first] > vote[home] ? first : home;
    }
    uint32_t owner = seen->context->count ? seen->context->voter[home].owner : ATOLL_EXPERT_NONE;
    double excess = (answer != seen->label) - (1 - (double)seen->p[answer]);
    model->expert[0].drift += drift_rate * (excess - model->expert[0].drift);
    if (owner && owner < model->experts)
        model->expert[owner].drift += drift_rate * (excess - model->expert[owner].drift);
}

void atoll_drift_observe(atoll_state *state, const atoll_drift_seen *seen)
{
    state->drift.now.last = seen->seq;
    if (seen->novelty > most_novel || !seen->labels)
        return;
    tally(&state->model, seen);
    /* Classes of vectors lie so close that new ones look like contradiction: Fashion-MNIST would lose .007. */
    if (seen->context->count && !state->model.encoder.vector_dim)
        weigh_exemplars(state, seen);
    if (seen->context->sleepers)
        weigh_concepts(&state->drift, seen);
}

/* ---- sleep ---- */

static atoll_status drop(atoll_state *state, uint32_t slot, atoll_error *error)
{
    atoll_status status = atoll_memory_drop(state->memory, slot);
    if (status)
        return atoll_fail(error, status, "no memory to empty a slot");
    atoll_drift_placed(&state->drift, slot, 0);
    state->drift.now.dropped++;
    return atoll_index_drop(state->index, slot, error);
}

/* For the counts: `sign` times what the exemplar in a slot stands for, as much as goes with it to another cell. */
static atoll_status note_move(atoll_state *state, uint32_t slot, float sign, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    if (drift->moves == drift->room) {
        uint32_t room = 2 * drift->room + 64;
        atoll_drift_move *move = realloc(drift->move, room * sizeof *move);
        if (!move)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to watch for drift");
        drift->move = move;
        drift->room = room;
    }
    drift->move[drift->moves++] = (atoll_drift_move){atoll_memory_at(&view, slot)->exemplar,
                                                     sign * floorf(atoll_memory_stands_for(state->memory, slot))};
    return ATOLL_OK;
}

static atoll_status put_to_sleep(atoll_state *state, uint32_t slot, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_status status = note_move(state, slot, -1, error);
    if (status)
        return status;
    uint32_t owner = ATOLL_OWNER_DORMANT | drift->now.current << EXPERT_BITS | atoll_memory_at(&view, slot)->owner;
    drift->slot[slot].dormant = 1;
    drift->slot[slot].refuted = 0;
    drift->slot[slot].evidence = 0;
    drift->now.dormant++;
    drift->now.slept++;
    return atoll_memory_reassign(state->memory, slot, owner, error);
}

/* Drops all exemplars of a concept that sleep. */
static atoll_status drop_concept(atoll_state *state, uint32_t concept, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    atoll_status status = ATOLL_OK;
    for (uint32_t slot = 0; slot < drift->slots && status == ATOLL_OK; slot++) {
        atoll_memory_view view = atoll_memory_freeze(state->memory);
        if (drift->slot[slot].dormant && concept_of(atoll_memory_at(&view, slot)->owner) == concept)
            status = drop(state, slot, error);
    }
    return status;
}

static uint32_t after(uint32_t concept)
{
    return concept % (ATOLL_DRIFT_CONCEPTS - 1) + 1;
}

/*
 * Drops the concepts that were replaced first, until the dormant ones hold no more than their part; but never those of
 * the last.
 */
static atoll_status make_room(atoll_state *state, atoll_error *error)
{
    const atoll_drift *drift = &state->drift;
    atoll_status status = ATOLL_OK;
    uint32_t oldest = drift->now.current, others = ATOLL_DRIFT_CONCEPTS - 2;
    for (; others && drift->now.dormant > drift->slots / DORMANT_PART && status == ATOLL_OK; others--) {
        oldest = after(oldest);
        status = drop_concept(state, oldest, error);
    }
    return status;
}

/* A number that was used before is free again: what still sleeps under it, the oldest of all, goes. */
static atoll_status open_concept(atoll_state *state, atoll_error *error)
{
    atoll_drift_state *now = &state->drift.now;
    now->current = after(now->current);
    now->concept[now->current] = (atoll_drift_concept){.opened = now->last, .records = state->model.records};
    now->due = 1; /* for less is enough from now on */
    return drop_concept(state, now->current, error);
}

/* A refuted exemplar, by its cell. */
typedef struct suspect {
    uint32_t owner, label, slot;
} suspect;

static int by_cell(const void *a, const void *b)
{
    const suspect *x = a, *y = b;
    if (x->owner != y->owner)
        return x->owner < y->owner ? -1 : 1;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

/* The number of the span that the stream is in, never 0. */
static uint16_t span_of(const atoll_state *state)
{
    return (uint16_t)(1 + state->model.records / CONCEPT_RECORDS % UINT16_MAX);
}

/* Whether an exemplar was refuted in this span of the stream or the one before. */
static bool lately(const atoll_state *state, uint32_t slot)
{
    return (UINT16_MAX + span_of(state) - state->drift.slot[slot].refuted) % UINT16_MAX <= 1;
}

/*
 * Whether half of an exemplar's cell has gone with the last concept. Then what was there before goes too: what the
 * mixture has learned since, evidence against the rest no longer shows, and what is seldom near a record has none.
 */
static bool is_left_behind(const atoll_state *state, uint32_t slot, const atoll_slot *held)
{
    const atoll_drift_state *now = &state->drift.now;
    const atoll_drift_slot *own = &state->drift.slot[slot];
    uint32_t label = held->exemplar->label, sleeper = ATOLL_OWNER_DORMANT | now->current << EXPERT_BITS | held->owner;
    if (own->dormant || own->since > now->concept[now->current].opened)
        return false;
    uint32_t gone = atoll_memory_cell(state->memory, sleeper, label);
    return gone >= CELL_LEAST && gone * CELL_PART >= gone + atoll_memory_cell(state->memory, held->owner, label);
}

/* The refuted exemplars, and what goes with them, in *list to free(). Those that were not refuted yet are counted. */
static atoll_status find_suspects(atoll_state *state, suspect **list, uint32_t *count, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    uint32_t used = view.slots.count < drift->slots ? view.slots.count : drift->slots;
    bool following = follows(state) && !state->model.encoder.vector_dim; /* of vectors learner/renewal.c told all */
    *count = 0;
    *list = malloc((used + 1) * sizeof **list);
    if (!*list)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to watch for drift");
    for (uint32_t s = 0; s < used; s++) {
        if (!following && drift->slot[s].evidence < own_least)
            continue;
        const atoll_slot *held = atoll_memory_at(&view, s);
        bool against = held->exemplar && refuted(state, s, held->exemplar->label);
        if (!against && !(held->exemplar && following && is_left_behind(state, s, held)))
            continue;
        if (against && !drift->slot[s].refuted) {
            drift->slot[s].refuted = span_of(state);
            drift->now.refuted++;
        }
        (*list)[(*count)++] = (suspect){held->owner, held->exemplar->label, s};
    }
    return ATOLL_OK;
}

/* Whether at once so large a part of several cells was refuted that labels were replaced, and not a border moved. */
static bool replaced(const atoll_state *state, suspect *list, uint32_t count)
{
    uint32_t cells = 0;
    qsort(list, count, sizeof *list, by_cell);
    for (uint32_t i = 0, k; i < count; i = k) {
        uint32_t fresh = 0;
        for (k = i; k < count && list[k].owner == list[i].owner && list[k].label == list[i].label; k++)
            fresh += lately(state, list[k].slot);
        uint32_t held = atoll_memory_cell(state->memory, list[i].owner, list[i].label);
        cells += fresh >= CELL_LEAST && fresh * CELL_PART >= held;
    }
    return cells >= CELLS_LEAST;
}

static void tell_replaced(const atoll_state *state)
{
    atoll_log(ATOLL_LOG_INFO, "concept_replaced", "concept", ATOLL_UINT(state->drift.now.current), "records",
              ATOLL_UINT(state->model.records), NULL);
}

/* Exemplars that the stream refuted go to sleep as a concept, where they are many. */
static atoll_status retire(atoll_state *state, atoll_error *error)
{
    atoll_drift_state *now = &state->drift.now;
    suspect *list;
    uint32_t count;
    bool young = follows(state);
    if (!now->due)
        return ATOLL_OK;
    now->due = 0;
    atoll_status status = find_suspects(state, &list, &count, error);
    if (status == ATOLL_OK && !young && replaced(state, list, count)) {
        status = open_concept(state, error);
        now->replaced++;
        young = true;
        tell_replaced(state);
    }
    now->due = young && count; /* what is left behind by these is found next */
    for (uint32_t i = 0; i < count && young && status == ATOLL_OK; i++)
        status = put_to_sleep(state, list[i].slot, error);
    free(list);
    return status ? status : make_room(state, error);
}

atoll_status atoll_drift_replace(atoll_state *state, const uint32_t *slot, uint32_t count, atoll_error *error)
{
    uint64_t dropped = state->drift.now.dropped;
    atoll_status status = open_concept(state, error);
    state->drift.now.replaced++;
    state->drift.now.refuted += count;
    tell_replaced(state);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        status = put_to_sleep(state, slot[i], error);
    if (status || (status = make_room(state, error)))
        return status;
    return dropped == state->drift.now.dropped ? ATOLL_OK : atoll_index_flush(state->index, error);
}

/* ---- wake ---- */

/* The expert itself, or the one with the largest share where it answers no more. */
static uint32_t home(const atoll_model *model, uint32_t expert)
{
    uint32_t heir = ATOLL_EXPERT_NONE;
    if (expert < model->experts && (model->expert[expert].state == ATOLL_EXPERT_ACTIVE ||
                                    model->expert[expert].state == ATOLL_EXPERT_CANDIDATE))
        return expert;
    for (uint32_t e = 1; e < model->experts; e++)
        if (model->expert[e].state == ATOLL_EXPERT_ACTIVE &&
            (!heir || model->expert[e].share > model->expert[heir].share))
            heir = e;
    return heir;
}

static bool awake(const atoll_drift *drift, uint32_t slot)
{
    return drift->slot[slot].since == drift->now.last + 1;
}

/* Those of a batch of exemplars whose woken neighbours mostly have other labels. */
static atoll_status contradicted(atoll_state *state, const uint32_t *slot, uint32_t count, bool *out,
                                 atoll_error *error)
{
    uint32_t dim = state->model.encoder.embedding_dim;
    float *queries = malloc((size_t)count * dim * sizeof *queries);
    atoll_neighbours *found = malloc(count * sizeof *found);
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_status status = ATOLL_NO_MEMORY;
    if (!queries || !found) {
        atoll_fail(error, status, "no memory to wake a concept");
        goto done;
    }
    for (uint32_t i = 0; i < count; i++)
        atoll_half_to_float(atoll_memory_at(&view, slot[i])->exemplar->embedding, queries + (size_t)i * dim, dim);
    atoll_index_search_live(state->index, queries, count, found);
    status = ATOLL_OK;
    for (uint32_t i = 0; i < count; i++) {
        atoll_context context;
        float with = 0, against = 0;
        atoll_context_fill(&view, &found[i], slot[i], &context);
        for (uint32_t v = 0; v < context.count; v++)
            if (awake(&state->drift, context.voter[v].slot))
                *(context.voter[v].label == atoll_memory_at(&view, slot[i])->exemplar->label ? &with : &against) +=
                    context.voter[v].vote;
        out[i] = against > with;
    }
done:
    free(queries);
    free(found);
    return status;
}

/* What came after the concept had gone, and contradicts it, goes. */
static atoll_status displace(atoll_state *state, uint64_t opened, atoll_error *error)
{
    const atoll_drift *drift = &state->drift;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    atoll_status status = ATOLL_OK;
    uint32_t used = view.slots.count, count = 0, gone = 0, *slot = malloc((used + 1) * sizeof *slot);
    bool *out = malloc((used + 1) * sizeof *out);
    for (uint32_t s = 0; s < used && slot && out; s++)
        if (atoll_memory_at(&view, s)->exemplar && !drift->slot[s].dormant && !awake(drift, s) &&
            drift->slot[s].since > opened)
            slot[count++] = s;
    if (!slot || !out)
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory to wake a concept");
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i += BATCH)
        status = contradicted(state, slot + i, count - i < BATCH ? count - i : BATCH, out + i, error);
    status = status ? status : open_concept(state, error);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++)
        if (out[i] && ++gone)
            status = put_to_sleep(state, slot[i], error);
    free(slot);
    free(out);
    return status;
}

static atoll_status wake(atoll_state *state, uint32_t concept, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    uint64_t opened = drift->now.concept[concept].opened;
    uint32_t woken = 0;
    drift->now.concept[concept].evidence = 0;
    for (uint32_t s = 0; s < drift->slots; s++) {
        if (!drift->slot[s].dormant)
            continue;
        atoll_memory_view view = atoll_memory_freeze(state->memory);
        uint32_t owner = atoll_memory_at(&view, s)->owner;
        if (concept_of(owner) != concept)
            continue;
        atoll_status status = note_move(state, s, 1, error);
        if (status ||
            (status = atoll_memory_reassign(state->memory, s, home(&state->model, expert_of(owner)), error)))
            return status;
        drift->slot[s] = (atoll_drift_slot){.since = drift->now.last + 1};
        woken++;
    }
    if (!woken)
        return ATOLL_OK;
    drift->now.dormant -= woken;
    drift->now.woken += woken;
    drift->now.returned++;
    atoll_log(ATOLL_LOG_INFO, "concept_returned", "concept", ATOLL_UINT(concept), "exemplars", ATOLL_UINT(woken),
              "records", ATOLL_UINT(state->model.records), NULL);
    return displace(state, opened, error);
}

atoll_status atoll_drift_settle(atoll_state *state, atoll_error *error)
{
    uint64_t dropped = state->drift.now.dropped;
    atoll_status status = retire(state, error);
    for (uint32_t c = 1; c < ATOLL_DRIFT_CONCEPTS && status == ATOLL_OK; c++)
        if (state->drift.now.concept[c].evidence >= mark(false))
            status = wake(state, c, error);
    return status || dropped == state->drift.now.dropped ? status : atoll_index_flush(state->index, error);
}

/* ---- saving ---- */

atoll_status atoll_drift_save(const atoll_drift *drift, uint32_t slots, uint32_t labels, void **blob, size_t *bytes,
                              atoll_error *error)
{
    size_t a = sizeof drift->now, b = slots * sizeof *drift->slot, c = labels * sizeof *drift->label;
    unsigned char *out = malloc(a + b + c);
    *blob = out;
    *bytes = a + b + c;
    if (!out)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to save what is known of drift");
    memcpy(out, &drift->now, a);
    memcpy(out + a, drift->slot, b);
    memcpy(out + a + b, drift->label, c);
    return ATOLL_OK;
}

atoll_status atoll_drift_load(atoll_drift *drift, const void *blob, size_t bytes, uint32_t slots, uint32_t labels,
                              atoll_error *error)
{
    const unsigned char *in = blob;
    size_t a = sizeof drift->now, b = slots * sizeof *drift->slot, c = labels * sizeof *drift->label;
    if (slots > drift->slots || labels > ATOLL_LABELS_MAX || bytes != a + b + c)
        return atoll_fail(error, ATOLL_DAMAGED, "what is known of drift has %zu bytes", bytes);
    memcpy(&drift->now, in, a);
    memcpy(drift->slot, in + a, b);
    memcpy(drift->label, in + a + b, c);
    drift->labels = labels;
    if (drift->now.current >= ATOLL_DRIFT_CONCEPTS)
        return atoll_fail(error, ATOLL_DAMAGED, "there is no concept %u", drift->now.current);
    return ATOLL_OK;
}
