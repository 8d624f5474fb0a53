#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/balance.h"
#include "core/rng.h"

enum { EXPERTS = 6, CLOSED = 4, K = 2 };

typedef struct trial {
    double score[EXPERTS];
    float p[EXPERTS], running[EXPERTS], log_sum;
} trial;

static void draw(trial *t, atoll_rng *rng)
{
    double sum = 0;
    for (int e = 0; e < EXPERTS; e++) {
        t->score[e] = 1.5 * (double)atoll_rng_normal(rng);
        t->running[e] = atoll_rng_uniform(rng) / EXPERTS;
        sum += e == CLOSED ? 0 : exp(t->score[e]);
    }
    t->log_sum = (float)log(sum);
    for (int e = 0; e < EXPERTS; e++)
        t->p[e] = e == CLOSED ? 0 : (float)(exp(t->score[e]) / sum);
}

/* P_e as the paper has it. */
static double load_of(const double *score, int e)
{
    int above = 0;
    double threshold = 0;
    /* The K-th largest of the others: the one with K - 1 of them above it. */
    for (int i = 0; i < EXPERTS; i++) {
        above = 0;
        for (int j = 0; j < EXPERTS; j++)
            above += j != e && j != CLOSED && score[j] > score[i];
        if (i != e && i != CLOSED && above == K - 1)
            threshold = score[i];
    }
    return 0.5 * erfc(-(score[e] - threshold) / sqrt(2));
}

/* The loss by its definition, linear in what a record adds to the running means. */
static double loss(atoll_balance kind, const trial *t, const double *score)
{
    double sum = 0, all = 0;
    for (int e = 0; e < EXPERTS; e++)
        all += e == CLOSED ? 0 : exp(score[e]);
    for (int e = 0; e < EXPERTS; e++) {
        if (e == CLOSED)
            continue;
        double p = exp(score[e]) / all, running = (double)t->running[e];
        sum += kind == ATOLL_BALANCE_SWITCH       ? EXPERTS * running * p
               : kind == ATOLL_BALANCE_IMPORTANCE ? 2 * EXPERTS * running * p
               : kind == ATOLL_BALANCE_LOAD       ? 2 * EXPERTS * running * load_of(score, e) / (K * K)
                                                  : 0;
    }
    return sum;
}

static double z_loss(const double *score)
{
    double all = 0;
    for (int e = 0; e < EXPERTS; e++)
        all += e == CLOSED ? 0 : exp(score[e]);
    return log(all) * log(all);
}

static void expect(double slope, double expected)
{
    if (fabs(slope - expected) > 1e-4 * fmax(1, fabs(expected))) {
        print_error("%.9g is not %.9g\n", slope, expected);
        fail();
    }
}

static void slopes_are_those_of_the_losses(void **state)
{
    (void)state;
    atoll_rng rng;
    const double step = 1e-6;
    atoll_rng_seed(&rng, 8, 0);
    for (int round = 0; round < 50; round++)
        for (int kind = ATOLL_BALANCE_SWITCH; kind <= ATOLL_BALANCE_NONE; kind++) {
            trial t;
            float slope[EXPERTS] = {0};
            draw(&t, &rng);
            atoll_balance_slope((atoll_balance)kind, t.p, t.running, EXPERTS, K, 0.5f, slope);
            for (int e = 0; e < EXPERTS; e++) {
                double was = t.score[e];
                t.score[e] = was + step;
                double up = loss((atoll_balance)kind, &t, t.score);
                t.score[e] = was - step;
                double down = loss((atoll_balance)kind, &t, t.score);
                t.score[e] = was;
                expect((double)slope[e], e == CLOSED ? 0 : 0.5 * (up - down) / (2 * step));
            }
        }
}

static void the_z_loss_pulls_scores_towards_nought(void **state)
{
    (void)state;
    atoll_rng rng;
    const double step = 1e-6;
    atoll_rng_seed(&rng, 9, 0);
    for (int round = 0; round < 50; round++) {
        trial t;
        float slope[EXPERTS] = {0};
        draw(&t, &rng);
        atoll_balance_z_slope(t.p, t.log_sum, EXPERTS, 0.25f, slope);
        for (int e = 0; e < EXPERTS; e++) {
            double was = t.score[e];
            t.score[e] = was + step;
            double up = z_loss(t.score);
            t.score[e] = was - step;
            double down = z_loss(t.score);
            t.score[e] = was;
            expect((double)slope[e], e == CLOSED ? 0 : 0.25 * (up - down) / (2 * step));
        }
    }
}

static void loads_are_smooth_choices(void **state)
{
    (void)state;
    static const float p[EXPERTS] = {0.6f, 0.25f, 0.1f, 0.04f, 0, 0.01f}, few[3] = {0.7f, 0, 0.3f};
    static const float equal[4] = {0.25f, 0.25f, 0.25f, 0.25f};
    float load[EXPERTS], sum = 0;
    atoll_balance_load(p, EXPERTS, K, load);
    for (int e = 0; e < EXPERTS; e++)
        sum += load[e];
    assert_true(load[0] > load[1] && load[1] > 0.5f && load[2] < 0.5f && load[4] == 0 && load[5] < load[3]);
    assert_true(sum > 1.5f && sum < 2.5f);
    atoll_balance_load(few, 3, K, load);
    assert_true(load[0] == 1 && load[1] == 0 && load[2] == 1);
    atoll_balance_load(equal, 4, K, load);
    for (int e = 0; e < 4; e++)
        assert_true(load[e] == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slopes_are_those_of_the_losses),
        cmocka_unit_test(the_z_loss_pulls_scores_towards_nought),
        cmocka_unit_test(loads_are_smooth_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
