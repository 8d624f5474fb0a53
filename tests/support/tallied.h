/* What a model tells of itself, in numbers that are all different: for tests of who prints them. */
#ifndef ATOLL_TESTS_SUPPORT_TALLIED_H
#define ATOLL_TESTS_SUPPORT_TALLIED_H

#include "learner/learner.h"

/* Sets what a learner that rests has counted; published with its next commit. */
void tallied_set(atoll_learner *learner);

#endif
