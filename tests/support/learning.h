/* Streams to learn from, states to learn them with, and what a state is, as one number. Include cmocka before it. */
#ifndef ATOLL_TESTS_SUPPORT_LEARNING_H
#define ATOLL_TESTS_SUPPORT_LEARNING_H

#include <stdint.h>

#include "core/config.h"
#include "core/record.h"
#include "core/rng.h"
#include "learner/state.h"
#include "learner/trainer.h"

enum { LEARNING_LABELS_A_DOMAIN = 4, LEARNING_VECTOR_DIM = 12 };

/* One record with room for what it views. */
typedef struct learning_record {
    char id[32], text[256], label[32], domain[32];
    float vector[LEARNING_VECTOR_DIM];
    atoll_record record;
} learning_record;

/* For cmocka_run_group_tests: logs nothing but errors. */
int learning_quiet(void **state);

/* A small model: fast to learn, and of which a commit changes but a part. */
void learning_config(atoll_config *config);

typedef void (*learning_draw)(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label);

/* Six words, half of them of the label ("d1-l2" in domain 1), half of the domain. */
void learning_draw_text(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label);

/* The same, but the labels and their words are common to all domains, and each domain calls them differently: what one
 * linear model cannot hold and an expert for each domain can. */
void learning_draw_contrary(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t topic);

/* The texts of domain 0, which each concept calls differently: what drifts. */
void learning_draw_concept(learning_record *out, atoll_rng *rng, uint32_t concept, uint32_t topic);

/* Adds a vector, Gaussian about the label's own centre. */
void learning_add_vector(learning_record *out, atoll_rng *rng, uint32_t label);

/* A mixture of everything that a record may be, numbered by `number`: text, vector, both, text without words, ids,
 * domains, times. */
void learning_draw_any(learning_record *out, atoll_rng *rng, uint32_t number, uint32_t domain);

/* A state under learning. */
typedef struct learning {
    atoll_state state;
    atoll_trainer *trainer;
    atoll_rng rng; /* what records are drawn with */
    uint64_t seq;
} learning;

/* The configuration may be NULL: learning_config's. */
void learning_open(learning *l, const atoll_config *config, uint64_t seed);
void learning_close(learning *l);

/* Learns `count` records as the next commit; fails the test where that fails. */
void learning_commit(learning *l, const learning_record *records, uint32_t count);

/* Commits of `batch` drawn records of one domain, `count` records in sum. */
void learning_feed(learning *l, learning_draw draw, uint32_t domain, uint32_t count, uint32_t batch);

/* A hash over one network's parameters, and over an expert's with what it has counted of its labels. */
uint64_t learning_net_digest(const atoll_net *net);
uint64_t learning_expert_digest(const atoll_expert *expert);

/* A hash over all that the state holds and that bears on what it will answer or become. */
uint64_t learning_digest(const atoll_state *state);

#endif
