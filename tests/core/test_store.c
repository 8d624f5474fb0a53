#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/lmdb.h"
#include "core/rng.h"
#include "core/store.h"
#include "tests/core/folder.h"

enum { MAP_BYTES = 512 << 20 };

static atoll_store *open_store(const folder *f, size_t map_bytes)
{
    atoll_store *store;
    atoll_error error = {0};
    if (atoll_store_open(f->path, map_bytes, &store, &error))
        fail_msg("%s", error.detail);
    return store;
}

static atoll_store_write *begin(atoll_store *store)
{
    atoll_store_write *write;
    assert_int_equal(atoll_store_begin(store, &write, NULL), ATOLL_OK);
    return write;
}

static void put_text(atoll_store_write *write, const char *key, const char *text)
{
    assert_int_equal(atoll_store_put(write, key, text, strlen(text), NULL), ATOLL_OK);
}

static void commit(atoll_store_write *write)
{
    atoll_error error = {0};
    if (atoll_store_commit(write, &error))
        fail_msg("%s", error.detail);
}

static void assert_text(atoll_store *store, const char *key, const char *text)
{
    void *data;
    size_t bytes;
    assert_int_equal(atoll_store_get(store, key, &data, &bytes, NULL), ATOLL_OK);
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(data, text, bytes);
    free(data);
}

static atoll_status get_status(atoll_store *store, const char *key)
{
    void *data;
    size_t bytes;
    atoll_error error = {0};
    atoll_status status = atoll_store_get(store, key, &data, &bytes, &error);
    assert_int_equal(error.status, status);
    assert_true(!status || (!data && !bytes));
    free(data);
    return status;
}

static atoll_status list_key(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    (void)data, (void)error;
    char *list = arg;
    snprintf(list + strlen(list), 500 - strlen(list), "%s:%zu ", key, bytes);
    return ATOLL_OK;
}

static const char *list_keys(atoll_store *store, const char *prefix)
{
    static char list[500];
    list[0] = '\0';
    assert_int_equal(atoll_store_each(store, prefix, list_key, list, NULL), ATOLL_OK);
    return list;
}

static void test_round_trip(void **state)
{
    atoll_store *store = open_store(*state, MAP_BYTES);
    assert_int_equal(get_status(store, "meta"), ATOLL_NOT_FOUND);
    assert_string_equal(list_keys(store, ""), "");
    atoll_store_write *write = begin(store);
    put_text(write, "meta", "one");
    put_text(write, "gate/rows/1", "row one");
    put_text(write, "gate/rows/0", "row zero");
    put_text(write, "empty", "");
    put_text(write, "gate", "g");
    commit(write);
    write = begin(store);
    put_text(write, "meta", "two, and longer");
    commit(write);
    atoll_store_close(store);

    store = open_store(*state, MAP_BYTES);
    assert_text(store, "meta", "two, and longer");
    assert_text(store, "gate/rows/0", "row zero");
    assert_text(store, "empty", "");
    assert_int_equal(get_status(store, "gate/rows"), ATOLL_NOT_FOUND);
    assert_string_equal(list_keys(store, ""), "empty:0 gate:1 gate/rows/0:8 gate/rows/1:7 meta:15 ");
    assert_string_equal(list_keys(store, "gate/"), "gate/rows/0:8 gate/rows/1:7 ");
    assert_string_equal(list_keys(store, "gate/rows/1"), "gate/rows/1:7 ");
    assert_string_equal(list_keys(store, "gatf"), "");
    assert_string_equal(list_keys(store, "z"), "");
    assert_true(atoll_store_bytes(store) > 0);
    atoll_store_close(store);
    atoll_store_close(NULL);
}

