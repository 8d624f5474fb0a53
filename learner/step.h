/*
 * A step of learning from inside, for trainer.c and the files that do its parts: answer.c (encode, find neighbours,
 * answer first, assign), samples.c (draw and encode what is learned from), rehearsal.c (the combination), compare.c
 * (which answers need no search). What is planned returns the bits of its tasks, for what comes after.
 */
#ifndef ATOLL_LEARNER_STEP_H
#define ATOLL_LEARNER_STEP_H

#include "core/dispatch.h"
#include "learner/fit.h"
#include "learner/plan.h"

/* Every ATOLL_REHEARSE_EVERY records one exemplar that is held out is asked for, for the combination. */
enum { ATOLL_REHEARSE_EVERY = 4, ATOLL_REHEARSALS = ATOLL_STEP_RECORDS / ATOLL_REHEARSE_EVERY };

/* A new record's say in the combination where the analytic half speaks, for the reason that core/combine.c gives. */
#define ATOLL_STEP_CALM 0.1f

/* Samples of one task: few enough for two threads to end at one time, and for all tasks of a step. */
enum { ATOLL_STEP_PART = 32 };

enum { ATOLL_STEP_SAMPLES = ATOLL_STEP_RECORDS * (1 + ATOLL_REPLAYS_MAX) };

_Static_assert((int)ATOLL_STEP_SAMPLES <= (int)ATOLL_FIT_SAMPLES, "one fit takes a step's samples");

/* One record of the step under way. All arrays are the arena's. */
typedef struct atoll_step_item {
    const atoll_record *record;
    uint64_t seq;
    atoll_term *term;
    uint32_t terms;
    atoll_encoded encoded; /* as it was before it was learned */
    atoll_context context;
    atoll_voices voices;    /* as they were before the step */
    uint32_t experts;       /* of that time */
    atoll_gated gated;      /* what is routed: `gate`, or a row of it for each token */
    float *gate, *vote;     /* of those, and zeros for experts that are born in the step */
    float *unheard;         /* the gate without votes, of records that atoll_step_compares; else NULL */
    float *cue[ATOLL_CUES]; /* of those */
    bool sure;              /* answered without a search; `context` is empty, or for `vote` and drift alone */
    uint32_t stands_for;    /* so many records its familiarity stands for: 0 where it was only foretold */
    atoll_route route;
    uint32_t label, domain, owner; /* numbers */
    uint32_t lot;                  /* of a record that is kept and not learned, else 0 */
    float probability;             /* that was given to its label before it was learned */
} atoll_step_item;

struct atoll_trainer {
    atoll_hand hand[2]; /* the learner's own, and its twin's */
    atoll_hand aside;   /* for atoll_step_compare, on either thread */
    atoll_twin *twin;
    atoll_step_item items[ATOLL_STEP_RECORDS];
    atoll_sample *sample[ATOLL_STEP_SAMPLES]; /* all that the step fits, in order: a record, its replays, the next */
    atoll_sample *chosen[ATOLL_STEP_SAMPLES];
    atoll_sample *fresh[ATOLL_STEP_RECORDS];  /* those of the items, in their order */
    uint32_t samples;
    atoll_sample *rehearsed[ATOLL_REHEARSALS];
    uint32_t rehearsals;
    float held_out;    /* exemplars, about, that could be rehearsed */
    const float *lean; /* of the step's samples (learner/lean.h) */
    uint32_t scales;   /* of vectors, taken before the step */
    const atoll_patience *patience;
    atoll_plan plan;
};

static inline atoll_status atoll_step_no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn with");
}

/* ---- answer.c ---- */

/* Plans to encode the items, to find their contexts and to ask all voices but the experts'. */
uint64_t atoll_step_ask(atoll_plan *plan);

/* Plans to route the items as one batch and to ask the experts; `after` is what atoll_step_ask has planned. */
uint64_t atoll_step_hear(atoll_plan *plan, uint64_t after);

/* Answers, counts, weighs the candidate and names the owner of one record. */
atoll_status atoll_step_judge(atoll_hand *h, atoll_trainer *trainer, atoll_state *state, atoll_step_item *it,
                              uint64_t commit, int64_t time_ms, atoll_error *error);

/* Arrays for an encoded record of `terms` terms and `numbers` in its vectors, 0 for none. */
bool atoll_step_take_encoded(atoll_hand *h, const atoll_model *model, uint32_t terms, uint32_t numbers,
                             atoll_encoded *encoded);

/* The embeddings of its vectors, where tokens are routed. */
bool atoll_step_embed_each(atoll_hand *h, const atoll_model *model, atoll_encoded *encoded);

/* Scales a record's vectors, `numbers` in all. */
void atoll_step_scale(const atoll_model *model, const float *vector, uint32_t numbers, atoll_encoded *encoded);

/* Contexts for `count` embeddings, given one by one; `except[i]` is a slot not to be seen by query i. */
atoll_status atoll_step_find_contexts(atoll_hand *h, const atoll_state *state, float *const *embedding,
                                      const uint32_t *except, atoll_context *const *context, uint32_t count,
                                      atoll_error *error);

/* workspace->combined: the combination with the experts on the route. */
atoll_status atoll_step_combine(const atoll_model *model, atoll_workspace *workspace, const atoll_input *input,
                                const atoll_route *route, atoll_voices *voices, atoll_error *error);

/* ---- compare.c ---- */

/* Whether a new record is also answered as if there were no search. */
bool atoll_step_compares(const atoll_model *model, uint64_t seq);

/* A record and the answer that it got. */
typedef struct atoll_compared {
    const atoll_input *input;
    const atoll_context *context;
    const atoll_voices *voices; /* all but the experts' */
    const float *unheard;       /* the gate without votes */
    const float *p;             /* the answer, over voices->labels */
    uint32_t label;             /* that would be right; UINT32_MAX where it is new */
} atoll_compared;

/*
 * Answers it once more, without votes, and lets the model's sureness learn. What answers lose is told of records alone
 * that no voice has learned. Works with trainer->aside.
 */
atoll_status atoll_step_compare(atoll_trainer *trainer, atoll_state *state, const atoll_compared *compared,
                                atoll_error *error);

/* ---- samples.c, rehearsal.c ---- */

/* Fills sample->encoded, but for the record's embedding; arrays are the hand's. False where memory is short. */
bool atoll_step_encode(atoll_hand *h, const atoll_model *model, atoll_sample *sample);

/* Plans to draw replays and what is rehearsed. */
uint64_t atoll_step_draw(atoll_plan *plan, uint64_t after);

/* The first `count` items have been judged and drawn for: what their samples lacked. */
void atoll_step_settle(atoll_trainer *trainer, const atoll_state *state, uint32_t count);

/* Plans to encode what is rehearsed, with its contexts, and what is fitted; both after drawing. */
uint64_t atoll_step_recall(atoll_plan *plan, uint64_t after);
uint64_t atoll_step_encode_samples(atoll_plan *plan, uint64_t after);

/* Asks for the exemplars that are held out, and lets the combination learn from what is said. */
atoll_status atoll_step_rehearse(atoll_hand *h, atoll_trainer *trainer, atoll_state *state, atoll_error *error);

#endif
