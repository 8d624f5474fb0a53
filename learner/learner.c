/* The life of a running model and its threads; how they share the work is told in learner/inside.h. */
#include "learner/learner.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/kernels.h"
#include "core/log.h"
#include "learner/inside.h"
#include "learner/merging.h"
#include "learner/priority.h"
#include "learner/pruning.h"
#include "learner/publish.h"

enum {
    PUBLISH_EVERY_MS = 50,
    WAIT_MS = 50,                  /* how late a waiter's deadline may be noticed */
    CHECKPOINT_RECORDS = 15000,    /* learned since the last checkpoint: one and a half seconds of replay */
    TRIM_PUBLICATIONS = 16,        /* after which pages that were spare all the while go back to the system */
    TRIM_RECORDS = 1000,           /* learned since the heap was last walked for what can be given back */
    /* For the commit under way when the model is to end, and for the checkpoint then. On two cores with a load of 7, a
     * commit of 1,024 records took 0.5 s with 58 labels and 6 s with thousands; a checkpoint 0.1 s. */
    END_MS = 2000,
    NICENESS = 15                  /* learning gives way to requests */
};

/* With more than half of its budget a model waits so often and so long for readers to leave, who mostly are inside for
 * 0.1 ms. With 60 MB, and four connections that ask, 1.37 times the budget was counted at most, and 1.15 so. */
enum { READERS_WAITS = 10, READERS_WAIT_NS = 200000 };

/* ---- reading what is published ---- */

const atoll_published *atoll_learner_enter(atoll_learner *learner, int *ticket)
{
    *ticket = atoll_reclaim_enter(learner->state.reclaim);
    return atomic_load(&learner->published);
}

void atoll_learner_leave(atoll_learner *learner, int ticket)
{
    atoll_reclaim_leave(learner->state.reclaim, ticket);
}

/* ---- learning one entry ---- */

static atoll_status learn_records(atoll_learner *learner, const atoll_entry *entry, atoll_error *error)
{
    atoll_record *records = malloc((entry->records + 1) * sizeof *records);
    /* Vectors are copied out of the entry; those of one entry have at most its bytes. Embeddings come behind them. */
    size_t embedded = learner->embedder ? (size_t)entry->records * learner->state.model.config.embedding_dim : 0;
    float *vectors = malloc(entry->bytes + (ATOLL_NUMBERS_MAX + embedded) * sizeof *vectors), *space = vectors;
    atoll_status status = records && vectors ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn");
    size_t at = 0;
    for (uint32_t i = 0; i < entry->records && status == ATOLL_OK; i++) {
        size_t used;
        status = atoll_record_decode(entry->payload + at, entry->bytes - at, space, &records[i], &used, error);
        if (status)
            break;
        at += used;
        space += atoll_record_numbers(&records[i]);
    }
    if (status == ATOLL_OK && learner->embedder)
        status = atoll_embedder_fill(learner->embedder, records, entry->records, space, error);
    if (status == ATOLL_OK)
        status = atoll_trainer_learn(learner->trainer, &learner->state, records, entry->records, entry->commit,
                                     entry->first_seq, entry->time_ms, error);
    free(records);
    free(vectors);
    return status;
}

/* Entry payload: for each expert asked of late, its id and when, as written by atoll_learner_prune. */
static atoll_status learn_prune(atoll_learner *learner, const atoll_entry *entry, atoll_error *error)
{
    atoll_state *state = &learner->state;
    int64_t last_ms[ATOLL_EXPERTS_MAX] = {0};
    atoll_asked asked = {(uint32_t)(entry->bytes / sizeof *last_ms), last_ms};
    if (asked.count > ATOLL_EXPERTS_MAX)
        return atoll_fail(error, ATOLL_DAMAGED, "a pruning names %u experts", asked.count);
    memcpy(last_ms, entry->payload, asked.count * sizeof *last_ms);
    atoll_outcome outcome = {.commit = entry->commit};
    outcome.pruned = malloc(state->model.experts * sizeof *outcome.pruned);
    if (!outcome.pruned)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to prune");
    atoll_pruning_plan(&state->model, &asked, entry->time_ms, outcome.pruned, &outcome.count);
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < outcome.count && status == ATOLL_OK; i++) {
        status = atoll_pruning_archive(state, outcome.pruned[i].id, entry->commit, error);
        atoll_log(ATOLL_LOG_INFO, "expert_archived", "expert", ATOLL_UINT(outcome.pruned[i].id), "reason",
                  ATOLL_TEXT(outcome.pruned[i].reason), NULL);
    }
    uint32_t merged = 0;
    if (status == ATOLL_OK)
        status = atoll_merging_run(learner->trainer, state, entry->commit, outcome.pruned + outcome.count, &merged,
                                   error);
    outcome.count += merged;
    atoll_waiters_keep(learner, &outcome);
    return status;
}

