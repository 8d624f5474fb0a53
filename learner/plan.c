#include "learner/plan.h"

#include <assert.h>

#include "learner/step.h"

/*
 * Steps of fewer records are left to the thread that runs them. They come where little is sent, so speed is not wanted,
 * and on a busy machine each hand over may wait for the other thread's turn.
 */
enum { SHARED_LEAST = ATOLL_STEP_RECORDS / 2 };

static void begin(void *arg, int thread)
{
    atoll_portion *w = arg;
    if (atomic_load(&w->plan->failed))
        return;
    w->hand = &w->trainer->hand[thread];
    w->status = w->work(w);
    if (w->status)
        atomic_store(&w->plan->failed, true);
}

uint64_t atoll_plan_add(atoll_plan *plan, atoll_portion_work work, uint32_t from, uint32_t to, uint64_t after)
{
    assert(plan->tasks < ATOLL_TWIN_TASKS);
    uint32_t i = plan->tasks++;
    plan->portion[i] = (atoll_portion){
        .plan = plan, .trainer = plan->trainer, .state = plan->state, .work = work, .from = from, .to = to};
    plan->task[i] = (atoll_task){begin, &plan->portion[i], after};
    return UINT64_C(1) << i;
}

uint64_t atoll_plan_spread(atoll_plan *plan, atoll_portion_work work, uint32_t count, uint32_t part, uint64_t after)
{
    uint64_t bits = 0;
    for (uint32_t at = 0; at < count; at += part)
        bits |= atoll_plan_add(plan, work, at, count - at < part ? count : at + part, after);
    return bits;
}

atoll_status atoll_plan_run(atoll_plan *plan, atoll_error *error)
{
    if (plan->count >= SHARED_LEAST)
        atoll_twin_run(plan->trainer->twin, plan->task, plan->tasks);
    else
        for (uint32_t i = 0; i < plan->tasks; i++)
            begin(plan->task[i].arg, 0);
    for (uint32_t i = 0; i < plan->tasks; i++)
        if (plan->portion[i].status) {
            if (error)
                *error = plan->portion[i].error;
            return plan->portion[i].status;
        }
    return ATOLL_OK;
}