static void test_drop_and_abort(void **state)
{
    atoll_store *store = open_store(*state, MAP_BYTES);
    atoll_store_write *write = begin(store);
    put_text(write, "a/1", "1");
    put_text(write, "a/2", "2");
    put_text(write, "a", "a");
    put_text(write, "ab", "ab");
    put_text(write, "b/1", "3");
    commit(write);

    write = begin(store);
    assert_int_equal(atoll_store_drop_from(write, "a", "a", NULL), ATOLL_OK);
    put_text(write, "c", "new");
    atoll_store_abort(write);
    atoll_store_abort(NULL);
    assert_string_equal(list_keys(store, ""), "a:1 a/1:1 a/2:1 ab:2 b/1:1 ");

    write = begin(store);
    assert_int_equal(atoll_store_drop(write, "ab", NULL), ATOLL_OK);
    assert_int_equal(atoll_store_drop(write, "never was", NULL), ATOLL_OK);
    assert_int_equal(atoll_store_drop_from(write, "a/", "a/", NULL), ATOLL_OK);
    assert_int_equal(atoll_store_drop_from(write, "x/", "x/", NULL), ATOLL_OK);
    commit(write);
    assert_string_equal(list_keys(store, ""), "a:1 b/1:1 ");

    write = begin(store);
    put_text(write, "b/2", "2");
    put_text(write, "b/3", "3");
    put_text(write, "c/3", "3");
    assert_int_equal(atoll_store_drop_from(write, "b/", "b/2", NULL), ATOLL_OK);
    assert_int_equal(atoll_store_drop_from(write, "c/", "c/4", NULL), ATOLL_OK);
    commit(write);
    assert_string_equal(list_keys(store, ""), "a:1 b/1:1 c/3:1 ");

    write = begin(store);
    assert_int_equal(atoll_store_drop_from(write, "", "", NULL), ATOLL_OK);
    commit(write);
    assert_string_equal(list_keys(store, ""), "");
    atoll_store_close(store);
    store = open_store(*state, MAP_BYTES);
    assert_string_equal(list_keys(store, ""), "");
    atoll_store_close(store);
}

static void test_keys_and_sizes_have_limits(void **state)
{
    char longest[ATOLL_STORE_KEY_MAX_BYTES + 2];
    memset(longest, 'k', sizeof longest);
    longest[ATOLL_STORE_KEY_MAX_BYTES + 1] = '\0';
    atoll_store *store = open_store(*state, MAP_BYTES);
    atoll_error error = {0};
    atoll_store_write *write = begin(store);
    put_text(write, "before", "x");
    assert_int_equal(atoll_store_put(write, longest, "x", 1, &error), ATOLL_OUT_OF_RANGE);
    assert_int_equal(error.status, ATOLL_OUT_OF_RANGE);
    put_text(write, "behind", "x");
    error = (atoll_error){0};
    assert_int_equal(atoll_store_commit(write, &error), ATOLL_OUT_OF_RANGE); /* nothing of a write that failed */
    assert_int_equal(error.status, ATOLL_OUT_OF_RANGE);
    assert_string_equal(list_keys(store, ""), "");

    write = begin(store);
    assert_int_equal(atoll_store_put(write, "", "x", 1, NULL), ATOLL_OUT_OF_RANGE);
    assert_int_equal(atoll_store_put(write, "k", "x", (size_t)ATOLL_STORE_BLOB_MAX_BYTES + 1, NULL),
                     ATOLL_OUT_OF_RANGE);
    assert_int_equal(atoll_store_drop(write, longest, NULL), ATOLL_OUT_OF_RANGE);
    assert_int_equal(atoll_store_drop_from(write, longest, longest, NULL), ATOLL_OUT_OF_RANGE);
    atoll_store_abort(write);
    assert_int_equal(get_status(store, longest), ATOLL_OUT_OF_RANGE);
    assert_int_equal(atoll_store_each(store, longest, list_key, NULL, NULL), ATOLL_OUT_OF_RANGE);

    longest[ATOLL_STORE_KEY_MAX_BYTES] = '\0';
    write = begin(store);
    put_text(write, longest, "fits");
    commit(write);
    assert_text(store, longest, "fits");
    assert_true(strstr(list_keys(store, longest), "k:4 "));
    write = begin(store);
    assert_int_equal(atoll_store_drop_from(write, longest, longest, NULL), ATOLL_OK);
    commit(write);
    assert_int_equal(get_status(store, longest), ATOLL_NOT_FOUND);
    atoll_store_close(store);
}

