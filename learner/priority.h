/* How threads of a model give way to requests. */
#ifndef ATOLL_LEARNER_PRIORITY_H
#define ATOLL_LEARNER_PRIORITY_H

#include <sys/resource.h>
#include <unistd.h>

/* The calling thread is nicer than the process's first by so much. Beside a first thread whose own niceness is changed
 * (a server with priority on a busy machine) a fixed niceness would all but stop it. */
static inline void atoll_priority_lower(int by)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, (id_t)getpid()) + by);
}

#endif
