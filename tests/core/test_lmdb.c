#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/lmdb.h"
#include "tests/core/folder.h"

enum { MAP_BYTES = 64 << 20 };

static const char kind[] = "testkind";

static atoll_lmdb *open_db(const folder *f, size_t map_bytes)
{
    atoll_lmdb *db;
    atoll_error error = {0};
    atoll_status status = atoll_lmdb_open(f->path, kind, 1, map_bytes, &db, &error);
    if (status)
        fail_msg("%s", error.detail);
    return db;
}

static atoll_status refused(const folder *f, const char *of_kind, uint32_t format)
{
    atoll_lmdb *db;
    atoll_error error = {0};
    atoll_status status = atoll_lmdb_open(f->path, of_kind, format, MAP_BYTES, &db, &error);
    assert_null(status ? db : NULL);
    assert_int_equal(error.status, status);
    assert_true(!status || strstr(error.detail, f->path));
    if (!status)
        atoll_lmdb_close(db);
    return status;
}

static atoll_status put(atoll_lmdb_txn *txn, const char *key, const void *data, size_t bytes, bool append)
{
    void *space;
    atoll_status status = atoll_lmdb_reserve(txn, key, strlen(key), bytes, append, &space, NULL);
    if (!status)
        memcpy(space, data, bytes);
    return status;
}

static atoll_lmdb_txn *begin(atoll_lmdb *db, bool write)
{
    atoll_lmdb_txn *txn;
    assert_int_equal(atoll_lmdb_begin(db, write, &txn, NULL), ATOLL_OK);
    return txn;
}

static void put_one(atoll_lmdb *db, const char *key, const char *text)
{
    atoll_lmdb_txn *txn = begin(db, true);
    assert_int_equal(put(txn, key, text, strlen(text), false), ATOLL_OK);
    assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
}

static void assert_bytes(atoll_lmdb_bytes bytes, const char *text)
{
    assert_int_equal(bytes.bytes, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.bytes);
}

static void test_values_come_back_in_key_order(void **state)
{
    atoll_lmdb *db = open_db(*state, MAP_BYTES);
    atoll_lmdb_bytes key, value;
    atoll_lmdb_txn *txn = begin(db, false);
    assert_int_equal(atoll_lmdb_last(txn, &key, &value, NULL), ATOLL_NOT_FOUND);
    assert_int_equal(atoll_lmdb_seek(txn, "a", 1, &key, &value, NULL), ATOLL_NOT_FOUND);
    atoll_lmdb_abort(txn);

    put_one(db, "b", "second");
    put_one(db, "a", "first");
    put_one(db, "c", "third");
    put_one(db, "b", "another second");
    assert_true(atoll_lmdb_bytes_used(db) > 0);
    atoll_lmdb_close(db);

    db = open_db(*state, MAP_BYTES);
    txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "b", 1, &value, NULL), ATOLL_OK);
    assert_bytes(value, "another second");
    assert_int_equal(atoll_lmdb_get(txn, "bb", 2, &value, NULL), ATOLL_NOT_FOUND);
    assert_int_equal(atoll_lmdb_seek(txn, "\0\0", 2, &key, &value, NULL), ATOLL_OK);
    assert_bytes(key, "a");
    assert_int_equal(atoll_lmdb_seek(txn, "\0", 1, &key, &value, NULL), ATOLL_OK);
    assert_bytes(key, "a");
    assert_int_equal(atoll_lmdb_seek(txn, "a\0", 2, &key, &value, NULL), ATOLL_OK);
    assert_bytes(key, "b");
    assert_int_equal(atoll_lmdb_seek(txn, "d", 1, &key, &value, NULL), ATOLL_NOT_FOUND);
    assert_int_equal(atoll_lmdb_last(txn, &key, &value, NULL), ATOLL_OK);
    assert_bytes(key, "c");
    assert_bytes(value, "third");
    atoll_lmdb_abort(txn);
    atoll_lmdb_close(db);
}