static atoll_status stop_at_b(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    (void)data, (void)bytes;
    ++*(int *)arg;
    return *key == 'b' ? atoll_fail(error, ATOLL_NOT_FOUND, "seen enough") : ATOLL_OK;
}

static void test_a_visit_may_end_the_walk(void **state)
{
    int visits = 0;
    atoll_error error = {0};
    atoll_store *store = open_store(*state, MAP_BYTES);
    atoll_store_write *write = begin(store);
    put_text(write, "a", "1");
    put_text(write, "b", "2");
    put_text(write, "c", "3");
    commit(write);
    assert_int_equal(atoll_store_each(store, "", stop_at_b, &visits, &error), ATOLL_NOT_FOUND);
    assert_int_equal(visits, 2);
    assert_string_equal(error.detail, "seen enough");
    atoll_store_close(store);
}

/* ---- what the world gets wrong ---- */

static void test_damage_is_noticed(void **state)
{
    folder *f = *state;
    char path[300], list[500] = "";
    atoll_error error = {0};
    atoll_store *store = open_store(f, MAP_BYTES);
    atoll_store_write *write = begin(store);
    put_text(write, "a", "what is under the key a");
    put_text(write, "b", "what is under the key b");
    put_text(write, "c", "what is under the key c");
    commit(write);
    atoll_store_close(store);
    assert_true(file_flip(folder_file(f, "data.mdb", path), "is under the key b", 10) > 0);
    store = open_store(f, MAP_BYTES);
    assert_text(store, "a", "what is under the key a");
    assert_int_equal(get_status(store, "b"), ATOLL_DAMAGED);
    assert_text(store, "c", "what is under the key c");
    assert_int_equal(atoll_store_each(store, "", list_key, list, &error), ATOLL_DAMAGED);
    assert_string_equal(list, "a:23 ");
    assert_true(strstr(error.detail, "\"b\""));
    assert_int_equal(atoll_store_each(store, "c", list_key, list, &error), ATOLL_OK);
    atoll_store_close(store);
}

