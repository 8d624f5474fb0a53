#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

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
    double seen = 0, changed = 0;
    for (int bin = 0; bin < ATOLL_SURENESS_BINS; bin++) {
        seen += s->seen[bin];
        changed += s->changed[bin];
    }
    assert_true(seen > 0.3 * s->all && changed < 0.3 * seen);
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

/* A search that decides the label is told from one that does not. */
static void a_changed_answer_is_counted(void **state)
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
    double changes[2] = {0}, alone[2] = {0};
    for (uint32_t other = 0; other < 2; other++) {
        atoll_sureness before = model->sureness, alone_before = model->alone;
        memset(p, 0, sizeof p);
        p[(sample->label + other) % LEARNING_LABELS_A_DOMAIN] = 1;
        /* All that is known is familiar, and nothing looks novel. */
        model->assured = (atoll_novelty){.count = 1, .sorted = {-9}, .recent = {-9}, .next = 1};
        atoll_compared compared = {&input, sample->context, &voices, workspace->gate, p};
        assert_int_equal(atoll_step_compare(l.trainer, &l.state, &compared, NULL), ATOLL_OK);
        for (int bin = 0; bin < ATOLL_SURENESS_BINS; bin++) {
            changes[other] += model->sureness.changed[bin] - before.changed[bin];
            alone[other] += model->alone.changed[bin] - alone_before.changed[bin];
        }
    }
    assert_true(changes[0] < 0.1 && changes[1] > 0.9); /* it was right */
    assert_true(alone[0] < 0.1 && alone[1] > 0.9);
    learning_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fourth_new_record_is_compared),
        cmocka_unit_test(learning_learns_how_sure_answers_are),
        cmocka_unit_test(the_shared_expert_is_half_of_an_answer_to_vectors),
        cmocka_unit_test(the_same_stream_makes_it_as_sure),
        cmocka_unit_test(a_changed_answer_is_counted),
    };
    return cmocka_run_group_tests(tests, learning_quiet, NULL);
}
