#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/journal.h"
#include "core/lmdb.h"
#include "core/rng.h"
#include "tests/core/folder.h"
#include "tests/core/journals.h"

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
    submit_other(journal, ATOLL_ENTRY_PRUNE, "the-second-of-the-entries", &receipt);
    submit_other(journal, ATOLL_ENTRY_PRUNE, "the-third-of-the-entries", &receipt);
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_damage_is_noticed),
        TEST(test_a_newer_format_is_refused),
        TEST(test_another_store_is_refused),
        TEST(test_a_full_map),
        TEST(test_a_full_disk),
        TEST(test_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
