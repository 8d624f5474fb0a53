#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/kernels.h"
#include "core/served.h"
#include "tests/core/paged.h"

enum { FEATURES = 40, BUCKETS = 3000, DENSE = 21, LINEAR = 30 };

static const atoll_precision precisions[] = {ATOLL_PRECISION_Q8, ATOLL_PRECISION_Q4};

/* A network under learning, and a record for it. */
typedef struct trial {
    atoll_pager pager;
    atoll_net net;
    atoll_net_scratch scratch;
    atoll_rng rng;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], dense[DENSE], linear[LINEAR], h[64], logits[512];
    atoll_input input;
} trial;

static void trial_open(trial *t, uint32_t rank, uint32_t hidden, uint32_t outputs)
{
    atoll_net_shape shape = {.rank = rank, .hidden = hidden, .linear_dim = LINEAR, .seed = 3, .rate_wide = 0.1f,
                             .rate_low = 0.1f, .rate_dense = 0.02f, .rate_linear = 0.02f};
    *t = (trial){0};
    pager_open(&t->pager);
    atoll_net_init(&t->net, &shape);
    atoll_net_scratch_init(&t->scratch);
    atoll_rng_seed(&t->rng, 5, 0);
    assert_int_equal(atoll_net_grow(&t->pager, &t->net, outputs, NULL), ATOLL_OK);
}

static void trial_close(trial *t)
{
    atoll_net_clear(&t->pager, &t->net);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static void draw(trial *t)
{
    for (uint32_t i = 0; i < FEATURES; i++) {
        t->bucket[i] = i * (BUCKETS / FEATURES) + atoll_rng_below(&t->rng, BUCKETS / FEATURES);
        t->weight[i] = 0.05f + 0.2f * atoll_rng_uniform(&t->rng);
    }
    fill_normal(&t->rng, t->dense, DENSE);
    fill_normal(&t->rng, t->linear, LINEAR);
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = FEATURES,
                             .dense = t->net.dense_dim ? t->dense : NULL, .linear = t->linear};
}

static void learn(trial *t, int records)
{
    for (int i = 0; i < records; i++) {
        float dh[64], *h = t->net.dense_dim ? t->h : NULL;
        draw(t);
        if (h)
            atoll_net_hidden(&t->net, t->dense, 1, t->h, 0);
        assert_int_equal(atoll_net_admit(&t->pager, &t->net, &t->scratch, &t->input, NULL), ATOLL_OK);
        atoll_net_run(&t->net, &t->scratch, &t->input, h, t->logits);
        atoll_softmax(t->logits, t->net.outputs);
        t->logits[t->bucket[0] % t->net.outputs] -= 1;
        assert_int_equal(atoll_net_backward(&t->pager, &t->net, &t->scratch, &t->input, h, t->logits, dh, NULL),
                         ATOLL_OK);
        if (h)
            assert_int_equal(atoll_net_hidden_backward(&t->pager, &t->net, &t->scratch, t->dense, dh, 1, NULL),
                             ATOLL_OK);
    }
}

static void refresh(trial *t, atoll_served *served, atoll_precision precision)
{
    assert_int_equal(atoll_served_refresh(&t->pager, served, &t->net, precision, NULL), ATOLL_OK);
    atoll_reclaim_advance(t->pager.reclaim);
}

static void forward(trial *t, const atoll_served *served, float *logits)
{
    float h[64];
    if (t->net.dense_dim)
        assert_int_equal(atoll_served_hidden(&t->net, served, &t->scratch, t->dense, 1, NULL, h, NULL),
                         ATOLL_OK);
    assert_int_equal(atoll_served_forward(&t->net, served, &t->scratch, &t->input, t->net.dense_dim ? h : NULL, logits,
                                          NULL), ATOLL_OK);
}

