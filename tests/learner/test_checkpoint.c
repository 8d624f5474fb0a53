#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "learner/checkpoint.h"
#include "learner/pruning.h"
#include "tests/core/folder.h"
#include "tests/support/learning.h"

#ifdef ATOLL_SANITIZE
enum { BATCH = 30, MANY = 200 };
#else
enum { BATCH = 100, MANY = 5000 };
#endif

enum { MAP_BYTES = 256 << 20, CONCEPT_BATCH = 25 };

typedef struct trial {
    folder top;
    char path[300];
    atoll_store *store;
    learning l;
    uint32_t number;
    uint64_t since;
    learning_record records[BATCH];
} trial;

static int open_trial(void **state)
{
    trial *t = calloc(1, sizeof *t);
    assert_non_null(t);
    atoll_log_set_level(ATOLL_LOG_ERROR);
    folder_make(&t->top);
    folder_file(&t->top, "state", t->path);
    assert_int_equal(atoll_store_open(t->path, MAP_BYTES, &t->store, NULL), ATOLL_OK);
    learning_open(&t->l, NULL, 1);
    *state = t;
    return 0;
}

static int close_trial(void **state)
{
    trial *t = *state;
    learning_close(&t->l);
    atoll_store_close(t->store);
    folder_remove(&t->top);
    free(t);
    return 0;
}

static const atoll_patience for_ever;

/* The next batch of a stream of all kinds of records. */
static void draw(trial *t, uint32_t domain)
{
    for (uint32_t i = 0; i < BATCH; i++)
        learning_draw_any(&t->records[i], &t->l.rng, t->number++, domain);
}

static void learn_some(trial *t, uint32_t commits, uint32_t domain)
{
    for (uint32_t i = 0; i < commits; i++) {
        draw(t, domain);
        learning_commit(&t->l, t->records, BATCH);
        atoll_reclaim_advance(t->l.state.reclaim);
    }
}

static atoll_checkpoint *take(trial *t)
{
    atoll_checkpoint *checkpoint;
    assert_int_equal(atoll_checkpoint_take(&t->l.state, t->since, &checkpoint, NULL), ATOLL_OK);
    assert_int_equal(atoll_checkpoint_commit(checkpoint), t->l.state.model.version);
    return checkpoint;
}

static void write_and_end(trial *t, atoll_checkpoint *checkpoint)
{
    assert_int_equal(atoll_checkpoint_write(checkpoint, t->store, &for_ever, NULL), ATOLL_OK);
    t->since = atoll_checkpoint_epoch(checkpoint);
    atoll_checkpoint_end(checkpoint);
}

static void load(trial *t, learning *into)
{
    uint64_t since;
    atoll_error error = {0};
    memset(into, 0, sizeof *into);
    atoll_status status = atoll_checkpoint_load(t->store, &into->state, &since, &error);
    if (status)
        print_error("loading: %s\n", error.detail);
    assert_int_equal(status, ATOLL_OK);
    into->seq = t->l.seq;
    into->trainer = atoll_trainer_new(0, NULL);
    assert_non_null(into->trainer);
}

static void check_loads_as(trial *t, uint64_t digest)
{
    learning copy;
    load(t, &copy);
    for (uint32_t e = 1; e < copy.state.model.experts; e++) {
        const atoll_expert *expert = &copy.state.model.expert[e];
        assert_int_equal(expert->unloaded, expert->state == ATOLL_EXPERT_ARCHIVED);
        if (expert->unloaded)
            assert_int_equal(atoll_checkpoint_load_expert(t->store, &copy.state, e, NULL), ATOLL_OK);
        assert_false(expert->unloaded);
    }
    assert_int_equal(learning_digest(&copy.state), digest);
    assert_int_equal(atoll_memory_verify(copy.state.memory, NULL), ATOLL_OK);
    learning_close(&copy);
}

