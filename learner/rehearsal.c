#include "learner/step.h"

#include <string.h>

/*
 * A rehearsal counts for as many records as come before the next, so that past and present have an equal say, where
 * EQUAL exemplars are held out; with fewer of them less and with more of them more: weights that fit a few of them are
 * mostly chance. Each counts for as much of the past as it stands for. So for the gate's cues. For the voices of texts
 * the say grows with the square of the number, and is equal at EQUAL_VOICES.
 */
enum { EQUAL = 96, EQUAL_VOICES = 200 };

/*
 * Where new records count a tenth, rehearsals count a quarter for the voices: the 62 held out of 2,000 exemplars come
 * eight times each while the curvature remembers, which would be as sure of them as of others every time.
 */
static const float calm = 0.25f;

static float importance_of(const atoll_trainer *trainer, const atoll_sample *sample)
{
    return ATOLL_REHEARSE_EVERY * sample->importance * trainer->held_out / EQUAL;
}

/* The same for voices. */
static float importance_for_voices(const atoll_trainer *trainer, const atoll_sample *sample, bool vectors)
{
    float share = trainer->held_out / EQUAL_VOICES;
    return vectors ? calm * importance_of(trainer, sample) : ATOLL_REHEARSE_EVERY * sample->importance * share * share;
}

/* The cues' weights learn whose the exemplar is; workspace->gate is left without the youth of experts. */
static void weigh_gate(atoll_model *model, atoll_workspace *workspace, const atoll_sample *sample, float importance)
{
    memset(workspace->cue[ATOLL_CUE_YOUTH], 0, model->experts * sizeof **workspace->cue);
    atoll_gate_pool(&model->gate, workspace->cue, workspace->open, model->experts, workspace->gate);
    if (sample->owner != ATOLL_EXPERT_NONE && workspace->open[sample->owner] && atoll_model_gate_learns(model))
        atoll_gate_weigh(&model->gate, workspace->cue, workspace->gate, model->experts, sample->owner, importance);
}

atoll_status atoll_step_rehearse(atoll_hand *h, atoll_trainer *trainer, atoll_state *state, atoll_error *error)
{
    atoll_model *model = &state->model;
    atoll_workspace *workspace = &h->workspace;
    atoll_status status = atoll_workspace_fit(workspace, model, error);
    for (uint32_t i = 0; i < trainer->rehearsals && status == ATOLL_OK; i++) {
        const atoll_sample *sample = trainer->rehearsed[i];
        float importance = importance_of(trainer, sample);
        atoll_voices voices;
        atoll_route route;
        atoll_route_counts ignored = {0};
        atoll_input input = atoll_predict_input(&sample->encoded);
        if ((status = atoll_predict_others(model, workspace, &input, sample->context, &voices, error)) ||
            (status = atoll_predict_gate(model, workspace, &input, sample->context, &voices, error)))
            return status;
        /* The past has no young labels for names to speak for: they would only do harm, and be unlearned. */
        voices.says[ATOLL_VOICE_NAMES] = NULL;
        if (model->config.gate != ATOLL_GATE_RANDOM)
            weigh_gate(model, workspace, sample, importance);
        atoll_gated gated = {workspace->token.count ? workspace->token.gate : workspace->gate, workspace->token.count};
        if ((status = atoll_dispatch(model, &gated, 1, ATOLL_OVERFLOW_KEEP, workspace->load, &h->arena, &route,
                                     &ignored, error)))
            return status;
        /* The past has no young labels, whose odds do only harm there: it is not to outvote the present in that. */
        bool vectors = voices.says[ATOLL_VOICE_ANALYTIC];
        float youth = importance * (vectors ? ATOLL_STEP_CALM : 1);
        atoll_voices asked = voices;
        if ((status = atoll_step_combine(model, workspace, &input, &route, &voices, error)))
            return status;
        if (atoll_predict_may_skip(model)) {
            atoll_predict_unhear(model, workspace);
            atoll_compared compared = {&input, sample->context, &asked, workspace->gate, workspace->combined};
            status = atoll_step_compare(trainer, state, &compared, error);
        }
        if (status == ATOLL_OK)
            atoll_combiner_learn(&model->combiner, &voices, workspace->combined, sample->label,
                                 importance_for_voices(trainer, sample, vectors), youth);
    }
    return status;
}
