#include "learner/twin.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct atoll_twin {
    pthread_t thread;
    int niceness;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*work)(void *); /* NULL while there is none */
    void *arg;
    bool leaving;
};

static void *serve(void *arg)
{
    atoll_twin *twin = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), twin->niceness);
    pthread_mutex_lock(&twin->mutex);
    while (!twin->leaving) {
        if (!twin->work) {
            pthread_cond_wait(&twin->changed, &twin->mutex);
            continue;
        }
        pthread_mutex_unlock(&twin->mutex);
        twin->work(twin->arg);
        pthread_mutex_lock(&twin->mutex);
        twin->work = NULL;
        pthread_cond_broadcast(&twin->changed);
    }
    pthread_mutex_unlock(&twin->mutex);
    return NULL;
}

atoll_twin *atoll_twin_new(int niceness)
{
    atoll_twin *twin = calloc(1, sizeof *twin);
    if (!twin)
        return NULL;
    twin->niceness = niceness;
    pthread_mutex_init(&twin->mutex, NULL);
    pthread_cond_init(&twin->changed, NULL);
    if (pthread_create(&twin->thread, NULL, serve, twin) == 0)
        return twin;
    pthread_cond_destroy(&twin->changed);
    pthread_mutex_destroy(&twin->mutex);
    free(twin);
    return NULL;
}

void atoll_twin_free(atoll_twin *twin)
{
    if (!twin)
        return;
    pthread_mutex_lock(&twin->mutex);
    twin->leaving = true;
    pthread_cond_broadcast(&twin->changed);
    pthread_mutex_unlock(&twin->mutex);
    pthread_join(twin->thread, NULL);
    pthread_cond_destroy(&twin->changed);
    pthread_mutex_destroy(&twin->mutex);
    free(twin);
}

void atoll_twin_run(atoll_twin *twin, void (*mine)(void *), void *my_arg, void (*theirs)(void *), void *their_arg)
{
    pthread_mutex_lock(&twin->mutex);
    twin->work = theirs;
    twin->arg = their_arg;
    pthread_cond_broadcast(&twin->changed);
    pthread_mutex_unlock(&twin->mutex);
    mine(my_arg);
    pthread_mutex_lock(&twin->mutex);
    while (twin->work)
        pthread_cond_wait(&twin->changed, &twin->mutex);
    pthread_mutex_unlock(&twin->mutex);
}
