#include "api/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/folder.h"
#include "core/clock.h"
#include "core/log.h"

enum { LOCK_WAIT_MS = 2000 };

typedef enum entry_state {
    ENTRY_OPENING, /* being made; whoever wants to make it too waits */
    ENTRY_OPEN,
    ENTRY_LEAVING  /* unknown to all but the reaper; its name is not free yet */
} entry_state;

typedef struct entry {
    atoll_model model; /* first: a model handed out is its entry */
    entry_state state;
    uint32_t references; /* one of them the table's, while it is open */
    atoll_removed done;
    void *arg;
    struct entry *next; /* in the reaper's list */
} entry;

struct atoll_registry {
    pthread_mutex_t lock; /* guards all below but the paths */
    pthread_cond_t changed; /* an entry's state, or the reaper's list */
    entry *table[ATOLL_MODELS_MAX]; /* by name */
    uint32_t count;
    entry *reap;
    bool closing, reaper_runs;
    pthread_t reaper;
    size_t map_bytes;
    int lock_file;
    char dir[ATOLL_PATH_MAX_BYTES / 2];
};

bool atoll_model_name_valid(const char *name)
{
    size_t bytes = strlen(name);
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return bytes && bytes <= ATOLL_NAME_MAX_BYTES && strspn(name, letters) == bytes && strcmp(name, ".") &&
           strcmp(name, "..");
}

static void path_of(const atoll_registry *registry, const char *name, char path[ATOLL_PATH_MAX_BYTES])
{
    snprintf(path, ATOLL_PATH_MAX_BYTES, "%s/models/%s", registry->dir, name);
}

