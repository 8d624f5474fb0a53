/*
 * A step's work as tasks for two threads (learner/twin.h), or for one where the step is small. Whoever does a part adds
 * its tasks and is told their bits, which later parts come after.
 */
#ifndef ATOLL_LEARNER_PLAN_H
#define ATOLL_LEARNER_PLAN_H

#include <stdatomic.h>

#include "core/arena.h"
#include "core/predict.h"
#include "learner/state.h"
#include "learner/trainer.h"
#include "learner/twin.h"

/* What one of the two threads works with. */
typedef struct atoll_hand {
    atoll_arena arena;
    atoll_text_scratch *text;
    atoll_workspace workspace;
    atoll_term *term; /* ATOLL_FEATURES_MAX */
} atoll_hand;

typedef struct atoll_portion atoll_portion;

/* Fails with an error in `w->error`. */
typedef atoll_status (*atoll_portion_work)(atoll_portion *w);

/* One task: the numbers from..to-1 of what it is for, items or samples. */
struct atoll_portion {
    struct atoll_plan *plan;
    atoll_trainer *trainer; /* as the plan has them */
    atoll_state *state;
    atoll_portion_work work;
    uint32_t from, to;
    atoll_hand *hand; /* of the thread that it runs on */
    atoll_status status;
    atoll_error error;
};

typedef struct atoll_plan {
    atoll_trainer *trainer;
    atoll_state *state;
    uint32_t count; /* records of the step */
    uint64_t commit;
    int64_t time_ms;
    atoll_rng *rng; /* for tasks that come after each other */
    uint32_t tasks;
    atoll_task task[ATOLL_TWIN_TASKS];
    atoll_portion portion[ATOLL_TWIN_TASKS];
    atomic_bool failed;
} atoll_plan;

/* Adds work on from..to-1 that begins once the tasks `after` are done, and tells its bit. */
uint64_t atoll_plan_add(atoll_plan *plan, atoll_portion_work work, uint32_t from, uint32_t to, uint64_t after);

/* Adds work on 0..count-1 in parts of at most `part`; none for a count of 0, which comes to 0. */
uint64_t atoll_plan_spread(atoll_plan *plan, atoll_portion_work work, uint32_t count, uint32_t part, uint64_t after);

/* Does all of it, and fails as the first that failed; what had not begun by then is left undone. */
atoll_status atoll_plan_run(atoll_plan *plan, atoll_error *error);

#endif
