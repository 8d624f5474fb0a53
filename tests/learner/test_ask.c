#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/predict.h"
#include "learner/inside.h"
#include "tests/support/running.h"

enum { BATCH = 80, MANY = 150 };

typedef struct answers {
    uint32_t count;
    atoll_prediction at[MANY];
} answers;

static void keep(void *arg, uint32_t record, const atoll_prediction *prediction)
{
    answers *a = arg;
    assert_int_equal(record, a->count);
    a->at[a->count++] = *prediction;
}

/* Predictions for `count` records, to free(). */
static answers *ask(running *r, const learning_record *records, uint32_t count, uint32_t top, bool explain)
{
    answers *a = calloc(1, sizeof *a);
    atoll_record views[MANY];
    uint64_t version;
    assert_non_null(a);
    for (uint32_t i = 0; i < count; i++)
        views[i] = records[i].record;
    assert_int_equal(atoll_learner_predict(r->learner, r->asker, views, count, top, explain, keep, a, &version, NULL),
                     ATOLL_OK);
    assert_int_equal(a->count, count);
    assert_int_equal(version, running_stats(r).version);
    return a;
}

static void a_model_that_knows_nothing_abstains(void **state)
{
    running *r = *state;
    learning_record question;
    learning_draw_text(&question, &r->rng, 0, 0);
    learning_add_vector(&question, &r->rng, 0);
    answers *a = ask(r, &question, 1, 5, true);
    assert_int_equal(a->at[0].labels, 0);
    assert_int_equal(a->at[0].experts, 0);
    assert_int_equal(a->at[0].neighbours, 0);
    assert_true(a->at[0].abstain);
    assert_true(a->at[0].novelty == 1);
    free(a);
}

static void answers_are_right_ordered_and_carry_their_evidence(void **state)
{
    running *r = *state;
    learning_record questions[40];
    uint32_t right = 0;
    running_feed(r, 0, 6, BATCH);
    for (uint32_t i = 0; i < 40; i++)
        learning_draw_text(&questions[i], &r->rng, 0, i % 4);
    answers *a = ask(r, questions, 40, 3, true);
    for (uint32_t i = 0; i < 40; i++) {
        const atoll_prediction *p = &a->at[i];
        float weights = 0;
        assert_int_equal(p->labels, 3);
        assert_true(p->label[0].score >= p->label[1].score && p->label[1].score >= p->label[2].score);
        assert_true(p->label[0].score <= 1 && p->label[2].score >= 0);
        right += strcmp(p->label[0].label, questions[i].label) == 0;
        assert_true(p->experts >= 1);
        for (uint32_t e = 0; e < p->experts; e++) {
            weights += p->expert[e].weight;
            assert_true(p->expert[e].version >= 1);
        }
        assert_true(fabsf(weights - 1) < 1e-4f);
        assert_int_equal(p->neighbours, ATOLL_EXPLAIN_NEIGHBOURS);
        assert_true(p->voice[ATOLL_VOICE_SHARED] && p->voice[ATOLL_VOICE_EXPERTS] && p->voice[ATOLL_VOICE_VOTES]);
        assert_null(p->voice[ATOLL_VOICE_YOUTH]);
        for (uint32_t n = 1; n < p->neighbours; n++)
            assert_true(p->neighbour[n - 1].similarity >= p->neighbour[n].similarity);
        assert_memory_equal(p->neighbour[0].label, "d0-l", 4);
        if (i)
            assert_true(p->prediction == a->at[i - 1].prediction + 1);
    }
    assert_true(right >= 34);
    free(a);
    /* Neighbours are looked up in any case, and shown when they are asked for. */
    a = ask(r, questions, 1, 1, false);
    assert_int_equal(a->at[0].labels, 1);
    assert_int_equal(a->at[0].neighbours, 0);
    free(a);
}

static void all_labels_are_there_if_asked_for_and_sum_to_one(void **state)
{
    running *r = *state;
    learning_record question;
    float sum = 0;
    running_feed(r, 0, 3, BATCH);
    learning_draw_text(&question, &r->rng, 0, 1);
    answers *a = ask(r, &question, 1, ATOLL_TOP_MAX, false);
    assert_int_equal(a->at[0].labels, running_stats(r).labels);
    for (uint32_t i = 0; i < a->at[0].labels; i++)
        sum += a->at[0].label[i].score;
    assert_true(fabsf(sum - 1) < 1e-3f);
    free(a);
}

