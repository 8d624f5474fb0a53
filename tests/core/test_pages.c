#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/pages.h"
#include "tests/core/paged.h"

static const uint32_t sizes[] = {1, 3, 4, 8, 100, 1024, 2112, 5000, 16384, 16896, 16897, 40000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void must_grow(atoll_pager *pager, atoll_array *array, uint32_t count)
{
    assert_int_equal(atoll_array_grow(pager, array, count, NULL), ATOLL_OK);
}

static unsigned char *must_edit(atoll_pager *pager, atoll_array *array, uint32_t index)
{
    unsigned char *element = atoll_array_edit(pager, array, index);
    assert_non_null(element);
    return element;
}

/* Element bytes that differ from one (index, salt) to the next. */
static void stamp(unsigned char *element, uint32_t bytes, uint32_t index, uint32_t salt)
{
    for (uint32_t i = 0; i < bytes; i++)
        element[i] = (unsigned char)((index * 31 + salt * 17 + i) ^ (index >> 8));
}

static void pages_hold_as_many_elements_as_fit(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        atoll_array array;
        atoll_array_init(&array, sizes[s]);
        uint32_t per_page = 1u << array.shift;
        assert_int_equal(atoll_array_page_bytes(&array), (size_t)per_page * sizes[s]);
        assert_true(per_page == 1 || per_page * sizes[s] <= ATOLL_PAGE_BYTES);
        assert_true(2 * per_page * sizes[s] > ATOLL_PAGE_BYTES);
        assert_int_equal(atoll_array_page_count(&array), 0);
        assert_int_equal(atoll_array_bytes(&array), 0);
        array.count = per_page;
        assert_int_equal(atoll_array_page_count(&array), 1);
        array.count = per_page + 1;
        assert_int_equal(atoll_array_page_count(&array), 2);
        array.count = UINT32_MAX;
        assert_int_equal(atoll_array_page_count(&array), (UINT64_C(0xffffffff) + per_page - 1) / per_page);
    }
}

static void grows_zeroed_and_keeps_what_it_holds(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        atoll_pager pager;
        atoll_array array;
        uint32_t bytes = sizes[s], most = bytes < 100 ? 20000 : 200, held = 0;
        unsigned char *zero = calloc(1, bytes), *expected = malloc(bytes);
        pager_open(&pager);
        atoll_array_init(&array, bytes);
        while (held < most) {
            uint32_t want = held + 1 + held / 3;
            must_grow(&pager, &array, want);
            assert_int_equal(array.count, want);
            for (uint32_t i = held; i < want; i++) {
                assert_memory_equal(atoll_array_at(&array, i), zero, bytes);
                stamp(must_edit(&pager, &array, i), bytes, i, 1);
            }
            held = want;
            assert_int_equal(pager.live_bytes, atoll_array_bytes(&array));
            atoll_reclaim_advance(pager.reclaim);
        }
        for (uint32_t i = 0; i < held; i++) {
            stamp(expected, bytes, i, 1);
            assert_memory_equal(atoll_array_at(&array, i), expected, bytes);
            if (bytes % 64 == 0)
                assert_int_equal((uintptr_t)atoll_array_at(&array, i) % ATOLL_PAGE_ALIGN, 0);
        }
        atoll_array_clear(&pager, &array);
        assert_int_equal(array.count, 0);
        assert_null(array.root);
        atoll_array_clear(&pager, &array);
        pager_close(&pager);
        free(zero);
        free(expected);
    }
}

