/*
 * A twin: a second thread that shares the tasks of a list with the thread that runs it. A task begins once those that
 * it comes after are done; both threads take, in the order of the list, what may begin. Two tasks of which neither
 * comes after the other may run at one time, on either thread: neither may change what the other reads, and what comes
 * out must not depend on which thread does it, nor on which is done first.
 *
 * Weighed and not taken: two halves of each piece of work, and the next piece when both are done. One thread stood
 * still while the other did what cannot be halved.
 */
#ifndef ATOLL_LEARNER_TWIN_H
#define ATOLL_LEARNER_TWIN_H

#include <stdint.h>

typedef struct atoll_twin atoll_twin;

enum { ATOLL_TWIN_TASKS = 64 };

typedef struct atoll_task {
    void (*work)(void *arg, int thread); /* 0 on the thread that runs the list, 1 on the twin */
    void *arg;
    uint64_t after; /* bit i: comes after task i of the list, of a lower number */
} atoll_task;

/* `niceness` is for learner/priority.h. NULL where there is no memory or no thread. */
atoll_twin *atoll_twin_new(int niceness);
void atoll_twin_free(atoll_twin *twin);

/* Returns when all `count` tasks, at most ATOLL_TWIN_TASKS, are done. One list at a time. */
void atoll_twin_run(atoll_twin *twin, const atoll_task *task, uint32_t count);

#endif
