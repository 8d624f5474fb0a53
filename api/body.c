#include "api/body.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

enum {
    START_BYTES = 64 * 1024, /* first allocation of a body; doubled as it grows */
    AT_ONCE = 4,             /* bodies of full size that may be held at once, and */
    BESIDE_BYTES = 64 << 20  /* this much beside them; beyond it 429 */
};

void atoll_bodies_init(atoll_bodies *bodies, uint64_t body_max_bytes)
{
    bodies->body_max_bytes = body_max_bytes;
    bodies->budget_bytes = AT_ONCE * body_max_bytes + BESIDE_BYTES;
    atomic_init(&bodies->held_bytes, 0);
}

atoll_status atoll_bodies_allow(const atoll_bodies *bodies, uint64_t bytes, atoll_error *error)
{
    if (bytes > bodies->body_max_bytes)
        return atoll_fail(error, ATOLL_BODY_TOO_LARGE, "the body is over %llu bytes",
                          (unsigned long long)bodies->body_max_bytes);
    return ATOLL_OK;
}

static atoll_status grow(atoll_bodies *bodies, atoll_body *body, uint64_t length, size_t needed, atoll_error *error)
{
    size_t most = (length ? length : bodies->body_max_bytes) + ATOLL_JSON_PADDING;
    size_t bytes = body->room_bytes ? body->room_bytes : START_BYTES;
    if (needed > most)
        return atoll_fail(error, ATOLL_BODY_TOO_LARGE, "the body is longer than it was said to be");
    while (bytes < needed)
        bytes *= 2;
    bytes = bytes < most ? bytes : most;
    size_t more = bytes - body->room_bytes;
    bool fits = atomic_fetch_add(&bodies->held_bytes, more) + more <= bodies->budget_bytes;
    char *data = fits ? realloc(body->data, bytes) : NULL;
    if (!data) {
        atomic_fetch_sub(&bodies->held_bytes, more);
        return fits ? atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the body")
                    : atoll_fail(error, ATOLL_BUSY, "the server holds as many bodies as it may");
    }
    body->data = data;
    body->room_bytes = bytes;
    return ATOLL_OK;
}

atoll_status atoll_body_add(atoll_bodies *bodies, atoll_body *body, uint64_t length, const char *piece, size_t bytes,
                            atoll_error *error)
{
    size_t needed = body->bytes + bytes + ATOLL_JSON_PADDING;
    atoll_status status = atoll_bodies_allow(bodies, body->bytes + bytes, error);
    if (!status && needed > body->room_bytes)
        status = grow(bodies, body, length, needed, error);
    if (status)
        return status;
    memcpy(body->data + body->bytes, piece, bytes);
    body->bytes += bytes;
    memset(body->data + body->bytes, 0, ATOLL_JSON_PADDING);
    return ATOLL_OK;
}

void atoll_body_drop(atoll_bodies *bodies, atoll_body *body)
{
    atomic_fetch_sub(&bodies->held_bytes, body->room_bytes);
    free(body->data);
    *body = (atoll_body){0};
}
