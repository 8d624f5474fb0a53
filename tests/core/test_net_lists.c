/* Networks of many outputs, whose wide path has lists. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/kernels.h"
#include "core/net.h"
#include "tests/core/paged.h"

enum { FEATURES = 6, MANY = 400, BUCKETS = 3000 };

typedef struct trial {
    atoll_pager pager;
    atoll_net net;
    atoll_net_scratch scratch;
    uint32_t bucket[FEATURES];
    float weight[FEATURES], logits[MANY];
    atoll_input input;
} trial;

static const atoll_net_shape shape = {.rank = 8, .seed = 5, .rate_wide = 0.2f, .rate_low = 0.05f, .rate_dense = 0.02f,
                                      .lists = true};

static void trial_open(trial *t, uint32_t outputs)
{
    *t = (trial){0};
    pager_open(&t->pager);
    atoll_net_scratch_init(&t->scratch);
    atoll_net_init(&t->net, &shape);
    assert_int_equal(atoll_net_grow(&t->pager, &t->net, outputs, NULL), ATOLL_OK);
}

static void trial_close(trial *t)
{
    assert_int_equal(t->pager.live_bytes, atoll_net_bytes(&t->net));
    atoll_net_clear(&t->pager, &t->net);
    atoll_net_scratch_free(&t->scratch);
    pager_close(&t->pager);
}

/* Records of an output share four features of their own, and two with all others. */
static void read_record(trial *t, uint32_t output)
{
    for (uint32_t f = 0; f < FEATURES; f++) {
        t->bucket[f] = f < 4 ? 7 * output + f : BUCKETS + f;
        t->weight[f] = 0.4f;
    }
    t->input = (atoll_input){.bucket = t->bucket, .weight = t->weight, .features = FEATURES};
}

static uint32_t answer(trial *t, uint32_t output)
{
    uint32_t best = 0;
    read_record(t, output);
    assert_int_equal(atoll_net_forward(&t->net, &t->scratch, &t->input, NULL, t->logits, NULL), ATOLL_OK);
    for (uint32_t o = 1; o < t->net.outputs; o++)
        best = t->logits[o] > t->logits[best] ? o : best;
    return best;
}

static atoll_status learn(trial *t, uint32_t output)
{
    read_record(t, output);
    atoll_status status = atoll_net_admit(&t->pager, &t->net, &t->scratch, &t->input, NULL);
    if (status)
        return status;
    atoll_net_run(&t->net, &t->scratch, &t->input, NULL, t->logits);
    atoll_softmax(t->logits, t->net.outputs);
    t->logits[output] -= 1;
    return atoll_net_backward(&t->pager, &t->net, &t->scratch, &t->input, NULL, t->logits, NULL, NULL);
}

static void learn_all(trial *t, uint32_t outputs, int times)
{
    for (int i = 0; i < times; i++)
        for (uint32_t o = 0; o < outputs; o++)
            assert_int_equal(learn(t, o), ATOLL_OK);
}

static void check(const trial *t)
{
    atoll_error error = {.detail = ""};
    if (atoll_postings_verify(&t->net.wide, &error) != ATOLL_OK)
        fail_msg("%s", error.detail);
    assert_true(t->net.wide.rows.count >= t->net.sparse.rows.count);
}

static void knows_most(trial *t)
{
    uint32_t right = 0;
    check(t);
    for (uint32_t o = 0; o < MANY; o++)
        right += answer(t, o) == o;
    assert_true(right > MANY * 95 / 100);
}

static uint32_t row_of(const trial *t, uint32_t bucket)
{
    uint32_t row;
    atoll_rows_find(&t->net.sparse, &bucket, 1, &row);
    assert_int_not_equal(row, ATOLL_ROW_NONE);
    return row;
}

static void few_outputs_have_columns(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, ATOLL_NET_COLUMNS);
    learn_all(&t, 10, 1);
    assert_int_equal(t.net.capacity, ATOLL_NET_COLUMNS);
    assert_int_equal(atoll_postings_bytes(&t.net.wide), 0);
    trial_close(&t);
}

/* A feature has weights for what it was taught with, and none where it is taught with everything. */
static void many_outputs_have_lists(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, MANY);
    assert_int_equal(t.net.capacity, 0);
    learn_all(&t, MANY, 3);
    knows_most(&t);
    atoll_posting_list own = atoll_postings_at(&t.net.wide, row_of(&t, 7 * 33));
    assert_int_equal(own.count, 1);
    assert_int_equal(own.label[0], 33);
    assert_true(own.value[0] > 0 && own.square[0] > 0);
    assert_int_equal(atoll_postings_at(&t.net.wide, row_of(&t, BUCKETS + 5)).count, 0);
    assert_int_equal(t.net.wide.entries, 4 * MANY);
    assert_int_equal(atoll_net_parameters(&t.net), 4 * MANY + t.net.sparse.rows.count * 8 + MANY * 9);
    assert_true(atoll_net_active(&t.net, FEATURES) < atoll_net_parameters(&t.net));
    trial_close(&t);
}

