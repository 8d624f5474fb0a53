#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "learner/step.h"
#include "tests/support/learning.h"

enum { BATCH = 60, FED = 600 };

static void every_fourth_new_record_is_compared(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    uint32_t compared = 0;
    for (uint64_t seq = 1; seq <= 400; seq++)
        compared += atoll_step_compares(&l.state.model, seq);
    assert_int_equal(compared, 100);
    l.state.model.config.search_always = true;
    for (uint64_t seq = 1; seq <= 400; seq++)
        assert_false(atoll_step_compares(&l.state.model, seq));
    learning_close(&l);
}

static void check_learned(const atoll_sureness *s)
{
    assert_true(s->all > FED / 4 && s->all < FED);
    double seen = 0, square = 0;
    for (int bin = 0; bin < ATOLL_SURENESS_BINS; bin++) {
        seen += s->seen[bin];
        square += s->square[bin];
    }
    assert_true(seen > 0.3 * s->all && square < 0.3 * seen);
    float cue[ATOLL_CHEAP_CUES] = {1, 1, 1, 1, 1}, familiarity = atoll_sureness_familiarity(s, cue);
    assert_true(familiarity > 0.2f && familiarity < 1.2f);
    assert_true(s->bound > 1); /* so few prove nothing */
}

/* New records and rehearsed ones are seen. */
static void learning_learns_how_sure_answers_are(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    learning_feed(&l, learning_draw_text, 0, FED, BATCH);
    check_learned(&l.state.model.sureness);
    check_learned(&l.state.model.alone);
    assert_true(l.state.model.sureness.all == l.state.model.alone.all);
    learning_close(&l);
}

static void draw_both(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    learning_draw_text(out, rng, domain, label);
    learning_add_vector(out, rng, label);
}

static void the_shared_expert_is_half_of_an_answer_to_vectors(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    learning_feed(&l, draw_both, 0, FED, BATCH);
    assert_true(l.state.model.sureness.all > 0 && l.state.model.alone.all == 0);
    learning_close(&l);
}

static void the_same_stream_makes_it_as_sure(void **state)
{
    learning a, b;
    (void)state;
    learning_open(&a, NULL, 1);
    learning_open(&b, NULL, 1);
    learning_feed(&a, learning_draw_text, 0, FED, BATCH);
    learning_feed(&b, learning_draw_text, 0, FED, BATCH);
    assert_memory_equal(&a.state.model.sureness, &b.state.model.sureness, sizeof a.state.model.sureness);
    assert_memory_equal(&a.state.model.alone, &b.state.model.alone, sizeof a.state.model.alone);
    learning_close(&a);
    learning_close(&b);
}

/* What each answer's loss added. */
static double added(const atoll_sureness *after, const atoll_sureness *before)
{
    double sum = 0;
    for (int bin = 0; bin < ATOLL_SURENESS_BINS; bin++)
        sum += after->loss[bin] - before->loss[bin];
    return sum;
}

/*
 * An answer that a search would have mended loses, one that a search would have spoilt gains, and what is wrong in any
 * case does neither; where the whole answer warns, what is wrong loses and what is right gains nothing.
 */
static void what_a_search_would_have_been_worth_is_counted(void **state)
{
    learning l;
    (void)state;
    learning_open(&l, NULL, 1);
    learning_feed(&l, learning_draw_text, 0, FED, BATCH);
    assert_true(l.trainer->rehearsals > 0);
    const atoll_sample *sample = l.trainer->rehearsed[0];
    atoll_model *model = &l.state.model;
    atoll_workspace *workspace = &l.trainer->hand[0].workspace;
    atoll_input input = atoll_predict_input(&sample->encoded);
    atoll_voices voices;
    float p[LEARNING_LABELS_A_DOMAIN] = {0};
    assert_int_equal(atoll_predict_others(model, workspace, &input, sample->context, &voices, NULL), ATOLL_OK);
    assert_int_equal(voices.labels, LEARNING_LABELS_A_DOMAIN);
    assert_int_equal(atoll_predict_gate(model, workspace, &input, sample->context, &voices, NULL), ATOLL_OK);
    atoll_predict_unhear(model, workspace);
    /* The sample's label is what is answered without; nothing looks novel by what is foretold, all by this context. */
    model->assured = (atoll_novelty){.count = 1, .sorted = {0}, .recent = {0}, .next = 1};
    atoll_context context = *sample->context;
    context.familiarity = -1;
    uint32_t cheap = sample->label, other = (cheap + 1) % LEARNING_LABELS_A_DOMAIN;
    const struct {
        float score; /* of the whole answer, which warns of what is below .6 */
        uint32_t whole, label;
        double loss;
    } cases[] = {
        {1, cheap, cheap, 0},      {1, other, other, 1},    {1, other, cheap, -1},   {1, cheap, other, 0},
        {1, other, UINT32_MAX, 0}, {0.5f, cheap, other, 1}, {0.5f, other, other, 1}, {0.5f, other, cheap, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atoll_sureness before = model->sureness, alone = model->alone;
        memset(p, 0, sizeof p);
        p[cases[i].whole] = cases[i].score;
        atoll_compared compared = {&input, &context, &voices, workspace->gate, p, cases[i].label};
        assert_int_equal(atoll_step_compare(l.trainer, &l.state, &compared, NULL), ATOLL_OK);
        assert_true(fabs(added(&model->sureness, &before) - cases[i].loss) < 0.1);
        assert_true(fabs(added(&model->alone, &alone) - cases[i].loss) < 0.1);
    }
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fourth_new_record_is_compared),
        cmocka_unit_test(learning_learns_how_sure_answers_are),
        cmocka_unit_test(the_shared_expert_is_half_of_an_answer_to_vectors),
        cmocka_unit_test(the_same_stream_makes_it_as_sure),
        cmocka_unit_test(what_a_search_would_have_been_worth_is_counted),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