static void an_edit_copies_only_what_is_of_the_past(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_array array;
    pager_open(&pager);
    atoll_array_init(&array, 8192);
    must_grow(&pager, &array, 2 * 2 * ATOLL_PAGES_FANOUT); /* two directories */
    unsigned char *first = must_edit(&pager, &array, 0);
    assert_ptr_equal(first, must_edit(&pager, &array, 0));
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 0);

    atoll_array frozen = array;
    int ticket = atoll_reclaim_enter(pager.reclaim);
    atoll_reclaim_advance(pager.reclaim);
    unsigned char *copy = must_edit(&pager, &array, 0);
    size_t page = sizeof(atoll_page) + 16384 + ATOLL_PAGE_SLACK, directory = sizeof(atoll_page_directory);
    size_t root = sizeof(atoll_page_root) + 2 * sizeof(void *);
    assert_ptr_not_equal(first, copy);
    assert_ptr_equal(first, atoll_array_at(&frozen, 0));
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), page + directory + root);
    assert_ptr_equal(copy + 8192, must_edit(&pager, &array, 1));
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), page + directory + root);
    must_edit(&pager, &array, 2);
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 2 * page + directory + root);
    must_edit(&pager, &array, 2 * ATOLL_PAGES_FANOUT);
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 3 * page + 2 * directory + root);
    assert_ptr_equal(atoll_array_at(&frozen, 4), atoll_array_at(&array, 4)); /* the rest is shared */
    assert_int_equal(pager.live_bytes, atoll_array_bytes(&array));

    atoll_reclaim_leave(pager.reclaim, ticket);
    atoll_reclaim_advance(pager.reclaim);
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 0);
    atoll_array_clear(&pager, &array);
    pager_close(&pager);
}

/* A frozen copy beside the bytes that it has to hold for as long as its reader is inside. */
typedef struct photo {
    atoll_array array;
    unsigned char *bytes;
    int ticket;
} photo;

static void photo_take(photo *p, atoll_pager *pager, const atoll_array *array, const unsigned char *mirror)
{
    size_t bytes = (size_t)array->count * array->element_bytes;
    p->ticket = atoll_reclaim_enter(pager->reclaim);
    p->array = *array;
    p->bytes = malloc(bytes + 1);
    assert_non_null(p->bytes);
    memcpy(p->bytes, mirror, bytes);
    atoll_reclaim_advance(pager->reclaim);
}

static void photo_check(const photo *p)
{
    for (uint32_t i = 0; i < p->array.count; i++)
        assert_memory_equal(atoll_array_at(&p->array, i), p->bytes + (size_t)i * p->array.element_bytes,
                            p->array.element_bytes);
}

static void photo_drop(photo *p, atoll_pager *pager)
{
    photo_check(p);
    atoll_reclaim_leave(pager->reclaim, p->ticket);
    free(p->bytes);
    p->bytes = NULL;
}

static void live_a_life(uint32_t bytes, uint32_t most, uint64_t seed)
{
    enum { PHOTOS = 5, ROUNDS = 32 };
    atoll_pager pager;
    atoll_array array;
    atoll_rng rng;
    photo photos[PHOTOS] = {0};
    unsigned char *mirror = calloc(most, bytes);
    assert_non_null(mirror);
    pager_open(&pager);
    atoll_array_init(&array, bytes);
    atoll_rng_seed(&rng, seed, bytes);
    for (int round = 0; round < ROUNDS; round++) {
        if (array.count < most && atoll_rng_below(&rng, 3)) {
            uint32_t more = 1 + atoll_rng_below(&rng, most / 10);
            must_grow(&pager, &array, array.count + more < most ? array.count + more : most);
        }
        for (uint32_t n = array.count ? atoll_rng_below(&rng, 30) : 0; n > 0; n--) {
            uint32_t i = atoll_rng_below(&rng, array.count);
            stamp(mirror + (size_t)i * bytes, bytes, i, (uint32_t)round * 100 + n);
            memcpy(must_edit(&pager, &array, i), mirror + (size_t)i * bytes, bytes);
        }
        assert_int_equal(pager.live_bytes, atoll_array_bytes(&array));
        photo *p = &photos[atoll_rng_below(&rng, PHOTOS)];
        if (p->bytes)
            photo_drop(p, &pager);
        photo_take(p, &pager, &array, mirror);
        for (int i = 0; i < PHOTOS && round % 8 == 0; i++)
            if (photos[i].bytes)
                photo_check(&photos[i]);
    }
    atoll_array_clear(&pager, &array);
    atoll_reclaim_advance(pager.reclaim);
    for (int i = 0; i < PHOTOS; i++)
        if (photos[i].bytes)
            photo_drop(&photos[i], &pager);
    atoll_reclaim_advance(pager.reclaim);
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 0);
    pager_close(&pager);
    free(mirror);
}

static void frozen_copies_stay_as_they_are(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++)
        live_a_life(sizes[s], sizes[s] < 100 ? 10000 : sizes[s] < 4000 ? 2000 : 300, (uint64_t)s);
}

