/*
 * Threads. Any thread submits: it copies its payload into a job and hangs it on a queue, under the mutex. The
 * journal's own thread is the only writer of the environment: it takes what waits, writes it in one transaction with
 * one sync, then calls back in order of submission. While it waits for the disk the next batch gathers, so batches grow
 * with the load and nobody is delayed for their sake. Readers use read transactions of their own and wait for nothing.
 *
 * Weighed and lost: a timer that gathers for some milliseconds (costs an idle client the whole delay, and gains nothing
 * under load); the submitter that finds no writer writes for all (saves the thread, but callbacks would run on request
 * threads and a slow disk would stop them).
 *
 * A value is a head of HEAD_BYTES and the payload, numbers little endian:
 *     0 checksum of what follows, seeded with the commit   8 time_ms   16 first_seq   24 records   28 kind   30 format
 * The key is the commit, 8 bytes big endian, so that keys ascend as commits do.
 */
#include "core/journal.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/lmdb.h"

enum {
    JOURNAL_FORMAT = 1,
    ENTRY_FORMAT = 1,
    HEAD_BYTES = 32,
    CHECKSUM_BYTES = 8,
    KEY_BYTES = 8,
    JOIN_BYTES = 8 << 20,   /* submissions are not joined into an entry beyond this */
    BATCH_BYTES = 64 << 20, /* nor taken into one transaction: LMDB holds its pages in memory until the end */
    TRIM_ENTRIES = 16       /* removed in one transaction */
};

static const char journal_kind[] = "atolljrn";

/* A submission that waits. Pieces are what its entries are made of: all of it, or ATOLL_COMMIT_MAX_RECORDS each. */
typedef struct job {
    struct job *next;
    atoll_journal_done done;
    void *arg;
    atoll_entry_kind kind;
    uint32_t records, pieces;
    size_t charge; /* against pending_bytes */
    atoll_receipt receipt;
    const uint8_t *payload; /* in the same allocation, behind the cuts */
    size_t cuts[];          /* where each piece begins, and the end */
} job;

/* A piece in the queue; job NULL past the end. */
typedef struct spot {
    job *job;
    uint32_t piece;
} spot;

/* What the next entry continues from. */
typedef struct position {
    uint64_t commit, seq;
    int64_t time_ms;
} position;

struct atoll_journal {
    atoll_lmdb *db;
    size_t pending_limit;
    position next; /* the writer's own */
    _Atomic uint64_t first, last;
    pthread_t writer;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t work;   /* for the writer */
    pthread_cond_t news;   /* for atoll_journal_wait */
    job *head, *tail;
    size_t pending_bytes;
    uint64_t trim_to; /* 0: nothing to trim */
    bool woken, closing;
};

/* ---- entries as bytes ---- */

