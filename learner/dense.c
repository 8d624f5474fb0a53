#include "learner/dense.h"

atoll_status atoll_dense_read(atoll_arena *arena, const atoll_model *model, atoll_encoded *const *encoded,
                              uint32_t count, atoll_error *error)
{
    enum { M = ATOLL_RIDGE_FEATURES };
    const atoll_ridge_weights *weights = model->analytic;
    uint32_t vectors = 0, labels = weights ? weights->labels : 0;
    for (uint32_t i = 0; i < count; i++)
        vectors += encoded[i]->has_dense;
    if (!vectors || !model->projection)
        return ATOLL_OK;
    float *all = atoll_arena_take(arena, (size_t)vectors * M * sizeof *all);
    float *scores = atoll_arena_take(arena, ((size_t)vectors * labels + 1) * sizeof *scores);
    float *scratch = atoll_arena_take(arena, atoll_projection_scratch(model->projection->dim) * sizeof *scratch);
    const float **v = atoll_arena_take(arena, vectors * sizeof *v);
    float **z = atoll_arena_take(arena, vectors * sizeof *z);
    if (!all || !scores || !scratch || !v || !z)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for random features");
    vectors = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!encoded[i]->has_dense)
            continue;
        v[vectors] = encoded[i]->dense;
        encoded[i]->z = z[vectors] = all + (size_t)vectors * M;
        encoded[i]->score = labels ? scores + (size_t)vectors * labels : NULL;
        encoded[i]->scores = labels;
        vectors++;
    }
    atoll_projection_run(model->projection, v, vectors, z, scratch);
    if (labels)
        atoll_ridge_score(weights, all, vectors, scores);
    return ATOLL_OK;
}
