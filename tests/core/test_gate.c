#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "core/gate.h"
#include "core/kernels.h"
#include "tests/core/paged.h"

enum { DIM = 6, EXPERTS = 5, FEATURES = 4 };

/* Of the losses. */
#define ALPHA 0.02f
#define Z 0.1f

typedef struct trial {
    atoll_pager pager;
    atoll_gate gate;
    atoll_net_scratch scratch;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], linear[DIM], share[EXPERTS], probability[EXPERTS], log_sum;
    float said[ATOLL_CUES][EXPERTS], *cue[ATOLL_CUES];
    bool open[EXPERTS];
    atoll_input input;
    atoll_rng rng;
} trial;

static void trial_open(trial *t, uint32_t experts)
{
    *t = (trial){.bucket = {5, 6, 7, 8}};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->scratch);
    atoll_rng_seed(&t->rng, 17, 0);
    atoll_gate_init(&t->gate, DIM, 3);
    assert_int_equal(atoll_net_grow(&t->pager, &t->gate.net, experts, NULL), ATOLL_OK);
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = FEATURES, .linear = t->linear};
    assert_int_equal(atoll_net_admit(&t->pager, &t->gate.net, &t->scratch, &t->input, NULL), ATOLL_OK);
}

static void trial_close(trial *t)
{
    assert_int_equal(t->pager.live_bytes, atoll_net_bytes(&t->gate.net));
    atoll_gate_clear(&t->pager, &t->gate);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static void new_record(trial *t)
{
    fill_normal(&t->rng, t->weight, FEATURES);
    fill_normal(&t->rng, t->linear, DIM);
    float shares = 0;
    for (int c = 0; c < ATOLL_CUES; c++)
        fill_normal(&t->rng, t->cue[c] = t->said[c], EXPERTS);
    for (int e = 0; e < EXPERTS; e++) {
        shares += t->share[e] = atoll_rng_uniform(&t->rng);
        t->open[e] = true;
    }
    for (int e = 0; e < EXPERTS; e++)
        t->share[e] /= shares;
}

static void score(trial *t)
{
    assert_int_equal(atoll_gate_score(&t->gate, NULL, &t->scratch, &t->input, t->probability, NULL), ATOLL_OK);
}

static float probability(trial *t, uint32_t owner)
{
    score(t);
    return atoll_gate_probability(&t->gate, t->open, owner, t->probability, &t->log_sum);
}

static void learn(trial *t, uint32_t owner)
{
    atoll_gate_losses losses = {ATOLL_BALANCE_SWITCH, ALPHA, Z, 2, t->share};
    assert_int_equal(atoll_gate_learn(&t->pager, &t->gate, &t->scratch, &t->input, &losses, owner, t->probability,
                                      t->log_sum, NULL),
                     ATOLL_OK);
}

/* ---- votes and scores ---- */

static void votes_are_summed_by_owner(void **state)
{
    (void)state;
    atoll_context context = {.count = 5, .voter = {{.owner = 2, .vote = 0.5f}, {.owner = 0, .vote = 0.2f},
                                                   {.owner = 2, .vote = 0.125f}, {.owner = 3, .vote = 0.1f},
                                                   {.owner = 9, .vote = 0.075f}, {.owner = 1, .vote = 5}}};
    float vote[4] = {7, 7, 7, 7};
    atoll_gate_votes(&context, 4, vote);
    assert_near(vote[0], 0.2, 1e-6);
    assert_near(vote[1], 0, 0);
    assert_near(vote[2], 0.625, 1e-6);
    assert_near(vote[3], 0.1, 1e-6);
    context.count = 0;
    atoll_gate_votes(&context, 4, vote);
    for (int e = 0; e < 4; e++)
        assert_true(vote[e] == 0);
}

/* Softmax of scores over the open experts, by its definition. */
static void plain(const trial *t, const double *score, double *p)
{
    double sum = 0;
    for (int e = 0; e < EXPERTS; e++)
        sum += p[e] = t->open[e] ? exp(score[e]) : 0;
    for (int e = 0; e < EXPERTS; e++)
        p[e] /= sum > 0 ? sum : 1;
}

static void plain_pool(const trial *t, const float *weight, double *p)
{
    double pooled[EXPERTS] = {0};
    for (int e = 0; e < EXPERTS; e++)
        for (int c = 0; c < ATOLL_CUES; c++)
            pooled[e] += (double)weight[c] * t->said[c][e];
    plain(t, pooled, p);
}

static void net_scores(trial *t, double *net)
{
    float logits[EXPERTS];
    assert_int_equal(atoll_net_forward(&t->gate.net, &t->scratch, &t->input, NULL, logits, NULL), ATOLL_OK);
    for (int e = 0; e < EXPERTS; e++)
        net[e] = logits[e];
}

static void only_open_experts_have_a_probability(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, EXPERTS);
    for (int round = 0; round < 100; round++) {
        double net[EXPERTS], own[EXPERTS], pooled[EXPERTS];
        float p[EXPERTS];
        new_record(&t);
        uint32_t open = round ? 1 + atoll_rng_below(&t.rng, (1u << EXPERTS) - 1) : 0;
        for (int e = 0; e < EXPERTS; e++)
            t.open[e] = open >> e & 1;
        net_scores(&t, net);
        plain(&t, net, own);
        plain_pool(&t, t.gate.weight, pooled);
        atoll_gate_pool(&t.gate, t.cue, t.open, EXPERTS, p);
        assert_near(probability(&t, 2), own[2], 1e-5);
        for (int e = 0; e < EXPERTS; e++) {
            assert_near(t.probability[e], own[e], 1e-5);
            assert_near(p[e], pooled[e], 1e-5);
            assert_true(t.open[e] || (t.probability[e] == 0 && p[e] == 0));
            t.open[e] = true;
        }
        uint32_t owner = atoll_rng_below(&t.rng, EXPERTS);
        probability(&t, owner);
        learn(&t, owner);
        atoll_gate_weigh(&t.gate, t.cue, t.probability, EXPERTS, owner, 1);
    }
    trial_close(&t);
}

