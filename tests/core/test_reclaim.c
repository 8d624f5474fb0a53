#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/reclaim.h"

static void count_release(void *object)
{
    ++*(int *)object;
}

static void frees_at_once_without_readers(void **state)
{
    (void)state;
    int released = 0;
    atoll_reclaim *reclaim = atoll_reclaim_new();
    assert_non_null(reclaim);
    assert_int_equal(atoll_reclaim_epoch(reclaim), 1);
    atoll_reclaim_retire(reclaim, &released, 0, 10, count_release);
    assert_int_equal(released, 0);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 10);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(atoll_reclaim_epoch(reclaim), 2);
    assert_int_equal(released, 1);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 0);
    atoll_reclaim_free(reclaim);
    assert_int_equal(released, 1);
}

static void a_reader_keeps_what_it_could_hold(void **state)
{
    (void)state;
    int before = 0, after = 0, later = 0;
    atoll_reclaim *reclaim = atoll_reclaim_new();
    assert_non_null(reclaim);
    atoll_reclaim_retire(reclaim, &before, 0, 1, count_release);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(before, 1);
    int ticket = atoll_reclaim_enter(reclaim);
    atoll_reclaim_retire(reclaim, &after, 0, 2, count_release);
    for (int i = 0; i < 5; i++)
        atoll_reclaim_advance(reclaim);
    assert_int_equal(after, 0);
    /* A reader that came after is no reason to keep it. */
    int second = atoll_reclaim_enter(reclaim);
    assert_int_not_equal(ticket, second);
    atoll_reclaim_retire(reclaim, &later, 0, 4, count_release);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 6);
    atoll_reclaim_leave(reclaim, ticket);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(after, 1);
    assert_int_equal(later, 0);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 4);
    atoll_reclaim_leave(reclaim, second);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(later, 1);
    atoll_reclaim_free(reclaim);
}

static void a_pin_keeps_what_was_born_before_it(void **state)
{
    (void)state;
    int old = 0, present = 0, young = 0;
    atoll_reclaim *reclaim = atoll_reclaim_new();
    assert_non_null(reclaim);
    uint64_t first = atoll_reclaim_epoch(reclaim);
    atoll_reclaim_retire(reclaim, &old, first, 1, count_release);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(old, 1);
    atoll_reclaim_pin(reclaim);
    atoll_reclaim_advance(reclaim);
    atoll_reclaim_retire(reclaim, &present, first, 1, count_release);
    atoll_reclaim_retire(reclaim, &young, atoll_reclaim_epoch(reclaim), 1, count_release);
    for (int i = 0; i < 3; i++)
        atoll_reclaim_advance(reclaim);
    assert_int_equal(present, 0);
    assert_int_equal(young, 1);
    /* A reader keeps both kinds: what it has found may be younger than when it entered. */
    int ticket = atoll_reclaim_enter(reclaim);
    young = 0;
    atoll_reclaim_retire(reclaim, &young, atoll_reclaim_epoch(reclaim), 1, count_release);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(young, 0);
    atoll_reclaim_leave(reclaim, ticket);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(young, 1);
    assert_int_equal(present, 0);
    atoll_reclaim_unpin(reclaim);
    atoll_reclaim_advance(reclaim);
    assert_int_equal(present, 1);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 0);
    atoll_reclaim_free(reclaim);
}

static void every_place_can_be_taken(void **state)
{
    (void)state;
    int tickets[ATOLL_RECLAIM_READERS], seen[ATOLL_RECLAIM_READERS] = {0};
    atoll_reclaim *reclaim = atoll_reclaim_new();
    assert_non_null(reclaim);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < ATOLL_RECLAIM_READERS; i++) {
            tickets[i] = atoll_reclaim_enter(reclaim);
            assert_in_range(tickets[i], 0, ATOLL_RECLAIM_READERS - 1);
            assert_int_equal(seen[tickets[i]]++, round);
        }
        for (int i = 0; i < ATOLL_RECLAIM_READERS; i++)
            atoll_reclaim_leave(reclaim, tickets[i]);
    }
    atoll_reclaim_free(reclaim);
}