/* The place of the first entry whose name is not before `name`. */
static uint32_t place_of(const atoll_registry *registry, const char *name)
{
    uint32_t low = 0, high = registry->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(registry->table[middle]->model.name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static entry *look_up(const atoll_registry *registry, const char *name)
{
    uint32_t place = place_of(registry, name);
    entry *found = place < registry->count ? registry->table[place] : NULL;
    return found && !strcmp(found->model.name, name) ? found : NULL;
}

static void put_in(atoll_registry *registry, entry *new)
{
    uint32_t place = place_of(registry, new->model.name);
    memmove(registry->table + place + 1, registry->table + place, (registry->count - place) * sizeof *registry->table);
    registry->table[place] = new;
    registry->count++;
}

static void take_out(atoll_registry *registry, entry *old)
{
    uint32_t place = place_of(registry, old->model.name);
    registry->count--;
    memmove(registry->table + place, registry->table + place + 1, (registry->count - place) * sizeof *registry->table);
}

/* ---- removal ---- */

/* Closes the learner, moves its folder to the trash, deletes it there, and tells. */
static void bury(atoll_registry *registry, entry *gone)
{
    char from[ATOLL_PATH_MAX_BYTES], to[ATOLL_PATH_MAX_BYTES];
    atoll_error error = {0};
    atoll_learner_close(gone->model.learner);
    path_of(registry, gone->model.name, from);
    snprintf(to, sizeof to, "%s/trash/%s.%lld", registry->dir, gone->model.name, (long long)atoll_clock_monotonic_ns());
    atoll_status status = atoll_folder_move(from, to, &error);
    if (!status && atoll_folder_delete(to, &error))
        atoll_log(ATOLL_LOG_WARN, "trash_left", "detail", ATOLL_TEXT(error.detail), NULL);
    if (status)
        atoll_log(ATOLL_LOG_ERROR, "model_removal_failed", "model", ATOLL_TEXT(gone->model.name), "detail",
                  ATOLL_TEXT(error.detail), NULL);
    else
        atoll_log(ATOLL_LOG_INFO, "model_removed", "model", ATOLL_TEXT(gone->model.name), NULL);
    pthread_mutex_lock(&registry->lock);
    take_out(registry, gone);
    pthread_cond_broadcast(&registry->changed);
    pthread_mutex_unlock(&registry->lock);
    if (gone->done)
        gone->done(gone->arg, status, &error);
    free(gone);
}

static void *reaper_main(void *arg)
{
    atoll_registry *registry = arg;
    pthread_mutex_lock(&registry->lock);
    for (;;) {
        while (!registry->reap && !registry->closing)
            pthread_cond_wait(&registry->changed, &registry->lock);
        if (!registry->reap)
            break;
        entry *gone = registry->reap;
        registry->reap = gone->next;
        pthread_mutex_unlock(&registry->lock);
        bury(registry, gone);
        pthread_mutex_lock(&registry->lock);
    }
    pthread_mutex_unlock(&registry->lock);
    return NULL;
}

/* With the lock held. While the registry closes, it buries by itself. */
static void drop(atoll_registry *registry, entry *held)
{
    if (--held->references || held->state != ENTRY_LEAVING || registry->closing)
        return;
    held->next = registry->reap;
    registry->reap = held;
    pthread_cond_broadcast(&registry->changed);
}

atoll_status atoll_registry_remove(atoll_registry *registry, const char *name, atoll_removed done, void *arg,
                                   atoll_error *error)
{
    pthread_mutex_lock(&registry->lock);
    entry *found = look_up(registry, name);
    bool open = found && found->state == ENTRY_OPEN;
    if (open) {
        found->state = ENTRY_LEAVING;
        found->done = done;
        found->arg = arg;
    }
    pthread_mutex_unlock(&registry->lock);
    if (!open)
        return atoll_fail(error, ATOLL_UNKNOWN_MODEL, "no model is named \"%.64s\"", name);
    atoll_learner_abandon(found->model.learner); /* so that who waits lets go */
    atoll_registry_release(registry, &found->model);
    return ATOLL_OK;
}

/* ---- opening ---- */

static atoll_status open_learner(atoll_registry *registry, entry *new, const atoll_config *config, atoll_error *error)
{
    char path[ATOLL_PATH_MAX_BYTES];
    path_of(registry, new->model.name, path);
    return atoll_learner_open(path, config, registry->map_bytes, &new->model.learner, error);
}

static entry *entry_new(const char *name)
{
    entry *new = calloc(1, sizeof *new);
    if (!new)
        return NULL;
    memcpy(new->model.name, name, strlen(name) + 1);
    new->references = 1;
    return new;
}

static atoll_status open_present(atoll_registry *registry, const char *name, atoll_error *error)
{
    entry *new = entry_new(name);
    if (!new)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for model %s", name);
    atoll_error cause = {0};
    int64_t start = atoll_clock_monotonic_ns();
    atoll_status status = open_learner(registry, new, NULL, &cause);
    if (status) {
        free(new);
        if (status != ATOLL_NOT_FOUND)
            return atoll_fail(error, status, "model %s: %.180s", name, cause.detail);
        /* Its making was never acknowledged. */
        atoll_log(ATOLL_LOG_WARN, "folder_skipped", "model", ATOLL_TEXT(name), NULL);
        return ATOLL_OK;
    }
    new->state = ENTRY_OPEN;
    put_in(registry, new);
    atoll_stats stats;
    atoll_learner_stats(new->model.learner, &stats);
    atoll_log(ATOLL_LOG_INFO, "model_opened", "model", ATOLL_TEXT(name), "version", ATOLL_UINT(stats.version),
              "journal",
              ATOLL_UINT(stats.journal_last), "seconds",
              ATOLL_REAL((double)(atoll_clock_monotonic_ns() - start) / 1e9), NULL);
    return ATOLL_OK;
}

static atoll_status open_all(atoll_registry *registry, const char *models, atoll_error *error)
{
    char **names;
    unsigned count;
    atoll_status status = atoll_folder_names(models, &names, &count, error);
    if (status)
        return status;
    for (unsigned i = 0; i < count && !status; i++) {
        if (!atoll_model_name_valid(names[i]))
            continue;
        if (registry->count == ATOLL_MODELS_MAX)
            status = atoll_fail(error, ATOLL_WRONG_STATE, "%s holds more than %d models", models, ATOLL_MODELS_MAX);
        else
            status = open_present(registry, names[i], error);
    }
    atoll_folder_names_free(names, count);
    return status;
}

static atoll_status prepare_folders(atoll_registry *registry, char models[ATOLL_PATH_MAX_BYTES], atoll_error *error)
{
    char path[ATOLL_PATH_MAX_BYTES];
    atoll_status status;
    path_of(registry, "", models);
    models[strlen(models) - 1] = 0;
    snprintf(path, sizeof path, "%s/lock", registry->dir);
    status = atoll_folder_make(models, error);
    if (status || (status = atoll_folder_lock(path, LOCK_WAIT_MS, &registry->lock_file, error)))
        return status;
    snprintf(path, sizeof path, "%s/trash", registry->dir);
    if ((status = atoll_folder_delete(path, error)))
        return status;
    return atoll_folder_make(path, error);
}

atoll_status atoll_registry_open(const char *dir, size_t map_bytes, atoll_registry **out, atoll_error *error)
{
    atoll_registry *registry = calloc(1, sizeof *registry);
    char models[ATOLL_PATH_MAX_BYTES];
    if (!registry)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the registry");
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->changed, NULL);
    registry->lock_file = -1;
    registry->map_bytes = map_bytes;
    atoll_status status = ATOLL_OK;
    if (strlen(dir) >= sizeof registry->dir)
        status = atoll_fail(error, ATOLL_INVALID_VALUE, "the folder's path is over %zu bytes",
                            sizeof registry->dir - 1);
    if (status)
        goto fail;
    snprintf(registry->dir, sizeof registry->dir, "%s", dir);
    if ((status = prepare_folders(registry, models, error)) || (status = open_all(registry, models, error)))
        goto fail;
    if (pthread_create(&registry->reaper, NULL, reaper_main, registry)) {
        status = atoll_fail(error, ATOLL_IO, "cannot start the registry's thread");
        goto fail;
    }
    registry->reaper_runs = true;
    *out = registry;
    return ATOLL_OK;
fail:
    atoll_registry_close(registry);
    return status;
}

void atoll_registry_close(atoll_registry *registry)
{
    if (!registry)
        return;
    pthread_mutex_lock(&registry->lock);
    registry->closing = true;
    pthread_cond_broadcast(&registry->changed);
    pthread_mutex_unlock(&registry->lock);
    if (registry->reaper_runs)
        pthread_join(registry->reaper, NULL);
    for (uint32_t i = 0; i < registry->count; i++) /* all at one time */
        if (registry->table[i]->state == ENTRY_OPEN)
            atoll_learner_end(registry->table[i]->model.learner);
    while (registry->count) {
        entry *last = registry->table[registry->count - 1];
        if (last->state == ENTRY_LEAVING) {
            bury(registry, last);
            continue;
        }
        atoll_learner_close(last->model.learner); /* its callbacks give back what they hold */
        registry->count--;
        free(last);
    }
    if (registry->lock_file >= 0)
        close(registry->lock_file);
    pthread_mutex_destroy(&registry->lock);
    pthread_cond_destroy(&registry->changed);
    free(registry);
}

/* ---- looking up ---- */

atoll_status atoll_registry_find(atoll_registry *registry, const char *name, atoll_model **out, atoll_error *error)
{
    if (!atoll_model_name_valid(name))
        return atoll_fail(error, ATOLL_INVALID_NAME, "a model's name is 1 to %d of A-Z a-z 0-9 . _ -",
                          ATOLL_NAME_MAX_BYTES);
    pthread_mutex_lock(&registry->lock);
    entry *found = look_up(registry, name);
    bool open = found && found->state == ENTRY_OPEN;
    if (open) {
        found->references++;
        *out = &found->model;
    }
    pthread_mutex_unlock(&registry->lock);
    return open ? ATOLL_OK : atoll_fail(error, ATOLL_UNKNOWN_MODEL, "no model is named \"%s\"", name);
}

/* With the lock held: opens the new entry with the lock released, and tells those who wait for it. */
static atoll_status open_new(atoll_registry *registry, entry *new, const atoll_config *config, atoll_error *error)
{
    char path[ATOLL_PATH_MAX_BYTES];
    put_in(registry, new);
    pthread_mutex_unlock(&registry->lock);
    path_of(registry, new->model.name, path);
    bool was_there = !access(path, F_OK);
    atoll_status status = open_learner(registry, new, config, error);
    if (status && !was_there)
        atoll_folder_delete(path, NULL);
    pthread_mutex_lock(&registry->lock);
    if (status) {
        take_out(registry, new);
        free(new);
    } else {
        new->state = ENTRY_OPEN;
    }
    pthread_cond_broadcast(&registry->changed);
    return status;
}

atoll_status atoll_registry_create(atoll_registry *registry, const char *name, const atoll_config *config,
                                   atoll_model **out, bool *created, atoll_error *error)
{
    if (!atoll_model_name_valid(name))
        return atoll_fail(error, ATOLL_INVALID_NAME, "a model's name is 1 to %d of A-Z a-z 0-9 . _ -",
                          ATOLL_NAME_MAX_BYTES);
    atoll_status status = ATOLL_OK;
    entry *found;
    *created = false;
    pthread_mutex_lock(&registry->lock);
    while ((found = look_up(registry, name)) && found->state == ENTRY_OPENING)
        pthread_cond_wait(&registry->changed, &registry->lock);
    if (found && found->state == ENTRY_LEAVING) {
        status = atoll_fail(error, ATOLL_WRONG_STATE, "the former model \"%s\" is still being removed", name);
    } else if (!found && registry->count == ATOLL_MODELS_MAX) {
        status = atoll_fail(error, ATOLL_WRONG_STATE, "the server holds %d models, and no more", ATOLL_MODELS_MAX);
    } else if (!found) {
        *created = true;
        found = entry_new(name);
        status = found ? open_new(registry, found, config, error)
                       : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for model %s", name);
    }
    if (!status) {
        found->references++;
        *out = &found->model;
    }
    pthread_mutex_unlock(&registry->lock);
    if (!status && *created)
        atoll_log(ATOLL_LOG_INFO, "model_created", "model", ATOLL_TEXT(name), NULL);
    return status;
}

void atoll_registry_release(atoll_registry *registry, atoll_model *model)
{
    if (!model)
        return;
    pthread_mutex_lock(&registry->lock);
    drop(registry, (entry *)(void *)model);
    pthread_mutex_unlock(&registry->lock);
}

atoll_status atoll_registry_all(atoll_registry *registry, atoll_model ***out, uint32_t *count, atoll_error *error)
{
    atoll_model **models = calloc(ATOLL_MODELS_MAX, sizeof *models);
    if (!models)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the list of models");
    uint32_t open = 0;
    pthread_mutex_lock(&registry->lock);
    for (uint32_t i = 0; i < registry->count; i++) {
        entry *present = registry->table[i];
        if (present->state != ENTRY_OPEN)
            continue;
        present->references++;
        models[open++] = &present->model;
    }
    pthread_mutex_unlock(&registry->lock);
    *out = models;
    *count = open;
    return ATOLL_OK;
}

void atoll_registry_release_all(atoll_registry *registry, atoll_model **models, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        atoll_registry_release(registry, models[i]);
    free(models);
}

uint32_t atoll_registry_count(atoll_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    uint32_t open = 0;
    for (uint32_t i = 0; i < registry->count; i++)
        open += registry->table[i]->state == ENTRY_OPEN;
    pthread_mutex_unlock(&registry->lock);
    return open;
}
