#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/expert.h"
#include "core/kernels.h"
#include "tests/core/paged.h"

enum { LABELS = 500, DENSE = 5, HIDDEN = 8 };

typedef struct trial {
    atoll_pager pager;
    atoll_expert expert;
    atoll_net_scratch scratch;
    uint32_t bucket[3];
    float weight[3], dense[DENSE], h[HIDDEN], logits[LABELS], probability[LABELS];
    atoll_input input;
} trial;

static void trial_open(trial *t)
{
    *t = (trial){.bucket = {3, 9, 27}, .weight = {0.5f, 0.7f, -0.2f}, .dense = {1, -1, 2, 0, 3}};
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = 3, .dense = t->dense};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->scratch);
    atoll_expert_init(&t->expert, 7,
                      &(atoll_net_shape){.rank = 4, .hidden = HIDDEN, .seed = 5, .rate_wide = 0.1f, .rate_low = 0.1f,
                                         .rate_dense = 0.1f});
    assert_int_equal(t->expert.id, 7);
    assert_int_equal(atoll_net_set_dense(&t->pager, &t->expert.net, DENSE, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_admit(&t->pager, &t->expert.net, &t->scratch, &t->input, NULL), ATOLL_OK);
    atoll_net_hidden(&t->expert.net, t->dense, 1, t->h, 0);
}

static void trial_close(trial *t)
{
    assert_int_equal(t->pager.live_bytes, atoll_expert_bytes(&t->expert));
    atoll_expert_clear(&t->pager, &t->expert);
    assert_int_equal(atoll_expert_bytes(&t->expert), 0);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

static uint32_t add(trial *t, uint32_t label)
{
    uint32_t output = 12345;
    assert_int_equal(atoll_expert_add_label(&t->pager, &t->expert, label, &output, NULL), ATOLL_OK);
    return output;
}

static void outputs_and_labels_map_both_ways(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    assert_int_equal(atoll_expert_output(&t.expert, 0), ATOLL_ROW_NONE);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t label = i < 10 ? i : (i * 37) % 100 + 100; /* the first ones in the model's own order */
        assert_int_equal(atoll_expert_output(&t.expert, label), ATOLL_ROW_NONE);
        assert_int_equal(add(&t, label), i);
        assert_int_equal(t.expert.net.outputs, i + 1);
        assert_int_equal(atoll_expert_output(&t.expert, label), i);
        assert_int_equal(atoll_expert_label_at(&t.expert, i)->label, label);
        assert_int_equal(atoll_expert_label_at(&t.expert, i)->records, 0);
    }
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(atoll_expert_output(&t.expert, i < 10 ? i : (i * 37) % 100 + 100), i);
    assert_int_equal(atoll_expert_output(&t.expert, 10), ATOLL_ROW_NONE);
    assert_int_equal(atoll_expert_output(&t.expert, UINT32_MAX), ATOLL_ROW_NONE);
    trial_close(&t);
}

static void label_zero_may_come_late(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    assert_int_equal(add(&t, 4), 0);
    assert_int_equal(atoll_expert_output(&t.expert, 0), ATOLL_ROW_NONE);
    assert_int_equal(add(&t, 0), 1);
    assert_int_equal(atoll_expert_output(&t.expert, 0), 1);
    trial_close(&t);
}

static void predict(trial *t, float scale)
{
    assert_int_equal(atoll_expert_predict(&t->expert, &t->scratch, &t->input, t->h, scale, t->logits, t->probability,
                                          NULL),
                     ATOLL_OK);
}

static void says_what_its_network_says(void **state)
{
    (void)state;
    static const uint32_t labels[] = {40, 3, 499, 0};
    trial t;
    trial_open(&t);
    predict(&t, 1);
    for (int i = 0; i < LABELS; i++)
        assert_true(t.probability[i] == 0);
    for (int i = 0; i < 4; i++)
        add(&t, labels[i]);
    float logits[4];
    assert_int_equal(atoll_net_forward(&t.expert.net, &t.scratch, &t.input, t.h, logits, NULL), ATOLL_OK);
    double e[4], sum = 0, total = 0, added = 0;
    for (int i = 0; i < 4; i++)
        sum += e[i] = exp(logits[i]);
    t.probability[3] = 0.25f; /* what other experts said */
    t.probability[5] = 0.5f;
    predict(&t, 0.7f);
    for (int i = 0; i < 4; i++) {
        assert_near(t.logits[i], e[i] / sum, 1e-5);
        assert_near(t.probability[labels[i]], 0.7 * e[i] / sum + (labels[i] == 3 ? 0.25 : 0), 1e-5);
        added += t.logits[i];
    }
    for (int i = 0; i < LABELS; i++)
        total += t.probability[i];
    assert_near(added, 1, 1e-5);
    assert_near(total, 0.75 + 0.7, 1e-5);
    assert_near(t.probability[5], 0.5, 0);
    trial_close(&t);
}

