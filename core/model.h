/*
 * A model's parameters and all else that an answer depends on, but for the memory and its index. The learner holds the
 * live one and changes it; what requests read is a frozen copy (atoll_model_freeze).
 */
#ifndef ATOLL_CORE_MODEL_H
#define ATOLL_CORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/combine.h"
#include "core/config.h"
#include "core/counts.h"
#include "core/encoder.h"
#include "core/expert.h"
#include "core/gate.h"
#include "core/naming.h"
#include "core/novelty.h"
#include "core/ridge.h"
#include "core/sureness.h"

/*
 * Label or domain names by number. Names are added by the learner alone and never move or go, so a reader may use any
 * number that it found in a snapshot.
 */
typedef struct atoll_names {
    uint32_t count, limit;
    uint64_t text_bytes; /* of the strings */
    char **name;       /* `limit` places, terminated strings */
    uint32_t *table;   /* open addressing: number + 1, or 0 */
    uint32_t places;   /* a power of two */
} atoll_names;

atoll_status atoll_names_init(atoll_names *names, uint32_t limit, atoll_error *error);
void atoll_names_free(atoll_names *names);
uint64_t atoll_names_bytes(const atoll_names *names);
/* The number of a name, or UINT32_MAX. */
uint32_t atoll_names_find(const atoll_names *names, const char *data, size_t bytes);
/* The same, adding it where it is new; ATOLL_TOO_MANY_LABELS at the limit. */
atoll_status atoll_names_add(atoll_names *names, const char *data, size_t bytes, uint32_t *number, atoll_error *error);

typedef struct atoll_model {
    atoll_config config;
    uint64_t version;   /* the commit that it has learned last */
    uint64_t records;   /* learned */
    int64_t time_ms;    /* of that commit */
    uint32_t labels;    /* known; names[0..labels-1] */
    const atoll_names *names;
    atoll_encoder encoder;
    uint32_t experts, capacity; /* places in use and to use; place 0 is the shared expert, and a place is an id */
    atoll_expert *expert;
    atoll_gate gate;
    atoll_counts counts; /* of text */
    atoll_naming naming; /* of labels */
    const atoll_projection *projection;  /* NULL until the first vector; lives as long as the state */
    const atoll_ridge_weights *analytic; /* NULL until a vector was learned */
    atoll_combiner combiner;
    atoll_novelty novelty;  /* of familiarity: what growth goes by */
    atoll_novelty assured;  /* of atoll_predict_assurance: what answers tell */
    atoll_sureness sureness; /* which answers do without a search, */
    atoll_sureness alone;    /* and which answers of the shared expert do without all others */
} atoll_model;

/* The active expert that was made for a domain, or 0. */
uint32_t atoll_model_expert_of(const atoll_model *model, uint32_t domain);

/* Whether learning may change the gate. */
static inline bool atoll_model_gate_learns(const atoll_model *model)
{
    return model->config.gate != ATOLL_GATE_RANDOM && model->config.freeze != ATOLL_FREEZE_GATE;
}

/* Room for one expert more at model->expert[model->experts]. */
atoll_status atoll_model_reserve(atoll_model *model, atoll_error *error);

/* A frozen copy, one block to free(). It shares all pages; the caller advances the reclaimer after publishing it. */
atoll_model *atoll_model_freeze(const atoll_model *model);

#endif
