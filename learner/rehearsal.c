#include "learner/step.h"

#include <string.h>

/*
 * A rehearsal counts for as many records as come before the next, so that past and present have an equal say, where so
 * many exemplars are held out; with others by the square of their number, for weights that fit a few of them are mostly
 * chance. For the gate the say is equal later: what it unlearns of the youth of experts, the present pays. Of vectors,
 * where that is not asked, it counts in proportion. Each counts for as much of the past as it stands for.
 */
enum { EQUAL_VOICES = 200, EQUAL_GATE = 300, EQUAL_VECTORS = 96 };

/*
 * Where new records count a tenth, rehearsals count a quarter for the voices: the 62 held out of 2,000 exemplars come
 * eight times each while the curvature remembers, which would be as sure of them as of others every time.
 */
static const float calm = 0.25f;

static float importance_of(const atoll_trainer *trainer, const atoll_sample *sample, bool vectors, float equal)
{
    float share = trainer->held_out / (vectors ? EQUAL_VECTORS : equal);
    return ATOLL_REHEARSE_EVERY * sample->importance * (vectors ? share : share * share);
}

/*
 * The cues' weights learn whose the exemplar is. Exemplars of texts are routed as a request would be, by the youth of
 * experts too, which takes the past's records from their owners: so its weight, and the experts' among the voices,
 * learn what that costs. For vectors workspace->gate is left without.
 */
static void weigh_gate(const atoll_trainer *trainer, atoll_model *model, atoll_workspace *workspace,
                       const atoll_sample *sample, bool vectors)
{
    float importance = importance_of(trainer, sample, vectors, EQUAL_GATE);
    if (vectors) {
        memset(workspace->cue[ATOLL_CUE_YOUTH], 0, model->experts * sizeof **workspace->cue);
        atoll_gate_pool(&model->gate, workspace->cue, workspace->open, model->experts, workspace->gate);
    }
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
        atoll_voices voices;
        atoll_route route;
        atoll_route_counts ignored = {0};
        atoll_input input = atoll_predict_input(&sample->encoded);
        if ((status = atoll_predict_others(model, workspace, &input, sample->context, &voices, error)) ||
            (status = atoll_predict_gate(model, workspace, &input, sample->context, &voices, error)))
            return status;
        /* The past has no young labels for names to speak for: they would only do harm, and be unlearned. */
        voices.says[ATOLL_VOICE_NAMES] = NULL;
        bool vectors = voices.says[ATOLL_VOICE_ANALYTIC];
        float importance = importance_of(trainer, sample, vectors, EQUAL_VOICES);
        if (model->config.gate != ATOLL_GATE_RANDOM)
            weigh_gate(trainer, model, workspace, sample, vectors);
        atoll_gated gated = {workspace->token.count ? workspace->token.gate : workspace->gate, workspace->token.count};
        if ((status = atoll_dispatch(model, &gated, 1, ATOLL_OVERFLOW_KEEP, workspace->load, &h->arena, &route,
                                     &ignored, error)))
            return status;
        /* The past has no young labels, whose odds do only harm there: it is not to outvote the present in that. */
        float youth = importance * (vectors ? ATOLL_STEP_CALM : 1);
        atoll_voices asked = voices;
        if ((status = atoll_step_combine(model, workspace, &input, &route, &voices, error)))
            return status;
        if (atoll_predict_may_skip(model)) {
            atoll_predict_unhear(model, workspace);
            atoll_compared compared = {&input, sample->context, &asked, workspace->gate, workspace->combined,
                                       sample->label};
            status = atoll_step_compare(trainer, state, &compared, error);
        }
        if (status == ATOLL_OK)
            atoll_combiner_learn(&model->combiner, &voices, workspace->combined, sample->label,
                                 importance * (vectors ? calm : 1), youth);
    }
    return status;
}
