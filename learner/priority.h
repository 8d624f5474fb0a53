/* How threads of a model give way to requests. */
#ifndef ATOLL_LEARNER_PRIORITY_H
#define ATOLL_LEARNER_PRIORITY_H

#include <sys/resource.h>
#include <unistd.h>

/*
 * The thread `tid` is nicer than the process's first by so much. Beside a first thread whose own niceness is changed (a
 * server with priority on a busy machine) a fixed niceness would all but stop it. Where the system lets nobody be less
 * nice again (without CAP_SYS_NICE or a RLIMIT_NICE) the thread stays as nice as it is.
 */
static inline void atoll_priority_set(pid_t tid, int by)
{
    setpriority(PRIO_PROCESS, (id_t)tid, getpriority(PRIO_PROCESS, (id_t)getpid()) + by);
}

/* The same of the calling thread. */
static inline void atoll_priority_lower(int by)
{
    atoll_priority_set(gettid(), by);
}

#endif