/* However they are cut into calls; in a flat index the last candidates may differ by rounding. */
static void many_records_are_answered_as_one_by_one(void **state)
{
    running *r = *state;
    learning_record *questions = malloc(MANY * sizeof *questions);
    assert_non_null(questions);
    running_feed(r, 0, 3, BATCH);
    for (uint32_t i = 0; i < MANY; i++)
        running_draw(r, &questions[i], &r->rng, i, 0);
    answers *all = ask(r, questions, MANY, 2, false);
    for (uint32_t i = 0; i < MANY; i++) {
        answers *one = ask(r, &questions[i], 1, 2, false);
        assert_true(fabsf(one->at[0].label[0].score - all->at[i].label[0].score) < 1e-2f);
        free(one);
    }
    free(all);
    free(questions);
}

static void what_is_unlike_all_it_knows_is_novel(void **state)
{
    running *r = *state;
    learning_record question;
    running_feed(r, 0, 10, BATCH); /* the first step of all was novel too */
    learning_draw_text(&question, &r->rng, 0, 1);
    answers *known = ask(r, &question, 1, 1, false);
    question.record.text = (atoll_slice){"xylophone quartz wyvern", 23};
    answers *unknown = ask(r, &question, 1, 1, false);
    assert_true(unknown->at[0].novelty > 0.8f);
    assert_true(known->at[0].novelty < unknown->at[0].novelty);
    free(known);
    free(unknown);
}

/* Learns and asks records with text, a vector or both; returns what part of them is answered right. */
static double right_on_vectors(running *r)
{
    enum { ASKED = 20 };
    learning_record questions[ASKED];
    uint32_t right = 0;
    running_feed(r, 0, 6, BATCH);
    for (uint32_t i = 0; i < ASKED; i++) {
        learning_draw_text(&questions[i], &r->rng, 0, i % 4);
        learning_add_vector(&questions[i], &r->rng, i % 4);
        if (i % 2)
            questions[i].record.text = (atoll_slice){0};
    }
    answers *a = ask(r, questions, ASKED, 1, false);
    for (uint32_t i = 0; i < ASKED; i++)
        right += strcmp(a->at[i].label[0].label, questions[i].label) == 0;
    free(a);
    return (double)right / ASKED;
}

static void vectors_are_answered_alone_and_with_text(void **state)
{
    assert_true(right_on_vectors(*state) >= 0.85);
}

/* How many parameters the shared expert has. */
static uint64_t shared_parameters(running *r)
{
    atoll_expert_info *experts;
    uint32_t count;
    assert_int_equal(atoll_learner_experts(r->learner, &experts, &count, NULL), ATOLL_OK);
    uint64_t parameters = experts[0].parameters;
    free(experts);
    return parameters;
}

static void so_they_are_through_a_hidden_layer(void **state)
{
    enum { HIDDEN = 32 };
    running *r = *state;
    running other = *r;
    strcpy(other.path + strlen(other.path), "2");
    other.config.dense_hidden = HIDDEN;
    running_open(&other);
    assert_true(right_on_vectors(&other) >= 0.85);
    right_on_vectors(r);
    assert_true(shared_parameters(&other) >= shared_parameters(r) + HIDDEN * LEARNING_VECTOR_DIM);
    running_close(&other);
}

static void one_asker_serves_models_of_any_size(void **state)
{
    running *r = *state;
    running other = *r;
    learning_record question;
    running_feed(r, 0, 2, BATCH);
    strcpy(other.path + strlen(other.path), "2");
    other.config.embedding_dim = 256;
    other.config.expert_hidden = 64;
    running_open(&other);
    running_feed(&other, 1, 1, BATCH);
    for (int i = 0; i < 3; i++) {
        learning_draw_text(&question, &r->rng, 0, 1);
        answers *a = ask(r, &question, 1, 1, false), *b = ask(&other, &question, 1, 1, false);
        assert_memory_equal(a->at[0].label[0].label, "d0", 2);
        assert_memory_equal(b->at[0].label[0].label, "d1", 2);
        free(a);
        free(b);
    }
    running_close(&other);
}