static void a_gate_without_experts_is_silent(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, 0);
    t.probability[0] = 3;
    score(&t);
    assert_true(t.probability[0] == 3);
    trial_close(&t);
}

/* ---- learning ---- */

/* Cross entropy, the balancing loss of Switch and the z-loss of given scores. */
static double plain_loss(const trial *t, const double *net, uint32_t owner)
{
    double p[EXPERTS], balance = 0, sum = 0;
    plain(t, net, p);
    for (int e = 0; e < EXPERTS; e++) {
        balance += t->share[e] * p[e];
        sum += exp(net[e]);
    }
    return -log(p[owner]) + (double)ALPHA * EXPERTS * balance + (double)Z * log(sum) * log(sum);
}

static void check_slopes(trial *t)
{
    double net[EXPERTS], step = 1e-5;
    uint32_t owner = atoll_rng_below(&t->rng, EXPERTS);
    new_record(t);
    net_scores(t, net);
    probability(t, owner);
    learn(t, owner); /* leaves dL/dscore in probability */
    for (int e = 0; e < EXPERTS; e++) {
        double was = net[e];
        net[e] = was + step;
        double slope = plain_loss(t, net, owner);
        net[e] = was - step;
        slope = (slope - plain_loss(t, net, owner)) / (2 * step);
        net[e] = was;
        assert_near(t->probability[e], slope, 1e-4);
    }
}

