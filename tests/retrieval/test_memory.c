#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/memory.h"

enum { DIM = 16 };

typedef struct fixture {
    atoll_pager pager;
    atoll_memory *memory;
    atoll_rng rng;
    uint64_t seq;
} fixture;

static void open_memory(fixture *f, uint32_t cap)
{
    *f = (fixture){.pager = {.reclaim = atoll_reclaim_new()}};
    assert_non_null(f->pager.reclaim);
    atoll_rng_seed(&f->rng, 7, 0);
    assert_int_equal(atoll_memory_new(&f->pager, cap, &f->memory, NULL), ATOLL_OK);
}

static void close_memory(fixture *f)
{
    atoll_memory_free(f->memory);
    assert_int_equal(f->pager.live_bytes, 0);
    atoll_reclaim_free(f->pager.reclaim);
}

static void check(const fixture *f)
{
    atoll_error error = {.detail = ""};
    if (atoll_memory_verify(f->memory, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static const atoll_slot *at(const fixture *f, uint32_t slot)
{
    atoll_memory_view view = atoll_memory_freeze(f->memory);
    return atoll_memory_at(&view, slot);
}

/* The record's sequence number decides its content. */
static uint32_t offer(fixture *f, uint32_t owner, uint32_t label)
{
    uint64_t seq = ++f->seq;
    char id[8];
    atoll_term term[4];
    float vector[5], embedding[DIM];
    for (uint32_t i = 0; i < 8; i++)
        id[i] = (char)('a' + (seq + i) % 26);
    for (uint32_t i = 0; i < 4; i++)
        term[i] = (uint32_t)(seq % 1000 + i) << 8 | 1;
    for (uint32_t i = 0; i < 5; i++)
        vector[i] = (float)seq + (float)i / 8;
    for (uint32_t i = 0; i < DIM; i++)
        embedding[i] = cosf((float)(seq * DIM + i));
    atoll_exemplar like = {.seq = seq, .time_ms = (int64_t)seq * 3, .label = label, .domain = UINT32_MAX,
                           .lot = (uint32_t)(seq % 3), .id = id, .id_bytes = (uint32_t)(seq % 9), .term = term,
                           .terms = (uint32_t)(seq % 5), .vector = seq % 2 ? vector : NULL,
                           .vector_dim = seq % 2 ? 5 : 0, .embedding_dim = DIM};
    uint32_t slot = 12345;
    assert_int_equal(atoll_memory_offer(f->memory, &like, embedding, owner, &f->rng, &slot, NULL), ATOLL_OK);
    return slot;
}

static void code_of(void *arg, const float *vector, uint32_t numbers, int8_t *code)
{
    ++*(uint32_t *)arg;
    assert_int_equal(numbers, 5);
    for (int i = 0; i < 5; i++)
        code[i] = (int8_t)(vector[i] * 8 - 50);
}

/* Vectors become codes where they stand; what is offered as a code, saved and loaded stays one. */
static void vectors_may_be_coded(void **state)
{
    (void)state;
    static const int8_t given[5] = {1, -2, 3, -4, 127};
    fixture f, copy;
    uint32_t coded = 0, slot;
    float embedding[DIM] = {1};
    open_memory(&f, 16);
    open_memory(&copy, 16);
    for (uint32_t i = 0; i < 9; i++)
        offer(&f, 1, i % 3);
    uint64_t before = atoll_memory_bytes(f.memory);
    assert_int_equal(atoll_memory_code(f.memory, code_of, &coded, NULL), ATOLL_OK);
    assert_int_equal(coded, 5);
    assert_int_equal(atoll_memory_bytes(f.memory), before - 5 * 15);
    atoll_exemplar like = {.seq = 10, .label = 1, .domain = UINT32_MAX, .vector_dim = 5, .code = given,
                           .embedding_dim = DIM, .id = "x", .id_bytes = 1};
    assert_int_equal(atoll_memory_offer(f.memory, &like, embedding, 1, &f.rng, &slot, NULL), ATOLL_OK);
    check(&f);
    atoll_memory_view view = atoll_memory_freeze(f.memory);
    for (uint32_t i = 0; i < 10; i++) {
        void *blob;
        size_t bytes;
        assert_int_equal(atoll_memory_save_slot(&view, i, &blob, &bytes, NULL), ATOLL_OK);
        assert_int_equal(atoll_memory_load_slot(copy.memory, i, blob, bytes, NULL), ATOLL_OK);
        free(blob);
        const atoll_exemplar *e = at(&f, i)->exemplar, *c = at(&copy, i)->exemplar;
        assert_null(e->vector);
        assert_true(!e->code == !e->vector_dim && !c->code == !e->code && !c->vector);
        for (uint32_t k = 0; e->code && k < 5; k++) {
            int8_t wanted = i == 9 ? given[k] : (int8_t)(((float)(i + 1) + (float)k / 8) * 8 - 50);
            assert_true(e->code[k] == wanted && c->code[k] == wanted);
        }
        for (uint32_t k = 0; k < DIM; k++)
            assert_int_equal(e->embedding[k], c->embedding[k]);
    }
    close_memory(&copy);
    close_memory(&f);
}

static void keeps_what_it_is_given(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 16);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(offer(&f, 1, i % 3), i);
    for (uint32_t i = 0; i < 9; i++) {
        uint64_t seq = i + 1;
        const atoll_exemplar *e = at(&f, i)->exemplar;
        assert_int_equal(e->seq, seq);
        assert_int_equal(e->time_ms, seq * 3);
        assert_int_equal(e->label, i % 3);
        assert_int_equal(e->domain, UINT32_MAX);
        assert_int_equal(e->lot, seq % 3);
        assert_int_equal(at(&f, i)->lot, seq % 3);
        assert_int_equal(e->id_bytes, seq % 9);
        assert_int_equal(e->terms, seq % 5);
        assert_int_equal(e->vector_dim, seq % 2 ? 5 : 0);
        for (uint32_t k = 0; k < e->id_bytes; k++)
            assert_int_equal(e->id[k], 'a' + (seq + k) % 26);
        for (uint32_t k = 0; k < e->terms; k++)
            assert_int_equal(atoll_term_bucket(e->term[k]), seq + k);
        for (uint32_t k = 0; k < e->vector_dim; k++)
            assert_float_equal(e->vector[k], (float)seq + (float)k / 8, 0);
        for (uint32_t k = 0; k < DIM; k++)
            assert_int_equal(e->embedding[k], atoll_half_round(cosf((float)(seq * DIM + k))));
    }
    assert_int_equal(atoll_memory_count(f.memory), 9);
    assert_int_equal(atoll_memory_owned(f.memory, 1), 9);
    assert_int_equal(atoll_memory_owned(f.memory, 2), 0);
    check(&f);
    close_memory(&f);
}

static uint32_t cell_size(const fixture *f, uint32_t owner, uint32_t label)
{
    atoll_memory_view view = atoll_memory_freeze(f->memory);
    uint32_t size = 0;
    for (uint32_t i = 0; i < view.slots.count; i++) {
        const atoll_slot *s = atoll_memory_at(&view, i);
        size += s->exemplar && s->owner == owner && s->exemplar->label == label;
    }
    return size;
}

static void balances_cells_under_the_cap(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 100);
    for (int i = 0; i < 1000; i++)
        offer(&f, 0, 0);
    assert_int_equal(cell_size(&f, 0, 0), 100);
    for (int i = 0; i < 300; i++)
        offer(&f, 0, 1);
    assert_int_equal(cell_size(&f, 0, 1), 50);
    for (int i = 0; i < 10; i++)
        offer(&f, 1, 1);
    for (int i = 0; i < 1000; i++)
        offer(&f, 0, i % 2 ? 1 : 0);
    assert_int_equal(cell_size(&f, 1, 1), 10); /* a small cell loses nothing to a large one */
    assert_int_equal(cell_size(&f, 0, 0), 45);
    assert_int_equal(cell_size(&f, 0, 1), 45);
    assert_int_equal(atoll_memory_count(f.memory), 100);
    check(&f);
    close_memory(&f);
}

/* Chi-square over ten tenths of a cell's past, with the memory shared by two cells that came one after the other. */
static void every_record_of_the_past_is_equally_likely(void **state)
{
    (void)state;
    enum { ROUNDS = 60, PAST = 1000 };
    double held[2][10] = {{0}}, total[2] = {0};
    for (uint64_t round = 0; round < ROUNDS; round++) {
        fixture f;
        open_memory(&f, 60);
        atoll_rng_seed(&f.rng, round, 3);
        for (uint32_t i = 0; i < 2 * PAST; i++)
            offer(&f, 5, i / PAST);
        for (uint32_t i = 0; i < 60; i++) {
            const atoll_exemplar *e = at(&f, i)->exemplar;
            held[e->label][(e->seq - 1) % PAST * 10 / PAST]++;
            total[e->label]++;
        }
        close_memory(&f);
    }
    for (int label = 0; label < 2; label++) {
        double chi = 0, expected = total[label] / 10;
        for (int i = 0; i < 10; i++)
            chi += (held[label][i] - expected) * (held[label][i] - expected) / expected;
        assert_true(chi < 27.9); /* 9 degrees of freedom, p = 0.001 */
    }
}

static void shares_are_of_what_is_held_and_what_was_seen(void **state)
{
    (void)state;
    fixture f;
    atoll_shares share[3];
    open_memory(&f, 30);
    for (int i = 0; i < 100; i++)
        offer(&f, 1, 0);
    for (int i = 0; i < 40; i++)
        offer(&f, 2, 0);
    for (int i = 0; i < 5; i++)
        offer(&f, 2, 2);
    for (int i = 0; i < 20; i++)
        offer(&f, 2 | ATOLL_OWNER_DORMANT, 1);
    atoll_memory_shares(f.memory, 3, share);
    assert_float_equal(share[0].held, atoll_memory_cell(f.memory, 1, 0) + atoll_memory_cell(f.memory, 2, 0), 0);
    assert_float_equal(share[0].seen, 140, 0);
    assert_float_equal(share[1].held + share[1].seen, 0, 0); /* dormant */
    assert_float_equal(share[2].held, 5, 0);
    assert_float_equal(share[2].seen, 5, 0);
    atoll_memory_shares(f.memory, 1, share); /* of the labels asked for alone */
    assert_float_equal(share[0].seen, 140, 0);
    close_memory(&f);
}

static void draws_exemplars_uniformly(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 100);
    uint32_t slots[4000], seen[3] = {0};
    assert_int_equal(atoll_memory_draw(f.memory, &f.rng, 10, slots), 0);
    for (int i = 0; i < 60; i++)
        offer(&f, 0, 0);
    for (int i = 0; i < 6; i++)
        offer(&f, 0, 1);
    for (int i = 0; i < 2; i++)
        offer(&f, 9, 0);
    for (uint32_t i = 0; i < 20; i++) /* 40 of the first cell stay */
        assert_int_equal(atoll_memory_drop(f.memory, 3 * i), ATOLL_OK);
    assert_int_equal(atoll_memory_draw(f.memory, &f.rng, 4000, slots), 4000);
    for (int i = 0; i < 4000; i++) {
        assert_non_null(at(&f, slots[i])->exemplar);
        seen[at(&f, slots[i])->owner ? 2 : at(&f, slots[i])->exemplar->label]++;
    }
    assert_in_range(seen[0], 3240, 3425); /* four standard deviations about 4000 * 40 / 48 */
    assert_in_range(seen[1], 417, 583);
    assert_in_range(seen[2], 117, 216);
    close_memory(&f);
}

