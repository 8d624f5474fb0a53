/*
 * A server that speaks the OpenAI embeddings call, and fails in every way that is asked of it. Texts that share words
 * get embeddings that are alike. Include cmocka before it.
 */
#ifndef ATOLL_TESTS_SUPPORT_EMBEDDING_SERVER_H
#define ATOLL_TESTS_SUPPORT_EMBEDDING_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"

typedef enum embedding_mode {
    EMBEDDING_GOOD,
    EMBEDDING_REVERSED,     /* good, the elements in reverse order */
    EMBEDDING_DRIFTING,     /* good, but never twice the same */
    EMBEDDING_BROKEN,       /* 500, with a message */
    EMBEDDING_BUSY,         /* 429, Retry-After: 2 */
    EMBEDDING_REFUSING,     /* 400 where a text holds "refuse" or is over 60 bytes */
    EMBEDDING_REFUSING_ALL, /* 400 */
    EMBEDDING_SHORT,        /* vectors one value short */
    EMBEDDING_NAN,
    EMBEDDING_HUGE_NUMBER,  /* a finite number that no float holds */
    EMBEDDING_TOO_FEW,      /* the last text's vector is missing */
    EMBEDDING_TWICE,        /* all elements have index 0 */
    EMBEDDING_GARBAGE,      /* no JSON */
    EMBEDDING_WORDY,        /* a reply without end, or nearly so */
    EMBEDDING_SLOW          /* good, after `delay_ms`, or when that is shortened */
} embedding_mode;

typedef struct embedding_server {
    struct MHD_Daemon *daemon; /* NULL while it is down */
    uint16_t port;
    char url[64];              /* ends in /v1 */
    uint32_t dim;
    _Atomic int mode, delay_ms;
    _Atomic uint64_t calls, texts, drift;
    _Atomic bool authorized;   /* the last call carried "Bearer secret" */
} embedding_server;

void embedding_server_start(embedding_server *server, uint32_t dim);
/* Down and up again, at the same address. Down, it waits no longer where it is slow. */
void embedding_server_stop(embedding_server *server);
void embedding_server_again(embedding_server *server);

/* The settings of a model that uses it. */
void embedding_server_configure(const embedding_server *server, atoll_config *config);

#endif
