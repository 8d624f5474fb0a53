/* How long a model may still work once it is told to end. */
#ifndef ATOLL_LEARNER_PATIENCE_H
#define ATOLL_LEARNER_PATIENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"

/* Any thread may set it. Learning looks at it between steps, a checkpoint between what it hands to the store. */
typedef struct atoll_patience {
    _Atomic int64_t until_ns; /* monotonic; 0 for ever */
} atoll_patience;

static inline void atoll_patience_set(atoll_patience *patience, int64_t for_ms)
{
    atomic_store(&patience->until_ns, atoll_clock_monotonic_ns() + for_ms * 1000000);
}

static inline bool atoll_patience_is_over(const atoll_patience *patience)
{
    int64_t until_ns = atomic_load_explicit(&patience->until_ns, memory_order_relaxed);
    return until_ns && atoll_clock_monotonic_ns() >= until_ns;
}

#endif
