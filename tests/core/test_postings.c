#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "core/postings.h"
#include "tests/core/paged.h"

enum { ROWS = 60, LABELS = 300 };

static void check(const atoll_postings *postings)
{
    atoll_error error = {.detail = ""};
    if (atoll_postings_verify(postings, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

static void open(atoll_pager *pager, atoll_postings *postings, bool squared)
{
    pager_open(pager);
    atoll_postings_init(postings, squared);
    assert_int_equal(atoll_postings_grow(pager, postings, ROWS, NULL), ATOLL_OK);
}

static void close(atoll_pager *pager, atoll_postings *postings)
{
    assert_int_equal(pager->live_bytes, atoll_postings_bytes(postings));
    atoll_postings_clear(pager, postings);
    assert_int_equal(atoll_postings_bytes(postings), 0);
    pager_close(pager);
}

/* What the lists should hold. */
typedef struct plain {
    float value[ROWS][LABELS];
    bool met[ROWS][LABELS];
    uint32_t labels[ROWS];
} plain;

static void agrees(const atoll_postings *postings, const plain *p)
{
    uint32_t entries = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        atoll_posting_list list = atoll_postings_at(postings, r);
        bool dropped = p->labels[r] > ATOLL_POSTINGS_MOST;
        assert_int_equal(list.count, dropped ? 0 : p->labels[r]);
        entries += list.count;
        for (uint32_t i = 0; i < list.count; i++) {
            assert_true(p->met[r][list.label[i]]);
            assert_true(list.value[i] == p->value[r][list.label[i]]);
            assert_true(!postings->squared || list.square[i] == (uint16_t)list.value[i]);
        }
    }
    assert_int_equal(postings->entries, entries);
}

static void put(atoll_pager *pager, atoll_postings *postings, plain *p, uint32_t row, uint32_t label)
{
    atoll_posting_list list;
    uint32_t index;
    assert_int_equal(atoll_postings_put(pager, postings, row, label, &list, &index, NULL), ATOLL_OK);
    p->labels[row] += !p->met[row][label];
    p->met[row][label] = true;
    if (p->labels[row] > ATOLL_POSTINGS_MOST) {
        assert_int_equal(list.count, 0);
        return;
    }
    assert_int_equal(list.label[index], label);
    assert_true(list.value[index] == p->value[row][label]);
    list.value[index] = p->value[row][label] += 1;
    if (list.square)
        list.square[index]++;
}

/* Against a matrix; the first rows meet more labels than a list may hold. A frozen copy stays as it was. */
static void holds_what_was_put(void **state)
{
    (void)state;
    for (int squared = 0; squared < 2; squared++) {
        static plain now, then;
        atoll_pager pager;
        atoll_postings postings, frozen;
        atoll_rng rng;
        memset(&now, 0, sizeof now);
        open(&pager, &postings, squared);
        atoll_rng_seed(&rng, 4, 0);
        frozen = postings;
        assert_int_equal(atoll_reclaim_enter(pager.reclaim), 0);
        for (uint32_t step = 0; step < 15000; step++) {
            uint32_t row = atoll_rng_below(&rng, ROWS);
            put(&pager, &postings, &now, row, atoll_rng_below(&rng, row < 5 ? LABELS : 1 + row));
            if (step == 3000) {
                frozen = postings;
                then = now;
                atoll_reclaim_advance(pager.reclaim);
            }
            if (step % 1000 == 0)
                check(&postings);
        }
        check(&postings);
        agrees(&postings, &now);
        check(&frozen);
        agrees(&frozen, &then);
        assert_true(now.labels[0] > ATOLL_POSTINGS_MOST && then.labels[0] < ATOLL_POSTINGS_MOST);
        atoll_reclaim_leave(pager.reclaim, 0);
        close(&pager, &postings);
    }
}

/* Empty lists, and what they should hold. */
typedef struct trial {
    atoll_pager pager;
    atoll_postings postings;
    plain expected;
} trial;

static trial *trial_open(void)
{
    static trial t;
    memset(&t, 0, sizeof t);
    open(&t.pager, &t.postings, true);
    return &t;
}

/* Rows that are dropped leave their lists to others. */
static void what_is_left_is_used_again(void **state)
{
    (void)state;
    trial *t = trial_open();
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t label = 0; label <= ATOLL_POSTINGS_MOST; label++)
            put(&t->pager, &t->postings, &t->expected, row, label);
    assert_int_equal(t->postings.entries, 0);
    for (int s = 0; s < ATOLL_POSTINGS_SIZES; s++)
        assert_int_equal(t->postings.lists[s].count, 1);
    check(&t->postings);
    close(&t->pager, &t->postings);
}

static void short_memory_changes_nothing(void **state)
{
    (void)state;
    trial *t = trial_open();
    int refused = 0;
    for (uint32_t label = 0; label < ATOLL_POSTINGS_MOST + 2; label++) {
        atoll_reclaim_advance(t->pager.reclaim);
        for (long had = 0;; had++, refused++) {
            atoll_posting_list list;
            uint32_t index;
            blocks_left = had;
            atoll_status status = atoll_postings_put(&t->pager, &t->postings, 7, label, &list, &index, NULL);
            blocks_left = LONG_MAX;
            if (status == ATOLL_OK)
                break;
            assert_int_equal(status, ATOLL_NO_MEMORY);
            check(&t->postings);
            agrees(&t->postings, &t->expected);
        }
        put(&t->pager, &t->postings, &t->expected, 7, label);
    }
    assert_true(refused > 100);
    close(&t->pager, &t->postings);
}

static void damage_is_found(void **state)
{
    (void)state;
    trial *t = trial_open();
    for (uint32_t i = 0; i < 40; i++)
        put(&t->pager, &t->postings, &t->expected, i % 4, i / 4);
    atoll_posting_list list = atoll_postings_at(&t->postings, 2);
    list.label[3] = list.label[1];
    assert_int_equal(atoll_postings_verify(&t->postings, NULL), ATOLL_DAMAGED);
    list.label[3] = 3;
    check(&t->postings);
    /* Two rows of one list; a place is two words. */
    uint32_t *rows[2], words[2];
    for (uint32_t i = 0; i < 2; i++) {
        rows[i] = atoll_array_edit(&t->pager, &t->postings.rows, 2 + i);
        assert_non_null(rows[i]);
    }
    memcpy(words, rows[1], sizeof words);
    memcpy(rows[1], rows[0], sizeof words);
    assert_int_equal(atoll_postings_verify(&t->postings, NULL), ATOLL_DAMAGED);
    memcpy(rows[1], words, sizeof words);
    check(&t->postings);
    t->postings.entries++;
    assert_int_equal(atoll_postings_verify(&t->postings, NULL), ATOLL_DAMAGED);
    t->postings.entries--;
    t->postings.vacant[2] = 1;
    assert_int_equal(atoll_postings_verify(&t->postings, NULL), ATOLL_DAMAGED);
    close(&t->pager, &t->postings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_put),
        cmocka_unit_test(what_is_left_is_used_again),
        cmocka_unit_test(short_memory_changes_nothing),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