static void put_le(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le(const uint8_t *in, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

static void put_key(uint8_t key[KEY_BYTES], uint64_t commit)
{
    for (int i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t)(commit >> 8 * (KEY_BYTES - 1 - i));
}

static uint64_t get_key(const uint8_t key[KEY_BYTES])
{
    uint64_t commit = 0;
    for (int i = 0; i < KEY_BYTES; i++)
        commit = commit << 8 | key[i];
    return commit;
}

static uint64_t checksum(const uint8_t *value, size_t bytes, uint64_t commit)
{
    return atoll_hash64(value + CHECKSUM_BYTES, bytes - CHECKSUM_BYTES, commit);
}

/* Writes the head in front of a payload that is already in its place. */
static void seal(uint8_t *value, const atoll_entry *entry)
{
    put_le(value + 8, (uint64_t)entry->time_ms, 8);
    put_le(value + 16, entry->first_seq, 8);
    put_le(value + 24, entry->records, 4);
    put_le(value + 28, entry->kind, 2);
    put_le(value + 30, ENTRY_FORMAT, 2);
    put_le(value, checksum(value, HEAD_BYTES + entry->bytes, entry->commit), 8);
}

/* Checks a value and views it as an entry. */
static atoll_status unseal(uint64_t commit, const uint8_t *value, size_t bytes, atoll_entry *entry, atoll_error *error)
{
    if (bytes < HEAD_BYTES || get_le(value, 8) != checksum(value, bytes, commit))
        return atoll_fail(error, ATOLL_DAMAGED, "journal: commit %llu does not pass its checksum",
                          (unsigned long long)commit);
    *entry = (atoll_entry){
        .commit = commit,
        .kind = (atoll_entry_kind)get_le(value + 28, 2),
        .time_ms = (int64_t)get_le(value + 8, 8),
        .first_seq = get_le(value + 16, 8),
        .records = (uint32_t)get_le(value + 24, 4),
        .payload = value + HEAD_BYTES,
        .bytes = bytes - HEAD_BYTES,
    };
    if (get_le(value + 30, 2) > ENTRY_FORMAT || entry->kind < ATOLL_ENTRY_RECORDS ||
        entry->kind > ATOLL_ENTRY_RESTORE)
        return atoll_fail(error, ATOLL_NEWER_FORMAT, "journal: commit %llu is of an unknown kind",
                          (unsigned long long)commit);
    return ATOLL_OK;
}

/* ---- writing ---- */

static uint32_t piece_records(spot at)
{
    uint32_t before = at.piece * (uint32_t)ATOLL_COMMIT_MAX_RECORDS;
    uint32_t left = at.job->records - before;
    return left < ATOLL_COMMIT_MAX_RECORDS ? left : ATOLL_COMMIT_MAX_RECORDS;
}

static size_t piece_bytes(spot at)
{
    return at.job->cuts[at.piece + 1] - at.job->cuts[at.piece];
}

static spot next_spot(spot at)
{
    return at.piece + 1 < at.job->pieces ? (spot){at.job, at.piece + 1} : (spot){at.job->next, 0};
}

/* Counts the pieces that make the entry beginning at `at`, and returns where the one after it begins. */
static spot gather(spot at, atoll_entry *entry)
{
    entry->kind = at.job->kind;
    entry->records = piece_records(at);
    entry->bytes = piece_bytes(at);
    for (at = next_spot(at); at.job; at = next_spot(at)) {
        if (entry->kind != ATOLL_ENTRY_RECORDS || at.job->kind != ATOLL_ENTRY_RECORDS ||
            entry->records + piece_records(at) > ATOLL_COMMIT_MAX_RECORDS ||
            entry->bytes + piece_bytes(at) > JOIN_BYTES)
            break;
        entry->records += piece_records(at);
        entry->bytes += piece_bytes(at);
    }
    return at;
}

static void note_receipt(spot at, uint64_t commit, uint64_t seq)
{
    atoll_receipt *receipt = &at.job->receipt;
    if (!at.piece) {
        receipt->first_commit = commit;
        receipt->first_seq = seq;
        receipt->last_seq = seq + at.job->records - 1;
    }
    receipt->last_commit = commit;
}

static atoll_status write_entry(atoll_lmdb_txn *txn, spot *at, position *next, atoll_error *error)
{
    atoll_entry entry = {.commit = next->commit, .first_seq = next->seq};
    spot end = gather(*at, &entry);
    int64_t now_ms = atoll_clock_wall_ms();
    entry.time_ms = now_ms > next->time_ms ? now_ms : next->time_ms;

    uint8_t key[KEY_BYTES];
    void *space;
    put_key(key, entry.commit);
    atoll_status status = atoll_lmdb_reserve(txn, key, sizeof key, HEAD_BYTES + entry.bytes, true, &space, error);
    if (status)
        return status;
    uint8_t *out = (uint8_t *)space + HEAD_BYTES;
    for (; at->job != end.job || at->piece != end.piece; *at = next_spot(*at)) {
        if (piece_bytes(*at))
            memcpy(out, at->job->payload + at->job->cuts[at->piece], piece_bytes(*at));
        out += piece_bytes(*at);
        note_receipt(*at, next->commit, next->seq);
        next->seq += piece_records(*at);
    }
    seal(space, &entry);
    next->commit++;
    next->time_ms = entry.time_ms;
    return ATOLL_OK;
}

/* All jobs in one transaction; where it fails, `next` is as before. */
static atoll_status write_batch(atoll_lmdb *db, job *jobs, position *next, atoll_error *error)
{
    atoll_lmdb_txn *txn;
    position now = *next;
    atoll_status status = atoll_lmdb_begin(db, true, &txn, error);
    if (status)
        return status;
    for (spot at = {jobs, 0}; !status && at.job;)
        status = write_entry(txn, &at, &now, error);
    if (status) {
        atoll_lmdb_abort(txn);
        return status;
    }
    status = atoll_lmdb_commit(txn, error);
    if (!status)
        *next = now;
    return status;
}

/* Removes entries from *first on, up to `commit` and at most `most`; *first is then the oldest that is left. */
static atoll_status drop_entries(atoll_lmdb_txn *txn, uint64_t *first, uint64_t commit, unsigned most,
                                 atoll_error *error)
{
    for (unsigned dropped = 0;; dropped++) {
        uint8_t key[KEY_BYTES];
        atoll_lmdb_bytes found, value;
        put_key(key, *first);
        atoll_status status = atoll_lmdb_seek(txn, key, sizeof key, &found, &value, error);
        if (status)
            return status;
        *first = get_key(found.data);
        if (*first > commit || dropped == most)
            return ATOLL_OK;
        put_key(key, *first);
        status = atoll_lmdb_drop(txn, key, sizeof key, error);
        if (status)
            return status;
    }
}

/* One step of trimming; *done once nothing up to `commit` is left but the newest. */
static atoll_status trim(atoll_journal *journal, uint64_t commit, unsigned most, bool *done, atoll_error *error)
{
    uint64_t first = atomic_load(&journal->first), last = atomic_load(&journal->last);
    if (commit >= last)
        commit = last - 1;
    *done = !first || first > commit;
    if (*done)
        return ATOLL_OK;
    atoll_lmdb_txn *txn;
    atoll_status status = atoll_lmdb_begin(journal->db, true, &txn, error);
    if (status)
        return status;
    status = drop_entries(txn, &first, commit, most, error);
    if (status) {
        atoll_lmdb_abort(txn);
        return status;
    }
    status = atoll_lmdb_commit(txn, error);
    if (!status) {
        atomic_store(&journal->first, first);
        *done = first > commit;
    }
    return status;
}

/* ---- the writer thread ---- */

/* Takes the head of the queue, up to BATCH_BYTES. The mutex is held. */
static job *take_batch(atoll_journal *journal)
{
    job *batch = journal->head, *end = batch;
    if (!batch)
        return NULL;
    size_t bytes = end->charge;
    while (end->next && bytes + end->next->charge <= BATCH_BYTES) {
        end = end->next;
        bytes += end->charge;
    }
    journal->head = end->next;
    if (!journal->head)
        journal->tail = NULL;
    end->next = NULL;
    return batch;
}

static void run_batch(atoll_journal *journal, job *batch)
{
    atoll_error error = {.status = ATOLL_OK};
    size_t bytes = 0;
    for (const job *j = batch; j; j = j->next)
        bytes += j->charge;
    atoll_status status = write_batch(journal->db, batch, &journal->next, &error);
    if (!status) {
        if (!atomic_load(&journal->first))
            atomic_store(&journal->first, batch->receipt.first_commit);
        atomic_store(&journal->last, journal->next.commit - 1);
    }
    /* Before the callbacks, so that who is told of an end finds its place in the queue free. */
    pthread_mutex_lock(&journal->mutex);
    journal->pending_bytes -= bytes;
    pthread_cond_broadcast(&journal->news);
    pthread_mutex_unlock(&journal->mutex);
    while (batch) {
        job *j = batch;
        batch = j->next;
        j->done(j->arg, status, status ? NULL : &j->receipt, &error);
        free(j);
    }
}

/* One transaction's worth. On a full disk or map the smallest step may still find the few pages it needs. Trimming that
 * fails is left until it is asked for again. */
static void run_trim(atoll_journal *journal, uint64_t commit)
{
    bool done = false;
    atoll_status status = trim(journal, commit, TRIM_ENTRIES, &done, NULL);
    if (status == ATOLL_NO_SPACE)
        status = trim(journal, commit, 1, &done, NULL);
    pthread_mutex_lock(&journal->mutex);
    if ((done || status) && journal->trim_to == commit)
        journal->trim_to = 0;
    pthread_mutex_unlock(&journal->mutex);
}

static void *write_loop(void *arg)
{
    atoll_journal *journal = arg;
    for (;;) {
        pthread_mutex_lock(&journal->mutex);
        while (!journal->head && !journal->trim_to && !journal->closing)
            pthread_cond_wait(&journal->work, &journal->mutex);
        bool over = !journal->head && journal->closing;
        job *batch = take_batch(journal);
        uint64_t trim_to = journal->trim_to;
        pthread_mutex_unlock(&journal->mutex);
        if (over)
            return NULL;
        if (batch)
            run_batch(journal, batch);
        if (trim_to)
            run_trim(journal, trim_to);
    }
}

/* ---- opening and closing ---- */

/* Finds the first and the newest entry, and what comes after. */
static atoll_status recover(atoll_journal *journal, const atoll_journal_options *options, atoll_error *error)
{
    static const uint8_t least[KEY_BYTES] = {0};
    atoll_lmdb_txn *txn;
    atoll_lmdb_bytes first, last, value;
    atoll_entry entry;
    atoll_status status = atoll_lmdb_begin(journal->db, false, &txn, error);
    if (status)
        return status;
    journal->next = (position){.commit = 1, .seq = 1};
    status = atoll_lmdb_seek(txn, least, sizeof least, &first, &value, error);
    if (!status)
        status = atoll_lmdb_last(txn, &last, &value, error);
    if (!status && (first.bytes != KEY_BYTES || last.bytes != KEY_BYTES))
        status = atoll_fail(error, ATOLL_DAMAGED, "journal: a key is not a commit");
    if (!status)
        status = unseal(get_key(last.data), value.data, value.bytes, &entry, error);
    if (!status) {
        atomic_store(&journal->first, get_key(first.data));
        atomic_store(&journal->last, entry.commit);
        journal->next = (position){entry.commit + 1, entry.first_seq + entry.records, entry.time_ms};
    } else if (status == ATOLL_NOT_FOUND) {
        status = ATOLL_OK;
    }
    atoll_lmdb_abort(txn);
    if (journal->next.commit < options->next_commit_floor)
        journal->next.commit = options->next_commit_floor;
    if (journal->next.seq < options->next_seq_floor)
        journal->next.seq = options->next_seq_floor;
    return status;
}

/* The thread takes no signals: they are for those who wait for them. */
static atoll_status start_writer(atoll_journal *journal, atoll_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&journal->writer, NULL, write_loop, journal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? atoll_fail(error, ATOLL_NO_MEMORY, "journal: starting its thread: %s", strerror(rc)) : ATOLL_OK;
}

atoll_status atoll_journal_open(const char *path, const atoll_journal_options *options, atoll_journal **out,
                                atoll_error *error)
{
    *out = NULL;
    atoll_journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return atoll_fail(error, ATOLL_NO_MEMORY, "journal: opening");
    journal->pending_limit = options->pending_bytes;
    atoll_status status = atoll_lmdb_open(path, journal_kind, JOURNAL_FORMAT, options->map_bytes, &journal->db, error);
    if (status)
        goto no_db;
    status = recover(journal, options, error);
    if (status)
        goto no_thread;

    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&journal->mutex, NULL);
    pthread_cond_init(&journal->work, NULL);
    pthread_cond_init(&journal->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    status = start_writer(journal, error);
    if (!status) {
        *out = journal;
        return ATOLL_OK;
    }
    pthread_cond_destroy(&journal->news);
    pthread_cond_destroy(&journal->work);
    pthread_mutex_destroy(&journal->mutex);
no_thread:
    atoll_lmdb_close(journal->db);
no_db:
    free(journal);
    return status;
}

void atoll_journal_close(atoll_journal *journal)
{
    if (!journal)
        return;
    pthread_mutex_lock(&journal->mutex);
    journal->closing = true;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->mutex);
    pthread_join(journal->writer, NULL);
    pthread_cond_destroy(&journal->news);
    pthread_cond_destroy(&journal->work);
    pthread_mutex_destroy(&journal->mutex);
    atoll_lmdb_close(journal->db);
    free(journal);
}

/* ---- submitting ---- */

static job *make_job(const uint8_t *payload, size_t bytes, const size_t *offsets, uint32_t records)
{
    uint32_t pieces = records ? (records - 1) / ATOLL_COMMIT_MAX_RECORDS + 1 : 1;
    size_t head = sizeof(job) + (pieces + 1) * sizeof(size_t);
    job *j = malloc(head + bytes);
    if (!j)
        return NULL;
    uint8_t *copy = (uint8_t *)j + head;
    if (bytes)
        memcpy(copy, payload, bytes);
    *j = (job){.records = records, .pieces = pieces, .charge = head + bytes, .payload = copy};
    for (uint32_t i = 0; i < pieces; i++)
        j->cuts[i] = i ? offsets[(size_t)i * ATOLL_COMMIT_MAX_RECORDS] : 0;
    j->cuts[pieces] = bytes;
    return j;
}

atoll_status atoll_journal_submit(atoll_journal *journal, atoll_entry_kind kind, const uint8_t *payload, size_t bytes,
                                  const size_t *offsets, uint32_t records, atoll_journal_done done, void *arg,
                                  atoll_error *error)
{
    assert((kind == ATOLL_ENTRY_RECORDS) == (records > 0));
    assert(!records || (offsets[0] == 0 && offsets[records] == bytes));
    job *j = make_job(payload, bytes, offsets, records);
    if (!j)
        return atoll_fail(error, ATOLL_NO_MEMORY, "journal: %zu bytes to write", bytes);
    j->kind = kind;
    j->done = done;
    j->arg = arg;

    pthread_mutex_lock(&journal->mutex);
    size_t waiting = journal->pending_bytes;
    bool room = !waiting || (waiting < journal->pending_limit && j->charge <= journal->pending_limit - waiting);
    if (room) {
        journal->pending_bytes += j->charge;
        if (journal->tail)
            journal->tail->next = j;
        else
            journal->head = j;
        journal->tail = j;
        pthread_cond_signal(&journal->work);
    }
    pthread_mutex_unlock(&journal->mutex);
    if (!room) {
        free(j);
        return atoll_fail(error, ATOLL_BUSY, "journal: %zu bytes wait for the disk", waiting);
    }
    return ATOLL_OK;
}

size_t atoll_journal_waiting_bytes(atoll_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    size_t bytes = journal->pending_bytes;
    pthread_mutex_unlock(&journal->mutex);
    return bytes;
}

void atoll_journal_trim(atoll_journal *journal, uint64_t commit)
{
    pthread_mutex_lock(&journal->mutex);
    if (journal->trim_to < commit)
        journal->trim_to = commit;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->mutex);
}