/* R starts at zero and takes AdaGrad steps; the shared expert's logits have the analytic half's scores added. */
static void random_features_and_scores_are_read(void **state)
{
    (void)state;
    enum { READ = 24, KNOWN = 2, OUTPUTS = 3 };
    static const atoll_net_shape shape = {.random_dim = READ, .seed = 5, .rate_random = 0.1f, .rate_dense = 0.02f};
    static const float delta[OUTPUTS] = {0.5f, -0.25f, 0}, score[KNOWN] = {0.5f, -1};
    trial t = {0};
    float z[READ], logits[OUTPUTS];
    pager_open(&t.pager);
    atoll_net_scratch_init(&t.scratch);
    atoll_expert_init(&t.expert, 0, &shape);
    for (int i = 0; i < READ; i++)
        z[i] = (float)(i % 5);
    t.input = (atoll_input){.z = z, .score = score, .scores = KNOWN};
    add(&t, 0);
    assert_int_equal(atoll_array_bytes(&t.expert.net.random), 0);
    assert_int_equal(atoll_net_set_dense(&t.pager, &t.expert.net, DENSE, NULL), ATOLL_OK);
    add(&t, 1);
    add(&t, 2);
    for (int step = 0; step < 2; step++) {
        assert_int_equal(atoll_net_forward(&t.expert.net, &t.scratch, &t.input, NULL, logits, NULL), ATOLL_OK);
        double moved = 0;
        for (int i = 0; i < READ; i++)
            moved += z[i] > 0 ? 0.1 * (double)z[i] : 0; /* a first AdaGrad step is the rate */
        for (int o = 0; o < OUTPUTS; o++)
            assert_near(logits[o], step && o < 2 ? (o ? 1 : -1) * (moved + 0.02) : 0, 1e-3);
        if (!step)
            assert_int_equal(atoll_net_backward(&t.pager, &t.expert.net, &t.scratch, &t.input, NULL, delta, NULL,
                                                NULL), ATOLL_OK);
    }
    float plain[OUTPUTS];
    memcpy(plain, logits, sizeof plain);
    t.expert.state = ATOLL_EXPERT_ACTIVE;
    atoll_expert_base(&t.expert, &t.input, logits);
    assert_memory_equal(logits, plain, sizeof plain);
    t.expert.state = ATOLL_EXPERT_SHARED;
    atoll_expert_base(&t.expert, &t.input, logits);
    for (int o = 0; o < OUTPUTS; o++)
        assert_near(logits[o] - plain[o], o < KNOWN ? 8 * score[o] : 0, 1e-4);
    assert_int_equal(atoll_net_reset_output(&t.pager, &t.expert.net, 0, NULL), ATOLL_OK);
    assert_true(((const float *)atoll_array_at(&t.expert.net.random, 0))[1] == 0);
    assert_true(((const float *)atoll_array_at(&t.expert.net.random, 1))[1] != 0);
    trial_close(&t);
}

static void frozen_experts_keep_their_labels(void **state)
{
    (void)state;
    trial t;
    trial_open(&t);
    add(&t, 8);
    add(&t, 2);
    atoll_expert frozen = t.expert;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    add(&t, 6);
    ((atoll_expert_label *)atoll_array_edit(&t.pager, &t.expert.labels, 0))->records = 99;
    assert_int_equal(atoll_expert_output(&frozen, 6), ATOLL_ROW_NONE);
    assert_int_equal(atoll_expert_output(&frozen, 2), 1);
    assert_int_equal(atoll_expert_label_at(&frozen, 0)->records, 0);
    assert_int_equal(frozen.net.outputs, 2);
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    trial_close(&t);
}

/* Labels and outputs stay in step wherever a block is refused. */
static void short_memory_adds_no_label(void **state)
{
    (void)state;
    trial t;
    uint32_t output, refused = 0;
    trial_open(&t);
    for (uint32_t label = 0; label < 40; label++) {
        uint32_t name = label * 3 + 1;
        atoll_reclaim_advance(t.pager.reclaim);
        for (long had = 0;; had++, refused++) {
            blocks_left = had;
            atoll_status status = atoll_expert_add_label(&t.pager, &t.expert, name, &output, NULL);
            blocks_left = LONG_MAX;
            if (status == ATOLL_OK)
                break;
            assert_int_equal(status, ATOLL_NO_MEMORY);
            assert_int_equal(atoll_expert_output(&t.expert, name), ATOLL_ROW_NONE);
            assert_int_equal(atoll_expert_output(&t.expert, 0), ATOLL_ROW_NONE);
            assert_int_equal(t.expert.labels.count, t.expert.net.outputs);
            memset(t.probability, 0, sizeof t.probability);
            predict(&t, 1);
            for (uint32_t i = 0; i < LABELS; i++)
                assert_true(t.probability[i] == 0 || (i < name && i % 3 == 1));
        }
        assert_int_equal(output, label);
        assert_int_equal(atoll_expert_output(&t.expert, name), label);
        assert_int_equal(t.expert.labels.count, t.expert.net.outputs);
    }
    assert_true(refused > 40);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_and_labels_map_both_ways),
        cmocka_unit_test(label_zero_may_come_late),
        cmocka_unit_test(says_what_its_network_says),
        cmocka_unit_test(random_features_and_scores_are_read),
        cmocka_unit_test(frozen_experts_keep_their_labels),
        cmocka_unit_test(short_memory_adds_no_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
