#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/clock.h"
#include "core/journal.h"
#include "core/limits.h"
#include "tests/core/folder.h"
#include "tests/core/journals.h"

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
    enum { LONG_MS = 24 * 3600 * 1000 }; /* nobody waits so long for a test */
    atoll_journal *journal = open_journal(*state, &plain);
    assert_int_equal(atoll_journal_wait(journal, 0, 5), 0);
    atoll_journal_wake(journal);
    assert_int_equal(atoll_journal_wait(journal, 0, LONG_MS), 0);
    assert_int_equal(submit_and_wait(journal, 1, 1, 0, NULL), ATOLL_OK);
    assert_int_equal(atoll_journal_wait(journal, 0, LONG_MS), 1);
    assert_int_equal(atoll_journal_wait(journal, 1, 0), 1);
    atoll_journal_close(journal);
}

/* ---- trimming ---- */

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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_set_up, folder_tear_down)
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
