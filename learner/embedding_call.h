/*
 * One call to a server that speaks the OpenAI embeddings call, POST …/v1/embeddings: texts in, vectors out. It blocks
 * its thread; deadlines, retries and what to do meanwhile are the caller's (learner/embedder.h).
 *
 * The server's certificate is verified, redirects are not followed, and an answer longer than it may need to be is cut
 * off: what the server says is as little trusted as what a client says.
 */
#ifndef ATOLL_LEARNER_EMBEDDING_CALL_H
#define ATOLL_LEARNER_EMBEDDING_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "core/record.h"
#include "core/status.h"

typedef struct atoll_embedding_call atoll_embedding_call; /* a connection that is kept; of one thread */

/* Whom to ask for what. Plain data. */
typedef struct atoll_embedding_server {
    char url[ATOLL_URL_MAX_BYTES], model[ATOLL_EMBEDDING_MODEL_MAX_BYTES], key_env[ATOLL_KEY_ENV_MAX_BYTES];
    uint32_t dim;
} atoll_embedding_server;

/* What a failed call tells besides its error. */
typedef struct atoll_embedding_failure {
    int64_t retry_after_ms; /* the server asked for so long a pause; 0: it did not */
    bool refused;           /* it understood and does not take these texts (400, 413 or 422); others it may */
} atoll_embedding_failure;

atoll_embedding_call *atoll_embedding_call_new(void); /* NULL where memory is short */
void atoll_embedding_call_free(atoll_embedding_call *call);

/* Ends the run under way, and all that follow, with ATOLL_SHUTTING_DOWN. Any thread. */
void atoll_embedding_call_cancel(atoll_embedding_call *call);

/*
 * Fills `out` (count x dim) with vectors of unit length, in the order of the texts (zeros where the server gave zeros).
 * ATOLL_EMBEDDING_DOWN whatever went wrong at the other end or on the way, a reply that is not what was asked for
 * included; ATOLL_NO_MEMORY, ATOLL_SHUTTING_DOWN. `out` is then undefined. `failure` is always set.
 */
atoll_status atoll_embedding_call_run(atoll_embedding_call *call, const atoll_embedding_server *server,
                                      const atoll_slice *texts, uint32_t count, int64_t timeout_ms, float *out,
                                      atoll_embedding_failure *failure, atoll_error *error);

/*
 * The address that is called for a setting: an address without a path gets /v1/embeddings, one whose path ends in /v1
 * (or another number) gets /embeddings, any other is taken as it is. `out` has ATOLL_URL_MAX_BYTES + 16 bytes.
 */
void atoll_embedding_call_address(const char *url, char *out);

#endif
