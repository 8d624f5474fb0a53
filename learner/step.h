/*
 * A step of learning from inside, for trainer.c and the files that do its parts: answer.c (encode, find neighbours,
 * answer first, assign), samples.c (draw and encode what is learned from), rehearsal.c (the combination), compare.c
 * (which answers need no search).
 */
#ifndef ATOLL_LEARNER_STEP_H
#define ATOLL_LEARNER_STEP_H

#include "core/arena.h"
#include "core/dispatch.h"
#include "core/predict.h"
#include "learner/fit.h"
#include "learner/trainer.h"
#include "learner/twin.h"

/* Every ATOLL_REHEARSE_EVERY records one exemplar that is held out is asked for, for the combination. */
enum { ATOLL_REHEARSE_EVERY = 4, ATOLL_REHEARSALS = ATOLL_STEP_RECORDS / ATOLL_REHEARSE_EVERY };

/* A new record's say in the combination where the analytic half speaks, for the reason that core/combine.c gives. */
#define ATOLL_STEP_CALM 0.1f

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
    atoll_route route;
    uint32_t label, domain, owner; /* numbers */
    uint32_t lot;                  /* of a record that is kept and not learned, else 0 */
    float probability;             /* that was given to its label before it was learned */
} atoll_step_item;

/* What one of the two threads works with. */
typedef struct atoll_hand {
    atoll_arena arena;
    atoll_text_scratch *text;
    atoll_workspace workspace;
    atoll_term *term; /* ATOLL_FEATURES_MAX */
} atoll_hand;

struct atoll_trainer {
    atoll_hand hand[2]; /* the learner's own, and its twin's */
    atoll_twin *twin;
    atoll_step_item items[ATOLL_STEP_RECORDS];
    atoll_sample *sample[ATOLL_STEP_SAMPLES + ATOLL_REHEARSALS]; /* all samples of the step, in order */
    atoll_sample *chosen[ATOLL_STEP_SAMPLES];
    uint32_t samples;
    atoll_sample *rehearsed[ATOLL_REHEARSALS]; /* behind the others in `sample`, not counted in `samples` */
    uint32_t rehearsals;
};

/* One half of a piece of work: samples or items from..to-1 with one hand. */
typedef struct atoll_portion {
    atoll_trainer *trainer;
    atoll_state *state;
    atoll_hand *hand;
    uint32_t from, to;
    uint64_t commit;
    atoll_status status;
    atoll_error error;
} atoll_portion;

static inline atoll_status atoll_step_no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to learn with");
}

/* Does both halves of 0..count-1; `work` is given an atoll_portion. Fails as the first that failed. */
atoll_status atoll_step_halve(atoll_trainer *trainer, atoll_state *state, uint32_t count, void (*work)(void *),
                              atoll_error *error);

/* ---- answer.c ---- */

/* Encodes the first `count` items, finds their contexts, asks all voices but the experts', and routes them as one. */
atoll_status atoll_step_ask(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_error *error);

/* Answers, counts, weighs the candidate and names the owner of one record. */
atoll_status atoll_step_judge(atoll_trainer *trainer, atoll_state *state, atoll_step_item *it, uint64_t commit,
                              int64_t time_ms, atoll_error *error);

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
} atoll_compared;

/* Answers it once more, without votes, and lets the model's sureness learn. Works with the second hand's workspace. */
atoll_status atoll_step_compare(atoll_trainer *trainer, atoll_state *state, const atoll_compared *compared,
                                atoll_error *error);

/* ---- samples.c, rehearsal.c ---- */

/* Fills sample->encoded, but for the record's embedding; arrays are the hand's. False where memory is short. */
bool atoll_step_encode(atoll_hand *h, const atoll_model *model, atoll_sample *sample);

/* The first `count` items as samples, each with its replays behind it, and what is rehearsed; all encoded. */
atoll_status atoll_step_gather(atoll_trainer *trainer, atoll_state *state, uint32_t count, atoll_rng *rng,
                               atoll_error *error);

/* How many exemplars are held out of learning, as expected. */
float atoll_step_held_out(const atoll_state *state);

/* Asks for the exemplars that are held out, and lets the combination learn from what is said. */
atoll_status atoll_step_rehearse(atoll_trainer *trainer, atoll_state *state, atoll_error *error);

#endif