/* ---- reading and waiting ---- */

uint64_t atoll_journal_last(atoll_journal *journal)
{
    return atomic_load(&journal->last);
}

uint64_t atoll_journal_first(atoll_journal *journal)
{
    return atomic_load(&journal->first);
}

uint64_t atoll_journal_bytes(atoll_journal *journal)
{
    return atoll_lmdb_bytes_used(journal->db);
}

uint64_t atoll_journal_wait(atoll_journal *journal, uint64_t commit, int64_t timeout_ms)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + timeout_ms * 1000000;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    int rc = 0;
    pthread_mutex_lock(&journal->mutex);
    while (!rc && !journal->woken && atomic_load(&journal->last) <= commit)
        rc = pthread_cond_timedwait(&journal->news, &journal->mutex, &until);
    journal->woken = false;
    pthread_mutex_unlock(&journal->mutex);
    return atomic_load(&journal->last);
}

void atoll_journal_wake(atoll_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    journal->woken = true;
    pthread_cond_broadcast(&journal->news);
    pthread_mutex_unlock(&journal->mutex);
}

static atoll_status grow(uint8_t **buffer, size_t *capacity, size_t bytes, atoll_error *error)
{
    if (bytes <= *capacity)
        return ATOLL_OK;
    size_t more = bytes + bytes / 2;
    uint8_t *larger = realloc(*buffer, more);
    if (!larger)
        return atoll_fail(error, ATOLL_NO_MEMORY, "journal: %zu bytes to read", bytes);
    *buffer = larger;
    *capacity = more;
    return ATOLL_OK;
}

atoll_status atoll_journal_read(atoll_journal *journal, uint64_t commit, uint8_t **buffer, size_t *capacity,
                                atoll_entry *entry, atoll_error *error)
{
    uint8_t key[KEY_BYTES];
    atoll_lmdb_txn *txn;
    atoll_lmdb_bytes value;
    put_key(key, commit);
    atoll_status status = atoll_lmdb_begin(journal->db, false, &txn, error);
    if (status)
        return status;
    status = atoll_lmdb_get(txn, key, sizeof key, &value, error);
    if (status == ATOLL_NOT_FOUND)
        atoll_fail(error, status, "journal: there is no commit %llu", (unsigned long long)commit);
    if (!status)
        status = grow(buffer, capacity, value.bytes, error);
    if (!status)
        memcpy(*buffer, value.data, value.bytes);
    atoll_lmdb_abort(txn);
    return status ? status : unseal(commit, *buffer, value.bytes, entry, error);
}