static void check_weights(trial *t)
{
    atoll_gate before = t->gate;
    uint32_t owner = atoll_rng_below(&t->rng, EXPERTS);
    float p[EXPERTS];
    double downhill = 0;
    new_record(t);
    atoll_gate_pool(&t->gate, t->cue, t->open, EXPERTS, p);
    atoll_gate_weigh(&t->gate, t->cue, p, EXPERTS, owner, 3);
    for (int c = 0; c < ATOLL_CUES; c++) {
        double up[EXPERTS], down[EXPERTS], step = 1e-3;
        float weight[ATOLL_CUES];
        memcpy(weight, before.weight, sizeof weight);
        weight[c] += (float)step;
        plain_pool(t, weight, up);
        weight[c] -= 2 * (float)step;
        plain_pool(t, weight, down);
        /* Youth goes by the probability, the others by its logarithm. */
        double slope = c == ATOLL_CUE_YOUTH ? (down[owner] - up[owner]) / (2 * step)
                                            : (log(down[owner]) - log(up[owner])) / (2 * step);
        if (c == ATOLL_CUE_YOUTH)
            assert_near(t->gate.youth_squares - before.youth_squares, 9 * slope * slope, 0.02 + 0.05 * slope * slope);
        /* The other weights step together. */
        downhill += c == ATOLL_CUE_YOUTH ? 0 : slope * (t->gate.weight[c] - before.weight[c]);
    }
    assert_true(downhill <= 0);
}

static void learns_down_the_gradient(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, EXPERTS);
    for (int round = 0; round < 30; round++)
        check_slopes(&t);
    for (int round = 0; round < 30; round++)
        check_weights(&t);
    trial_close(&t);
}

/* Owners follow from the embedding; the loss comes down, and a cue that is always right gains weight. */
static void learns_who_owns_what(void **state)
{
    (void)state;
    trial t;
    double early = 0, late = 0;
    float p[EXPERTS];
    trial_open(&t, EXPERTS);
    for (int i = 0; i < 2000; i++) {
        new_record(&t);
        uint32_t owner = (uint32_t)i % EXPERTS;
        t.linear[owner] += 4;
        t.said[ATOLL_CUE_VOTES][owner] = 3;
        double loss = -log(fmax(probability(&t, owner), 1e-9));
        early += i < 200 ? loss : 0;
        late += i >= 1800 ? loss : 0;
        learn(&t, owner);
        atoll_gate_pool(&t.gate, t.cue, t.open, EXPERTS, p);
        atoll_gate_weigh(&t.gate, t.cue, p, EXPERTS, owner, 1);
        for (int c = 0; c < ATOLL_CUES; c++)
            assert_true(t.gate.weight[c] >= 0 && t.gate.weight[c] <= 4);
    }
    assert_true(late < early / 2);
    assert_true(t.gate.weight[ATOLL_CUE_VOTES] > t.gate.weight[ATOLL_CUE_LABELS]);
    assert_true(t.gate.weight[ATOLL_CUE_LABELS] < 1); /* it was noise */
    trial_close(&t);
}

/* ---- routes ---- */

enum { BATCH_MOST = 64, EXPERTS_MOST = 9 };

typedef struct routing {
    uint32_t load[ATOLL_LOADS * EXPERTS_MOST];
    atoll_route route[BATCH_MOST];
    atoll_route_counts counts;
} routing;

static void route(routing *r, const float *probability, uint32_t batch, uint32_t experts, uint32_t k, float factor,
                  atoll_overflow overflow)
{
    memset(r, 0xee, sizeof *r);
    r->counts = (atoll_route_counts){0};
    atoll_gate_route(probability, batch, experts, k, factor, overflow, r->load, r->route, &r->counts);
}

static void expect_route(const atoll_route *route, uint32_t count, uint32_t first, double weight, uint32_t second)
{
    assert_int_equal(route->count, count);
    if (count >= 1) {
        assert_int_equal(route->expert[0], first);
        assert_near(route->weight[0], weight, 1e-6);
    }
    if (count == 2) {
        assert_int_equal(route->expert[1], second);
        assert_near(route->weight[1], 1 - weight, 1e-6);
    }
}

