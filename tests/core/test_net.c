#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/nets.h"

/* ---- a reference in double ---- */

/* The network's weights by name, and the record that it reads. */
typedef struct reference {
    uint32_t outputs, rank, hidden, linear_dim, dense_dim, features;
    double *v, *w1, *b, *w2, *d2, *d1, *c, *u; /* V, W1: by feature; W2, D2: by output; D1: by dense; U: by linear */
    double *all;                               /* all of them, one behind the other */
    size_t count;
    const atoll_input *input;
    bool dense;
    double weight[16]; /* what the loss takes of each logit: L = sum weight * logit^2 / 2 */
} reference;

static void reference_logits(const reference *r, double *logits)
{
    double low[16] = {0}, h[64];
    for (uint32_t k = 0; k < r->rank; k++)
        for (uint32_t f = 0; f < r->features; f++)
            low[k] += (double)r->input->weight[f] * r->w1[f * r->rank + k];
    for (uint32_t k = 0; r->dense && k < r->hidden; k++) {
        h[k] = r->c[k];
        for (uint32_t i = 0; i < r->dense_dim; i++)
            h[k] += (double)r->input->dense[i] * r->d1[i * r->hidden + k];
        h[k] = h[k] > 0 ? h[k] : 0;
    }
    for (uint32_t o = 0; o < r->outputs; o++) {
        logits[o] = r->b[o];
        for (uint32_t f = 0; f < r->features; f++)
            logits[o] += (double)r->input->weight[f] * r->v[f * r->outputs + o];
        for (uint32_t k = 0; k < r->rank; k++)
            logits[o] += r->w2[o * r->rank + k] * low[k];
        for (uint32_t k = 0; r->dense && k < r->hidden; k++)
            logits[o] += r->d2[o * r->hidden + k] * h[k];
        for (uint32_t i = 0; r->input->linear && i < r->linear_dim; i++)
            logits[o] += (double)r->input->linear[i] * r->u[i * r->outputs + o];
    }
}

static double reference_loss(const reference *r)
{
    double logits[16], loss = 0;
    reference_logits(r, logits);
    for (uint32_t o = 0; o < r->outputs; o++)
        loss += r->weight[o] * logits[o] * logits[o] / 2;
    return loss;
}

/* By central differences; the loss is piecewise quadratic, so the step may be large but for kinks. */
static double reference_slope(const reference *r, double *parameter)
{
    const double step = 1e-5, was = *parameter;
    *parameter = was + step;
    double up = reference_loss(r);
    *parameter = was - step;
    double down = reference_loss(r);
    *parameter = was;
    return (up - down) / (2 * step);
}

static const float *sparse_row(const atoll_net *net, uint32_t bucket)
{
    uint32_t row;
    atoll_rows_find(&net->sparse, &bucket, 1, &row);
    assert_int_not_equal(row, ATOLL_ROW_NONE);
    return atoll_rows_at(&net->sparse, row);
}