static void what_is_loaded_is_what_was_saved_and_goes_on_as_it(void **state)
{
    trial *t = *state;
    learning copy;
    for (uint32_t domain = 0; domain < 3; domain++)
        learn_some(t, 4, domain);
    write_and_end(t, take(t));
    load(t, &copy);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    for (uint32_t domain = 2; domain < 5; domain++)
        for (int i = 0; i < 3; i++) {
            draw(t, domain);
            learning_commit(&t->l, t->records, BATCH);
            learning_commit(&copy, t->records, BATCH);
            assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
        }
    learning_close(&copy);
}

/* Learns until random features are drawn anew. */
static void learn_to_choose(trial *t)
{
    for (uint32_t i = 0; i < 5000 && !(t->l.state.projection && t->l.state.projection->pairs); i += BATCH) {
        draw(t, 0);
        for (uint32_t r = 0; r < BATCH; r++) /* most numbers are noise */
            for (uint32_t k = 2; k < LEARNING_VECTOR_DIM; k++)
                t->records[r].vector[k] = atoll_rng_normal(&t->l.rng);
        learning_commit(&t->l, t->records, BATCH);
        atoll_reclaim_advance(t->l.state.reclaim);
    }
    assert_true(t->l.state.projection->pairs);
}

/* Random features that were drawn anew are drawn so again. */
static void features_come_back_as_they_were_chosen(void **state)
{
    trial *t = *state;
    learning copy;
    learn_to_choose(t);
    write_and_end(t, take(t));
    load(t, &copy);
    const atoll_projection *p = t->l.state.projection, *loaded = copy.state.projection;
    assert_int_equal(loaded->pairs, p->pairs);
    assert_memory_equal(loaded->weight, p->weight, (size_t)ATOLL_PROJECTION_FEATURES * p->inputs * sizeof *p->weight);
    draw(t, 0);
    learning_commit(&t->l, t->records, BATCH);
    learning_commit(&copy, t->records, BATCH);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    learning_close(&copy);
}

static atoll_status count_key(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    (void)key;
    (void)data;
    (void)bytes;
    (void)error;
    ++*(uint32_t *)arg;
    return ATOLL_OK;
}

/* How much the store holds under a prefix. */
static uint32_t keys_with(trial *t, const char *prefix)
{
    uint32_t count = 0;
    assert_int_equal(atoll_store_each(t->store, prefix, count_key, &count, NULL), ATOLL_OK);
    return count;
}

/* One record for each of the labels from `first` on. */
static void draw_labels(trial *t, uint32_t first)
{
    for (uint32_t i = 0; i < BATCH; i++)
        learning_draw_text(&t->records[i], &t->l.rng, 0, first + i);
}

/* Rows that were saved as columns come back as lists. */
static void many_labels_come_back_and_go_on(void **state)
{
    trial *t = *state;
    learning copy;
    uint32_t first = 0;
    for (; first < ATOLL_NET_COLUMNS + 3 * BATCH; first += BATCH) {
        draw_labels(t, first);
        learning_commit(&t->l, t->records, BATCH);
        atoll_reclaim_advance(t->l.state.reclaim);
        if (first == 0)
            write_and_end(t, take(t));
    }
    assert_int_equal(t->l.state.model.expert[0].net.capacity, 0);
    assert_int_equal(t->l.state.model.counts.capacity, 0);
    assert_true(keys_with(t, "counts/rows/") > 0);
    write_and_end(t, take(t));
    assert_int_equal(keys_with(t, "counts/rows/"), 0); /* columns do not stay beside lists */
    assert_int_equal(keys_with(t, "expert/0000/rows/"),
                     atoll_array_page_count(&t->l.state.model.expert[0].net.sparse.rows));
    load(t, &copy);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    assert_int_equal(atoll_postings_verify(&copy.state.model.expert[0].net.wide, NULL), ATOLL_OK);
    for (int i = 0; i < 3; i++) {
        draw_labels(t, i == 1 ? 0 : first);
        learning_commit(&t->l, t->records, BATCH);
        learning_commit(&copy, t->records, BATCH);
        assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    }
    learning_close(&copy);
}

