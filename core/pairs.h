/*
 * Which numbers of a vector tell of its label, alone or two together: in a table most columns say nothing, and some say
 * something only with another. For each pair of numbers a Pearson statistic tells how much the mean product of their
 * deviations differs from label to label; for a number alone it is that of its square or, if that is more, of itself.
 * A pair is named where the statistic is beyond the tail bound of a chi-squared variable [Laurent, Massart 2000, lemma
 * 1] over all pairs. What three numbers say only together is not seen.
 */
#ifndef ATOLL_CORE_PAIRS_H
#define ATOLL_CORE_PAIRS_H

#include <stdint.h>

#include "core/status.h"

enum {
    ATOLL_PAIRS_DIM = 256,  /* of vectors of more numbers there are too many pairs */
    ATOLL_PAIRS_MOST = 1024 /* that are named */
};

typedef struct atoll_pair {
    uint16_t a, b; /* a < b, or a number alone twice */
    float weight;  /* the root of what the statistic has beyond the bound */
} atoll_pair;

/*
 * Names the pairs of `count` vectors of dim <= ATOLL_PAIRS_DIM numbers, heaviest first: *pairs of them in `out`, which
 * has room for ATOLL_PAIRS_MOST. None where more than half of all pairs tell, for then no numbers are noise. Labels of
 * fewer than 8 vectors say nothing. ATOLL_NO_MEMORY.
 */
atoll_status atoll_pairs_find(const float *vector, const uint32_t *label, uint32_t count, uint32_t dim, atoll_pair *out,
                              uint32_t *pairs, atoll_error *error);

#endif
