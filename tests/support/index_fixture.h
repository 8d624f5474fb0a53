/* An index beside a plain table of what it should hold, for the tests of retrieval. Include cmocka before it. */
#ifndef ATOLL_TESTS_SUPPORT_INDEX_FIXTURE_H
#define ATOLL_TESTS_SUPPORT_INDEX_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"
#include "retrieval/index.h"

enum { INDEX_FIXTURE_DIM = 64, INDEX_FIXTURE_CLUSTERS = 40 };

typedef struct index_fixture {
    atoll_index *index;
    uint32_t slots;
    float *vector; /* slots x INDEX_FIXTURE_DIM, as the halves that the index keeps */
    bool *held;
    atoll_rng rng;
    float centre[INDEX_FIXTURE_CLUSTERS][INDEX_FIXTURE_DIM];
} index_fixture;

void index_fixture_open(index_fixture *f, uint32_t slots);
void index_fixture_close(index_fixture *f);

/* A unit vector near one of the centres. */
void index_fixture_draw_vector(index_fixture *f, float *vector);

/* These fail the test where the index does. Churn is many puts and some drops in random slots. */
void index_fixture_put(index_fixture *f, uint32_t slot);
void index_fixture_drop(index_fixture *f, uint32_t slot);
void index_fixture_churn(index_fixture *f, int count);
void index_fixture_publish(index_fixture *f);
double index_fixture_verify(index_fixture *f, uint32_t samples); /* returns the recall */

/* For atoll_index_verify; `f` is the fixture. */
const float *index_fixture_held_vector(void *f, uint32_t slot);

#endif