static void free_releases_what_waits(void **state)
{
    (void)state;
    int released = 0;
    atoll_reclaim *reclaim = atoll_reclaim_new();
    assert_non_null(reclaim);
    for (int i = 0; i < 1000; i++)
        atoll_reclaim_retire(reclaim, &released, 0, 1, count_release);
    assert_int_equal(atoll_reclaim_waiting_bytes(reclaim), 1000);
    atoll_reclaim_free(reclaim);
    assert_int_equal(released, 1000);
    atoll_reclaim_free(NULL);
}

/* The torture: a writer publishes, retires and poisons; readers check that what they hold is whole all the while. */
enum { READERS = 4, PUBLISHED = 30000, READ = 10000, WORDS = 16 };

typedef struct thing {
    uint64_t words[WORDS];
} thing;

typedef struct torture {
    atoll_reclaim *reclaim;
    _Atomic(thing *) published;
    _Atomic int stop, broken;
    _Atomic uint64_t reads;
} torture;

static int64_t alive;

static thing *make(uint64_t value)
{
    thing *t = malloc(sizeof *t);
    assert_non_null(t);
    for (int i = 0; i < WORDS; i++)
        t->words[i] = value;
    alive++;
    return t;
}

static void destroy(void *object)
{
    memset(object, 0xdd, sizeof(thing));
    free(object);
    alive--;
}

static void *reader(void *arg)
{
    torture *t = arg;
    uint64_t last = 0;
    while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
        int ticket = atoll_reclaim_enter(t->reclaim);
        const thing *held = atomic_load_explicit(&t->published, memory_order_acquire);
        uint64_t first = held->words[0];
        for (int round = 0; round < 3; round++)
            for (int i = 0; i < WORDS; i++)
                if (held->words[i] != first || first < last)
                    atomic_store(&t->broken, 1);
        last = first;
        atoll_reclaim_leave(t->reclaim, ticket);
        atomic_fetch_add_explicit(&t->reads, 1, memory_order_relaxed);
    }
    return NULL;
}

static void readers_never_see_what_is_freed(void **state)
{
    (void)state;
    torture t = {.reclaim = atoll_reclaim_new()};
    pthread_t threads[READERS];
    assert_non_null(t.reclaim);
    atomic_init(&t.published, make(1));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &t), 0);
    for (uint64_t value = 2; value < PUBLISHED || atomic_load(&t.reads) < READ; value++) {
        thing *old = atomic_load_explicit(&t.published, memory_order_relaxed);
        atomic_store_explicit(&t.published, make(value), memory_order_release);
        atoll_reclaim_retire(t.reclaim, old, 0, sizeof *old, destroy);
        atoll_reclaim_advance(t.reclaim);
    }
    atomic_store(&t.stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&t.broken), 0);
    atoll_reclaim_advance(t.reclaim);
    assert_int_equal(atoll_reclaim_waiting_bytes(t.reclaim), 0);
    assert_int_equal(alive, 1);
    destroy(atomic_load(&t.published));
    atoll_reclaim_free(t.reclaim);
}

/* ---- several threads of one writer ---- */

enum { HANDS = 4, ROUNDS = 30, RETIRED = 300 };

typedef struct writers {
    atoll_reclaim *reclaim;
    pthread_barrier_t begin, end;
    int released[HANDS][ROUNDS][RETIRED];
} writers;

typedef struct hand {
    writers *writers;
    pthread_t thread;
    int number;
} hand;

static void *retire_always(void *arg)
{
    const hand *h = arg;
    writers *w = h->writers;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&w->begin);
        for (int i = 0; i < RETIRED; i++)
            atoll_reclaim_retire(w->reclaim, &w->released[h->number][round][i], 0, (size_t)h->number + 1,
                                 count_release);
        pthread_barrier_wait(&w->end);
    }
    return NULL;
}

