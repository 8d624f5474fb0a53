/* What changes a running model: records that come in, and governing. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "learner/inside.h"
#include "learner/pruning.h"

/* Durable and not yet learned; beyond it ingest is refused for a while. While an embedding server is down, records are
 * taken for much longer: the journal is there to wait. */
enum { BACKLOG_COMMITS = 4096, OUTAGE_COMMITS = 64 * BACKLOG_COMMITS };

/* So many come into a model that is under its budget and has nothing to learn, whatever it expects of them. */
enum { SMALL_RECORDS = 16 };

enum { ADMITTED_LEAST = 1024 }; /* places for labels that were let in, at first */

/* ---- at the door ---- */

/* The place of a hash among the labels that were let in, or the empty one where it belongs. */
static uint32_t admitted_place(const uint64_t *admitted, uint32_t places, uint64_t hash)
{
    uint32_t place = (uint32_t)(hash >> 32) % places;
    while (admitted[place] && admitted[place] != hash)
        place = (place + 1) % places;
    return place;
}

/* Places for `more` labels in a table that stays at most half full. */
static bool reserve_admitted(atoll_learner *learner, uint32_t more)
{
    uint32_t places = learner->admitted_places;
    while (2 * (learner->admitted_count + more) > places)
        places *= 2;
    if (places == learner->admitted_places)
        return true;
    uint64_t *grown = calloc(places, sizeof *grown);
    for (uint32_t i = 0; grown && i < learner->admitted_places; i++)
        if (learner->admitted[i])
            grown[admitted_place(grown, places, learner->admitted[i])] = learner->admitted[i];
    if (!grown)
        return false;
    free(learner->admitted);
    learner->admitted = grown;
    learner->admitted_places = places;
    return true;
}

static uint64_t hash_of(atoll_slice label)
{
    return atoll_hash64(label.data, label.bytes, 0) | 1;
}

/* Under the mutex, and so are the next. */
static bool is_admitted(const atoll_learner *learner, uint64_t hash)
{
    return learner->admitted[admitted_place(learner->admitted, learner->admitted_places, hash)];
}

/* Where there is a place for it. */
static void add_admitted(atoll_learner *learner, uint64_t hash)
{
    learner->admitted[admitted_place(learner->admitted, learner->admitted_places, hash)] = hash;
    learner->admitted_count++;
}

static atoll_status admit(atoll_learner *learner, uint64_t hash, bool add, atoll_error *error)
{
    if (is_admitted(learner, hash))
        return ATOLL_OK;
    if (learner->admitted_count == ATOLL_LABELS_MAX)
        return atoll_fail(error, ATOLL_TOO_MANY_LABELS, "at most %d labels", ATOLL_LABELS_MAX);
    if (!add)
        return ATOLL_OK;
    if (!reserve_admitted(learner, 1))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for labels");
    add_admitted(learner, hash);
    return ATOLL_OK;
}

atoll_status atoll_learner_admit(atoll_learner *learner, atoll_slice label, bool add, atoll_error *error)
{
    pthread_mutex_lock(&learner->mutex);
    atoll_status status = admit(learner, hash_of(label), add, error);
    pthread_mutex_unlock(&learner->mutex);
    return status;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Keeps those of `count` hashes that are new, each once; how many. */
static uint32_t keep_new(const atoll_learner *learner, uint64_t *hash, uint32_t count)
{
    uint32_t found = 0, distinct = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!is_admitted(learner, hash[i]))
            hash[found++] = hash[i];
    qsort(hash, found, sizeof *hash, compare_hashes);
    for (uint32_t i = 0; i < found; i++)
        if (!distinct || hash[i] != hash[distinct - 1])
            hash[distinct++] = hash[i];
    return distinct;
}

/*
 * Lets in the labels of all records, or of none: those of a request for which there is no room would keep others out
 * for ever. What the journal does not take afterwards leaves its labels in.
 */
