#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "core/soft.h"

enum { EXPERTS = 5, CLOSED = 2, TOKENS = 7 };

static void close_to(double is, double expected)
{
    if (fabs(is - expected) > 1e-5) {
        print_error("%.9g is not %.9g\n", is, expected);
        fail();
    }
}

/* Dispatch and combine as the paper writes them, from scores. */
static void slots_are_convex_and_nothing_is_dropped(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 4, 0);
    for (int round = 0; round < 20; round++) {
        double score[TOKENS][EXPERTS];
        float gate[TOKENS * (EXPERTS + 1)] = {0}, all[EXPERTS], reads[EXPERTS * TOKENS] = {0}, whole = 0;
        atoll_route route;
        for (int t = 0; t < TOKENS; t++) {
            double sum = 0;
            for (int e = 0; e < EXPERTS; e++) {
                score[t][e] = 2 * (double)atoll_rng_normal(&rng) + round;
                sum += e == CLOSED ? 0 : exp(score[t][e]);
            }
            for (int e = 0; e < EXPERTS; e++)
                gate[t * EXPERTS + e] = e == CLOSED ? 0 : (float)(exp(score[t][e]) / sum);
            gate[TOKENS * EXPERTS + t] = (float)log(sum);
        }
        atoll_soft_route(gate, TOKENS, EXPERTS, all, reads, &route);
        assert_int_equal(route.count, EXPERTS - 1);
        for (int e = 0; e < EXPERTS; e++) {
            double combine = 0, column = 0, slot = 0;
            whole += all[e];
            if (e == CLOSED) {
                assert_true(all[e] == 0);
                continue;
            }
            for (int t = 0; t < TOKENS; t++) {
                combine += (double)gate[t * EXPERTS + e] / TOKENS;
                column += exp(score[t][e]);
            }
            close_to((double)all[e], combine);
            for (int t = 0; t < TOKENS; t++) {
                assert_true(reads[e * TOKENS + t] >= 0);
                slot += (double)reads[e * TOKENS + t] / TOKENS;
                close_to((double)reads[e * TOKENS + t], TOKENS * exp(score[t][e]) / column);
            }
            close_to(slot, 1);
        }
        close_to((double)whole, 1);
        for (uint32_t i = 0; i < route.count; i++)
            close_to((double)route.weight[i], (double)all[route.expert[i]]);
    }
}

static void a_record_is_weighted_by_its_gate(void **state)
{
    (void)state;
    static const float gate[EXPERTS] = {0, 0.5f, 0, 0.2f, 0.3f};
    float all[EXPERTS];
    atoll_route route;
    atoll_soft_route(gate, 0, EXPERTS, all, NULL, &route);
    assert_null(route.reads);
    assert_memory_equal(route.all, gate, sizeof gate);
    assert_int_equal(route.count, 3);
    assert_true(route.expert[0] == 1 && route.expert[1] == 4 && route.expert[2] == 3);
}

static void no_expert_is_no_route(void **state)
{
    (void)state;
    static const float gate[2 * (EXPERTS + 1)] = {0};
    float all[EXPERTS], reads[2 * EXPERTS];
    atoll_route route;
    atoll_soft_route(gate, 2, EXPERTS, all, reads, &route);
    assert_int_equal(route.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_convex_and_nothing_is_dropped),
        cmocka_unit_test(a_record_is_weighted_by_its_gate),
        cmocka_unit_test(no_expert_is_no_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
