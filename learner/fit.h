/* Fitting: gradient steps of experts and gate on samples, new records and replayed ones alike. */
#ifndef ATOLL_LEARNER_FIT_H
#define ATOLL_LEARNER_FIT_H

#include "core/predict.h"
#include "learner/state.h"

/* One record to learn from. Its arrays belong to the arenas of the step, or to the record or exemplar it is of. */
typedef struct atoll_sample {
    uint32_t label, owner;
    uint32_t slot;          /* of the exemplar that is replayed, ATOLL_SLOT_NONE for a new record */
    bool fresh;             /* new, not replayed */
    bool held_out;          /* counted, and not fitted */
    bool gated;             /* the gate learns from it */
    const atoll_term *term;
    uint32_t terms;
    const float *vector;    /* or NULL */
    const int8_t *code;     /* in its place, or NULL */
    uint32_t numbers;       /* in either */
    const float *embedding; /* of a new record */
    float *each;            /* of a new record's vectors, where tokens are routed */
    atoll_encoded encoded;
    float importance;       /* of what is rehearsed */
    atoll_context *context; /* of what is rehearsed, else NULL */
} atoll_sample;

enum { ATOLL_FIT_SAMPLES = 1088 }; /* most that one fit takes */

/*
 * Cross entropy steps on `count` samples in order, then once again on those that were hard; none on those held out.
 * lean[output], or NULL, is added to logits while they are fitted (learner/lean.h).
 */
atoll_status atoll_fit_expert(atoll_pager *pager, atoll_expert *expert, atoll_workspace *workspace,
                              atoll_sample *const *samples, uint32_t count, const float *lean,
                              atoll_error *error);

/* What the model's gate learns beside owners; running[model->experts] is filled and viewed. */
atoll_gate_losses atoll_fit_losses(const atoll_model *model, float *running);

/*
 * A step of the gate's network towards the sample's owner, one more where that was hard, none where it is sure or the
 * gate does not learn.
 */
atoll_status atoll_fit_gate(atoll_state *state, atoll_workspace *workspace, const atoll_sample *sample,
                            const atoll_gate_losses *losses, atoll_error *error);

#endif
