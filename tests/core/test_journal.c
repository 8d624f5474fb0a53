#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/journal.h"
#include "core/limits.h"
#include "core/lmdb.h"
#include "core/rng.h"
#include "tests/core/folder.h"

enum { MAP_BYTES = 256 << 20, MOST_RECORDS = 5000, TAG_BYTES = 12 };

static const atoll_journal_options plain = {.map_bytes = MAP_BYTES, .pending_bytes = 64 << 20};

static int set_up(void **state)
{
    static folder f;
    folder_make(&f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    folder_remove(*state);
    return 0;
}

static atoll_journal *open_journal(const folder *f, const atoll_journal_options *options)
{
    atoll_journal *journal;
    atoll_error error = {0};
    if (atoll_journal_open(f->path, options, &journal, &error))
        fail_msg("%s", error.detail);
    return journal;
}

/* ---- submissions ---- */

/* A record of these tests: its length (4 bytes), a tag (8 bytes), and a filling that follows from the two. */
static size_t make_record(uint8_t *out, uint64_t tag, uint32_t filling)
{
    memcpy(out, &filling, 4);
    memcpy(out + 4, &tag, 8);
    for (uint32_t i = 0; i < filling; i++)
        out[TAG_BYTES + i] = (uint8_t)(tag * 31 + i);
    return TAG_BYTES + filling;
}

/* Reads one back; false where it is not whole. */
static bool read_record(const uint8_t *in, size_t bytes, uint64_t *tag, size_t *used)
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

static void outcome_init(outcome *o)
{
    memset(o, 0, sizeof *o);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->called, NULL);
}

