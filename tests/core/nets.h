/* A network with every path, and a record that it learns, for tests of networks. */
#ifndef ATOLL_TESTS_CORE_NETS_H
#define ATOLL_TESTS_CORE_NETS_H

#include <stdbool.h>

#include "core/kernels.h"
#include "core/net.h"
#include "core/net_layout.h"
#include "tests/core/paged.h"

enum { FEATURES = 9, DENSE = 70, LINEAR = 6, OUTPUTS = 11, MOST = 4096 };

typedef struct trial {
    atoll_pager pager;
    atoll_net net;
    atoll_net_scratch scratch;
    atoll_rng rng;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], dense[DENSE], linear[LINEAR], h[64], dh[64], logits[MOST], delta[MOST];
    atoll_input input;
} trial;

static const atoll_net_shape full = {.rank = 4, .hidden = 40, .linear_dim = LINEAR, .seed = 9, .rate_wide = 0.2f,
                                     .rate_low = 0.1f, .rate_dense = 0.02f, .rate_linear = 0.05f};

static inline void new_record(trial *t)
{
    for (uint32_t f = 0; f < FEATURES; f++)
        t->bucket[f] = 1000 * f + atoll_rng_below(&t->rng, 1000);
    fill_normal(&t->rng, t->weight, FEATURES);
    fill_normal(&t->rng, t->dense, DENSE);
    fill_normal(&t->rng, t->linear, LINEAR);
    t->input = (atoll_input){
        .bucket = t->bucket, .weight = t->weight, .features = FEATURES, .dense = t->dense, .linear = t->linear};
}

static inline void trial_open(trial *t, const atoll_net_shape *shape, uint32_t outputs)
{
    *t = (trial){0};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->scratch);
    atoll_rng_seed(&t->rng, 21, 0);
    atoll_net_init(&t->net, shape);
    assert_int_equal(atoll_net_grow(&t->pager, &t->net, outputs, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_set_dense(&t->pager, &t->net, DENSE, NULL), ATOLL_OK);
    new_record(t);
    assert_int_equal(atoll_net_admit(&t->pager, &t->net, &t->scratch, &t->input, NULL), ATOLL_OK);
}

static inline void trial_close(trial *t)
{
    assert_int_equal(t->pager.live_bytes, atoll_net_bytes(&t->net));
    atoll_net_clear(&t->pager, &t->net);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static const float *forward(trial *t, const atoll_net *net)
{
    bool dense = t->input.dense && net->dense_dim;
    if (dense)
        atoll_net_hidden(net, t->dense, 1, t->h, 0);
    assert_int_equal(atoll_net_forward(net, &t->scratch, &t->input, dense ? t->h : NULL, t->logits, NULL), ATOLL_OK);
    return dense ? t->h : NULL;
}

/* One step on the record, for the reference's loss. */
static inline void learn(trial *t)
{
    const float *h = forward(t, &t->net);
    for (uint32_t o = 0; o < t->net.outputs; o++)
        t->delta[o] = (float)(0.3 + 0.2 * (o % 16)) * t->logits[o];
    assert_int_equal(atoll_net_backward(&t->pager, &t->net, &t->scratch, &t->input, h, t->delta, t->dh, NULL),
                     ATOLL_OK);
    if (h)
        assert_int_equal(atoll_net_hidden_backward(&t->pager, &t->net, &t->scratch, t->dense, t->dh, 1, NULL),
                         ATOLL_OK);
}

static inline void new_record_learned(trial *t)
{
    new_record(t);
    assert_int_equal(atoll_net_admit(&t->pager, &t->net, &t->scratch, &t->input, NULL), ATOLL_OK);
    learn(t);
}

/* The accumulators of V in a sparse row, as floats. */
static inline void wide_squares(const atoll_net *net, const float *row, float *squares)
{
    const uint16_t *upper = (const uint16_t *)(row + net->capacity + (net->rank ? net->rank + 1 : 0));
    for (uint32_t o = 0; o < net->outputs; o++) {
        uint32_t bits = (uint32_t)upper[o] << 16;
        memcpy(&squares[o], &bits, sizeof bits);
    }
}

/* Kernels are chosen once for each program. */
static inline int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL) == ATOLL_OK ? 0 : -1;
}

#endif
