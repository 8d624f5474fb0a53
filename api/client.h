/* The client commands of the one binary: they talk to a running server over HTTP. */
#ifndef ATOLL_API_CLIENT_H
#define ATOLL_API_CLIENT_H

/* argv[0] is the subcommand; returns the exit status; 2 for an unknown subcommand. */
int atoll_client_main(int argc, char **argv);

#endif
