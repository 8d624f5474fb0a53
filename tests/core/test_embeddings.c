#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/embeddings.h"
#include "core/half.h"
#include "core/rng.h"
#include "tests/support/server.h"

enum { DIM = 24, MAP_BYTES = 64 << 20 };

typedef struct fixture {
    char top[128], path[160];
    atoll_embeddings *store;
} fixture;

static void open_store(fixture *f)
{
    atoll_error error;
    assert_int_equal(atoll_embeddings_open(f->path, DIM, MAP_BYTES, &f->store, &error), ATOLL_OK);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_true(folder_make(f->top));
    snprintf(f->path, sizeof f->path, "%s/embeddings", f->top);
    open_store(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    atoll_embeddings_close(f->store);
    folder_remove(f->top);
    free(f);
    return 0;
}

static atoll_embedding item_of(uint32_t number, float *vector)
{
    char text[32];
    atoll_rng rng;
    atoll_embedding item = {.vector = vector, .found = ATOLL_EMBEDDING_THERE};
    item.key = atoll_embedding_key_of((atoll_slice){text, (size_t)snprintf(text, sizeof text, "text %u", number)});
    atoll_rng_seed(&rng, number, 0);
    for (int i = 0; i < DIM && vector; i++)
        vector[i] = atoll_rng_normal(&rng);
    return item;
}

static void put(fixture *f, uint32_t number, uint64_t commit)
{
    float vector[DIM];
    atoll_embedding item = item_of(number, vector);
    assert_int_equal(atoll_embeddings_put(f->store, &item, 1, commit, NULL), ATOLL_OK);
}

static atoll_embedding_found get(fixture *f, uint32_t number, float *vector)
{
    atoll_embedding item = item_of(number, NULL);
    item.vector = vector;
    assert_int_equal(atoll_embeddings_get(f->store, &item, 1, NULL), ATOLL_OK);
    return item.found;
}

static void gives_back_what_was_put_in_half_precision(void **state)
{
    fixture *f = *state;
    float wanted[DIM], got[DIM];
    item_of(7, wanted);
    assert_int_equal(get(f, 7, got), ATOLL_EMBEDDING_ABSENT);
    put(f, 7, 3);
    assert_int_equal(get(f, 7, got), ATOLL_EMBEDDING_THERE);
    assert_int_equal(get(f, 7, NULL), ATOLL_EMBEDDING_THERE);
    assert_int_equal(get(f, 8, got), ATOLL_EMBEDDING_ABSENT);
    for (int i = 0; i < DIM; i++)
        assert_true(got[i] == atoll_half_value(atoll_half_round(wanted[i])));
    assert_int_equal(atoll_embeddings_count(f->store), 1);
}

static void is_never_written_over(void **state)
{
    fixture *f = *state;
    float before[DIM], other[DIM], after[DIM];
    put(f, 7, 3);
    get(f, 7, before);
    item_of(8, other);
    atoll_embedding item = item_of(7, NULL);
    item.vector = other;
    assert_int_equal(atoll_embeddings_put(f->store, &item, 1, 9, NULL), ATOLL_OK);
    assert_int_equal(get(f, 7, after), ATOLL_EMBEDDING_THERE);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(atoll_embeddings_count(f->store), 1);
}

static void knows_that_there_is_none(void **state)
{
    fixture *f = *state;
    atoll_embedding item = item_of(1, NULL);
    float got[DIM];
    item.found = ATOLL_EMBEDDING_NONE;
    assert_int_equal(atoll_embeddings_put(f->store, &item, 1, 1, NULL), ATOLL_OK);
    assert_int_equal(get(f, 1, got), ATOLL_EMBEDDING_NONE);
    item = item_of(2, NULL);
    item.found = ATOLL_EMBEDDING_ABSENT;
    assert_int_equal(atoll_embeddings_put(f->store, &item, 1, 1, NULL), ATOLL_OK);
    assert_int_equal(get(f, 2, got), ATOLL_EMBEDDING_ABSENT);
}

static void is_there_after_reopening_and_once_at_a_time(void **state)
{
    fixture *f = *state;
    float before[DIM], after[DIM];
    atoll_embeddings *second;
    put(f, 5, 2);
    get(f, 5, before);
    assert_int_equal(atoll_embeddings_open(f->path, DIM, MAP_BYTES, &second, NULL), ATOLL_BUSY);
    atoll_embeddings_close(f->store);
    open_store(f);
    assert_int_equal(get(f, 5, after), ATOLL_EMBEDDING_THERE);
    assert_memory_equal(before, after, sizeof before);
}

static void vectors_of_another_length_are_damage(void **state)
{
    fixture *f = *state;
    float got[2 * DIM];
    put(f, 5, 2);
    atoll_embeddings_close(f->store);
    assert_int_equal(atoll_embeddings_open(f->path, 2 * DIM, MAP_BYTES, &f->store, NULL), ATOLL_OK);
    atoll_embedding item = item_of(5, NULL);
    item.vector = got;
    assert_int_equal(atoll_embeddings_get(f->store, &item, 1, NULL), ATOLL_DAMAGED);
}

static void trimming_takes_the_least_recently_used_and_spares_what_replay_may_need(void **state)
{
    enum { MANY = 3000 };
    fixture *f = *state;
    atoll_embedding *items = malloc(MANY * sizeof *items);
    float *vectors = malloc(MANY * DIM * sizeof *vectors);
    for (uint32_t i = 0; i < MANY; i++)
        items[i] = item_of(i, vectors + (size_t)i * DIM);
    for (uint64_t commit = 1; commit <= 3; commit++)
        assert_int_equal(atoll_embeddings_put(f->store, items + (commit - 1) * (MANY / 3), MANY / 3, commit, NULL),
                         ATOLL_OK);
    /* One of the oldest is used again. */
    items[0].found = ATOLL_EMBEDDING_ABSENT;
    assert_int_equal(atoll_embeddings_put(f->store, items, 1, 3, NULL), ATOLL_OK);
    uint64_t bytes = atoll_embeddings_bytes(f->store);
    assert_int_equal(atoll_embeddings_trim(f->store, 3, bytes, NULL), ATOLL_OK);
    assert_int_equal(atoll_embeddings_count(f->store), MANY);
    assert_int_equal(atoll_embeddings_trim(f->store, 2, 0, NULL), ATOLL_OK);
    assert_int_equal(atoll_embeddings_count(f->store), MANY / 3 + 1);
    assert_true(atoll_embeddings_bytes(f->store) < bytes / 2);
    assert_int_equal(get(f, 0, NULL), ATOLL_EMBEDDING_THERE);
    assert_int_equal(get(f, 1, NULL), ATOLL_EMBEDDING_ABSENT);
    assert_int_equal(get(f, MANY - 1, NULL), ATOLL_EMBEDDING_THERE);
    assert_int_equal(atoll_embeddings_trim(f->store, 3, bytes / 6, NULL), ATOLL_OK);
    assert_in_range(atoll_embeddings_count(f->store), 1, MANY / 6);
    assert_int_equal(atoll_embeddings_trim(f->store, 3, 0, NULL), ATOLL_OK);
    assert_int_equal(atoll_embeddings_count(f->store), 0);
    free(vectors);
    free(items);
}

static void keys_differ(void **state)
{
    (void)state;
    atoll_embedding_key a = atoll_embedding_key_of((atoll_slice){"a", 1}),
                        b = atoll_embedding_key_of((atoll_slice){"b", 1});
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_true(a.hash[0] != a.hash[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_back_what_was_put_in_half_precision, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_never_written_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_that_there_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_there_after_reopening_and_once_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vectors_of_another_length_are_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trimming_takes_the_least_recently_used_and_spares_what_replay_may_need, set_up,
                                        tear_down),
        cmocka_unit_test(keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
