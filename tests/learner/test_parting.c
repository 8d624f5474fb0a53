#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "learner/exemplars.h"
#include "learner/parting.h"
#include "tests/support/learning.h"

enum { RECORDS = 800, LABELS = 10, ROOM = 16 };

/* Exemplars of a stream of `domains` mixed domains of ten labels each, and whose each is. */
typedef struct trial {
    learning l;
    const atoll_sample *sample[RECORDS];
    bool domain[RECORDS], side[RECORDS];
    uint32_t count;
    atoll_parting found;
} trial;

/* With `folded` all domains call their labels alike; with `blurred` texts say nothing of them. */
static void trial_open(trial *t, uint32_t domains, bool folded, bool blurred)
{
    learning_record *records = calloc(RECORDS, sizeof *records);
    atoll_config config;
    assert_non_null(records);
    learning_config(&config);
    config.memory_exemplars = RECORDS;
    config.expert_hidden = 128; /* room for all meanings: nothing is split */
    learning_open(&t->l, &config, 2);
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint32_t domain = atoll_rng_below(&t->l.rng, domains), label = atoll_rng_below(&t->l.rng, LABELS);
        learning_draw_text(&records[i], &t->l.rng, blurred ? 0 : domain, blurred ? 0 : label);
        uint32_t name = folded ? label : domain * LABELS + label;
        int length = snprintf(records[i].label, sizeof records[i].label, "%u", name);
        records[i].record.label = (atoll_slice){records[i].label, (size_t)length};
        t->domain[i] = domain;
    }
    for (uint32_t at = 0; at < RECORDS; at += 100)
        learning_commit(&t->l, records + at, 100);
    free(records);
    uint32_t slot[RECORDS];
    atoll_hand *h = &t->l.trainer->hand[0];
    bool domain[RECORDS];
    memcpy(domain, t->domain, sizeof domain);
    atoll_memory_view view = atoll_memory_freeze(t->l.state.memory);
    t->count = atoll_exemplars_pick(&t->l.state, 1, RECORDS, slot);
    assert_true(t->count > RECORDS / 2);
    atoll_arena_reset(&h->arena);
    for (uint32_t i = 0; i < t->count; i++) {
        t->sample[i] = atoll_exemplars_words(h, &t->l.state, slot[i]);
        assert_non_null(t->sample[i]);
        t->domain[i] = domain[atoll_memory_at(&view, slot[i])->exemplar->seq - 1];
    }
}

static void trial_close(trial *t)
{
    learning_close(&t->l);
}

static void find(trial *t, uint32_t room)
{
    uint32_t dim = t->l.state.model.encoder.embedding_dim;
    assert_int_equal(atoll_parting_find(t->sample, t->count, dim, room, t->side, &t->found, NULL), ATOLL_OK);
}

/* The share of the exemplars that are on their domain's side. */
static double right(const trial *t)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < t->count; i++)
        same += t->side[i] == t->domain[i];
    return (double)(2 * same > t->count ? same : t->count - same) / t->count;
}

static void domains_with_labels_of_their_own_are_parted(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 2, false, false);
    find(&t, ROOM);
    assert_int_equal(t.found.labels, 2 * LABELS);
    assert_int_equal(t.found.meanings, 2 * LABELS);
    assert_true(t.found.routable >= ATOLL_PARTING_ROUTABLE);
    assert_true(t.found.parted);
    assert_true(right(&t) == 1);
    trial_close(&t);
}

static void domains_that_call_things_alike_are_parted_within_labels(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 2, true, false);
    find(&t, ROOM);
    assert_int_equal(t.found.labels, LABELS);
    assert_int_equal(t.found.meanings, 2 * LABELS);
    assert_true(t.found.parted);
    assert_true(right(&t) > 0.95);
    bool side[RECORDS];
    memcpy(side, t.side, sizeof side);
    find(&t, ROOM);
    assert_memory_equal(t.side, side, t.count * sizeof *side);
    trial_close(&t);
}

static void what_has_room_is_left_whole(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 2, false, false);
    find(&t, 2 * LABELS);
    assert_false(t.found.parted);
    trial_close(&t);
    trial_open(&t, 1, false, false);
    find(&t, ROOM);
    assert_int_equal(t.found.meanings, LABELS);
    assert_false(t.found.parted);
    trial_close(&t);
}

static void what_cannot_be_routed_is_left_whole(void **unused)
{
    trial t;
    (void)unused;
    trial_open(&t, 2, false, true);
    find(&t, ROOM);
    assert_true(t.found.routable < 0.8f);
    assert_false(t.found.parted);
    trial_close(&t);
}

static void nothing_is_left_whole(void **unused)
{
    atoll_parting found = {.parted = true};
    (void)unused;
    assert_int_equal(atoll_parting_find(NULL, 0, 64, ROOM, NULL, &found, NULL), ATOLL_OK);
    assert_false(found.parted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_with_labels_of_their_own_are_parted),
        cmocka_unit_test(domains_that_call_things_alike_are_parted_within_labels),
        cmocka_unit_test(what_has_room_is_left_whole),
        cmocka_unit_test(what_cannot_be_routed_is_left_whole),
        cmocka_unit_test(nothing_is_left_whole),
    };
    atoll_log_set_level(ATOLL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