static void test_drop_and_abort(void **state)
{
    atoll_lmdb *db = open_db(*state, MAP_BYTES);
    atoll_lmdb_bytes value;
    put_one(db, "stays", "x");
    atoll_lmdb_txn *txn = begin(db, true);
    assert_int_equal(put(txn, "goes", "y", 1, false), ATOLL_OK);
    assert_int_equal(atoll_lmdb_drop(txn, "stays", 5, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_drop(txn, "never was", 9, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_get(txn, "stays", 5, &value, NULL), ATOLL_NOT_FOUND);
    atoll_lmdb_abort(txn);
    txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "stays", 5, &value, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_get(txn, "goes", 4, &value, NULL), ATOLL_NOT_FOUND);
    atoll_lmdb_abort(txn);
    atoll_lmdb_abort(NULL);
    atoll_lmdb_close(db);
    atoll_lmdb_close(NULL);
}

static void test_a_reader_sees_its_beginning(void **state)
{
    atoll_lmdb *db = open_db(*state, MAP_BYTES);
    put_one(db, "k", "old");
    atoll_lmdb_txn *reader = begin(db, false);
    put_one(db, "k", "new");
    atoll_lmdb_bytes value;
    assert_int_equal(atoll_lmdb_get(reader, "k", 1, &value, NULL), ATOLL_OK);
    assert_bytes(value, "old");
    atoll_lmdb_abort(reader);
    atoll_lmdb_close(db);
}

static void test_a_folder_is_open_once(void **state)
{
    folder *f = *state;
    atoll_lmdb *db = open_db(f, MAP_BYTES);
    assert_int_equal(refused(f, kind, 1), ATOLL_BUSY);
    atoll_lmdb_close(db);
    assert_int_equal(refused(f, kind, 1), ATOLL_OK);
}

static void test_the_parent_must_be_there(void **state)
{
    char path[300];
    atoll_lmdb *db;
    assert_int_equal(atoll_lmdb_open(folder_file(*state, "none/here", path), kind, 1, MAP_BYTES, &db, NULL),
                     ATOLL_IO);
    assert_int_equal(atoll_lmdb_open(folder_file(*state, "made", path), kind, 1, MAP_BYTES, &db, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    char file[300];
    FILE *other = fopen(folder_file(*state, "file", file), "w");
    fclose(other);
    assert_int_equal(atoll_lmdb_open(file, kind, 1, MAP_BYTES, &db, NULL), ATOLL_IO);
}

static void test_stamps(void **state)
{
    folder *f = *state;
    assert_int_equal(refused(f, kind, 7), ATOLL_OK);
    assert_int_equal(refused(f, kind, 8), ATOLL_OK);
    assert_int_equal(refused(f, kind, 7), ATOLL_OK);
    assert_int_equal(refused(f, kind, 6), ATOLL_NEWER_FORMAT);
    assert_int_equal(refused(f, "otherknd", 7), ATOLL_DAMAGED);
    char path[300];
    assert_true(file_flip(folder_file(f, "data.mdb", path), kind, 8) > 0);
    assert_int_equal(refused(f, kind, 7), ATOLL_DAMAGED);
}

static void test_clearing(void **state)
{
    folder *f = *state;
    atoll_lmdb *db;
    atoll_lmdb_bytes value;
    assert_int_equal(refused(f, kind, 7), ATOLL_OK);
    assert_int_equal(atoll_lmdb_open(f->path, kind, 8, MAP_BYTES, &db, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_format(db), 7);
    put_one(db, "a", "old");
    assert_int_equal(atoll_lmdb_clear(db, kind, 8, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_format(db), 8);
    atoll_lmdb_txn *txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "a", 1, &value, NULL), ATOLL_NOT_FOUND);
    atoll_lmdb_abort(txn);
    atoll_lmdb_close(db);
    assert_int_equal(refused(f, kind, 7), ATOLL_NEWER_FORMAT);
}

static void write_at(const char *path, off_t offset, const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, bytes, offset), bytes);
    close(fd);
}

static void test_a_file_of_something_else(void **state)
{
    folder *f = *state;
    char path[300];
    static const uint8_t garbage[8192] = {1, 2, 3};
    close(open(folder_file(f, "data.mdb", path), O_WRONLY | O_CREAT, 0600));
    write_at(path, 0, garbage, sizeof garbage);
    assert_int_equal(refused(f, kind, 1), ATOLL_DAMAGED);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(refused(f, kind, 1), ATOLL_DAMAGED);
}

/* The file loses its end: what it held is found damaged or whole, and nothing is read beyond the end. */
static void test_a_truncated_file(void **state)
{
    folder *f = *state;
    char path[300], name[32];
    static const char blob[10000];
    atoll_lmdb *db = open_db(f, MAP_BYTES);
    atoll_lmdb_txn *txn = begin(db, true);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "key %04d", i);
        assert_int_equal(put(txn, name, blob, sizeof blob, true), ATOLL_OK);
    }
    assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    struct stat before;
    assert_int_equal(stat(folder_file(f, "data.mdb", path), &before), 0);
    for (off_t left = before.st_size - 4096; left >= 8192; left = left / 2 / 4096 * 4096) {
        assert_int_equal(truncate(path, left), 0);
        atoll_lmdb_bytes value = {0};
        int found = 0;
        atoll_status status = atoll_lmdb_open(f->path, kind, 1, MAP_BYTES, &db, NULL);
        if (status) {
            assert_int_equal(status, ATOLL_DAMAGED);
            continue;
        }
        txn = begin(db, false);
        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "key %04d", i);
            status = atoll_lmdb_get(txn, name, strlen(name), &value, NULL);
            assert_true(!status || status == ATOLL_DAMAGED);
            found += !status && !memcmp(value.data, blob, sizeof blob);
        }
        atoll_lmdb_abort(txn);
        atoll_lmdb_close(db);
        assert_true(found == 0 || found == 100);
    }
}

