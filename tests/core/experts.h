/* A model of a few experts that know little, for tests of what it answers. */
#ifndef ATOLL_TESTS_CORE_EXPERTS_H
#define ATOLL_TESTS_CORE_EXPERTS_H

#include "core/kernels.h"
#include "core/predict.h"
#include "tests/core/paged.h"

enum { DIM = 32, VECTOR = 6, LABELS = 8, EXPERTS = 6, CANDIDATE = 3, FEATURES = 6, KNOWN = 4, COMMON = 2 };

/* The shared expert knows labels 0..5; label 6 only votes know, label 7 the analytic half. */
static const struct {
    atoll_expert_state state;
    uint32_t first, labels;
} makeup[EXPERTS] = {{ATOLL_EXPERT_SHARED, 0, 6},   {ATOLL_EXPERT_ACTIVE, 0, 2}, {ATOLL_EXPERT_ACTIVE, 2, 2},
                     {ATOLL_EXPERT_CANDIDATE, 4, 2}, {ATOLL_EXPERT_ARCHIVED, 0, 3}, {ATOLL_EXPERT_GONE, 0, 0}};

typedef struct trial {
    atoll_pager pager;
    atoll_model model;
    atoll_workspace workspace;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], embedding[DIM], dense[VECTOR];
    atoll_encoded encoded;
    atoll_context context;
    atoll_rng rng;
} trial;

static inline void add_expert(trial *t, uint32_t e)
{
    atoll_model *model = &t->model;
    uint32_t output;
    assert_int_equal(atoll_model_reserve(model, NULL), ATOLL_OK);
    atoll_expert *expert = &model->expert[model->experts++];
    atoll_expert_init(expert, e, &(atoll_net_shape){.rank = 4, .hidden = model->config.dense_hidden, .seed = e,
                                                    .rate_wide = 0.3f, .rate_low = 0.1f, .rate_dense = 0.1f});
    expert->state = makeup[e].state;
    for (uint32_t l = 0; l < makeup[e].labels; l++)
        assert_int_equal(atoll_expert_add_label(&t->pager, expert, makeup[e].first + l, &output, NULL), ATOLL_OK);
    if (makeup[e].labels)
        assert_int_equal(atoll_net_set_dense(&t->pager, &expert->net, VECTOR, NULL), ATOLL_OK);
    atoll_input input = {.bucket = t->bucket, .weight = t->weight, .features = FEATURES};
    assert_int_equal(atoll_net_admit(&t->pager, &expert->net, &t->workspace.net, &input, NULL), ATOLL_OK);
}

static inline void trial_open(trial *t)
{
    *t = (trial){.bucket = {10, 20, 30, 40, 50, 60}, .weight = {0.5f, 0.4f, 0.3f, 0.5f, 0.3f, 0.4f}};
    pager_open(&t->pager);
    atoll_workspace_init(&t->workspace);
    atoll_rng_seed(&t->rng, 3, 0);
    atoll_config_defaults(&t->model.config);
    t->model.config.dense_hidden = 64;
    atoll_encoder_init(&t->model.encoder, 1024, DIM, 1);
    assert_int_equal(atoll_encoder_set_vector(&t->pager, &t->model.encoder, VECTOR, NULL), ATOLL_OK);
    atoll_gate_init(&t->model.gate, DIM, 1);
    atoll_combiner_init(&t->model.combiner);
    atoll_naming_init(&t->model.naming);
    t->model.labels = LABELS;
    for (uint32_t e = 0; e < EXPERTS; e++)
        add_expert(t, e);
    assert_int_equal(atoll_net_grow(&t->pager, &t->model.gate.net, EXPERTS, NULL), ATOLL_OK);
    fill_normal(&t->rng, t->embedding, DIM);
    fill_normal(&t->rng, t->dense, VECTOR);
    t->encoded = (atoll_encoded){.bucket = t->bucket,
                                 .weight = t->weight,
                                 .features = FEATURES,
                                 .common = COMMON,
                                 .known = KNOWN,
                                 .embedding = t->embedding,
                                 .dense = t->dense,
                                 .has_dense = true};
    t->context = (atoll_context){.count = 3, .familiarity = 0.7f,
                                 .voter = {{0, 2, 2, 0.9f, 0.5f}, {1, CANDIDATE, 6, 0.8f, 0.3f},
                                           {2, 4, 2, 0.7f, 0.2f}}};
    assert_int_equal(atoll_workspace_fit(&t->workspace, &t->model, NULL), ATOLL_OK);
}

static inline void trial_close(trial *t)
{
    for (uint32_t e = 0; e < EXPERTS; e++)
        atoll_expert_clear(&t->pager, &t->model.expert[e]);
    free(t->model.expert);
    atoll_gate_clear(&t->pager, &t->model.gate);
    atoll_encoder_clear(&t->pager, &t->model.encoder);
    atoll_workspace_free(&t->workspace);
    pager_close(&t->pager);
}

static inline atoll_input input_of(trial *t)
{
    return atoll_predict_input(&t->encoded);
}

static const atoll_voices silent = {.labels = LABELS};

static inline double sum_of(const float *x, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += x[i];
    return sum;
}

/* Kernels are chosen once for each program. */
static inline int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL) == ATOLL_OK ? 0 : -1;
}

#endif