/* One step of the wide path: AdaGrad's on each entry of a list. */
static void a_step_changes_what_lists_hold(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, MANY);
    for (uint32_t o = 0; o < 3; o++)
        assert_int_equal(learn(&t, o), ATOLL_OK);
    uint32_t row = row_of(&t, BUCKETS + 4);
    atoll_posting_list list = atoll_postings_at(&t.net.wide, row);
    float before[3], slope[MANY];
    assert_int_equal(list.count, 3);
    memcpy(before, list.value, sizeof before);
    read_record(&t, 1);
    assert_int_equal(atoll_net_admit(&t.pager, &t.net, &t.scratch, &t.input, NULL), ATOLL_OK);
    for (uint32_t o = 0; o < MANY; o++)
        slope[o] = o == 1 ? -0.6f : 0.001f;
    float square[3];
    for (int i = 0; i < 3; i++)
        square[i] = ldexpf((float)(list.square[i] & 0x7f) / 128 + 1, (list.square[i] >> 7) - 127);
    atoll_net_run(&t.net, &t.scratch, &t.input, NULL, t.logits);
    assert_int_equal(atoll_net_backward(&t.pager, &t.net, &t.scratch, &t.input, NULL, slope, NULL, NULL), ATOLL_OK);
    list = atoll_postings_at(&t.net.wide, row);
    assert_int_equal(list.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        double g = 0.4 * slope[list.label[i]];
        assert_near(list.value[i], before[i] - 0.2 * g / sqrt(square[i] + g * g + 1e-8), 1e-5);
    }
    trial_close(&t);
}

/* Growing beyond the columns turns them into lists that say the same but for what is common to all outputs. */
static void columns_become_lists(void **state)
{
    (void)state;
    enum { BEFORE = 200 };
    trial t;
    trial_open(&t, BEFORE);
    learn_all(&t, BEFORE, 4);
    for (uint32_t o = 0; o < BEFORE; o++)
        assert_int_equal(answer(&t, o), o);
    uint64_t bytes = atoll_net_bytes(&t.net);
    assert_int_equal(atoll_net_grow(&t.pager, &t.net, MANY, NULL), ATOLL_OK);
    assert_int_equal(t.net.capacity, 0);
    assert_true(atoll_net_bytes(&t.net) < bytes / 2);
    check(&t);
    for (uint32_t o = 0; o < BEFORE; o++)
        assert_int_equal(answer(&t, o), o);
    learn_all(&t, MANY, 3);
    knows_most(&t);
    atoll_net_unload(&t.pager, &t.net);
    assert_true(t.net.wide.rows.count > 0);
    assert_int_equal(atoll_postings_bytes(&t.net.wide), 0);
    trial_close(&t);
}

static void frozen_networks_do_not_learn(void **state)
{
    (void)state;
    trial t, frozen;
    trial_open(&t, MANY);
    learn_all(&t, 50, 2);
    frozen = t;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    static float before[MANY];
    answer(&frozen, 20);
    memcpy(before, frozen.logits, sizeof before);
    t.scratch = frozen.scratch;
    learn_all(&t, MANY, 2);
    frozen.scratch = t.scratch;
    answer(&frozen, 20);
    assert_memory_equal(frozen.logits, before, sizeof before);
    t.scratch = frozen.scratch;
    atoll_reclaim_leave(t.pager.reclaim, ticket);
    trial_close(&t);
}

static void short_memory_is_a_status(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, 200);
    learn_all(&t, 200, 2);
    int refused = 0;
    for (long had = 0;; had++, refused++) {
        blocks_left = had;
        atoll_status status = atoll_net_grow(&t.pager, &t.net, MANY, NULL);
        blocks_left = LONG_MAX;
        if (status == ATOLL_OK)
            break;
        assert_int_equal(status, ATOLL_NO_MEMORY);
        assert_int_equal(t.pager.live_bytes, atoll_net_bytes(&t.net));
        assert_int_equal(answer(&t, 7), 7);
    }
    assert_true(refused > 3);
    for (uint32_t o = 0; o < 300; o += 60)
        for (long had = 0;; had++, refused++) {
            atoll_reclaim_advance(t.pager.reclaim);
            blocks_left = had;
            atoll_status status = learn(&t, o);
            blocks_left = LONG_MAX;
            check(&t);
            if (status == ATOLL_OK)
                break;
            assert_int_equal(status, ATOLL_NO_MEMORY);
        }
    trial_close(&t);
}

static int start(void **state)
{
    (void)state;
    return atoll_kernels_init(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_outputs_have_columns),
        cmocka_unit_test(many_outputs_have_lists),
        cmocka_unit_test(a_step_changes_what_lists_hold),
        cmocka_unit_test(columns_become_lists),
        cmocka_unit_test(frozen_networks_do_not_learn),
        cmocka_unit_test(short_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
