#include "core/combine.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"

/*
 * What a voice gives to a label that it does not know. Small enough for a sure voice to decide, large enough that a
 * gate in error does not forbid the right label.
 */
static const float floor_of[ATOLL_VOICES] = {1e-4f, 1e-4f, 1e-3f, 2e-2f, 1e-4f, 1e-4f, 1e-4f};

static const float initial_weight[ATOLL_VOICES] = {0.5f, 0.8f, 0.5f, 0.1f, 0.3f, 0.5f, 1};

static const float most = 3, rate_youth = 0.1f;

/*
 * Where weights are expected, and how strongly: dozens of held-out records say little about seven weights. More
 * strongly where the analytic half speaks: it does not depend on the order of the stream, while the others shine on the
 * domain of the moment and fade behind it. An order of split Fashion-MNIST ends at .867 with 200 and at .861 with 100,
 * texts whose domains agree end at .877 with 200 and at .887 with 20. 5 and 50 measure as 20 does. Where it is silent
 * the shared expert has to earn its weight, for experts say most of what it says: CLINC150 gains .001 to .003.
 */
static const float home_with_analytic[ATOLL_VOICES] = {0.5f, 0.5f, 0.2f, 0.1f, 0.3f, 0.5f, 1};
static const float home_without[ATOLL_VOICES] = {0, 0, 0.5f, 0.1f, 0.3f, 0.5f, 1};
static const float precision = 20, calm = 200;

/*
 * Answers do not hear voices of less weight: so little is mostly chance, and where one voice knows all that there is
 * to know, it turns more answers wrong than right. .06 to .12 measure alike, on vectors from .09 on votes go missing.
 */
static const float unheard = 0.08f;

/*
 * What the youth's accumulator keeps at each step, so that its weight follows the stream; it is not less than `least`,
 * for steps after a long calm.
 */
static const float kept = 0.99f, least = 0.01f;

const char *atoll_voice_name(atoll_voice voice)
{
    static const char *const name[ATOLL_VOICES] = {[ATOLL_VOICE_SHARED] = "shared",
                                                   [ATOLL_VOICE_ANALYTIC] = "analytic",
                                                   [ATOLL_VOICE_EXPERTS] = "experts",
                                                   [ATOLL_VOICE_VOTES] = "votes",
                                                   [ATOLL_VOICE_COUNTS] = "counts",
                                                   [ATOLL_VOICE_YOUTH] = "youth",
                                                   [ATOLL_VOICE_NAMES] = "names"};
    return name[voice];
}

void atoll_combiner_init(atoll_combiner *combiner)
{
    *combiner = (atoll_combiner){.youth_squares = 1};
    memcpy(combiner->weight, initial_weight, sizeof initial_weight);
}

/* The weight from which on voices are heard; 0 where none that speaks has as much as `unheard`. */
static float heard_from(const atoll_combiner *combiner, const atoll_voices *voices)
{
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (voices->says[v] && combiner->weight[v] >= unheard)
            return unheard;
    return 0;
}

void atoll_combine(const atoll_combiner *combiner, const atoll_voices *voices, float *p)
{
    bool heard = false;
    float from = heard_from(combiner, voices);
    memset(p, 0, voices->labels * sizeof *p);
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = combiner->weight[v] >= from ? voices->says[v] : NULL;
        heard |= says != NULL;
        for (uint32_t y = 0; says && y < voices->labels; y++)
            p[y] += combiner->weight[v] * logf(says[y] + floor_of[v]);
    }
    if (heard && voices->labels)
        atoll_softmax(p, voices->labels);
}

enum { BLOCK = 64 };

/* Scores of `count` labels from `first` on; silenced[] gets what voices of less weight than `from` would add. */
static void score_block(const atoll_combiner *combiner, const atoll_voices *voices, float from, uint32_t first,
                        uint32_t count, float score[ATOLL_VOICES][BLOCK], float *silenced)
{
    memset(silenced, 0, count * sizeof *silenced);
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = voices->says[v];
        for (uint32_t y = 0; says && y < count; y++)
            score[v][y] = logf(says[first + y] + floor_of[v]);
        for (uint32_t y = 0; says && combiner->weight[v] < from && y < count; y++)
            silenced[y] += combiner->weight[v] * score[v][y];
    }
}

/*
 * The slopes are those of all voices, heard or not: p is made theirs. A weight that learned as if it were not heard
 * would go to and fro where it begins to be.
 */
void atoll_combiner_learn(atoll_combiner *combiner, const atoll_voices *voices, const float *p, uint32_t label,
                          float importance, float youth)
{
    float score[ATOLL_VOICES][BLOCK], all[BLOCK], right[ATOLL_VOICES] = {0}, of_label = 0, total = 0;
    float from = heard_from(combiner, voices);
    const float *scores[ATOLL_VOICES];
    atoll_moments moments = {0};
    for (int v = 0; v < ATOLL_VOICES; v++)
        scores[v] = voices->says[v] ? score[v] : NULL;
    for (uint32_t first = 0; first < voices->labels; first += BLOCK) {
        uint32_t n = voices->labels - first < BLOCK ? voices->labels - first : BLOCK;
        score_block(combiner, voices, from, first, n, score, all);
        for (uint32_t y = 0; y < n; y++)
            total += all[y] = p[first + y] * expf(all[y]);
        atoll_moments_add(&moments, all, scores, ATOLL_VOICES, n);
        if (label - first >= n)
            continue;
        of_label = all[label - first];
        for (int v = 0; v < ATOLL_VOICES; v++)
            right[v] = scores[v] ? score[v][label - first] : 0;
    }
    if (total <= 0)
        return;
    atoll_moments_divide(&moments, total);
    float excess = (float)(moments.mean[ATOLL_VOICE_YOUTH] - right[ATOLL_VOICE_YOUTH]);
    float slope = youth * of_label / total * excess;
    atoll_moments_drop(&moments, ATOLL_VOICE_YOUTH);
    bool analytic = voices->says[ATOLL_VOICE_ANALYTIC];
    atoll_newton_prior prior = {analytic ? home_with_analytic : home_without, analytic ? calm : precision};
    atoll_newton_step(&combiner->newton, &moments, right, &prior, importance, combiner->weight, ATOLL_VOICES, most);
    if (!voices->says[ATOLL_VOICE_YOUTH])
        return;
    float *of_youth = &combiner->weight[ATOLL_VOICE_YOUTH];
    combiner->youth_squares = fmaxf(kept * combiner->youth_squares, least);
    atoll_adagrad(of_youth, &combiner->youth_squares, &slope, 1, rate_youth, 1);
    *of_youth = fminf(fmaxf(*of_youth, 0), most);
}
