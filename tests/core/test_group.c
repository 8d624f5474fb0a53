#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/group.h"
#include "core/kernels.h"
#include "core/net_layout.h"
#include "tests/core/paged.h"

enum { NETS = 4, DENSE = 50, HIDDEN = 24, TASKS = 23, VECTORS = 5, OUTPUTS = 3, MANY = 300 };

static void net_open(atoll_pager *pager, atoll_net *net, uint32_t hidden, uint64_t seed)
{
    atoll_net_init(net, &(atoll_net_shape){.hidden = hidden, .seed = seed, .rate_dense = 0.1f});
    assert_int_equal(atoll_net_set_dense(pager, net, DENSE, NULL), ATOLL_OK);
}

/* Each task gets just what its network says of it alone, whatever stands beside it. */
static void a_batch_gives_what_each_gives_alone(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_arena arena;
    atoll_net_scratch scratch;
    atoll_net net[NETS];
    atoll_rng rng;
    float v[TASKS * DENSE];
    atoll_group_task task[TASKS];
    pager_open(&pager);
    atoll_arena_init(&arena);
    atoll_net_scratch_init(&scratch);
    atoll_rng_seed(&rng, 1, 0);
    fill_normal(&rng, v, TASKS * DENSE);
    for (uint32_t n = 0; n < NETS; n++)
        net_open(&pager, &net[n], HIDDEN * (1 + n % 2), n);
    for (uint32_t count = 0; count <= TASKS; count++) {
        for (uint32_t i = 0; i < count; i++)
            task[i] = (atoll_group_task){.net = &net[i * i % NETS], .v = v + i * DENSE, .vectors = 1};
        assert_int_equal(atoll_group_hidden(&scratch, task, count, &arena, NULL), ATOLL_OK);
        for (uint32_t i = 0; i < count; i++) {
            float alone[2 * HIDDEN];
            atoll_net_hidden(task[i].net, task[i].v, 1, alone, 0);
            assert_memory_equal(task[i].h, alone, task[i].net->hidden * sizeof *alone);
        }
        atoll_arena_reset(&arena);
    }
    for (uint32_t n = 0; n < NETS; n++)
        atoll_net_clear(&pager, &net[n]);
    atoll_arena_free(&arena);
    atoll_net_scratch_free(&scratch);
    pager_close(&pager);
}

