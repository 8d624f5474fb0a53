/*
 * The live state of one model: everything that learning changes. Only the learner's thread touches it; requests read
 * what was frozen from it.
 */
#ifndef ATOLL_LEARNER_STATE_H
#define ATOLL_LEARNER_STATE_H

#include "core/calibration.h"
#include "core/model.h"
#include "core/pages.h"
#include "learner/alarm.h"
#include "core/change.h"
#include "learner/drift.h"
#include "retrieval/index.h"
#include "retrieval/memory.h"

enum { ATOLL_EXPERT_NONE = 0 }; /* id 0 is the shared expert, which owns nothing */

/* The expert that takes in what is new (learner/growth.h). Plain data. */
typedef struct atoll_growth {
    uint32_t youngest;      /* takes what is new, a candidate or not; ATOLL_EXPERT_NONE for none */
    uint32_t candidate;     /* the same while it is one */
    atoll_alarm alarm;      /* whether the stream has changed */
    float surprise;         /* running mean of novelty */
    float strange;          /* running share of records that no expert explains, of the last few */
    uint64_t born, promoted, given_up, pruned, restored, merged;
    uint64_t examined;      /* birth (commit) of the last expert that was looked at for two domains */
} atoll_growth;

/* What has been counted. Plain data. */
typedef struct atoll_tally {
    uint64_t asked, right;  /* prequential: records that had a known label to find, and those found */
    uint64_t repeated;      /* records whose label was that of the record before */
    uint32_t last_label;
    atoll_calibration calibration;    /* of the answers' scores, over the last 5,000 records or so */
    double recent, log_loss, entropy; /* running means: right, -ln p, the gate's entropy */
    double features, common; /* running means: features of a record that experts and the gate read */
    atoll_route_counts routes;
    uint32_t collapsed;      /* the expert that routing has collapsed to, ATOLL_EXPERT_NONE for none; */
    uint64_t collapses;      /* how often it has (learner/tally.h) */
} atoll_tally;

typedef struct atoll_domain_tally {
    uint64_t records, right;
} atoll_domain_tally;

typedef struct atoll_state {
    atoll_reclaim *reclaim;
    atoll_pager pager;
    atoll_model model;         /* model.names views `labels` */
    atoll_served gate;         /* the gate's weights rounded for answers, where experts are many; not saved */
    atoll_names labels, domains;
    atoll_ridge *ridge;        /* NULL until the first vector, and so is */
    atoll_projection *projection;
    atoll_change *change;
    atoll_memory *memory;
    atoll_index *index;
    atoll_growth growth;
    atoll_drift drift;
    atoll_tally tally;
    atoll_domain_tally *domain; /* by domain number, domains.limit of them */
} atoll_state;

/* An empty model. ATOLL_NO_MEMORY. */
atoll_status atoll_state_init(atoll_state *state, const atoll_config *config, atoll_error *error);
void atoll_state_free(atoll_state *state);

/* The first vector's dimension: scale, analytic expert, dense paths of all experts but archived ones. */
atoll_status atoll_state_set_vector(atoll_state *state, uint32_t vector_dim, atoll_error *error);

/* A fresh solution of the analytic half takes the place of the last, none where it has no records. ATOLL_NO_MEMORY. */
atoll_status atoll_state_solve(atoll_state *state, atoll_error *error);

/*
 * After a new scale of vectors: the analytic half learns what is remembered as if for the first time; and once the
 * scale stays, random features may be drawn anew (learner/renewal.h), and exemplars keep their vectors scaled, at eight
 * bits a number.
 */
atoll_status atoll_state_rescale(atoll_state *state, atoll_error *error);

/* A new expert (candidate) in a free place; *id is its number. ATOLL_BUSY where the model may hold no more. */
atoll_status atoll_state_add_expert(atoll_state *state, uint32_t *id, atoll_error *error);

/* Random features of vectors that a network reads for each of its hidden units: the shared expert's, and others'. */
enum { ATOLL_SHARED_DENSE = 16, ATOLL_EXPERT_DENSE = 8 };

/* The shape of an expert's network: the shared one (id 0) steps more slowly on its low-rank path. */
atoll_net_shape atoll_state_shape(const atoll_config *config, uint32_t id);

/* Experts in a state. */
uint32_t atoll_model_count(const atoll_model *model, atoll_expert_state state);

#endif
