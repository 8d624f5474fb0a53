/* A running model in a folder of its own, and its calls, waited for. Include cmocka before it. */
#ifndef ATOLL_TESTS_SUPPORT_RUNNING_H
#define ATOLL_TESTS_SUPPORT_RUNNING_H

#include <pthread.h>
#include <stdbool.h>

#include "learner/learner.h"
#include "tests/support/learning.h"

/* How much nicer threads are that ask without end: more than the learner (15), which on a busy machine must get on. */
enum { RUNNING_READER_NICER = 19 };

enum { RUNNING_MAP_BYTES = 256 << 20 };

typedef struct running {
    char top[128], path[160];
    atoll_config config;
    atoll_learner *learner; /* NULL while it is closed */
    atoll_asker *asker;
    atoll_rng rng;
    uint32_t number;
} running;

/* A small model (learning_config), new and open; for cmocka's set-up and tear-down. */
int running_set_up(void **state);
int running_tear_down(void **state);

void running_open(running *r);  /* fails the test where it cannot */
void running_close(running *r);
/* Closes it and opens it again: from its checkpoint, or with `replayed` from the journal alone. */
void running_restart(running *r, bool replayed);
/* Restarts it and waits until it has learned everything: it must answer as before. */
void running_check_restart(running *r, bool replayed);
atoll_status running_try_open(running *r, const atoll_config *config, size_t map_bytes, atoll_error *error);

/* What a closed model has on disk: keeps the folder of a store ("journal", "state") under another name, or brings it
 * back; drops it; adds an entry of one byte to the journal. */
void running_copy_store(const running *r, const char *store, const char *name, bool back);
void running_drop_store(const running *r, const char *store);
void running_add_entry(const running *r, int kind);

/*
 * Looks now and then whether `condition` holds, which in the end it does, for five minutes: a test that fails where
 * something is late fails by chance. Returns whether it held.
 */
#define RUNNING_AWAIT(condition)                                                                                      \
    __extension__({                                                                                                   \
        int tries_ = 0;                                                                                               \
        while (!(condition) && tries_++ < 12000)                                                                      \
            running_pause();                                                                                          \
        tries_ <= 12000;                                                                                              \
    })
void running_pause(void); /* 25 ms */

/* A call under way: hand it to a callback below, then wait for it. Made by running_begin. */
typedef struct running_call {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int done; /* times that the callback came */
    atoll_status status;
    atoll_ingested ingested;
    atoll_pruned pruned[16];
    uint32_t count;
    uint64_t version;
    char detail[ATOLL_ERROR_DETAIL_BYTES];
} running_call;

void running_begin(running_call *call);
atoll_status running_end(running_call *call); /* waits for the callback, at most five minutes */
void running_ingested(void *call, atoll_status status, const atoll_ingested *result, const atoll_error *error);
void running_waited(void *call, atoll_status status, const atoll_error *error);
void running_pruned(void *call, atoll_status status, const atoll_pruned *pruned, uint32_t count, uint64_t version,
                    const atoll_error *error);

/* Ingests and waits; the refusal of the call itself counts as its status. */
atoll_status running_ingest(running *r, const learning_record *records, uint32_t count, bool trained,
                            atoll_ingested *ingested);
/* Changes the configuration and waits until that is learned. */
atoll_status running_configure(running *r, const atoll_config *config);
/* As learning_draw_any, but only what the model lets in. */
void running_draw(running *r, learning_record *out, atoll_rng *rng, uint32_t number, uint32_t domain);
/* Ingests `batches` drawn batches of `batch` records of all kinds, learned; fails the test where that fails. */
void running_feed(running *r, uint32_t domain, uint32_t batches, uint32_t batch);
/* Waits until everything in the journal is learned and published. */
void running_catch_up(running *r);
atoll_stats running_stats(running *r);

/* Everything the model answers to fixed questions, and what it tells of its experts: text to free(). Restarts and
 * replays give the same. */
char *running_answers(running *r);
/* Waits until all is learned; then the answers must be these. */
void running_check_answers(running *r, const char *expected);

#endif
