/*
 * Stands in for the learner where only HTTP is under test: remembers labels, answers the most frequent one, calls back
 * from a thread of its own, keeps its configuration and labels in two files.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "learner/learner.h"

enum { FAKE_LABELS = 64 };

typedef struct task {
    struct task *next;
    int kind; /* 0 ingest, 1 wait, 2 configure, 3 prune, 4 restore */
    bool trained;
    uint32_t count, id;
    char (*labels)[ATOLL_LABEL_MAX_BYTES + 1];
    uint32_t dim;
    atoll_config config;
    uint64_t version;
    struct timespec until;
    atoll_ingest_done ingest_done;
    atoll_wait_done wait_done;
    atoll_prune_done prune_done;
    void *arg;
} task;

struct atoll_learner {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    task *first, **last, *waits;
    bool closing;
    pthread_t thread;
    char path[2048];
    atoll_config config;
    atoll_stats stats;
    uint64_t seq, predictions;
    char label[FAKE_LABELS][ATOLL_LABEL_MAX_BYTES + 1];
    uint64_t seen[FAKE_LABELS];
    bool archived;
};

struct atoll_asker {
    atoll_prediction prediction;
};

static void learn(atoll_learner *l, const char *label)
{
    uint32_t i = 0;
    while (i < l->stats.labels && strcmp(l->label[i], label))
        i++;
    if (i == l->stats.labels && i < FAKE_LABELS)
        snprintf(l->label[l->stats.labels++], sizeof l->label[0], "%s", label);
    if (i < FAKE_LABELS)
        l->seen[i]++;
    l->stats.records++;
    l->seq++;
}

static void save(atoll_learner *l)
{
    char path[2100];
    snprintf(path, sizeof path, "%s/config", l->path);
    FILE *out = fopen(path, "w");
    if (out) {
        fwrite(&l->config, sizeof l->config, 1, out);
        fwrite(&l->stats, sizeof l->stats, 1, out);
        fwrite(&l->seq, sizeof l->seq, 1, out);
        fwrite(l->label, sizeof l->label, 1, out);
        fwrite(l->seen, sizeof l->seen, 1, out);
        fclose(out);
    }
}

static bool load(atoll_learner *l)
{
    char path[2100];
    snprintf(path, sizeof path, "%s/config", l->path);
    FILE *in = fopen(path, "r");
    if (!in)
        return false;
    bool good = fread(&l->config, sizeof l->config, 1, in) == 1 && fread(&l->stats, sizeof l->stats, 1, in) == 1 &&
                fread(&l->seq, sizeof l->seq, 1, in) == 1 && fread(l->label, sizeof l->label, 1, in) == 1 &&
                fread(l->seen, sizeof l->seen, 1, in) == 1;
    fclose(in);
    return good;
}

static void run_task(atoll_learner *l, task *t)
{
    atoll_ingested result = {0};
    atoll_error error = {0};
    atoll_status status = ATOLL_OK;
    pthread_mutex_lock(&l->lock);
    uint64_t version = ++l->stats.version;
    l->stats.journal_last = version;
    if (t->kind == 0) {
        result.first_seq = l->seq + 1;
        for (uint32_t i = 0; i < t->count; i++)
            learn(l, t->labels[i]);
        result.last_seq = l->seq;
        result.version = version;
        if (t->dim)
            l->stats.vector_dim = t->dim;
    } else if (t->kind == 2) {
        l->config = t->config;
    } else if (t->kind == 3) {
        l->archived = true;
    } else if (t->kind == 4) {
        if (t->id != 1)
            status = atoll_fail(&error, ATOLL_UNKNOWN_EXPERT, "the model has no expert %u", t->id);
        else if (!l->archived)
            status = atoll_fail(&error, ATOLL_WRONG_STATE, "expert %u is not archived", t->id);
        else
            l->archived = false;
    }
    save(l);
    pthread_mutex_unlock(&l->lock);
    if (t->kind == 0)
        t->ingest_done(t->arg, status, &result, &error);
    else if (t->kind == 3)
        t->prune_done(t->arg, ATOLL_OK, &(atoll_pruned){1, "idle"}, 1, version, &error);
    else
        t->wait_done(t->arg, status, &error);
    free(t->labels);
    free(t);
}

