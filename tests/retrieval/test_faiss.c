#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "retrieval/faiss.h"

/* Of vectors about some points far apart each has a centre near, on the unit sphere where it is to be. */
static void clusters_are_found(void **state)
{
    (void)state;
    enum { POINTS = 4, CENTRES = 16, EACH = 50, NUMBERS = 8 };
    static float from[POINTS * EACH * NUMBERS], to[2][CENTRES * NUMBERS];
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 2);
    for (int i = 0; i < POINTS * EACH; i++)
        for (int k = 0; k < NUMBERS; k++)
            from[i * NUMBERS + k] = 0.01f * atoll_rng_normal(&rng) + (k == i % POINTS ? 3 : 0);
    for (int spherical = 0; spherical < 2; spherical++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(atoll_faiss_cluster(NUMBERS, CENTRES, POINTS * EACH, from, spherical, to[i], NULL),
                             ATOLL_OK);
        assert_memory_equal(to[0], to[1], sizeof to[0]);
        for (int axis = 0; axis < POINTS; axis++) {
            int found = 0;
            for (int i = 0; i < CENTRES; i++)
                found += fabsf(to[0][i * NUMBERS + axis] - (spherical ? 1 : 3)) < .05f;
            assert_true(found > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