static atoll_status learn_restore(atoll_learner *learner, const atoll_entry *entry, atoll_error *error)
{
    uint32_t id;
    if (entry->bytes != sizeof id)
        return atoll_fail(error, ATOLL_DAMAGED, "a restore entry has %zu bytes", entry->bytes);
    memcpy(&id, entry->payload, sizeof id);
    atoll_status status = ATOLL_OK;
    if (id < learner->state.model.experts && learner->state.model.expert[id].unloaded)
        status = atoll_checkpoint_load_expert(learner->store, &learner->state, id, error);
    if (status)
        return status;
    atoll_outcome outcome = {.commit = entry->commit};
    outcome.error.status =
        atoll_pruning_restore(&learner->state, id, entry->commit, entry->time_ms, &outcome.error);
    atoll_waiters_keep(learner, &outcome);
    return ATOLL_OK;
}

static atoll_status learn_entry(atoll_learner *learner, const atoll_entry *entry, atoll_error *error)
{
    atoll_state *state = &learner->state;
    atoll_status status;
    state->model.time_ms = entry->time_ms;
    switch (entry->kind) {
    case ATOLL_ENTRY_RECORDS:
        status = learn_records(learner, entry, error);
        break;
    case ATOLL_ENTRY_CONFIG:
        status = atoll_config_merge(&state->model.config, (const char *)entry->payload, entry->bytes, error);
        break;
    case ATOLL_ENTRY_PRUNE:
        status = learn_prune(learner, entry, error);
        break;
    case ATOLL_ENTRY_RESTORE:
        status = learn_restore(learner, entry, error);
        break;
    default:
        status = atoll_fail(error, ATOLL_NEWER_FORMAT, "a journal entry is of the unknown kind %d", entry->kind);
    }
    if (status == ATOLL_OK)
        state->model.version = entry->commit;
    return status;
}

/* ---- checkpoints ---- */

static void *write_checkpoints(void *arg)
{
    atoll_learner *learner = arg;
    atoll_priority_lower(NICENESS);
    atoll_log_about(learner->name);
    pthread_mutex_lock(&learner->mutex);
    learner->writer_tid = gettid();
    for (;;) {
        while (!learner->checkpoint || learner->checkpoint_written) {
            if (!learner->writer_runs) {
                pthread_mutex_unlock(&learner->mutex);
                return NULL;
            }
            pthread_cond_wait(&learner->changed, &learner->mutex);
        }
        atoll_checkpoint *checkpoint = learner->checkpoint;
        pthread_mutex_unlock(&learner->mutex);
        int64_t start = atoll_clock_monotonic_ns();
        atoll_error error = {0};
        atoll_status status = atoll_checkpoint_write(checkpoint, learner->store, &learner->patience, &error);
        uint64_t took = (uint64_t)(atoll_clock_monotonic_ns() - start);
        if (status == ATOLL_SHUTTING_DOWN)
            atoll_log(ATOLL_LOG_WARN, "checkpoint_left_out", "commit", ATOLL_UINT(atoll_checkpoint_commit(checkpoint)),
                      NULL);
        else if (status)
            atoll_log(ATOLL_LOG_ERROR, "checkpoint_failed", "code", ATOLL_TEXT(atoll_status_code(status)), "error",
                      ATOLL_TEXT(error.detail), NULL);
        else
            atoll_log(ATOLL_LOG_INFO, "checkpoint", "commit", ATOLL_UINT(atoll_checkpoint_commit(checkpoint)),
                      "seconds", ATOLL_REAL((double)took * 1e-9), "bytes",
                      ATOLL_UINT(atoll_store_bytes(learner->store)), NULL);
        pthread_mutex_lock(&learner->mutex);
        learner->checkpoint_written = true;
        learner->checkpoint_good = status == ATOLL_OK;
        atomic_store(&learner->checkpoint_ns, took);
        pthread_cond_broadcast(&learner->changed);
    }
}

/* What the learner thread knows of checkpoints. */
typedef struct pace {
    uint64_t since;        /* epoch of the last good one */
    uint64_t records;      /* learned when it was taken */
    int64_t taken_ns;
    int64_t published_ns;
    uint32_t publications;
    uint64_t trimmed;      /* learned when the heap was last given back */
} pace;

