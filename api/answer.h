/* How a prediction is told: one JSON object. */
#ifndef ATOLL_API_ANSWER_H
#define ATOLL_API_ANSWER_H

#include "api/service.h"
#include "core/record.h"
#include "core/writer.h"
#include "learner/learner.h"

typedef struct atoll_answer {
    const atoll_service *service;
    const char *model;    /* its name */
    atoll_slice id;       /* the record's; absent is told as null */
    uint32_t top;         /* at most so many labels, */
    bool explain;         /* without it no neighbours, voices or tokens, though the prediction may have them */
    const char *degraded; /* why the record was answered without the embedding that it should have had, or NULL */
} atoll_answer;

void atoll_answer_put(atoll_writer *out, const atoll_answer *answer, const atoll_prediction *prediction);

#endif
