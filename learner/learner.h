/*
 * A running model: its journal, its state on disk, the thread that learns, and what requests read. This is all that the
 * API needs to know of learning.
 *
 * Calls that must wait for the disk or for learning take a callback and return at once; the callback runs on a thread
 * of the model, exactly once, must not block and must not call back into the same learner. Calls that answer from the
 * published snapshot take no lock and never wait.
 */
#ifndef ATOLL_LEARNER_LEARNER_H
#define ATOLL_LEARNER_LEARNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/combine.h"
#include "core/config.h"
#include "core/expert.h"
#include "core/limits.h"
#include "core/record.h"
#include "learner/embedded.h"
#include "learner/footprint.h"
#include "learner/prediction.h"
#include "retrieval/index.h"

typedef struct atoll_learner atoll_learner;

/* ---- life ---- */

/* Opens the model in folder `path` (created if `config` is given; the newest configuration in it counts otherwise).
 * Returns once the last checkpoint is loaded; what the journal holds behind it is learned in the background.
 * `map_bytes` bounds each of the two stores. ATOLL_NOT_FOUND where there is no model and no config; ATOLL_NEWER_FORMAT,
 * ATOLL_OLDER_FORMAT where the journal is not whole any more, ATOLL_DAMAGED, ATOLL_IO, ATOLL_NO_SPACE,
 * ATOLL_NO_MEMORY. */
atoll_status atoll_learner_open(const char *path, const atoll_config *config, size_t map_bytes, atoll_learner **out,
                                atoll_error *error);

/* The model is to be closed soon: it learns no commit more. The one under way has two seconds; then it is left, and
 * learned whole at the next start, from the checkpoint before. Any thread. */
void atoll_learner_end(atoll_learner *learner);

/* Ends it as above, writes a checkpoint where that can be told to the store within two seconds more, closes. Waiting
 * callbacks get ATOLL_SHUTTING_DOWN, or why learning stopped before: ATOLL_UNKNOWN_MODEL where the model was abandoned,
 * ATOLL_INTERNAL where it failed. NULL is nothing to close. No other call may be under way or follow. */
void atoll_learner_close(atoll_learner *learner);

/* The model is to be removed: learning stops after the step under way, without a checkpoint. Waiting callbacks, and
 * calls that would learn, get ATOLL_UNKNOWN_MODEL; answering goes on until it is closed. Any thread. */
void atoll_learner_abandon(atoll_learner *learner);

/* ---- writing ---- */

typedef struct atoll_ingested {
    uint64_t first_seq, last_seq; /* sequence numbers given to the records */
    uint64_t version;             /* the model's version once it has learned them */
} atoll_ingested;

typedef void (*atoll_ingest_done)(void *arg, atoll_status status, const atoll_ingested *result,
                                  const atoll_error *error);

/* Checks a record against this model: everything atoll_record_check does, a label present, the vector's dimension (the
 * first vector a model takes sets it), the number of labels. Any thread. */
atoll_status atoll_learner_check(atoll_learner *learner, const atoll_record *record, bool to_learn,
                                 atoll_error *error);

/* Takes `count` checked records (copied before it returns). `done` comes once they are on disk, or with `trained` once
 * they are learned and published. ATOLL_OK means that `done` will come. ATOLL_BUSY, ATOLL_NO_MEMORY;
 * ATOLL_TOO_MANY_LABELS where their labels are too many together, each of which would find room; ATOLL_WRONG_DIMENSION
 * where a vector came meanwhile, or among them, that settled another. Where nothing more is learned
 * ATOLL_SHUTTING_DOWN, ATOLL_UNKNOWN_MODEL, or ATOLL_INTERNAL where learning has failed; these may also arrive in
 * `done`, and disk full does as ATOLL_NO_SPACE. */
atoll_status atoll_learner_ingest(atoll_learner *learner, const atoll_record *records, uint32_t count, bool trained,
                                  atoll_ingest_done done, void *arg, atoll_error *error);

typedef void (*atoll_wait_done)(void *arg, atoll_status status, const atoll_error *error);

/* Waits until `version` is published, at most `timeout_ms`: ATOLL_TIMEOUT. */
atoll_status atoll_learner_wait(atoll_learner *learner, uint64_t version, int64_t timeout_ms, atoll_wait_done done,
                                void *arg, atoll_error *error);

/* ---- asking ---- */

typedef struct atoll_asker atoll_asker; /* scratch of one thread for asking; serves any model */
atoll_asker *atoll_asker_new(void);     /* NULL where memory is short */
void atoll_asker_free(atoll_asker *asker);

/* Called with each prediction in order. */
typedef void (*atoll_predicted)(void *arg, uint32_t record, const atoll_prediction *prediction);

/* Predicts `count` checked records with one snapshot, whose version goes to *version; `top` labels each, from 1 to
 * ATOLL_TOP_MAX. */
atoll_status atoll_learner_predict(atoll_learner *learner, atoll_asker *asker, const atoll_record *records,
                                   uint32_t count, uint32_t top, bool explain, atoll_predicted each, void *arg,
                                   uint64_t *version, atoll_error *error);

/* ---- looking ---- */

const char *atoll_expert_state_name(atoll_expert_state state); /* "shared", "candidate", "active", "archived", "gone" */