/*
 * Waits until the checkpoint under way, if any, is written. Meanwhile that does not give way to requests, which would
 * hold up learning for seconds where they keep all processors busy. The mutex is held.
 */
static void await_checkpoint(atoll_learner *learner)
{
    if (!learner->checkpoint || learner->checkpoint_written)
        return;
    if (learner->writer_tid)
        atoll_priority_set(learner->writer_tid, 0);
    while (!learner->checkpoint_written)
        pthread_cond_wait(&learner->changed, &learner->mutex);
    atoll_priority_set(learner->writer_tid, NICENESS);
}

/* Ends the checkpoint under way if it is written, or, with `wait`, when it is. */
static void end_checkpoint(atoll_learner *learner, pace *p, bool wait)
{
    pthread_mutex_lock(&learner->mutex);
    if (wait)
        await_checkpoint(learner);
    atoll_checkpoint *done = learner->checkpoint_written ? learner->checkpoint : NULL;
    bool good = learner->checkpoint_good;
    if (done) {
        learner->checkpoint = NULL;
        learner->checkpoint_written = false;
    }
    pthread_mutex_unlock(&learner->mutex);
    if (!done)
        return;
    if (good) {
        p->since = atoll_checkpoint_epoch(done);
        uint64_t commit = atoll_checkpoint_commit(done);
        atomic_store(&learner->checkpoint_commit, commit);
        atomic_fetch_add(&learner->checkpoints, 1);
        if (learner->embedder)
            atoll_embedder_covered(learner->embedder, commit);
        if (atoll_journal_bytes(learner->journal) > learner->state.model.config.journal_keep_bytes)
            atoll_journal_trim(learner->journal, commit);
    }
    atoll_checkpoint_end(done);
    atomic_store(&learner->checkpoint_bytes, 0);
    p->trimmed = 0; /* what it kept can go now */
}

/* Publishes first: taking advances the epoch, and readers that enter after that must not find an older version, whose
 * replaced pages would then belong to the past. */
static void take_checkpoint(atoll_learner *learner, pace *p)
{
    atoll_error error;
    atoll_checkpoint *checkpoint;
    p->taken_ns = atoll_clock_monotonic_ns();
    p->records = learner->state.model.records;
    if ((atoll_learner_version(learner) < learner->state.model.version && atoll_publish(learner, &error)) ||
        atoll_checkpoint_take(&learner->state, p->since, &checkpoint, &error)) {
        atoll_log(ATOLL_LOG_ERROR, "checkpoint_failed", "error", ATOLL_TEXT(error.detail), NULL);
        return;
    }
    pthread_mutex_lock(&learner->mutex);
    learner->checkpoint = checkpoint;
    atomic_store(&learner->checkpoint_bytes, atoll_checkpoint_bytes(checkpoint));
    pthread_cond_broadcast(&learner->changed);
    pthread_mutex_unlock(&learner->mutex);
}

/* Whether an expert was archived whose parameters only wait to be on disk. */
static bool archived_since(const atoll_learner *learner)
{
    const atoll_model *model = &learner->state.model;
    for (uint32_t e = 1; e < model->experts; e++)
        if (model->expert[e].state == ATOLL_EXPERT_ARCHIVED && !model->expert[e].unloaded &&
            model->expert[e].version > atomic_load(&learner->checkpoint_commit))
            return true;
    return false;
}

/*
 * Frees what was replaced before the next commit replaces as much, where both may not have room. While requests come
 * without end some are inside at every publication, but none for long. What a checkpoint holds is not waited for here.
 */
static void await_readers(atoll_learner *learner)
{
    for (int i = 0; i < READERS_WAITS && !atoll_publish_let_go(learner) && !learner->checkpoint; i++)
        nanosleep(&(struct timespec){.tv_nsec = READERS_WAIT_NS}, NULL);
}

/* Whether all that is held now is over the budget. */
static bool is_full(atoll_learner *learner)
{
    return atoll_learner_bytes(learner) > learner->state.model.config.budget_bytes;
}

/* Frees what was replaced, and what is spare, where the next commit may have no room. */
static void make_room(atoll_learner *learner)
{
    if (atoll_learner_bytes(learner) <= learner->state.model.config.budget_bytes / 2)
        return; /* a commit replaces no more than there is */
    await_readers(learner);
    if (is_full(learner))
        atoll_slabs_trim(atoll_reclaim_slabs(learner->state.reclaim), true);
}

