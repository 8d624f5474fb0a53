/* Records whose tokens' vectors go through hidden layers: learned, routed and asked for token by token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/inside.h"
#include "tests/support/running.h"

enum { DIM = 12, TOKENS = 3, BATCH = 20, DOMAINS = 2, ASKED = 100, HIDDEN = 32 };

typedef struct stream {
    learning_record records[ASKED];
    float vectors[ASKED][TOKENS * DIM];
} stream;

typedef struct answers {
    uint32_t count;
    struct {
        char label[32], experts[32];
        float score;
        uint32_t experts_count;
    } at[ASKED];
} answers;

/*
 * The label tells whether two numbers of a token have one sign more often than not, weighed by their size: nothing that
 * is linear in a token says it. Each domain looks at two numbers of its own, and lies elsewhere.
 */
static void draw(stream *s, atoll_rng *rng, uint32_t domain, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        learning_record *out = &s->records[i];
        float *v = s->vectors[i], sum = 0;
        memset(out, 0, sizeof *out);
        for (uint32_t k = 0; k < TOKENS * DIM; k++)
            v[k] = atoll_rng_normal(rng);
        for (uint32_t t = 0; t < TOKENS; t++) {
            sum += v[t * DIM + 2 * domain] * v[t * DIM + 2 * domain + 1];
            v[t * DIM + DIM - 1 - domain] += 4;
        }
        int bytes = snprintf(out->label, sizeof out->label, "d%u-%s", domain, sum > 0 ? "alike" : "unlike");
        int named = snprintf(out->domain, sizeof out->domain, "%u", domain);
        out->record = (atoll_record){.label = {out->label, (size_t)bytes},
                                     .domain = {out->domain, (size_t)named},
                                     .vector = v,
                                     .vector_dim = DIM,
                                     .tokens = TOKENS};
    }
}

static void open_tokens(running *r, const char *name, uint32_t hidden)
{
    strcpy(r->path + strlen(r->path), name);
    r->config.granularity = ATOLL_GRANULARITY_TOKEN;
    r->config.gate = ATOLL_GATE_DOMAIN;
    r->config.dense_hidden = hidden;
    r->config.top_k = 1;
    running_open(r);
}

static void feed(running *r, stream *s, uint32_t batches)
{
    atoll_ingested ingested;
    for (uint32_t i = 0; i < batches * DOMAINS; i++) {
        draw(s, &r->rng, i % DOMAINS, BATCH);
        assert_int_equal(running_ingest(r, s->records, BATCH, true, &ingested), ATOLL_OK);
    }
}

static void keep(void *arg, uint32_t record, const atoll_prediction *p)
{
    answers *a = arg;
    assert_int_equal(record, a->count);
    snprintf(a->at[record].label, sizeof a->at[record].label, "%s", p->label[0].label);
    snprintf(a->at[record].experts, sizeof a->at[record].experts, "%s",
             p->voice[ATOLL_VOICE_EXPERTS] ? p->voice[ATOLL_VOICE_EXPERTS] : "");
    a->at[record].score = p->label[0].score;
    a->at[record].experts_count = p->experts;
    a->count++;
}

/* The domain is not told. */
static void ask(running *r, const learning_record *records, uint32_t count, answers *a)
{
    atoll_record views[ASKED];
    uint64_t version;
    for (uint32_t i = 0; i < count; i++) {
        views[i] = records[i].record;
        views[i].domain = (atoll_slice){0};
    }
    a->count = 0;
    assert_int_equal(atoll_learner_predict(r->learner, r->asker, views, count, 1, true, keep, a, &version, NULL),
                     ATOLL_OK);
    assert_int_equal(a->count, count);
}

/* Of ASKED records of each domain, the share that the experts by themselves get right. */
static double experts_right(running *r, stream *s)
{
    static answers a;
    uint32_t right = 0;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        draw(s, &r->rng, domain, ASKED);
        ask(r, s->records, ASKED, &a);
        for (uint32_t i = 0; i < ASKED; i++)
            right += strcmp(a.at[i].experts, s->records[i].label) == 0;
    }
    return (double)right / (DOMAINS * ASKED);
}

static void a_hidden_layer_learns_what_is_not_linear(void **state)
{
    enum { ROUNDS = 40 };
    static stream s;
    running *r = *state, plain = *r, deep = *r;
    open_tokens(&plain, "plain", 0);
    open_tokens(&deep, "deep", HIDDEN);
    feed(&plain, &s, ROUNDS);
    feed(&deep, &s, ROUNDS);
    double without = experts_right(&plain, &s), with = experts_right(&deep, &s);
    print_message("experts are right in %.3f with a hidden layer, in %.3f without\n", with, without);
    assert_true(with > without + 0.05);
    running_close(&plain);
    running_close(&deep);
}

