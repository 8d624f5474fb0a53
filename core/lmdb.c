#include "core/lmdb.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/hash.h"

enum {
    WINDOW_BYTES = 64 << 10, /* what the kernel maps around a page that is touched */
    TOUCHED_BYTES = 16 << 20 /* then the map is let go, see touch */
};

struct atoll_lmdb {
    MDB_env *env;
    MDB_dbi table;
    uint32_t format;  /* of what is stored */
    int folder;       /* locked while open: LMDB's own locks break when a process opens a file twice */
    const char *map;  /* where the file is mapped; NULL where the system does not tell */
    size_t map_bytes; /* of address space */
    _Atomic size_t touched_bytes;
    char path[];
};

/* Stands under the key of one zero byte, which sorts before every other. */
typedef struct stamp {
    char kind[ATOLL_LMDB_KIND_BYTES];
    uint64_t format;
    uint64_t checksum; /* of the two */
} stamp;

static const unsigned char stamp_key[1] = {0};

static bool is_stamp(const MDB_val *key)
{
    return key->mv_size == 1 && *(const unsigned char *)key->mv_data == 0;
}

/* LMDB reports a short write as EIO, although it mostly means that the disk, or what the process may write, is at its
 * end. */
static bool room_is_short(MDB_env *env)
{
    enum { LITTLE_BYTES = 1 << 20 };
    mdb_filehandle_t file;
    struct statvfs fs;
    struct rlimit limit;
    struct stat now;
    if (mdb_env_get_fd(env, &file))
        return false;
    if (!fstatvfs(file, &fs) && (uint64_t)fs.f_bavail * fs.f_frsize < LITTLE_BYTES)
        return true;
    return !fstat(file, &now) && !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
           (uint64_t)now.st_size + LITTLE_BYTES > limit.rlim_cur;
}

static atoll_status status_of(const atoll_lmdb *db, int rc)
{
    switch (rc) {
    case 0:
        return ATOLL_OK;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ATOLL_NO_SPACE;
    case EIO:
        return room_is_short(db->env) ? ATOLL_NO_SPACE : ATOLL_IO;
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
        return ATOLL_DAMAGED;
    case MDB_READERS_FULL:
        return ATOLL_BUSY;
    case ENOMEM:
        return ATOLL_NO_MEMORY;
    default:
        return ATOLL_IO;
    }
}

static atoll_status report(const atoll_lmdb *db, int rc, const char *doing, atoll_error *error)
{
    if (!rc)
        return ATOLL_OK;
    if (rc == MDB_NOTFOUND)
        return ATOLL_NOT_FOUND;
    atoll_status status = status_of(db, rc);
    return atoll_fail(error, status, "%s: %s: %s", db->path, doing,
                      mdb_strerror(status == ATOLL_NO_SPACE && rc == EIO ? ENOSPC : rc));
}

static atoll_lmdb *db_of(MDB_txn *txn)
{
    return mdb_env_get_userctx(mdb_txn_env(txn));
}

static MDB_val key_of(const void *key, size_t key_bytes)
{
    assert(key_bytes && key_bytes <= ATOLL_LMDB_KEY_MAX_BYTES);
    return (MDB_val){key_bytes, (void *)key};
}

/* ---- opening ---- */