static atoll_status admit_all(atoll_learner *learner, const atoll_record *records, uint32_t count, atoll_error *error)
{
    uint64_t *hash = malloc((count + 1) * sizeof *hash);
    if (!hash)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for labels");
    atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; i < count; i++)
        hash[i] = hash_of(records[i].label);
    pthread_mutex_lock(&learner->mutex);
    uint32_t fresh = keep_new(learner, hash, count), room = ATOLL_LABELS_MAX - learner->admitted_count;
    if (fresh > room)
        status = atoll_fail(error, ATOLL_TOO_MANY_LABELS, "at most %d labels; %u are new, and there is room for %u",
                            ATOLL_LABELS_MAX, fresh, room);
    else if (!reserve_admitted(learner, fresh))
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for labels");
    for (uint32_t i = 0; i < fresh && status == ATOLL_OK; i++)
        add_admitted(learner, hash[i]);
    pthread_mutex_unlock(&learner->mutex);
    free(hash);
    return status;
}

static atoll_status other_dimension(uint32_t dim, uint32_t taken, atoll_error *error)
{
    return atoll_fail(error, ATOLL_WRONG_DIMENSION, "the vector has %u values, the model takes %u", dim, taken);
}

/* The dimension of all vectors among the records, 0 if there is none. A batch of several is refused whole. */
static atoll_status find_dimension(atoll_learner *learner, const atoll_record *records, uint32_t count, uint32_t *dim,
                                   atoll_error *error)
{
    uint32_t taken = atomic_load(&learner->vector_dim);
    *dim = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t here = records[i].vector ? records[i].vector_dim : 0;
        *dim = *dim ? *dim : here;
        if (here && here != (taken ? taken : *dim))
            return other_dimension(here, taken ? taken : *dim, error);
    }
    return ATOLL_OK;
}

/* The first vectors that are taken settle it. */
static atoll_status settle_dimension(atoll_learner *learner, uint32_t dim, atoll_error *error)
{
    uint32_t taken = 0;
    return dim && !atomic_compare_exchange_strong(&learner->vector_dim, &taken, dim) && taken != dim
               ? other_dimension(dim, taken, error)
               : ATOLL_OK;
}

/* One entry that waits to be learned. */
static atoll_status admit_entry(atoll_learner *learner, const atoll_entry *entry, float *vector,
                                atoll_config *newest, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    size_t at = 0;
    if (entry->kind == ATOLL_ENTRY_CONFIG)
        return atoll_config_merge(newest, (const char *)entry->payload, entry->bytes, error);
    if (entry->kind != ATOLL_ENTRY_RECORDS)
        return ATOLL_OK;
    atomic_fetch_add(&learner->taken, entry->records);
    for (uint32_t i = 0; i < entry->records && status == ATOLL_OK; i++) {
        atoll_record record;
        size_t used = 0;
        status = atoll_record_decode(entry->payload + at, entry->bytes - at, vector, &record, &used, error);
        if (status == ATOLL_OK && (status = atoll_learner_admit(learner, record.label, true, error)) == ATOLL_OK)
            status = settle_dimension(learner, record.vector ? record.vector_dim : 0, error);
        at += used;
    }
    return status;
}

atoll_status atoll_learner_admit_known(atoll_learner *learner, atoll_config *newest, atoll_error *error)
{
    const atoll_names *labels = &learner->state.labels;
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    atoll_status status = ATOLL_OK;
    float *vector = malloc(ATOLL_NUMBERS_MAX * sizeof *vector);
    learner->admitted_places = ADMITTED_LEAST;
    learner->admitted = calloc(learner->admitted_places, sizeof *learner->admitted);
    if (!learner->admitted || !vector)
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for labels");
    for (uint32_t i = 0; i < labels->count && status == ATOLL_OK; i++)
        status = atoll_learner_admit(learner, (atoll_slice){labels->name[i], strlen(labels->name[i])}, true, error);
    const atoll_model *model = &learner->state.model;
    uint32_t vector_dim = model->encoder.outside ? model->config.embedding_dim : model->encoder.vector_dim;
    atomic_store(&learner->vector_dim, vector_dim);
    learner->takes_tokens = newest->granularity == ATOLL_GRANULARITY_TOKEN;
    atomic_store(&learner->taken, learner->state.model.records);
    uint64_t last = atoll_journal_last(learner->journal);
    for (uint64_t commit = learner->state.model.version + 1; commit <= last && status == ATOLL_OK; commit++) {
        atoll_entry entry;
        status = atoll_journal_read(learner->journal, commit, &buffer, &capacity, &entry, error);
        if (status == ATOLL_OK)
            status = admit_entry(learner, &entry, vector, newest, error);
    }
    free(buffer);
    free(vector);
    return status;
}