/* Whatever else is asked beside it, and after a restart. */
static void an_answer_is_the_same_alone(running *r, const stream *s, double *score)
{
    static answers all, one;
    ask(r, s->records, ASKED, &all);
    for (uint32_t i = 0; i < ASKED; i++) {
        if (i % 5)
            continue;
        ask(r, &s->records[i], 1, &one);
        assert_string_equal(one.at[0].label, all.at[i].label);
        assert_true(one.at[0].score == all.at[i].score);
    }
    *score = 0;
    for (uint32_t i = 0; i < ASKED; i++)
        *score += (double)all.at[i].score / ASKED;
}

static void gates_and_precisions_agree(void **state)
{
    static const uint32_t gates[] = {ATOLL_GATE_TOPK, ATOLL_GATE_SOFT};
    static stream s;
    running *r = *state, other = *r;
    open_tokens(&other, "gates", HIDDEN);
    feed(&other, &s, 8);
    draw(&s, &other.rng, 0, ASKED);
    for (uint32_t g = 0; g < 2; g++) {
        double score[3];
        for (uint32_t precision = ATOLL_PRECISION_F32; precision <= ATOLL_PRECISION_Q4; precision++) {
            other.config.gate = gates[g];
            other.config.precision = precision;
            assert_int_equal(running_configure(&other, &other.config), ATOLL_OK);
            an_answer_is_the_same_alone(&other, &s, &score[precision]);
        }
        assert_true(score[1] > score[0] - 0.01 && score[1] < score[0] + 0.01);
        assert_true(score[2] > score[0] - 0.03 && score[2] < score[0] + 0.03);
    }
    running_close(&other);
}

/* Each token of each record, with those that found no room. */
static void count_tokens(void *arg, uint32_t record, const atoll_prediction *p)
{
    uint32_t *dropped = arg;
    (void)record;
    assert_int_equal(p->tokens, TOKENS);
    for (uint32_t t = 0; t < p->tokens; t++) {
        float sum = 0;
        assert_int_equal(p->token[t].vector, t);
        for (uint32_t e = 0; e < p->token[t].experts; e++)
            sum += p->token[t].expert[e].weight;
        assert_true(p->token[t].dropped ? sum == 0 && p->token[t].refused == 1 : sum > 0.999f && sum < 1.001f);
        *dropped += p->token[t].dropped;
    }
}

/* All of one domain want one expert, which has room for half of them. */
static void explaining_tells_of_each_token(void **state)
{
    static stream s;
    running *r = *state, other = *r;
    atoll_record views[ASKED];
    uint64_t version;
    uint32_t dropped = 0;
    open_tokens(&other, "explained", 0);
    feed(&other, &s, 8);
    draw(&s, &other.rng, 1, ASKED);
    other.config.gate = ATOLL_GATE_TOPK;
    other.config.overflow = ATOLL_OVERFLOW_DROP;
    other.config.capacity_factor = 1;
    assert_int_equal(running_configure(&other, &other.config), ATOLL_OK);
    atoll_stats before = running_stats(&other);
    for (uint32_t i = 0; i < ASKED; i++)
        views[i] = s.records[i].record;
    assert_int_equal(atoll_learner_predict(other.learner, other.asker, views, ASKED, 1, true, count_tokens, &dropped,
                                           &version, NULL),
                     ATOLL_OK);
    atoll_stats after = running_stats(&other);
    assert_true(dropped > ASKED * TOKENS / 4);
    assert_int_equal(after.dropped - before.dropped, dropped);
    running_close(&other);
}

static void a_restart_changes_nothing(void **state)
{
    static stream s;
    static answers before, after;
    running *r = *state, other = *r;
    open_tokens(&other, "restart", HIDDEN);
    feed(&other, &s, 4);
    draw(&s, &other.rng, 0, ASKED);
    ask(&other, s.records, ASKED, &before);
    for (int replayed = 0; replayed < 2; replayed++) {
        running_restart(&other, replayed);
        running_catch_up(&other);
        ask(&other, s.records, ASKED, &after);
        assert_memory_equal(&before, &after, sizeof before);
    }
    running_close(&other);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, running_set_up, running_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_hidden_layer_learns_what_is_not_linear),
        TEST(gates_and_precisions_agree),
        TEST(explaining_tells_of_each_token),
        TEST(a_restart_changes_nothing),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