/* What a checkpoint writes and keeps passes: where that takes the model over its budget, learning waits for it. */
static void maybe_checkpoint(atoll_learner *learner, pace *p)
{
    const atoll_model *model = &learner->state.model;
    make_room(learner);
    end_checkpoint(learner, p, is_full(learner));
    pthread_mutex_lock(&learner->mutex);
    bool busy = learner->checkpoint != NULL;
    pthread_mutex_unlock(&learner->mutex);
    bool due = atoll_clock_monotonic_ns() - p->taken_ns >= model->config.checkpoint_every_ms * 1000000 ||
               model->records - p->records >= CHECKPOINT_RECORDS || archived_since(learner);
    if (!busy && due && model->version > atomic_load(&learner->checkpoint_commit))
        take_checkpoint(learner, p);
}

/* ---- the learner thread ---- */

static void fail_learning(atoll_learner *learner, uint64_t commit, const atoll_error *error)
{
    pthread_mutex_lock(&learner->mutex);
    snprintf(learner->failure, sizeof learner->failure, "commit %llu: %.200s", (unsigned long long)commit,
             error->detail);
    atomic_store(&learner->failed, true);
    pthread_mutex_unlock(&learner->mutex);
    atoll_log(ATOLL_LOG_ERROR, "learning_stopped", "commit", ATOLL_UINT(commit), "error", ATOLL_TEXT(error->detail),
              NULL);
    atoll_waiters_serve(learner, atoll_learner_version(learner), true);
}

/* While there is nothing to learn: frees what the last commits replaced, and gives memory back to the system. */
static void rest(atoll_learner *learner, pace *p)
{
    atoll_error error = {0};
    uint64_t records = learner->state.model.records;
    if (atoll_publish_unloads(learner) && atoll_publish(learner, &error)) {
        fail_learning(learner, learner->state.model.version, &error);
        return;
    }
    atoll_publish_let_go(learner);
    if (records - p->trimmed < TRIM_RECORDS)
        return;
    p->trimmed = records;
    atoll_slabs_trim(atoll_reclaim_slabs(learner->state.reclaim), true);
    malloc_trim(0);
}

static atoll_status publish_and_serve(atoll_learner *learner, pace *p, atoll_error *error)
{
    atoll_status status = atoll_publish(learner, error);
    if (status == ATOLL_OK) {
        p->published_ns = atoll_clock_monotonic_ns();
        if (++p->publications % TRIM_PUBLICATIONS == 0)
            atoll_slabs_trim(atoll_reclaim_slabs(learner->state.reclaim), false);
        atoll_waiters_serve(learner, learner->state.model.version, false);
    }
    return status;
}

/* Learns up to `last`, or to where embeddings are missing, publishing when it is time. */
static atoll_status catch_up(atoll_learner *learner, uint64_t last, pace *p, uint8_t **buffer, size_t *capacity,
                             atoll_error *error)
{
    atoll_state *state = &learner->state;
    while (state->model.version < last && !atomic_load(&learner->stopping)) {
        atoll_entry entry;
        if (learner->embedder &&
            !atoll_embedder_await(learner->embedder, state->model.version + 1, state->model.records, WAIT_MS))
            return atoll_learner_version(learner) == state->model.version ? ATOLL_OK
                                                                            : publish_and_serve(learner, p, error);
        int64_t start = atoll_clock_monotonic_ns();
        atoll_status status =
            atoll_journal_read(learner->journal, state->model.version + 1, buffer, capacity, &entry, error);
        atomic_store(&learner->entry_bytes, *capacity);
        if (status || (status = learn_entry(learner, &entry, error)))
            return status;
        int64_t now = atoll_clock_monotonic_ns();
        atomic_fetch_add(&learner->learn_ns, (uint64_t)(now - start));
        if ((state->model.version == last || atoll_waiters_want(learner, state->model.version) ||
             now - p->published_ns > PUBLISH_EVERY_MS * 1000000LL) &&
            (status = publish_and_serve(learner, p, error)))
            return status;
        maybe_checkpoint(learner, p);
    }
    return ATOLL_OK;
}

