#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/limits.h"
#include "core/projection.h"
#include "core/rng.h"

enum { M = ATOLL_PROJECTION_FEATURES, MOST = 40 };

static atoll_projection *project(uint32_t dim, uint64_t seed)
{
    atoll_projection *projection;
    assert_int_equal(atoll_projection_new(dim, seed, NULL, 0, &projection, NULL), ATOLL_OK);
    assert_int_equal(projection->dim, dim);
    return projection;
}

static uint32_t reads_of(const atoll_projection *p, uint32_t j)
{
    uint32_t reads = 0;
    for (uint32_t i = 0; i < p->inputs; i++)
        reads += p->weight[j * p->inputs + i] != 0;
    return reads;
}

/* Each feature reads distinct numbers: 16, or all of fewer, but every fourth two where they are a table's columns. */
static void features_read_distinct_numbers(void **state)
{
    static const uint32_t dims[] = {1, 2, 15, 16, 17, 256, 784, ATOLL_VECTOR_MAX_DIM};
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        atoll_projection *p = project(dims[d], 3);
        assert_int_equal(p->inputs, dims[d] < ATOLL_PROJECTION_INPUTS ? dims[d] : ATOLL_PROJECTION_INPUTS);
        for (uint32_t j = 1; j < M; j++) {
            bool few = j % 4 == 3 && dims[d] > 16 && dims[d] <= 256;
            assert_int_equal(reads_of(p, j), few ? 2 : p->inputs);
        }
        for (uint32_t j = 0; j < M; j++)
            for (uint32_t i = 0; i < p->inputs; i++) {
                assert_true(p->input[j * p->inputs + i] < dims[d]);
                for (uint32_t k = 0; k < i; k++)
                    assert_int_not_equal(p->input[j * p->inputs + i], p->input[j * p->inputs + k]);
            }
        assert_true(atoll_projection_bytes(p) < 250000);
        atoll_projection_free(p);
    }
    atoll_projection_free(NULL);
    assert_int_equal(atoll_projection_bytes(NULL), 0);
}

/* Batches of any size against the formula, vector by vector. */
static void batches_equal_the_formula(void **state)
{
    enum { DIM = 30 };
    static float v[MOST][DIM], z[MOST][M], scratch[DIM * ATOLL_PROJECTION_BLOCK];
    const float *from[MOST];
    float *to[MOST];
    atoll_rng rng;
    (void)state;
    atoll_projection *p = project(DIM, 5);
    atoll_rng_seed(&rng, 8, 0);
    for (int n = 0; n < MOST; n++) {
        for (int i = 0; i < DIM; i++)
            v[n][i] = atoll_rng_normal(&rng);
        from[n] = v[n];
        to[n] = z[n];
    }
    assert_int_equal(atoll_projection_scratch(DIM), sizeof scratch / sizeof *scratch);
    for (uint32_t count = 1; count <= MOST; count += 13) {
        atoll_projection_run(p, from, count, to, scratch);
        for (uint32_t n = 0; n < count; n++)
            for (uint32_t j = 0; j < M; j++) {
                double sum = p->bias[j];
                for (uint32_t i = 0; i < p->inputs; i++)
                    sum += (double)p->weight[j * p->inputs + i] * v[n][p->input[j * p->inputs + i]];
                if (fabs(z[n][j] - fmax(sum, 0)) > 1e-5)
                    fail_msg("feature %u of vector %u is %g", j, n, (double)z[n][j]);
            }
        for (uint32_t n = 0; n < count; n++)
            assert_true(z[n][0] == 1);
    }
    atoll_projection_free(p);
}

static void the_seed_gives_all(void **state)
{
    (void)state;
    atoll_projection *a = project(20, 1), *b = project(20, 1), *c = project(20, 2);
    assert_memory_equal(a->input, b->input, (size_t)M * a->inputs * sizeof *a->input);
    assert_memory_equal(a->weight, b->weight, (size_t)M * a->inputs * sizeof *a->weight);
    assert_memory_equal(a->bias, b->bias, M * sizeof *a->bias);
    assert_memory_not_equal(a->weight, c->weight, (size_t)M * a->inputs * sizeof *a->weight);
    atoll_projection_free(a);
    atoll_projection_free(b);
    atoll_projection_free(c);
}

/* Of each four features one is as without pairs, the others read one pair, two or four. */
static void pairs_say_what_is_read(void **state)
{
    static const atoll_pair pair[] = {{2, 7, 3}, {5, 5, 1}, {8, 9, 1e-6f}};
    static const uint32_t dims[] = {10, 40, 256};
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        atoll_projection *plain = project(dims[d], 3), *p;
        uint32_t both = 0, alone = 0;
        assert_int_equal(atoll_projection_new(dims[d], 3, pair, 3, &p, NULL), ATOLL_OK);
        for (uint32_t j = 0; j < M; j++) {
            const uint16_t *input = p->input + j * p->inputs;
            size_t at = (size_t)j * p->inputs, bytes = p->inputs * sizeof(float);
            if (atoll_projection_keeps(j)) {
                assert_memory_equal(p->weight + at, plain->weight + at, bytes);
                assert_memory_equal(input, plain->input + at, p->inputs * sizeof *input);
                continue;
            }
            assert_memory_not_equal(p->weight + at, plain->weight + at, bytes);
            for (uint32_t i = 0; i < reads_of(p, j); i++)
                assert_true(input[i] == 2 || input[i] == 7 || input[i] == 5 || input[i] >= 8);
            both += j % 4 == 1 && input[0] == 2 && input[1] == 7 && reads_of(p, j) == 2;
            alone += j % 4 == 1 && input[0] == 5 && reads_of(p, j) == 1;
        }
        assert_in_range(both, M / 4 * 7 / 10, M / 4 * 8 / 10);
        assert_int_equal(both + alone, M / 4);
        assert_int_equal(p->pairs, 3);
        assert_true(atoll_projection_bytes(p) > atoll_projection_bytes(plain));
        atoll_projection_free(plain);
        atoll_projection_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_read_distinct_numbers),
        cmocka_unit_test(batches_equal_the_formula),
        cmocka_unit_test(the_seed_gives_all),
        cmocka_unit_test(pairs_say_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
