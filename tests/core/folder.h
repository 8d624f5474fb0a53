/* A folder of a test's own, and what is done to the files in it. */
#ifndef ATOLL_TESTS_CORE_FOLDER_H
#define ATOLL_TESTS_CORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct folder {
    char path[256];
} folder;

static inline void folder_make(folder *f)
{
    const char *base = getenv("TMPDIR");
    snprintf(f->path, sizeof f->path, "%s/atoll-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(f->path))
        abort();
}

static inline void folder_remove(const folder *f)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    if (system(command))
        abort();
}

/* For cmocka's set-up and tear-down: the state is the folder. */
static inline int folder_set_up(void **state)
{
    static folder f;
    folder_make(&f);
    *state = &f;
    return 0;
}

static inline int folder_tear_down(void **state)
{
    folder_remove(*state);
    return 0;
}

static inline const char *folder_file(const folder *f, const char *name, char out[300])
{
    snprintf(out, 300, "%.250s/%s", f->path, name);
    return out;
}

/* Flips a bit `shift` bytes behind each place where the file holds `pattern`; returns how many places there were. */
static inline int file_flip(const char *path, const char *pattern, size_t shift)
{
    FILE *file = fopen(path, "r+b");
    if (!file)
        return 0;
    fseek(file, 0, SEEK_END);
    size_t bytes = (size_t)ftell(file), length = strlen(pattern);
    char *data = malloc(bytes);
    rewind(file);
    int places = 0;
    if (data && fread(data, 1, bytes, file) == bytes) {
        for (size_t i = 0; i + length + shift < bytes; i++) {
            if (!memcmp(data + i, pattern, length)) {
                data[i + shift] ^= 1;
                places++;
            }
        }
        rewind(file);
        if (fwrite(data, 1, bytes, file) != bytes)
            places = 0;
    }
    free(data);
    fclose(file);
    return places;
}

#endif
