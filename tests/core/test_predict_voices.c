/* What the voices beside the experts say, and where they are silent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/experts.h"

/* What the voices say of the trial's record; its input. */
static atoll_input open_asked(trial *t, atoll_voices *voices)
{
    trial_open(t);
    atoll_input input = input_of(t);
    assert_int_equal(atoll_predict_others(&t->model, &t->workspace, &input, &t->context, voices, NULL), ATOLL_OK);
    return input;
}

static void voices_speak_where_they_can(void **state)
{
    (void)state;
    trial t;
    atoll_voices voices;
    atoll_input input = open_asked(&t, &voices);
    assert_int_equal(voices.labels, LABELS);
    assert_ptr_equal(voices.says[ATOLL_VOICE_SHARED], t.workspace.voice[ATOLL_VOICE_SHARED]);
    assert_ptr_equal(voices.says[ATOLL_VOICE_VOTES], t.workspace.voice[ATOLL_VOICE_VOTES]);
    assert_null(voices.says[ATOLL_VOICE_ANALYTIC]);
    assert_null(voices.says[ATOLL_VOICE_EXPERTS]);
    const float *votes = voices.says[ATOLL_VOICE_VOTES], *shared = voices.says[ATOLL_VOICE_SHARED];
    for (int y = 0; y < LABELS; y++) {
        assert_near(votes[y], y == 2 ? 0.7 : y == 6 ? 0.3 : 0, 1e-6);
        assert_true((shared[y] > 0) == (y < 6));
    }
    assert_near(sum_of(shared, LABELS), 1, 1e-5);

    t.context.voter[0].label = LABELS; /* younger than the snapshot that is asked */
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    assert_near(sum_of(votes, LABELS), 0.5, 1e-6);
    t.context.count = 0;
    atoll_expert shared_expert = t.model.expert[0];
    t.model.expert[0] = t.model.expert[5]; /* it knows no label */
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    for (int v = 0; v < ATOLL_VOICES; v++)
        assert_null(voices.says[v]);
    t.model.expert[0] = shared_expert;
    trial_close(&t);
}

static void counts_are_silent_where_a_young_domain_calls_things_otherwise(void **state)
{
    (void)state;
    trial t;
    float says[LABELS] = {1};
    trial_open(&t);
    atoll_route route = {.count = 1, .expert = {1}, .weight = {1}}, none = {0};
    atoll_voices voices = {.labels = LABELS, .says = {[ATOLL_VOICE_COUNTS] = says, [ATOLL_VOICE_VOTES] = says}};
    atoll_expert *expert = &t.model.expert[1];
    expert->state = ATOLL_EXPERT_ACTIVE;
    for (uint32_t i = 0; i < expert->labels.count; i++) { /* it has learned one in three of their records */
        atoll_expert_label *own = atoll_array_edit(&t.pager, &expert->labels, i);
        atoll_expert_label *all = atoll_array_edit(&t.pager, &t.model.expert[0].labels, own->label);
        own->records = 10;
        all->records = 30;
    }
    expert->records = 5000;
    atoll_predict_hush(&t.model, &route, &voices);
    atoll_predict_hush(&t.model, &none, &voices);
    assert_ptr_equal(voices.says[ATOLL_VOICE_COUNTS], says);
    expert->records = 50;
    atoll_predict_hush(&t.model, &route, &voices);
    assert_null(voices.says[ATOLL_VOICE_COUNTS]);
    assert_ptr_equal(voices.says[ATOLL_VOICE_VOTES], says);
    voices.says[ATOLL_VOICE_COUNTS] = says;
    expert->records = 5000;
    expert->state = ATOLL_EXPERT_CANDIDATE;
    atoll_predict_hush(&t.model, &route, &voices);
    assert_null(voices.says[ATOLL_VOICE_COUNTS]);

    voices.says[ATOLL_VOICE_COUNTS] = says;
    for (uint32_t i = 0; i < expert->labels.count; i++) /* all of them */
        ((atoll_expert_label *)atoll_array_edit(&t.pager, &expert->labels, i))->records = 30;
    atoll_predict_hush(&t.model, &route, &voices);
    assert_ptr_equal(voices.says[ATOLL_VOICE_COUNTS], says);
    trial_close(&t);
}

