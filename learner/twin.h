/*
 * A twin: a second thread that takes half of a step's work when the other half does not depend on it. One call at a
 * time; what is run must not depend on which half is done first.
 */
#ifndef ATOLL_LEARNER_TWIN_H
#define ATOLL_LEARNER_TWIN_H

typedef struct atoll_twin atoll_twin;

atoll_twin *atoll_twin_new(int niceness); /* NULL where there is no memory or no thread */
void atoll_twin_free(atoll_twin *twin);

/* Runs `theirs` on the twin and `mine` here, and returns when both have returned. */
void atoll_twin_run(atoll_twin *twin, void (*mine)(void *), void *my_arg, void (*theirs)(void *), void *their_arg);

#endif
