/*
 * Epoch-based reclamation [Fraser 2004]: one writer replaces things that readers may still hold; what it replaces is
 * retired, and freed once no reader that could hold it is inside. Readers take no lock and never wait.
 *
 * A reader enters before it loads the published pointer and leaves when it has done with everything reached from it.
 * The writer publishes, then advances. One atoll_reclaim serves one model.
 *
 * A reader that stays for long would keep all that is replaced meanwhile. One whose state the writer knows may be a
 * pin: it keeps only what was born by then [interval-based reclamation, Wen et al. 2018].
 */
#ifndef ATOLL_CORE_RECLAIM_H
#define ATOLL_CORE_RECLAIM_H

#include <stddef.h>
#include <stdint.h>

#include "core/slabs.h"

typedef struct atoll_reclaim atoll_reclaim;

enum { ATOLL_RECLAIM_READERS = 64 }; /* readers that may be inside at once; a further one yields until one leaves */

atoll_reclaim *atoll_reclaim_new(void); /* NULL where memory is short */
void atoll_reclaim_free(atoll_reclaim *reclaim); /* no reader may be inside; frees everything retired */

/* Any thread. Enter returns a ticket for leave. */
int atoll_reclaim_enter(atoll_reclaim *reclaim);
void atoll_reclaim_leave(atoll_reclaim *reclaim, int ticket);

/* Writer only. The epoch starts at 1 and grows by one at each advance. */
uint64_t atoll_reclaim_epoch(const atoll_reclaim *reclaim);

/* Writer only: what the present state holds is kept until the pin is taken away. There is at most one. */
void atoll_reclaim_pin(atoll_reclaim *reclaim);
void atoll_reclaim_unpin(atoll_reclaim *reclaim); /* fine where there is none */

/*
 * The writer or a thread that works for it, several at a time but none beside an advance: `release(object)` is called
 * once nobody can hold it. `born` is the epoch since when it can be part of the state, 0 where that is not known.
 * Counts `bytes` as waiting until then. Aborts the process where not even the list's few bytes can be had: forgetting
 * the object would be worse.
 */
void atoll_reclaim_retire(atoll_reclaim *reclaim, void *object, uint64_t born, size_t bytes, void (*release)(void *));

/* Writer only: what was retired so far belongs to the past; frees what no reader can hold any more. */
void atoll_reclaim_advance(atoll_reclaim *reclaim);

/* Any thread: bytes retired and not yet freed. */
size_t atoll_reclaim_waiting_bytes(const atoll_reclaim *reclaim);

/* The slabs that the model's pages are taken from; they end with the reclaimer. */
atoll_slabs *atoll_reclaim_slabs(const atoll_reclaim *reclaim);

#endif