static void page_since_tells_what_changed(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_array array;
    atoll_rng rng;
    enum { PAGES = 300 };
    uint64_t changed[PAGES];
    pager_open(&pager);
    atoll_rng_seed(&rng, 5, 0);
    atoll_array_init(&array, 4096);
    must_grow(&pager, &array, 4 * PAGES);
    for (int i = 0; i < PAGES; i++)
        changed[i] = atoll_reclaim_epoch(pager.reclaim);
    for (int round = 0; round < 20; round++) {
        atoll_reclaim_advance(pager.reclaim);
        for (int n = 0; n < 10; n++) {
            uint32_t i = atoll_rng_below(&rng, array.count);
            must_edit(&pager, &array, i);
            changed[i / 4] = atoll_reclaim_epoch(pager.reclaim);
        }
        uint64_t since = atoll_rng_below(&rng, (uint32_t)atoll_reclaim_epoch(pager.reclaim) + 1);
        for (uint32_t p = 0; p < PAGES; p++) {
            const void *page = atoll_array_page_since(&array, p, since);
            assert_ptr_equal(page, changed[p] > since ? atoll_array_at(&array, 4 * p) : NULL);
        }
    }
    atoll_array_clear(&pager, &array);
    pager_close(&pager);
}

static void pages_travel_through_a_checkpoint(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        atoll_pager pager, other;
        atoll_array array, loaded;
        uint32_t bytes = sizes[s], count = bytes < 100 ? 20001 : bytes < 16384 ? 101 : 261;
        pager_open(&pager);
        pager_open(&other);
        atoll_array_init(&array, bytes);
        atoll_array_init(&loaded, bytes);
        must_grow(&pager, &array, count);
        must_grow(&other, &loaded, count);
        for (uint32_t i = 0; i < count; i++)
            stamp(must_edit(&pager, &array, i), bytes, i, 2);
        atoll_array frozen = loaded;
        int ticket = atoll_reclaim_enter(other.reclaim);
        atoll_reclaim_advance(other.reclaim);
        size_t page_bytes = atoll_array_page_bytes(&array);
        for (uint32_t p = 0; p < atoll_array_page_count(&array); p++)
            assert_int_equal(atoll_array_load_page(&other, &loaded, p, atoll_array_page_since(&array, p, 0),
                                                   page_bytes, NULL),
                             ATOLL_OK);
        assert_arrays_equal(&array, &loaded);
        assert_int_equal(other.live_bytes, atoll_array_bytes(&loaded));
        assert_int_equal(*(const unsigned char *)atoll_array_at(&frozen, 0), 0);
        assert_int_equal(*(const unsigned char *)atoll_array_at(&frozen, count - 1), 0);
        atoll_reclaim_leave(other.reclaim, ticket);

        const void *page = atoll_array_page_since(&array, 0, 0);
        atoll_error error;
        uint32_t pages = atoll_array_page_count(&array);
        assert_int_equal(atoll_array_load_page(&other, &loaded, pages, page, page_bytes, &error), ATOLL_DAMAGED);
        assert_int_equal(error.status, ATOLL_DAMAGED);
        assert_int_equal(atoll_array_load_page(&other, &loaded, 0, page, page_bytes - 1, &error), ATOLL_DAMAGED);
        assert_int_equal(atoll_array_load_page(&other, &loaded, 0, page, page_bytes + 1, NULL), ATOLL_DAMAGED);
        assert_arrays_equal(&array, &loaded);
        atoll_array_clear(&pager, &array);
        atoll_array_clear(&other, &loaded);
        assert_int_equal(atoll_array_load_page(&other, &loaded, 0, NULL, page_bytes, NULL), ATOLL_DAMAGED);
        pager_close(&pager);
        pager_close(&other);
    }
}