/* Each of a record's vectors is rounded and read by itself. */
static void vectors_are_read_one_by_one(void **state)
{
    enum { VECTORS = 3 };
    static const float reads[VECTORS] = {0.5f, 0, 1};
    (void)state;
    trial t;
    atoll_served served;
    trial_open(&t, 16, 32, 15);
    atoll_served_init(&served);
    float v[VECTORS * DENSE], h[64], one[64];
    assert_int_equal(atoll_net_set_dense(&t.pager, &t.net, DENSE, NULL), ATOLL_OK);
    fill_normal(&t.rng, v, VECTORS * DENSE);
    for (int p = ATOLL_PRECISION_Q8; p <= ATOLL_PRECISION_Q4; p++) {
        float mean[64] = {0}, all[64] = {0};
        refresh(&t, &served, (atoll_precision)p);
        for (uint32_t i = 0; i < VECTORS; i++) {
            const float *own = v + i * DENSE;
            assert_int_equal(atoll_served_hidden(&t.net, &served, &t.scratch, own, 1, NULL, one, NULL), ATOLL_OK);
            for (int k = 0; k < 32; k++) {
                mean[k] += reads[i] * one[k] / VECTORS;
                all[k] += one[k] / VECTORS;
            }
        }
        assert_int_equal(atoll_served_hidden(&t.net, &served, &t.scratch, v, VECTORS, reads, h, NULL), ATOLL_OK);
        for (int k = 0; k < 32; k++)
            assert_near(h[k], mean[k], 1e-5);
        assert_int_equal(atoll_served_hidden(&t.net, &served, &t.scratch, v, VECTORS, NULL, h, NULL), ATOLL_OK);
        for (int k = 0; k < 32; k++)
            assert_near(h[k], all[k], 1e-5);
    }
    atoll_served_clear(&t.pager, &served);
    trial_close(&t);
}

/* The root of the mean square difference from the network's own logits, beside their spread. */
static double difference(trial *t, const atoll_served *served)
{
    double off = 0, spread = 0;
    for (int i = 0; i < 50; i++) {
        float plain[512], rounded[512];
        draw(t);
        if (t->net.dense_dim)
            atoll_net_hidden(&t->net, t->dense, 1, t->h, 0);
        assert_int_equal(atoll_net_forward(&t->net, &t->scratch, &t->input, t->net.dense_dim ? t->h : NULL, plain,
                                           NULL), ATOLL_OK);
        forward(t, served, rounded);
        for (uint32_t o = 0; o < t->net.outputs; o++) {
            off += (double)(plain[o] - rounded[o]) * (double)(plain[o] - rounded[o]);
            spread += (double)plain[o] * (double)plain[o];
        }
    }
    return sqrt(off / spread);
}

static void answers_are_nearly_those_of_the_network(void **state)
{
    (void)state;
    /* Rank, hidden size, outputs. */
    static const uint32_t shapes[][3] = {{16, 64, 58}, {8, 8, 5}, {0, 16, 300}, {16, 0, 20}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int dense = 0; dense < 2; dense++)
            for (int p = 0; p < 2; p++) {
                trial t;
                atoll_served served;
                atoll_served_init(&served);
                trial_open(&t, shapes[s][0], shapes[s][1], shapes[s][2]);
                if (dense)
                    assert_int_equal(atoll_net_set_dense(&t.pager, &t.net, DENSE, NULL), ATOLL_OK);
                learn(&t, 150);
                uint64_t floats = atoll_served_active(&served, &t.net, FEATURES);
                assert_int_equal(floats, atoll_net_active(&t.net, FEATURES) * sizeof(float));
                refresh(&t, &served, precisions[p]);
                assert_true(atoll_served_active(&served, &t.net, FEATURES) < floats);
                double off = difference(&t, &served);
                if (off > (p ? 0.15 : 0.05))
                    print_error("shape %zu dense %d precision %d: %.4f\n", s, dense, p, off);
                assert_true(off > 0 && off < (p ? 0.15 : 0.05));
                atoll_served_clear(&t.pager, &served);
                trial_close(&t);
            }
}

/* What is brought up to date by what changed is what is made afresh; and what was frozen stays. */
static void changes_reach_it_page_by_page(void **state)
{
    (void)state;
    trial t;
    atoll_served served, fresh;
    float before[512], after[512];
    trial_open(&t, 16, 16, 10);
    atoll_served_init(&served);
    for (int round = 0; round < 12; round++) {
        learn(&t, 5);
        if (round == 4)
            assert_int_equal(atoll_net_set_dense(&t.pager, &t.net, DENSE, NULL), ATOLL_OK);
        if (round == 7)
            assert_int_equal(atoll_net_grow(&t.pager, &t.net, 40, NULL), ATOLL_OK); /* rows of another layout */
        refresh(&t, &served, precisions[round / 9]);
        atoll_served_init(&fresh);
        refresh(&t, &fresh, precisions[round / 9]);
        assert_arrays_equal(&served.rows, &fresh.rows);
        assert_arrays_equal(&served.low, &fresh.low);
        assert_arrays_equal(&served.head, &fresh.head);
        assert_arrays_equal(&served.first, &fresh.first);
        assert_arrays_equal(&served.linear, &fresh.linear);
        assert_int_equal(t.pager.live_bytes, atoll_net_bytes(&t.net) + atoll_served_bytes(&served) +
                                             atoll_served_bytes(&fresh));
        atoll_served_clear(&t.pager, &fresh);
    }
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_served frozen = served;
    atoll_net net = t.net;
    draw(&t);
    trial old = t;
    forward(&t, &frozen, before);
    learn(&t, 20);
    refresh(&t, &served, precisions[1]);
    old.net = net;
    old.scratch = t.scratch;
    old.input.bucket = old.bucket;
    old.input.weight = old.weight;
    old.input.dense = old.dense;
    old.input.linear = old.linear;
    forward(&old, &frozen, after);
    t.scratch = old.scratch;
    assert_memory_equal(after, before, net.outputs * sizeof *before);
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    refresh(&t, &served, ATOLL_PRECISION_F32);
    assert_int_equal(atoll_served_bytes(&served), 0);
    trial_close(&t);
}