static void the_analytic_voice_is_sure_of_what_it_learned(void **state)
{
    (void)state;
    enum { M = ATOLL_RIDGE_FEATURES, RECORDS = 40 };
    static float z[RECORDS * M];
    trial t;
    atoll_ridge *ridge;
    atoll_ridge_weights *weights;
    atoll_voices voices;
    atoll_projection *projection;
    float v[RECORDS * VECTOR], score[LABELS];
    static float scratch[VECTOR * ATOLL_PROJECTION_BLOCK];
    uint32_t label[RECORDS];
    trial_open(&t);
    fill_normal(&t.rng, v, RECORDS * VECTOR);
    assert_int_equal(atoll_projection_new(VECTOR, 1, NULL, 0, &projection, NULL), ATOLL_OK);
    assert_int_equal(atoll_ridge_new(&ridge, NULL), ATOLL_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        const float *from = v + i * VECTOR;
        float *to = z + i * M;
        label[i] = from[0] > 0 ? 7 : 1;
        atoll_projection_run(projection, &from, 1, &to, scratch);
        assert_int_equal(atoll_ridge_add(ridge, to, label[i], LABELS, NULL), ATOLL_OK);
    }
    assert_int_equal(atoll_ridge_solve(ridge, &weights, NULL), ATOLL_OK);
    t.encoded.score = score;
    t.encoded.scores = LABELS;
    atoll_input input = input_of(&t);
    const float *says = t.workspace.voice[ATOLL_VOICE_ANALYTIC];
    for (uint32_t i = 0; i < RECORDS; i++) {
        atoll_ridge_score(weights, z + i * M, 1, score);
        assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
        assert_ptr_equal(voices.says[ATOLL_VOICE_ANALYTIC], says);
        assert_near(sum_of(says, LABELS), 1, 1e-5);
        assert_true(says[label[i]] > 0.5f);
    }
    input.score = NULL;
    assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
    assert_null(voices.says[ATOLL_VOICE_ANALYTIC]);
    free(weights);
    atoll_ridge_free(ridge);
    atoll_projection_free(projection);
    trial_close(&t);
}

static const float *youth_of(trial *t)
{
    atoll_voices voices;
    atoll_input input = input_of(t);
    assert_int_equal(atoll_predict_others(&t->model, &t->workspace, &input, &t->context, &voices, NULL),
                     ATOLL_OK);
    const float *odds = voices.says[ATOLL_VOICE_YOUTH];
    assert_ptr_equal(odds, t->workspace.voice[ATOLL_VOICE_YOUTH]);
    for (int y = 0; y < LABELS; y++)
        assert_true(isfinite(odds[y]) && odds[y] >= 1);
    return odds;
}

static void teach(trial *t, uint32_t label, uint32_t records)
{
    atoll_expert_label *place = atoll_array_edit(&t->pager, &t->model.expert[0].labels, label);
    assert_non_null(place);
    place->records = records;
}

/* Favour is for labels that have been taught little, but not for those that later ones have overtaken. */
static void youth_passes(void **state)
{
    (void)state;
    enum { MANY = 1000000, KNOWN_LABELS = 6 };
    trial t;
    trial_open(&t);
    const float *odds = youth_of(&t);
    for (int y = 0; y < LABELS; y++)
        assert_true(odds[y] == odds[0] && odds[y] > 1); /* nobody has been taught: none before another */
    t.model.labels = KNOWN_LABELS;
    for (uint32_t y = 0; y + 1 < KNOWN_LABELS; y++)
        teach(&t, y, MANY);
    youth_of(&t);
    for (uint32_t y = 0; y < KNOWN_LABELS; y++)
        assert_true(y + 1 < KNOWN_LABELS ? odds[y] == 1 : odds[y] > 1);
    float last = odds[KNOWN_LABELS - 1];
    teach(&t, KNOWN_LABELS - 1, 1);
    assert_true(youth_of(&t)[KNOWN_LABELS - 1] < last);
    teach(&t, KNOWN_LABELS - 1, MANY);
    teach(&t, 0, 0); /* rare for good */
    youth_of(&t);
    for (uint32_t y = 0; y < KNOWN_LABELS; y++)
        assert_true(odds[y] == 1);
    trial_close(&t);
}

/* A name that the record holds speaks for its label, the less the more records that has. */
static void names_speak_for_young_labels(void **state)
{
    (void)state;
    trial t;
    atoll_voices voices;
    atoll_input input = open_asked(&t, &voices);
    assert_null(voices.says[ATOLL_VOICE_NAMES]);
    assert_int_equal(atoll_naming_put(&t.pager, &t.model.naming, input.bucket, input.weight, 1, 2, NULL), ATOLL_OK);
    float before = INFINITY;
    for (uint32_t records = 0; records < 1000; records = 2 * records + 1) {
        teach(&t, 2, records);
        assert_int_equal(atoll_predict_others(&t.model, &t.workspace, &input, &t.context, &voices, NULL), ATOLL_OK);
        const float *odds = voices.says[ATOLL_VOICE_NAMES];
        assert_non_null(odds);
        for (uint32_t y = 0; y < LABELS; y++)
            assert_true(y == 2 ? odds[y] > 1 && odds[y] < before : odds[y] == 1);
        before = odds[2];
    }
    atoll_naming_clear(&t.pager, &t.model.naming);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(voices_speak_where_they_can),
        cmocka_unit_test(counts_are_silent_where_a_young_domain_calls_things_otherwise),
        cmocka_unit_test(the_analytic_voice_is_sure_of_what_it_learned),
        cmocka_unit_test(youth_passes),
        cmocka_unit_test(names_speak_for_young_labels),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
