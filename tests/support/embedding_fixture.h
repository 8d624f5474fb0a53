/* An embedder with a journal and a server of its own. Include cmocka before it. */
#ifndef ATOLL_TESTS_SUPPORT_EMBEDDING_FIXTURE_H
#define ATOLL_TESTS_SUPPORT_EMBEDDING_FIXTURE_H

#include "core/journal.h"
#include "learner/embedder.h"
#include "tests/support/embedding_server.h"

enum { EMBEDDING_FIXTURE_DIM = 16 };

typedef struct embedding_fixture {
    char top[128], path[160];
    embedding_server server;
    atoll_config config;
    atoll_journal *journal;
    atoll_embedder *embedder;
    uint64_t records; /* in the journal */
} embedding_fixture;

int embedding_set_up(void **state);
int embedding_tear_down(void **state);

/* Opens the embedder as of a commit, before which `records` were learned. */
void embedding_open(embedding_fixture *f, uint64_t commit, uint64_t records);
void embedding_close(embedding_fixture *f);

/* One commit of `count` records, labelled, with the texts "<first> word", "<first + 1> word", …; returns it. */
uint64_t embedding_commit(embedding_fixture *f, uint32_t first, uint32_t count);
void embedding_text(uint32_t number, char text[32]);

/* Waits until the embeddings of a commit are there, at most half a minute. */
bool embedding_await(embedding_fixture *f, uint64_t commit);

/* The stored embedding of a text; false where there is none. */
bool embedding_of(embedding_fixture *f, const char *text, float out[EMBEDDING_FIXTURE_DIM]);

atoll_embedding_stats embedding_stats(embedding_fixture *f);

#endif