static void expect_counts(const routing *r, uint64_t routed, uint64_t overflowed, uint64_t dropped)
{
    assert_int_equal(r->counts.routed, routed);
    assert_int_equal(r->counts.overflowed, overflowed);
    assert_int_equal(r->counts.dropped, dropped);
}

static void the_top_k_share_the_weight(void **state)
{
    (void)state;
    static const float p[2 * 4] = {0.1f, 0.6f, 0, 0.3f, /**/ 0, 0, 1, 0};
    routing r;
    route(&r, p, 2, 4, 2, 16, ATOLL_OVERFLOW_NEXT);
    expect_route(&r.route[0], 2, 1, 0.6 / 0.9, 3);
    expect_route(&r.route[1], 1, 2, 1, 0);
    expect_counts(&r, 3, 0, 0);
    route(&r, p, 2, 4, 1, 16, ATOLL_OVERFLOW_NEXT);
    expect_route(&r.route[0], 1, 1, 1, 0);
    expect_counts(&r, 2, 0, 0);
    route(&r, p, 1, 4, ATOLL_TOP_K_MAX, 16, ATOLL_OVERFLOW_DROP);
    assert_int_equal(r.route[0].count, 3);
    route(&r, p, 0, 4, 2, 1.2f, ATOLL_OVERFLOW_NEXT);
    expect_counts(&r, 0, 0, 0);
}

static void no_open_expert_is_no_route(void **state)
{
    (void)state;
    static const float p[2 * 3] = {0};
    routing r;
    for (int overflow = ATOLL_OVERFLOW_KEEP; overflow <= ATOLL_OVERFLOW_DROP; overflow++) {
        route(&r, p, 2, 3, 2, 1.2f, (atoll_overflow)overflow);
        assert_int_equal(r.route[0].count, 0);
        assert_int_equal(r.route[1].count, 0);
        expect_counts(&r, 0, 0, 0);
        route(&r, p, 2, 0, 2, 1.2f, (atoll_overflow)overflow);
        assert_int_equal(r.route[1].count, 0);
    }
}

/* Four records want expert 0; of three experts each takes ceil(1 * 1 * 4 / 3) = 2. */
static void overflow_goes_where_it_is_told(void **state)
{
    (void)state;
    static const float p[4 * 3] = {0.7f, 0.2f, 0.1f, /**/ 0.6f, 0.1f, 0.3f, /**/ 0.5f, 0.2f, 0.3f,
                                   /**/ 0.8f, 0.15f, 0.05f};
    static const uint32_t kept[4] = {0, 0, 0, 0}, next[4] = {0, 0, 2, 1};
    routing r;
    route(&r, p, 4, 3, 1, 1, ATOLL_OVERFLOW_KEEP);
    for (int i = 0; i < 4; i++)
        expect_route(&r.route[i], 1, kept[i], 1, 0);
    expect_counts(&r, 4, 2, 0);
    assert_int_equal(r.load[0], 4);
    assert_int_equal(r.load[3 * ATOLL_LOAD_OVERFLOWED], 2);
    assert_int_equal(r.load[3 * ATOLL_LOAD_DROPPED], 0);
    route(&r, p, 4, 3, 1, 1, ATOLL_OVERFLOW_NEXT);
    for (int i = 0; i < 4; i++)
        expect_route(&r.route[i], 1, next[i], 1, 0);
    expect_counts(&r, 4, 2, 0);
    route(&r, p, 4, 3, 1, 1, ATOLL_OVERFLOW_DROP);
    for (int i = 0; i < 4; i++)
        expect_route(&r.route[i], i < 2, 0, 1, 0);
    expect_counts(&r, 2, 2, 2);
    assert_int_equal(r.load[3 * ATOLL_LOAD_OVERFLOWED], 2);
    assert_int_equal(r.load[3 * ATOLL_LOAD_DROPPED], 2);
    route(&r, p, 4, 3, 1, 2, ATOLL_OVERFLOW_DROP); /* ceil(2 * 4 / 3) = 3 */
    expect_counts(&r, 3, 1, 1);
    static const float other[3 * 3] = {0.1f, 0.7f, 0.2f, /**/ 0.1f, 0.6f, 0.3f, /**/ 0.2f, 0.5f, 0.3f};
    route(&r, other, 3, 3, 1, 1, ATOLL_OVERFLOW_DROP);
    assert_int_equal(r.load[3 * ATOLL_LOAD_DROPPED], 0);
    assert_int_equal(r.load[3 * ATOLL_LOAD_DROPPED + 1], 2);
}