static void copy_floats(double *to, const float *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* Where each parameter (or, with `squares`, its accumulator) is read from the network; W1 has one for each row. */
static void reference_read(reference *r, const atoll_net *net, bool squares)
{
    uint32_t skip = squares ? net->capacity : 0, head = 1 + r->rank + r->hidden;
    for (uint32_t f = 0; f < r->features; f++) {
        const float *row = sparse_row(net, r->input->bucket[f]);
        float wide[64];
        if (squares)
            wide_squares(net, row, wide);
        copy_floats(r->v + f * r->outputs, squares ? wide : row, r->outputs);
        for (uint32_t k = 0; k < r->rank; k++)
            r->w1[f * r->rank + k] = row[net->capacity + (squares ? r->rank : k)];
    }
    for (uint32_t o = 0; o < r->outputs; o++) {
        const float *row = (const float *)atoll_array_at(&net->head, o) + (squares ? head : 0);
        r->b[o] = row[0];
        copy_floats(r->w2 + o * r->rank, row + 1, r->rank);
        copy_floats(r->d2 + o * r->hidden, row + 1 + r->rank, r->hidden);
    }
    for (uint32_t i = 0; i <= r->dense_dim && r->dense_dim; i++) {
        const float *row = atoll_array_at(&net->first, squares ? atoll_net_first_squares(net, i) : i);
        copy_floats(i < r->dense_dim ? r->d1 + i * r->hidden : r->c, row, r->hidden);
    }
    for (uint32_t i = 0; i < r->linear_dim; i++)
        copy_floats(r->u + i * r->outputs, (const float *)atoll_array_at(&net->linear, i) + skip, r->outputs);
}

static void reference_new(reference *r, const atoll_net *net, const atoll_input *input, bool squares)
{
    *r = (reference){.outputs = net->outputs, .rank = net->rank, .hidden = net->hidden,
                     .linear_dim = net->linear_dim, .dense_dim = net->dense_dim, .features = input->features,
                     .input = input, .dense = input->dense && net->dense_dim};
    const uint32_t sizes[] = {r->features * r->outputs, r->features * r->rank, r->outputs, r->outputs * r->rank,
                              r->outputs * r->hidden, r->dense_dim * r->hidden, r->hidden, r->linear_dim * r->outputs};
    double **const parts[] = {&r->v, &r->w1, &r->b, &r->w2, &r->d2, &r->d1, &r->c, &r->u};
    for (int i = 0; i < 8; i++)
        r->count += sizes[i];
    r->all = calloc(r->count, sizeof *r->all);
    assert_non_null(r->all);
    double *at = r->all;
    for (int i = 0; i < 8; i++) {
        *parts[i] = at;
        at += sizes[i];
    }
    for (uint32_t o = 0; o < r->outputs; o++)
        r->weight[o] = 0.3 + 0.2 * o;
    reference_read(r, net, squares);
}

/* ---- gradients ---- */

static float rate_of(const reference *r, const atoll_net *net, size_t i)
{
    const double *at = r->all + i;
    return at < r->w1 ? net->rate_wide : at >= r->w2 && at < r->d2 ? net->rate_low
                                     : at >= r->u                  ? net->rate_linear
                                                                   : net->rate_dense;
}

/*
 * One step of learning shows the gradient: its square in what the accumulators gain, its sign and the rate in what the
 * weights lose. W1's rows share an accumulator, which gains the mean square of the row's gradient.
 */
static void check_step(trial *t)
{
    reference before, after, squares_before, squares_after;
    reference_new(&before, &t->net, &t->input, false);
    reference_new(&squares_before, &t->net, &t->input, true);
    double logits[16];
    reference_logits(&before, logits);
    learn(t);
    for (uint32_t o = 0; o < t->net.outputs; o++)
        assert_near(t->logits[o], logits[o], 1e-5);
    reference_new(&after, &t->net, &t->input, false);
    reference_new(&squares_after, &t->net, &t->input, true);
    for (size_t i = 0; i < before.count; i++) {
        if (before.all + i >= before.w1 && before.all + i < before.b)
            continue;
        double g = reference_slope(&before, before.all + i), square = squares_after.all[i] - squares_before.all[i];
        double step = rate_of(&before, &t->net, i) * g / sqrt(squares_before.all[i] + g * g + 1e-8);
        if (before.all + i < before.w1) /* half a unit of bfloat16's last place, and what the gradient is off */
            assert_true(fabs(square - g * g) <= squares_after.all[i] / 250 + 1e-5 * fabs(g) + 1e-9);
        else
            assert_near(sqrt(fmax(square, 0)), fabs(g), squares_before.all[i] > 0 ? 2e-3 : 1e-4);
        if (g == 0 || fabs(g) > 1e-3) /* far above what rounding of the logits does to the sign */
            assert_near(before.all[i] - after.all[i], step, 1e-4);
    }
    for (uint32_t f = 0; f < before.features; f++) {
        double g[16], mean = 0;
        for (uint32_t k = 0; k < before.rank; k++) {
            g[k] = reference_slope(&before, before.w1 + f * before.rank + k);
            mean += g[k] * g[k] / before.rank;
        }
        for (uint32_t k = 0; k < before.rank; k++) {
            size_t i = f * before.rank + k;
            double was = squares_before.w1[i];
            assert_near(squares_after.w1[i] - was, mean, 1e-3);
            assert_near(before.w1[i] - after.w1[i], t->net.rate_low * g[k] / sqrt(was + mean + 1e-10), 1e-4);
        }
    }
    free(before.all);
    free(after.all);
    free(squares_before.all);
    free(squares_after.all);
}

static void check_gradients(const atoll_net_shape *shape, bool sparse, bool dense, bool linear)
{
    trial t;
    trial_open(&t, shape, OUTPUTS);
    t.input.features = sparse ? FEATURES : 0;
    t.input.dense = dense ? t.dense : NULL;
    t.input.linear = linear ? t.linear : NULL;
    /* The wide and linear paths and all biases start at zero; the second step is taken from somewhere else. */
    check_step(&t);
    for (int i = 0; i < 3; i++) {
        atoll_reclaim_advance(t.pager.reclaim);
        check_step(&t);
    }
    trial_close(&t);
}

static void gradients_equal_central_differences(void **state)
{
    (void)state;
    atoll_net_shape wide = full, low = full, dense = full;
    wide.rank = wide.hidden = 0;
    low.hidden = low.linear_dim = 0;
    dense.rank = dense.linear_dim = 0;
    check_gradients(&full, true, true, true);
    check_gradients(&full, true, false, false);
    check_gradients(&full, false, true, false);
    check_gradients(&full, false, false, true);
    check_gradients(&wide, true, false, true);
    check_gradients(&wide, false, false, false);
    check_gradients(&low, true, false, false);
    check_gradients(&dense, false, true, false);
    check_gradients(&dense, true, true, false);
}

/* Gradients after the rows were widened under accumulators that are not zero. */
static void learning_goes_on_after_widening(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, &full, 7);
    learn(&t);
    learn(&t);
    reference before, after;
    reference_new(&before, &t.net, &t.input, true);
    assert_int_equal(atoll_net_grow(&t.pager, &t.net, 13, NULL), ATOLL_OK);
    reference_new(&after, &t.net, &t.input, true);
    for (uint32_t i = 0; i < FEATURES * 13; i++)
        assert_true(after.v[i] == (i % 13 < 7 ? before.v[i / 13 * 7 + i % 13] : 0));
    assert_memory_equal(after.w1, before.w1, FEATURES * full.rank * sizeof *after.w1);
    for (uint32_t i = 0; i < LINEAR * 13; i++)
        assert_true(after.u[i] == (i % 13 < 7 ? before.u[i / 13 * 7 + i % 13] : 0));
    assert_true(before.v[0] > 0 && before.w1[0] > 0 && before.u[0] > 0);
    free(before.all);
    free(after.all);
    check_step(&t);
    trial_close(&t);
}