static void short_memory_leaves_the_array_usable(void **state)
{
    (void)state;
    for (long had = 0; had < 12; had++) {
        atoll_pager pager;
        atoll_array array;
        pager_open(&pager);
        atoll_array_init(&array, 16384);
        must_grow(&pager, &array, 254);
        for (uint32_t i = 0; i < 254; i++)
            stamp(must_edit(&pager, &array, i), 16384, i, 3);
        atoll_array frozen = array;
        int ticket = atoll_reclaim_enter(pager.reclaim);
        atoll_reclaim_advance(pager.reclaim);
        atoll_error error;
        blocks_left = had;
        /* A root of two directories, the second directory, a copy of the first, and six pages. */
        assert_int_equal(atoll_array_grow(&pager, &array, 260, &error), had < 9 ? ATOLL_NO_MEMORY : ATOLL_OK);
        assert_int_equal(array.count, had < 9 ? 254 : 260);
        blocks_left = 0;
        if (had < 9) {
            assert_null(atoll_array_edit(&pager, &array, 7));
            assert_int_equal(atoll_array_load_page(&pager, &array, 7, atoll_array_at(&array, 8), 16384, NULL),
                             ATOLL_NO_MEMORY);
        }
        blocks_left = LONG_MAX;
        unsigned char expected[16384], zero[16384] = {0};
        for (uint32_t i = 0; i < 254; i++) {
            stamp(expected, sizeof expected, i, 3);
            assert_memory_equal(atoll_array_at(&array, i), expected, sizeof expected);
            assert_memory_equal(atoll_array_at(&frozen, i), expected, sizeof expected);
        }
        must_grow(&pager, &array, 300);
        for (uint32_t i = 254; i < 300; i++)
            assert_memory_equal(atoll_array_at(&array, i), zero, sizeof zero);
        must_edit(&pager, &array, 299);
        assert_int_equal(pager.live_bytes, atoll_array_bytes(&array));
        atoll_reclaim_leave(pager.reclaim, ticket);
        atoll_array_clear(&pager, &array);
        pager_close(&pager);
    }
}

/* ---- readers beside the writer ---- */

enum { THREADS = 3, ELEMENTS = 1500, PUBLISHED = 100 };

typedef struct stage {
    atoll_pager pager;
    _Atomic(atoll_array *) published; /* every element of one published array holds the same number */
    atomic_bool done;
} stage;

static void *read_always(void *arg)
{
    stage *s = arg;
    uintptr_t wrong = 0;
    uint64_t newest = 0;
    while (!atomic_load(&s->done)) {
        int ticket = atoll_reclaim_enter(s->pager.reclaim);
        const atoll_array *array = atomic_load_explicit(&s->published, memory_order_acquire);
        uint64_t number = *(const uint64_t *)atoll_array_at(array, 0);
        wrong += number < newest;
        newest = number;
        for (uint32_t i = 0; i < array->count; i += 61)
            wrong += *(const uint64_t *)atoll_array_at(array, i) != number;
        wrong += *(const uint64_t *)atoll_array_at(array, array->count - 1) != number;
        atoll_reclaim_leave(s->pager.reclaim, ticket);
    }
    return (void *)wrong;
}

static atoll_array *heap_copy(const atoll_array *array)
{
    atoll_array *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = *array;
    return copy;
}

static void readers_never_see_a_change(void **state)
{
    (void)state;
    stage s;
    atoll_array array;
    pthread_t thread[THREADS];
    pager_open(&s.pager);
    atomic_init(&s.done, false);
    atoll_array_init(&array, 512);
    must_grow(&s.pager, &array, ELEMENTS / 2);
    atomic_init(&s.published, heap_copy(&array));
    atoll_reclaim_advance(s.pager.reclaim);
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&thread[t], NULL, read_always, &s), 0);
    for (uint64_t number = 1; number <= PUBLISHED; number++) {
        if (number % 16 == 0 && array.count < ELEMENTS)
            must_grow(&s.pager, &array, array.count + 60);
        for (uint32_t i = 0; i < array.count; i++)
            *(uint64_t *)must_edit(&s.pager, &array, i) = number;
        atoll_array *old = atomic_exchange(&s.published, heap_copy(&array));
        atoll_reclaim_retire(s.pager.reclaim, old, 0, sizeof *old, free);
        atoll_reclaim_advance(s.pager.reclaim);
    }
    atomic_store(&s.done, true);
    for (int t = 0; t < THREADS; t++) {
        void *wrong;
        assert_int_equal(pthread_join(thread[t], &wrong), 0);
        assert_null(wrong);
    }
    free(atomic_load(&s.published));
    atoll_array_clear(&s.pager, &array);
    pager_close(&s.pager);
}