atoll_status atoll_learner_check(atoll_learner *learner, const atoll_record *record, bool to_learn,
                                 atoll_error *error)
{
    atoll_status status = atoll_record_check(record, error);
    if (status)
        return status;
    if (record->tokens && !learner->takes_tokens)
        return atoll_record_refuse_tokens(error);
    uint32_t dim = atomic_load(&learner->vector_dim);
    if (record->vector && dim && record->vector_dim != dim)
        return atoll_fail(error, ATOLL_WRONG_DIMENSION, "%s %u values, the model takes %u",
                          record->tokens ? "each of the tokens has" : "the vector has", record->vector_dim, dim);
    if (!to_learn)
        return ATOLL_OK;
    if (!record->label.data)
        return atoll_fail(error, ATOLL_MISSING_LABEL, "a record to learn from needs a label");
    return atoll_learner_admit(learner, record->label, false, error);
}

/* ---- records ---- */

typedef struct submission {
    atoll_learner *learner;
    uint32_t count;
    bool trained;
    atoll_ingest_done done;
    void *arg;
} submission;

static void give_room_back(atoll_learner *learner, uint32_t count)
{
    atomic_fetch_sub(&learner->taken, count);
}

static void written(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    submission *s = arg;
    atoll_ingested ingested = {0};
    atoll_error lost;
    if (status)
        give_room_back(s->learner, s->count);
    if (receipt)
        ingested = (atoll_ingested){receipt->first_seq, receipt->last_seq, receipt->last_commit};
    if (status || !s->trained) {
        s->done(s->arg, status, &ingested, error);
    } else {
        atoll_waiter waiter = {.version = ingested.version,
                               .deadline_ns = INT64_MAX,
                               .ingested = ingested,
                               .ingest_done = s->done,
                               .arg = s->arg};
        if ((status = atoll_learner_enlist(s->learner, &waiter, &lost)))
            s->done(s->arg, status, &ingested, &lost);
    }
    free(s);
}

/*
 * Whether `count` records more may come where `taken` have. Under the budget a request finds room if, with all that
 * waits to be learned, the model would stay under it at its present growth; while its memory fills, that is its mean
 * growth at least. The present growth may be high by chance, and would stay so while nothing comes: so for one that
 * finds nothing waiting it is the mean at most, and what is small is let in all the same. What readers and the disk
 * need for a moment is not refused, but waited for (learner.c).
 */
static atoll_status check_room(atoll_learner *learner, uint64_t taken, uint32_t count, atoll_error *error)
{
    int ticket;
    char why[ATOLL_ERROR_DETAIL_BYTES];
    const atoll_published *p = atoll_learner_enter(learner, &ticket);
    uint64_t behind = atoll_journal_last(learner->journal) - p->model->version;
    atoll_footprint held = atoll_learner_footprint(learner, p);
    uint64_t bytes = atoll_footprint_lasting(&held), budget = p->model->config.budget_bytes;
    uint64_t learned = p->model->records, waiting = taken > learned ? taken - learned : 0;
    double growth_bytes = p->growth_bytes, mean_bytes = atoll_learner_mean_growth(bytes, learned);
    bool filling = learned < p->model->config.memory_exemplars;
    if (waiting ? filling && growth_bytes < mean_bytes : growth_bytes > mean_bytes)
        growth_bytes = mean_bytes;
    atoll_learner_leave(learner, ticket);
    if (behind > BACKLOG_COMMITS && (behind > OUTAGE_COMMITS || !atoll_learner_stalled_ns(learner, why)))
        return atoll_fail(error, ATOLL_BUSY, "%llu commits wait to be learned", (unsigned long long)behind);
    if (bytes > budget)
        return atoll_fail(error, ATOLL_BUSY, "the model holds %llu bytes of its budget_bytes %llu",
                          (unsigned long long)bytes, (unsigned long long)budget);
    if ((waiting || count > SMALL_RECORDS) &&
        (double)bytes + growth_bytes * (double)(waiting + count) > (double)budget)
        return atoll_fail(error, ATOLL_BUSY, "%llu records wait to be learned; %u more may pass budget_bytes %llu%s",
                          (unsigned long long)waiting, count, (unsigned long long)budget,
                          waiting ? "" : "; send fewer at once");
    return ATOLL_OK;
}