/* A length on a page is changed so that the value would reach far beyond the end of the file. */
static void test_a_damaged_length(void **state)
{
    enum { LENGTH_HIGH_BYTE = -5 }; /* before the key: 2 + 2 bytes of length (low, high), flags, length of the key */
    folder *f = *state;
    char path[300];
    static const char blob[10000];
    atoll_lmdb_bytes key, value;
    atoll_lmdb *db = open_db(f, MAP_BYTES);
    atoll_lmdb_txn *txn = begin(db, true);
    assert_int_equal(put(txn, "this is a key", blob, sizeof blob, false), ATOLL_OK);
    assert_int_equal(put(txn, "this is not", blob, sizeof blob, false), ATOLL_OK);
    assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_true(file_flip(folder_file(f, "data.mdb", path), "this is a key", (size_t)LENGTH_HIGH_BYTE) > 0);
    db = open_db(f, MAP_BYTES);
    txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "this is a key", 13, &value, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_lmdb_seek(txn, "this", 4, &key, &value, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_lmdb_get(txn, "this is not", 11, &value, NULL), ATOLL_OK);
    assert_int_equal(value.bytes, sizeof blob);
    atoll_lmdb_abort(txn);
    atoll_lmdb_close(db);
}

static size_t resident_bytes(void)
{
    size_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(file, "%zu %zu", &pages, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* However much is read, only a little of the file stays in the process's memory. */
static void test_reading_keeps_memory_small(void **state)
{
    enum { BLOBS = 40 };
    static const char blob[1 << 20];
    char name[32];
    atoll_lmdb *db = open_db(*state, MAP_BYTES);
    for (int i = 0; i < BLOBS; i++) {
        snprintf(name, sizeof name, "key %04d", i);
        atoll_lmdb_txn *txn = begin(db, true);
        assert_int_equal(put(txn, name, blob, sizeof blob, true), ATOLL_OK);
        assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
    }
    size_t before_bytes = resident_bytes();
    for (int i = 0; i < BLOBS; i++) {
        atoll_lmdb_bytes value;
        atoll_lmdb_txn *txn = begin(db, false);
        snprintf(name, sizeof name, "key %04d", i);
        assert_int_equal(atoll_lmdb_get(txn, name, strlen(name), &value, NULL), ATOLL_OK);
        assert_memory_equal(value.data, blob, sizeof blob);
        atoll_lmdb_abort(txn);
    }
    assert_true(resident_bytes() < before_bytes + (24 << 20));
    atoll_lmdb_close(db);
}

static void test_no_number_where_there_is_data(void **state)
{
    folder *f = *state;
    atoll_lmdb *db = open_db(f, MAP_BYTES);
    atoll_lmdb_txn *txn = begin(db, true);
    assert_int_equal(put(txn, "key", "value", 5, false), ATOLL_OK);
    assert_int_equal(atoll_lmdb_drop(txn, "\0", 1, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_OK);
    atoll_lmdb_close(db);
    assert_int_equal(refused(f, kind, 1), ATOLL_DAMAGED);
}

static void test_a_full_map(void **state)
{
    static const char blob[16000];
    atoll_lmdb *db = open_db(*state, 1 << 20);
    atoll_lmdb_bytes value;
    put_one(db, "small", "x");
    atoll_lmdb_txn *txn = begin(db, true);
    atoll_status status = ATOLL_OK;
    char name[32];
    for (int i = 0; i < 100 && !status; i++) {
        snprintf(name, sizeof name, "key %04d", i);
        status = put(txn, name, blob, sizeof blob, false);
    }
    assert_int_equal(status, ATOLL_NO_SPACE);
    atoll_lmdb_abort(txn);
    put_one(db, "next", "y");
    txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "small", 5, &value, NULL), ATOLL_OK);
    assert_int_equal(atoll_lmdb_get(txn, "key 0000", 8, &value, NULL), ATOLL_NOT_FOUND);
    atoll_lmdb_abort(txn);
    atoll_lmdb_close(db);
}

/* Stands for a full disk: writing beyond the limit fails, some of it after a part was written. */
static void test_a_full_disk(void **state)
{
    static const char blob[16000];
    folder *f = *state;
    struct rlimit before, tight;
    atoll_lmdb_bytes value;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    atoll_lmdb *db = open_db(f, MAP_BYTES);
    put_one(db, "small", "x");
    for (size_t extra = 0; extra < 4096; extra += 1111) {
        tight = before;
        tight.rlim_cur = (1 << 20) + extra;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        atoll_lmdb_txn *txn = begin(db, true);
        char name[32];
        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "key %04d", i);
            assert_int_equal(put(txn, name, blob, sizeof blob, false), ATOLL_OK);
        }
        assert_int_equal(atoll_lmdb_commit(txn, NULL), ATOLL_NO_SPACE);
        txn = begin(db, false);
        assert_int_equal(atoll_lmdb_get(txn, "key 0000", 8, &value, NULL), ATOLL_NOT_FOUND);
        assert_int_equal(atoll_lmdb_get(txn, "small", 5, &value, NULL), ATOLL_OK);
        atoll_lmdb_abort(txn);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        put_one(db, "after", "y");
    }
    atoll_lmdb_close(db);
    db = open_db(f, MAP_BYTES);
    atoll_lmdb_txn *txn = begin(db, false);
    assert_int_equal(atoll_lmdb_get(txn, "after", 5, &value, NULL), ATOLL_OK);
    atoll_lmdb_abort(txn);
    atoll_lmdb_close(db);
    signal(SIGXFSZ, SIG_DFL);
}

static void test_too_many_readers(void **state)
{
    enum { MANY = 1000 };
    static atoll_lmdb_txn *readers[MANY];
    atoll_lmdb *db = open_db(*state, MAP_BYTES);
    int count = 0;
    atoll_status status = ATOLL_OK;
    while (count < MANY && !(status = atoll_lmdb_begin(db, false, &readers[count], NULL)))
        count++;
    assert_int_equal(status, ATOLL_BUSY);
    assert_true(count >= 100);
    while (count--)
        atoll_lmdb_abort(readers[count]);
    atoll_lmdb_abort(begin(db, false));
    atoll_lmdb_close(db);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_set_up, folder_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_values_come_back_in_key_order),
        TEST(test_drop_and_abort),
        TEST(test_a_reader_sees_its_beginning),
        TEST(test_a_folder_is_open_once),
        TEST(test_the_parent_must_be_there),
        TEST(test_stamps),
        TEST(test_clearing),
        TEST(test_a_file_of_something_else),
        TEST(test_a_truncated_file),
        TEST(test_a_damaged_length),
        TEST(test_reading_keeps_memory_small),
        TEST(test_no_number_where_there_is_data),
        TEST(test_a_full_map),
        TEST(test_a_full_disk),
        TEST(test_too_many_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
