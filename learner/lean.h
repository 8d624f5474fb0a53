/*
 * The lean of a step: by how much each label is likelier among its samples than it is to be in answers, in log odds.
 * Logits that have it added while they are fitted do not learn it (logit adjustment [Menon et al. 2021, eq. 10]).
 *
 * Samples lean for two reasons. A fifth of them are new records, all of the domain of the moment, however small a part
 * of the stream that is. And replays have the shares of a memory that gives every label room, not those of the stream.
 *
 *     lean(y) = ln s(y) / t(y)
 *     s(y) = (new_y + replays held_y / held) / samples        what the step shows
 *     t(y) = 0.95 seen_y / seen + 0.05 new_y / new            what is to be learned
 *
 * held_y: exemplars of y; seen_y: records of the past that these stand for. So a label's prior is its share in what is
 * remembered and not dormant, but for a twentieth, the present's, of which questions are likelier than of any other
 * time. Labels of less than 120 records count as that many, of the past alone, and never lean down: nobody knows yet
 * how rare they are, and the odds of young labels (core/combine.h) speak for the present.
 *
 * For the shared expert. Routed experts need none: what is new to one is of its own domain, as what is old.
 */
#ifndef ATOLL_LEARNER_LEAN_H
#define ATOLL_LEARNER_LEAN_H

#include "core/arena.h"
#include "learner/fit.h"
#include "retrieval/memory.h"

/* lean[labels] for what the shared expert learns from; NULL where memory is short. */
const float *atoll_lean_find(atoll_arena *arena, const atoll_memory *memory, uint32_t labels,
                             atoll_sample *const *samples, uint32_t count);

#endif
