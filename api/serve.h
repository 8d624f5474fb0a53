/* `atoll serve`: the life of a server process from its arguments to its exit status. */
#ifndef ATOLL_API_SERVE_H
#define ATOLL_API_SERVE_H

#include <stdio.h>

/*
 * Serves until SIGTERM or SIGINT, then goes unready, answers what is under way, ends all models and returns 0. Writes
 * "listening on http://…" to `out`. 1 where the server could not start, 2 for arguments that cannot be used; why is
 * told on standard error. argv begins behind the word "serve".
 */
int atoll_serve_main(int argc, char **argv, FILE *out);

/* The flags with their environment twins, a line each. */
void atoll_serve_help(FILE *out);

#endif
