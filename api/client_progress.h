/*
 * A progress line: redrawn in place on a terminal, a plain line every few seconds anywhere else. Times are nanoseconds
 * of the monotonic clock, given by the caller.
 */
#ifndef ATOLL_API_CLIENT_PROGRESS_H
#define ATOLL_API_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct atoll_client_progress {
    FILE *out;
    bool terminal;
    unsigned columns; /* of the terminal */
    int64_t started_ns, shown_ns;
} atoll_client_progress;

void atoll_client_progress_begin(atoll_client_progress *progress, FILE *out, int64_t now_ns);

/* Whether it is time for another line. */
bool atoll_client_progress_due(const atoll_client_progress *progress, int64_t now_ns);

/* Shows how much is done (0..1, or below 0 where that is not known) and `text`, which is ASCII. */
void atoll_client_progress_show(atoll_client_progress *progress, double done, const char *text, int64_t now_ns);

/* Leaves a terminal's line clean for what is printed next. */
void atoll_client_progress_end(atoll_client_progress *progress);

double atoll_client_progress_seconds(const atoll_client_progress *progress, int64_t now_ns);

#endif