/* With k = 2 and capacity ceil(1 * 2 * 3 / 3) = 2, the third record finds experts 0 and 1 full. */
static void both_choices_may_overflow(void **state)
{
    (void)state;
    static const float p[3 * 3] = {0.6f, 0.3f, 0.1f, /**/ 0.5f, 0.3f, 0.2f, /**/ 0.7f, 0.2f, 0.1f};
    routing r;
    route(&r, p, 3, 3, 2, 1, ATOLL_OVERFLOW_NEXT);
    expect_route(&r.route[0], 2, 0, 0.6 / 0.9, 1);
    expect_route(&r.route[1], 2, 0, 0.5 / 0.8, 1);
    expect_route(&r.route[2], 1, 2, 1, 0);
    expect_counts(&r, 5, 2, 0);
    route(&r, p, 3, 3, 2, 1, ATOLL_OVERFLOW_DROP);
    assert_int_equal(r.route[2].count, 0);
    expect_counts(&r, 4, 2, 1);
    route(&r, p, 3, 3, 2, 1, ATOLL_OVERFLOW_KEEP);
    expect_route(&r.route[2], 2, 0, 0.7 / 0.9, 1);
    expect_counts(&r, 6, 2, 0);
}

static void who_had_no_room_is_told(void **state)
{
    (void)state;
    static const float p[3 * 3] = {0.6f, 0.3f, 0.1f, /**/ 0.5f, 0.3f, 0.2f, /**/ 0.7f, 0.2f, 0.1f};
    static const atoll_overflow ways[] = {ATOLL_OVERFLOW_KEEP, ATOLL_OVERFLOW_NEXT, ATOLL_OVERFLOW_DROP};
    uint32_t refused[ATOLL_TOP_K_MAX];
    routing r;
    for (int w = 0; w < 3; w++) {
        route(&r, p, 3, 3, 2, 1, ways[w]);
        assert_int_equal(atoll_gate_refused(p, 3, 2, &r.route[0], refused), 0);
        assert_int_equal(atoll_gate_refused(p + 6, 3, 2, &r.route[2], refused), w ? 2 : 0);
        if (w)
            assert_true(refused[0] == 0 && refused[1] == 1);
    }
    static const float none[3] = {0};
    assert_int_equal(atoll_gate_refused(none, 3, 2, &(atoll_route){0}, refused), 0);
    assert_int_equal(atoll_gate_refused(p, 3, ATOLL_TOP_K_MAX, &r.route[0], refused), 1); /* fewer than k there are */
}

/* A record whose first choice is full gets its second and its third, and not its second alone. */
static void the_next_best_is_not_the_next_choice(void **state)
{
    (void)state;
    static const float p[3 * 3] = {0.9f, 0.06f, 0.04f, /**/ 0.9f, 0.04f, 0.06f, /**/ 0.5f, 0.3f, 0.2f};
    routing r;
    route(&r, p, 3, 3, 2, 1, ATOLL_OVERFLOW_NEXT); /* capacity 2: expert 0 is full for the third record */
    expect_route(&r.route[0], 2, 0, 0.9 / 0.96, 1);
    expect_route(&r.route[1], 2, 0, 0.9 / 0.96, 2);
    expect_route(&r.route[2], 2, 1, 0.6, 2);
    expect_counts(&r, 6, 1, 0);
}