static void note(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
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

static void outcome_wait(outcome *o, int calls)
{
    pthread_mutex_lock(&o->mutex);
    while (o->calls < calls)
        pthread_cond_wait(&o->called, &o->mutex);
    pthread_mutex_unlock(&o->mutex);
}

/* Submits `records` records with tags from `tag` on. */
static atoll_status submit(atoll_journal *journal, uint64_t tag, uint32_t records, uint32_t filling,
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

static atoll_status submit_and_wait(atoll_journal *journal, uint64_t tag, uint32_t records, uint32_t filling,
                                    atoll_receipt *receipt)
{
    outcome o;
    outcome_init(&o);
    atoll_status status = submit(journal, tag, records, filling, note, &o);
    if (status)
        return status;
    outcome_wait(&o, 1);
    if (receipt)
        *receipt = o.receipt;
    return o.status;
}

static void submit_other(atoll_journal *journal, atoll_entry_kind kind, const char *text, atoll_receipt *receipt)
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
static uint64_t *check_all(atoll_journal *journal, uint64_t *next_seq)
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

/* ---- tests ---- */

static void test_round_trip(void **state)
{
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(atoll_journal_last(journal), 0);
    assert_int_equal(atoll_journal_first(journal), 0);
    atoll_receipt receipt;
    int64_t before_ms = atoll_clock_wall_ms();
    submit_other(journal, ATOLL_ENTRY_CONFIG, "{\"seed\":1}", &receipt);
    assert_int_equal(receipt.first_commit, 1);
    assert_int_equal(receipt.last_commit, 1);
    assert_true(receipt.last_seq + 1 == receipt.first_seq);
    assert_int_equal(submit_and_wait(journal, 1, 10, 100, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 2);
    assert_int_equal(receipt.first_seq, 1);
    assert_int_equal(receipt.last_seq, 10);
    submit_other(journal, ATOLL_ENTRY_PRUNE, "", &receipt);
    assert_int_equal(receipt.first_commit, 3);
    assert_int_equal(receipt.first_seq, 11);
    assert_int_equal(receipt.last_seq, 10);

    uint8_t *buffer = NULL;
    size_t capacity = 0;
    atoll_entry entry;
    assert_int_equal(atoll_journal_read(journal, 1, &buffer, &capacity, &entry, NULL), ATOLL_OK);
    assert_int_equal(entry.kind, ATOLL_ENTRY_CONFIG);
    assert_int_equal(entry.records, 0);
    assert_int_equal(entry.bytes, 10);
    assert_memory_equal(entry.payload, "{\"seed\":1}", 10);
    assert_true(entry.time_ms >= before_ms && entry.time_ms <= atoll_clock_wall_ms());
    assert_int_equal(atoll_journal_read(journal, 3, &buffer, &capacity, &entry, NULL), ATOLL_OK);
    assert_int_equal(entry.kind, ATOLL_ENTRY_PRUNE);
    assert_int_equal(entry.bytes, 0);
    assert_int_equal(entry.first_seq, 11);
    assert_int_equal(atoll_journal_read(journal, 0, &buffer, &capacity, &entry, NULL), ATOLL_NOT_FOUND);
    free(buffer);

    uint64_t next_seq, *tags = check_all(journal, &next_seq);
    assert_int_equal(next_seq, 11);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(tags[i], i);
    free(tags);
    assert_true(atoll_journal_bytes(journal) > 0);
    atoll_journal_close(journal);
}

static void test_reopening_continues(void **state)
{
    atoll_receipt receipt;
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(submit_and_wait(journal, 1, 5, 10, NULL), ATOLL_OK);
    assert_int_equal(submit_and_wait(journal, 6, 5, 10, NULL), ATOLL_OK);
    atoll_journal_close(journal);
    journal = open_journal(*state, &plain);
    assert_int_equal(atoll_journal_first(journal), 1);
    assert_int_equal(atoll_journal_last(journal), 2);
    assert_int_equal(submit_and_wait(journal, 11, 5, 10, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 3);
    assert_int_equal(receipt.first_seq, 11);
    uint64_t next_seq;
    free(check_all(journal, &next_seq));
    assert_int_equal(next_seq, 16);
    atoll_journal_close(journal);

    atoll_journal_options floors = plain;
    floors.next_commit_floor = 2;
    floors.next_seq_floor = 3;
    journal = open_journal(*state, &floors);
    assert_int_equal(submit_and_wait(journal, 16, 1, 10, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 4);
    assert_int_equal(receipt.first_seq, 16);
    atoll_journal_close(journal);
}

static void test_floors(void **state)
{
    atoll_receipt receipt;
    atoll_journal_options floors = plain;
    floors.next_commit_floor = 100;
    floors.next_seq_floor = 5000;
    atoll_journal *journal = open_journal(*state, &floors);
    assert_int_equal(atoll_journal_last(journal), 0);
    assert_int_equal(submit_and_wait(journal, 1, 2, 10, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 100);
    assert_int_equal(receipt.first_seq, 5000);
    assert_int_equal(atoll_journal_first(journal), 100);
    assert_int_equal(atoll_journal_last(journal), 100);
    atoll_journal_close(journal);
}

static void test_a_large_submission_is_cut(void **state)
{
    atoll_receipt receipt;
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(submit_and_wait(journal, 1, 3 * ATOLL_COMMIT_MAX_RECORDS + 7, 20, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 1);
    assert_int_equal(receipt.last_commit, 4);
    assert_int_equal(receipt.first_seq, 1);
    assert_int_equal(receipt.last_seq, 3 * ATOLL_COMMIT_MAX_RECORDS + 7);
    assert_int_equal(submit_and_wait(journal, receipt.last_seq + 1, ATOLL_COMMIT_MAX_RECORDS, 20, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, 5);
    assert_int_equal(receipt.last_commit, 5);
    uint64_t next_seq, *tags = check_all(journal, &next_seq);
    assert_int_equal(next_seq, 4 * ATOLL_COMMIT_MAX_RECORDS + 8);
    for (uint64_t i = 1; i < next_seq; i++)
        assert_int_equal(tags[i], i);
    free(tags);
    atoll_journal_close(journal);
}

/* Holds the writer in a callback, so that what is submitted meanwhile waits together. */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool entered, open;
} gate;

static void hold(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    (void)status, (void)receipt, (void)error;
    gate *g = arg;
    pthread_mutex_lock(&g->mutex);
    g->entered = true;
    pthread_cond_signal(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_close(gate *g, atoll_journal *journal)
{
    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    assert_int_equal(submit(journal, 1, 1, 0, hold, g), ATOLL_OK);
    pthread_mutex_lock(&g->mutex);
    while (!g->entered)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_open(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

static void test_what_waits_together_is_joined(void **state)
{
    static const uint32_t sizes[] = {500, 500, 24, 1, 1500, 500, 100};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    static const uint64_t commits[COUNT][2] = {{2, 2}, {2, 2}, {2, 2}, {3, 3}, {4, 5}, {5, 5}, {6, 6}};
    outcome outcomes[COUNT], other;
    gate g;
    atoll_journal *journal = open_journal(*state, &plain);
    gate_close(&g, journal);
    uint64_t tag = 2;
    for (int i = 0; i < COUNT - 1; i++) {
        outcome_init(&outcomes[i]);
        assert_int_equal(submit(journal, tag, sizes[i], 8, note, &outcomes[i]), ATOLL_OK);
        tag += sizes[i];
    }
    outcome_init(&outcomes[COUNT - 1]);
    assert_int_equal(submit(journal, tag, 100, 8, note, &outcomes[COUNT - 1]), ATOLL_OK);
    outcome_init(&other);
    assert_int_equal(atoll_journal_submit(journal, ATOLL_ENTRY_PRUNE, NULL, 0, NULL, 0, note, &other, NULL), ATOLL_OK);
    gate_open(&g);
    outcome_wait(&other, 1);
    assert_int_equal(other.receipt.first_commit, 7);
    uint64_t seq = 2;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].receipt.first_commit, commits[i][0]);
        assert_int_equal(outcomes[i].receipt.last_commit, commits[i][1]);
        assert_int_equal(outcomes[i].receipt.first_seq, seq);
        seq += sizes[i];
        assert_int_equal(outcomes[i].receipt.last_seq, seq - 1);
    }
    uint64_t next_seq, *tags = check_all(journal, &next_seq);
    assert_int_equal(next_seq, seq);
    for (uint64_t i = 1; i < next_seq; i++)
        assert_int_equal(tags[i], i);
    free(tags);
    atoll_journal_close(journal);
}

static void test_too_much_waiting_is_refused(void **state)
{
    gate g;
    outcome taken, refused;
    outcome_init(&taken);
    outcome_init(&refused);
    atoll_journal_options tight = plain;
    tight.pending_bytes = 10000;
    atoll_journal *journal = open_journal(*state, &tight);
    assert_int_equal(submit_and_wait(journal, 1, 100, 1000, NULL), ATOLL_OK); /* nothing else waits */
    gate_close(&g, journal);
    assert_int_equal(submit(journal, 2, 8, 1000, note, &taken), ATOLL_OK);
    assert_int_equal(submit(journal, 3, 8, 1000, note, &refused), ATOLL_BUSY);
    gate_open(&g);
    outcome_wait(&taken, 1);
    atoll_journal_close(journal);
    assert_int_equal(taken.calls, 1);
    assert_int_equal(taken.status, ATOLL_OK);
    assert_int_equal(refused.calls, 0);
}

static void test_closing_writes_what_waits(void **state)
{
    enum { COUNT = 50 };
    outcome outcomes[COUNT];
    atoll_journal *journal = open_journal(*state, &plain);
    for (int i = 0; i < COUNT; i++) {
        outcome_init(&outcomes[i]);
        assert_int_equal(submit(journal, 1 + (uint64_t)i * 30, 30, 200, note, &outcomes[i]), ATOLL_OK);
    }
    atoll_journal_close(journal);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].status, ATOLL_OK);
    }
    journal = open_journal(*state, &plain);
    uint64_t next_seq;
    free(check_all(journal, &next_seq));
    assert_int_equal(next_seq, 1 + COUNT * 30);
    atoll_journal_close(journal);
    atoll_journal_close(NULL);
}

/* ---- many threads ---- */

enum { THREADS = 8, ROUNDS = 40 };

typedef struct submitter {
    atoll_journal *journal;
    uint64_t id;
    outcome outcomes[ROUNDS];
    uint32_t sizes[ROUNDS];
    int failures;
} submitter;

static uint64_t tag_of(const submitter *s, int round)
{
    return s->id * 1000000000 + (uint64_t)round * 10000 + 1;
}

static void *submit_rounds(void *arg)
{
    submitter *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        s->sizes[i] = i % 10 == 9 ? 1100 : 1 + (uint32_t)(s->id * 7 + (uint64_t)i * 13) % 60;
        outcome_init(&s->outcomes[i]);
        s->failures += submit(s->journal, tag_of(s, i), s->sizes[i], 30, note, &s->outcomes[i]) != ATOLL_OK;
        if (i % 3 == 0)
            outcome_wait(&s->outcomes[i], 1);
    }
    return NULL;
}

static void *read_along(void *arg)
{
    atoll_journal *journal = arg;
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    uint64_t commit = 0, bad = 0;
    atoll_entry entry;
    for (bool over = false; !over;) {
        uint64_t last = atoll_journal_wait(journal, commit, 10000);
        over = last == commit; /* woken */
        while (commit < last) {
            bad += atoll_journal_read(journal, ++commit, &buffer, &capacity, &entry, NULL) != ATOLL_OK;
            bad += entry.commit != commit;
        }
    }
    free(buffer);
    return (void *)(uintptr_t)(bad ? 0 : commit);
}

static void test_many_threads(void **state)
{
    static submitter submitters[THREADS];
    pthread_t threads[THREADS], reader;
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(pthread_create(&reader, NULL, read_along, journal), 0);
    for (int i = 0; i < THREADS; i++) {
        submitters[i].journal = journal;
        submitters[i].id = (uint64_t)i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, submit_rounds, &submitters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (int r = 0; r < ROUNDS; r++)
            outcome_wait(&submitters[i].outcomes[r], 1);
    }
    atoll_journal_wake(journal);
    void *read;
    pthread_join(reader, &read);
    assert_true((uintptr_t)read > 0 && (uintptr_t)read <= atoll_journal_last(journal));

    uint64_t next_seq, *tags = check_all(journal, &next_seq), records = 0;
    for (int i = 0; i < THREADS; i++) {
        uint64_t before = 0;
        assert_int_equal(submitters[i].failures, 0);
        for (int r = 0; r < ROUNDS; r++) {
            const outcome *o = &submitters[i].outcomes[r];
            uint32_t size = submitters[i].sizes[r];
            assert_int_equal(o->calls, 1);
            assert_int_equal(o->status, ATOLL_OK);
            assert_true(o->receipt.first_seq > before);
            before = o->receipt.last_seq;
            assert_int_equal(o->receipt.last_seq - o->receipt.first_seq + 1, size);
            for (uint32_t k = 0; k < size; k++)
                assert_int_equal(tags[o->receipt.first_seq + k], tag_of(&submitters[i], r) + k);
            records += size;
        }
    }
    assert_int_equal(next_seq, records + 1);
    free(tags);
    atoll_journal_close(journal);
}

static void test_waiting(void **state)
{
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(atoll_journal_wait(journal, 0, 5), 0);
    int64_t before_ns = atoll_clock_monotonic_ns();
    atoll_journal_wake(journal);
    assert_int_equal(atoll_journal_wait(journal, 0, 60000), 0);
    assert_int_equal(submit_and_wait(journal, 1, 1, 0, NULL), ATOLL_OK);
    assert_int_equal(atoll_journal_wait(journal, 0, 60000), 1);
    assert_true(atoll_clock_monotonic_ns() - before_ns < 50LL * 1000000000);
    assert_int_equal(atoll_journal_wait(journal, 1, 0), 1);
    atoll_journal_close(journal);
}

/* ---- trimming ---- */

static void wait_first(atoll_journal *journal, uint64_t first)
{
    int64_t until_ns = atoll_clock_monotonic_ns() + 20LL * 1000000000;
    while (atoll_journal_first(journal) != first && atoll_clock_monotonic_ns() < until_ns)
        sched_yield();
    assert_int_equal(atoll_journal_first(journal), first);
}

static void test_trimming(void **state)
{
    enum { COMMITS = 100 };
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    atoll_entry entry;
    uint64_t next_seq;
    atoll_journal *journal = open_journal(*state, &plain);
    atoll_journal_trim(journal, 10); /* nothing there yet */
    for (int i = 0; i < COMMITS; i++)
        assert_int_equal(submit_and_wait(journal, 1 + (uint64_t)i * 10, 10, 500, NULL), ATOLL_OK);
    uint64_t before_bytes = atoll_journal_bytes(journal);
    atoll_journal_trim(journal, 60);
    wait_first(journal, 61);
    assert_true(atoll_journal_bytes(journal) < before_bytes);
    assert_int_equal(atoll_journal_read(journal, 60, &buffer, &capacity, &entry, NULL), ATOLL_NOT_FOUND);
    assert_int_equal(atoll_journal_read(journal, 61, &buffer, &capacity, &entry, NULL), ATOLL_OK);
    assert_int_equal(entry.first_seq, 601);
    free(buffer);
    free(check_all(journal, &next_seq));
    atoll_journal_close(journal);

    journal = open_journal(*state, &plain);
    assert_int_equal(atoll_journal_first(journal), 61);
    atoll_journal_trim(journal, UINT64_MAX);
    wait_first(journal, COMMITS);
    assert_int_equal(atoll_journal_last(journal), COMMITS);
    atoll_journal_trim(journal, 50);
    atoll_receipt receipt;
    assert_int_equal(submit_and_wait(journal, 1001, 10, 500, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_commit, COMMITS + 1);
    assert_int_equal(receipt.first_seq, COMMITS * 10 + 1);
    assert_int_equal(atoll_journal_first(journal), COMMITS);
    atoll_journal_close(journal);
}

/* ---- what the world gets wrong ---- */

static atoll_status open_status(const folder *f)
{
    atoll_journal *journal;
    atoll_error error = {0};
    atoll_status status = atoll_journal_open(f->path, &plain, &journal, &error);
    assert_true(!status || (error.status == status && error.detail[0]));
    atoll_journal_close(journal);
    return status;
}

static void test_damage_is_noticed(void **state)
{
    folder *f = *state;
    char path[300];
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    atoll_entry entry;
    atoll_receipt receipt;
    atoll_journal *journal = open_journal(f, &plain);
    submit_other(journal, ATOLL_ENTRY_CONFIG, "the-first-of-the-entries", &receipt);
    submit_other(journal, ATOLL_ENTRY_SCHEDULE, "the-second-of-the-entries", &receipt);
    submit_other(journal, ATOLL_ENTRY_SCHEDULE, "the-third-of-the-entries", &receipt);
    atoll_journal_close(journal);
    folder_file(f, "data.mdb", path);

    assert_true(file_flip(path, "the-second-of-the-entries", 5) > 0);
    journal = open_journal(f, &plain);
    assert_int_equal(atoll_journal_read(journal, 1, &buffer, &capacity, &entry, NULL), ATOLL_OK);
    assert_int_equal(atoll_journal_read(journal, 2, &buffer, &capacity, &entry, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_journal_read(journal, 3, &buffer, &capacity, &entry, NULL), ATOLL_OK);
    free(buffer);
    atoll_journal_close(journal);

    assert_true(file_flip(path, "the-third-of-the-entries", 0) > 0);
    assert_int_equal(open_status(f), ATOLL_DAMAGED);
    assert_true(file_flip(path, "he-third-of-the-entries", (size_t)-1) > 0);
    assert_int_equal(open_status(f), ATOLL_OK);
}

static void test_a_newer_format_is_refused(void **state)
{
    folder *f = *state;
    atoll_lmdb *db;
    assert_int_equal(atoll_lmdb_open(f->path, "atolljrn", 999, MAP_BYTES, &db, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_int_equal(open_status(f), ATOLL_NEWER_FORMAT);
}

static void test_another_store_is_refused(void **state)
{
    folder *f = *state;
    atoll_lmdb *db;
    assert_int_equal(atoll_lmdb_open(f->path, "atollsto", 1, MAP_BYTES, &db, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_int_equal(open_status(f), ATOLL_DAMAGED);
}

static void test_a_full_map(void **state)
{
    atoll_journal_options tiny = plain;
    tiny.map_bytes = 1 << 20;
    atoll_journal *journal = open_journal(*state, &tiny);
    atoll_receipt receipt;
    uint64_t tag = 1, next_seq;
    while (submit_and_wait(journal, tag, 20, 1000, &receipt) == ATOLL_OK) {
        tag = receipt.last_seq + 1;
        assert_true(tag < 10000);
    }
    assert_int_equal(submit_and_wait(journal, tag, 20, 1000, NULL), ATOLL_NO_SPACE);
    assert_true(tag > 200);
    free(check_all(journal, &next_seq));
    assert_int_equal(next_seq, tag);
    uint64_t last = atoll_journal_last(journal);
    atoll_journal_trim(journal, last / 2);
    wait_first(journal, last / 2 + 1);
    assert_int_equal(submit_and_wait(journal, tag, 20, 1000, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_seq, tag);
    assert_int_equal(receipt.first_commit, last + 1);
    free(check_all(journal, &next_seq));
    atoll_journal_close(journal);
}

static void test_a_full_disk(void **state)
{
    struct rlimit before, tight;
    atoll_receipt receipt;
    uint64_t tag = 1, next_seq;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = (2 << 20) + 1234;
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    atoll_status status;
    while (!(status = submit_and_wait(journal, tag, 20, 1000, &receipt)))
        tag = receipt.last_seq + 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, ATOLL_NO_SPACE);
    assert_true(tag > 200);
    free(check_all(journal, &next_seq));
    assert_int_equal(next_seq, tag);
    assert_int_equal(submit_and_wait(journal, tag, 20, 1000, &receipt), ATOLL_OK);
    assert_int_equal(receipt.first_seq, tag);
    atoll_journal_close(journal);
    journal = open_journal(*state, &plain);
    free(check_all(journal, &next_seq));
    assert_int_equal(next_seq, tag + 20);
    atoll_journal_close(journal);
    signal(SIGXFSZ, SIG_DFL);
}

/* ---- kill -9 ---- */

enum { KILLS = 40 };

typedef struct promise {
    uint64_t tag, records;
    atoll_receipt receipt;
} promise;

typedef struct pledge {
    promise p;
    int pipe;
} pledge;

/* In the child: tells the parent what is acknowledged, by one write that is whole or absent. */
static void tell(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    (void)error;
    pledge *p = arg;
    if (status)
        _exit(3);
    p->p.receipt = *receipt;
    if (write(p->pipe, &p->p, sizeof p->p) != sizeof p->p)
        _exit(4);
    free(p);
}

/* Ingests until it is killed. */
static void child(const folder *f, int pipe, uint64_t seed)
{
    atoll_journal *journal;
    atoll_rng rng;
    atoll_rng_seed(&rng, seed, 0);
    if (atoll_journal_open(f->path, &plain, &journal, NULL))
        _exit(2);
    if (write(pipe, &(promise){0}, sizeof(promise)) != sizeof(promise))
        _exit(4);
    if (atoll_journal_last(journal) > 20)
        atoll_journal_trim(journal, atoll_journal_last(journal) - 20);
    for (uint64_t tag = seed << 32 | 1;;) {
        pledge *p = malloc(sizeof *p);
        if (!p)
            _exit(5);
        uint32_t records = atoll_rng_next(&rng) % 20 ? 1 + (uint32_t)(atoll_rng_next(&rng) % 40) : 1500;
        *p = (pledge){.p = {.tag = tag, .records = records}, .pipe = pipe};
        atoll_status status = submit(journal, tag, records, (uint32_t)(atoll_rng_next(&rng) % 200), tell, p);
        if (status == ATOLL_BUSY)
            free(p);
        else if (status)
            _exit(6);
        tag += records;
        if (atoll_rng_next(&rng) % 4 == 0)
            atoll_journal_wait(journal, atoll_journal_last(journal), 1);
    }
}

typedef struct promises {
    promise *list;
    size_t count, capacity;
} promises;

static void keep_promise(promises *all, const promise *p)
{
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 256;
        all->list = realloc(all->list, all->capacity * sizeof *all->list);
        assert_non_null(all->list);
    }
    if (p->records)
        all->list[all->count++] = *p;
}

/* Listens to the child, kills it `after_ns` after its first word, and hears out what it has said until then. */
static void listen_and_kill(int pipe, pid_t pid, int64_t after_ns, promises *all)
{
    int64_t until_ns = 0;
    bool killed = false;
    promise p;
    size_t have = 0;
    for (;;) {
        int64_t left_ns = until_ns - atoll_clock_monotonic_ns();
        if (until_ns && !killed && left_ns <= 0) {
            kill(pid, SIGKILL);
            killed = true;
        }
        struct timespec left = {.tv_nsec = left_ns > 0 ? left_ns : 0};
        struct pollfd ready = {.fd = pipe, .events = POLLIN};
        if (ppoll(&ready, 1, until_ns && !killed ? &left : NULL, NULL) <= 0)
            continue;
        ssize_t got = read(pipe, (char *)&p + have, sizeof p - have);
        if (got <= 0)
            break;
        have += (size_t)got;
        if (have < sizeof p)
            continue;
        have = 0;
        keep_promise(all, &p);
        if (!until_ns)
            until_ns = atoll_clock_monotonic_ns() + after_ns;
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void test_killed_at_any_moment(void **state)
{
    promises all = {0};
    size_t kept = 0;
    for (uint64_t seed = 1; seed <= KILLS; seed++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            close(ends[0]);
            child(*state, ends[1], seed);
        }
        close(ends[1]);
        size_t before = all.count;
        listen_and_kill(ends[0], pid, (int64_t)(seed * 7919 % 97) * 317000, &all);
        close(ends[0]);

        atoll_journal *journal = open_journal(*state, &plain);
        uint64_t next_seq, first = atoll_journal_first(journal), *tags = check_all(journal, &next_seq);
        for (size_t i = 0; i < all.count; i++) {
            const promise *p = &all.list[i];
            assert_true(i < before || p->receipt.first_commit >= first);
            if (p->receipt.first_commit < first)
                continue;
            assert_int_equal(p->receipt.last_seq - p->receipt.first_seq + 1, p->records);
            assert_true(p->receipt.last_seq < next_seq);
            for (uint64_t k = 0; k < p->records; k++)
                assert_int_equal(tags[p->receipt.first_seq + k], p->tag + k);
            kept++;
        }
        free(tags);
        atoll_journal_close(journal);
    }
    assert_true(kept > KILLS);
    free(all.list);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_reopening_continues),
        TEST(test_floors),
        TEST(test_a_large_submission_is_cut),
        TEST(test_what_waits_together_is_joined),
        TEST(test_too_much_waiting_is_refused),
        TEST(test_closing_writes_what_waits),
        TEST(test_many_threads),
        TEST(test_waiting),
        TEST(test_trimming),
        TEST(test_damage_is_noticed),
        TEST(test_a_newer_format_is_refused),
        TEST(test_another_store_is_refused),
        TEST(test_a_full_map),
        TEST(test_a_full_disk),
        TEST(test_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
