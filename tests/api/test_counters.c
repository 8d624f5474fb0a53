#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api/counters.h"

static void counts_are_kept_by_family_and_status(void **state)
{
    atoll_counters *counters = atoll_counters_new();
    (void)state;
    assert_true(atoll_counters_name(counters, "GET", "/a"));
    assert_true(atoll_counters_name(counters, "POST", "/b"));
    atoll_counters_add(counters, 0, 200, 1000);
    atoll_counters_add(counters, 0, 200, 1000);
    atoll_counters_add(counters, 1, 404, 1000);
    atoll_counters_add(counters, 1, 12345, 1000);
    assert_int_equal(atoll_counters_get(counters, 0, 200), 2);
    assert_int_equal(atoll_counters_get(counters, 1, 200), 0);
    assert_int_equal(atoll_counters_get(counters, 1, 404), 1);
    assert_int_equal(atoll_counters_get(counters, 1, 500), 1);
    atoll_counters_free(counters);
}

static void families_are_bounded(void **state)
{
    atoll_counters *counters = atoll_counters_new();
    (void)state;
    for (int i = 0; i < ATOLL_FAMILIES_MAX; i++)
        assert_true(atoll_counters_name(counters, "GET", "/"));
    assert_false(atoll_counters_name(counters, "GET", "/"));
    atoll_counters_free(counters);
}

static void the_text_has_zeros_and_cumulative_buckets(void **state)
{
    atoll_counters *counters = atoll_counters_new();
    atoll_writer out;
    (void)state;
    atoll_counters_name(counters, "GET", "/a");
    atoll_counters_name(counters, "POST", "/b");
    atoll_counters_add(counters, 0, 200, 200000);      /* 0.2 ms */
    atoll_counters_add(counters, 0, 200, 2000000);     /* 2 ms */
    atoll_counters_add(counters, 0, 503, 60000000000); /* a minute */
    atoll_counters_together(counters, 1);
    atoll_counters_together(counters, 3);
    atoll_counters_together(counters, 100);
    atoll_writer_init(&out);
    atoll_counters_print(counters, &out);
    assert_true(atoll_writer_terminate(&out));
    static const char *const wanted[] = {
        "atoll_http_requests_total{method=\"GET\",path=\"/a\",status=\"200\"} 2\n",
        "atoll_http_requests_total{method=\"GET\",path=\"/a\",status=\"503\"} 1\n",
        "atoll_http_requests_total{method=\"POST\",path=\"/b\",status=\"200\"} 0\n",
        "_bucket{method=\"GET\",path=\"/a\",le=\"0.0001\"} 0\n",
        "_bucket{method=\"GET\",path=\"/a\",le=\"0.00025\"} 1\n",
        "_bucket{method=\"GET\",path=\"/a\",le=\"0.0025\"} 2\n",
        "_bucket{method=\"GET\",path=\"/a\",le=\"30\"} 2\n",
        "_bucket{method=\"GET\",path=\"/a\",le=\"+Inf\"} 3\n",
        "_sum{method=\"GET\",path=\"/a\"} 60.0022\n",
        "_count{method=\"GET\",path=\"/a\"} 3\n",
        "_count{method=\"POST\",path=\"/b\"} 0\n",
        "atoll_predict_together_requests_bucket{le=\"1\"} 1\n",
        "atoll_predict_together_requests_bucket{le=\"2\"} 1\n",
        "atoll_predict_together_requests_bucket{le=\"4\"} 2\n",
        "atoll_predict_together_requests_bucket{le=\"16\"} 2\n",
        "atoll_predict_together_requests_bucket{le=\"+Inf\"} 3\n",
        "atoll_predict_together_requests_sum 104\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(out.data, wanted[i]))
            fail_msg("no %s in %s", wanted[i], out.data);
    const char *type = strstr(out.data, "# TYPE atoll_http_requests_total counter\n");
    assert_non_null(type);
    assert_null(strstr(type + 1, "# TYPE atoll_http_requests_total"));
    atoll_writer_free(&out);
    atoll_counters_free(counters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_kept_by_family_and_status),
        cmocka_unit_test(families_are_bounded),
        cmocka_unit_test(the_text_has_zeros_and_cumulative_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
