/*
 * What a model holds in memory, part by part: everything that grows with what it learns, and what waits to be freed or
 * written. `budget_bytes` bounds what lasts of it, and learning waits for the disk while the sum is over that. Blocks
 * are counted as asked for; malloc's own share (some bytes a block) and what it keeps for later are not.
 */
#ifndef ATOLL_LEARNER_FOOTPRINT_H
#define ATOLL_LEARNER_FOOTPRINT_H

#include <stdint.h>

typedef struct atoll_footprint {
    uint64_t experts;  /* all networks: weights, optimiser state, tables of rows, labels */
    uint64_t gate;
    uint64_t encoder;  /* document frequencies, scale of vectors */
    uint64_t analytic; /* random features, sums and solution of the analytic half */
    uint64_t memory;   /* exemplars, slots, cells */
    uint64_t index;    /* both instances, codes, vectors */
    uint64_t tables;   /* names of labels and domains, what is kept for each, and what a version is beside its parts */
    uint64_t learning; /* scratch of the threads that learn, also what the next analytic solution will take, and what */
                       /* arrays have grown by since the last version */
    uint64_t retired;  /* replaced, but perhaps still read by a request or a checkpoint; spare room for pages */
    uint64_t writing;  /* waits for the disk: submissions, a checkpoint under way, and what is kept for the next */
} atoll_footprint;

/*
 * What the model is, without what only learning, readers or the disk need for a while. A checkpoint holds the same, but
 * for room ahead, the index's second instance, and the solution and features that follow from the sums.
 */
static inline uint64_t atoll_footprint_state(const atoll_footprint *f)
{
    return f->experts + f->gate + f->encoder + f->analytic + f->memory + f->index + f->tables;
}

/* What stays when readers and the disk have done: over the budget of this, a model takes no more. */
static inline uint64_t atoll_footprint_lasting(const atoll_footprint *f)
{
    return atoll_footprint_state(f) + f->learning;
}

static inline uint64_t atoll_footprint_sum(const atoll_footprint *f)
{
    return atoll_footprint_lasting(f) + f->retired + f->writing;
}

#endif
