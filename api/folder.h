/* What the registry does to folders: making them, locking one, clearing them away. */
#ifndef ATOLL_API_FOLDER_H
#define ATOLL_API_FOLDER_H

#include "core/status.h"

enum { ATOLL_PATH_MAX_BYTES = 4096 };

/* Makes the folder and those above it where they are missing. ATOLL_IO, ATOLL_NO_SPACE. */
atoll_status atoll_folder_make(const char *path, atoll_error *error);

/* Locks the file `path` (made where it is missing) against other processes; *fd is closed to unlock. Waits for it at
 * most `wait_ms`: a process that was killed holds its lock until the system has taken its memory apart.
 * ATOLL_WRONG_STATE where another holds it. */
atoll_status atoll_folder_lock(const char *path, int wait_ms, int *fd, atoll_error *error);

/* Renames within one file system and makes the renaming durable. */
atoll_status atoll_folder_move(const char *from, const char *to, atoll_error *error);

/* Deletes the folder and all in it, as far as that goes; one that is not there is fine. Follows no links. */
atoll_status atoll_folder_delete(const char *path, atoll_error *error);

/* The names in a folder in byte order, without "." and "..": an array of strings to hand to atoll_folder_names_free. */
atoll_status atoll_folder_names(const char *path, char ***names, unsigned *count, atoll_error *error);
void atoll_folder_names_free(char **names, unsigned count);

#endif
