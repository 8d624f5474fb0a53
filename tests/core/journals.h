/* What the journal's tests share: records that can be told apart and checked, submitting and waiting, a verifier. */
#ifndef ATOLL_TESTS_CORE_JOURNALS_H
#define ATOLL_TESTS_CORE_JOURNALS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/journal.h"
#include "core/limits.h"
#include "tests/core/folder.h"

enum { MAP_BYTES = 256 << 20, TAG_BYTES = 12 };

static const atoll_journal_options plain = {.map_bytes = MAP_BYTES, .pending_bytes = 64 << 20};

static inline atoll_journal *open_journal(const folder *f, const atoll_journal_options *options)
{
    atoll_journal *journal;
    atoll_error error = {0};
    if (atoll_journal_open(f->path, options, &journal, &error))
        fail_msg("%s", error.detail);
    return journal;
}

/* A record of these tests: its length (4 bytes), a tag (8 bytes), and a filling that follows from the two. */
static inline size_t make_record(uint8_t *out, uint64_t tag, uint32_t filling)
{
    memcpy(out, &filling, 4);
    memcpy(out + 4, &tag, 8);
    for (uint32_t i = 0; i < filling; i++)
        out[TAG_BYTES + i] = (uint8_t)(tag * 31 + i);
    return TAG_BYTES + filling;
}

/* Reads one back; false where it is not whole. */
static inline bool read_record(const uint8_t *in, size_t bytes, uint64_t *tag, size_t *used)
{
    uint32_t filling;
    if (bytes < TAG_BYTES)
        return false;
    memcpy(&filling, in, 4);
    memcpy(tag, in + 4, 8);
    if (filling > bytes - TAG_BYTES)
        return false;
    for (uint32_t i = 0; i < filling; i++) {
        if (in[TAG_BYTES + i] != (uint8_t)(*tag * 31 + i))
            return false;
    }
    *used = TAG_BYTES + filling;
    return true;
}

typedef struct outcome {
    atomic_int calls;
    atoll_status status;
    atoll_receipt receipt;
    atoll_error error;
    pthread_mutex_t mutex;
    pthread_cond_t called;
} outcome;

static inline void outcome_init(outcome *o)
{
    memset(o, 0, sizeof *o);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->called, NULL);
}

static inline void note(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    outcome *o = arg;
    pthread_mutex_lock(&o->mutex);
    o->calls++;
    o->status = status;
    if (receipt)
        o->receipt = *receipt;
    o->error = *error;
    pthread_cond_signal(&o->called);
    pthread_mutex_unlock(&o->mutex);
}

static inline void outcome_wait(outcome *o, int calls)
{
    pthread_mutex_lock(&o->mutex);
    while (o->calls < calls)
        pthread_cond_wait(&o->called, &o->mutex);
    pthread_mutex_unlock(&o->mutex);
}

/* Submits `records` records with tags from `tag` on. */
static inline atoll_status submit(atoll_journal *journal, uint64_t tag, uint32_t records, uint32_t filling,
                           atoll_journal_done done, void *arg)
{
    uint8_t *payload = malloc((size_t)records * (TAG_BYTES + filling));
    size_t *offsets = malloc((records + 1) * sizeof *offsets);
    if (!payload || !offsets)
        abort();
    offsets[0] = 0;
    for (uint32_t i = 0; i < records; i++)
        offsets[i + 1] = offsets[i] + make_record(payload + offsets[i], tag + i, filling);
    atoll_status status = atoll_journal_submit(journal, ATOLL_ENTRY_RECORDS, payload, offsets[records], offsets,
                                               records, done, arg, NULL);
    free(payload);
    free(offsets);
    return status;
}

static inline atoll_status submit_and_wait(atoll_journal *journal, uint64_t tag, uint32_t records, uint32_t filling,
                                    atoll_receipt *receipt)
{
    outcome o;
    outcome_init(&o);
    atoll_status status = submit(journal, tag, records, filling, note, &o);
    if (!status)
        outcome_wait(&o, 1);
    if (receipt)
        *receipt = o.receipt;
    return status ? status : o.status;
}

static inline void submit_other(atoll_journal *journal, atoll_entry_kind kind, const char *text, atoll_receipt *receipt)
{
    outcome o;
    outcome_init(&o);
    assert_int_equal(atoll_journal_submit(journal, kind, (const uint8_t *)text, strlen(text), NULL, 0, note, &o, NULL),
                     ATOLL_OK);
    outcome_wait(&o, 1);
    assert_int_equal(o.status, ATOLL_OK);
    *receipt = o.receipt;
}

/*
 * The verifier: reads every entry, asserts that commits and sequence numbers have no gap, that times never fall and
 * that records are whole. Returns the tag of each record by its sequence number, to be freed.
 */
static inline uint64_t *check_all(atoll_journal *journal, uint64_t *next_seq)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    uint64_t *tags = calloc(1, sizeof *tags);
    uint64_t seq = 0;
    int64_t time_ms = 0;
    atoll_entry entry;
    uint64_t first = atoll_journal_first(journal), last = atoll_journal_last(journal);
    for (uint64_t commit = first; first && commit <= last; commit++) {
        assert_int_equal(atoll_journal_read(journal, commit, &buffer, &capacity, &entry, NULL), ATOLL_OK);
        assert_int_equal(entry.commit, commit);
        assert_true(seq == 0 || entry.first_seq == seq);
        assert_true(entry.time_ms >= time_ms);
        assert_true(entry.records <= ATOLL_COMMIT_MAX_RECORDS);
        time_ms = entry.time_ms;
        seq = entry.first_seq;
        tags = realloc(tags, (seq + entry.records + 1) * sizeof *tags);
        assert_non_null(tags);
        size_t at = 0, used = 0;
        for (uint32_t i = 0; i < entry.records; i++, at += used)
            assert_true(read_record(entry.payload + at, entry.bytes - at, &tags[seq++], &used));
        assert_true(!entry.records || at == entry.bytes);
    }
    assert_int_equal(atoll_journal_read(journal, last + 1, &buffer, &capacity, &entry, NULL), ATOLL_NOT_FOUND);
    free(buffer);
    *next_seq = seq;
    return tags;
}

/* Waits for the trimming to get there. */
static inline void wait_first(atoll_journal *journal, uint64_t first)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + 300LL * 1000000000;
    while (atoll_journal_first(journal) != first && atoll_clock_monotonic_ns() < until_ns)
        sched_yield();
    assert_int_equal(atoll_journal_first(journal), first);
}

#endif