static void dropped_slots_are_used_again(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 10);
    for (int i = 0; i < 10; i++)
        offer(&f, 0, 0);
    assert_int_equal(atoll_memory_drop(f.memory, 3), ATOLL_OK);
    assert_int_equal(atoll_memory_drop(f.memory, 7), ATOLL_OK);
    assert_null(at(&f, 3)->exemplar);
    check(&f);
    assert_int_equal(atoll_memory_count(f.memory), 8);
    assert_int_equal(offer(&f, 0, 1), 7);
    assert_int_equal(offer(&f, 0, 1), 3);
    uint32_t slot = offer(&f, 0, 1); /* full again: takes a slot of the largest cell */
    assert_true(slot < 10);
    assert_int_equal(cell_size(&f, 0, 0), 7);
    assert_int_equal(cell_size(&f, 0, 1), 3);
    check(&f);
    close_memory(&f);
}

static void reassigning_moves_the_past(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 20);
    for (int i = 0; i < 1000; i++)
        offer(&f, 0, 4);
    assert_float_equal(atoll_memory_stands_for(f.memory, 3), 50, 0);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(atoll_memory_reassign(f.memory, i, 8, NULL), ATOLL_OK);
    assert_int_equal(atoll_memory_reassign(f.memory, 5, 8, NULL), ATOLL_OK);
    check(&f);
    assert_int_equal(atoll_memory_owned(f.memory, 0), 0);
    assert_int_equal(atoll_memory_owned(f.memory, 8), 20);
    /* With its past forgotten the cell would take about 14 of these; with 1000 seen, about 1. */
    uint32_t taken = 0;
    for (int i = 0; i < 50; i++)
        taken += offer(&f, 8, 4) != ATOLL_SLOT_NONE;
    assert_true(taken <= 5);
    check(&f);
    close_memory(&f);
}