/* Nothing that did not change is written again. */
static void what_stayed_keeps_its_pages(void **state)
{
    (void)state;
    trial t;
    atoll_served served;
    trial_open(&t, 16, 16, 60);
    atoll_served_init(&served);
    learn(&t, 200);
    refresh(&t, &served, ATOLL_PRECISION_Q8);
    uint64_t epoch = atoll_reclaim_epoch(t.pager.reclaim) - 1;
    learn(&t, 1);
    refresh(&t, &served, ATOLL_PRECISION_Q8);
    uint32_t pages = atoll_array_page_count(&served.rows), changed = 0;
    for (uint32_t page = 0; page < pages; page++)
        changed += atoll_array_page_since(&served.rows, page, epoch) != NULL;
    assert_true(changed > 0 && changed < pages);
    epoch = atoll_reclaim_epoch(t.pager.reclaim) - 1;
    refresh(&t, &served, ATOLL_PRECISION_Q8);
    for (uint32_t page = 0; page < pages; page++)
        assert_null(atoll_array_page_since(&served.rows, page, epoch));
    atoll_served_clear(&t.pager, &served);
    trial_close(&t);
}

/* A network whose columns have become lists is not rounded any more. */
static void lists_are_read_as_floats(void **state)
{
    (void)state;
    trial t;
    atoll_served served;
    atoll_net_shape shape = {.rank = 16, .seed = 3, .rate_wide = 0.1f, .rate_low = 0.1f, .rate_dense = 0.02f,
                             .lists = true};
    trial_open(&t, 16, 16, 20);
    atoll_net_clear(&t.pager, &t.net);
    atoll_net_init(&t.net, &shape);
    atoll_served_init(&served);
    assert_int_equal(atoll_net_grow(&t.pager, &t.net, ATOLL_NET_COLUMNS, NULL), ATOLL_OK);
    learn(&t, 30);
    refresh(&t, &served, ATOLL_PRECISION_Q8);
    assert_true(atoll_served_bytes(&served) > 0);
    assert_int_equal(atoll_net_grow(&t.pager, &t.net, ATOLL_NET_COLUMNS + 1, NULL), ATOLL_OK);
    assert_int_equal(t.net.capacity, 0);
    for (int times = 0; times < 2; times++) {
        refresh(&t, &served, ATOLL_PRECISION_Q8);
        assert_int_equal(atoll_served_bytes(&served), 0);
        assert_int_equal(served.precision, ATOLL_PRECISION_F32);
        assert_int_equal(atoll_served_active(&served, &t.net, FEATURES),
                         atoll_net_active(&t.net, FEATURES) * sizeof(float));
        learn(&t, 30);
    }
    atoll_served_clear(&t.pager, &served);
    trial_close(&t);
}

static void no_memory_leaves_it_empty(void **state)
{
    (void)state;
    trial t;
    atoll_served served;
    trial_open(&t, 16, 16, 20);
    atoll_served_init(&served);
    learn(&t, 30);
    for (blocks_left = 0;; blocks_left++) {
        long room = blocks_left;
        atoll_status status = atoll_served_refresh(&t.pager, &served, &t.net, ATOLL_PRECISION_Q8, NULL);
        blocks_left = room;
        if (status == ATOLL_OK)
            break;
        assert_int_equal(status, ATOLL_NO_MEMORY);
        assert_int_equal(atoll_served_bytes(&served), 0);
        assert_int_equal(served.precision, ATOLL_PRECISION_F32);
    }
    blocks_left = LONG_MAX;
    atoll_reclaim_advance(t.pager.reclaim);
    assert_true(difference(&t, &served) < 0.1);
    atoll_served_clear(&t.pager, &served);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_nearly_those_of_the_network),
        cmocka_unit_test(vectors_are_read_one_by_one),
        cmocka_unit_test(changes_reach_it_page_by_page),
        cmocka_unit_test(what_stayed_keeps_its_pages),
        cmocka_unit_test(lists_are_read_as_floats),
        cmocka_unit_test(no_memory_leaves_it_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