/* D1 and c take the sum over a batch; rows of D1 span several pages. */
static void learns_a_batch_at_once(uint32_t hidden)
{
    enum { BATCH = 5, MOST_HIDDEN = 512 };
    trial t;
    trial_open(&t, &(atoll_net_shape){.hidden = hidden, .rate_dense = full.rate_dense}, 2);
    float v[BATCH * DENSE], h[BATCH * MOST_HIDDEN], dh[BATCH * MOST_HIDDEN];
    fill_normal(&t.rng, v, BATCH * DENSE);
    fill_normal(&t.rng, dh, BATCH * hidden);
    atoll_net_hidden(&t.net, v, BATCH, h, hidden);
    for (uint32_t b = 0; b < BATCH; b++) {
        float alone[MOST_HIDDEN];
        atoll_net_hidden(&t.net, v + b * DENSE, 1, alone, 0);
        for (uint32_t k = 0; k < hidden; k++) {
            double sum = ((const float *)atoll_array_at(&t.net.first, DENSE))[k];
            for (uint32_t i = 0; i < DENSE; i++)
                sum += (double)v[b * DENSE + i] * ((const float *)atoll_array_at(&t.net.first, i))[k];
            assert_near(h[b * hidden + k], fmax(sum, 0), 1e-5);
            assert_near(alone[k], fmax(sum, 0), 1e-5);
        }
    }
    atoll_net before = t.net;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    assert_int_equal(atoll_net_hidden_backward(&t.pager, &t.net, &t.scratch, v, dh, BATCH, NULL), ATOLL_OK);
    for (uint32_t i = 0; i <= DENSE; i++)
        for (uint32_t k = 0; k < hidden; k++) {
            double g = 0;
            for (uint32_t b = 0; b < BATCH; b++)
                g += (i < DENSE ? (double)v[b * DENSE + i] : 1) * dh[b * hidden + k];
            const float *was = atoll_array_at(&before.first, i), *is = atoll_array_at(&t.net.first, i);
            const float *squares = atoll_array_at(&t.net.first, atoll_net_first_squares(&t.net, i));
            assert_near(squares[k], g * g, 1e-4);
            if (fabs(g) > 1e-3)
                assert_near(was[k] - is[k], full.rate_dense * g / sqrt(g * g + 1e-8), 1e-5);
        }
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    trial_close(&t);
}

