/* What requests get and tell of embeddings from outside (learner/embedder.h). */
#ifndef ATOLL_LEARNER_EMBEDDED_H
#define ATOLL_LEARNER_EMBEDDED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"
#include "core/status.h"

struct atoll_learner;

enum { ATOLL_EMBEDDED_MAX_VALUES = 1 << 24 }; /* of one request */

/*
 * Embeddings of the texts of one request, for a model that takes them from a server; one block, to free(). Hand them to
 * predict as the vectors of records that have none: a record without one is answered from its text's features alone,
 * and without neighbours.
 */
typedef struct atoll_embedded {
    uint32_t count, dim;
    uint8_t *found; /* an atoll_embedding_found (core/embeddings.h) for each text: whether its vector is there */
    float *vector;  /* count x dim */
} atoll_embedded;

/* A block that was not there at once: the receiver's, or NULL with a status that is not OK. */
typedef void (*atoll_embed_done)(void *arg, atoll_embedded *embedded, atoll_status status, const atoll_error *error);

/*
 * Embeds `count` texts (data NULL: not wanted): from what is stored, and the rest by asking the server, within a short
 * time. With *later, `done` comes with the block; without, *out is it, NULL for a model that makes its own embeddings.
 * ATOLL_TOO_MANY_RECORDS over ATOLL_EMBEDDED_MAX_VALUES, ATOLL_SHUTTING_DOWN.
 */
atoll_status atoll_learner_embed(struct atoll_learner *learner, const atoll_slice *texts, uint32_t count,
                                 atoll_embed_done done, void *arg, atoll_embedded **out, bool *later,
                                 atoll_error *error);

/* Whether the model takes embeddings from a server. */
bool atoll_learner_embeds(const struct atoll_learner *learner);

/* How it goes with the embedding server. */
typedef struct atoll_embedding_stats {
    bool outside;            /* the model takes its embeddings from a server; all is 0 otherwise */
    bool down;               /* the last call failed, or the last one for learning */
    uint64_t pending;        /* commits whose embeddings are still to come */
    uint64_t calls, retries; /* calls in all; fetches after a failed one */
    uint64_t texts;          /* embedded by the server */
    uint64_t looked_up, found; /* texts of predictions; those of them that were stored */
    uint64_t cached, cache_bytes; /* embeddings on disk */
    char last_error[ATOLL_ERROR_DETAIL_BYTES]; /* of the last call that failed, "" where none has */
} atoll_embedding_stats;

#endif