/* Checks and takes in one step, so that two requests do not both find the room that one of them takes. */
static atoll_status take_room(atoll_learner *learner, uint32_t count, atoll_error *error)
{
    uint64_t taken = atomic_load(&learner->taken);
    atoll_status status = atoll_learner_over(learner, error);
    if (status)
        return status;
    do
        status = check_room(learner, taken, count, error);
    while (status == ATOLL_OK && !atomic_compare_exchange_weak(&learner->taken, &taken, taken + count));
    return status;
}

atoll_status atoll_learner_ingest(atoll_learner *learner, const atoll_record *records, uint32_t count, bool trained,
                                  atoll_ingest_done done, void *arg, atoll_error *error)
{
    uint32_t dim;
    atoll_status status = find_dimension(learner, records, count, &dim, error);
    if (status || (status = take_room(learner, count, error)))
        return status;
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += atoll_record_size(&records[i]);
    submission *s = malloc(sizeof *s);
    uint8_t *payload = malloc(bytes + 1);
    size_t *offsets = malloc((count + 1) * sizeof *offsets);
    if (!s || !payload || !offsets) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u records", count);
        goto fail;
    }
    *s = (submission){learner, count, trained, done, arg};
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        offsets[i + 1] = offsets[i] + atoll_record_encode(&records[i], payload + offsets[i]);
    if ((status = admit_all(learner, records, count, error)) || (status = settle_dimension(learner, dim, error)))
        goto fail;
    status = atoll_journal_submit(learner->journal, ATOLL_ENTRY_RECORDS, payload, bytes, offsets, count, written, s,
                                  error);
    if (status == ATOLL_OK)
        s = NULL; /* `written` frees it, and gives back where the journal fails */
fail:
    if (status)
        give_room_back(learner, count);
    free(s);
    free(payload);
    free(offsets);
    return status;
}

atoll_status atoll_learner_wait(atoll_learner *learner, uint64_t version, int64_t timeout_ms, atoll_wait_done done,
                                void *arg, atoll_error *error)
{
    atoll_waiter waiter = {.version = version,
                           .deadline_ns = atoll_clock_monotonic_ns() + timeout_ms * 1000000,
                           .wait_done = done,
                           .arg = arg};
    return atoll_learner_enlist(learner, &waiter, error);
}

/* ---- governing ---- */

typedef struct order {
    atoll_learner *learner;
    atoll_wait_done wait_done;
    atoll_prune_done prune_done;
    void *arg;
} order;

static void ordered(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    order *o = arg;
    atoll_error lost;
    atoll_waiter waiter = {.version = receipt ? receipt->last_commit : 0,
                           .deadline_ns = INT64_MAX,
                           .ordered = true,
                           .wait_done = o->wait_done,
                           .prune_done = o->prune_done,
                           .arg = o->arg};
    if (status == ATOLL_OK && (status = atoll_learner_enlist(o->learner, &waiter, &lost)))
        error = &lost;
    if (status && o->prune_done)
        o->prune_done(o->arg, status, NULL, 0, 0, error);
    else if (status)
        o->wait_done(o->arg, status, error);
    free(o);
}