static void the_hidden_layer_learns_a_batch_at_once(void **state)
{
    (void)state;
    learns_a_batch_at_once(40);
    learns_a_batch_at_once(512); /* there is room between rows of that width */
}

/* Rows that admit added are found as those that forward finds. */
static void runs_on_the_rows_that_were_admitted(void **state)
{
    (void)state;
    trial t;
    float ran[OUTPUTS];
    trial_open(&t, &full, OUTPUTS);
    for (int i = 0; i < 200; i++) {
        new_record(&t);
        t.input.features = atoll_rng_below(&t.rng, FEATURES + 1);
        for (uint32_t f = 0; f < FEATURES; f++)
            t.bucket[f] = 10 * f + atoll_rng_below(&t.rng, 10); /* some of them known */
        atoll_net_hidden(&t.net, t.dense, 1, t.h, 0);
        assert_int_equal(atoll_net_admit(&t.pager, &t.net, &t.scratch, &t.input, NULL), ATOLL_OK);
        atoll_net_run(&t.net, &t.scratch, &t.input, t.h, ran);
        forward(&t, &t.net);
        assert_memory_equal(t.logits, ran, sizeof ran);
        learn(&t);
    }
    assert_in_range(t.net.sparse.rows.count, FEATURES * 5, FEATURES * 11);
    assert_int_equal(atoll_rows_verify(&t.net.sparse, NULL), ATOLL_OK);
    trial_close(&t);
}

static void buckets_never_seen_say_nothing(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, &full, OUTPUTS);
    for (int i = 0; i < 5; i++)
        learn(&t);
    t.input.features = FEATURES - 3;
    forward(&t, &t.net);
    float expected[OUTPUTS];
    memcpy(expected, t.logits, sizeof expected);
    t.input.features = FEATURES;
    for (uint32_t f = FEATURES - 3; f < FEATURES; f++)
        t.bucket[f] = 900000 + f;
    uint32_t rows = t.net.sparse.rows.count;
    learn(&t);
    assert_memory_equal(t.logits, expected, sizeof expected);
    assert_int_equal(t.net.sparse.rows.count, rows);
    trial_close(&t);
}

/* Scratch serves networks of all shapes, in any order: it grows, part by part, to the largest of each. */
static void scratch_fits_any_network(void **state)
{
    (void)state;
    enum { SHAPES = 5 };
    static const uint32_t rank[SHAPES] = {0, 0, 0, 9, 2}, outputs[SHAPES] = {3, 20, 90, 1, 200};
    trial t;
    trial_open(&t, &full, OUTPUTS);
    atoll_net_scratch_free(&t.scratch); /* it begins with networks without a low-rank path */
    for (int i = 0; i < 2 * SHAPES; i++) {
        atoll_net_shape shape = full;
        shape.rank = rank[i % SHAPES];
        shape.hidden = 0;
        atoll_net_clear(&t.pager, &t.net);
        atoll_net_init(&t.net, &shape);
        assert_int_equal(atoll_net_grow(&t.pager, &t.net, outputs[i % SHAPES], NULL), ATOLL_OK);
        new_record_learned(&t);
    }
    trial_close(&t);
}

/* ---- copies ---- */

