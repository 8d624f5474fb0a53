#include "learner/recount.h"

#include <stdlib.h>

#include "core/limits.h"

/* Room to encode an exemplar. */
typedef struct reader {
    uint32_t *bucket, *row;
    float *weight;
} reader;

static atoll_status recount(atoll_state *state, const reader *r, const atoll_drift_move *move, atoll_error *error)
{
    const atoll_exemplar *exemplar = move->exemplar;
    const atoll_net *net = &state->model.expert[0].net;
    atoll_encoded encoded = {.bucket = r->bucket, .weight = r->weight};
    /* What was held out was never counted. Neither was what came while experts were frozen, but that no exemplar tells:
     * it is taken off all the same, as far as there is so much. */
    if (exemplar->lot || !exemplar->terms)
        return ATOLL_OK;
    atoll_encoder_weigh(&state->model.encoder, exemplar->term, exemplar->terms, &encoded);
    atoll_counted counted = {r->row, r->weight, encoded.known, r->bucket, encoded.features - encoded.known};
    atoll_rows_find(&net->sparse, r->bucket, counted.features, r->row);
    return atoll_counts_add(&state->pager, &state->model.counts, &counted, net->sparse.rows.count, exemplar->label,
                            move->records, error);
}

atoll_status atoll_recount(atoll_state *state, atoll_error *error)
{
    atoll_drift *drift = &state->drift;
    atoll_status status = ATOLL_OK;
    uint32_t moves = drift->moves;
    drift->moves = 0;
    if (!moves)
        return ATOLL_OK;
    reader r;
    r.bucket = malloc((ATOLL_FEATURES_MAX + 1) * (2 * sizeof *r.bucket + sizeof *r.weight));
    if (!r.bucket)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to count anew");
    r.row = r.bucket + ATOLL_FEATURES_MAX + 1;
    r.weight = (float *)(r.row + ATOLL_FEATURES_MAX + 1);
    for (uint32_t i = 0; i < moves && status == ATOLL_OK; i++)
        status = recount(state, &r, &drift->move[i], error);
    free(r.bucket);
    return status;
}
