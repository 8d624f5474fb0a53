/*
 * Sureness: whether an answer made without a search is sure enough to stand. Most of a prediction is the search for
 * neighbours, and most answers are no worse without; a model that leaves early where it is confident, by a bound that
 * it has calibrated itself, is known from [Teerapittayanon et al. 2016, BranchyNet; Schuster et al. 2022, CALM]. There
 * are two such exits, each with a bound of its own: what the shared expert alone says of a text, before any other voice
 * is asked, and what all voices say without neighbours. The bound is learned as long as the stream lasts: of every few
 * records, new and held out of replay, which no voice has learned, all answers are made. What an answer loses is 1
 * where it is wrong and the whole answer is right or warns, -1 where the whole answer alone is wrong and does not warn,
 * else 0. Answers are sure from the score on from which those seen refute a mean loss of ATOLL_SURENESS_LOSS by two of
 * its deviations, so that few records prove nothing. The test is that of Wilson's interval [Wilson 1927], the mean that
 * is to be refuted deviates; its variance is what was seen, but no less than losses of that mean must have: it is his
 * where nothing is ever gained. Where less than ATOLL_SURENESS_SHARE of the answers are sure, asking twice costs more
 * than it saves, and none is.
 *
 * What the search would have told of a record's familiarity is foretold for the answers that do without, by least
 * squares from what is known of them; the more novel that looks, the higher they must score.
 */
#ifndef ATOLL_CORE_SURENESS_H
#define ATOLL_CORE_SURENESS_H

#include <stdbool.h>

#define ATOLL_SURENESS_LOSS 0.002
#define ATOLL_SURENESS_SHARE 0.25

/* What is known of an answer without a search; of the shared expert's alone the last two are 0. */
typedef enum atoll_cheap_cue {
    ATOLL_CHEAP_ONE,
    ATOLL_CHEAP_KNOWN,  /* the share of the text's squared weights that networks have rows for */
    ATOLL_CHEAP_SCORE,
    ATOLL_CHEAP_SHARED, /* what the shared expert gives the same label */
    ATOLL_CHEAP_GATE,   /* what the gate gives its first expert */
    ATOLL_CHEAP_CUES
} atoll_cheap_cue;

enum { ATOLL_SURENESS_BINS = 64 }; /* of scores: bin b is from 1 - 2^(-b/4) on */

/* Plain data. */
typedef struct atoll_sureness {
    double seen[ATOLL_SURENESS_BINS]; /* fading, as all sums are */
    double loss[ATOLL_SURENESS_BINS], square[ATOLL_SURENESS_BINS]; /* of those */
    double all;  /* seen in any bin, or none */
    double product[ATOLL_CHEAP_CUES][ATOLL_CHEAP_CUES], target[ATOLL_CHEAP_CUES]; /* fading sums: x x', x familiarity */
    float weight[ATOLL_CHEAP_CUES]; /* of the cues in a familiarity that is foretold */
    float bound; /* sure answers score as much at least; above 1: none is */
} atoll_sureness;

void atoll_sureness_init(atoll_sureness *sureness);

/* What is foretold of the familiarity (core/context.h) of an answer with these cues. */
float atoll_sureness_familiarity(const atoll_sureness *sureness, const float *cue);

/*
 * Learns from one record that was answered both ways; `loss` is -1, 0 or 1. `credit` is what its score counts as, 0
 * where it would not have stood whatever the bound. Call after atoll_sureness_familiarity of the same record.
 */
void atoll_sureness_learn(atoll_sureness *sureness, const float *cue, float familiarity, float credit, int loss);

#endif
