/* A request's body as it comes in, in pieces. All bodies of a server share a budget. */
#ifndef ATOLL_API_BODY_H
#define ATOLL_API_BODY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* What all bodies share; any thread. */
typedef struct atoll_bodies {
    uint64_t body_max_bytes;
    size_t budget_bytes;
    _Atomic size_t held_bytes;
} atoll_bodies;

/* One body; zeroed while it is empty. Its request's thread. */
typedef struct atoll_body {
    char *data; /* ATOLL_JSON_PADDING zeros behind `bytes`; NULL while empty */
    size_t bytes, room_bytes;
} atoll_body;

void atoll_bodies_init(atoll_bodies *bodies, uint64_t body_max_bytes);

/* Whether a body may have so many bytes. ATOLL_BODY_TOO_LARGE. */
atoll_status atoll_bodies_allow(const atoll_bodies *bodies, uint64_t bytes, atoll_error *error);

/*
 * Adds a piece to a body of which no more than `length` bytes will come, 0 where that is not known.
 * ATOLL_BODY_TOO_LARGE, ATOLL_BUSY where the budget is used up, ATOLL_NO_MEMORY; what was there already then stays.
 */
atoll_status atoll_body_add(atoll_bodies *bodies, atoll_body *body, uint64_t length, const char *piece, size_t bytes,
                            atoll_error *error);

/* Frees it and gives back its part of the budget; it is empty then. */
void atoll_body_drop(atoll_bodies *bodies, atoll_body *body);

#endif