static bool past(const struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* With the lock held. */
static void look_at_waits(atoll_learner *l)
{
    for (task **at = &l->waits; *at;) {
        task *t = *at;
        bool there = l->stats.version >= t->version, late = past(&t->until);
        if (!there && !late && !l->closing) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        atoll_error error = {0};
        atoll_status status = there ? ATOLL_OK : l->closing ? ATOLL_SHUTTING_DOWN : ATOLL_TIMEOUT;
        if (status)
            atoll_fail(&error, status, "version %llu was not reached", (unsigned long long)t->version);
        t->wait_done(t->arg, status, &error);
        free(t);
    }
}

static void *run(void *arg)
{
    atoll_learner *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->closing || l->first) {
        if (l->first) {
            task *t = l->first;
            l->first = t->next;
            if (!l->first)
                l->last = &l->first;
            pthread_mutex_unlock(&l->lock);
            run_task(l, t);
            pthread_mutex_lock(&l->lock);
        } else {
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 5000000;
            if (soon.tv_nsec >= 1000000000) {
                soon.tv_sec++;
                soon.tv_nsec -= 1000000000;
            }
            if (l->waits)
                pthread_cond_timedwait(&l->changed, &l->lock, &soon);
            else if (!l->closing)
                pthread_cond_wait(&l->changed, &l->lock);
        }
        look_at_waits(l);
    }
    look_at_waits(l);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

atoll_status atoll_learner_open(const char *path, const atoll_config *config, size_t map_bytes, atoll_learner **out,
                                atoll_error *error)
{
    (void)map_bytes;
    atoll_learner *l = calloc(1, sizeof *l);
    snprintf(l->path, sizeof l->path, "%s", path);
    if (!load(l)) {
        if (!config) {
            free(l);
            return atoll_fail(error, ATOLL_NOT_FOUND, "no model in %s", path);
        }
        mkdir(path, 0777);
        l->config = *config;
        l->stats.version = l->stats.journal_last = 1;
        l->stats.experts_active = 1;
        save(l);
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->last = &l->first;
    pthread_create(&l->thread, NULL, run, l);
    *out = l;
    return ATOLL_OK;
}

void atoll_learner_close(atoll_learner *l)
{
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l);
}

atoll_status atoll_learner_check(atoll_learner *l, const atoll_record *record, bool to_learn, atoll_error *error)
{
    atoll_status status = atoll_record_check(record, error);
    if (status)
        return status;
    if (to_learn && !record->label.data)
        return atoll_fail(error, ATOLL_MISSING_LABEL, "no label");
    pthread_mutex_lock(&l->lock);
    uint32_t dim = l->stats.vector_dim;
    pthread_mutex_unlock(&l->lock);
    if (record->vector && dim && dim != record->vector_dim)
        return atoll_fail(error, ATOLL_WRONG_DIMENSION, "%u values, not %u", record->vector_dim, dim);
    return ATOLL_OK;
}

static void push(atoll_learner *l, task *t, task init)
{
    *t = init;
    pthread_mutex_lock(&l->lock);
    if (t->kind == 1) {
        t->next = l->waits;
        l->waits = t;
    } else {
        *l->last = t;
        l->last = &t->next;
    }
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

atoll_status atoll_learner_ingest(atoll_learner *l, const atoll_record *records, uint32_t count, bool trained,
                                  atoll_ingest_done done, void *arg, atoll_error *error)
{
    (void)error;
    task init = {.kind = 0, .trained = trained, .count = count, .ingest_done = done, .arg = arg};
    init.labels = calloc(count, sizeof *init.labels);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(init.labels[i], records[i].label.data, records[i].label.bytes);
        if (records[i].vector)
            init.dim = records[i].vector_dim;
    }
    push(l, malloc(sizeof init), init);
    return ATOLL_OK;
}

atoll_status atoll_learner_wait(atoll_learner *l, uint64_t version, int64_t timeout_ms, atoll_wait_done done,
                                void *arg, atoll_error *error)
{
    (void)error;
    task init = {.kind = 1, .version = version, .wait_done = done, .arg = arg};
    clock_gettime(CLOCK_REALTIME, &init.until);
    init.until.tv_sec += timeout_ms / 1000;
    init.until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (init.until.tv_nsec >= 1000000000) {
        init.until.tv_sec++;
        init.until.tv_nsec -= 1000000000;
    }
    push(l, malloc(sizeof init), init);
    return ATOLL_OK;
}

atoll_asker *atoll_asker_new(void)
{
    return calloc(1, sizeof(atoll_asker));
}

void atoll_asker_free(atoll_asker *asker)
{
    free(asker);
}

atoll_status atoll_learner_predict(atoll_learner *l, atoll_asker *asker, const atoll_record *records, uint32_t count,
                                   uint32_t top, bool explain, atoll_predicted each, void *arg, uint64_t *version,
                                   atoll_error *error)
{
    (void)records;
    (void)error;
    for (uint32_t r = 0; r < count; r++) {
        atoll_prediction *p = &asker->prediction;
        pthread_mutex_lock(&l->lock);
        p->prediction = ++l->predictions;
        p->labels = l->stats.labels < top ? l->stats.labels : top;
        uint32_t best = 0;
        for (uint32_t i = 0; i < l->stats.labels; i++)
            best = l->seen[i] > l->seen[best] ? i : best;
        for (uint32_t i = 0; i < p->labels; i++)
            p->label[i] = (atoll_scored_label){l->label[i ? i <= best ? i - 1 : i : best], 1.0f / (float)(i + 2)};
        p->experts = 1;
        p->expert[0] = (atoll_used_expert){0, l->stats.version, 1};
        p->neighbours = explain && l->stats.labels ? 1 : 0;
        p->neighbour[0] = (atoll_shown_neighbour){"", l->label[best], 0.5f};
        p->novelty = 0.25f;
        p->abstain = !l->stats.labels;
        *version = l->stats.version;
        pthread_mutex_unlock(&l->lock);
        each(arg, r, p);
    }
    return ATOLL_OK;
}

const char *atoll_expert_state_name(atoll_expert_state state)
{
    static const char *const names[] = {"shared", "candidate", "active", "archived"};
    return names[state];
}

atoll_status atoll_learner_experts(atoll_learner *l, atoll_expert_info **out, uint32_t *count, atoll_error *error)
{
    (void)error;
    atoll_expert_info *list = calloc(2, sizeof *list);
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < 2; i++) {
        list[i].id = i;
        list[i].state = !i ? ATOLL_EXPERT_SHARED : l->archived ? ATOLL_EXPERT_ARCHIVED : ATOLL_EXPERT_ACTIVE;
        list[i].labels = l->stats.labels;
        for (uint32_t k = 0; k < l->stats.labels; k++)
            list[i].label[k] = l->label[k];
        list[i].last_routed_ms = i ? 1700000000000 : 0;
    }
    pthread_mutex_unlock(&l->lock);
    *out = list;
    *count = 2;
    return ATOLL_OK;
}

