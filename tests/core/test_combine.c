#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/combine.h"
#include "core/rng.h"

enum { LABELS = 6 };

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* What a voice gives to a label that it rules out: (1 + floor) / floor is what its word is worth. */
static double floor_of(int voice)
{
    static const float says[2] = {1, 0};
    atoll_combiner combiner;
    atoll_voices voices = {.labels = 2};
    float p[2];
    atoll_combiner_init(&combiner);
    combiner.weight[voice] = 1;
    voices.says[voice] = says;
    atoll_combine(&combiner, &voices, p);
    return p[1] / (p[0] - p[1]);
}

static void random_voices(atoll_rng *rng, float says[ATOLL_VOICES][LABELS])
{
    for (int v = 0; v < ATOLL_VOICES; v++) {
        float sum = 0;
        for (int y = 0; y < LABELS; y++)
            sum += says[v][y] = atoll_rng_below(rng, 4) ? atoll_rng_uniform(rng) : 0;
        for (int y = 0; y < LABELS; y++)
            says[v][y] /= sum > 0 ? sum : 1;
    }
}

/* The pool by its definition; -ln p of the label. */
static double plain(const atoll_voices *voices, const double *weight, const double *floor, uint32_t label, double *p)
{
    double sum = 0;
    for (uint32_t y = 0; y < voices->labels; y++) {
        p[y] = 1;
        for (int v = 0; v < ATOLL_VOICES; v++)
            if (voices->says[v])
                p[y] *= pow(voices->says[v][y] + floor[v], weight[v]);
        sum += p[y];
    }
    for (uint32_t y = 0; y < voices->labels; y++)
        p[y] /= sum;
    return -log(p[label]);
}

static void floors_are_small(void **state)
{
    (void)state;
    for (int v = 0; v < ATOLL_VOICES; v++)
        assert_true(floor_of(v) > 1e-6 && floor_of(v) < 0.1);
}

/* The youth's accumulator starts at zero and shows its slope's square; the others go downhill together. */
static void learns_down_the_gradient(void **state)
{
    (void)state;
    atoll_rng rng;
    atoll_rng_seed(&rng, 1, 0);
    double floor[ATOLL_VOICES], p_plain[LABELS];
    for (int v = 0; v < ATOLL_VOICES; v++)
        floor[v] = floor_of(v);
    for (int round = 0; round < 200; round++) {
        float says[ATOLL_VOICES][LABELS], p[LABELS];
        double weight[ATOLL_VOICES], total = 0, downhill = 0;
        uint32_t label = atoll_rng_below(&rng, LABELS);
        atoll_combiner combiner = {0};
        atoll_voices voices = {.labels = LABELS};
        random_voices(&rng, says);
        for (int v = 0; v < ATOLL_VOICES; v++) {
            weight[v] = combiner.weight[v] = 0.2f + atoll_rng_uniform(&rng);
            voices.says[v] = (round >> v & 1) ? says[v] : NULL;
        }
        atoll_combine(&combiner, &voices, p);
        plain(&voices, weight, floor, label, p_plain);
        for (int y = 0; y < LABELS && round % 16; y++) {
            expect_near(p[y], p_plain[y], 1e-4);
            total += p[y];
        }
        expect_near(total, round % 16 ? 1 : 0, 1e-5);
        atoll_combiner_learn(&combiner, &voices, p, label, 1, 1);
        for (int v = 0; v < ATOLL_VOICES; v++) {
            if (!voices.says[v]) {
                assert_true(combiner.weight[v] == (float)weight[v]);
                continue;
            }
            double was = weight[v], step = 1e-5;
            weight[v] = was + step;
            double slope = plain(&voices, weight, floor, label, p_plain);
            weight[v] = was - step;
            slope = (slope - plain(&voices, weight, floor, label, p_plain)) / (2 * step);
            weight[v] = was;
            if (v == ATOLL_VOICE_YOUTH) {
                slope *= p[label]; /* it climbs the probability itself */
                expect_near(sqrt(fmax(combiner.youth_squares - 0.01, 0)), fabs(slope), 2e-3 * fmax(1, fabs(slope)));
                if (fabs(slope) > 0.01)
                    assert_true((combiner.weight[v] < was) == (slope > 0));
            } else {
                downhill += slope * (combiner.weight[v] - was);
            }
        }
        assert_true(downhill <= 0.01); /* a little uphill, towards where weights are expected */
    }
}

