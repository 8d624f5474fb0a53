#include "learner/dense.h"

#include <string.h>

#include "core/kernels.h"

void atoll_dense_mean(const atoll_projection *projection, const float *v, uint32_t count, float *z, float *scratch)
{
    enum { M = ATOLL_PROJECTION_FEATURES, BLOCK = ATOLL_PROJECTION_BLOCK };
    if (count == 1) {
        atoll_projection_run(projection, &v, 1, &z, scratch + ATOLL_DENSE_SCRATCH);
        return;
    }
    memset(z, 0, M * sizeof *z);
    for (uint32_t at = 0; at < count; at += BLOCK) {
        const float *from[BLOCK];
        float *to[BLOCK];
        uint32_t now = count - at < BLOCK ? count - at : BLOCK;
        for (uint32_t i = 0; i < now; i++) {
            from[i] = v + (size_t)(at + i) * projection->dim;
            to[i] = scratch + (size_t)i * M;
        }
        atoll_projection_run(projection, from, now, to, scratch + ATOLL_DENSE_SCRATCH);
        for (uint32_t i = 0; i < now; i++)
            atoll_axpy(z, to[i], 1 / (float)count, M);
    }
}

atoll_status atoll_dense_read(atoll_arena *arena, const atoll_model *model, atoll_encoded *const *encoded,
                              uint32_t count, atoll_error *error)
{
    enum { M = ATOLL_RIDGE_FEATURES };
    const atoll_ridge_weights *weights = model->analytic;
    uint32_t vectors = 0, alone = 0, labels = weights ? weights->labels : 0;
    for (uint32_t i = 0; i < count; i++)
        vectors += encoded[i]->has_dense;
    if (!vectors || !model->projection)
        return ATOLL_OK;
    float *all = atoll_arena_take(arena, (size_t)vectors * M * sizeof *all);
    float *scores = atoll_arena_take(arena, ((size_t)vectors * labels + 1) * sizeof *scores);
    uint64_t room = ATOLL_DENSE_SCRATCH + atoll_projection_scratch(model->projection->dim);
    float *scratch = atoll_arena_take(arena, room * sizeof *scratch);
    const float **v = atoll_arena_take(arena, vectors * sizeof *v);
    float **z = atoll_arena_take(arena, vectors * sizeof *z);
    if (!all || !scores || !scratch || !v || !z)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for random features");
    vectors = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!encoded[i]->has_dense)
            continue;
        float *own = all + (size_t)vectors * M;
        encoded[i]->z = own;
        encoded[i]->score = labels ? scores + (size_t)vectors * labels : NULL;
        encoded[i]->scores = labels;
        vectors++;
        if (encoded[i]->vectors > 1) {
            atoll_dense_mean(model->projection, encoded[i]->dense, encoded[i]->vectors, own, scratch);
            continue;
        }
        v[alone] = encoded[i]->dense;
        z[alone++] = own;
    }
    if (alone)
        atoll_projection_run(model->projection, v, alone, z, scratch + ATOLL_DENSE_SCRATCH);
    if (labels)
        atoll_ridge_score(weights, all, vectors, scores);
    return ATOLL_OK;
}