static void *learn(void *arg)
{
    atoll_learner *learner = arg;
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    pace p = {.since = learner->loaded_epoch,
              .records = learner->state.model.records,
              .taken_ns = atoll_clock_monotonic_ns()};
    bool torn = false; /* the state is amid a commit */
    atoll_priority_lower(NICENESS);
    atoll_log_about(learner->name);
    while (!atomic_load(&learner->stopping)) {
        atoll_error error = {0};
        uint64_t last = atoll_journal_wait(learner->journal, learner->state.model.version, WAIT_MS);
        bool idle = last == learner->state.model.version; /* nothing came for as long as it waited */
        atoll_status status =
            atomic_load(&learner->failed) ? ATOLL_OK : catch_up(learner, last, &p, &buffer, &capacity, &error);
        if ((torn = status == ATOLL_SHUTTING_DOWN)) {
            atoll_log(ATOLL_LOG_INFO, "commit_left", "commit", ATOLL_UINT(learner->state.model.version + 1), NULL);
            break;
        }
        if (status)
            fail_learning(learner, learner->state.model.version + 1, &error);
        atoll_waiters_serve(learner, atoll_learner_version(learner), false);
        if (atomic_load(&learner->failed))
            continue;
        maybe_checkpoint(learner, &p);
        if (idle)
            rest(learner, &p);
    }
    if (!atomic_load(&learner->removed))
        atoll_patience_set(&learner->patience, END_MS);
    atoll_priority_lower(0); /* whoever closes the model waits for the rest */
    end_checkpoint(learner, &p, true);
    if (!torn && !atomic_load(&learner->failed) && !atomic_load(&learner->removed) &&
        learner->state.model.version > atomic_load(&learner->checkpoint_commit)) {
        take_checkpoint(learner, &p);
        end_checkpoint(learner, &p, true);
    }
    atoll_waiters_serve(learner, atoll_learner_version(learner), true);
    free(buffer);
    return NULL;
}

/* ---- opening ---- */

/* Everything that can fail before the threads run. */
static atoll_status prepare(atoll_learner *learner, const char *path, const atoll_config *config, size_t map_bytes,
                            atoll_error *error)
{
    atoll_status status = atoll_learner_find(learner, path, config, map_bytes, error);
    if (status)
        return status;
    learner->trainer = atoll_trainer_new(NICENESS, &learner->patience);
    if (!learner->trainer)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn with");
    return atoll_publish(learner, error);
}

static void dismantle(atoll_learner *learner)
{
    atoll_embedder_close(learner->embedder);
    atoll_journal_close(learner->journal);
    atoll_store_close(learner->store);
    if (atomic_load(&learner->published))
        atoll_published_free(atomic_load(&learner->published));
    atoll_state_free(&learner->state);
    atoll_trainer_free(learner->trainer);
    for (int i = 0; i < ATOLL_OUTCOMES; i++)
        free(learner->outcomes[i].pruned);
    free(learner->admitted);
    pthread_cond_destroy(&learner->changed);
    pthread_mutex_destroy(&learner->mutex);
    pthread_mutex_destroy(&learner->configuring);
    free(learner);
}

atoll_status atoll_learner_open(const char *path, const atoll_config *config, size_t map_bytes, atoll_learner **out,
                                atoll_error *error)
{
    atoll_status status = atoll_kernels_init(error);
    if (status)
        return status;
    atoll_learner *learner = calloc(1, sizeof *learner);
    if (!learner)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a model");
    pthread_mutex_init(&learner->configuring, NULL);
    pthread_mutex_init(&learner->mutex, NULL);
    pthread_cond_init(&learner->changed, NULL);
    if ((status = prepare(learner, path, config, map_bytes, error))) {
        dismantle(learner);
        return status;
    }
    learner->writer_runs = true;
    if (pthread_create(&learner->writer, NULL, write_checkpoints, learner)) {
        dismantle(learner);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no thread to write checkpoints");
    }
    if (pthread_create(&learner->thread, NULL, learn, learner)) {
        pthread_mutex_lock(&learner->mutex);
        learner->writer_runs = false;
        pthread_cond_broadcast(&learner->changed);
        pthread_mutex_unlock(&learner->mutex);
        pthread_join(learner->writer, NULL);
        dismantle(learner);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no thread to learn");
    }
    *out = learner;
    return ATOLL_OK;
}

void atoll_learner_abandon(atoll_learner *learner)
{
    atomic_store(&learner->removed, true);
    atoll_patience_set(&learner->patience, 0);
    atomic_store(&learner->stopping, true);
    atoll_journal_wake(learner->journal);
}

void atoll_learner_end(atoll_learner *learner)
{
    if (atomic_exchange(&learner->stopping, true))
        return;
    atoll_patience_set(&learner->patience, END_MS);
    atoll_journal_wake(learner->journal);
}

void atoll_learner_close(atoll_learner *learner)
{
    if (!learner)
        return;
    atoll_learner_end(learner);
    pthread_join(learner->thread, NULL);
    pthread_mutex_lock(&learner->mutex);
    learner->writer_runs = false;
    pthread_cond_broadcast(&learner->changed);
    pthread_mutex_unlock(&learner->mutex);
    pthread_join(learner->writer, NULL);
    dismantle(learner);
}
