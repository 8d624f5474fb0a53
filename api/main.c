/* The one binary: the server, and its own client. */
#include <stdio.h>
#include <string.h>

#include "api/client.h"
#include "api/serve.h"

#ifndef ATOLL_VERSION
#define ATOLL_VERSION "unknown"
#endif

static int help(int argc, char **argv)
{
    if (argc > 0 && !strcmp(argv[0], "serve")) {
        atoll_serve_help(stdout);
        return 0;
    }
    if (argc > 0) {
        char *arguments[] = {argv[0], (char[]){"--help"}, NULL};
        return atoll_client_main(2, arguments);
    }
    puts("usage: atoll COMMAND …\n\n"
         "  serve                    serve models over HTTP; `atoll help serve` lists the flags\n"
         "  version                  print the version\n"
         "  help [COMMAND]           this text, or that of a command\n\n"
         "of a running server:\n");
    atoll_client_list(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: atoll COMMAND …; `atoll help` lists the commands\n", stderr);
        return 2;
    }
    const char *command = argv[1];
    if (!strcmp(command, "help") || !strcmp(command, "--help") || !strcmp(command, "-h"))
        return help(argc - 2, argv + 2);
    if (!strcmp(command, "version") || !strcmp(command, "--version")) {
        puts("atoll " ATOLL_VERSION);
        return 0;
    }
    if (!strcmp(command, "serve")) {
        if (argc == 3 && !strcmp(argv[2], "--help"))
            return help(1, argv + 1);
        return atoll_serve_main(argc - 2, argv + 2, stdout);
    }
    return atoll_client_main(argc - 1, argv + 1);
}