/* Records of one domain that name it. */
static void feed_domain(running *r, uint32_t domain, bool tokens)
{
    enum { DIM = 4, VECTORS = LEARNING_VECTOR_DIM / DIM };
    learning_record records[BATCH];
    atoll_ingested ingested;
    for (uint32_t i = 0; i < BATCH; i++) {
        learning_draw_text(&records[i], &r->rng, domain, i % LEARNING_LABELS_A_DOMAIN);
        int length = snprintf(records[i].domain, sizeof records[i].domain, "%u", domain);
        records[i].record.domain = (atoll_slice){records[i].domain, (size_t)length};
        if (!tokens)
            continue;
        learning_add_vector(&records[i], &r->rng, domain * LEARNING_LABELS_A_DOMAIN + i % LEARNING_LABELS_A_DOMAIN);
        records[i].record.vector_dim = DIM;
        records[i].record.tokens = 1 + i % VECTORS;
        if (i % 5 == 0)
            records[i].record.text = (atoll_slice){0};
    }
    assert_int_equal(running_ingest(r, records, BATCH, true, &ingested), ATOLL_OK);
}

/* A sentence of two domains: half its words from each. */
static void mix(learning_record *out, running *r)
{
    learning_record other;
    learning_draw_text(out, &r->rng, 0, 1);
    learning_draw_text(&other, &r->rng, 1, 2);
    memcpy(out->text + out->record.text.bytes, other.text, other.record.text.bytes);
    out->record.text.bytes += other.record.text.bytes;
}

static void check_woken(running *r, const learning_record *questions, uint32_t count)
{
    answers *a = ask(r, questions, count, 2, true);
    uint32_t both = 0;
    for (uint32_t i = 0; i < count; i++) {
        float weights = 0;
        assert_true(a->at[i].experts >= 2);
        for (uint32_t e = 0; e < a->at[i].experts; e++)
            weights += a->at[i].expert[e].weight;
        assert_true(fabsf(weights - 1) < 1e-4f);
        assert_true(a->at[i].expert[0].id != a->at[i].expert[1].id);
        both += a->at[i].expert[1].weight > 0.2f;
    }
    assert_true(both * 2 > count);
    free(a);
}

/* Experts are given by domains that records name, so that there are two soon. */
static void a_sentence_of_two_domains_wakes_both(void **state)
{
    enum { ROUNDS = 6, ASKED = 20 };
    running *r = *state;
    for (int tokens = 0; tokens < 2; tokens++) {
        running other = *r;
        learning_record questions[ASKED];
        snprintf(other.path + strlen(other.path), 8, "t%d", tokens);
        other.config.granularity = ATOLL_GRANULARITY_TOKEN;
        other.config.gate = ATOLL_GATE_DOMAIN;
        running_open(&other);
        for (uint32_t i = 0; i < ROUNDS; i++)
            feed_domain(&other, i % 2, tokens);
        for (uint32_t i = 0; i < ASKED; i++)
            mix(&questions[i], &other);
        check_woken(&other, questions, ASKED);
        atoll_stats stats = running_stats(&other);
        assert_true(stats.routed > stats.records); /* tokens */
        answers *before = ask(&other, questions, ASKED, 5, true);
        for (int replayed = 0; replayed < 2; replayed++) {
            running_restart(&other, replayed);
            running_catch_up(&other);
            answers *after = ask(&other, questions, ASKED, 5, true);
            for (uint32_t i = 0; i < ASKED; i++) {
                for (uint32_t e = 0; e < 2; e++) {
                    assert_int_equal(after->at[i].expert[e].id, before->at[i].expert[e].id);
                    assert_true(after->at[i].expert[e].weight == before->at[i].expert[e].weight);
                }
                for (int l = 0; l < 5; l++)
                    assert_true(after->at[i].label[l].score == before->at[i].label[l].score);
            }
            free(after);
        }
        free(before);
        running_close(&other);
    }
}

/* Every expert answers, and their weights are convex; nothing is dropped. Whatever else is asked with it. */
static void a_soft_gate_asks_all(void **state)
{
    enum { ASKED = 12 };
    running *r = *state;
    for (int tokens = 0; tokens < 2; tokens++) {
        running other = *r;
        learning_record questions[ASKED];
        snprintf(other.path + strlen(other.path), 8, "s%d", tokens);
        other.config.granularity = tokens ? ATOLL_GRANULARITY_TOKEN : ATOLL_GRANULARITY_RECORD;
        other.config.gate = ATOLL_GATE_DOMAIN;
        running_open(&other);
        for (uint32_t i = 0; i < 6; i++)
            feed_domain(&other, i % 3, tokens);
        other.config.gate = ATOLL_GATE_SOFT;
        other.config.top_k = 1;
        assert_int_equal(running_configure(&other, &other.config), ATOLL_OK);
        feed_domain(&other, 0, tokens);
        for (uint32_t i = 0; i < ASKED; i++)
            mix(&questions[i], &other);
        answers *all = ask(&other, questions, ASKED, 3, false);
        for (uint32_t i = 0; i < ASKED; i++) {
            answers *one = ask(&other, &questions[i], 1, 3, false);
            float sum = 0;
            assert_int_equal(all->at[i].experts, running_stats(&other).experts_active);
            assert_true(all->at[i].experts >= 3);
            for (uint32_t e = 0; e < all->at[i].experts; e++) {
                sum += all->at[i].expert[e].weight;
                assert_true(all->at[i].expert[e].weight > 0);
                assert_true(all->at[i].expert[e].weight == one->at[0].expert[e].weight);
            }
            assert_true(fabsf(sum - 1) < 1e-4f);
            assert_true(all->at[i].label[0].score == one->at[0].label[0].score);
            free(one);
        }
        free(all);
        assert_int_equal(running_stats(&other).dropped, 0);
        running_close(&other);
    }
}

