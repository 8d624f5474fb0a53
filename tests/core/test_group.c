#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/group.h"
#include "tests/core/paged.h"

enum { NETS = 4, DENSE = 50, HIDDEN = 24, TASKS = 23 };

/* Each task gets just what its network says of it alone, whatever stands beside it. */
static void a_batch_gives_what_each_gives_alone(void **state)
{
    (void)state;
    atoll_pager pager;
    atoll_arena arena;
    atoll_net net[NETS];
    atoll_rng rng;
    float v[TASKS * DENSE];
    atoll_group_task task[TASKS];
    pager_open(&pager);
    atoll_arena_init(&arena);
    atoll_rng_seed(&rng, 1, 0);
    fill_normal(&rng, v, TASKS * DENSE);
    for (uint32_t n = 0; n < NETS; n++) {
        atoll_net_shape shape = {.hidden = HIDDEN * (1 + n % 2), .seed = n};
        atoll_net_init(&net[n], &shape);
        assert_int_equal(atoll_net_set_dense(&pager, &net[n], DENSE, NULL), ATOLL_OK);
    }
    for (uint32_t count = 0; count <= TASKS; count++) {
        for (uint32_t i = 0; i < count; i++)
            task[i] = (atoll_group_task){.net = &net[i * i % NETS], .v = v + i * DENSE};
        assert_int_equal(atoll_group_hidden(task, count, &arena, NULL), ATOLL_OK);
        for (uint32_t i = 0; i < count; i++) {
            float alone[2 * HIDDEN];
            atoll_net_hidden(task[i].net, task[i].v, 1, alone);
            assert_memory_equal(task[i].h, alone, task[i].net->hidden * sizeof *alone);
        }
        atoll_arena_reset(&arena);
    }
    for (uint32_t n = 0; n < NETS; n++)
        atoll_net_clear(&pager, &net[n]);
    atoll_arena_free(&arena);
    pager_close(&pager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_batch_gives_what_each_gives_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