/* Writes an entry that governs; one of the callbacks comes when it has been carried out and published. */
static atoll_status give_order(atoll_learner *learner, atoll_entry_kind kind, const void *payload, size_t bytes,
                               const order *like, atoll_error *error)
{
    atoll_status over = atoll_learner_over(learner, error);
    if (over)
        return over;
    order *o = malloc(sizeof *o);
    if (!o)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to govern");
    *o = *like;
    atoll_status status = atoll_journal_submit(learner->journal, kind, payload, bytes, NULL, 0, ordered, o, error);
    if (status)
        free(o);
    return status;
}

static uint32_t asked_of(atoll_learner *learner, int64_t *last_ms)
{
    int ticket;
    uint32_t count = atoll_learner_enter(learner, &ticket)->model->experts;
    atoll_learner_leave(learner, ticket);
    for (uint32_t e = 0; e < count; e++)
        last_ms[e] = atomic_load(&learner->asked_ms[e]);
    return count;
}

atoll_status atoll_learner_prune(atoll_learner *learner, atoll_prune_done done, void *arg, atoll_error *error)
{
    int64_t last_ms[ATOLL_EXPERTS_MAX];
    uint32_t count = asked_of(learner, last_ms);
    order o = {.learner = learner, .prune_done = done, .arg = arg};
    return give_order(learner, ATOLL_ENTRY_PRUNE, last_ms, count * sizeof *last_ms, &o, error);
}

atoll_status atoll_learner_prune_plan(atoll_learner *learner, atoll_pruned **out, uint32_t *count, atoll_error *error)
{
    int64_t last_ms[ATOLL_EXPERTS_MAX];
    atoll_asked asked = {asked_of(learner, last_ms), last_ms};
    int ticket;
    const atoll_model *model = atoll_learner_enter(learner, &ticket)->model;
    *out = malloc(model->experts * sizeof **out);
    if (*out)
        atoll_pruning_plan(model, &asked, atoll_clock_wall_ms(), *out, count);
    atoll_learner_leave(learner, ticket);
    return *out ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a plan");
}

atoll_status atoll_learner_restore(atoll_learner *learner, uint32_t id, atoll_wait_done done, void *arg,
                                   atoll_error *error)
{
    int ticket;
    const atoll_model *model = atoll_learner_enter(learner, &ticket)->model;
    atoll_expert_state state = id < model->experts ? model->expert[id].state : ATOLL_EXPERT_GONE;
    atoll_learner_leave(learner, ticket);
    /* Refused before anything is written; an order given meanwhile is judged again when it is carried out. */
    if (state == ATOLL_EXPERT_GONE)
        return atoll_fail(error, ATOLL_UNKNOWN_EXPERT, "the model has no expert %u", id);
    if (state != ATOLL_EXPERT_ARCHIVED)
        return atoll_fail(error, ATOLL_WRONG_STATE, "expert %u is %s, not archived", id,
                          atoll_expert_state_name(state));
    order o = {.learner = learner, .wait_done = done, .arg = arg};
    return give_order(learner, ATOLL_ENTRY_RESTORE, &id, sizeof id, &o, error);
}

atoll_status atoll_learner_configure(atoll_learner *learner, const atoll_config *config, atoll_wait_done done,
                                     void *arg, atoll_error *error)
{
    atoll_config present = atoll_learner_config(learner);
    atoll_status status = atoll_config_check_change(&present, config, error);
    if (status)
        return status;
    char *json = atoll_config_print(config);
    if (!json)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a configuration");
    order o = {.learner = learner, .wait_done = done, .arg = arg};
    pthread_mutex_lock(&learner->configuring);
    status = give_order(learner, ATOLL_ENTRY_CONFIG, json, strlen(json), &o, error);
    if (status == ATOLL_OK && learner->embedder)
        atoll_embedder_configure(learner->embedder, config);
    pthread_mutex_unlock(&learner->configuring);
    free(json);
    return status;
}
