/* A real server as a process of its own: the binary that $ATOLL_BINARY names, on an ephemeral port. */
#ifndef ATOLL_TESTS_SUPPORT_SERVER_H
#define ATOLL_TESTS_SUPPORT_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct server_process {
    pid_t pid; /* 0 while none runs */
    int out;   /* its standard output */
    int port;
    char url[64];
} server_process;

/* Whether there is a binary to start. */
bool server_available(void);

/* Starts it with data folder `dir`, its log going to `dir`.log, and with the flags in `more` (ends with NULL; may be
 * NULL itself). The process dies with the caller. False where it could not be started. */
bool server_spawn(server_process *server, const char *dir, const char *const *more);

/* Waits until it listens, and fills in the port and the URL; false where it ended, or took longer than a minute. */
bool server_await(server_process *server);

/* kill -9, and its end. */
void server_kill(server_process *server);

/* SIGTERM; returns its exit status, or -1 where a signal ended it. */
int server_terminate(server_process *server);

/* Waits for its end without asking for it; as above. */
int server_wait(server_process *server);

/* ---- folders ---- */

/* Makes a folder of its own for a test; `path` gets at most 128 bytes. */
bool folder_make(char path[128]);
/* Removes a folder with all that is in it; silent where it is not there. */
void folder_remove(const char *path);
/* Copies the files of folder `from` (not folders in it) to `to`, which is made with the folders above it. */
bool folder_copy(const char *from, const char *to);

#endif