static atoll_status claim_folder(atoll_lmdb *db, atoll_error *error)
{
    bool made = !mkdir(db->path, 0700);
    db->folder = made || errno == EEXIST ? open(db->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (db->folder < 0)
        return report(db, errno, "opening the folder", error);
    if (flock(db->folder, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return atoll_fail(error, ATOLL_BUSY, "%s: is open already, here or in another process", db->path);
    if (made) {
        int parent = openat(db->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int rc = parent < 0 || fsync(parent) ? errno : 0;
        if (parent >= 0)
            close(parent);
        return report(db, rc, "syncing the parent folder", error);
    }
    return ATOLL_OK;
}

/*
 * Reading a page that the file has lost would end the process with SIGBUS. A page of zeros instead is found damaged by
 * LMDB, or by the checksum of the value on it. (A file may be short without harm: LMDB does not write a last page that
 * a transaction took and gave back.)
 */
static int fill_up_file(MDB_env *env)
{
    mdb_filehandle_t file;
    MDB_envinfo info;
    MDB_stat stat;
    struct stat now;
    int rc = mdb_env_get_fd(env, &file);
    if (!rc)
        rc = mdb_env_info(env, &info);
    if (!rc)
        rc = mdb_env_stat(env, &stat);
    if (rc)
        return rc;
    uint64_t whole = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    if (fstat(file, &now) || ((uint64_t)now.st_size < whole && ftruncate(file, (off_t)whole)))
        return errno;
    return 0;
}

/* LMDB maps its lock file and writes to it; on a full disk that would end the process with SIGBUS, unless the blocks
 * are there before. Only while nothing has the file open: to close it anywhere lets go of LMDB's locks on it. */
static int allocate_lock_file(int folder)
{
    enum { LOCK_FILE_BYTES = 8192 };
    int file = openat(folder, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return errno;
    int rc = posix_fallocate(file, 0, LOCK_FILE_BYTES);
    close(file);
    return rc;
}

static int open_env(atoll_lmdb *db, size_t map_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int dead;
    int rc = mdb_env_create(&db->env);
    if (!rc)
        rc = allocate_lock_file(db->folder);
    if (rc)
        return rc;
    rc = mdb_env_set_userctx(db->env, db);
    if (!rc)
        rc = mdb_env_set_mapsize(db->env, (map_bytes + page - 1) / page * page);
    if (!rc)
        rc = mdb_env_open(db->env, db->path, MDB_NOTLS, 0600);
    if (!rc)
        rc = mdb_reader_check(db->env, &dead);
    if (!rc)
        rc = fill_up_file(db->env);
    if (!rc && fsync(db->folder))
        rc = errno;
    return rc;
}

/* LMDB does not tell where its map is, so the system is asked. */
static void find_map(atoll_lmdb *db)
{
    char *folder = realpath(db->path, NULL), *line = NULL;
    size_t capacity = 0;
    FILE *maps = folder ? fopen("/proc/self/maps", "re") : NULL;
    while (maps && !db->map && getline(&line, &capacity, maps) > 0) {
        unsigned long from, to;
        const char *path = strchr(line, '/');
        size_t length = strlen(folder);
        if (path && !strncmp(path, folder, length) && !strcmp(path + length, "/data.mdb\n") &&
            sscanf(line, "%lx-%lx", &from, &to) == 2) {
            db->map = (const char *)from;
            db->map_bytes = to - from;
        }
    }
    if (maps)
        fclose(maps);
    free(line);
    free(folder);
}

static uint64_t stamp_checksum(const stamp *s)
{
    return atoll_hash64(s, offsetof(stamp, checksum), 0);
}

static atoll_status check_stamp(atoll_lmdb *db, const MDB_val *value, const char *kind, uint32_t format,
                                atoll_error *error)
{
    stamp s;
    if (value->mv_size != sizeof s)
        return atoll_fail(error, ATOLL_DAMAGED, "%s: the format number is damaged", db->path);
    memcpy(&s, value->mv_data, sizeof s);
    if (s.checksum != stamp_checksum(&s))
        return atoll_fail(error, ATOLL_DAMAGED, "%s: the format number is damaged", db->path);
    if (memcmp(s.kind, kind, sizeof s.kind))
        return atoll_fail(error, ATOLL_DAMAGED, "%s: holds \"%.8s\" instead of \"%.8s\"", db->path, s.kind, kind);
    if (s.format > format)
        return atoll_fail(error, ATOLL_NEWER_FORMAT, "%s: format %llu, this version reads up to %u", db->path,
                          (unsigned long long)s.format, format);
    db->format = (uint32_t)s.format;
    return ATOLL_OK;
}

atoll_status atoll_lmdb_clear(atoll_lmdb *db, const char *kind, uint32_t format, atoll_error *error)
{
    stamp s = {.format = format};
    MDB_txn *txn;
    void *space = NULL;
    atoll_status status = atoll_lmdb_begin(db, true, &txn, error);
    if (status)
        return status;
    memcpy(s.kind, kind, sizeof s.kind);
    s.checksum = stamp_checksum(&s);
    status = report(db, mdb_drop(txn, db->table, 0), "clearing", error);
    if (status == ATOLL_OK)
        status = atoll_lmdb_reserve(txn, stamp_key, sizeof stamp_key, sizeof s, false, &space, error);
    if (status) {
        atoll_lmdb_abort(txn);
        return status;
    }
    memcpy(space, &s, sizeof s);
    status = atoll_lmdb_commit(txn, error);
    if (status == ATOLL_OK)
        db->format = format;
    return status;
}

uint32_t atoll_lmdb_format(const atoll_lmdb *db)
{
    return db->format;
}

static atoll_status check_format(atoll_lmdb *db, const char *kind, uint32_t format, atoll_error *error)
{
    MDB_txn *txn;
    MDB_stat stat;
    MDB_val key = {sizeof stamp_key, (void *)stamp_key}, value;
    atoll_status status = atoll_lmdb_begin(db, false, &txn, error);
    if (status)
        return status;
    bool empty = false;
    int rc = mdb_dbi_open(txn, NULL, 0, &db->table);
    if (!rc)
        rc = mdb_stat(txn, db->table, &stat);
    if (!rc && !stat.ms_entries)
        empty = true;
    else if (!rc)
        rc = mdb_get(txn, db->table, &key, &value);
    if (rc == MDB_NOTFOUND)
        status = atoll_fail(error, ATOLL_DAMAGED, "%s: holds data but no format number", db->path);
    else if (rc)
        status = report(db, rc, "reading the format number", error);
    else if (!empty)
        status = check_stamp(db, &value, kind, format, error);
    mdb_txn_abort(txn);
    return !status && empty ? atoll_lmdb_clear(db, kind, format, error) : status;
}

atoll_status atoll_lmdb_open(const char *path, const char *kind, uint32_t format, size_t map_bytes, atoll_lmdb **out,
                             atoll_error *error)
{
    assert(strlen(kind) == ATOLL_LMDB_KIND_BYTES);
    *out = NULL;
    size_t path_bytes = strlen(path) + 1;
    atoll_lmdb *db = calloc(1, sizeof *db + path_bytes);
    if (!db)
        return atoll_fail(error, ATOLL_NO_MEMORY, "%s: opening", path);
    memcpy(db->path, path, path_bytes);
    atoll_status status = claim_folder(db, error);
    if (!status)
        status = report(db, open_env(db, map_bytes), "opening", error);
    if (!status) {
        find_map(db);
        status = check_format(db, kind, format, error);
    }
    if (status) {
        atoll_lmdb_close(db);
        return status;
    }
    *out = db;
    return ATOLL_OK;
}

void atoll_lmdb_close(atoll_lmdb *db)
{
    if (!db)
        return;
    if (db->env)
        mdb_env_close(db->env);
    if (db->folder >= 0)
        close(db->folder);
    free(db);
}

/* ---- the map ---- */

/* Pages of the map that were touched count as the process's memory, until in the end all of the file does. Now and then
 * they are let go; they stay in the system's cache, from where they come back when they are touched again. */
static void touch(atoll_lmdb *db, size_t bytes)
{
    size_t more = bytes > WINDOW_BYTES ? bytes : WINDOW_BYTES;
    if (atomic_fetch_add_explicit(&db->touched_bytes, more, memory_order_relaxed) + more < TOUCHED_BYTES)
        return;
    atomic_store_explicit(&db->touched_bytes, 0, memory_order_relaxed);
    if (db->map)
        madvise((void *)db->map, db->map_bytes, MADV_DONTNEED);
}

/* Whether bytes that LMDB points to are within the file: it trusts the lengths that it reads from there. Bytes outside
 * of the map are in a page that this transaction has changed. */
static bool within_file(const atoll_lmdb *db, const MDB_val *bytes)
{
    MDB_envinfo info;
    MDB_stat stat;
    uintptr_t map = (uintptr_t)db->map, at = (uintptr_t)bytes->mv_data;
    if (!map || at < map || at >= map + db->map_bytes)
        return true;
    if (mdb_env_info(db->env, &info) || mdb_env_stat(db->env, &stat))
        return false;
    uint64_t whole = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    return at - map <= whole && bytes->mv_size <= whole - (at - map);
}

/* ---- transactions ---- */

atoll_status atoll_lmdb_begin(atoll_lmdb *db, bool write, atoll_lmdb_txn **out, atoll_error *error)
{
    return report(db, mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, out), "beginning", error);
}

atoll_status atoll_lmdb_commit(atoll_lmdb_txn *txn, atoll_error *error)
{
    atoll_lmdb *db = db_of(txn);
    return report(db, mdb_txn_commit(txn), "writing", error);
}

void atoll_lmdb_abort(atoll_lmdb_txn *txn)
{
    if (txn)
        mdb_txn_abort(txn);
}

atoll_status atoll_lmdb_get(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_lmdb_bytes *value,
                            atoll_error *error)
{
    atoll_lmdb *db = db_of(txn);
    MDB_val k = key_of(key, key_bytes), v;
    int rc = mdb_get(txn, db->table, &k, &v);
    if (!rc && !within_file(db, &v))
        rc = MDB_CORRUPTED;
    if (!rc) {
        touch(db, v.mv_size);
        *value = (atoll_lmdb_bytes){v.mv_data, v.mv_size};
    }
    return report(db, rc, "reading", error);
}

static atoll_status find(atoll_lmdb_txn *txn, MDB_val key, MDB_cursor_op op, atoll_lmdb_bytes *found,
                         atoll_lmdb_bytes *value, atoll_error *error)
{
    atoll_lmdb *db = db_of(txn);
    MDB_cursor *cursor;
    MDB_val v;
    int rc = mdb_cursor_open(txn, db->table, &cursor);
    if (rc)
        return report(db, rc, "reading", error);
    rc = mdb_cursor_get(cursor, &key, &v, op);
    if (!rc && is_stamp(&key))
        rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
    mdb_cursor_close(cursor);
    if (!rc && (!within_file(db, &key) || !within_file(db, &v)))
        rc = MDB_CORRUPTED;
    if (!rc) {
        touch(db, v.mv_size);
        *found = (atoll_lmdb_bytes){key.mv_data, key.mv_size};
        *value = (atoll_lmdb_bytes){v.mv_data, v.mv_size};
    }
    return report(db, rc, "reading", error);
}

atoll_status atoll_lmdb_seek(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_lmdb_bytes *found,
                             atoll_lmdb_bytes *value, atoll_error *error)
{
    return find(txn, key_of(key, key_bytes), MDB_SET_RANGE, found, value, error);
}

atoll_status atoll_lmdb_last(atoll_lmdb_txn *txn, atoll_lmdb_bytes *found, atoll_lmdb_bytes *value,
                             atoll_error *error)
{
    return find(txn, (MDB_val){0, NULL}, MDB_LAST, found, value, error);
}

atoll_status atoll_lmdb_reserve(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, size_t bytes, bool append,
                                void **space, atoll_error *error)
{
    atoll_lmdb *db = db_of(txn);
    MDB_val k = key_of(key, key_bytes), v = {bytes, NULL};
    int rc = mdb_put(txn, db->table, &k, &v, MDB_RESERVE | (append ? MDB_APPEND : 0));
    touch(db, 0);
    if (!rc)
        *space = v.mv_data;
    return report(db, rc, "writing", error);
}

atoll_status atoll_lmdb_drop(atoll_lmdb_txn *txn, const void *key, size_t key_bytes, atoll_error *error)
{
    atoll_lmdb *db = db_of(txn);
    MDB_val k = key_of(key, key_bytes);
    int rc = mdb_del(txn, db->table, &k, NULL);
    touch(db, 0);
    return report(db, rc == MDB_NOTFOUND ? 0 : rc, "removing", error);
}

uint64_t atoll_lmdb_leaf_pages(atoll_lmdb_txn *txn)
{
    MDB_stat stat;
    return mdb_stat(txn, db_of(txn)->table, &stat) ? 0 : stat.ms_leaf_pages;
}

uint64_t atoll_lmdb_count(atoll_lmdb *db)
{
    MDB_stat stat;
    return mdb_env_stat(db->env, &stat) || !stat.ms_entries ? 0 : (uint64_t)stat.ms_entries - 1;
}

uint64_t atoll_lmdb_bytes_used(atoll_lmdb *db)
{
    MDB_stat stat;
    return mdb_env_stat(db->env, &stat) ? 0
           : (uint64_t)stat.ms_psize * (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
}