static void a_frozen_view_stays_as_it_is(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 300);
    for (int i = 0; i < 300; i++)
        offer(&f, 0, (uint32_t)i % 7);
    int ticket = atoll_reclaim_enter(f.pager.reclaim);
    atoll_memory_view view = atoll_memory_freeze(f.memory);
    uint64_t frozen = atoll_reclaim_epoch(f.pager.reclaim);
    atoll_reclaim_advance(f.pager.reclaim);
    for (int i = 0; i < 2000; i++) {
        offer(&f, 1, (uint32_t)i % 5);
        if (i % 100 == 0)
            atoll_reclaim_advance(f.pager.reclaim);
    }
    for (uint32_t i = 0; i < 300; i++) {
        const atoll_slot *s = atoll_memory_at(&view, i);
        assert_int_equal(s->exemplar->seq, i + 1);
        assert_int_equal(s->owner, 0);
        assert_true(s->changed <= frozen);
        if (at(&f, i)->exemplar != s->exemplar)
            assert_true(at(&f, i)->changed > frozen);
    }
    atoll_reclaim_leave(f.pager.reclaim, ticket);
    atoll_reclaim_advance(f.pager.reclaim);
    atoll_reclaim_advance(f.pager.reclaim);
    assert_int_equal(atoll_reclaim_waiting_bytes(f.pager.reclaim), 0);
    check(&f);
    close_memory(&f);
}

