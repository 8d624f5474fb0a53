#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_opens_and_closes),
        cmocka_unit_test(a_folder_in_use_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
