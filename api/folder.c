#include "api/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static atoll_status fail(atoll_error *error, const char *doing, const char *path)
{
    int number = errno;
    atoll_status status = number == ENOSPC || number == EDQUOT ? ATOLL_NO_SPACE : ATOLL_IO;
    return atoll_fail(error, status, "cannot %s %.150s: %s", doing, path, strerror(number));
}

atoll_status atoll_folder_make(const char *path, atoll_error *error)
{
    char part[ATOLL_PATH_MAX_BYTES];
    size_t bytes = strlen(path);
    if (!bytes || bytes >= sizeof part)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "the folder's path is empty or over %d bytes",
                          ATOLL_PATH_MAX_BYTES);
    memcpy(part, path, bytes + 1);
    for (char *p = part + 1;; p++) {
        char was = *p;
        if (was && was != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return fail(error, "make folder", part);
        *p = was;
        if (!was)
            break;
    }
    struct stat about;
    if (stat(path, &about))
        return fail(error, "look at", path);
    if (!S_ISDIR(about.st_mode))
        return atoll_fail(error, ATOLL_IO, "%.200s is no folder", path);
    return ATOLL_OK;
}

atoll_status atoll_folder_lock(const char *path, int wait_ms, int *fd, atoll_error *error)
{
    enum { STEP_MS = 20 };
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return fail(error, "open", path);
    int failed;
    while ((failed = flock(file, LOCK_EX | LOCK_NB)) && errno == EWOULDBLOCK && wait_ms > 0) {
        poll(NULL, 0, STEP_MS);
        wait_ms -= STEP_MS;
        errno = EWOULDBLOCK;
    }
    if (failed) {
        bool held = errno == EWOULDBLOCK;
        atoll_status status = fail(error, "lock", path);
        close(file);
        return held ? atoll_fail(error, ATOLL_WRONG_STATE, "another server holds %.200s", path) : status;
    }
    *fd = file;
    return ATOLL_OK;
}

/* A rename is durable once the folders it touched are. */
static bool sync_parent(const char *path)
{
    char parent[ATOLL_PATH_MAX_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = !fsync(fd);
    close(fd);
    return good;
}

atoll_status atoll_folder_move(const char *from, const char *to, atoll_error *error)
{
    if (rename(from, to))
        return fail(error, "rename", from);
    if (!sync_parent(to) || !sync_parent(from))
        return fail(error, "make durable the renaming of", from);
    return ATOLL_OK;
}

static int delete_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

atoll_status atoll_folder_delete(const char *path, atoll_error *error)
{
    if (nftw(path, delete_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return fail(error, "delete", path);
    return ATOLL_OK;
}

static int visible(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

atoll_status atoll_folder_names(const char *path, char ***names, unsigned *count, atoll_error *error)
{
    struct dirent **entries;
    int found = scandir(path, &entries, visible, by_bytes);
    if (found < 0)
        return fail(error, "read folder", path);
    char **list = calloc((size_t)found + 1, sizeof *list);
    bool whole = list;
    for (int i = 0; i < found; i++) {
        if (list)
            whole &= (list[i] = strdup(entries[i]->d_name)) != NULL;
        free(entries[i]);
    }
    free(entries);
    if (!whole) {
        atoll_folder_names_free(list, (unsigned)found);
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the names in %.200s", path);
    }
    *names = list;
    *count = (unsigned)found;
    return ATOLL_OK;
}

void atoll_folder_names_free(char **names, unsigned count)
{
    for (unsigned i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}
