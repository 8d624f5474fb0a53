#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/newton.h"
#include "learner/step.h"
#include "tests/support/learning.h"

enum { BATCH = 60 };

static void open_and_feed(learning *l)
{
    learning_open(l, NULL, 1);
    learning_feed(l, learning_draw_text, 0, 300, BATCH);
    assert_true(l->trainer->rehearsals > 4);
}

static void rehearsing_changes_weights_and_sureness_alone(void **state)
{
    learning l;
    (void)state;
    open_and_feed(&l);
    atoll_combiner before = l.state.model.combiner;
    atoll_gate gate = l.state.model.gate;
    atoll_sureness sure = l.state.model.sureness, alone = l.state.model.alone;
    uint64_t digest = learning_digest(&l.state);
    assert_int_equal(atoll_step_rehearse(&l.trainer->hand[0], l.trainer, &l.state, NULL), ATOLL_OK);
    atoll_combiner *after = &l.state.model.combiner;
    assert_true(after->weight[ATOLL_VOICE_SHARED] != before.weight[ATOLL_VOICE_SHARED]);
    assert_true(after->weight[ATOLL_VOICE_VOTES] != before.weight[ATOLL_VOICE_VOTES]);
    assert_true(after->weight[ATOLL_VOICE_ANALYTIC] == before.weight[ATOLL_VOICE_ANALYTIC]); /* silent */
    assert_true(after->weight[ATOLL_VOICE_NAMES] == before.weight[ATOLL_VOICE_NAMES]);
    assert_true(l.state.model.sureness.all > sure.all && l.state.model.alone.all > alone.all);
    *after = before;
    l.state.model.gate = gate;
    l.state.model.sureness = sure;
    l.state.model.alone = alone;
    assert_int_equal(learning_digest(&l.state), digest);
    learning_close(&l);
}

static void a_voice_that_errs_loses_its_weight(void **state)
{
    learning l;
    (void)state;
    open_and_feed(&l);
    /* Labels other than those that the neighbours will vote for. */
    for (uint32_t i = 0; i < l.trainer->rehearsals; i++)
        l.trainer->rehearsed[i]->label = (l.trainer->rehearsed[i]->label + 1) % LEARNING_LABELS_A_DOMAIN;
    float before = l.state.model.combiner.weight[ATOLL_VOICE_SHARED];
    for (int times = 0; times < 20; times++)
        assert_int_equal(atoll_step_rehearse(&l.trainer->hand[0], l.trainer, &l.state, NULL), ATOLL_OK);
    assert_true(l.state.model.combiner.weight[ATOLL_VOICE_SHARED] < before);
    learning_close(&l);
}

static void draw_vector(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    learning_draw_text(out, rng, domain, label);
    out->record.text = (atoll_slice){0};
    learning_add_vector(out, rng, label);
}

/* The variance of a voice's log probabilities under the combination. */
static double variance(const float *says, const float *p, uint32_t labels)
{
    double mean = 0, square = 0;
    for (uint32_t y = 0; y < labels; y++) {
        double score = log(says[y] + 1e-4);
        mean += p[y] * score;
        square += p[y] * score * score;
    }
    return square - mean * mean;
}

/* What the curvature gains for a unit of variance is what the record counts. */
static void vectors_count_a_quarter(void **state)
{
    (void)state;
    learning l;
    learning_open(&l, NULL, 1);
    learning_feed(&l, draw_vector, 0, 300, BATCH);
    assert_true(l.trainer->rehearsals > 0);
    l.trainer->rehearsals = 1;
    atoll_combiner *combiner = &l.state.model.combiner;
    const atoll_workspace *workspace = &l.trainer->hand[0].workspace;
    enum { V = ATOLL_VOICE_ANALYTIC };
    for (int v = 0; v < ATOLL_VOICES; v++)
        combiner->weight[v] = 0.1f; /* an unsure combination, so that scores vary under it */
    combiner->newton = (atoll_newton){0};
    assert_int_equal(atoll_step_rehearse(&l.trainer->hand[0], l.trainer, &l.state, NULL), ATOLL_OK);
    double gain = combiner->newton.curvature[V][V];
    double varied = variance(workspace->voice[V], workspace->combined, l.state.model.labels);
    double counts = ATOLL_REHEARSE_EVERY * l.trainer->rehearsed[0]->importance * l.trainer->held_out / 96;
    assert_true(counts > 0 && varied > 0.1);
    assert_true(fabs(gain / varied - counts / 4) < 0.01 * counts);
    learning_close(&l);
}

static void draw_named(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    learning_draw_text(out, rng, domain, label);
    out->domain[0] = (char)('a' + domain);
    out->record.domain = (atoll_slice){out->domain, 1};
}

/* Where nothing but youth decides, the exemplars of an old expert go to a young one, and the weight of youth falls. */
static void youth_is_unlearned_by_the_past(void **state)
{
    (void)state;
    atoll_config config;
    learning l;
    learning_config(&config);
    config.gate = ATOLL_GATE_DOMAIN;
    learning_open(&l, &config, 1);
    learning_feed(&l, draw_named, 0, 1000, BATCH);
    learning_feed(&l, draw_named, 1, 100, BATCH);
    atoll_model *model = &l.state.model;
    atoll_trainer *trainer = l.trainer;
    uint32_t old = 0;
    for (uint32_t i = 0; i < trainer->rehearsals; i++)
        if (trainer->rehearsed[i]->owner == 1)
            trainer->rehearsed[old++] = trainer->rehearsed[i];
    trainer->rehearsals = old;
    assert_true(model->experts == 3 && old > 0);
    model->config.gate = ATOLL_GATE_TOPK;
    for (int times = 0; times < 20; times++) {
        float *weight = model->gate.weight, before = weight[ATOLL_CUE_YOUTH];
        weight[ATOLL_CUE_NETWORK] = weight[ATOLL_CUE_VOTES] = weight[ATOLL_CUE_LABELS] = 0;
        assert_int_equal(atoll_step_rehearse(&trainer->hand[0], trainer, &l.state, NULL), ATOLL_OK);
        assert_true(weight[ATOLL_CUE_YOUTH] < before || before == 0);
    }
    learning_close(&l);
}

static void nothing_to_rehearse_changes_nothing(void **state)
{
    learning l;
    (void)state;
    open_and_feed(&l);
    uint64_t digest = learning_digest(&l.state);
    l.trainer->rehearsals = 0;
    assert_int_equal(atoll_step_rehearse(&l.trainer->hand[0], l.trainer, &l.state, NULL), ATOLL_OK);
    assert_int_equal(learning_digest(&l.state), digest);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rehearsing_changes_weights_and_sureness_alone),
        cmocka_unit_test(a_voice_that_errs_loses_its_weight),
        cmocka_unit_test(vectors_count_a_quarter),
        cmocka_unit_test(youth_is_unlearned_by_the_past),
        cmocka_unit_test(nothing_to_rehearse_changes_nothing),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
