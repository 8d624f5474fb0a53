#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/newton.h"
#include "core/rng.h"

enum { OUTCOMES = 150, VOICES = 3 };

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* Log probabilities of a voice that is right about `right` so often as `skill` tells. */
static void speak(atoll_rng *rng, float skill, uint32_t right, float *score)
{
    uint32_t said = atoll_rng_uniform(rng) < skill ? right : atoll_rng_below(rng, OUTCOMES);
    for (uint32_t i = 0; i < OUTCOMES; i++)
        score[i] = logf(i == said ? 0.9f : 0.1f / (OUTCOMES - 1));
}

static void pool(float (*score)[OUTCOMES], const float *weight, float *p)
{
    memset(p, 0, OUTCOMES * sizeof *p);
    for (int v = 0; v < VOICES; v++)
        for (uint32_t i = 0; i < OUTCOMES; i++)
            p[i] += weight[v] * score[v][i];
    atoll_softmax(p, OUTCOMES);
}

static void moments_are_those_of_the_pool(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 3, 0);
    float score[VOICES][OUTCOMES], p[OUTCOMES], sum = 0;
    for (uint32_t i = 0; i < OUTCOMES; i++)
        sum += p[i] = atoll_rng_uniform(&rng);
    for (uint32_t i = 0; i < OUTCOMES; i++)
        p[i] /= sum;
    for (int v = 0; v < VOICES; v++)
        for (uint32_t i = 0; i < OUTCOMES; i++)
            score[v][i] = atoll_rng_uniform(&rng) - 0.5f;
    const float *scores[VOICES] = {score[0], NULL, score[2]};
    atoll_moments moments = {0};
    atoll_moments_add(&moments, p, scores, VOICES, OUTCOMES);
    for (int v = 0; v < VOICES; v++) {
        double mean = 0;
        for (uint32_t i = 0; i < OUTCOMES; i++)
            mean += scores[v] ? (double)p[i] * score[v][i] : 0;
        expect_near(moments.mean[v], mean, 1e-5);
        for (int u = 0; u <= v; u++) {
            double product = 0;
            for (uint32_t i = 0; i < OUTCOMES; i++)
                product += scores[v] && scores[u] ? (double)p[i] * score[v][i] * score[u][i] : 0;
            expect_near(moments.product[v][u], product, 1e-5);
        }
    }
    double mean = moments.mean[2], product = moments.product[2][0];
    atoll_moments_divide(&moments, 4);
    assert_true(moments.mean[2] == mean / 4 && moments.product[2][0] == product / 4);
    atoll_moments_drop(&moments, 0);
    assert_true(!moments.speaks[0] && !moments.speaks[1] && moments.speaks[2]);
}

/* Steps with the whole curvature end where the mean loss is least, however alike the voices are. */
static const float home[VOICES] = {0.5f, 0.5f, 0.5f};
static const atoll_newton_prior prior = {home, 20};

static void finds_the_best_weights(void **state)
{
    (void)state;
    enum { RECORDS = 4000 };
    static float score[RECORDS][VOICES][OUTCOMES];
    static uint32_t right[RECORDS];
    atoll_rng rng;
    atoll_newton newton = {0};
    float weight[VOICES] = {0.5f, 0.5f, 0.5f}, p[OUTCOMES];
    atoll_rng_seed(&rng, 4, 0);
    for (int r = 0; r < RECORDS; r++) {
        right[r] = atoll_rng_below(&rng, OUTCOMES);
        speak(&rng, 0.8f, right[r], score[r][0]);
        speak(&rng, 0.4f, right[r], score[r][2]);
        /* The second says what the first says, but once in four times. */
        memcpy(score[r][1], score[r][0], sizeof score[r][0]);
        if (atoll_rng_below(&rng, 4) == 0)
            speak(&rng, 0.4f, right[r], score[r][1]);
        const float *scores[VOICES] = {score[r][0], score[r][1], score[r][2]};
        float at[VOICES];
        for (int v = 0; v < VOICES; v++)
            at[v] = score[r][v][right[r]];
        atoll_moments moments = {0};
        pool(score[r], weight, p);
        atoll_moments_add(&moments, p, scores, VOICES, OUTCOMES);
        atoll_newton_step(&newton, &moments, at, &prior, 1, weight, VOICES, 3);
        for (int v = 0; v < VOICES; v++)
            assert_true(weight[v] >= 0 && weight[v] <= 3);
    }
    double slope[VOICES] = {0};
    for (int r = RECORDS / 2; r < RECORDS; r++) {
        pool(score[r], weight, p);
        for (int v = 0; v < VOICES; v++) {
            for (uint32_t i = 0; i < OUTCOMES; i++)
                slope[v] += (double)p[i] * score[r][v][i] / (RECORDS / 2);
            slope[v] -= (double)score[r][v][right[r]] / (RECORDS / 2);
        }
    }
    /* Flat, or leaning against a bound. */
    for (int v = 0; v < VOICES; v++)
        assert_true(fabs(slope[v]) < 0.1 || (weight[v] == 0 && slope[v] > 0));
    assert_true(weight[0] > weight[2]);
}

static void what_is_silent_stays(void **state)
{
    (void)state;
    float score[VOICES][OUTCOMES], weight[VOICES] = {1, 1, 1}, p[OUTCOMES], at[VOICES] = {0};
    atoll_rng rng;
    atoll_newton newton = {0};
    atoll_rng_seed(&rng, 5, 0);
    for (int times = 0; times < 100; times++) {
        uint32_t right = atoll_rng_below(&rng, OUTCOMES);
        for (int v = 0; v < VOICES; v++)
            speak(&rng, 0.5f, right, score[v]);
        const float *scores[VOICES] = {score[0], NULL, score[2]};
        at[0] = score[0][right];
        at[2] = score[2][right];
        atoll_moments moments = {0};
        pool(score, weight, p);
        atoll_moments_add(&moments, p, scores, VOICES, OUTCOMES);
        atoll_newton_step(&newton, &moments, at, &prior, 1, weight, VOICES, 3);
    }
    assert_true(weight[1] == 1 && weight[0] != 1 && weight[2] != 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_those_of_the_pool),
        cmocka_unit_test(finds_the_best_weights),
        cmocka_unit_test(what_is_silent_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