/* Changes the settings and waits until they hold. */
static void configure(running *r, uint32_t gate, uint32_t neighbours)
{
    atoll_config config = atoll_learner_config(r->learner);
    config.gate = gate;
    config.neighbours = neighbours;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
}

static void a_named_domain_is_answered_by_its_expert(void **state)
{
    running *r = *state;
    learning_record records[BATCH];
    configure(r, ATOLL_GATE_DOMAIN, ATOLL_NEIGHBOURS);
    for (int batch = 0; batch < 4; batch++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            learning_draw_contrary(&records[i], &r->rng, i % 2, i / 2 % LEARNING_LABELS_A_DOMAIN);
            records[i].record.domain = (atoll_slice){i % 2 ? "odd" : "even", i % 2 ? 3 : 4};
        }
        assert_int_equal(running_ingest(r, records, BATCH, true, NULL), ATOLL_OK);
    }
    records[2].record.domain = (atoll_slice){"eve", 3};
    records[3].record.domain = (atoll_slice){0};
    answers *a = ask(r, records, 4, 1, false);
    assert_int_equal(a->at[0].experts, 1);
    assert_int_equal(a->at[1].experts, 1);
    assert_true(a->at[0].expert[0].id && a->at[1].expert[0].id);
    assert_int_not_equal(a->at[0].expert[0].id, a->at[1].expert[0].id);
    assert_int_equal(a->at[2].experts, 0); /* nobody's */
    assert_int_equal(a->at[3].experts, 2); /* as the gate has it */
    free(a);
}

static void neighbours_can_be_fewer_or_none(void **state)
{
    running *r = *state;
    learning_record question;
    running_feed(r, 0, 2, BATCH);
    learning_draw_text(&question, &r->rng, 0, 0);
    for (uint32_t most = 0; most < 3; most++) {
        configure(r, ATOLL_GATE_TOPK, most);
        answers *a = ask(r, &question, 1, 1, true);
        assert_int_equal(a->at[0].neighbours, most);
        assert_int_equal(a->at[0].labels, 1);
        free(a);
    }
    running_feed(r, 0, 1, BATCH); /* and learning goes on with few */
}

/* The score that a label is given, 0 where it is not among those told. */
static float score_of(const atoll_prediction *p, const char *label)
{
    for (uint32_t i = 0; i < p->labels; i++)
        if (strcmp(p->label[i].label, label) == 0)
            return p->label[i].score;
    return 0;
}

static void a_label_seen_once_is_answered_at_the_next_query(void **state)
{
    running *r = *state;
    learning_record fresh, near;
    uint32_t right = 0;
    running_feed(r, 0, 10, BATCH);
    for (uint32_t label = 10; label < 18; label++) {
        learning_draw_text(&fresh, &r->rng, 0, label);
        assert_int_equal(running_ingest(r, &fresh, 1, true, NULL), ATOLL_OK);
        near = fresh;
        int length = snprintf(near.text, sizeof near.text, "and %s", fresh.text);
        near.record.text = (atoll_slice){near.text, (size_t)length};
        for (int i = 0; i < 2; i++) {
            answers *a = ask(r, i ? &near : &fresh, 1, 5, true);
            const atoll_prediction *p = &a->at[0];
            right += strcmp(p->label[0].label, fresh.label) == 0;
            assert_true(score_of(p, fresh.label) >= 0.3f * p->label[0].score);
            assert_string_equal(p->neighbour[0].label, fresh.label);
            free(a);
        }
    }
    assert_true(right >= 12); /* of 16 */
}

/* What an answer that stands without a search is measured by: the more novel, the higher its score must be. */
static float credit_of(const atoll_prediction *p)
{
    return p->label[0].score - fmaxf(p->novelty - 0.8f, 0);
}

