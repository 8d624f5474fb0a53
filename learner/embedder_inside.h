/* Inside the embedder: what embedder.c, embed_ahead.c and embed_ask.c share. */
#ifndef ATOLL_LEARNER_EMBEDDER_INSIDE_H
#define ATOLL_LEARNER_EMBEDDER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/embeddings.h"
#include "learner/embedder.h"
#include "learner/embedding_call.h"

typedef enum atoll_embed_user { ATOLL_EMBED_AHEAD, ATOLL_EMBED_ASK, ATOLL_EMBED_USERS } atoll_embed_user;

/* How calls have gone for one of the two threads. */
typedef struct atoll_embed_health {
    uint32_t failures;     /* in a row */
    int64_t down_since_ns; /* of the first of them */
    int64_t retry_at_ns;   /* no call before */
} atoll_embed_health;

typedef struct atoll_embed_question atoll_embed_question;

struct atoll_embedder {
    atoll_journal *journal;
    atoll_embeddings *store;
    uint32_t dim;
    pthread_t thread[ATOLL_EMBED_USERS];
    uint32_t threads;
    atoll_embedding_call *call[ATOLL_EMBED_USERS];

    pthread_mutex_t mutex;   /* over what follows, up to the next remark */
    pthread_cond_t work;     /* the fetcher may go on */
    pthread_cond_t ready;    /* `fetched` has grown */
    pthread_cond_t asked;    /* there are questions */
    bool stopping;
    atoll_config config;     /* of which only embedding.* is read */
    atoll_embed_health health[ATOLL_EMBED_USERS];
    bool last_failed;        /* the last call of all */
    char last_error[ATOLL_ERROR_DETAIL_BYTES];
    uint64_t fetched, fetched_records; /* commit up to which all embeddings are durable; records up to its end */
    uint64_t learned_records;
    atoll_embed_question *first, *last; /* in the order of arrival */

    _Atomic uint64_t covered; /* commit of the last checkpoint */
    _Atomic uint64_t calls, retries, texts, looked_up, found;
};

/*
 * Asks the server for `count` texts: fills items[i].vector, rounded to half precision, and sets items[i].found. Texts
 * that it refuses are asked for in ever smaller groups; a single one is cut in half until it passes, and where nothing
 * of it does, while another text does, the server has none for it. Keeps count, health and the last error.
 */
atoll_status atoll_embed_fetch(atoll_embedder *embedder, atoll_embed_user user, const atoll_slice *texts,
                               atoll_embedding *items, uint32_t count, atoll_error *error);

/* Something went wrong for one of the threads: counts it, and says when it may try again. */
void atoll_embed_failed(atoll_embedder *embedder, atoll_embed_user user, int64_t retry_after_ms,
                        const atoll_error *error);

/* The two threads; `arg` is the embedder. */
void *atoll_embed_ahead(void *arg);
void *atoll_embed_answer(void *arg);

/* Ends questions that are still waiting, once the thread that answers is gone. */
void atoll_embed_dismiss(atoll_embedder *embedder);

/* Waits for a condition under the mutex until a monotonic time. */
void atoll_embed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ns);

#endif
