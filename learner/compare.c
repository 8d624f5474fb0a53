#include "learner/step.h"

#include <string.h>

/* Of new records one in so many: as many as are rehearsed, so that past and present have an equal say. */
enum { COMPARE_EVERY = ATOLL_REHEARSE_EVERY };

bool atoll_step_compares(const atoll_model *model, uint64_t seq)
{
    return seq % COMPARE_EVERY == 0 && atoll_predict_may_skip(model);
}

/* What an answer of this label loses beside the whole one. One that warns, by abstaining, is never worse. */
static int loss_of(const atoll_model *model, const atoll_compared *c, uint32_t label)
{
    uint32_t best = 0;
    for (uint32_t y = 1; y < c->voices->labels; y++)
        best = c->p[y] > c->p[best] ? y : best;
    float assurance = atoll_predict_assurance(c->context->familiarity, c->p[best]);
    bool warns = atoll_predict_abstains(c->p[best], atoll_novelty_of(&model->assured, assurance));
    return (label != c->label) - (!warns && best != c->label);
}

/* From an answer of this label and these cues, and the whole one beside it. */
static void learn(const atoll_model *model, atoll_sureness *sureness, const atoll_compared *compared,
                  const float *cue, uint32_t label)
{
    float novelty;
    atoll_predict_suffices(model, sureness, cue, &novelty);
    float credit = atoll_predict_credit(cue, novelty);
    atoll_sureness_learn(sureness, cue, compared->context->familiarity, credit < ATOLL_PREDICT_BELIEVED ? 0 : credit,
                         loss_of(model, compared, label));
}

atoll_status atoll_step_compare(atoll_trainer *trainer, atoll_state *state, const atoll_compared *compared,
                                atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_hand *hand = &trainer->aside;
    atoll_workspace *workspace = &hand->workspace;
    atoll_voices voices = *compared->voices;
    float cue[ATOLL_CHEAP_CUES];
    atoll_route route;
    atoll_route_counts ignored = {0};
    atoll_gated gated = {compared->unheard, 0};
    if (!voices.labels)
        return ATOLL_OK;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    if (status || (status = atoll_dispatch(model, &gated, 1, ATOLL_OVERFLOW_KEEP, workspace->load, &hand->arena, &route,
                                           &ignored, error)))
        return status;
    /* What the experts' voice is made of besides experts. */
    if (voices.says[ATOLL_VOICE_SHARED])
        memcpy(workspace->voice[ATOLL_VOICE_SHARED], voices.says[ATOLL_VOICE_SHARED], voices.labels * sizeof(float));
    memset(workspace->voice[ATOLL_VOICE_VOTES], 0, model->labels * sizeof(float));
    voices.says[ATOLL_VOICE_VOTES] = NULL;
    if ((status = atoll_step_combine(model, workspace, compared->input, &route, &voices, error)))
        return status;
    uint32_t label = atoll_predict_cues(workspace, compared->input, &voices, compared->unheard, &route, cue);
    learn(model, &model->sureness, compared, cue, label);
    if (atoll_predict_may_be_alone(compared->input, &voices)) {
        label = atoll_predict_alone(compared->input, &voices, cue);
        learn(model, &model->alone, compared, cue, label);
    }
    return ATOLL_OK;
}
