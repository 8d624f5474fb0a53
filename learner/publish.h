/* Publishing: what requests read is replaced as a whole (learner/inside.h tells how). The learner's thread only. */
#ifndef ATOLL_LEARNER_PUBLISH_H
#define ATOLL_LEARNER_PUBLISH_H

#include "learner/inside.h"

/*
 * Publishes the state. What is archived and written by a good checkpoint leaves memory first. After a failure
 * (ATOLL_NO_MEMORY, ATOLL_INTERNAL) nothing may be published or reclaimed any more.
 */
atoll_status atoll_publish(atoll_learner *learner, atoll_error *error);

/* Whether publishing would let go of an archived expert's parameters. */
bool atoll_publish_unloads(const atoll_learner *learner);

/* Where the state is what is published, frees what was replaced. False where some of that is held still, by readers of
 * an older version or by a checkpoint; the next publication sees to it, or the next call. */
bool atoll_publish_let_go(atoll_learner *learner);

void atoll_published_free(void *published);

#endif