/* Two voices, one of next to no weight: it is not heard, but learns as if it were; by itself it answers. */
static void a_voice_of_little_weight_learns_unheard(void **state)
{
    (void)state;
    static const float loud[3] = {0.4f, 0.3f, 0.3f}, soft[3] = {1e-3f, 0.9f, 0.099f};
    atoll_voices voices = {.labels = 3};
    voices.says[ATOLL_VOICE_EXPERTS] = loud;
    voices.says[ATOLL_VOICE_SHARED] = soft;
    double floor[ATOLL_VOICES], weight[ATOLL_VOICES] = {[ATOLL_VOICE_EXPERTS] = 1, [ATOLL_VOICE_SHARED] = 0.07};
    double whole[3], mean = 0, square = 0;
    float p[3];
    atoll_combiner combiner = {0};
    for (int v = 0; v < ATOLL_VOICES; v++) {
        floor[v] = floor_of(v);
        combiner.weight[v] = (float)weight[v];
    }
    atoll_combine(&combiner, &voices, p);
    assert_true(p[0] > p[1]);
    expect_near(p[1], p[2], 1e-6);
    plain(&voices, weight, floor, 0, whole);
    assert_true(whole[1] > whole[0]);
    atoll_combiner_learn(&combiner, &voices, p, 1, 1, 1);
    for (int y = 0; y < 3; y++) {
        double score = log(soft[y] + floor[ATOLL_VOICE_SHARED]);
        mean += whole[y] * score;
        square += whole[y] * score * score;
    }
    expect_near(combiner.newton.curvature[ATOLL_VOICE_SHARED][ATOLL_VOICE_SHARED], square - mean * mean, 1e-3);
    voices.says[ATOLL_VOICE_EXPERTS] = NULL;
    atoll_combine(&combiner, &voices, p);
    assert_true(p[1] > p[0]);
}

static void silence_is_zeros(void **state)
{
    (void)state;
    atoll_combiner combiner, before;
    atoll_voices voices = {.labels = LABELS};
    float p[LABELS] = {1, 2, 3, 4, 5, 6};
    atoll_combiner_init(&combiner);
    before = combiner;
    atoll_combine(&combiner, &voices, p);
    for (int y = 0; y < LABELS; y++)
        assert_true(p[y] == 0);
    atoll_combiner_learn(&combiner, &voices, p, 2, 1, 1);
    assert_memory_equal(&combiner, &before, sizeof combiner);
    voices.labels = 0; /* a model that knows no label yet */
    voices.says[0] = p;
    atoll_combine(&combiner, &voices, p);
}

static void every_voice_is_heard_at_first(void **state)
{
    (void)state;
    for (int v = 0; v < ATOLL_VOICES; v++) {
        static const float says[3] = {0.2f, 0.7f, 0.1f};
        atoll_combiner combiner;
        atoll_voices voices = {.labels = 3};
        float p[3];
        atoll_combiner_init(&combiner);
        voices.says[v] = says;
        atoll_combine(&combiner, &voices, p);
        assert_true(p[1] > p[0] && p[0] > p[2]);
    }
}

/* One voice is right nine times in ten, the other says anything: the sum comes to lean on the better one. */
static void learns_whom_to_trust(void **state)
{
    (void)state;
    for (int good = 0; good < ATOLL_VOICE_YOUTH; good++) {
        int bad = (good + 1) % ATOLL_VOICE_YOUTH;
        atoll_combiner combiner;
        atoll_rng rng;
        double early = 0, late = 0, alone = 0;
        atoll_rng_seed(&rng, 5, (uint64_t)good);
        atoll_combiner_init(&combiner);
        combiner.weight[good] = combiner.weight[bad] = 0.5f;
        int records = 4000;
        for (int i = 0; i < records; i++) {
            uint32_t label = atoll_rng_below(&rng, LABELS);
            float a[LABELS], b[LABELS], p[LABELS];
            uint32_t said = atoll_rng_below(&rng, 10) ? label : atoll_rng_below(&rng, LABELS);
            uint32_t noise = atoll_rng_below(&rng, LABELS);
            for (uint32_t y = 0; y < LABELS; y++) {
                a[y] = y == said ? 0.9f : 0.1f / (LABELS - 1);
                b[y] = y == noise ? 0.9f : 0.1f / (LABELS - 1);
            }
            atoll_voices voices = {.labels = LABELS};
            voices.says[good] = a;
            voices.says[bad] = b;
            atoll_combine(&combiner, &voices, p);
            early += i < 10 ? -log(p[label]) / 10 : 0;
            late += i >= records - 500 ? -log(p[label]) / 500 : 0;
            alone += i >= records - 500 ? -log(a[label]) / 500 : 0;
            atoll_combiner_learn(&combiner, &voices, p, label, 1, 1);
            for (int v = 0; v < ATOLL_VOICES; v++)
                assert_true(combiner.weight[v] >= 0 && combiner.weight[v] <= 3);
        }
        assert_true(combiner.weight[good] > 3 * combiner.weight[bad]);
        assert_true(late < early);
        assert_true(late < alone * 1.1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floors_are_small),
        cmocka_unit_test(learns_down_the_gradient),
        cmocka_unit_test(a_voice_of_little_weight_learns_unheard),
        cmocka_unit_test(silence_is_zeros),
        cmocka_unit_test(every_voice_is_heard_at_first),
        cmocka_unit_test(learns_whom_to_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