/* As if the stream had proven that answers of such a credit are sure. */
static void be_sure_from(running *r, float credit)
{
    int ticket;
    const atoll_published *published = atoll_learner_enter(r->learner, &ticket);
    published->model->sureness.bound = credit;
    atoll_learner_leave(r->learner, ticket);
}

static void check_alike(const atoll_prediction *one, const atoll_prediction *other)
{
    assert_string_equal(one->label[0].label, other->label[0].label);
    assert_true(fabsf(one->label[0].score - other->label[0].score) < 1e-2f);
    assert_true(fabsf(one->novelty - other->novelty) < 1e-2f);
    assert_int_equal(one->abstain, other->abstain);
    assert_int_equal(one->experts, other->experts);
}

/* The same answers in one call, one by one and to explain, which shows neighbours that had no say. */
static void sure_answers_do_without_a_search(void **state)
{
    running *r = *state;
    learning_record questions[MANY];
    uint32_t same = 0;
    running_feed(r, 0, 8, BATCH);
    running_feed(r, 1, 8, BATCH);
    for (uint32_t i = 0; i < MANY; i++)
        learning_draw_text(&questions[i], &r->rng, i % 3, i % 5);
    answers *searched = ask(r, questions, MANY, 2, false);
    assert_int_equal(running_stats(r).unsearched, 0);
    be_sure_from(r, 0.8f);
    answers *all = ask(r, questions, MANY, 2, false);
    atoll_stats stats = running_stats(r);
    assert_in_range(stats.unsearched, MANY / 10, MANY - 1);
    assert_int_equal(stats.predictions, 2 * MANY);
    assert_true(fabs(stats.search_below - 0.8) < 1e-6);
    answers *explained = ask(r, questions, MANY, 2, true);
    assert_int_equal(running_stats(r).unsearched, 2 * stats.unsearched);
    for (uint32_t i = 0; i < MANY; i++) {
        answers *one = ask(r, &questions[i], 1, 2, false);
        check_alike(&all->at[i], &one->at[0]);
        check_alike(&all->at[i], &explained->at[i]);
        free(one);
        same += strcmp(all->at[i].label[0].label, searched->at[i].label[0].label) == 0;
        assert_int_equal(explained->at[i].neighbours, ATOLL_EXPLAIN_NEIGHBOURS);
        assert_non_null(explained->at[i].voice[ATOLL_VOICE_VOTES]);
        if (credit_of(&all->at[i]) < 0.8f) /* it was searched */
            check_alike(&all->at[i], &searched->at[i]);
    }
    assert_true(same >= MANY - 2);
    free(searched);
    free(all);
    free(explained);
}

/* Of texts, where one expert is all there is, only what is searched is embedded, and finds the same neighbours. */
static void what_is_searched_late_finds_the_same(void **state)
{
    running *r = *state;
    int ticket;
    learning_record questions[MANY];
    for (int batch = 0; batch < 8; batch++) {
        for (uint32_t i = 0; i < BATCH; i++)
            learning_draw_text(&questions[i], &r->rng, 0, i % LEARNING_LABELS_A_DOMAIN);
        assert_int_equal(running_ingest(r, questions, BATCH, true, NULL), ATOLL_OK);
    }
    const atoll_published *published = atoll_learner_enter(r->learner, &ticket);
    assert_true(atoll_predict_gate_is_idle(published->model, &published->standing));
    assert_int_equal(published->model->encoder.vector_dim, 0);
    atoll_learner_leave(r->learner, ticket);
    for (uint32_t i = 0; i < MANY; i++)
        learning_draw_text(&questions[i], &r->rng, i % 3, i % 5);
    answers *early = ask(r, questions, MANY, 2, true);
    be_sure_from(r, 1); /* no score comes to that */
    free(ask(r, questions + 1, MANY - 1, 2, true)); /* leaves other embeddings where the next are to be */
    answers *late = ask(r, questions, MANY, 2, true);
    assert_int_equal(running_stats(r).unsearched, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        const atoll_prediction *p = &late->at[i], *q = &early->at[i];
        check_alike(p, q);
        assert_int_equal(p->expert[0].id, q->expert[0].id);
        assert_int_equal(p->neighbours, q->neighbours);
        for (uint32_t n = 0; n < p->neighbours; n++)
            assert_true(fabsf(p->neighbour[n].similarity - q->neighbour[n].similarity) < 1e-5f);
    }
    free(ask(r, questions + 1, MANY - 1, 2, true));
    be_sure_from(r, 0.8f);
    answers *some = ask(r, questions, MANY, 2, false);
    assert_in_range(running_stats(r).unsearched, MANY / 10, MANY - 10);
    for (uint32_t i = 0; i < MANY; i++)
        if (credit_of(&some->at[i]) < 0.8f)
            check_alike(&some->at[i], &early->at[i]);
    free(early);
    free(late);
    free(some);
}