static void frozen_networks_do_not_learn(void **state)
{
    (void)state;
    enum { COPIES = 8 };
    trial t, probe;
    atoll_net frozen[COPIES];
    float expected[COPIES][OUTPUTS];
    int ticket[COPIES];
    trial_open(&t, &full, OUTPUTS);
    trial_open(&probe, &full, 1);
    for (int c = 0; c < COPIES; c++) {
        new_record_learned(&t);
        frozen[c] = t.net;
        ticket[c] = atoll_reclaim_enter(t.pager.reclaim);
        atoll_reclaim_advance(t.pager.reclaim);
        probe.input = t.input; /* every copy is asked about the last record of each */
        forward(&probe, &frozen[c]);
        memcpy(expected[c], probe.logits, sizeof expected[c]);
        for (int i = 0; i < 10; i++)
            learn(&t);
        forward(&probe, &frozen[c]);
        assert_memory_equal(probe.logits, expected[c], sizeof expected[c]);
    }
    float last[COPIES][OUTPUTS];
    for (int c = 0; c < COPIES; c++) {
        forward(&probe, &frozen[c]);
        memcpy(last[c], probe.logits, sizeof last[c]);
    }
    for (int i = 0; i < 20; i++) {
        learn(&t);
        assert_int_equal(atoll_net_grow(&t.pager, &t.net, t.net.outputs + 1, NULL), ATOLL_OK);
        assert_int_equal(atoll_net_reset_output(&t.pager, &t.net, 0, NULL), ATOLL_OK);
        atoll_reclaim_advance(t.pager.reclaim);
    }
    for (int c = 0; c < COPIES; c++) {
        forward(&probe, &frozen[c]);
        assert_memory_equal(probe.logits, last[c], sizeof last[c]);
        atoll_reclaim_leave(t.pager.reclaim, ticket[c]);
    }
    trial_close(&probe);
    trial_close(&t);
}

static void the_same_stream_gives_the_same_bits(void **state)
{
    (void)state;
    trial t[2];
    for (int i = 0; i < 2; i++) {
        trial_open(&t[i], &full, 3);
        for (uint32_t step = 0; step < 60; step++) {
            new_record_learned(&t[i]);
            if (step % 5 == 0)
                assert_int_equal(atoll_net_grow(&t[i].pager, &t[i].net, t[i].net.outputs + 1, NULL), ATOLL_OK);
            if (i == 0 && step % 3 == 0) /* publishing is no part of the result */
                atoll_reclaim_advance(t[i].pager.reclaim);
        }
    }
    assert_arrays_equal(&t[0].net.sparse.table, &t[1].net.sparse.table);
    assert_arrays_equal(&t[0].net.sparse.rows, &t[1].net.sparse.rows);
    assert_arrays_equal(&t[0].net.head, &t[1].net.head);
    assert_arrays_equal(&t[0].net.first, &t[1].net.first);
    assert_arrays_equal(&t[0].net.linear, &t[1].net.linear);
    trial_close(&t[0]);
    trial_close(&t[1]);
}

/* A step that is refused a block does not crash, and the network learns on once it gets them. */
static void short_memory_is_a_status(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, &full, 3);
    for (int i = 0; i < 20; i++)
        new_record_learned(&t);
    forward(&t, &t.net);
    atoll_reclaim_advance(t.pager.reclaim);
    blocks_left = 0;
    assert_int_equal(atoll_net_backward(&t.pager, &t.net, &t.scratch, &t.input, t.h, t.delta, t.dh, NULL),
                     ATOLL_NO_MEMORY);
    assert_int_equal(atoll_net_hidden_backward(&t.pager, &t.net, &t.scratch, t.dense, t.dh, 1, NULL), ATOLL_NO_MEMORY);
    blocks_left = LONG_MAX;
    assert_int_equal(atoll_rows_verify(&t.net.sparse, NULL), ATOLL_OK);
    learn(&t);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_central_differences),
        cmocka_unit_test(learning_goes_on_after_widening),
        cmocka_unit_test(the_hidden_layer_learns_a_batch_at_once),
        cmocka_unit_test(runs_on_the_rows_that_were_admitted),
        cmocka_unit_test(buckets_never_seen_say_nothing),
        cmocka_unit_test(scratch_fits_any_network),
        cmocka_unit_test(frozen_networks_do_not_learn),
        cmocka_unit_test(the_same_stream_gives_the_same_bits),
        cmocka_unit_test(short_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
