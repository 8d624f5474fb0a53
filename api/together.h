/*
 * Single predictions, answered several at a time: small requests of one record for the same model that a loop found on
 * its connections in one round (server.h). The model is asked once for all of them: products and searches of a batch
 * cost less a record. Nothing waits for a batch to form, so a lone request stays alone. Each request keeps its own
 * options and its own errors. All answers of a batch are of one snapshot.
 */
#ifndef ATOLL_API_TOGETHER_H
#define ATOLL_API_TOGETHER_H

#include <stdbool.h>

#include "api/request.h"

enum {
    ATOLL_TOGETHER_MOST = 16 /* requests of a batch, as many as an exact search compares at a time: more gain little,
                                and the first of a batch waits for all others */
};

/* Whether a request may be one of these, as far as can be told without reading its body. */
bool atoll_together_takes(const atoll_request *request);

/*
 * Answers at most ATOLL_TOGETHER_MOST such requests, which are finished then: but for those that turn out to hold other
 * than one record, to wait for a version, or to take embeddings from a server. These are marked `apart`, for a worker.
 */
void atoll_together_answer(atoll_request *const *requests, uint32_t count, atoll_worker *worker);

#endif