static uint32_t wanted(const float *p, uint32_t experts, uint32_t k)
{
    uint32_t open = 0;
    for (uint32_t e = 0; e < experts; e++)
        open += p[e] > 0;
    return open < k ? open : k;
}

static void check_routes(const routing *r, const float *p, uint32_t batch, uint32_t experts, uint32_t k, float factor,
                         atoll_overflow overflow)
{
    uint32_t load[EXPERTS_MOST] = {0}, open = wanted(p, experts, experts), dropped = 0, routed = 0;
    uint32_t capacity = (uint32_t)fmax(k, ceilf(factor * (float)k * (float)batch / (float)(open ? open : 1)));
    for (uint32_t i = 0; i < batch; i++) {
        const atoll_route *route = &r->route[i];
        const float *mine = p + i * experts;
        double sum = 0, chosen = 0;
        assert_true(route->count <= wanted(mine, experts, k));
        if (overflow == ATOLL_OVERFLOW_KEEP)
            assert_int_equal(route->count, wanted(mine, experts, k));
        for (uint32_t n = 0; n < route->count; n++) {
            assert_true(route->expert[n] < experts && mine[route->expert[n]] > 0);
            for (uint32_t m = 0; m < n; m++)
                assert_int_not_equal(route->expert[n], route->expert[m]);
            load[route->expert[n]]++;
            sum += route->weight[n];
            chosen += mine[route->expert[n]];
        }
        for (uint32_t n = 0; n < route->count; n++)
            assert_near(route->weight[n], mine[route->expert[n]] / chosen, 1e-5);
        if (route->count)
            assert_near(sum, 1, 1e-5);
        dropped += route->count == 0 && open > 0;
        routed += route->count;
        /* Fewer than wanted under NEXT: whatever else is open to it has no room by now. */
        for (uint32_t e = 0; overflow == ATOLL_OVERFLOW_NEXT && route->count < wanted(mine, experts, k) && e < experts;
             e++) {
            bool taken = false;
            for (uint32_t n = 0; n < route->count; n++)
                taken |= route->expert[n] == e;
            assert_true(taken || !(mine[e] > 0) || load[e] == capacity);
        }
    }
    for (uint32_t e = 0; e < experts; e++) {
        assert_int_equal(load[e], r->load[e]);
        assert_true(overflow == ATOLL_OVERFLOW_KEEP || load[e] <= capacity);
    }
    assert_int_equal(r->counts.routed, routed);
    assert_int_equal(r->counts.dropped, dropped);
    if (overflow == ATOLL_OVERFLOW_DROP)
        assert_int_equal(r->counts.overflowed + routed, (uint64_t)batch * wanted(p, experts, k));
}

static void every_batch_keeps_the_rules(void **state)
{
    (void)state;
    atoll_rng rng;
    uint64_t overflowed = 0, dropped = 0;
    atoll_rng_seed(&rng, 8, 0);
    for (int round = 0; round < 3000; round++) {
        float p[BATCH_MOST * EXPERTS_MOST];
        uint32_t batch = 1 + atoll_rng_below(&rng, BATCH_MOST), experts = 1 + atoll_rng_below(&rng, EXPERTS_MOST);
        uint32_t k = 1 + atoll_rng_below(&rng, 4), shut = atoll_rng_below(&rng, 1u << experts);
        float factor = 1 + (float)atoll_rng_below(&rng, 3) / 2;
        atoll_overflow overflow = (atoll_overflow)atoll_rng_below(&rng, 3);
        for (uint32_t i = 0; i < batch; i++) {
            float lean = 4 * atoll_rng_uniform(&rng), sum = 0; /* most lean to expert 0 */
            for (uint32_t e = 0; e < experts; e++)
                sum += p[i * experts + e] = shut >> e & 1 ? 0 : expf((e == 0) * lean + atoll_rng_uniform(&rng));
            for (uint32_t e = 0; e < experts && sum > 0; e++)
                p[i * experts + e] /= sum;
        }
        routing r;
        route(&r, p, batch, experts, k, factor, overflow);
        check_routes(&r, p, batch, experts, k, factor, overflow);
        overflowed += r.counts.overflowed;
        dropped += r.counts.dropped;
    }
    assert_true(overflowed > 1000 && dropped > 100);
}

