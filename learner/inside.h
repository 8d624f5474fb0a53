/*
 * Inside a running model: what learner.c, opening.c, waiters.c, writing.c, ask.c and describe.c share.
 *
 * Threads. One learner thread is the only one to touch `state`. After a commit it publishes an atoll_published by one
 * atomic swap and retires the one before. Requests read the published one between atoll_reclaim_enter and leave: no
 * lock, no waiting. The journal's own thread makes submissions durable and calls back. A checkpoint thread writes what
 * the learner thread froze, so that learning does not stand still for the disk.
 *
 * Publishing copies no parameters, but the first change of each page after it does. So while there is more to learn,
 * and nobody waits for a version, the learner publishes only every PUBLISH_EVERY_MS.
 *
 * Weighed and not taken: a read-write lock about the model (requests would wait for whole commits), and a copy of the
 * model for each publication (hundreds of megabytes a second).
 */
#ifndef ATOLL_LEARNER_INSIDE_H
#define ATOLL_LEARNER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/journal.h"
#include "core/standing.h"
#include "core/store.h"
#include "learner/checkpoint.h"
#include "learner/embedder.h"
#include "learner/learner.h"
#include "learner/state.h"
#include "learner/trainer.h"

/* What requests read; immutable. */
typedef struct atoll_published {
    atoll_model *model;
    atoll_standing standing;      /* of its experts; the arrays are in standing_room */
    void *standing_room;
    atoll_served gate;            /* its weights rounded, where experts are many */
    atoll_memory_view memory;
    atoll_growth growth;
    atoll_drift_state drift;
    atoll_tally tally;
    uint32_t exemplars, domains;
    atoll_domain_tally *domain;   /* `domains` of them */
    atoll_index_about index;
    atoll_footprint footprint;    /* but for what changes between: see atoll_learner_footprint */
    uint64_t live_bytes;          /* of all arrays then */
    double growth_bytes;          /* that a record adds to it lately */
} atoll_published;

/* What a governing entry led to, kept for the call that waits for it. */
typedef struct atoll_outcome {
    uint64_t commit;
    atoll_error error; /* error.status ATOLL_OK where it was done */
    uint32_t count;
    atoll_pruned *pruned;
} atoll_outcome;

/* A call that waits for a version. Exactly one callback is set. */
typedef struct atoll_waiter {
    struct atoll_waiter *next;
    uint64_t version;
    int64_t since_ns, deadline_ns; /* monotonic; the deadline INT64_MAX for none */
    bool ordered;        /* that commit is an entry that governs, and its outcome this waiter's */
    atoll_ingested ingested;
    atoll_ingest_done ingest_done;
    atoll_wait_done wait_done;
    atoll_prune_done prune_done;
    void *arg;
} atoll_waiter;

enum { ATOLL_OUTCOMES = 64 };

struct atoll_learner {
    char name[ATOLL_NAME_MAX_BYTES + 1]; /* the model's, for the log */
    atoll_state state; /* the learner thread's */
    atoll_trainer *trainer;
    atoll_journal *journal;
    atoll_store *store;
    atoll_embedder *embedder; /* NULL for a model that makes its own embeddings */
    uint64_t loaded_epoch; /* of the checkpoint that was loaded, 0 without one */
    _Atomic(atoll_published *) published;
    atomic_bool stopping, removed, failed; /* removed: stopping, and not to be opened again */
    pthread_t thread, writer;
    bool writer_runs;
    atoll_patience patience; /* with commits and checkpoints, once it is to end */

    pthread_mutex_t configuring; /* so that the embedder and the journal see settings in the same order */
    pthread_mutex_t mutex;  /* over what follows, up to the next remark */
    pthread_cond_t changed; /* a checkpoint was taken or written */
    atoll_waiter *waiters;
    atoll_outcome outcomes[ATOLL_OUTCOMES];
    uint32_t next_outcome;
    atoll_checkpoint *checkpoint; /* under way, or NULL */
    bool checkpoint_written, checkpoint_good;
    pid_t writer_tid; /* 0 until the thread has begun */
    char failure[ATOLL_ERROR_DETAIL_BYTES];
    uint64_t *admitted; /* hashes of labels that were let in: open addressing, at most half full */
    uint32_t admitted_count, admitted_places;

