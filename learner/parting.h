/*
 * Parting: finds the two domains of an expert that were mixed from their first record on, so that no change of the
 * stream told them apart.
 *
 * What is parted are meanings: a label's exemplars, or one half of them where labels mean two things. Halves of a label
 * are those of spherical 2-means over embeddings. A label means two things if they are no more alike than a quarter of
 * the pairs of halves of other labels with them are; labels do so on the whole, or not at all: where half of them do,
 * two domains use the same names.
 *
 * Meanings are alike as far as they share terms that few meanings have: s_cd = cos(g_c, g_d),
 * g_ct = ln(1 + exemplars of c that hold t) ln((C + 1) / (meanings that hold t twice + 1)). They are parted in two by
 * the most modularity, sum over c, d of one side of s_cd - s_c s_d / s [Newman 2006], with the two meanings of a label
 * on different sides: one-by-one exchange from many starts.
 *
 * By this alone any domain could be parted, for domains have parts as two domains have. So it is asked for only where
 * there are more meanings than an expert has room for, and the parts hold only if they can be routed to: at least
 * ATOLL_PARTING_ROUTABLE of the exemplars must be nearest to a meaning of their side, of meanings that are taken from
 * the other half of the exemplars. Where labels mean two things less will do, for whole experts are worse at those.
 */
#ifndef ATOLL_LEARNER_PARTING_H
#define ATOLL_LEARNER_PARTING_H

#include "learner/fit.h"

/* As many records as a gate has to bring to the right expert. */
#define ATOLL_PARTING_ROUTABLE 0.95f
#define ATOLL_PARTING_ROUTABLE_TWOFOLD 0.9f

enum {
    ATOLL_PARTING_SAMPLES = 2048, /* most exemplars that are parted */
    ATOLL_PARTING_MEANINGS = 256  /* most meanings that they may have: what has more is left whole */
};

typedef struct atoll_parting {
    uint32_t labels, meanings; /* the latter twice the former where labels mean two things; else equal */
    float routable;            /* share of exemplars that were routed to their side; 0 where none was looked for */
    bool parted;
} atoll_parting;

/*
 * Parts encoded samples of text that have more than `room` meanings: side[i] of each of `count`. Deterministic.
 * ATOLL_NO_MEMORY.
 */
atoll_status atoll_parting_find(const atoll_sample *const *sample, uint32_t count, uint32_t embedding_dim,
                                uint32_t room, bool *side, atoll_parting *found, atoll_error *error);

#endif