/* Commits of one domain whose labels change places with `concept`. */
static void learn_concept(trial *t, learning *also, uint32_t commits, uint32_t concept)
{
    for (uint32_t at = 0; at < commits; at++) {
        for (uint32_t i = 0; i < CONCEPT_BATCH; i++) {
            uint32_t topic = atoll_rng_below(&t->l.rng, LEARNING_LABELS_A_DOMAIN);
            learning_draw_concept(&t->records[i], &t->l.rng, concept, topic);
        }
        learning_commit(&t->l, t->records, CONCEPT_BATCH);
        if (also)
            learning_commit(also, t->records, CONCEPT_BATCH);
        atoll_reclaim_advance(t->l.state.reclaim);
    }
}

static void a_concept_that_sleeps_is_loaded_asleep_and_wakes_all_the_same(void **state)
{
    trial *t = *state;
    learning copy;
    learn_concept(t, NULL, 20, 0);
    learn_concept(t, NULL, 20, 1);
    assert_true(t->l.state.drift.now.dormant > 0);
    write_and_end(t, take(t));
    load(t, &copy);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    learn_concept(t, &copy, 8, 0);
    assert_int_equal(copy.state.drift.now.returned, 1);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&t->l.state));
    learning_close(&copy);
}

static void a_model_that_has_learned_nothing_is_saved_too(void **state)
{
    trial *t = *state;
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
    learn_some(t, 1, 0);
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
}

static void each_checkpoint_adds_what_changed(void **state)
{
    trial *t = *state;
    for (uint32_t round = 0; round < 8; round++) {
        learn_some(t, 1 + round % 3, round / 2);
        write_and_end(t, take(t));
        check_loads_as(t, learning_digest(&t->l.state));
    }
}

static void experts_that_went_are_not_brought_back(void **state)
{
    trial *t = *state;
    atoll_state *s = &t->l.state;
    uint32_t id;
    learn_some(t, 4, 0);
    assert_int_equal(atoll_state_add_expert(s, &id, NULL), ATOLL_OK);
    char prefix[32];
    uint32_t output;
    assert_int_equal(atoll_expert_add_label(&s->pager, &s->model.expert[id], 0, &output, NULL), ATOLL_OK);
    write_and_end(t, take(t));
    snprintf(prefix, sizeof prefix, "expert/%04u/", id);
    assert_true(keys_with(t, prefix) > 1);
    atoll_expert_clear(&s->pager, &s->model.expert[id]);
    s->model.expert[id].state = ATOLL_EXPERT_GONE;
    for (uint32_t e = 1; e < s->model.experts; e++)
        if (s->model.expert[e].state == ATOLL_EXPERT_ACTIVE)
            assert_int_equal(atoll_pruning_archive(s, e, s->model.version, NULL), ATOLL_OK);
    assert_true(atoll_model_count(&s->model, ATOLL_EXPERT_ARCHIVED) > 0);
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(s));
    assert_int_equal(keys_with(t, prefix), 1); /* that it is gone */
    /* The place is taken again by a smaller network than stood there: what is left of the older is not read. */
    learn_some(t, 3, 1);
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(s));
}

static void one_that_was_not_written_is_made_up_for(void **state)
{
    trial *t = *state;
    learn_some(t, 2, 0);
    write_and_end(t, take(t));
    learn_some(t, 2, 1);
    atoll_checkpoint_end(take(t));
    learn_some(t, 1, 0);
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
}

typedef struct writing {
    atoll_checkpoint *checkpoint;
    atoll_store *store;
    atoll_status status;
} writing;

static void *write_beside(void *arg)
{
    writing *w = arg;
    w->status = atoll_checkpoint_write(w->checkpoint, w->store, &for_ever, NULL);
    return NULL;
}

