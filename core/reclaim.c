#include "core/reclaim.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct retired {
    void *object;
    void (*release)(void *);
    size_t bytes;
    uint64_t born, epoch; /* epochs of its birth, and of when it was retired */
} retired;

/* A reader's place: 0, or the epoch in which it entered. A cache line each, so that readers do not disturb another. */
typedef struct place {
    _Alignas(64) _Atomic uint64_t epoch;
} place;

struct atoll_reclaim {
    place places[ATOLL_RECLAIM_READERS];
    _Atomic uint64_t epoch;
    uint64_t pinned; /* 0, or the epoch whose state is held */
    atoll_slabs *slabs;
    pthread_mutex_t mutex; /* over the list */
    retired *list; /* ascending by epoch */
    size_t count, capacity;
    _Atomic size_t waiting_bytes;
};

atoll_reclaim *atoll_reclaim_new(void)
{
    atoll_reclaim *reclaim = aligned_alloc(64, sizeof *reclaim);
    atoll_slabs *slabs = atoll_slabs_new();
    if (!reclaim || !slabs) {
        atoll_slabs_free(slabs);
        free(reclaim);
        return NULL;
    }
    for (int i = 0; i < ATOLL_RECLAIM_READERS; i++)
        atomic_init(&reclaim->places[i].epoch, 0);
    atomic_init(&reclaim->epoch, 1);
    reclaim->pinned = 0;
    reclaim->slabs = slabs;
    pthread_mutex_init(&reclaim->mutex, NULL);
    reclaim->list = NULL;
    reclaim->count = reclaim->capacity = 0;
    atomic_init(&reclaim->waiting_bytes, 0);
    return reclaim;
}

void atoll_reclaim_free(atoll_reclaim *reclaim)
{
    if (!reclaim)
        return;
    for (size_t i = 0; i < reclaim->count; i++)
        reclaim->list[i].release(reclaim->list[i].object);
    free(reclaim->list);
    atoll_slabs_free(reclaim->slabs);
    pthread_mutex_destroy(&reclaim->mutex);
    free(reclaim);
}

int atoll_reclaim_enter(atoll_reclaim *reclaim)
{
    static _Thread_local int last; /* a thread mostly finds its former place free */
    for (;;) {
        /* An epoch read too early only keeps more alive than need be. The exchange is sequentially consistent, so the
         * writer's scan either sees this place or precedes the reader's load of the published pointer. */
        uint64_t epoch = atomic_load(&reclaim->epoch);
        for (int i = 0; i < ATOLL_RECLAIM_READERS; i++) {
            int ticket = (last + i) % ATOLL_RECLAIM_READERS;
            uint64_t none = 0;
            if (atomic_compare_exchange_strong(&reclaim->places[ticket].epoch, &none, epoch))
                return last = ticket;
        }
        sched_yield();
    }
}

void atoll_reclaim_leave(atoll_reclaim *reclaim, int ticket)
{
    atomic_store_explicit(&reclaim->places[ticket].epoch, 0, memory_order_release);
}

uint64_t atoll_reclaim_epoch(const atoll_reclaim *reclaim)
{
    return atomic_load_explicit(&reclaim->epoch, memory_order_relaxed);
}

void atoll_reclaim_pin(atoll_reclaim *reclaim)
{
    assert(!reclaim->pinned);
    reclaim->pinned = atoll_reclaim_epoch(reclaim);
}

void atoll_reclaim_unpin(atoll_reclaim *reclaim)
{
    reclaim->pinned = 0;
}

atoll_slabs *atoll_reclaim_slabs(const atoll_reclaim *reclaim)
{
    return reclaim->slabs;
}

void atoll_reclaim_retire(atoll_reclaim *reclaim, void *object, uint64_t born, size_t bytes, void (*release)(void *))
{
    pthread_mutex_lock(&reclaim->mutex);
    if (reclaim->count == reclaim->capacity) {
        size_t capacity = reclaim->capacity ? 2 * reclaim->capacity : 256;
        retired *list = realloc(reclaim->list, capacity * sizeof *list);
        if (!list)
            abort();
        reclaim->list = list;
        reclaim->capacity = capacity;
    }
    reclaim->list[reclaim->count++] = (retired){object, release, bytes, born, atoll_reclaim_epoch(reclaim)};
    reclaim->waiting_bytes += bytes;
    pthread_mutex_unlock(&reclaim->mutex);
}

static bool is_pinned(const atoll_reclaim *reclaim, const retired *r)
{
    return reclaim->pinned && r->born <= reclaim->pinned && r->epoch >= reclaim->pinned;
}

void atoll_reclaim_advance(atoll_reclaim *reclaim)
{
    atomic_fetch_add(&reclaim->epoch, 1);
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < ATOLL_RECLAIM_READERS; i++) {
        uint64_t epoch = atomic_load(&reclaim->places[i].epoch);
        if (epoch && epoch < oldest)
            oldest = epoch;
    }
    size_t kept = 0;
    for (size_t i = 0; i < reclaim->count; i++) {
        retired *r = &reclaim->list[i];
        if (r->epoch >= oldest || is_pinned(reclaim, r)) {
            reclaim->list[kept++] = *r;
            continue;
        }
        reclaim->waiting_bytes -= r->bytes;
        r->release(r->object);
    }
    reclaim->count = kept;
}

size_t atoll_reclaim_waiting_bytes(const atoll_reclaim *reclaim)
{
    return atomic_load(&reclaim->waiting_bytes);
}
