#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/index_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"

static void normalise(float *vector)
{
    float sum = 0;
    uint16_t half[INDEX_FIXTURE_DIM];
    for (int i = 0; i < INDEX_FIXTURE_DIM; i++)
        sum += vector[i] * vector[i];
    for (int i = 0; i < INDEX_FIXTURE_DIM; i++)
        vector[i] /= sqrtf(sum);
    atoll_half_from_float(vector, half, INDEX_FIXTURE_DIM);
    atoll_half_to_float(half, vector, INDEX_FIXTURE_DIM);
}

void index_fixture_open(index_fixture *f, uint32_t slots)
{
    memset(f, 0, sizeof *f);
    atoll_rng_seed(&f->rng, 11, slots);
    f->slots = slots;
    f->vector = calloc((size_t)slots * INDEX_FIXTURE_DIM, sizeof(float));
    f->held = calloc(slots, sizeof(bool));
    assert_true(f->vector && f->held);
    for (int c = 0; c < INDEX_FIXTURE_CLUSTERS; c++)
        for (int i = 0; i < INDEX_FIXTURE_DIM; i++)
            f->centre[c][i] = atoll_rng_normal(&f->rng);
    assert_int_equal(atoll_index_new(INDEX_FIXTURE_DIM, slots, &f->index, NULL), ATOLL_OK);
}

void index_fixture_close(index_fixture *f)
{
    atoll_index_free(f->index);
    free(f->vector);
    free(f->held);
}

void index_fixture_draw_vector(index_fixture *f, float *vector)
{
    const float *centre = f->centre[atoll_rng_below(&f->rng, INDEX_FIXTURE_CLUSTERS)];
    for (int i = 0; i < INDEX_FIXTURE_DIM; i++)
        vector[i] = centre[i] + atoll_rng_normal(&f->rng);
    normalise(vector);
}

void index_fixture_put(index_fixture *f, uint32_t slot)
{
    index_fixture_draw_vector(f, f->vector + (size_t)slot * INDEX_FIXTURE_DIM);
    f->held[slot] = true;
    assert_int_equal(atoll_index_put(f->index, slot, f->vector + (size_t)slot * INDEX_FIXTURE_DIM, NULL), ATOLL_OK);
}

void index_fixture_drop(index_fixture *f, uint32_t slot)
{
    f->held[slot] = false;
    assert_int_equal(atoll_index_drop(f->index, slot, NULL), ATOLL_OK);
}

void index_fixture_publish(index_fixture *f)
{
    atoll_error error = {.detail = ""};
    if (atoll_index_publish(f->index, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
}

const float *index_fixture_held_vector(void *arg, uint32_t slot)
{
    index_fixture *f = arg;
    return f->held[slot] ? f->vector + (size_t)slot * INDEX_FIXTURE_DIM : NULL;
}

double index_fixture_verify(index_fixture *f, uint32_t samples)
{
    double recall = 0;
    atoll_error error = {.detail = ""};
    if (atoll_index_verify(f->index, index_fixture_held_vector, f, samples, &recall, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
    return recall;
}

void index_fixture_churn(index_fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t slot = atoll_rng_below(&f->rng, f->slots);
        if (atoll_rng_below(&f->rng, 8))
            index_fixture_put(f, slot);
        else
            index_fixture_drop(f, slot);
    }
}
