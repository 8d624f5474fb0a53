#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api/body.h"
#include "core/json.h"

enum { MOST = 200000 };

static char piece[MOST + 1];

static void check_padding(const atoll_body *body)
{
    assert_true(body->room_bytes >= body->bytes + ATOLL_JSON_PADDING);
    for (int i = 0; i < ATOLL_JSON_PADDING; i++)
        assert_int_equal(body->data[body->bytes + (size_t)i], 0);
}

/* Pieces stand behind each other, however often the room grew between them. */
static void pieces_make_a_body(void **state)
{
    (void)state;
    atoll_bodies bodies;
    atoll_body body = {0};
    atoll_bodies_init(&bodies, MOST);
    for (size_t i = 0; i < MOST; i++)
        piece[i] = (char)(i * 7 % 251);
    for (size_t at = 0, bytes = 1; at < MOST; at += bytes, bytes = bytes * 3 < MOST - at ? bytes * 3 : MOST - at) {
        assert_int_equal(atoll_body_add(&bodies, &body, 0, piece + at, bytes, NULL), ATOLL_OK);
        assert_int_equal(body.bytes, at + bytes);
        assert_int_equal(bodies.held_bytes, body.room_bytes);
        check_padding(&body);
    }
    assert_int_equal(body.bytes, MOST);
    assert_memory_equal(body.data, piece, MOST);
    atoll_body_drop(&bodies, &body);
    assert_null(body.data);
    assert_int_equal(bodies.held_bytes, 0);
    atoll_body_drop(&bodies, &body); /* an empty one */
}

/* Where the length is known there is room for that and no more. */
static void a_known_length_bounds_the_room(void **state)
{
    (void)state;
    atoll_bodies bodies;
    atoll_body body = {0};
    atoll_bodies_init(&bodies, MOST);
    for (int i = 0; i < 4; i++)
        assert_int_equal(atoll_body_add(&bodies, &body, 400, piece, 100, NULL), ATOLL_OK);
    assert_int_equal(bodies.held_bytes, 400 + ATOLL_JSON_PADDING);
    check_padding(&body);
    assert_int_equal(atoll_body_add(&bodies, &body, 400, piece, 1, NULL), ATOLL_BODY_TOO_LARGE);
    assert_int_equal(body.bytes, 400);
    atoll_body_drop(&bodies, &body);
}

static void a_body_has_a_limit(void **state)
{
    (void)state;
    atoll_bodies bodies;
    atoll_body body = {0};
    atoll_error error;
    atoll_bodies_init(&bodies, MOST);
    assert_int_equal(atoll_bodies_allow(&bodies, MOST, &error), ATOLL_OK);
    assert_int_equal(atoll_bodies_allow(&bodies, UINT64_MAX, &error), ATOLL_BODY_TOO_LARGE);
    assert_int_equal(atoll_body_add(&bodies, &body, 0, piece, MOST + 1, &error), ATOLL_BODY_TOO_LARGE);
    assert_null(body.data);
    assert_int_equal(atoll_body_add(&bodies, &body, 0, piece, MOST, &error), ATOLL_OK);
    assert_int_equal(atoll_body_add(&bodies, &body, 0, piece, 1, &error), ATOLL_BODY_TOO_LARGE);
    assert_string_equal(error.detail, "the body is over 200000 bytes");
    assert_int_equal(body.bytes, MOST);
    atoll_body_drop(&bodies, &body);
}

/* Four of full size at least; a body that finds no room stays as it was, and goes on once another is gone. */
static void all_bodies_share_a_budget(void **state)
{
    (void)state;
    atoll_bodies bodies;
    atoll_body first = {0}, second = {0};
    atoll_error error;
    atoll_bodies_init(&bodies, MOST);
    assert_true(bodies.budget_bytes >= 4 * MOST);
    bodies.budget_bytes = 100000;
    assert_int_equal(atoll_body_add(&bodies, &first, 60000, piece, 60000, &error), ATOLL_OK);
    assert_int_equal(atoll_body_add(&bodies, &second, 20000, piece, 20000, &error), ATOLL_OK);
    assert_int_equal(atoll_body_add(&bodies, &second, 0, piece, 50000, &error), ATOLL_BUSY);
    assert_int_equal(bodies.held_bytes, 60000 + 20000 + 2 * ATOLL_JSON_PADDING);
    assert_int_equal(second.bytes, 20000);
    assert_memory_equal(second.data, piece, 20000);
    check_padding(&second);
    atoll_body_drop(&bodies, &first);
    assert_int_equal(atoll_body_add(&bodies, &second, 0, piece, 50000, &error), ATOLL_OK);
    assert_int_equal(second.bytes, 70000);
    atoll_body_drop(&bodies, &second);
    assert_int_equal(bodies.held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_make_a_body),
        cmocka_unit_test(a_known_length_bounds_the_room),
        cmocka_unit_test(a_body_has_a_limit),
        cmocka_unit_test(all_bodies_share_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