/* Who is routed to is told all the same. */
static void the_shared_expert_may_be_sure_alone(void **state)
{
    running *r = *state;
    int ticket;
    learning_record questions[MANY];
    running_feed(r, 0, 8, BATCH);
    running_feed(r, 1, 8, BATCH);
    for (uint32_t i = 0; i < MANY; i++)
        learning_draw_text(&questions[i], &r->rng, i % 3, i % 5);
    be_sure_from(r, 0.8f);
    answers *others = ask(r, questions, MANY, 2, false);
    assert_int_equal(running_stats(r).alone, 0);
    const atoll_published *published = atoll_learner_enter(r->learner, &ticket);
    published->model->alone.bound = 0.8f;
    atoll_learner_leave(r->learner, ticket);
    answers *all = ask(r, questions, MANY, 2, false), *explained = ask(r, questions, MANY, 2, true);
    atoll_stats stats = running_stats(r);
    assert_in_range(stats.alone, 2 * MANY / 10, 2 * MANY - 1);
    assert_true(stats.alone < stats.unsearched && fabs(stats.others_below - 0.8) < 1e-6);
    uint64_t seen = stats.alone;
    for (uint32_t i = 0; i < MANY; i++) {
        const atoll_prediction *p = &all->at[i];
        answers *one = ask(r, &questions[i], 1, 2, false);
        bool alone = running_stats(r).alone > seen;
        seen += alone;
        check_alike(p, &one->at[0]);
        check_alike(p, &explained->at[i]);
        free(one);
        assert_int_equal(explained->at[i].neighbours, ATOLL_EXPLAIN_NEIGHBOURS);
        assert_non_null(explained->at[i].voice[ATOLL_VOICE_EXPERTS]);
        assert_string_equal(p->label[0].label, others->at[i].label[0].label);
        assert_int_equal(p->experts, others->at[i].experts);
        assert_int_equal(p->expert[0].id, others->at[i].expert[0].id);
        if (alone)
            assert_true(credit_of(p) >= 0.8f && !p->abstain);
        else
            check_alike(p, &others->at[i]);
    }
    assert_int_equal(2 * (seen - stats.alone), stats.alone);
    free(others);
    free(all);
    free(explained);
}

static void a_model_may_search_always(void **state)
{
    running *r = *state;
    learning_record question;
    atoll_config config = r->config;
    config.search_always = true;
    assert_int_equal(running_configure(r, &config), ATOLL_OK);
    running_feed(r, 0, 8, BATCH);
    learning_draw_text(&question, &r->rng, 0, 1);
    be_sure_from(r, 0.1f);
    free(ask(r, &question, 1, 1, false));
    assert_int_equal(running_stats(r).unsearched, 0);
    assert_true(running_stats(r).search_below > 1);
}

static void asking_of_nothing_is_no_failure(void **state)
{
    running *r = *state;
    answers *a = ask(r, NULL, 0, 1, false);
    assert_int_equal(a->count, 0);
    free(a);
    atoll_asker_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, running_set_up, running_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_that_knows_nothing_abstains),
        TEST(answers_are_right_ordered_and_carry_their_evidence),
        TEST(all_labels_are_there_if_asked_for_and_sum_to_one),
        TEST(many_records_are_answered_as_one_by_one),
        TEST(what_is_unlike_all_it_knows_is_novel),
        TEST(vectors_are_answered_alone_and_with_text),
        TEST(so_they_are_through_a_hidden_layer),
        TEST(a_sentence_of_two_domains_wakes_both),
        TEST(a_soft_gate_asks_all),
        TEST(one_asker_serves_models_of_any_size),
        TEST(a_named_domain_is_answered_by_its_expert),
        TEST(neighbours_can_be_fewer_or_none),
        TEST(a_label_seen_once_is_answered_at_the_next_query),
        TEST(sure_answers_do_without_a_search),
        TEST(what_is_searched_late_finds_the_same),
        TEST(the_shared_expert_may_be_sure_alone),
        TEST(a_model_may_search_always),
        TEST(asking_of_nothing_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
