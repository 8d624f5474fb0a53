#include "core/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/group.h"
#include "core/hash.h"
#include "core/kernels.h"
#include "core/rng.h"

/* The votes' part in the experts' voice: they speak for labels that the routed experts do not know. */
static const float votes_among_experts = 0.1f;

/* Records after which a label is no longer young: half of it costs .002 of CLINC150's prequential, twice gains none. */
static const float grown_up = 120;

/*
 * A name speaks for as much as so many records of its label, and e to the so manieth for a record that is its name.
 */
static const float name_records = 12, name_odds = 8;

/* So many exemplars more are counted for each expert: the first of a new one do not outvote everybody. */
static const float few_exemplars = 10;

/* Records of an expert below which the counts are silent, where its labels are others' as well. */
enum { YOUNG_EXPERT = 1000 };

void atoll_workspace_init(atoll_workspace *workspace)
{
    *workspace = (atoll_workspace){0};
    atoll_net_scratch_init(&workspace->net);
}

static void drop_buffers(atoll_workspace *w)
{
    free(w->logits);
    for (int v = 0; v < ATOLL_VOICES; v++)
        free(w->voice[v]);
    free(w->combined);
    free(w->gate);
    for (int i = 0; i < ATOLL_CUES; i++)
        free(w->cue[i]);
    free(w->vote);
    free(w->open);
    free(w->load);
    free(w->h);
}