/* Of records with several vectors, more of them than are multiplied at once: the mean, each by how much it is read. */
static void vectors_are_read_one_by_one(void **state)
{
    static float v[MANY * DENSE], reads[MANY];
    (void)state;
    atoll_pager pager;
    atoll_arena arena;
    atoll_net_scratch scratch;
    atoll_net net[2];
    atoll_rng rng;
    pager_open(&pager);
    atoll_arena_init(&arena);
    atoll_net_scratch_init(&scratch);
    atoll_rng_seed(&rng, 2, 0);
    fill_normal(&rng, v, MANY * DENSE);
    for (uint32_t i = 0; i < MANY; i++)
        reads[i] = i % 3 ? (float)(i % 7) / 7 : 0;
    net_open(&pager, &net[0], HIDDEN, 7);
    net_open(&pager, &net[1], 2 * HIDDEN, 8);
    atoll_group_task task[] = {{.net = &net[0], .v = v, .vectors = MANY, .reads = reads},
                               {.net = &net[1], .v = v + DENSE, .vectors = 3},
                               {.net = &net[0], .v = v + 5 * DENSE, .vectors = 2, .reads = reads + 1},
                               {.net = &net[0], .v = v, .vectors = 1, .reads = reads}};
    enum { COUNT = sizeof task / sizeof *task };
    assert_int_equal(atoll_group_hidden(&scratch, task, COUNT, &arena, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        float one[2 * HIDDEN], alone[2 * HIDDEN];
        double mean[2 * HIDDEN] = {0};
        for (uint32_t t = 0; t < task[i].vectors; t++) {
            atoll_net_hidden(task[i].net, task[i].v + t * DENSE, 1, one, 0);
            for (uint32_t k = 0; k < task[i].net->hidden; k++)
                mean[k] += (task[i].reads ? task[i].reads[t] : 1) * one[k] / task[i].vectors;
        }
        for (uint32_t k = 0; k < task[i].net->hidden; k++)
            assert_near(task[i].h[k], mean[k], 1e-5);
        atoll_group_task same = task[i];
        same.h = alone;
        assert_int_equal(atoll_group_one(&scratch, &same, NULL), ATOLL_OK);
        assert_memory_equal(alone, task[i].h, task[i].net->hidden * sizeof *alone);
    }
    for (uint32_t n = 0; n < 2; n++)
        atoll_net_clear(&pager, &net[n]);
    atoll_arena_free(&arena);
    atoll_net_scratch_free(&scratch);
    pager_close(&pager);
}

/* ---- the gradient of a record with several vectors ---- */

static float *first_at(atoll_pager *pager, atoll_net *net, uint32_t row)
{
    float *at = atoll_array_edit(pager, &net->first, row);
    assert_non_null(at);
    return at;
}

/* Cross entropy of the first output, of the mean of VECTORS vectors at `v`; p receives the probabilities. */
static double loss_of(const atoll_net *net, atoll_net_scratch *scratch, const float *v, float *h, float *p)
{
    static const atoll_input nothing;
    atoll_group_task task = {.net = net, .v = v, .vectors = VECTORS, .h = h};
    assert_int_equal(atoll_group_one(scratch, &task, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_forward(net, scratch, &nothing, h, p, NULL), ATOLL_OK);
    double sum = 0, right = p[0];
    for (uint32_t o = 0; o < OUTPUTS; o++)
        sum += exp(p[o]);
    atoll_softmax(p, OUTPUTS);
    return log(sum) - right;
}

/* A first step leaves the square of each weight's gradient in its accumulator: that is what differences of loss say. */
static void the_gradient_reaches_each_vector(void **state)
{
    (void)state;
    static const float little = 1e-2f;
    atoll_pager pager;
    atoll_net_scratch scratch;
    atoll_net net;
    atoll_rng rng;
    float v[VECTORS * DENSE], each[VECTORS * HIDDEN], deach[VECTORS * HIDDEN], h[HIDDEN], mean[HIDDEN], dh[HIDDEN];
    float p[OUTPUTS], ignored[OUTPUTS];
    double slope[DENSE + 1];
    uint32_t unit[DENSE + 1];
    pager_open(&pager);
    atoll_net_scratch_init(&scratch);
    atoll_rng_seed(&rng, 4, 0);
    fill_normal(&rng, v, VECTORS * DENSE);
    net_open(&pager, &net, HIDDEN, 5);
    assert_int_equal(atoll_net_grow(&pager, &net, OUTPUTS, NULL), ATOLL_OK);
    for (uint32_t i = 0; i <= DENSE; i++) {
        unit[i] = i * 5 % HIDDEN;
        float *w = first_at(&pager, &net, i) + unit[i], was = *w;
        *w = was + little;
        slope[i] = loss_of(&net, &scratch, v, h, ignored);
        *w = was - little;
        slope[i] = (slope[i] - loss_of(&net, &scratch, v, h, ignored)) / (2 * (double)little);
        *w = was;
    }
    loss_of(&net, &scratch, v, h, p);
    atoll_net_hidden(&net, v, VECTORS, each, HIDDEN);
    atoll_group_mean(each, VECTORS, HIDDEN, mean);
    assert_memory_equal(mean, h, sizeof mean);
    p[0] -= 1;
    assert_int_equal(atoll_net_backward(&pager, &net, &scratch, &(atoll_input){0}, mean, p, dh, NULL), ATOLL_OK);
    atoll_group_mean_backward(each, dh, VECTORS, HIDDEN, deach);
    assert_int_equal(atoll_net_hidden_backward(&pager, &net, &scratch, v, deach, VECTORS, NULL), ATOLL_OK);
    double most = 0;
    for (uint32_t i = 0; i <= DENSE; i++) {
        assert_near(sqrt(first_at(&pager, &net, atoll_net_first_squares(&net, i))[unit[i]]), fabs(slope[i]), 2e-3);
        most = fmax(most, fabs(slope[i]));
    }
    assert_true(most > 0.05); /* far above what is tolerated */
    atoll_net_clear(&pager, &net);
    atoll_net_scratch_free(&scratch);
    pager_close(&pager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_gives_what_each_gives_alone),
        cmocka_unit_test(vectors_are_read_one_by_one),
        cmocka_unit_test(the_gradient_reaches_each_vector),
    };
    assert_int_equal(atoll_kernels_init(NULL), ATOLL_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
