/*
 * The models of a server by name, each in DIR/models/NAME. Opened at start, made and removed while the server runs.
 *
 * A model is reference counted: who looked it up may use its learner until he releases it, also after it was removed.
 * Learning ends at once, and who waits for it is told. The removal itself is done by a thread of the registry once the
 * last reference is gone: it closes the learner, moves the folder out of the way in one rename (so that a crash leaves
 * a whole model or none), and deletes it. A release may therefore happen on any thread, also on one of the learner's
 * own.
 */
#ifndef ATOLL_API_REGISTRY_H
#define ATOLL_API_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "core/limits.h"
#include "core/status.h"
#include "learner/learner.h"

enum { ATOLL_MODELS_MAX = 256 }; /* each has threads and two maps of its own */

typedef struct atoll_registry atoll_registry;

typedef struct atoll_model {
    char name[ATOLL_NAME_MAX_BYTES + 1];
    atoll_learner *learner;
} atoll_model;

/* 1 to 64 of A-Z a-z 0-9 . _ -, and neither "." nor "..". */
bool atoll_model_name_valid(const char *name);

/* Makes the folder where it is missing, locks it against other servers, and opens every model in it. ATOLL_WRONG_STATE
 * where another server holds it; else the status of the first model that does not open, its name in the error. */
atoll_status atoll_registry_open(const char *dir, size_t map_bytes, atoll_registry **out, atoll_error *error);

/* Closes every learner. Nobody may look up or remove any more; references that callbacks hold are given back here. */
void atoll_registry_close(atoll_registry *registry);

/* ATOLL_UNKNOWN_MODEL, ATOLL_INVALID_NAME. */
atoll_status atoll_registry_find(atoll_registry *registry, const char *name, atoll_model **out, atoll_error *error);

/* The model of that name, made with `config` where there is none (*created). ATOLL_INVALID_NAME; ATOLL_WRONG_STATE
 * where there are too many or the former of that name is being removed; what atoll_learner_open says. */
atoll_status atoll_registry_create(atoll_registry *registry, const char *name, const atoll_config *config,
                                   atoll_model **out, bool *created, atoll_error *error);

void atoll_registry_release(atoll_registry *registry, atoll_model *model);

/* Every model, by name: an array to hand to atoll_registry_release_all. ATOLL_NO_MEMORY. */
atoll_status atoll_registry_all(atoll_registry *registry, atoll_model ***out, uint32_t *count, atoll_error *error);
void atoll_registry_release_all(atoll_registry *registry, atoll_model **models, uint32_t count);

/* From now on the name is unknown; `done` comes on the registry's thread once the model is gone from the disk.
 * ATOLL_UNKNOWN_MODEL. */
typedef void (*atoll_removed)(void *arg, atoll_status status, const atoll_error *error);
atoll_status atoll_registry_remove(atoll_registry *registry, const char *name, atoll_removed done, void *arg,
                                   atoll_error *error);

uint32_t atoll_registry_count(atoll_registry *registry);

#endif