/* How often each thing of a round has been released; all alike. */
static int released_of(const writers *w, int round)
{
    int times = w->released[0][round][0];
    for (int h = 0; h < HANDS; h++)
        for (int i = 0; i < RETIRED; i++)
            assert_int_equal(w->released[h][round][i], times);
    return times;
}

static void the_writers_threads_retire_at_once(void **state)
{
    (void)state;
    static writers w;
    hand hands[HANDS];
    const size_t bytes = RETIRED * HANDS * (HANDS + 1) / 2; /* a round's */
    w.reclaim = atoll_reclaim_new();
    assert_non_null(w.reclaim);
    pthread_barrier_init(&w.begin, NULL, HANDS + 1);
    pthread_barrier_init(&w.end, NULL, HANDS + 1);
    for (int h = 0; h < HANDS; h++) {
        hands[h] = (hand){.writers = &w, .number = h};
        assert_int_equal(pthread_create(&hands[h].thread, NULL, retire_always, &hands[h]), 0);
    }
    int ticket = -1;
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 3 == 0)
            ticket = atoll_reclaim_enter(w.reclaim); /* who enters now keeps this round and what follows */
        pthread_barrier_wait(&w.begin);
        pthread_barrier_wait(&w.end);
        if (round % 3 == 2)
            atoll_reclaim_leave(w.reclaim, ticket);
        assert_int_equal(atoll_reclaim_waiting_bytes(w.reclaim), bytes * ((size_t)round % 3 + 1));
        atoll_reclaim_advance(w.reclaim);
        assert_int_equal(released_of(&w, round), round % 3 == 2);
    }
    assert_int_equal(atoll_reclaim_waiting_bytes(w.reclaim), 0);
    for (int h = 0; h < HANDS; h++)
        pthread_join(hands[h].thread, NULL);
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(released_of(&w, round), 1);
    pthread_barrier_destroy(&w.begin);
    pthread_barrier_destroy(&w.end);
    atoll_reclaim_free(w.reclaim);
}

/* More readers than places: those without one yield, and all get through. */
static void *crowd(void *arg)
{
    torture *t = arg;
    for (int i = 0; i < 200; i++) {
        int ticket = atoll_reclaim_enter(t->reclaim);
        atomic_fetch_add(&t->reads, 1);
        atoll_reclaim_leave(t->reclaim, ticket);
    }
    return NULL;
}

static void a_crowd_gets_through(void **state)
{
    (void)state;
    enum { CROWD = 2 * ATOLL_RECLAIM_READERS };
    torture t = {.reclaim = atoll_reclaim_new()};
    pthread_t threads[CROWD];
    assert_non_null(t.reclaim);
    int held[ATOLL_RECLAIM_READERS];
    for (int i = 0; i < ATOLL_RECLAIM_READERS; i++)
        held[i] = atoll_reclaim_enter(t.reclaim);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd, &t), 0);
    assert_int_equal(atomic_load(&t.reads), 0); /* no place is free */
    for (int i = 0; i < ATOLL_RECLAIM_READERS; i++)
        atoll_reclaim_leave(t.reclaim, held[i]);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&t.reads), 200 * CROWD);
    atoll_reclaim_free(t.reclaim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frees_at_once_without_readers),
        cmocka_unit_test(a_reader_keeps_what_it_could_hold),
        cmocka_unit_test(a_pin_keeps_what_was_born_before_it),
        cmocka_unit_test(every_place_can_be_taken),
        cmocka_unit_test(free_releases_what_waits),
        cmocka_unit_test(readers_never_see_what_is_freed),
        cmocka_unit_test(the_writers_threads_retire_at_once),
        cmocka_unit_test(a_crowd_gets_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
