/*
 * Merging: experts whose domains have become one are made one. Two active experts serve one domain if their exemplars
 * can be exchanged for each other, as far as the memory can tell; each exemplar that is asked about is itself left out.
 *
 *     mixture     among the neighbours of an expert's exemplars that either of the two owns, the other has at least
 *                 ATOLL_MERGING_MIXTURE of the share that it would have if both were drawn from one distribution. This
 *                 is the nearest-neighbour test of two samples [Schilling 1986; Henze 1988], with a bound on the effect
 *                 in place of a significance: what grows large enough differs significantly in something.
 *     agreement   the other's neighbours carry the exemplar's own label at least ATOLL_MERGING_AGREEMENT times as often
 *                 as its owner's neighbours do
 *     knowledge   the other's network, which has not learned the exemplars, answers at least ATOLL_MERGING_KNOWLEDGE
 *                 times as many of them as all neighbours do
 *
 * all of them both ways. Domains that call the same things differently fail the second and third, separate ones the
 * first. The expert with fewer records goes into the other: exemplars, counts and shares move, and survivor and gate
 * are rehearsed on what it inherits. Its number becomes free.
 */
#ifndef ATOLL_LEARNER_MERGING_H
#define ATOLL_LEARNER_MERGING_H

#include "learner/learner.h"
#include "learner/state.h"
#include "learner/trainer.h"

#define ATOLL_MERGING_MIXTURE 0.5f
#define ATOLL_MERGING_AGREEMENT 0.8f
#define ATOLL_MERGING_KNOWLEDGE 0.8f

enum {
    ATOLL_MERGING_SAMPLE = 256, /* most exemplars of each expert that are asked about */
    ATOLL_MERGING_LEAST = 32    /* an expert with fewer exemplars is left alone */
};

/* What the exemplars of `from` say about `to`; both ways decide. All are ratios to what one domain would give. */
typedef struct atoll_exchange {
    float mixture, agreement, knowledge;
} atoll_exchange;

/* Whether two active experts serve one domain, and what was found: [0] of a's exemplars about b, [1] of b's about a.
 * ATOLL_NO_MEMORY. */
atoll_status atoll_merging_compare(atoll_trainer *trainer, atoll_state *state, uint32_t a, uint32_t b, bool *one,
                                   atoll_exchange found[2], atoll_error *error);

/* Merges two active experts of one commit. A failure (ATOLL_NO_MEMORY) leaves the state between two commits. */
atoll_status atoll_merging_absorb(atoll_trainer *trainer, atoll_state *state, uint32_t survivor, uint32_t absorbed,
                                  uint64_t commit, atoll_error *error);

/*
 * Merges all that serve one domain: *count entries into `merged`, which has room for model->experts; their id is the
 * absorbed one's. Nothing while the configuration says so, learning is frozen, or records are routed by the domain that
 * they name. Failures as atoll_merging_absorb.
 */
atoll_status atoll_merging_run(atoll_trainer *trainer, atoll_state *state, uint64_t commit, atoll_pruned *merged,
                               uint32_t *count, atoll_error *error);

#endif
