/* Calls that wait for a version, and what governing entries led to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "learner/inside.h"

/* Who has waited so long for an embedding server that is down is told so; or embedding.timeout, where that is less. */
enum { STALLED_MS = 10000 };

/* The outcome of a commit, if one is kept; under the mutex. */
static atoll_outcome *outcome_of(atoll_learner *learner, uint64_t commit)
{
    for (int i = 0; i < ATOLL_OUTCOMES; i++)
        if (learner->outcomes[i].commit == commit)
            return &learner->outcomes[i];
    return NULL;
}

static void tell(atoll_learner *learner, const atoll_waiter *w, atoll_status status, const char *why)
{
    atoll_error error = {.status = status};
    snprintf(error.detail, sizeof error.detail, "%s", why);
    if (w->ingest_done) {
        w->ingest_done(w->arg, status, &w->ingested, &error);
        return;
    }
    pthread_mutex_lock(&learner->mutex);
    atoll_outcome *kept = status == ATOLL_OK && w->ordered ? outcome_of(learner, w->version) : NULL;
    atoll_outcome outcome = kept ? *kept : (atoll_outcome){.error = error};
    if (kept)
        kept->pruned = NULL;
    pthread_mutex_unlock(&learner->mutex);
    if (w->prune_done)
        w->prune_done(w->arg, outcome.error.status, outcome.pruned, outcome.count, w->version, &outcome.error);
    else
        w->wait_done(w->arg, outcome.error.status, &outcome.error);
    free(outcome.pruned);
}

uint64_t atoll_learner_version(atoll_learner *learner)
{
    int ticket;
    uint64_t version = atoll_learner_enter(learner, &ticket)->model->version;
    atoll_learner_leave(learner, ticket);
    return version;
}

int64_t atoll_learner_stalled_ns(atoll_learner *learner, char why[ATOLL_ERROR_DETAIL_BYTES])
{
    why[0] = 0;
    return learner->embedder ? atoll_embedder_down_ns(learner->embedder, why) : 0;
}

atoll_status atoll_learner_over(const atoll_learner *learner, atoll_error *error)
{
    if (atomic_load(&learner->removed))
        return atoll_fail(error, ATOLL_UNKNOWN_MODEL, "the model is being removed");
    if (atomic_load(&learner->failed))
        return atoll_fail(error, ATOLL_INTERNAL, "learning has stopped; see the model's stats");
    if (atomic_load(&learner->stopping))
        return atoll_fail(error, ATOLL_SHUTTING_DOWN, "the model is being closed");
    return ATOLL_OK;
}

/* Whom the end of the model has reached before its version. */
static void tell_over(atoll_learner *learner, const atoll_waiter *w)
{
    atoll_error why;
    atoll_status status = atoll_learner_over(learner, &why);
    tell(learner, w, status, why.detail);
}

/* Whom neither its version nor the end of the model has reached. */
static void tell_late(atoll_learner *learner, const atoll_waiter *w, bool stalled, const char *why)
{
    char text[ATOLL_ERROR_DETAIL_BYTES];
    snprintf(text, sizeof text, "%slearning waits for the embedding server: %.160s",
             w->ingest_done || w->ordered ? "what was sent is on disk; " : "", why);
    if (stalled)
        tell(learner, w, ATOLL_EMBEDDING_DOWN, text);
    else
        tell(learner, w, ATOLL_TIMEOUT, *why ? text : "the version was not reached in time");
}

void atoll_waiters_serve(atoll_learner *learner, uint64_t version, bool all)
{
    char why[ATOLL_ERROR_DETAIL_BYTES];
    int64_t now = atoll_clock_monotonic_ns(), patience = 0, stalled = atoll_learner_stalled_ns(learner, why);
    if (stalled) {
        int64_t timeout_ms = atoll_learner_config(learner).embedding_timeout_ms;
        patience = (timeout_ms < STALLED_MS ? timeout_ms : STALLED_MS) * 1000000;
    } else {
        why[0] = 0;
    }
    atoll_waiter *ready = NULL;
    pthread_mutex_lock(&learner->mutex);
    for (atoll_waiter **place = &learner->waiters; *place;) {
        atoll_waiter *w = *place;
        bool given_up = stalled > patience && now - w->since_ns > patience;
        if (w->version <= version || w->deadline_ns <= now || given_up || all) {
            *place = w->next;
            w->next = ready;
            ready = w;
        } else {
            place = &w->next;
        }
    }
    pthread_mutex_unlock(&learner->mutex);
    while (ready) {
        atoll_waiter *w = ready;
        ready = w->next;
        if (w->version <= version)
            tell(learner, w, ATOLL_OK, "");
        else if (all)
            tell_over(learner, w);
        else
            tell_late(learner, w, w->deadline_ns > now, why);
        free(w);
    }
}

atoll_status atoll_learner_enlist(atoll_learner *learner, const atoll_waiter *waiter, atoll_error *error)
{
    atoll_waiter *w = malloc(sizeof *w);
    if (!w)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to wait");
    *w = *waiter;
    w->since_ns = atoll_clock_monotonic_ns();
    pthread_mutex_lock(&learner->mutex);
    bool late = atoll_learner_version(learner) >= w->version;
    if (!late && !atoll_learner_over(learner, NULL)) {
        w->next = learner->waiters;
        learner->waiters = w;
        w = NULL;
    }
    pthread_mutex_unlock(&learner->mutex);
    if (!w) {
        atoll_journal_wake(learner->journal);
        return ATOLL_OK;
    }
    if (late)
        tell(learner, w, ATOLL_OK, "");
    else
        tell_over(learner, w);
    free(w);
    return ATOLL_OK;
}

bool atoll_waiters_want(atoll_learner *learner, uint64_t version)
{
    bool found = false;
    pthread_mutex_lock(&learner->mutex);
    for (const atoll_waiter *w = learner->waiters; w && !found; w = w->next)
        found = w->version <= version;
    pthread_mutex_unlock(&learner->mutex);
    return found;
}

void atoll_waiters_keep(atoll_learner *learner, const atoll_outcome *outcome)
{
    pthread_mutex_lock(&learner->mutex);
    atoll_outcome *place = &learner->outcomes[learner->next_outcome++ % ATOLL_OUTCOMES];
    free(place->pruned);
    *place = *outcome;
    pthread_mutex_unlock(&learner->mutex);
}