/* ---- several threads of one writer ---- */

typedef struct owner {
    atoll_pager *pager;
    atoll_array array;
    atoll_rng rng;
    uint64_t mirror[6000]; /* what the array should hold */
    uint32_t round;
} owner;

/* Grows, edits and now and then clears an array that is its own. */
static void *live_apart(void *arg)
{
    owner *o = arg;
    const uint32_t most = sizeof o->mirror / sizeof *o->mirror;
    if (o->round % 7 == 6) {
        atoll_array_clear(o->pager, &o->array);
        memset(o->mirror, 0, sizeof o->mirror);
    }
    uint32_t want = o->array.count + 1 + atoll_rng_below(&o->rng, 1000);
    must_grow(o->pager, &o->array, want < most ? want : most);
    for (int i = 0; i < 300; i++) {
        uint32_t at = atoll_rng_below(&o->rng, o->array.count);
        o->mirror[at] = atoll_rng_next(&o->rng);
        memcpy(must_edit(o->pager, &o->array, at), &o->mirror[at], sizeof o->mirror[at]);
    }
    return NULL;
}

static void holds_its_mirror(const atoll_array *array, const uint64_t *mirror)
{
    for (uint32_t i = 0; i < array->count; i++)
        assert_memory_equal(atoll_array_at(array, i), &mirror[i], sizeof mirror[i]);
}

static void different_arrays_change_at_once(void **state)
{
    (void)state;
    enum { OWNERS = 3, ROUNDS = 14 };
    static owner owners[OWNERS];
    static uint64_t then[OWNERS][sizeof owners->mirror / sizeof *owners->mirror];
    static const uint32_t bytes[OWNERS] = {8, 24, 4096};
    atoll_pager pager;
    pthread_t thread[OWNERS];
    pager_open(&pager);
    for (uint32_t o = 0; o < OWNERS; o++) {
        owners[o] = (owner){.pager = &pager};
        atoll_rng_seed(&owners[o].rng, 8, o);
        atoll_array_init(&owners[o].array, bytes[o]);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        atoll_array frozen[OWNERS];
        uint64_t held = 0;
        int ticket = atoll_reclaim_enter(pager.reclaim);
        for (int o = 0; o < OWNERS; o++) {
            frozen[o] = owners[o].array;
            memcpy(then[o], owners[o].mirror, sizeof then[o]);
            owners[o].round = round;
        }
        atoll_reclaim_advance(pager.reclaim);
        for (int o = 0; o < OWNERS; o++)
            assert_int_equal(pthread_create(&thread[o], NULL, live_apart, &owners[o]), 0);
        for (int o = 0; o < OWNERS; o++) /* the frozen ones are read meanwhile */
            holds_its_mirror(&frozen[o], then[o]);
        for (int o = 0; o < OWNERS; o++)
            assert_int_equal(pthread_join(thread[o], NULL), 0);
        for (int o = 0; o < OWNERS; o++) {
            holds_its_mirror(&frozen[o], then[o]);
            holds_its_mirror(&owners[o].array, owners[o].mirror);
            held += atoll_array_bytes(&owners[o].array);
        }
        assert_int_equal(pager.live_bytes, held);
        atoll_reclaim_leave(pager.reclaim, ticket);
    }
    for (int o = 0; o < OWNERS; o++)
        atoll_array_clear(&pager, &owners[o].array);
    atoll_reclaim_advance(pager.reclaim);
    assert_int_equal(atoll_reclaim_waiting_bytes(pager.reclaim), 0);
    pager_close(&pager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_hold_as_many_elements_as_fit),
        cmocka_unit_test(grows_zeroed_and_keeps_what_it_holds),
        cmocka_unit_test(an_edit_copies_only_what_is_of_the_past),
        cmocka_unit_test(frozen_copies_stay_as_they_are),
        cmocka_unit_test(page_since_tells_what_changed),
        cmocka_unit_test(pages_travel_through_a_checkpoint),
        cmocka_unit_test(short_memory_leaves_the_array_usable),
        cmocka_unit_test(readers_never_see_a_change),
        cmocka_unit_test(different_arrays_change_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
