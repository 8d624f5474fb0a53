#include "api/watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"

struct atoll_watch {
    pthread_mutex_t lock; /* guards the list and `stopping` */
    pthread_cond_t wake;
    atoll_peer peers; /* head of the list */
    int64_t step_ns;
    bool stopping;
    pthread_t thread;
};

static void look(atoll_watch *watch)
{
    int64_t now_ns = atoll_clock_monotonic_ns();
    for (atoll_peer *p = watch->peers.next; p != &watch->peers; p = p->next) {
        int64_t deadline_ns = atomic_load(&p->deadline_ns);
        /* Who reads the socket sees the end of the stream, closes it and takes the peer out. */
        if (deadline_ns < now_ns && atomic_compare_exchange_strong(&p->deadline_ns, &deadline_ns, INT64_MAX)) {
            shutdown(p->socket, SHUT_RDWR);
            atoll_log(ATOLL_LOG_INFO, "connection_cut_off", NULL);
        }
    }
}

static void *watch_main(void *arg)
{
    atoll_watch *watch = arg;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        int64_t until_ns = atoll_clock_monotonic_ns() + watch->step_ns;
        struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
        pthread_cond_timedwait(&watch->wake, &watch->lock, &until);
        look(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

atoll_status atoll_watch_start(int64_t step_ms, atoll_watch **out, atoll_error *error)
{
    pthread_condattr_t monotonic;
    atoll_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the watch");
    watch->step_ns = step_ms * 1000000;
    watch->peers.next = watch->peers.previous = &watch->peers;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&watch->thread, NULL, watch_main, watch)) {
        pthread_mutex_destroy(&watch->lock);
        pthread_cond_destroy(&watch->wake);
        free(watch);
        return atoll_fail(error, ATOLL_IO, "cannot start the watch");
    }
    *out = watch;
    return ATOLL_OK;
}

atoll_peer *atoll_watch_join(atoll_watch *watch, int socket, int64_t deadline_ns)
{
    atoll_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->socket = socket;
    atomic_init(&peer->deadline_ns, deadline_ns);
    pthread_mutex_lock(&watch->lock);
    peer->previous = &watch->peers;
    peer->next = watch->peers.next;
    peer->next->previous = peer->previous->next = peer;
    pthread_mutex_unlock(&watch->lock);
    return peer;
}

void atoll_watch_leave(atoll_watch *watch, atoll_peer *peer)
{
    pthread_mutex_lock(&watch->lock);
    peer->previous->next = peer->next;
    peer->next->previous = peer->previous;
    pthread_mutex_unlock(&watch->lock);
    free(peer);
}

void atoll_watch_stop(atoll_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_mutex_destroy(&watch->lock);
    pthread_cond_destroy(&watch->wake);
    free(watch);
}
