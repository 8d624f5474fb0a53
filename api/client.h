/* The command line as a client of a running server: ingest, predict, experts, stats, models, prune, restore, demo. */
#ifndef ATOLL_API_CLIENT_H
#define ATOLL_API_CLIENT_H

#include <stdio.h>

/* Runs the subcommand argv[0] with its arguments and returns the exit status: 0, 1 where it failed, 2 where the
 * subcommand is unknown or its arguments cannot be used. Prints to standard output and standard error. */
int atoll_client_main(int argc, char **argv);

/* One line for each subcommand, for the program's own help. */
void atoll_client_list(FILE *out);

#endif