/* One random step of everything that changes a memory. Returns a trace of what it did. */
static uint64_t step(fixture *f)
{
    uint32_t what = atoll_rng_below(&f->rng, 100), slots[3];
    if (what < 5 && atoll_memory_draw(f->memory, &f->rng, 1, slots)) {
        assert_int_equal(atoll_memory_drop(f->memory, slots[0]), ATOLL_OK);
        return slots[0] + 1000000u;
    }
    if (what < 15 && atoll_memory_draw(f->memory, &f->rng, 3, slots)) {
        uint32_t owner = atoll_rng_below(&f->rng, 6);
        assert_int_equal(atoll_memory_reassign(f->memory, slots[2], owner, NULL), ATOLL_OK);
        return slots[2] + 2000000u + owner * 10000000u;
    }
    uint32_t owner = atoll_rng_below(&f->rng, 4), label = atoll_rng_below(&f->rng, 3);
    return offer(f, owner, label * label);
}

static void copy_memory(fixture *from, fixture *to, uint32_t cap)
{
    open_memory(to, cap);
    atoll_memory_view view = atoll_memory_freeze(from->memory);
    void *blob;
    size_t bytes;
    for (uint32_t i = 0; i < view.slots.count; i++) {
        assert_int_equal(atoll_memory_save_slot(&view, i, &blob, &bytes, NULL), ATOLL_OK);
        if (blob) {
            assert_int_equal(atoll_memory_load_slot(to->memory, i, blob, bytes, NULL), ATOLL_OK);
            assert_int_equal(at(to, i)->lot, at(from, i)->lot);
        }
        assert_int_equal(blob == NULL, atoll_memory_at(&view, i)->exemplar == NULL);
        free(blob);
    }
    assert_int_equal(atoll_memory_save_cells(from->memory, &blob, &bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_memory_load_cells(to->memory, blob, bytes, NULL), ATOLL_OK);
    free(blob);
    to->rng = from->rng;
    to->seq = from->seq;
}

static void a_restored_memory_goes_on_identically(void **state)
{
    (void)state;
    fixture f, copy;
    open_memory(&f, 64);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 20 * (round % 5); i++)
            step(&f);
        for (uint32_t i = 0; round % 7 == 3 && i < 64; i++)
            if (i != 5 && at(&f, i)->exemplar)
                assert_int_equal(atoll_memory_drop(f.memory, i), ATOLL_OK);
        atoll_reclaim_advance(f.pager.reclaim);
        check(&f);
        copy_memory(&f, &copy, 64);
        check(&copy);
        for (int i = 0; i < 300; i++) {
            assert_int_equal(step(&f), step(&copy));
            if (i % 50 == 0)
                check(&f);
        }
        assert_memory_equal(&f.rng, &copy.rng, sizeof f.rng);
        check(&copy);
        close_memory(&copy);
    }
    close_memory(&f);
}

