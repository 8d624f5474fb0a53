/*
 * A model as its folder holds it: the stores opened, the last checkpoint loaded, what the journal holds behind it let
 * in but not learned yet. A new model is made here; one that cannot be what it was is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "learner/inside.h"

enum { PENDING_BYTES = 64 << 20 }; /* submissions that wait for the disk */

static void note_created(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    atoll_learner *learner = arg;
    (void)receipt;
    pthread_mutex_lock(&learner->mutex);
    learner->outcomes[0].error.status = status;
    if (error)
        learner->outcomes[0].error = *error;
    learner->outcomes[0].commit = 1;
    pthread_cond_broadcast(&learner->changed);
    pthread_mutex_unlock(&learner->mutex);
}

/* The first entry of a new journal: the configuration. */
static atoll_status write_config(atoll_learner *learner, const atoll_config *config, atoll_error *error)
{
    char *json = atoll_config_print(config);
    if (!json)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a configuration");
    atoll_status status = atoll_journal_submit(learner->journal, ATOLL_ENTRY_CONFIG, (const uint8_t *)json,
                                               strlen(json), NULL, 0, note_created, learner, error);
    free(json);
    if (status)
        return status;
    pthread_mutex_lock(&learner->mutex);
    while (learner->outcomes[0].commit == 0)
        pthread_cond_wait(&learner->changed, &learner->mutex);
    status = learner->outcomes[0].error.status;
    if (status && error)
        *error = learner->outcomes[0].error;
    learner->outcomes[0] = (atoll_outcome){0};
    pthread_mutex_unlock(&learner->mutex);
    return status;
}

/* A state for a journal that was never checkpointed: empty, with the configuration of the first entry. */
static atoll_status begin_state(atoll_learner *learner, const atoll_config *config, atoll_error *error)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    atoll_entry entry;
    atoll_config first;
    atoll_status status;
    if (atoll_journal_last(learner->journal) == 0) {
        if (!config)
            return atoll_fail(error, ATOLL_NOT_FOUND, "there is no model here");
        if ((status = write_config(learner, config, error)))
            return status;
    }
    atoll_config_defaults(&first);
    status = atoll_journal_read(learner->journal, 1, &buffer, &capacity, &entry, error);
    if (status == ATOLL_NOT_FOUND || (status == ATOLL_OK && entry.kind != ATOLL_ENTRY_CONFIG))
        status = atoll_fail(error, ATOLL_DAMAGED, "the journal lacks its beginning, and there is no checkpoint");
    if (status == ATOLL_OK)
        status = atoll_config_merge(&first, (const char *)entry.payload, entry.bytes, error);
    if (status == ATOLL_OK && (status = atoll_state_init(&learner->state, &first, error)) == ATOLL_OK) {
        learner->state.model.version = entry.commit;
        learner->state.model.time_ms = entry.time_ms;
    }
    free(buffer);
    return status;
}

/* A checkpoint of an older version gives way to the whole journal, where that is still there. */
static atoll_status renew_checkpoint(atoll_learner *learner, atoll_error *error)
{
    atoll_error older;
    if (atoll_store_check(learner->store, &older) == ATOLL_OK)
        return ATOLL_OK;
    uint64_t first = atoll_journal_first(learner->journal), last = atoll_journal_last(learner->journal);
    if (first > 1 || last == 0)
        return atoll_fail(error, ATOLL_OLDER_FORMAT, "%s; the journal that it was learned from is not whole",
                          older.detail);
    atoll_log(ATOLL_LOG_WARN, "checkpoint_cleared", "error", ATOLL_TEXT(older.detail), "commits_to_learn",
              ATOLL_UINT(last), NULL);
    return atoll_store_clear(learner->store, error);
}

static atoll_status open_stores(atoll_learner *learner, const char *path, size_t map_bytes, atoll_error *error)
{
    char folder[4096];
    atoll_status status;
    if (mkdir(path, 0777) == -1 && access(path, W_OK) == -1)
        return atoll_fail(error, ATOLL_IO, "the model's folder cannot be written");
    const char *name = strrchr(path, '/');
    snprintf(learner->name, sizeof learner->name, "%.*s", ATOLL_NAME_MAX_BYTES, name ? name + 1 : path);
    snprintf(folder, sizeof folder, "%s/state", path);
    if ((status = atoll_store_open(folder, map_bytes, &learner->store, error)))
        return status;
    snprintf(folder, sizeof folder, "%s/journal", path);
    atoll_journal_options options = {.map_bytes = map_bytes, .pending_bytes = PENDING_BYTES};
    if ((status = atoll_journal_open(folder, &options, &learner->journal, error)))
        return status;
    return renew_checkpoint(learner, error);
}

static atoll_status open_embedder(atoll_learner *learner, const char *path, const atoll_config *newest,
                                  size_t map_bytes, atoll_error *error)
{
    char folder[4096];
    const atoll_model *model = &learner->state.model;
    if (newest->embedding_source != ATOLL_EMBEDDING_HTTP)
        return ATOLL_OK;
    snprintf(folder, sizeof folder, "%s/embeddings", path);
    return atoll_embedder_open(folder, newest, map_bytes, learner->journal, model->version, model->records,
                               &learner->embedder, error);
}

atoll_status atoll_learner_find(atoll_learner *learner, const char *path, const atoll_config *config, size_t map_bytes,
                                atoll_error *error)
{
    atoll_status status = open_stores(learner, path, map_bytes, error);
    if (status)
        return status;
    status = atoll_checkpoint_load(learner->store, &learner->state, &learner->loaded_epoch, error);
    if (status == ATOLL_NOT_FOUND)
        status = begin_state(learner, config, error);
    else if (status == ATOLL_OK)
        atomic_store(&learner->checkpoint_commit, learner->state.model.version);
    if (status)
        return status;
    if (atoll_journal_last(learner->journal) < learner->state.model.version)
        return atoll_fail(error, ATOLL_DAMAGED, "the journal ends at commit %llu, before the checkpoint's %llu",
                          (unsigned long long)atoll_journal_last(learner->journal),
                          (unsigned long long)learner->state.model.version);
    if (atoll_journal_first(learner->journal) > learner->state.model.version + 1)
        return atoll_fail(error, ATOLL_DAMAGED, "the journal begins at commit %llu, but the checkpoint ends at %llu",
                          (unsigned long long)atoll_journal_first(learner->journal),
                          (unsigned long long)learner->state.model.version);
    atoll_config newest = learner->state.model.config;
    if ((status = atoll_learner_admit_known(learner, &newest, error)))
        return status;
    return open_embedder(learner, path, &newest, map_bytes, error);
}
