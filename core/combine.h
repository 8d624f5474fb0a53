/*
 * The combination of voices: a logarithmic opinion pool [Genest, Zidek 1986]
 *
 *     p(y) ~ prod_v (p_v(y) + floor_v)^a_v
 *
 * whose weights a_v >= 0 are learned by gradient steps on the log loss of records before they are learned.
 */
#ifndef ATOLL_CORE_COMBINE_H
#define ATOLL_CORE_COMBINE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum atoll_voice {
    ATOLL_VOICE_SHARED,   /* the shared expert's network */
    ATOLL_VOICE_ANALYTIC, /* its analytic half, for vectors */
    ATOLL_VOICE_EXPERTS,  /* the routed experts, weighted by the gate */
    ATOLL_VOICE_VOTES,    /* the neighbours' labels */
    ATOLL_VOICES
} atoll_voice;

/* What each voice says of one record: probabilities of `labels` labels, or NULL where it is silent. */
typedef struct atoll_voices {
    uint32_t labels;
    const float *says[ATOLL_VOICES];
} atoll_voices;

typedef struct atoll_combiner {
    float weight[ATOLL_VOICES], squares[ATOLL_VOICES]; /* a_v and its AdaGrad accumulator */
} atoll_combiner;

void atoll_combiner_init(atoll_combiner *combiner);

/* p[labels]; all zero where every voice is silent. */
void atoll_combine(const atoll_combiner *combiner, const atoll_voices *voices, float *p);

/* One step for a record whose combination was `p` and whose label is `label`. Silent voices keep their weights. */
void atoll_combiner_learn(atoll_combiner *combiner, const atoll_voices *voices, const float *p, uint32_t label);

#endif
