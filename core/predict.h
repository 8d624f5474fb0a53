/*
 * Asking: what a model says of one encoded record and its context. Reads only; used by requests on a frozen model and
 * by the learner on the live one, so that what is measured before learning is what would have been answered.
 */
#ifndef ATOLL_CORE_PREDICT_H
#define ATOLL_CORE_PREDICT_H

#include "core/context.h"
#include "core/model.h"
#include "core/standing.h"
#include "core/tokens.h"

#define ATOLL_PREDICT_BELIEVED 0.6f /* answers of less are not believed where they are novel */

/* Room for one thread's answers; grows to the largest model asked. */
typedef struct atoll_workspace {
    atoll_net_scratch net;
    uint32_t labels, experts, hidden;
    float *logits;                /* labels, or experts if more */
    float *voice[ATOLL_VOICES];   /* labels each */
    float *combined;              /* labels */
    float *gate, *vote;           /* experts */
    float *cue[ATOLL_CUES];       /* experts each */
    bool *open;                   /* experts */
    uint32_t *load;               /* ATOLL_LOADS x experts */
    float *h;                     /* hidden */
    atoll_token_scratch token;
    const atoll_standing *standing; /* how the experts of the model stand, where it is known already, or NULL; */
    const atoll_served *rounded;    /* the gate's weights, of a model that is frozen, or NULL */
    void *room;                     /* otherwise its arrays */
    size_t room_bytes;
    const float *given[1 + ATOLL_TOP_K_MAX]; /* hidden layers known already: shared, then by route; NULL where not */
} atoll_workspace;

void atoll_workspace_init(atoll_workspace *workspace);
void atoll_workspace_free(atoll_workspace *workspace);
atoll_status atoll_workspace_fit(atoll_workspace *workspace, const atoll_model *model, atoll_error *error);

/* What the networks read of an encoded record. */
atoll_input atoll_predict_input(const atoll_encoded *encoded);

/* workspace->open[experts]: who may be routed to. */
void atoll_predict_open(const atoll_model *model, atoll_workspace *workspace);

/*
 * Whether a gate has nothing to choose from, for records go to one expert only. Where that is known beforehand, as of a
 * model that is frozen, it is not asked.
 */
bool atoll_predict_gate_is_idle(const atoll_model *model, const atoll_standing *standing);

/*
 * workspace->gate[experts]: the gate's probabilities over active experts and candidates, by lot where the model's gate
 * is random. Leaves ->open, ->vote and, of a learned gate that is not idle, ->cue filled. `voices` is what
 * atoll_predict_others has said. Where tokens are routed, ->token.gate holds the probabilities of each of its
 * ->token.count tokens, and ->gate is the record's own; else ->token.count is 0.
 */
atoll_status atoll_predict_gate(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                const atoll_context *context, const atoll_voices *voices, atoll_error *error);

/* workspace->gate[experts], and its tokens', for a record whose expert is known, after atoll_predict_gate: all is
 * `expert`'s; with 0 it is nobody's. */
void atoll_predict_only(const atoll_model *model, atoll_workspace *workspace, uint32_t expert);

/* p_e over the model's labels, added to `probability` with `scale`. */
atoll_status atoll_predict_expert(const atoll_expert *expert, atoll_workspace *workspace, const atoll_input *input,
                                  float scale, float *probability, atoll_error *error);

/* vote[labels]: the shares that labels have in a context. */
void atoll_predict_votes(const atoll_context *context, uint32_t labels, float *vote);

/* Whether few records have taught a label yet. */
bool atoll_predict_is_young(const atoll_model *model, uint32_t label);

/* Begins *voices with the shared expert's. */
atoll_status atoll_predict_shared(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                  atoll_voices *voices, atoll_error *error);

/*
 * All other voices but the experts', right after the shared expert's of the same record; of an empty context there are
 * no votes.
 */
void atoll_predict_beside(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                          const atoll_context *context, atoll_voices *voices);

/* Both. */
atoll_status atoll_predict_others(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                  const atoll_context *context, atoll_voices *voices, atoll_error *error);

/*
 * Whether answers of this model may do without a search where they are sure: not those that places in a batch, a token,
 * or an embedding from outside decide.
 */
bool atoll_predict_may_skip(const atoll_model *model);

/*
 * What the neighbours say, for an answer that was begun with an empty context: the voice of their votes, in the
 * workspace, and in gate[experts] their cue.
 */
void atoll_predict_hear(const atoll_model *model, atoll_workspace *workspace, const atoll_context *context, float *gate,
                        atoll_voices *voices);

/* The opposite: workspace->gate after atoll_predict_gate as it would be without votes. ->cue forgets them. */
void atoll_predict_unhear(const atoll_model *model, atoll_workspace *workspace);

/* The label of the answer in workspace->combined, made of `voices` on `route` by `gate` without a search, and what
 * core/sureness.h wants to know of it: cue[ATOLL_CHEAP_CUES]. */
uint32_t atoll_predict_cues(const atoll_workspace *workspace, const atoll_input *input, const atoll_voices *voices,
                            const float *gate, const atoll_route *route, float *cue);

/* Whether the shared expert's voice may be an answer by itself: not of vectors, of which it is but a half. */
bool atoll_predict_may_be_alone(const atoll_input *input, const atoll_voices *voices);

/* Its label then, and the cues of that. */
uint32_t atoll_predict_alone(const atoll_input *input, const atoll_voices *voices, float *cue);

/* Whether an answer of these cues stands, by the model's sureness of such; its novelty, foretold. */
bool atoll_predict_suffices(const atoll_model *model, const atoll_sureness *sureness, const float *cue,
                            float *novelty);

/*
 * What sureness counts such an answer's score as: less by as much as the record looks more novel than what is known.
 * Below ATOLL_PREDICT_BELIEVED the whole answer might abstain, and none stands.
 */
float atoll_predict_credit(const float *cue, float novelty);

/*
 * Counts do not unlearn: where a young domain calls its records as others call theirs, they say what its labels meant
 * elsewhere. So they are silent where the first of the route is a candidate or an expert of few records, most of whose
 * labels are others' as well.
 */
void atoll_predict_hush(const atoll_model *model, const atoll_route *route, atoll_voices *voices);

/*
 * The voice of the experts on `route` (of a soft gate, of all), in workspace->voice[ATOLL_VOICE_EXPERTS]; call after
 * atoll_predict_others. A candidate is not trusted: the shared expert answers in its place.
 */
atoll_status atoll_predict_experts(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                   const atoll_route *route, atoll_error *error);

/*
 * How much speaks for a record being of what is known: its familiarity, and half the score of its answer. The novelty
 * that an answer tells is this one's quantile (core/novelty.h): neighbours and networks err on different records. A
 * low score by itself is the usual baseline [Hendrycks, Gimpel 2017].
 */
float atoll_predict_assurance(float familiarity, float score);

/* Whether a record of this novelty may be of nothing that is known. */
bool atoll_predict_is_novel(float novelty);

/* Whether an answer of this score to a record of this novelty should not be believed. */
bool atoll_predict_abstains(float score, float novelty);

#endif
