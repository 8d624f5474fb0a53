/*
 * Embeddings from outside, for one model: asks the server, keeps what it says (core/embeddings.h), and waits for it
 * while it is down, so that neither ingest nor the learner's other duties do.
 *
 * Threads. The fetcher (embed_ahead.c) follows the journal ahead of the learner and makes the embeddings of each commit
 * durable; the learner learns a commit once that is done. A failed call is tried again for ever, after pauses that
 * double. The asker (embed_ask.c) serves predictions: all texts that wait together go in one call, which has a short
 * deadline and is not repeated; until its pause is over further questions fail at once, so that a server that hangs
 * delays few of them. Each has its own connection and pauses; a success of one ends the pause of the other.
 *
 * Weighed and not taken: to embed before the journal acknowledges (an outage would stop ingest), to keep embeddings in
 * the journal's entries (they would have to be written twice), and to call from the threads that serve HTTP (a slow
 * server would hold all of them).
 */
#ifndef ATOLL_LEARNER_EMBEDDER_H
#define ATOLL_LEARNER_EMBEDDER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "core/journal.h"
#include "core/record.h"
#include "learner/learner.h"

typedef struct atoll_embedder atoll_embedder;

/* Opens the embeddings in folder `path` and starts the threads. The learner is at `commit` and `records`, whatever is
 * newer in the journal is still to be learned. */
atoll_status atoll_embedder_open(const char *path, const atoll_config *config, size_t map_bytes,
                                 atoll_journal *journal, uint64_t commit, uint64_t records, atoll_embedder **out,
                                 atoll_error *error);
/* Ends what is under way; who still asks is told ATOLL_SHUTTING_DOWN. NULL is fine. */
void atoll_embedder_close(atoll_embedder *embedder);

/* Settings that count at once, and not only when the learner comes to their commit: a wrong address must not keep the
 * entry that corrects it from being reached. `present` writes them over `config`. */
void atoll_embedder_configure(atoll_embedder *embedder, const atoll_config *config);
void atoll_embedder_present(atoll_embedder *embedder, atoll_config *config);

/* ---- the learner's side ---- */

/* Whether all embeddings of `commit` are durable; waits for that at most `wait_ms`. The learner has learned `records`
 * so far, which bounds how far the fetcher goes ahead. */
bool atoll_embedder_await(atoll_embedder *embedder, uint64_t commit, uint64_t records, int64_t wait_ms);

/* Gives the records of an awaited commit that have text alone their vectors, kept in `space` (count x dim). One that
 * the server has none for stays as it is. */
atoll_status atoll_embedder_fill(atoll_embedder *embedder, atoll_record *records, uint32_t count, float *space,
                                 atoll_error *error);

/* A checkpoint covers everything up to `commit`: no replay will go back behind it. */
void atoll_embedder_covered(atoll_embedder *embedder, uint64_t commit);

/* For how long the fetcher has failed, 0 where it has not; with the reason. */
int64_t atoll_embedder_down_ns(atoll_embedder *embedder, char why[ATOLL_ERROR_DETAIL_BYTES]);

/* ---- for requests; any thread ---- */

/* As atoll_learner_embed. */
atoll_status atoll_embedder_ask(atoll_embedder *embedder, const atoll_slice *texts, uint32_t count,
                                atoll_embed_done done, void *arg, atoll_embedded **out, bool *later,
                                atoll_error *error);

void atoll_embedder_stats(atoll_embedder *embedder, atoll_embedding_stats *out);

#endif