typedef struct atoll_expert_info {
    uint32_t id;
    atoll_expert_state state;
    uint64_t version;        /* commit of its last change */
    uint64_t born;           /* commit */
    uint32_t labels;         /* how many it knows */
    const char *label[64];   /* the first of them by number of records */
    const char *domain;      /* the hint most of its records carried, or NULL */
    uint64_t parameters, bytes, records, exemplars, overflowed, dropped; /* the last two in tokens, or records */
    uint64_t active_parameters, active_bytes; /* weights that one record reads, by the mean record of late */
    double share, entropy;   /* of the records routed lately, 0..1; of the gate where it is first, nats */
    int64_t last_routed_ms;  /* Unix milliseconds, 0 for never */
    double loss, drift, latency_s; /* means: its own log loss; core/expert.h, 0..1; forward, seconds a record */
} atoll_expert_info;

/* An array to free(), shared expert first, then by id. */
atoll_status atoll_learner_experts(atoll_learner *learner, atoll_expert_info **out, uint32_t *count,
                                   atoll_error *error);

/* Where records go, of every expert: an array to free(), shared expert first, then by id. Members as above. */
typedef struct atoll_expert_routing {
    uint32_t id;
    atoll_expert_state state;
    double share, entropy;
    uint64_t overflowed, dropped;
} atoll_expert_routing;
atoll_status atoll_learner_routing(atoll_learner *learner, atoll_expert_routing **out, uint32_t *count,
                                   atoll_error *error);

typedef struct atoll_stats {
    uint64_t version;        /* commit that is published */
    uint64_t journal_last;   /* newest durable commit */
    uint64_t records;        /* learned */
    uint64_t checkpoint;     /* commit of the last checkpoint */
    uint32_t labels, domains, exemplars, vector_dim;
    uint32_t experts_active, experts_candidate, experts_archived;
    uint64_t born, pruned, dropped_candidates, restored, merged;
    uint64_t concepts_replaced, concepts_returned, exemplars_dormant, exemplars_refuted; /* learner/drift.h */
    double prequential, prequential_recent; /* share predicted right before learning: of all; of the last 1,000 or so */
    double log_loss, gate_entropy; /* running means, nats */
    double calibration_error; /* expected, of scores before learning, over the last 5,000 records or so */
    double no_change;        /* share that repeats the label before it: the baseline to print beside it */
    double weight_shared, weight_analytic, weight_experts, weight_votes, weight_counts, weight_youth,
        weight_names; /* combination */
    uint64_t routed, overflowed, dropped, collapses; /* tokens; how often routing has collapsed (learner/tally.h) */
    atoll_index_about index;
    atoll_footprint footprint; /* in memory */
    uint64_t parameter_bytes, parameters; /* of experts, gate and analytic half; the bytes of the encoder too */
    uint64_t active_parameters, active_bytes; /* of them, what one record reads in the mean */
    uint64_t counted_bytes, budget_bytes; /* the footprint's sum; what bounds the part that lasts */
    uint64_t journal_bytes, state_bytes;  /* on disk */
    uint64_t predictions, unsearched, alone; /* since the model was opened; without a search; by the shared expert */
    double search_below, others_below; /* bounds (core/sureness.h) of these two; infinite: none is sure */
    uint32_t checkpoints, collapsed; /* the expert that routing has collapsed to, or 0 */
    double checkpoint_seconds, learn_seconds; /* the last one took; spent learning, in sum */
    char failure[ATOLL_ERROR_DETAIL_BYTES]; /* why learning has stopped, or "" */
    atoll_embedding_stats embedding;
} atoll_stats;

void atoll_learner_stats(atoll_learner *learner, atoll_stats *out);

/* Per label or named domain, prequentially: an array to free(). */
typedef struct atoll_domain_stats {
    const char *domain;
    uint64_t records;
    double prequential;
} atoll_domain_stats;
atoll_status atoll_learner_domains(atoll_learner *learner, atoll_domain_stats **out, uint32_t *count,
                                   atoll_error *error);

atoll_config atoll_learner_config(atoll_learner *learner);
uint64_t atoll_learner_bytes(atoll_learner *learner); /* the sum of its footprint */

/* ---- governing: each is one journal entry, so that replay repeats it ---- */

typedef struct atoll_pruned {
    uint32_t id;
    char reason[96];
} atoll_pruned;

typedef void (*atoll_prune_done)(void *arg, atoll_status status, const atoll_pruned *pruned, uint32_t count,
                                 uint64_t version, const atoll_error *error);

/* Archives idle experts now, and merges those that serve one domain; `pruned` tells both. */
atoll_status atoll_learner_prune(atoll_learner *learner, atoll_prune_done done, void *arg, atoll_error *error);
/* Whom prune would archive now, from the published snapshot: an array to free(). Merging is not foretold. */
atoll_status atoll_learner_prune_plan(atoll_learner *learner, atoll_pruned **out, uint32_t *count, atoll_error *error);

/* Brings an archived expert back. `done` gets ATOLL_UNKNOWN_EXPERT or ATOLL_WRONG_STATE. */
atoll_status atoll_learner_restore(atoll_learner *learner, uint32_t id, atoll_wait_done done, void *arg,
                                   atoll_error *error);

/* Changes the configuration; fixed settings must be the same (ATOLL_FIXED_SETTING). */
atoll_status atoll_learner_configure(atoll_learner *learner, const atoll_config *config, atoll_wait_done done,
                                     void *arg, atoll_error *error);

#endif
