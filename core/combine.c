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

static const float rate = 0.01f, rate_youth = 0.1f, most = 2;

/*
 * What an accumulator keeps at each step, so that weights follow what voices have become: experts mature, and weights
 * that settled while they were young would never give them their due.
 */
static const float kept = 0.99f, least = 0.01f; /* not less than least, for steps after a long calm */

/*
 * Where the analytic half speaks, weights take a tenth of the steps: it does not depend on the order of the stream,
 * while the others shine on the domain of the moment and fade behind it. On split Fashion-MNIST (12,000 records a pair,
 * 2,000 exemplars) full steps leave the mixture .007 below the analytic half.
 */
static const float calm = 0.1f;

/*
 * There they are also drawn to where they would be at home: what is rehearsed is few records of the past (62 of 2,000
 * exemplars), and weights of that many are mostly chance. With order 4 of split Fashion-MNIST they gave the experts
 * .91 where other records of the past give them .85.
 */
static const float home[ATOLL_VOICES] = {0.5f, 0.5f, 0.2f, 0.1f, 0.3f, 0.5f};

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

float atoll_combiner_home(atoll_voice voice)
{
    return home[voice];
}

void atoll_combiner_init(atoll_combiner *combiner)
{
    for (int v = 0; v < ATOLL_VOICES; v++) {
        combiner->weight[v] = initial_weight[v];
        combiner->squares[v] = 1;
    }
}

void atoll_combine(const atoll_combiner *combiner, const atoll_voices *voices, float *p)
{
    bool heard = false;
    memset(p, 0, voices->labels * sizeof *p);
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = voices->says[v];
        heard |= says != NULL;
        for (uint32_t y = 0; says && y < voices->labels; y++)
            p[y] += combiner->weight[v] * logf(says[y] + floor_of[v]);
    }
    if (heard && voices->labels)
        atoll_softmax(p, voices->labels);
}

void atoll_combiner_learn(atoll_combiner *combiner, const atoll_voices *voices, const float *p, uint32_t label,
                          float importance, float youth)
{
    bool analytic = voices->says[ATOLL_VOICE_ANALYTIC] != NULL;
    float pace = analytic ? calm : 1;
    for (int v = 0; v < ATOLL_VOICES; v++) {
        const float *says = voices->says[v];
        float slope = 0;
        if (!says)
            continue;
        for (uint32_t y = 0; y < voices->labels; y++)
            slope += (p[y] - (y == label)) * logf(says[y] + floor_of[v]);
        bool of_youth = v == ATOLL_VOICE_YOUTH;
        if (analytic && !of_youth)
            slope += ATOLL_COMBINER_HOMING * (combiner->weight[v] - home[v]);
        slope *= of_youth ? youth * p[label] : importance;
        combiner->squares[v] = fmaxf(kept * combiner->squares[v], least);
        atoll_adagrad(&combiner->weight[v], &combiner->squares[v], &slope, 1, pace * (of_youth ? rate_youth : rate),
                      1);
        combiner->weight[v] = fminf(fmaxf(combiner->weight[v], 0), most);
    }
}
