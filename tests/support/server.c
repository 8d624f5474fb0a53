#include "tests/support/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"

enum { ARGUMENTS_MAX = 32, START_MS = 300000, OPEN_FOLDERS = 16, PATH_BYTES = 1024 };

bool server_available(void)
{
    const char *binary = getenv("ATOLL_BINARY");
    return binary && access(binary, X_OK) == 0;
}

/* The child's side; returns only where the binary cannot be run. */
static void become_server(const char *dir, int out, const char *const *more)
{
    char log[PATH_BYTES];
    const char *arguments[ARGUMENTS_MAX] = {getenv("ATOLL_BINARY"), "serve", "--data-dir", dir, "--listen",
                                            "127.0.0.1:0"};
    int count = 6;
    for (; more && *more && count + 1 < ARGUMENTS_MAX; more++)
        arguments[count++] = *more;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(log, sizeof log, "%s.log", dir);
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (err < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        return;
    execv(arguments[0], (char *const *)arguments);
}

bool server_spawn(server_process *server, const char *dir, const char *const *more)
{
    int ends[2];
    *server = (server_process){.out = -1};
    if (pipe2(ends, O_CLOEXEC))
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        become_server(dir, ends[1], more);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return false;
    }
    server->pid = pid;
    server->out = ends[0];
    return true;
}

bool server_await(server_process *server)
{
    static const char announcement[] = "listening on http://127.0.0.1:";
    char text[4096];
    size_t bytes = 0;
    int64_t until_ns = atoll_clock_monotonic_ns() + (int64_t)START_MS * 1000000;
    while (bytes + 1 < sizeof text) {
        struct pollfd wanted = {.fd = server->out, .events = POLLIN};
        int64_t left_ms = (until_ns - atoll_clock_monotonic_ns()) / 1000000;
        int ready = left_ms > 0 ? poll(&wanted, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = ready > 0 ? read(server->out, text + bytes, sizeof text - bytes - 1) : 0;
        if (got <= 0)
            return false;
        bytes += (size_t)got;
        text[bytes] = 0;
        const char *at = strstr(text, announcement);
        if (!at || !strchr(at, '\n'))
            continue;
        server->port = atoi(at + strlen(announcement));
        snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", server->port);
        return true;
    }
    return false;
}

int server_wait(server_process *server)
{
    int status = 0;
    if (server->pid <= 0)
        return -1;
    while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(server->out);
    server->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void server_kill(server_process *server)
{
    if (server->pid > 0)
        kill(server->pid, SIGKILL);
    server_wait(server);
}

int server_terminate(server_process *server)
{
    if (server->pid > 0)
        kill(server->pid, SIGTERM);
    return server_wait(server);
}

/* ---- folders ---- */

bool folder_make(char path[128])
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(path, 128, "%s/atoll-e2e-XXXXXX", parent && *parent ? parent : "/tmp");
    return length < 128 && mkdtemp(path);
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

static bool make_folders(const char *path)
{
    char part[PATH_BYTES];
    for (const char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
        if (mkdir(part, 0700) && errno != EEXIST)
            return false;
        if (!*at)
            return true;
    }
}

static bool copy_file(const char *from, const char *to)
{
    char block[64 * 1024];
    ssize_t got = -1;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (in >= 0 && out >= 0) {
        while ((got = read(in, block, sizeof block)) > 0) {
            if (write(out, block, (size_t)got) != got) {
                got = -1;
                break;
            }
        }
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return got == 0;
}

bool folder_copy(const char *from, const char *to)
{
    char source[PATH_BYTES], target[PATH_BYTES];
    struct stat about;
    DIR *dir = make_folders(to) ? opendir(from) : NULL;
    if (!dir)
        return false;
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(dir));) {
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (stat(source, &about) == 0 && S_ISREG(about.st_mode))
            good = copy_file(source, target);
    }
    closedir(dir);
    return good;
}
