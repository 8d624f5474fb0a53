#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/nets.h"

static void growth_keeps_the_old_logits(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, &full, 3);
    for (int i = 0; i < 20; i++)
        new_record_learned(&t);
    static float before[MOST];
    uint32_t widened = 0;
    for (uint32_t outputs = 4; outputs <= 3000; outputs = outputs < 40 ? outputs + 1 : outputs * 3) {
        uint32_t old = t.net.outputs, capacity = t.net.capacity;
        forward(&t, &t.net);
        memcpy(before, t.logits, old * sizeof *before);
        atoll_net frozen = t.net;
        int ticket = atoll_reclaim_enter(t.pager.reclaim);
        atoll_reclaim_advance(t.pager.reclaim);
        assert_int_equal(atoll_net_grow(&t.pager, &t.net, outputs, NULL), ATOLL_OK);
        widened += t.net.capacity != capacity;
        assert_int_equal(t.net.outputs, outputs);
        assert_true(t.net.capacity >= outputs);
        forward(&t, &t.net);
        assert_memory_equal(t.logits, before, old * sizeof *before);
        learn(&t); /* the new outputs learn, and the accumulators stand where they belong */
        forward(&t, &frozen);
        assert_memory_equal(t.logits, before, old * sizeof *before);
        atoll_reclaim_leave(t.pager.reclaim, ticket);
        assert_int_equal(atoll_rows_verify(&t.net.sparse, NULL), ATOLL_OK);
        assert_int_equal(t.pager.live_bytes, atoll_net_bytes(&t.net));
    }
    assert_true(widened >= 4 && widened < 30);
    assert_int_equal(atoll_net_parameters(&t.net),
                     (uint64_t)t.net.sparse.rows.count * (t.net.outputs + full.rank) +
                         t.net.outputs * (1 + full.rank + full.hidden) + (DENSE + 1) * full.hidden +
                         LINEAR * t.net.outputs);
    assert_true(atoll_net_active(&t.net, 2) < atoll_net_parameters(&t.net));
    trial_close(&t);
}

static void outputs_start_alike_in_any_order_of_growth(void **state)
{
    (void)state;
    trial a, b;
    trial_open(&a, &full, 1);
    trial_open(&b, &full, 30);
    for (uint32_t outputs = 2; outputs <= 30; outputs++)
        assert_int_equal(atoll_net_grow(&a.pager, &a.net, outputs, NULL), ATOLL_OK);
    forward(&a, &a.net);
    forward(&b, &b.net);
    assert_memory_equal(a.logits, b.logits, 30 * sizeof *a.logits);
    assert_true(a.logits[3] != a.logits[4]);
    trial_close(&a);
    trial_close(&b);
}

static void a_reset_output_is_as_new(void **state)
{
    (void)state;
    enum { CHOSEN = 4 };
    trial t, fresh;
    trial_open(&t, &full, OUTPUTS);
    for (int i = 0; i < 30; i++)
        new_record_learned(&t);
    forward(&t, &t.net);
    float before[OUTPUTS];
    memcpy(before, t.logits, sizeof before);
    atoll_net frozen = t.net;
    int ticket = atoll_reclaim_enter(t.pager.reclaim);
    atoll_reclaim_advance(t.pager.reclaim);
    assert_int_equal(atoll_net_reset_output(&t.pager, &t.net, CHOSEN, NULL), ATOLL_OK);
    forward(&t, &t.net);
    for (uint32_t o = 0; o < OUTPUTS; o++)
        assert_true((t.logits[o] == before[o]) == (o != CHOSEN));
    forward(&t, &frozen);
    assert_memory_equal(t.logits, before, sizeof before);
    atoll_reclaim_leave(t.pager.reclaim, ticket);

    trial_open(&fresh, &full, OUTPUTS);
    assert_memory_equal(atoll_array_at(&t.net.head, CHOSEN), atoll_array_at(&fresh.net.head, CHOSEN),
                        t.net.head.element_bytes);
    for (uint32_t i = 0; i < t.net.sparse.rows.count; i++) {
        const float *row = atoll_rows_at(&t.net.sparse, i);
        float squares[OUTPUTS];
        wide_squares(&t.net, row, squares);
        assert_true(row[CHOSEN] == 0 && squares[CHOSEN] == 0);
        if (i >= FEATURES) /* the first record was admitted, not learned */
            assert_true(row[CHOSEN + 1] != 0 && squares[CHOSEN - 1] > 0 && squares[CHOSEN + 1] > 0);
    }
    for (uint32_t i = 0; i < LINEAR; i++) {
        const float *row = atoll_array_at(&t.net.linear, i);
        assert_true(row[CHOSEN] == 0 && row[t.net.capacity + CHOSEN] == 0 && row[CHOSEN + 1] != 0);
    }
    trial_close(&fresh);
    trial_close(&t);
}