void atoll_workspace_free(atoll_workspace *workspace)
{
    drop_buffers(workspace);
    free(workspace->room);
    atoll_net_scratch_free(&workspace->net);
    atoll_token_scratch_free(&workspace->token);
    atoll_workspace_init(workspace);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

atoll_status atoll_workspace_fit(atoll_workspace *workspace, const atoll_model *model, atoll_error *error)
{
    atoll_workspace *w = workspace;
    uint32_t hidden = larger(model->config.dense_hidden, 1);
    if (w->labels >= model->labels && w->experts >= model->experts && w->hidden >= hidden)
        return ATOLL_OK;
    drop_buffers(w);
    /* Some room ahead, so that a model that is growing does not bring every request here. */
    w->labels = larger(w->labels, model->labels + model->labels / 4 + 16);
    w->experts = larger(w->experts, model->experts + model->experts / 4 + 8);
    w->hidden = larger(w->hidden, hidden);
    w->logits = calloc(larger(w->labels, w->experts), sizeof *w->logits);
    bool whole = w->logits;
    for (int v = 0; v < ATOLL_VOICES; v++)
        whole &= (w->voice[v] = calloc(w->labels, sizeof **w->voice)) != NULL;
    w->combined = calloc(w->labels, sizeof *w->combined);
    w->gate = calloc(w->experts, sizeof *w->gate);
    for (int i = 0; i < ATOLL_CUES; i++)
        whole &= (w->cue[i] = calloc(w->experts, sizeof **w->cue)) != NULL;
    w->vote = calloc(w->experts, sizeof *w->vote);
    w->open = calloc(w->experts, sizeof *w->open);
    w->load = calloc((size_t)ATOLL_LOADS * w->experts, sizeof *w->load);
    w->h = calloc(w->hidden, sizeof *w->h);
    if (whole && w->combined && w->gate && w->vote && w->open && w->load && w->h)
        return ATOLL_OK;
    w->labels = w->experts = w->hidden = 0;
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to answer with");
}

atoll_input atoll_predict_input(const atoll_encoded *encoded)
{
    return (atoll_input){.bucket = encoded->bucket,
                         .weight = encoded->weight,
                         .features = encoded->known,
                         .common = encoded->common,
                         .rest = encoded->features - encoded->known,
                         .dense = encoded->has_dense ? encoded->dense : NULL,
                         .linear = encoded->embedding,
                         .z = encoded->z,
                         .score = encoded->score,
                         .scores = encoded->scores,
                         .token = encoded->token,
                         .words = encoded->words,
                         .vectors = encoded->token ? encoded->vectors : 0,
                         .each = encoded->each};
}

void atoll_predict_open(const atoll_model *model, atoll_workspace *workspace)
{
    for (uint32_t e = 0; e < model->experts; e++)
        workspace->open[e] = model->expert[e].state == ATOLL_EXPERT_ACTIVE ||
                             model->expert[e].state == ATOLL_EXPERT_CANDIDATE;
}

/* Rows that no scores stand behind. */
static void clear_divisors(atoll_workspace *workspace, uint32_t experts)
{
    uint32_t tokens = workspace->token.count;
    if (tokens)
        memset(workspace->token.gate + (size_t)tokens * experts, 0, tokens * sizeof *workspace->token.gate);
}

/* What an expert gets follows from the record's embedding, or a token's place in it, and its own number: as long as its
 * terms weigh the same, a record is routed alike. */
static void draw_gate(const atoll_model *model, const bool *open, const atoll_input *input, uint32_t token, float *gate)
{
    size_t bytes = model->encoder.embedding_dim * sizeof *input->linear;
    float sum = 0;
    atoll_rng rng;
    atoll_rng_seed(&rng, model->config.seed, atoll_hash64(input->linear, bytes, token));
    for (uint32_t e = 0; e < model->experts; e++) {
        float drawn = 1 - atoll_rng_uniform(&rng);
        sum += gate[e] = open[e] ? drawn : 0;
    }
    for (uint32_t e = 0; e < model->experts && sum > 0; e++)
        gate[e] /= sum;
}

/* How the model's experts stand: given with a frozen one, found anew for one that learns. */
static atoll_status standing_of(const atoll_model *model, atoll_workspace *workspace, atoll_standing *out,
                                atoll_error *error)
{
    if (workspace->standing) {
        *out = *workspace->standing;
        return ATOLL_OK;
    }
    size_t bytes = atoll_standing_bytes(model);
    if (bytes >= workspace->room_bytes) {
        free(workspace->room);
        workspace->room_bytes = 2 * bytes + 1;
        workspace->room = malloc(workspace->room_bytes);
    }
    if (!workspace->room) {
        workspace->room_bytes = 0;
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to route with");
    }
    atoll_standing_fill(model, workspace->room, out);
    return ATOLL_OK;
}

/* ln(x + floor) of cues that are 0 or more, for all experts. */
static void log_above(float floor, float *x, uint32_t count)
{
    if (count > ATOLL_GATE_FLOATS_MAX) {
        atoll_log_long(x, floor, count);
        return;
    }
    float none = logf(floor);
    for (uint32_t i = 0; i < count; i++)
        x[i] = x[i] > 0 ? logf(x[i] + floor) : none;
}

/*
 * The share of the votes for each expert if all had as many exemplars: the density of its exemplars about the record.
 * So a new domain is found by few exemplars among many of others.
 */
static void weigh_votes(const atoll_model *model, const atoll_standing *standing, const float *vote, float *share)
{
    uint32_t experts = model->experts;
    float sum = 0;
    for (uint32_t e = 0; e < experts; e++) {
        share[e] = 0;
        if (vote[e] > 0) {
            float exemplars = standing ? standing->exemplars[e] : (float)model->expert[e].exemplars;
            sum += share[e] = vote[e] / (exemplars + few_exemplars);
        }
    }
    for (uint32_t e = 0; e < experts && sum > 0; e++)
        share[e] /= sum;
}

/* Every cue but the network's. The labels' is ln(0.01 + sum_y p(y) P(e | y)). */
static void gather_cues(const atoll_model *model, const atoll_standing *standing, const atoll_workspace *workspace,
                        const float *p, float *const *cue)
{
    uint32_t experts = standing->experts;
    memset(cue[ATOLL_CUE_NETWORK], 0, experts * sizeof **cue);
    memset(cue[ATOLL_CUE_LABELS], 0, experts * sizeof **cue);
    weigh_votes(model, standing, workspace->vote, cue[ATOLL_CUE_VOTES]);
    memcpy(cue[ATOLL_CUE_YOUTH], standing->youth, experts * sizeof **cue);
    for (uint32_t e = 0, i = 0; p && e < experts; e++) {
        float sum = 0;
        for (; i < standing->owned[e]; i++)
            sum += p[standing->ownership[i].label] * standing->ownership[i].share;
        cue[ATOLL_CUE_LABELS][e] = sum;
    }
    log_above(ATOLL_GATE_VOTE_FLOOR, cue[ATOLL_CUE_VOTES], experts);
    log_above(ATOLL_GATE_LABEL_FLOOR, cue[ATOLL_CUE_LABELS], experts);
}

/*
 * The network's cue of a record. Where tokens are routed token.gate is filled, from a cue of each: the others are the
 * same for all of them.
 */
static atoll_status ask_network(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                uint32_t known, atoll_error *error)
{
    const atoll_gate *gate = &model->gate;
    atoll_token_scratch *token = &workspace->token;
    float *network = workspace->cue[ATOLL_CUE_NETWORK], *cue[ATOLL_CUES];
    uint32_t experts = model->experts, tokens = token->count;
    atoll_input common = *input;
    common.features = input->common;
    if (!tokens)
        return atoll_gate_score(gate, workspace->rounded, &workspace->net, &common, network, error);
    float *logit = token->gate; /* a token's row is read before it is overwritten by its probabilities */
    atoll_status status = atoll_tokens_score(gate, &workspace->net, token, &common, logit, experts, error);
    if (status)
        return status;
    memcpy(network, token->row, known * sizeof *network); /* of the record by itself, as they left it */
    memcpy(cue, workspace->cue, sizeof cue);
    cue[ATOLL_CUE_NETWORK] = token->row;
    for (uint32_t t = 0; t < tokens; t++, logit += experts) {
        memcpy(token->row, logit, experts * sizeof *logit);
        memset(logit, 0, experts * sizeof *logit);
        token->gate[(size_t)tokens * experts + t] = atoll_gate_pool(gate, cue, workspace->open, known, logit);
    }
    return ATOLL_OK;
}

/* Room for the tokens of a record. */
static atoll_status fit_tokens(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                               atoll_error *error)
{
    uint32_t experts = model->experts > model->gate.net.outputs ? model->experts : model->gate.net.outputs;
    bool tokens = model->config.granularity == ATOLL_GRANULARITY_TOKEN;
    workspace->token.count = tokens ? atoll_tokens_count(input) : 0;
    return tokens ? atoll_token_scratch_fit(&workspace->token, workspace->token.count, experts, error) : ATOLL_OK;
}

bool atoll_predict_gate_is_idle(const atoll_model *model, const atoll_standing *standing)
{
    return standing && standing->only && standing->only < model->gate.net.outputs &&
           model->config.granularity == ATOLL_GRANULARITY_RECORD && model->config.gate != ATOLL_GATE_RANDOM;
}

atoll_status atoll_predict_gate(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                const atoll_context *context, const atoll_voices *voices, atoll_error *error)
{
    uint32_t experts = model->experts, known = experts < model->gate.net.outputs ? experts : model->gate.net.outputs;
    float *const *cue = workspace->cue;
    atoll_standing standing;
    atoll_status status = fit_tokens(model, workspace, input, error);
    if (status == ATOLL_OK)
        status = standing_of(model, workspace, &standing, error);
    if (status)
        return status;
    memset(workspace->gate, 0, experts * sizeof *workspace->gate);
    memcpy(workspace->open, standing.open, experts * sizeof *workspace->open);
    atoll_gate_votes(context, experts, workspace->vote);
    if (model->config.gate == ATOLL_GATE_RANDOM) {
        draw_gate(model, workspace->open, input, 0, workspace->gate);
        for (uint32_t t = 0; t < workspace->token.count; t++)
            draw_gate(model, workspace->open, input, t, workspace->token.gate + (size_t)t * experts);
        clear_divisors(workspace, experts);
        return ATOLL_OK;
    }
    if (atoll_predict_gate_is_idle(model, workspace->standing)) {
        workspace->gate[standing.only] = 1;
        return ATOLL_OK;
    }
    gather_cues(model, &standing, workspace, voices->says[ATOLL_VOICE_SHARED], cue);
    if ((status = ask_network(model, workspace, input, known, error)) == ATOLL_OK)
        atoll_gate_pool(&model->gate, cue, workspace->open, known, workspace->gate);
    return status;
}

void atoll_predict_only(const atoll_model *model, atoll_workspace *workspace, uint32_t expert)
{
    memset(workspace->gate, 0, model->experts * sizeof *workspace->gate);
    if (expert)
        workspace->gate[expert] = 1;
    for (uint32_t t = 0; t < workspace->token.count; t++)
        memcpy(workspace->token.gate + (size_t)t * model->experts, workspace->gate,
               model->experts * sizeof *workspace->gate);
    clear_divisors(workspace, model->experts);
}

/* workspace->h: the hidden layer of the record's vectors, each read by reads[i], or by 1 where that is NULL. */
static atoll_status read_hidden(const atoll_expert *expert, atoll_workspace *workspace, const atoll_input *input,
                                const float *reads, atoll_error *error)
{
    const atoll_net *net = &expert->net;
    atoll_group_task task = {net, input->dense, input->vectors ? input->vectors : 1, reads, workspace->h};
    if (!atoll_expert_rounded(expert))
        return atoll_group_one(&workspace->net, &task, error);
    return atoll_served_hidden(net, &expert->served, &workspace->net, task.v, task.vectors, reads, task.h, error);
}

/*
 * `reads` is by how much each vector of the record is read, or NULL; `h` the hidden layer where it is known already, or
 * NULL.
 */
static atoll_status predict_with(const atoll_expert *expert, atoll_workspace *workspace, const atoll_input *input,
                                 const float *reads, const float *h, float scale, float *probability,
                                 atoll_error *error)
{
    if (!h && input->dense && expert->net.dense_dim) {
        atoll_status status = read_hidden(expert, workspace, input, reads, error);
        if (status)
            return status;
        h = workspace->h;
    }
    return atoll_expert_predict(expert, &workspace->net, input, h, scale, workspace->logits, probability, error);
}

atoll_status atoll_predict_expert(const atoll_expert *expert, atoll_workspace *workspace, const atoll_input *input,
                                  float scale, float *probability, atoll_error *error)
{
    return predict_with(expert, workspace, input, NULL, NULL, scale, probability, error);
}

/* One expert's part in the experts' voice; `reads` is by how much it reads each token, or NULL. */
static atoll_status add_expert(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                               const atoll_expert *expert, const float *reads, const float *h, float weight,
                               atoll_error *error)
{
    float *voice = workspace->voice[ATOLL_VOICE_EXPERTS];
    atoll_input read = *input;
    atoll_status status = ATOLL_OK;
    if (expert->state != ATOLL_EXPERT_ACTIVE) {
        atoll_axpy(voice, workspace->voice[ATOLL_VOICE_SHARED], weight, model->labels);
        return ATOLL_OK;
    }
    if (reads)
        status = atoll_tokens_read(&workspace->token, model->projection, input, reads, &read, error);
    const float *of_vectors = reads ? reads + input->words : NULL;
    return status ? status : predict_with(expert, workspace, &read, of_vectors, h, weight, voice, error);
}

atoll_status atoll_predict_experts(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                   const atoll_route *route, atoll_error *error)
{
    float *voice = workspace->voice[ATOLL_VOICE_EXPERTS];
    uint32_t tokens = route->reads ? atoll_tokens_count(input) : 0, count = route->all ? model->experts : route->count;
    atoll_status status = ATOLL_OK;
    memset(voice, 0, model->labels * sizeof *voice);
    for (uint32_t i = 0; i < count && status == ATOLL_OK; i++) {
        uint32_t e = route->all ? i : route->expert[i];
        float weight = (1 - votes_among_experts) * (route->all ? route->all[e] : route->weight[i]);
        const float *reads = route->reads ? route->reads + (size_t)i * tokens : NULL;
        if (weight > 0)
            status = add_expert(model, workspace, input, &model->expert[e], reads,
                                route->all ? NULL : workspace->given[1 + i], weight, error);
    }
    atoll_axpy(voice, workspace->voice[ATOLL_VOICE_VOTES], votes_among_experts, model->labels);
    return status;
}

/* Whether most of what the expert has learned are records of labels that it has learned most records of. */
static bool calls_its_own(const atoll_model *model, const atoll_expert *expert)
{
    const atoll_expert *shared = &model->expert[0];
    uint64_t own = 0, all = 0;
    for (uint32_t i = 0; i < expert->labels.count; i++) {
        const atoll_expert_label *known = atoll_expert_label_at(expert, i);
        all += known->records;
        if (known->label < shared->labels.count &&
            2 * known->records > atoll_expert_label_at(shared, known->label)->records)
            own += known->records;
    }
    return 2 * own > all;
}

void atoll_predict_hush(const atoll_model *model, const atoll_route *route, atoll_voices *voices)
{
    const atoll_expert *first = &model->expert[route->count ? route->expert[0] : 0];
    bool young = first->state != ATOLL_EXPERT_ACTIVE || first->records < YOUNG_EXPERT;
    if (route->count && young && !calls_its_own(model, first))
        voices->says[ATOLL_VOICE_COUNTS] = NULL;
}

void atoll_predict_votes(const atoll_context *context, uint32_t labels, float *vote)
{
    memset(vote, 0, labels * sizeof *vote);
    for (uint32_t i = 0; i < context->count; i++)
        if (context->voter[i].label < labels)
            vote[context->voter[i].label] += context->voter[i].vote;
}

static float records_of(const atoll_expert *shared, uint32_t label)
{
    return label < shared->labels.count ? (float)atoll_expert_label_at(shared, label)->records : 0;
}

bool atoll_predict_is_young(const atoll_model *model, uint32_t label)
{
    return records_of(&model->expert[0], label) < grown_up;
}

/*
 * Odds that fall with the records that have taught a label, but no slower than the mean of all labels that came after
 * it: a label that stays rare while others grow up is not young.
 */
static void label_youth(const atoll_model *model, float *odds)
{
    const atoll_expert *shared = &model->expert[0];
    float since = 0;
    for (uint32_t y = model->labels; y-- > 0;) {
        float records = records_of(shared, y);
        since += records;
        float age = fmaxf(records, since / (float)(model->labels - y));
        odds[y] = fmaxf(grown_up / (age + 1), 1);
    }
}

/* Odds for labels whose names are like the record; false where they are 1 for all. */
static bool label_names(const atoll_model *model, const atoll_input *input, float *odds)
{
    const atoll_expert *shared = &model->expert[0];
    uint32_t features = input->features + input->rest;
    if (!atoll_naming_hear(&model->naming, input->bucket, input->weight, features, odds, model->labels))
        return false;
    for (uint32_t y = 0; y < model->labels; y++) {
        float records = records_of(shared, y);
        odds[y] = odds[y] > 0 ? expf(name_odds * odds[y] * name_records / (name_records + records)) : 1;
    }
    return true;
}

atoll_status atoll_predict_shared(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                  atoll_voices *voices, atoll_error *error)
{
    float *shared = workspace->voice[ATOLL_VOICE_SHARED];
    *voices = (atoll_voices){.labels = model->labels};
    memset(shared, 0, model->labels * sizeof *shared);
    if (model->expert[0].net.outputs)
        voices->says[ATOLL_VOICE_SHARED] = shared;
    return predict_with(&model->expert[0], workspace, input, NULL, workspace->given[0], 1, shared, error);
}

void atoll_predict_beside(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                          const atoll_context *context, atoll_voices *voices)
{
    float *analytic = workspace->voice[ATOLL_VOICE_ANALYTIC];
    atoll_predict_votes(context, model->labels, workspace->voice[ATOLL_VOICE_VOTES]);
    if (context->count)
        voices->says[ATOLL_VOICE_VOTES] = workspace->voice[ATOLL_VOICE_VOTES];
    if (voices->says[ATOLL_VOICE_SHARED]) {
        voices->says[ATOLL_VOICE_YOUTH] = workspace->voice[ATOLL_VOICE_YOUTH];
        label_youth(model, workspace->voice[ATOLL_VOICE_YOUTH]);
        if (label_names(model, input, workspace->voice[ATOLL_VOICE_NAMES]))
            voices->says[ATOLL_VOICE_NAMES] = workspace->voice[ATOLL_VOICE_NAMES];
        if (input->features && model->counts.labels) {
            atoll_counted counted = {workspace->net.row, input->weight, input->features, input->bucket, input->rest};
            voices->says[ATOLL_VOICE_COUNTS] = workspace->voice[ATOLL_VOICE_COUNTS];
            atoll_counts_predict(&model->counts, &counted, workspace->voice[ATOLL_VOICE_COUNTS], model->labels);
        }
    }
    if (input->score) {
        uint32_t known = input->scores < model->labels ? input->scores : model->labels;
        memset(analytic, 0, model->labels * sizeof *analytic);
        atoll_axpy(analytic, input->score, ATOLL_RIDGE_SHARPNESS, known);
        atoll_softmax(analytic, known);
        voices->says[ATOLL_VOICE_ANALYTIC] = analytic;
    }
}

atoll_status atoll_predict_others(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                  const atoll_context *context, atoll_voices *voices, atoll_error *error)
{
    atoll_status status = atoll_predict_shared(model, workspace, input, voices, error);
    if (status == ATOLL_OK)
        atoll_predict_beside(model, workspace, input, context, voices);
    return status;
}

float atoll_predict_assurance(float familiarity, float score)
{
    return familiarity + 0.5f * score;
}

/* Records of more look novel. */
static const float novel = 0.8f;

bool atoll_predict_is_novel(float novelty)
{
    return novelty > novel;
}

bool atoll_predict_abstains(float score, float novelty)
{
    return score < ATOLL_PREDICT_BELIEVED && atoll_predict_is_novel(novelty);
}

/* ---- with and without a search ---- */

bool atoll_predict_may_skip(const atoll_model *model)
{
    const atoll_config *config = &model->config;
    return !config->search_always && config->neighbours && config->gate == ATOLL_GATE_TOPK &&
           config->granularity == ATOLL_GRANULARITY_RECORD && config->overflow == ATOLL_OVERFLOW_KEEP &&
           !model->encoder.outside;
}

void atoll_predict_hear(const atoll_model *model, atoll_workspace *workspace, const atoll_context *context, float *gate,
                        atoll_voices *voices)
{
    float *cue = workspace->cue[ATOLL_CUE_VOTES];
    atoll_predict_votes(context, voices->labels, workspace->voice[ATOLL_VOICE_VOTES]);
    voices->says[ATOLL_VOICE_VOTES] = context->count ? workspace->voice[ATOLL_VOICE_VOTES] : NULL;
    atoll_gate_votes(context, model->experts, workspace->vote);
    weigh_votes(model, workspace->standing, workspace->vote, cue);
    log_above(ATOLL_GATE_VOTE_FLOOR, cue, model->experts);
    atoll_gate_hear(&model->gate, ATOLL_CUE_VOTES, cue, model->experts, gate);
}

void atoll_predict_unhear(const atoll_model *model, atoll_workspace *workspace)
{
    uint32_t experts = model->experts, known = experts < model->gate.net.outputs ? experts : model->gate.net.outputs;
    memset(workspace->cue[ATOLL_CUE_VOTES], 0, experts * sizeof **workspace->cue);
    atoll_gate_pool(&model->gate, workspace->cue, workspace->open, known, workspace->gate);
}

static uint32_t most_probable(const float *p, uint32_t labels)
{
    uint32_t best = 0;
    for (uint32_t y = 1; y < labels; y++)
        best = p[y] > p[best] ? y : best;
    return best;
}

uint32_t atoll_predict_cues(const atoll_workspace *workspace, const atoll_input *input, const atoll_voices *voices,
                            const float *gate, const atoll_route *route, float *cue)
{
    const float *p = workspace->combined, *shared = voices->says[ATOLL_VOICE_SHARED];
    uint32_t best = most_probable(p, voices->labels);
    cue[ATOLL_CHEAP_ONE] = 1;
    cue[ATOLL_CHEAP_KNOWN] = atoll_dot(input->weight, input->weight, input->features);
    cue[ATOLL_CHEAP_SCORE] = voices->labels ? p[best] : 0;
    cue[ATOLL_CHEAP_SHARED] = shared && voices->labels ? shared[best] : 0;
    cue[ATOLL_CHEAP_GATE] = route->count ? gate[route->expert[0]] : 0;
    return best;
}

bool atoll_predict_may_be_alone(const atoll_input *input, const atoll_voices *voices)
{
    return voices->says[ATOLL_VOICE_SHARED] && !input->dense;
}

uint32_t atoll_predict_alone(const atoll_input *input, const atoll_voices *voices, float *cue)
{
    const float *p = voices->says[ATOLL_VOICE_SHARED];
    uint32_t best = most_probable(p, voices->labels);
    memset(cue, 0, ATOLL_CHEAP_CUES * sizeof *cue);
    cue[ATOLL_CHEAP_ONE] = 1;
    cue[ATOLL_CHEAP_KNOWN] = atoll_dot(input->weight, input->weight, input->features);
    cue[ATOLL_CHEAP_SCORE] = p[best];
    return best;
}

float atoll_predict_credit(const float *cue, float novelty)
{
    return cue[ATOLL_CHEAP_SCORE] - fmaxf(novelty - novel, 0);
}

bool atoll_predict_suffices(const atoll_model *model, const atoll_sureness *sureness, const float *cue, float *novelty)
{
    float familiarity = atoll_sureness_familiarity(sureness, cue);
    *novelty = atoll_novelty_of(&model->assured, atoll_predict_assurance(familiarity, cue[ATOLL_CHEAP_SCORE]));
    return atoll_predict_credit(cue, *novelty) >= fmaxf(sureness->bound, ATOLL_PREDICT_BELIEVED);
}
