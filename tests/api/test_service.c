#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>

#include "tests/api/harness.h"

static void a_service_opens_and_closes(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    assert_int_equal(atoll_service_open(&h.service, &h.options, NULL), ATOLL_OK);
    assert_int_equal(atomic_load(&h.service.phase), ATOLL_PHASE_STARTING);
    assert_true(atoll_pool_threads(h.service.pool) >= 2);
    assert_int_equal(strlen(h.service.prediction_prefix), 16);
    assert_true(h.service.started_ms > 0);
    atoll_service_close(&h.service);
    atoll_service_free(&h.service);
    h.options.workers = 1;
    assert_int_equal(atoll_service_open(&h.service, &h.options, NULL), ATOLL_OK);
    assert_int_equal(atoll_pool_threads(h.service.pool), 1);
    atoll_service_close(&h.service);
    atoll_service_free(&h.service);
    harness_delete(h.dir);
}

static void a_folder_in_use_is_refused(void **state)
{
    harness h;
    atoll_service second;
    atoll_error error;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    assert_int_equal(atoll_service_open(&second, &h.options, &error), ATOLL_WRONG_STATE);
    harness_stop(&h);
    harness_delete(h.dir);
}

static void a_service_is_ready_once_its_models_have_caught_up(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    http_reply reply = expect(&h, "POST", "/v1/models/m/ingest", NDJSON, "{\"text\":\"x y\",\"label\":\"a\"}", 200);
    http_free(&reply);
    atomic_store(&h.service.phase, ATOLL_PHASE_STARTING);
    atoll_service_begin(&h.service);
    while (atomic_load(&h.service.phase) != ATOLL_PHASE_SERVING)
        sched_yield();
    reply = expect(&h, "GET", "/v1/models/m", NULL, NULL, 200);
    assert_int_equal(number_in(&reply, "records"), 1);
    http_free(&reply);
    harness_stop(&h);
    harness_delete(h.dir);
}

static void a_service_that_ends_meanwhile_does_not_become_ready(void **state)
{
    harness h;
    (void)state;
    harness_prepare(&h);
    harness_start(&h);
    http_reply reply = expect(&h, "POST", "/v1/models/m/ingest", NDJSON, "{\"text\":\"x y\",\"label\":\"a\"}", 200);
    http_free(&reply);
    atomic_store(&h.service.phase, ATOLL_PHASE_DRAINING);
    atoll_service_begin(&h.service);
    harness_stop(&h);
    assert_int_equal(atomic_load(&h.service.phase), ATOLL_PHASE_DRAINING);
    assert_int_equal(atomic_load(&h.service.behind), 0);
    harness_delete(h.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_opens_and_closes),
        cmocka_unit_test(a_folder_in_use_is_refused),
        cmocka_unit_test(a_service_is_ready_once_its_models_have_caught_up),
        cmocka_unit_test(a_service_that_ends_meanwhile_does_not_become_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