void atoll_learner_stats(atoll_learner *l, atoll_stats *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    pthread_mutex_unlock(&l->lock);
}

atoll_status atoll_learner_domains(atoll_learner *l, atoll_domain_stats **out, uint32_t *count, atoll_error *error)
{
    (void)l;
    (void)error;
    *out = calloc(1, sizeof **out);
    *count = 0;
    return ATOLL_OK;
}

atoll_config atoll_learner_config(atoll_learner *l)
{
    pthread_mutex_lock(&l->lock);
    atoll_config config = l->config;
    pthread_mutex_unlock(&l->lock);
    return config;
}

uint64_t atoll_learner_bytes(atoll_learner *l)
{
    return sizeof *l;
}

atoll_status atoll_learner_prune(atoll_learner *l, atoll_prune_done done, void *arg, atoll_error *error)
{
    (void)error;
    push(l, malloc(sizeof(task)), (task){.kind = 3, .prune_done = done, .arg = arg});
    return ATOLL_OK;
}

atoll_status atoll_learner_prune_plan(atoll_learner *l, atoll_pruned **out, uint32_t *count, atoll_error *error)
{
    (void)l;
    (void)error;
    *out = calloc(1, sizeof **out);
    **out = (atoll_pruned){1, "idle"};
    *count = 1;
    return ATOLL_OK;
}

atoll_status atoll_learner_restore(atoll_learner *l, uint32_t id, atoll_wait_done done, void *arg, atoll_error *error)
{
    (void)error;
    push(l, malloc(sizeof(task)), (task){.kind = 4, .id = id, .wait_done = done, .arg = arg});
    return ATOLL_OK;
}

atoll_status atoll_learner_configure(atoll_learner *l, const atoll_config *config, atoll_wait_done done, void *arg,
                                     atoll_error *error)
{
    pthread_mutex_lock(&l->lock);
    atoll_config before = l->config;
    pthread_mutex_unlock(&l->lock);
    atoll_status status = atoll_config_check_change(&before, config, error);
    if (!status)
        push(l, malloc(sizeof(task)), (task){.kind = 2, .config = *config, .wait_done = done, .arg = arg});
    return status;
}
