#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "core/rows.h"
#include "tests/core/paged.h"

enum { BUCKETS = 1 << 16, WIDTH = 11 };

static void check(const atoll_rows *rows)
{
    atoll_error error = {.detail = ""};
    if (atoll_rows_verify(rows, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static uint32_t find(const atoll_rows *rows, uint32_t bucket)
{
    uint32_t found = 12345;
    atoll_rows_find(rows, &bucket, 1, &found);
    return found;
}

static uint32_t add(atoll_pager *pager, atoll_rows *rows, uint32_t bucket)
{
    uint32_t row = 12345;
    assert_int_equal(atoll_rows_add(pager, rows, bucket, &row, NULL), ATOLL_OK);
    return row;
}

static void clear(atoll_pager *pager, atoll_rows *rows)
{
    atoll_rows_clear(pager, rows);
    assert_int_equal(atoll_rows_bytes(rows), 0);
    pager_close(pager);
}

static void an_empty_table_finds_nothing(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_rows rows;
    uint32_t bucket[3] = {0, 5, UINT32_MAX - 1}, found[3];
    pager_open(&pager);
    atoll_rows_init(&rows, WIDTH);
    atoll_rows_find(&rows, bucket, 3, found);
    for (int i = 0; i < 3; i++)
        assert_int_equal(found[i], ATOLL_ROW_NONE);
    check(&rows);
    clear(&pager, &rows);
}

/* Against an array by bucket; buckets in no order, then long runs of neighbours. */
static void agrees_with_a_plain_array(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_rows rows, frozen;
    atoll_rng rng;
    static uint32_t row_of[BUCKETS], bucket[BUCKETS], found[BUCKETS];
    uint32_t count = 0, frozen_count = 0;
    pager_open(&pager);
    atoll_rng_seed(&rng, 3, 0);
    atoll_rows_init(&rows, WIDTH);
    for (uint32_t i = 0; i < BUCKETS; i++)
        row_of[i] = ATOLL_ROW_NONE;
    for (uint32_t step = 0; step < 30000; step++) {
        uint32_t b = step < 15000 ? atoll_rng_below(&rng, BUCKETS) : 20000 + step;
        assert_int_equal(find(&rows, b), row_of[b]);
        if (row_of[b] == ATOLL_ROW_NONE) {
            row_of[b] = add(&pager, &rows, b);
            assert_int_equal(row_of[b], count++);
            const float *row = atoll_rows_at(&rows, row_of[b]);
            for (int k = 0; k < WIDTH; k++)
                assert_true(row[k] == 0);
        }
        atoll_rows_edit(&pager, &rows, row_of[b])[step % WIDTH] = (float)b;
        if (step == 10000) {
            frozen = rows;
            frozen_count = count;
            assert_int_equal(atoll_reclaim_enter(pager.reclaim), 0);
            atoll_reclaim_advance(pager.reclaim);
        }
    }
    check(&rows);
    check(&frozen);
    assert_int_equal(pager.live_bytes, atoll_rows_bytes(&rows));
    for (uint32_t i = 0; i < BUCKETS; i++)
        bucket[i] = i;
    uint32_t searches = 0;
    for (; atoll_rows_find_by(searches, &rows, bucket, BUCKETS, found); searches++) {
        assert_memory_equal(found, row_of, sizeof found);
        memset(found, 1, sizeof found);
    }
    assert_true(searches > 0);
    atoll_rows_find(&frozen, bucket, BUCKETS, found);
    for (uint32_t i = 0; i < BUCKETS; i++)
        assert_int_equal(found[i], row_of[i] < frozen_count ? row_of[i] : ATOLL_ROW_NONE);
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (int k = 0; row_of[i] != ATOLL_ROW_NONE && k < WIDTH; k++)
            assert_true(atoll_rows_at(&rows, row_of[i])[k] == 0 || atoll_rows_at(&rows, row_of[i])[k] == (float)i);
    atoll_reclaim_leave(pager.reclaim, 0);
    clear(&pager, &rows);
}

static void move_reversed(void *arg, const float *old, float *fresh)
{
    ++*(int *)arg;
    for (int k = 0; k < WIDTH; k++)
        fresh[WIDTH - k] = old[k];
    assert_true(fresh[0] == 0 && fresh[2 * WIDTH - 1] == 0);
}

static void reshape_moves_every_row(void **state)
{
    (void)state;
    enum { ROWS = 5000 };
    atoll_pager pager;
    atoll_rows rows;
    int moved = 0;
    pager_open(&pager);
    atoll_rows_init(&rows, WIDTH);
    for (uint32_t i = 0; i < ROWS; i++)
        for (int k = 0; k < WIDTH; k++)
            atoll_rows_edit(&pager, &rows, k ? i : add(&pager, &rows, 7 * i))[k] = (float)(i + (uint32_t)k);
    atoll_rows before = rows;
    int ticket = atoll_reclaim_enter(pager.reclaim);
    atoll_reclaim_advance(pager.reclaim);
    blocks_left = 3;
    assert_int_equal(atoll_rows_reshape(&pager, &rows, 2 * WIDTH, move_reversed, &moved, NULL), ATOLL_NO_MEMORY);
    blocks_left = LONG_MAX;
    assert_int_equal(moved, 0);
    assert_int_equal(rows.width, WIDTH);
    assert_arrays_equal(&rows.rows, &before.rows);
    assert_int_equal(atoll_rows_reshape(&pager, &rows, 2 * WIDTH, move_reversed, &moved, NULL), ATOLL_OK);
    assert_int_equal(moved, ROWS);
    assert_int_equal(rows.width, 2 * WIDTH);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(find(&rows, 7 * i), i);
        for (int k = 0; k < WIDTH; k++) {
            assert_true(atoll_rows_at(&rows, i)[WIDTH - k] == (float)(i + (uint32_t)k));
            assert_true(atoll_rows_at(&before, i)[k] == (float)(i + (uint32_t)k));
        }
    }
    check(&rows);
    assert_int_equal(add(&pager, &rows, 3), ROWS);
    assert_int_equal(pager.live_bytes, atoll_rows_bytes(&rows));
    atoll_reclaim_leave(pager.reclaim, ticket);
    clear(&pager, &rows);
}

static uint64_t *place_of(atoll_pager *pager, atoll_rows *rows, uint32_t bucket)
{
    for (uint32_t i = 0; i < rows->table.count; i++)
        if ((uint32_t)*(const uint64_t *)atoll_array_at(&rows->table, i) == bucket + 1)
            return atoll_array_edit(pager, &rows->table, i);
    fail();
    return NULL;
}

static void expect_damage(const atoll_rows *rows)
{
    atoll_error error = {.detail = ""};
    assert_int_equal(atoll_rows_verify(rows, &error), ATOLL_DAMAGED);
    assert_int_equal(error.status, ATOLL_DAMAGED);
    assert_true(error.detail[0] != '\0');
}

static void the_verifier_sees_damage(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_rows rows;
    pager_open(&pager);
    atoll_rows_init(&rows, WIDTH);
    for (uint32_t i = 0; i < 300; i++)
        add(&pager, &rows, i * 977);
    check(&rows);
    uint64_t *place = place_of(&pager, &rows, 5 * 977), was = *place;
    *place = 0; /* a row that no bucket names */
    expect_damage(&rows);
    *place = UINT64_C(300) << 32 | (uint32_t)was; /* a row that is not there */
    expect_damage(&rows);
    *place = (was & ~UINT64_C(0xffffffff)) | (6 * 977 + 1); /* a bucket twice */
    expect_damage(&rows);
    *place = was;
    check(&rows);
    for (uint32_t i = 0; i < rows.table.count; i++) {
        uint64_t *free_place = atoll_array_edit(&pager, &rows.table, i);
        if (*free_place || free_place == place)
            continue;
        *free_place = was; /* moved to where no search passes, or behind a hole */
        *place = 0;
        assert_true(atoll_rows_verify(&rows, NULL) == ATOLL_DAMAGED || find(&rows, 5 * 977) == 5);
        *free_place = 0;
        *place = was;
    }
    check(&rows);
    clear(&pager, &rows);
}

static void short_memory_changes_nothing(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_rows rows;
    uint32_t row, refused = 0;
    pager_open(&pager);
    atoll_rows_init(&rows, 1500); /* two rows a page */
    for (uint32_t i = 0; i < 900; i++) {
        atoll_reclaim_advance(pager.reclaim);
        for (blocks_left = 0; atoll_rows_add(&pager, &rows, i * 3, &row, NULL) != ATOLL_OK;) {
            long had = blocks_left;
            assert_int_equal(had, 0);
            blocks_left = LONG_MAX;
            assert_int_equal(rows.rows.count, i);
            assert_int_equal(find(&rows, i * 3), ATOLL_ROW_NONE);
            check(&rows);
            blocks_left = 1 + refused++ % 6;
        }
        blocks_left = LONG_MAX;
        assert_int_equal(row, i);
    }
    assert_true(refused > 900);
    check(&rows);
    clear(&pager, &rows);
}

static void room_grows_by_half(void **state)
{
    (void)state;
    assert_int_equal(atoll_rows_room(0, 1), 8);
    assert_int_equal(atoll_rows_room(8, 9), 16);
    assert_int_equal(atoll_rows_room(144, 145), 216);
    assert_int_equal(atoll_rows_room(16, 200), 200);
    assert_int_equal(atoll_rows_room(16, 201), 208);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(agrees_with_a_plain_array),
        cmocka_unit_test(reshape_moves_every_row),
        cmocka_unit_test(the_verifier_sees_damage),
        cmocka_unit_test(short_memory_changes_nothing),
        cmocka_unit_test(room_grows_by_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