static void learning_goes_on_while_one_is_written(void **state)
{
    trial *t = *state;
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        learn_some(t, 3, (uint32_t)round);
        uint64_t digest = learning_digest(&t->l.state);
        writing w = {.checkpoint = take(t), .store = t->store, .status = ATOLL_INTERNAL};
        assert_int_equal(pthread_create(&thread, NULL, write_beside, &w), 0);
        learn_some(t, 4, (uint32_t)round + 1);
        pthread_join(thread, NULL);
        assert_int_equal(w.status, ATOLL_OK);
        t->since = atoll_checkpoint_epoch(w.checkpoint);
        atoll_checkpoint_end(w.checkpoint);
        check_loads_as(t, digest);
    }
}

static void a_memory_of_codes_comes_back_as_it_was(void **state)
{
    trial *t = *state;
    learning large, copy;
    atoll_config config;
    learning_config(&config);
    config.embedding_dim = 32;
    config.memory_exemplars = MANY;
    learning_open(&large, &config, 1);
    learning_feed(&large, learning_draw_text, 0, MANY * 4 / 5, 1000);
    learning_feed(&large, learning_draw_text, 1, MANY * 2 / 5, 1000);
    atoll_checkpoint *checkpoint;
    assert_int_equal(atoll_checkpoint_take(&large.state, 0, &checkpoint, NULL), ATOLL_OK);
    write_and_end(t, checkpoint);
    load(t, &copy);
    copy.seq = large.seq;
    assert_int_equal(learning_digest(&copy.state), learning_digest(&large.state));
    draw(t, 1);
    learning_commit(&large, t->records, BATCH);
    learning_commit(&copy, t->records, BATCH);
    assert_int_equal(learning_digest(&copy.state), learning_digest(&large.state));
    learning_close(&large);
    learning_close(&copy);
}

/* ---- what may be wrong with it ---- */

static void check_refused(trial *t, atoll_status expected, const char *word)
{
    atoll_state state;
    atoll_error error;
    uint64_t since;
    assert_int_equal(atoll_checkpoint_load(t->store, &state, &since, &error), expected);
    assert_int_equal(error.status, expected);
    if (word)
        assert_non_null(strstr(error.detail, word));
}

static void a_store_without_one_has_none(void **state)
{
    check_refused(*state, ATOLL_NOT_FOUND, NULL);
}

/* Writes a whole checkpoint, then `data` under the key, or drops the key. */
static void spoil(trial *t, const char *key, const void *data, size_t bytes)
{
    atoll_store_write *write;
    t->since = 0;
    write_and_end(t, take(t));
    assert_int_equal(atoll_store_begin(t->store, &write, NULL), ATOLL_OK);
    if (data)
        assert_int_equal(atoll_store_put(write, key, data, bytes, NULL), ATOLL_OK);
    else
        assert_int_equal(atoll_store_drop(write, key, NULL), ATOLL_OK);
    assert_int_equal(atoll_store_commit(write, NULL), ATOLL_OK);
}

static void one_that_is_not_whole_is_refused(void **state)
{
    static const char *const keys[] = {"expert/0000/head/00000000", "expert/0000/meta", "gate/table/00000000",
                                       "gate/linear/00000000", "frequency/00000000", "moments/00000000", "labels",
                                       "counts/rows/00000000", "counts/mass/00000000",
                                       "domains", "domain-tallies", "cells", "ridge", "analytic", "change",
                                       "memory/00000003"};
    static const char odd[5] = "odd!";
    trial *t = *state;
    learn_some(t, 3, 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        spoil(t, keys[i], NULL, 0);
        check_refused(t, ATOLL_DAMAGED, NULL);
        if (strcmp(keys[i], "labels") == 0 || strcmp(keys[i], "domains") == 0)
            continue;
        spoil(t, keys[i], odd, sizeof odd);
        check_refused(t, ATOLL_DAMAGED, NULL);
    }
    t->since = 0;
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
}