static void a_cleared_network_starts_anew(void **state)
{
    (void)state;
    trial t, fresh;
    trial_open(&t, &full, OUTPUTS);
    trial_open(&fresh, &full, OUTPUTS);
    learn(&t);
    atoll_net_clear(&t.pager, &t.net);
    assert_int_equal(atoll_net_bytes(&t.net), 0);
    assert_int_equal(t.net.outputs, 0);
    assert_int_equal(atoll_net_grow(&t.pager, &t.net, OUTPUTS, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_set_dense(&t.pager, &t.net, DENSE, NULL), ATOLL_OK);
    assert_int_equal(atoll_net_admit(&t.pager, &t.net, &t.scratch, &t.input, NULL), ATOLL_OK);
    assert_arrays_equal(&t.net.head, &fresh.net.head);
    assert_arrays_equal(&t.net.first, &fresh.net.first);
    assert_arrays_equal(&t.net.sparse.rows, &fresh.net.sparse.rows);
    trial_close(&t);
    trial_close(&fresh);
}

/* Every call is refused blocks at each of its turns in turn, and works once it gets them. */
static void short_memory_is_a_status(void **state)
{
    (void)state;
    trial t;
    trial_open(&t, &full, 3);
    for (int i = 0; i < 20; i++)
        new_record_learned(&t);
    forward(&t, &t.net);
    float before[3];
    memcpy(before, t.logits, sizeof before);
    int refused = 0;
    for (uint32_t outputs = 6; outputs < 30; outputs += 7) {
        atoll_reclaim_advance(t.pager.reclaim);
        for (long had = 0;; had++, refused++) {
            blocks_left = had;
            atoll_status status = atoll_net_grow(&t.pager, &t.net, outputs, NULL);
            blocks_left = LONG_MAX;
            if (status == ATOLL_OK)
                break;
            assert_int_equal(status, ATOLL_NO_MEMORY);
            assert_true(t.net.outputs < outputs && t.net.capacity >= t.net.outputs);
            assert_int_equal(t.net.linear.element_bytes, 2 * t.net.capacity * sizeof(float));
            forward(&t, &t.net);
            assert_memory_equal(t.logits, before, sizeof before);
        }
        forward(&t, &t.net);
        assert_memory_equal(t.logits, before, sizeof before);
    }
    assert_true(refused > 6);
    forward(&t, &t.net);
    atoll_reclaim_advance(t.pager.reclaim);
    blocks_left = 0;
    assert_int_equal(atoll_net_reset_output(&t.pager, &t.net, 0, NULL), ATOLL_NO_MEMORY);
    t.bucket[0] = 77777;
    assert_int_equal(atoll_net_admit(&t.pager, &t.net, &t.scratch, &t.input, NULL), ATOLL_NO_MEMORY);
    blocks_left = LONG_MAX;
    assert_int_equal(atoll_rows_verify(&t.net.sparse, NULL), ATOLL_OK);
    learn(&t);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_keeps_the_old_logits),
        cmocka_unit_test(outputs_start_alike_in_any_order_of_growth),
        cmocka_unit_test(a_reset_output_is_as_new),
        cmocka_unit_test(a_cleared_network_starts_anew),
        cmocka_unit_test(short_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
