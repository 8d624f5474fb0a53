#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "retrieval/cells.h"
#include "retrieval/memory.h"

static void add(atoll_cells *cells, uint32_t owner, uint32_t label, uint32_t slot, uint64_t seen)
{
    assert_int_equal(atoll_cells_reserve(cells, owner, label, slot, NULL), ATOLL_OK);
    atoll_cells_add(cells, owner, label, slot, seen);
}

static void check(const atoll_cells *cells)
{
    atoll_error error = {.detail = ""};
    if (atoll_cells_verify(cells, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static void the_largest_is_found(void **state)
{
    (void)state;
    atoll_cells *cells = atoll_cells_new();
    assert_non_null(cells);
    assert_null(atoll_cells_largest(cells));
    for (uint32_t i = 0; i < 10; i++)
        add(cells, 1, 5, i, 1);
    for (uint32_t i = 10; i < 20; i++)
        add(cells, 1, 4, i, 1);
    assert_int_equal(atoll_cells_largest(cells)->label, 4); /* of equals the first by owner and label */
    add(cells, 1, 5, 20, 1);
    assert_int_equal(atoll_cells_largest(cells)->label, 5);
    atoll_cells_remove(cells, 1, 5, 3, 0);
    atoll_cells_remove(cells, 1, 5, 4, 0);
    assert_int_equal(atoll_cells_largest(cells)->label, 4);
    assert_int_equal(atoll_cells_count(cells), 19);
    assert_int_equal(atoll_cells_owned(cells, 1), 19);
    check(cells);
    atoll_cells_free(cells);
    atoll_cells_free(NULL);
}

static void what_was_seen_is_kept_while_a_cell_lives(void **state)
{
    (void)state;
    atoll_cells *cells = atoll_cells_new();
    add(cells, 2, 0, 0, 1);
    add(cells, 2, 0, 1, 5);
    atoll_cells_saw(cells, 2, 0);
    assert_int_equal(atoll_cells_find(cells, 2, 0)->seen, 7);
    atoll_cells_remove(cells, 2, 0, 0, 100); /* but for what the members need */
    assert_int_equal(atoll_cells_find(cells, 2, 0)->seen, 1);
    atoll_cells_remove(cells, 2, 0, 1, 0);
    assert_null(atoll_cells_find(cells, 2, 0));
    assert_null(atoll_cells_largest(cells));
    assert_int_equal(atoll_cells_place(cells, 2, 0, 1), UINT32_MAX);
    check(cells);
    atoll_cells_free(cells);
}

/* Many cells that come and go, against a plain table of which cell each slot is in. */
static void cells_come_and_go(void **state)
{
    (void)state;
    enum { SLOTS = 2000, OWNERS = 12, LABELS = 90, NOWHERE = -1 };
    static int32_t in[SLOTS];
    atoll_cells *cells = atoll_cells_new();
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 1);
    for (int i = 0; i < SLOTS; i++)
        in[i] = NOWHERE;
    for (int step = 0; step < 60000; step++) {
        uint32_t slot = atoll_rng_below(&rng, SLOTS);
        if (in[slot] != NOWHERE) {
            atoll_cells_remove(cells, (uint32_t)in[slot] / LABELS, (uint32_t)in[slot] % LABELS, slot, 1);
            in[slot] = NOWHERE;
        } else if (step / 10000 % 2 == 0 || slot % 16 == 0) { /* every other time nearly all go */
            uint32_t owner = atoll_rng_below(&rng, OWNERS), label = atoll_rng_below(&rng, LABELS);
            add(cells, owner, label, slot, 1);
            in[slot] = (int32_t)(owner * LABELS + label);
        }
        if (step % 2500 == 0)
            check(cells);
    }
    uint32_t size[OWNERS * LABELS] = {0}, owned[OWNERS] = {0}, most = 0, members = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (in[slot] == NOWHERE)
            continue;
        uint32_t owner = (uint32_t)in[slot] / LABELS, label = (uint32_t)in[slot] % LABELS;
        assert_int_not_equal(atoll_cells_place(cells, owner, label, slot), UINT32_MAX);
        owned[owner]++;
        members++;
        size[in[slot]]++;
        most = size[in[slot]] > most ? size[in[slot]] : most;
    }
    assert_int_equal(atoll_cells_count(cells), members);
    assert_int_equal(atoll_cells_largest(cells)->count, most);
    for (uint32_t owner = 0; owner < OWNERS; owner++)
        assert_int_equal(atoll_cells_owned(cells, owner), owned[owner]);
    for (uint32_t key = 0; key < OWNERS * LABELS; key++) {
        const atoll_cell *cell = atoll_cells_find(cells, key / LABELS, key % LABELS);
        assert_int_equal(cell ? cell->count : 0, size[key]);
    }
    atoll_cells_free(cells);
}

static void saved_cells_come_back(void **state)
{
    (void)state;
    atoll_cells *cells = atoll_cells_new(), *copy = atoll_cells_new();
    for (uint32_t slot = 0; slot < 500; slot++)
        add(cells, slot % 5, slot % 7, slot, 1 + slot);
    for (uint32_t slot = 0; slot < 500; slot += 3)
        atoll_cells_remove(cells, slot % 5, slot % 7, slot, 1);
    for (uint32_t slot = 0; slot < 500; slot++) /* whole cells, so that the last ones move */
        if (slot % 3 && slot % 5 == 2 && slot % 7 < 3)
            atoll_cells_remove(cells, slot % 5, slot % 7, slot, 1);
    size_t bytes = atoll_cells_saved_bytes(cells);
    void *blob = malloc(bytes);
    assert_non_null(blob);
    atoll_cells_save(cells, blob);
    assert_int_equal(atoll_cells_load(copy, blob, bytes, 500, NULL), ATOLL_OK);
    check(copy);
    for (uint32_t owner = 0; owner < 5; owner++)
        assert_int_equal(atoll_cells_owned(copy, owner), atoll_cells_owned(cells, owner));
    for (uint32_t slot = 0; slot < 500; slot++)
        assert_int_equal(atoll_cells_place(copy, slot % 5, slot % 7, slot),
                         atoll_cells_place(cells, slot % 5, slot % 7, slot));
    atoll_cells_free(copy);
    copy = atoll_cells_new();
    assert_int_equal(atoll_cells_load(copy, blob, bytes, 499, NULL), ATOLL_DAMAGED); /* a slot that does not exist */
    atoll_cells_free(copy);
    copy = atoll_cells_new();
    assert_int_equal(atoll_cells_load(copy, blob, bytes - 1, 500, NULL), ATOLL_DAMAGED);
    atoll_cells_free(copy);
    free(blob);
    atoll_cells_free(cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_is_found),
        cmocka_unit_test(what_was_seen_is_kept_while_a_cell_lives),
        cmocka_unit_test(cells_come_and_go),
        cmocka_unit_test(saved_cells_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
