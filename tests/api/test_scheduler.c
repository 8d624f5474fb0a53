#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/folder.h"
#include "api/scheduler.h"
#include "core/log.h"

static const int64_t noon_ms = 1767268800000; /* 2026-01-01T12:00:00Z */
enum { MINUTE_MS = 60000, HOUR_MS = 3600000 };

static char dir[64];
static atoll_registry *registry;
static atoll_scheduler *scheduler;

static int setup(void **state)
{
    (void)state;
    atoll_log_set_level(ATOLL_LOG_ERROR);
    strcpy(dir, "/tmp/atoll-scheduler-XXXXXX");
    if (!mkdtemp(dir) || atoll_registry_open(dir, 64 << 20, &registry, NULL))
        return -1;
    scheduler = atoll_scheduler_new(registry);
    return scheduler ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    atoll_scheduler_free(scheduler);
    atoll_registry_close(registry);
    return atoll_folder_delete(dir, NULL) ? -1 : 0;
}

static void make(const char *name, const char *schedule)
{
    atoll_config config;
    atoll_model *model;
    bool created;
    atoll_config_defaults(&config);
    strcpy(config.prune_schedule, schedule);
    assert_int_equal(atoll_registry_create(registry, name, &config, &model, &created, NULL), ATOLL_OK);
    atoll_registry_release(registry, model);
}

static void a_model_fires_at_its_time_once(void **state)
{
    (void)state;
    make("m", "30 12 * * *");
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 30 * MINUTE_MS - 1), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 30 * MINUTE_MS), 1);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 30 * MINUTE_MS), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 31 * MINUTE_MS), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 30 * MINUTE_MS + 24 * HOUR_MS), 1);
}

static void times_that_passed_unseen_fire_once(void **state)
{
    (void)state;
    make("m", "* * * * *");
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 10 * HOUR_MS), 1);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 10 * HOUR_MS + 1), 0);
}

static void each_model_has_its_own_schedule(void **state)
{
    (void)state;
    make("never", "");
    make("hourly", "@hourly");
    make("daily", "@daily");
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + HOUR_MS), 1);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 12 * HOUR_MS), 2);
}

static void told(void *arg, atoll_status status, const atoll_error *error)
{
    (void)error;
    assert_int_equal(status, ATOLL_OK);
    atomic_store((_Atomic bool *)arg, true);
}

static void a_changed_schedule_counts_from_the_change(void **state)
{
    _Atomic bool done = false;
    atoll_model *model;
    (void)state;
    make("m", "30 12 * * *");
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms), 0);
    assert_int_equal(atoll_registry_find(registry, "m", &model, NULL), ATOLL_OK);
    atoll_config config = atoll_learner_config(model->learner);
    strcpy(config.prune_schedule, "10 12 * * *");
    assert_int_equal(atoll_learner_configure(model->learner, &config, told, &done, NULL), ATOLL_OK);
    while (!atomic_load(&done))
        sched_yield();
    atoll_registry_release(registry, model);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + MINUTE_MS), 0);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 10 * MINUTE_MS), 1);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + 30 * MINUTE_MS), 0);
}

static void removed_models_are_forgotten(void **state)
{
    (void)state;
    make("m", "30 12 * * *");
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms), 0);
    assert_int_equal(atoll_registry_remove(registry, "m", NULL, NULL, NULL), ATOLL_OK);
    assert_int_equal(atoll_scheduler_tick(scheduler, noon_ms + HOUR_MS), 0);
}

static void the_thread_starts_and_ends(void **state)
{
    (void)state;
    make("m", "* * * * *");
    assert_int_equal(atoll_scheduler_start(scheduler, NULL), ATOLL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_fires_at_its_time_once, setup, teardown),
        cmocka_unit_test_setup_teardown(times_that_passed_unseen_fire_once, setup, teardown),
        cmocka_unit_test_setup_teardown(each_model_has_its_own_schedule, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_schedule_counts_from_the_change, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_models_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(the_thread_starts_and_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
