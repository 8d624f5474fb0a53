#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/naming.h"
#include "tests/core/paged.h"

enum { LABELS = 40, BUCKETS = 400, FEATURES = 12 };

static void close_naming(atoll_pager *pager, atoll_naming *naming)
{
    atoll_naming_clear(pager, naming);
    assert_int_equal(atoll_naming_bytes(naming), 0);
    assert_int_equal(naming->postings, 0);
    pager_close(pager);
}

static void expect_spelled(const char *name, const char *expected)
{
    char text[64];
    size_t bytes = atoll_naming_spell((atoll_slice){name, strlen(name)}, text);
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(text, expected, bytes);
}

static void names_are_spelled_as_words(void **state)
{
    (void)state;
    expect_spelled("transfer_money", "transfer_money"); /* which is cut at the mark as any text is */
    expect_spelled("bookFlight", "book Flight");
    expect_spelled("aBcD", "a Bc D");
    expect_spelled("HTTPServer", "HTTPServer");
    expect_spelled("\xc3\xa4X", "\xc3\xa4X");
    expect_spelled("X", "X");
    expect_spelled("", "");
}

/* FEATURES distinct buckets; labels share some of them. */
static void draw(atoll_rng *rng, uint32_t *bucket, float *weight)
{
    for (uint32_t i = 0; i < FEATURES; i++) {
        bucket[i] = i * (BUCKETS / FEATURES) + atoll_rng_below(rng, BUCKETS / FEATURES);
        weight[i] = 0.1f + atoll_rng_uniform(rng);
    }
}

static void agrees_with_plain_sums(void **state)
{
    static float plain[LABELS][BUCKETS];
    float weight[FEATURES], likeness[LABELS];
    uint32_t bucket[FEATURES];
    atoll_pager pager;
    atoll_naming naming, frozen;
    atoll_rng rng;
    (void)state;
    pager_open(&pager);
    atoll_naming_init(&naming);
    atoll_rng_seed(&rng, 1, 0);
    draw(&rng, bucket, weight);
    assert_false(atoll_naming_hear(&naming, bucket, weight, FEATURES, likeness, LABELS)); /* without any name */
    for (uint32_t round = 0; round < 3 * LABELS; round++) { /* the later ones anew, and with other weights */
        uint32_t label = round % LABELS;
        draw(&rng, bucket, weight);
        for (uint32_t i = 0; i < FEATURES; i++)
            plain[label][bucket[i]] = weight[i];
        assert_int_equal(atoll_naming_put(&pager, &naming, bucket, weight, FEATURES, label, NULL), ATOLL_OK);
    }
    frozen = naming;
    atoll_reclaim_advance(pager.reclaim);
    int ticket = atoll_reclaim_enter(pager.reclaim);
    for (uint32_t label = LABELS; label < 4 * LABELS; label++) { /* labels that a frozen model does not know */
        draw(&rng, bucket, weight);
        assert_int_equal(atoll_naming_put(&pager, &naming, bucket, weight, FEATURES, label, NULL), ATOLL_OK);
    }
    for (uint32_t round = 0; round < 200; round++) {
        draw(&rng, bucket, weight);
        const atoll_naming *asked = round % 2 ? &naming : &frozen;
        bool any = atoll_naming_hear(asked, bucket, weight, FEATURES, likeness, LABELS), expected_any = false;
        for (uint32_t y = 0; y < LABELS; y++) {
            float expected = 0;
            for (uint32_t i = 0; i < FEATURES; i++)
                expected += plain[y][bucket[i]] * weight[i];
            expected_any |= expected > 0;
            assert_near(likeness[y], expected, 1e-5);
        }
        assert_int_equal(any, expected_any);
    }
    atoll_reclaim_leave(pager.reclaim, ticket);
    close_naming(&pager, &naming);
}

static void what_all_names_share_is_kept_for_few(void **state)
{
    float likeness[4 * ATOLL_NAMING_SHARED], one = 1;
    uint32_t bucket[2], labels = 4 * ATOLL_NAMING_SHARED;
    atoll_pager pager;
    atoll_naming naming;
    (void)state;
    pager_open(&pager);
    atoll_naming_init(&naming);
    for (uint32_t y = 0; y < labels; y++) {
        bucket[0] = 7; /* "label" */
        bucket[1] = 1000 + y;
        assert_int_equal(atoll_naming_put(&pager, &naming, bucket, (float[]){1, 1}, 2, y, NULL), ATOLL_OK);
        assert_int_equal(atoll_naming_put(&pager, &naming, bucket, (float[]){1, 1}, 2, y, NULL), ATOLL_OK);
    }
    assert_int_equal(naming.postings, labels + ATOLL_NAMING_SHARED);
    bucket[0] = 7;
    assert_true(atoll_naming_hear(&naming, bucket, &one, 1, likeness, labels));
    for (uint32_t y = 0; y < labels; y++)
        assert_true(likeness[y] == (y < ATOLL_NAMING_SHARED));
    for (uint32_t y = 0; y < labels; y++) {
        bucket[0] = 1000 + y;
        assert_true(atoll_naming_hear(&naming, bucket, &one, 1, likeness, labels));
        assert_true(likeness[y] == 1);
    }
    close_naming(&pager, &naming);
}

static void short_memory_is_told(void **state)
{
    float weight[FEATURES];
    uint32_t bucket[FEATURES], failed = 0;
    atoll_pager pager;
    atoll_naming naming;
    atoll_rng rng;
    (void)state;
    pager_open(&pager);
    atoll_naming_init(&naming);
    atoll_rng_seed(&rng, 2, 0);
    for (uint32_t y = 0; y < 4 * LABELS; y++) {
        draw(&rng, bucket, weight);
        blocks_left = y % 3;
        atoll_status status = atoll_naming_put(&pager, &naming, bucket, weight, FEATURES, y, NULL);
        assert_true(status == ATOLL_OK || status == ATOLL_NO_MEMORY);
        failed += status != ATOLL_OK;
        blocks_left = LONG_MAX;
        assert_int_equal(atoll_naming_put(&pager, &naming, bucket, weight, FEATURES, y, NULL), ATOLL_OK);
    }
    assert_true(failed > 0);
    close_naming(&pager, &naming);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_spelled_as_words),
        cmocka_unit_test(agrees_with_plain_sums),
        cmocka_unit_test(what_all_names_share_is_kept_for_few),
        cmocka_unit_test(short_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
