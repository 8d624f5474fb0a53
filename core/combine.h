/*
 * The combination of voices: a logarithmic opinion pool [Genest, Zidek 1986]
 *
 *     p(y) ~ prod_v (p_v(y) + floor_v)^a_v
 *
 * whose weights a_v >= 0 are learned on records before they are learned: by online Newton steps on their log loss
 * (core/newton.h), but the youth's weight by gradient steps on the probability of the right label. Old labels win over
 * new ones while those have few records, so youth helps where labels arrive together (prequential .897 -> .905 over
 * CLINC150, its weight rising to 2), and would harm where labels are rare for good: log loss fears the rare label too
 * much to see that (.844 -> .835 on package sections), the probability of the right one does (.845, its weight falling
 * to 0.3).
 */
#ifndef ATOLL_CORE_COMBINE_H
#define ATOLL_CORE_COMBINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/newton.h"

typedef enum atoll_voice {
    ATOLL_VOICE_SHARED,   /* the shared expert's network */
    ATOLL_VOICE_ANALYTIC, /* its analytic half, for vectors */
    ATOLL_VOICE_EXPERTS,  /* the routed experts, weighted by the gate */
    ATOLL_VOICE_VOTES,    /* the neighbours' labels */
    ATOLL_VOICE_COUNTS,   /* the counts of core/counts.h, for text */
    ATOLL_VOICE_YOUTH,    /* odds for labels that few records have taught */
    ATOLL_VOICE_NAMES,    /* odds for such labels whose names say what the record says (core/naming.h) */
    ATOLL_VOICES
} atoll_voice;

/* "shared", "analytic", "experts", "votes", "counts", "youth", "names". */
const char *atoll_voice_name(atoll_voice voice);

/* What each voice says of one record: `labels` probabilities (youth, names: odds), or NULL where it is silent. */
typedef struct atoll_voices {
    uint32_t labels;
    const float *says[ATOLL_VOICES];
} atoll_voices;

typedef struct atoll_combiner {
    float weight[ATOLL_VOICES];
    atoll_newton newton;
    float youth_squares; /* the AdaGrad accumulator of the youth's weight */
} atoll_combiner;

void atoll_combiner_init(atoll_combiner *combiner);

/*
 * p[labels]; all zero where every voice is silent. Voices of next to no weight are not heard, unless none has more, so
 * that a pool that comes to trust one voice answers as that voice does.
 */
void atoll_combine(const atoll_combiner *combiner, const atoll_voices *voices, float *p);

/*
 * One step for a record whose combination by these weights was `p` and whose label is `label`, which counts
 * `importance` times, for the youth's weight `youth` times. Silent voices keep their weights.
 */
void atoll_combiner_learn(atoll_combiner *combiner, const atoll_voices *voices, const float *p, uint32_t label,
                          float importance, float youth);

#endif