static void pairs_that_cannot_be_are_refused(void **state)
{
    trial *t = *state;
    learn_to_choose(t);
    const atoll_projection *p = t->l.state.projection;
    size_t bytes = p->pairs * sizeof *p->pair;
    spoil(t, "pairs", NULL, 0);
    check_refused(t, ATOLL_DAMAGED, NULL);
    spoil(t, "pairs", p->pair, bytes - 1);
    check_refused(t, ATOLL_DAMAGED, NULL);
    atoll_pair wrong[] = {p->pair[0], p->pair[0], p->pair[0], p->pair[0]};
    wrong[0].a = LEARNING_VECTOR_DIM;
    wrong[1].b = LEARNING_VECTOR_DIM;
    wrong[2].weight = 0;
    wrong[3].weight = NAN;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        atoll_pair *pair = malloc(bytes);
        assert_non_null(pair);
        memcpy(pair, p->pair, bytes);
        pair[p->pairs - 1] = wrong[i];
        spoil(t, "pairs", pair, bytes);
        check_refused(t, ATOLL_DAMAGED, "pair");
        free(pair);
    }
    t->since = 0;
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
}

static void one_of_another_build_is_refused(void **state)
{
    static const uint64_t other[2] = {sizeof other, 0};
    trial *t = *state;
    spoil(t, "meta", other, sizeof other);
    check_refused(t, ATOLL_NEWER_FORMAT, "another build");
}

static void a_write_without_patience_leaves_the_one_before(void **state)
{
    trial *t = *state;
    atoll_error error;
    atoll_patience none = {0};
    write_and_end(t, take(t));
    uint64_t digest = learning_digest(&t->l.state);
    learn_some(t, 2, 0);
    atoll_checkpoint *checkpoint = take(t);
    atoll_patience_set(&none, 0);
    assert_int_equal(atoll_checkpoint_write(checkpoint, t->store, &none, &error), ATOLL_SHUTTING_DOWN);
    check_loads_as(t, digest);
    assert_int_equal(atoll_checkpoint_write(checkpoint, t->store, &for_ever, NULL), ATOLL_OK);
    atoll_checkpoint_end(checkpoint);
    check_loads_as(t, learning_digest(&t->l.state));
}

static void a_full_store_keeps_the_one_before(void **state)
{
    trial *t = *state;
    char path[300];
    atoll_error error;
    atoll_store *large = t->store;
    folder_file(&t->top, "small", path);
    assert_int_equal(atoll_store_open(path, 2 << 20, &t->store, NULL), ATOLL_OK);
    write_and_end(t, take(t));
    uint64_t digest = learning_digest(&t->l.state);
    learn_some(t, 20, 0);
    atoll_checkpoint *checkpoint = take(t);
    assert_int_equal(atoll_checkpoint_write(checkpoint, t->store, &for_ever, &error), ATOLL_NO_SPACE);
    assert_int_equal(error.status, ATOLL_NO_SPACE);
    atoll_checkpoint_end(checkpoint);
    check_loads_as(t, digest);

    /* With room again the same `since` serves. */
    atoll_store_close(t->store);
    assert_int_equal(atoll_store_open(path, MAP_BYTES, &t->store, NULL), ATOLL_OK);
    learn_some(t, 1, 0);
    write_and_end(t, take(t));
    check_loads_as(t, learning_digest(&t->l.state));
    atoll_store_close(t->store);
    t->store = large;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_trial, close_trial)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_labels_come_back_and_go_on),
        TEST(what_is_loaded_is_what_was_saved_and_goes_on_as_it),
        TEST(features_come_back_as_they_were_chosen),
        TEST(a_concept_that_sleeps_is_loaded_asleep_and_wakes_all_the_same),
        TEST(a_model_that_has_learned_nothing_is_saved_too),
        TEST(each_checkpoint_adds_what_changed),
        TEST(experts_that_went_are_not_brought_back),
        TEST(one_that_was_not_written_is_made_up_for),
        TEST(learning_goes_on_while_one_is_written),
        TEST(a_memory_of_codes_comes_back_as_it_was),
        TEST(a_store_without_one_has_none),
        TEST(one_that_is_not_whole_is_refused),
        TEST(pairs_that_cannot_be_are_refused),
        TEST(one_of_another_build_is_refused),
        TEST(a_write_without_patience_leaves_the_one_before),
        TEST(a_full_store_keeps_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