/* A blob that is whole but lies under another blob's key; and a value too short for a checksum. */
static void test_swapped_blobs_are_noticed(void **state)
{
    folder *f = *state;
    atoll_store *store = open_store(f, MAP_BYTES);
    atoll_store_write *write = begin(store);
    put_text(write, "a", "blob of a");
    commit(write);
    atoll_store_close(store);

    atoll_lmdb *db;
    atoll_lmdb_txn *txn;
    atoll_lmdb_bytes value;
    char copy[100];
    void *space;
    assert_int_equal(atoll_lmdb_open(f->path, "atollsto", ATOLL_STORE_FORMAT, MAP_BYTES, &db, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_begin(db, true, &txn, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_get(txn, "a", 1, &value, NULL), ATOLL_OK);
    assert_true(value.bytes < sizeof copy);
    memcpy(copy, value.data, value.bytes);
    assert_int_equal(atoll_lmdb_reserve(txn, "b", 1, value.bytes, false, &space, NULL), ATOLL_OK);
    memcpy(space, copy, value.bytes);
    assert_int_equal(atoll_lmdb_reserve(txn, "c", 1, 3, false, &space, NULL), ATOLL_OK);
    memcpy(space, copy, 3);
    assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
    atoll_lmdb_close(db);

    store = open_store(f, MAP_BYTES);
    assert_text(store, "a", "blob of a");
    assert_int_equal(get_status(store, "b"), ATOLL_DAMAGED);
    assert_int_equal(get_status(store, "c"), ATOLL_DAMAGED);
    atoll_store_close(store);
}

static void test_other_formats_are_refused(void **state)
{
    folder *f = *state;
    atoll_lmdb *db;
    atoll_store *store;
    atoll_error error = {0};
    char path[300];
    folder_file(f, "newer", path);
    assert_int_equal(atoll_lmdb_open(path, "atollsto", 999, MAP_BYTES, &db, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_int_equal(atoll_store_open(path, MAP_BYTES, &store, &error), ATOLL_NEWER_FORMAT);
    assert_null(store);
    assert_true(strstr(error.detail, "999"));
    folder_file(f, "journal", path);
    assert_int_equal(atoll_lmdb_open(path, "atolljrn", 1, MAP_BYTES, &db, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_int_equal(atoll_store_open(path, MAP_BYTES, &store, &error), ATOLL_DAMAGED);
}

static void test_a_full_map_keeps_the_last_checkpoint(void **state)
{
    static const char blob[16000];
    char key[32];
    atoll_store *store = open_store(*state, 1 << 20);
    atoll_store_write *write = begin(store);
    put_text(write, "meta", "the last checkpoint");
    commit(write);
    for (int round = 0; round < 3; round++) {
        atoll_status status = ATOLL_OK;
        atoll_error error = {0};
        write = begin(store);
        put_text(write, "meta", "a checkpoint too large");
        for (int i = 0; i < 100 && !status; i++) {
            snprintf(key, sizeof key, "page/%d", i);
            status = atoll_store_put(write, key, blob, sizeof blob, &error);
        }
        assert_int_equal(status, ATOLL_NO_SPACE);
        assert_int_equal(error.status, ATOLL_NO_SPACE);
        assert_int_equal(atoll_store_commit(write, NULL), ATOLL_NO_SPACE);
        assert_string_equal(list_keys(store, ""), "meta:19 ");
    }
    write = begin(store);
    put_text(write, "meta", "the next checkpoint");
    commit(write);
    assert_text(store, "meta", "the next checkpoint");
    atoll_store_close(store);
}

static void test_a_full_disk_keeps_the_last_checkpoint(void **state)
{
    static const char blob[16000];
    struct rlimit before, tight;
    char key[32];
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1 << 20;
    atoll_store *store = open_store(*state, MAP_BYTES);
    atoll_store_write *write = begin(store);
    put_text(write, "meta", "the last checkpoint");
    commit(write);
    for (int round = 0; round < 2; round++) {
        write = begin(store);
        put_text(write, "meta", "the next checkpoint");
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof key, "page/%d", i);
            assert_int_equal(atoll_store_put(write, key, blob, sizeof blob, NULL), ATOLL_OK);
        }
        if (round == 0) {
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
            atoll_status status = atoll_store_commit(write, NULL);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
            assert_int_equal(status, ATOLL_NO_SPACE);
            assert_string_equal(list_keys(store, ""), "meta:19 ");
            assert_text(store, "meta", "the last checkpoint");
        } else {
            commit(write);
            assert_text(store, "meta", "the next checkpoint");
        }
    }
    atoll_store_close(store);
    signal(SIGXFSZ, SIG_DFL);
}

/* ---- whole checkpoints ---- */

enum { BLOBS = 60, BLOB_MOST_BYTES = 30000 };

/* Blob `i` of checkpoint `generation`: its size and every byte follow from the two. */
static size_t make_blob(uint8_t *out, uint64_t generation, int i)
{
    atoll_rng rng;
    atoll_rng_seed(&rng, generation, (uint64_t)i);
    size_t bytes = 8 + atoll_rng_below(&rng, BLOB_MOST_BYTES - 8);
    memset(out, (int)(atoll_rng_next(&rng) & 255), bytes);
    memcpy(out, &generation, 8);
    return bytes;
}

/* Drops every fifth blob, another fifth each time, and writes the others anew. */
static atoll_status write_checkpoint(atoll_store *store, uint64_t generation)
{
    uint8_t blob[BLOB_MOST_BYTES];
    char key[32];
    atoll_store_write *write;
    atoll_status status = atoll_store_begin(store, &write, NULL);
    if (status)
        return status;
    atoll_store_put(write, "meta", &generation, sizeof generation, NULL);
    for (int i = 0; i < BLOBS; i++) {
        snprintf(key, sizeof key, "blob/%02d", i);
        if ((generation + (uint64_t)i) % 5 == 0)
            atoll_store_drop(write, key, NULL);
        else
            atoll_store_put(write, key, blob, make_blob(blob, generation, i), NULL);
    }
    return atoll_store_commit(write, NULL);
}

typedef struct survey {
    uint64_t generation;
    int blobs, wrong;
} survey;

static atoll_status look(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    (void)error;
    uint8_t expected[BLOB_MOST_BYTES];
    survey *s = arg;
    if (!strncmp(key, "blob/", 5)) {
        uint64_t generation;
        memcpy(&generation, data, 8);
        if (s->blobs++ == 0)
            s->generation = generation;
        size_t expected_bytes = make_blob(expected, s->generation, atoi(key + 5));
        s->wrong += bytes != expected_bytes || memcmp(data, expected, bytes) != 0;
    } else {
        s->wrong += bytes != 8 || memcmp(data, &s->generation, 8) != 0;
    }
    return ATOLL_OK;
}

/* The generation of the checkpoint, which must be whole; 0 where there is none. */
static uint64_t survey_store(atoll_store *store, int *wrong)
{
    survey s = {0};
    int expected = 0;
    *wrong = atoll_store_each(store, "", look, &s, NULL) != ATOLL_OK;
    for (int i = 0; i < BLOBS; i++)
        expected += (s.generation + (uint64_t)i) % 5 != 0;
    *wrong += s.wrong + (s.generation && s.blobs != expected);
    return s.generation;
}

typedef struct looker {
    atoll_store *store;
    atomic_bool stop;
    int wrong, backwards;
} looker;

static void *look_along(void *arg)
{
    looker *l = arg;
    uint64_t before = 0;
    while (!l->stop) {
        int wrong;
        uint64_t generation = survey_store(l->store, &wrong);
        l->wrong += wrong;
        l->backwards += generation < before;
        before = generation;
    }
    return NULL;
}

static void test_readers_see_whole_checkpoints(void **state)
{
    enum { GENERATIONS = 40 };
    looker l = {.store = open_store(*state, MAP_BYTES)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_along, &l), 0);
    for (uint64_t generation = 1; generation <= GENERATIONS; generation++)
        assert_int_equal(write_checkpoint(l.store, generation), ATOLL_OK);
    l.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(l.wrong, 0);
    assert_int_equal(l.backwards, 0);
    assert_true(atoll_store_bytes(l.store) < BLOBS * 40000); /* what is replaced is used again */
    atoll_store_close(l.store);
}

static void *write_ten(void *arg)
{
    int failures = 0;
    for (int i = 0; i < 10; i++) {
        atoll_store_write *write;
        failures += atoll_store_begin(arg, &write, NULL) != ATOLL_OK;
        void *data = NULL;
        size_t bytes;
        uint64_t count = 0;
        if (!atoll_store_get(arg, "count", &data, &bytes, NULL))
            memcpy(&count, data, sizeof count);
        free(data);
        count++;
        failures += atoll_store_put(write, "count", &count, sizeof count, NULL) != ATOLL_OK;
        failures += atoll_store_commit(write, NULL) != ATOLL_OK;
    }
    return (void *)(uintptr_t)failures;
}

static void test_one_write_at_a_time(void **state)
{
    enum { WRITERS = 4 };
    pthread_t threads[WRITERS];
    atoll_store *store = open_store(*state, MAP_BYTES);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_ten, store), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *failures;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    void *data;
    size_t bytes;
    uint64_t count;
    assert_int_equal(atoll_store_get(store, "count", &data, &bytes, NULL), ATOLL_OK);
    memcpy(&count, data, sizeof count);
    free(data);
    assert_int_equal(count, WRITERS * 10);
    atoll_store_close(store);
}

static void test_a_large_checkpoint(void **state)
{
    enum { PAGES = 2500, PAGE_BYTES = 16384 };
    static uint8_t page[PAGE_BYTES];
    char key[32];
    atoll_store *store = open_store(*state, MAP_BYTES);
    for (int round = 0; round < 2; round++) {
        atoll_store_write *write = begin(store);
        for (int i = 0; i < PAGES; i++) {
            snprintf(key, sizeof key, "rows/%d", i);
            memset(page, i + round, sizeof page);
            assert_int_equal(atoll_store_put(write, key, page, sizeof page, NULL), ATOLL_OK);
        }
        commit(write);
        for (int i = 0; i < PAGES; i += 100) {
            void *data;
            size_t bytes;
            snprintf(key, sizeof key, "rows/%d", i);
            assert_int_equal(atoll_store_get(store, key, &data, &bytes, NULL), ATOLL_OK);
            memset(page, i + round, sizeof page);
            assert_int_equal(bytes, PAGE_BYTES);
            assert_memory_equal(data, page, bytes);
            free(data);
        }
    }
    atoll_store_close(store);
}

/* LMDB keeps the pages that values of 1,100 bytes share, of which two are on each once they came in ascending order. */
static void test_what_a_write_leaves_in_memory_is_told(void **state)
{
    enum { VALUES = 3000, BYTES = 1100, LARGE_BYTES = 16384, LARGE_PAGES = 5 };
    static char data[LARGE_BYTES];
    char key[32];
    atoll_store *store = open_store(*state, MAP_BYTES);
    assert_int_equal(atoll_store_held_bytes(store), 0);
    atoll_store_write *write = begin(store);
    for (int i = 0; i < VALUES; i++) {
        snprintf(key, sizeof key, "value/%08d", i);
        assert_int_equal(atoll_store_put(write, key, data, BYTES, NULL), ATOLL_OK);
    }
    commit(write);
    size_t held = atoll_store_held_bytes(store);
    assert_in_range(held, VALUES / 2 * 4096 * 8 / 10, VALUES / 2 * 4096 * 11 / 10);
    write = begin(store);
    assert_int_equal(atoll_store_put(write, "large", data, sizeof data, NULL), ATOLL_OK);
    assert_int_equal(atoll_store_held_bytes(store), held + LARGE_PAGES * 4096);
    commit(write);
    assert_int_equal(atoll_store_held_bytes(store), held);
    write = begin(store);
    put_text(write, "value/00000001", "x");
    commit(write);
    assert_int_equal(atoll_store_held_bytes(store), held);
    atoll_store_close(store);
}

/* Writes checkpoints until it is killed, and says the number of each that is committed. */
static void child(const folder *f, int pipe)
{
    atoll_store *store;
    int wrong;
    if (atoll_store_open(f->path, MAP_BYTES, &store, NULL))
        _exit(2);
    for (uint64_t generation = survey_store(store, &wrong) + 1;; generation++) {
        if (wrong || write_checkpoint(store, generation))
            _exit(3);
        if (write(pipe, &generation, sizeof generation) != sizeof generation)
            _exit(4);
    }
}

static void test_killed_at_any_moment(void **state)
{
    enum { KILLS = 30 };
    for (int i = 0; i < KILLS; i++) {
        int ends[2];
        uint64_t heard = 0, committed = 0;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid)
            child(*state, ends[1]);
        close(ends[1]);
        assert_int_equal(read(ends[0], &committed, sizeof committed), sizeof committed);
        struct timespec moment = {.tv_nsec = (long)(i * 7919 % 31) * 500000};
        nanosleep(&moment, NULL); /* the moment of death is what varies; nothing depends on its length */
        kill(pid, SIGKILL);
        while (read(ends[0], &heard, sizeof heard) == sizeof heard)
            committed = heard;
        close(ends[0]);
        int status, wrong;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));

        atoll_store *store = open_store(*state, MAP_BYTES);
        uint64_t generation = survey_store(store, &wrong);
        assert_int_equal(wrong, 0);
        assert_true(generation == committed || generation == committed + 1);
        atoll_store_close(store);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_drop_and_abort),
        TEST(test_keys_and_sizes_have_limits),
        TEST(test_a_visit_may_end_the_walk),
        TEST(test_damage_is_noticed),
        TEST(test_swapped_blobs_are_noticed),
        TEST(test_other_formats_are_refused),
        TEST(test_a_full_map_keeps_the_last_checkpoint),
        TEST(test_a_full_disk_keeps_the_last_checkpoint),
        TEST(test_readers_see_whole_checkpoints),
        TEST(test_one_write_at_a_time),
        TEST(test_what_a_write_leaves_in_memory_is_told),
        TEST(test_a_large_checkpoint),
        TEST(test_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