/* A row that knows of one expert alone, for its domain was named, gives no other more places. */
static void places_are_shared_by_all_that_a_batch_may_go_to(void **state)
{
    (void)state;
    static const float p[4 * 4] = {1, 0, 0, 0, /**/ 0.7f, 0.1f, 0.1f, 0.1f, /**/ 0.7f, 0.1f, 0.1f, 0.1f,
                                   /**/ 0.4f, 0.2f, 0.2f, 0.2f};
    routing r;
    route(&r, p, 4, 4, 1, 1, ATOLL_OVERFLOW_KEEP); /* ceil(1 * 4 / 4) = 1 */
    expect_counts(&r, 4, 3, 0);
}

/* Of many experts, rows rounded for answers score as the network does, but for little. */
static void rounded_rows_score_alike(void **state)
{
    (void)state;
    enum { MANY = ATOLL_GATE_FLOATS_MAX + 9 };
    trial t;
    float share[MANY] = {0}, plain[MANY], rounded[MANY], log_sum;
    atoll_gate_losses losses = {ATOLL_BALANCE_SWITCH, ALPHA, Z, 2, share};
    bool open[MANY];
    atoll_served served;
    trial_open(&t, MANY);
    memset(open, true, sizeof open);
    for (int i = 0; i < 200; i++) {
        for (int f = 0; f < FEATURES; f++)
            t.weight[f] = atoll_rng_uniform(&t.rng);
        fill_normal(&t.rng, t.linear, DIM);
        assert_int_equal(atoll_gate_score(&t.gate, NULL, &t.scratch, &t.input, plain, NULL), ATOLL_OK);
        atoll_gate_probability(&t.gate, open, (uint32_t)i % MANY, plain, &log_sum);
        assert_int_equal(atoll_gate_learn(&t.pager, &t.gate, &t.scratch, &t.input, &losses, (uint32_t)i % MANY, plain,
                                          log_sum, NULL), ATOLL_OK);
    }
    atoll_served_init(&served);
    assert_int_equal(atoll_served_refresh(&t.pager, &served, &t.gate.net, ATOLL_PRECISION_Q8, NULL), ATOLL_OK);
    assert_int_equal(atoll_gate_score(&t.gate, NULL, &t.scratch, &t.input, plain, NULL), ATOLL_OK);
    assert_int_equal(atoll_gate_score(&t.gate, &served, &t.scratch, &t.input, rounded, NULL), ATOLL_OK);
    double off = 0, all = 0;
    for (uint32_t e = 0; e < MANY; e++) {
        off += (double)(plain[e] - rounded[e]) * (double)(plain[e] - rounded[e]);
        all += (double)plain[e] * (double)plain[e];
    }
    assert_true(off > 0 && sqrt(off / all) < 0.02);
    atoll_served_clear(&t.pager, &served);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes_are_summed_by_owner),
        cmocka_unit_test(only_open_experts_have_a_probability),
        cmocka_unit_test(a_gate_without_experts_is_silent),
        cmocka_unit_test(learns_down_the_gradient),
        cmocka_unit_test(learns_who_owns_what),
        cmocka_unit_test(the_top_k_share_the_weight),
        cmocka_unit_test(no_open_expert_is_no_route),
        cmocka_unit_test(overflow_goes_where_it_is_told),
        cmocka_unit_test(both_choices_may_overflow),
        cmocka_unit_test(who_had_no_room_is_told),
        cmocka_unit_test(the_next_best_is_not_the_next_choice),
        cmocka_unit_test(every_batch_keeps_the_rules),
        cmocka_unit_test(places_are_shared_by_all_that_a_batch_may_go_to),
        cmocka_unit_test(rounded_rows_score_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
