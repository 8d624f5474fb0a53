/*
 * Single predictions, answered several at a time. A worker that takes a small request of one record takes along others
 * for the same model that wait in the queue, and asks the model once: products and searches of a batch cost less a
 * record. Nothing waits for a batch to form: a queue forms only while every worker is busy, so a lone request stays
 * alone; and a worker leaves the others their share of the queue. Each request keeps its own options and its own
 * errors, and is answered as soon as its record is. All answers of a batch are of one snapshot.
 */
#ifndef ATOLL_API_TOGETHER_H
#define ATOLL_API_TOGETHER_H

#include <stdbool.h>

#include "api/request.h"

/* False, and nothing done, where the request is none of these: it holds other than one record, is large, is NDJSON,
 * waits for a version or takes embeddings from a server. */
bool atoll_together_answer(atoll_request *request, atoll_worker *worker, atoll_outcome *outcome);

#endif