    bool takes_tokens;           /* routing.granularity is "token", which never changes */
    _Atomic uint32_t vector_dim; /* of the first vector let in; 0 before */
    _Atomic uint64_t checkpoint_commit, checkpoints, checkpoint_ns, learn_ns, predictions;
    _Atomic uint64_t unsearched; /* predictions that did without a search, */
    _Atomic uint64_t alone;      /* and those of them that the shared expert has answered alone */
    _Atomic uint64_t taken;            /* records let in, learned or not */
    _Atomic uint64_t checkpoint_bytes; /* copied for the one under way */
    _Atomic uint64_t entry_bytes;      /* of the buffer that entries are read into */
    _Atomic uint64_t routed, overflowed, dropped;    /* for requests; the learner's own are in its tally */
    _Atomic int64_t asked_ms[ATOLL_EXPERTS_MAX];     /* when a request was last routed to it */
    _Atomic uint64_t asked_ns[ATOLL_EXPERTS_MAX];    /* spent in it for requests */
    _Atomic uint64_t asked_count[ATOLL_EXPERTS_MAX]; /* requests timed */
    _Atomic uint64_t asked_overflowed[ATOLL_EXPERTS_MAX], asked_dropped[ATOLL_EXPERTS_MAX]; /* for requests */
};

/*
 * What a record adds in the mean of all that were learned. At first that is not known, and 2,000 records more are
 * thought of that have brought 8 KB each: of package descriptions the first 7,000 brought 7 KB each.
 */
static inline double atoll_learner_mean_growth(uint64_t lasting_bytes, uint64_t records)
{
    enum { EXPECTED_BYTES = 8192, EXPECTED_RECORDS = 2000 };
    return ((double)lasting_bytes + (double)EXPECTED_BYTES * EXPECTED_RECORDS) / (double)(records + EXPECTED_RECORDS);
}

/* What is held now, by a published state that was entered. */
atoll_footprint atoll_learner_footprint(const atoll_learner *learner, const atoll_published *published);

/* Why nothing more will be learned: ATOLL_INTERNAL, ATOLL_UNKNOWN_MODEL or ATOLL_SHUTTING_DOWN; else ATOLL_OK. */
atoll_status atoll_learner_over(const atoll_learner *learner, atoll_error *error);

/* The published state, entered; leave with the ticket. */
const atoll_published *atoll_learner_enter(atoll_learner *learner, int *ticket);
void atoll_learner_leave(atoll_learner *learner, int ticket);

/* Of what is published. */
uint64_t atoll_learner_version(atoll_learner *learner);

/* ---- opening.c ---- */

/* Fills in what a model holds before its threads run, but for the trainer and a published version. As
 * atoll_learner_open; after a failure what is filled in is the caller's to free. */
atoll_status atoll_learner_find(atoll_learner *learner, const char *path, const atoll_config *config, size_t map_bytes,
                                atoll_error *error);

/* ---- waiters.c ---- */

/* Puts a waiter (a copy is made) in line, or calls it at once where its version is published. */
atoll_status atoll_learner_enlist(atoll_learner *learner, const atoll_waiter *waiter, atoll_error *error);

/* Takes the waiters out that are served by `version`, or late, or with `all` every one, and calls them. */
void atoll_waiters_serve(atoll_learner *learner, uint64_t version, bool all);

/* Whether somebody waits for `version` or an older one. */
bool atoll_waiters_want(atoll_learner *learner, uint64_t version);

/* Keeps what an entry led to, for the call that waits for it; takes over its array. */
void atoll_waiters_keep(atoll_learner *learner, const atoll_outcome *outcome);

/* For how long learning has waited for the embedding server, 0 where it does not; with the reason. */
int64_t atoll_learner_stalled_ns(atoll_learner *learner, char why[ATOLL_ERROR_DETAIL_BYTES]);

/* ---- writing.c ---- */

/* Lets a label in: ATOLL_TOO_MANY_LABELS. With `add` false nothing is kept. */
atoll_status atoll_learner_admit(atoll_learner *learner, atoll_slice label, bool add, atoll_error *error);

/* Lets in what the model knows, and what the journal holds behind it: labels and the dimension of vectors. `newest`
 * becomes the configuration as it will be once all is learned. */
atoll_status atoll_learner_admit_known(atoll_learner *learner, atoll_config *newest, atoll_error *error);

#endif