static void damaged_blobs_are_refused(void **state)
{
    (void)state;
    fixture f, copy;
    open_memory(&f, 32);
    for (int i = 0; i < 200; i++)
        step(&f);
    atoll_memory_view view = atoll_memory_freeze(f.memory);
    uint32_t slot = 0;
    while (!atoll_memory_at(&view, slot)->exemplar)
        slot++;
    unsigned char *blob;
    size_t bytes;
    assert_int_equal(atoll_memory_save_slot(&view, slot, (void **)&blob, &bytes, NULL), ATOLL_OK);
    open_memory(&copy, 32);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(atoll_memory_load_slot(copy.memory, 0, blob, cut, NULL), ATOLL_DAMAGED);
    assert_int_equal(atoll_memory_load_slot(copy.memory, 32, blob, bytes, NULL), ATOLL_DAMAGED);
    memset(blob + 28, 0xff, 20); /* the lengths */
    assert_int_equal(atoll_memory_load_slot(copy.memory, 0, blob, bytes, NULL), ATOLL_DAMAGED);
    free(blob);
    close_memory(&copy);

    assert_int_equal(atoll_memory_save_cells(f.memory, (void **)&blob, &bytes, NULL), ATOLL_OK);
    for (size_t i = 0; i < bytes; i += 3) { /* cut short, then with one byte changed */
        atoll_error error;
        for (int change = 0; change < 2; change++) {
            open_memory(&copy, 32);
            for (uint32_t k = 0; k < view.slots.count; k++) {
                void *one;
                size_t size;
                assert_int_equal(atoll_memory_save_slot(&view, k, &one, &size, NULL), ATOLL_OK);
                if (one)
                    assert_int_equal(atoll_memory_load_slot(copy.memory, k, one, size, NULL), ATOLL_OK);
                free(one);
            }
            blob[i] ^= change ? 0x55 : 0;
            atoll_status status = atoll_memory_load_cells(copy.memory, blob, change ? bytes : i, &error);
            blob[i] ^= change ? 0x55 : 0;
            if (status == ATOLL_OK)
                check(&copy); /* only another order or another count of records seen can pass */
            else
                assert_int_equal(status, ATOLL_DAMAGED);
            assert_true(change || status == ATOLL_DAMAGED);
            close_memory(&copy);
        }
    }
    free(blob);
    close_memory(&f);
}

static void bytes_follow_what_is_held(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 1000);
    uint64_t empty = atoll_memory_bytes(f.memory);
    for (int i = 0; i < 1000; i++)
        offer(&f, 0, 0);
    uint64_t full = atoll_memory_bytes(f.memory);
    assert_true(full > empty + 1000 * (sizeof(atoll_exemplar) + sizeof(atoll_slot) + 2 * DIM));
    for (int i = 0; i < 5000; i++)
        offer(&f, 0, 0);
    assert_true(atoll_memory_bytes(f.memory) < full + 2000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(atoll_memory_drop(f.memory, i), ATOLL_OK);
    assert_true(atoll_memory_bytes(f.memory) < full - 1000 * sizeof(atoll_exemplar));
    check(&f);
    close_memory(&f);
}

static void the_verifier_sees_damage(void **state)
{
    (void)state;
    fixture f;
    open_memory(&f, 50);
    for (int i = 0; i < 80; i++)
        offer(&f, 0, (uint32_t)i % 3);
    check(&f);
    atoll_slot *s = (atoll_slot *)(uintptr_t)at(&f, 4);
    s->owner = 1;
    assert_int_equal(atoll_memory_verify(f.memory, NULL), ATOLL_DAMAGED);
    s->owner = 0;
    const atoll_exemplar *e = s->exemplar;
    s->exemplar = NULL;
    assert_int_equal(atoll_memory_verify(f.memory, NULL), ATOLL_DAMAGED);
    s->exemplar = e;
    s->changed = UINT64_MAX;
    assert_int_equal(atoll_memory_verify(f.memory, NULL), ATOLL_DAMAGED);
    s->changed = 1;
    uint16_t *half = (uint16_t *)(uintptr_t)&e->embedding[3], whole = *half;
    *half = 0x7e00;
    assert_int_equal(atoll_memory_verify(f.memory, NULL), ATOLL_DAMAGED);
    *half = whole;
    check(&f);
    close_memory(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_it_is_given),
        cmocka_unit_test(vectors_may_be_coded),
        cmocka_unit_test(balances_cells_under_the_cap),
        cmocka_unit_test(every_record_of_the_past_is_equally_likely),
        cmocka_unit_test(shares_are_of_what_is_held_and_what_was_seen),
        cmocka_unit_test(draws_exemplars_uniformly),
        cmocka_unit_test(dropped_slots_are_used_again),
        cmocka_unit_test(reassigning_moves_the_past),
        cmocka_unit_test(a_frozen_view_stays_as_it_is),
        cmocka_unit_test(a_restored_memory_goes_on_identically),
        cmocka_unit_test(damaged_blobs_are_refused),
        cmocka_unit_test(bytes_follow_what_is_held),
        cmocka_unit_test(the_verifier_sees_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
