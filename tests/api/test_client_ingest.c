#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/client_ingest.h"
#include "tests/api/fake_atoll.h"

typedef struct fixture {
    fake_atoll atoll;
    atoll_client_session session;
    char *out, *err;
    size_t out_bytes, err_bytes;
} fixture;

static int start(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fake_atoll_start(&f->atoll);
    assert_int_equal(atoll_client_session_open(f->atoll.server.url, "m", 5000, &f->session, NULL), ATOLL_OK);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    fixture *f = *state;
    atoll_client_session_close(&f->session);
    fake_atoll_stop(&f->atoll);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

static int ingest(fixture *f, const char *text, size_t bytes)
{
    FILE *in = bytes ? fmemopen((void *)text, bytes, "r") : fopen("/dev/null", "r");
    free(f->out);
    free(f->err);
    FILE *out = open_memstream(&f->out, &f->out_bytes), *err = open_memstream(&f->err, &f->err_bytes);
    int status = atoll_client_ingest(&f->session, in, "stream", false, out, err);
    fclose(in);
    fclose(out);
    fclose(err);
    return status;
}

/* `count` lines, of which those numbered `bad` and so on are refused; free it. */
static char *make_lines(int count, const int *bad, int bad_count, size_t *bytes)
{
    char *text;
    FILE *out = open_memstream(&text, bytes);
    for (int i = 1; i <= count; i++) {
        bool is_bad = false;
        for (int b = 0; b < bad_count; b++)
            is_bad = is_bad || bad[b] == i;
        fprintf(out, "{\"text\":\"%s %d\"}\n", is_bad ? "bad" : "good", i);
    }
    fclose(out);
    return text;
}

static void lines_go_out_in_batches(void **state)
{
    fixture *f = *state;
    size_t bytes;
    char *text = make_lines(2500, NULL, 0, &bytes);
    assert_int_equal(ingest(f, text, bytes), 0);
    assert_int_equal(f->atoll.batches, 3);
    assert_int_equal(f->atoll.records, 2500);
    assert_non_null(strstr(f->out, "accepted 2,500, rejected 0"));
    assert_non_null(strstr(f->out, "version 3 once learned"));
    assert_string_equal(f->err, "");
    free(text);
}

static void rejected_lines_are_named_by_their_number_in_the_file(void **state)
{
    fixture *f = *state;
    size_t bytes;
    const int bad[] = {3, 1000, 1001, 2042};
    char *text = make_lines(2500, bad, 4, &bytes);
    assert_int_equal(ingest(f, text, bytes), 1);
    assert_string_equal(f->err, "stream:3: missing_label: it is bad\n"
                                "stream:1000: missing_label: it is bad\n"
                                "stream:1001: missing_label: it is bad\n"
                                "stream:2042: missing_label: it is bad\n");
    assert_non_null(strstr(f->out, "accepted 2,496, rejected 4"));
    free(text);
}

static void only_the_first_rejections_are_named(void **state)
{
    fixture *f = *state;
    size_t bytes;
    const int bad[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    char *text = make_lines(20, bad, 12, &bytes);
    assert_int_equal(ingest(f, text, bytes), 1);
    assert_non_null(strstr(f->err, "stream:10: "));
    assert_null(strstr(f->err, "stream:11: "));
    assert_non_null(strstr(f->err, "more lines were rejected"));
    assert_non_null(strstr(f->out, "rejected 12"));
    free(text);
}

static void a_batch_of_nothing_but_bad_lines_is_named_too(void **state)
{
    fixture *f = *state;
    assert_int_equal(ingest(f, "bad\n\nbad\n", 9), 1);
    assert_string_equal(f->err, "stream:1: missing_label: it is bad\nstream:3: missing_label: it is bad\n");
    assert_non_null(strstr(f->out, "accepted 0, rejected 2"));
}

static void a_last_line_without_end_counts(void **state)
{
    fixture *f = *state;
    assert_int_equal(ingest(f, "{}\n\n{}", 6), 0);
    assert_int_equal(f->atoll.records, 2);
}

static void nothing_in_nothing_out(void **state)
{
    fixture *f = *state;
    assert_int_equal(ingest(f, "", 0), 0);
    assert_int_equal(f->atoll.batches, 0);
    assert_non_null(strstr(f->out, "accepted 0"));
}

static void a_busy_server_is_asked_again(void **state)
{
    fixture *f = *state;
    f->atoll.busy = 2;
    assert_int_equal(ingest(f, "{}\n", 3), 0);
    assert_int_equal(f->atoll.busy, 0);
    assert_int_equal(f->atoll.records, 1);
}

static void a_failure_says_how_far_it_came(void **state)
{
    fixture *f = *state;
    size_t bytes;
    char *text = make_lines(2500, NULL, 0, &bytes);
    f->atoll.fail_after = 2;
    assert_int_equal(ingest(f, text, bytes), 1);
    assert_non_null(strstr(f->err, "stream: from line 1001 on: no_space: the disk is full (HTTP 507)"));
    assert_non_null(strstr(f->out, "accepted 1,000"));
    free(text);
}

/* What the server could not learn any more, but keeps, is not to be sent again. */
static void a_batch_that_is_kept_is_counted_though_it_fails(void **state)
{
    fixture *f = *state;
    size_t bytes;
    const int bad[] = {1500};
    char *text = make_lines(2500, bad, 1, &bytes);
    f->atoll.close_after = 2;
    assert_int_equal(ingest(f, text, bytes), 1);
    assert_int_equal(f->atoll.batches, 2);
    assert_non_null(strstr(f->err, "stream:1500: missing_label: it is bad\n"));
    assert_non_null(strstr(f->err, "stream: from line 2001 on: shutting_down: the model is being closed (HTTP 503)"));
    assert_non_null(strstr(f->out, "accepted 1,999, rejected 1"));
    free(text);
}

static void long_lines_make_shorter_batches(void **state)
{
    fixture *f = *state;
    size_t line = ATOLL_CLIENT_BATCH_BYTES / 2, bytes = 3 * line;
    char *text = malloc(bytes);
    memset(text, 'x', bytes);
    for (size_t i = 1; i <= 3; i++)
        text[i * line - 1] = '\n';
    assert_int_equal(ingest(f, text, bytes), 0);
    assert_int_equal(f->atoll.batches, 2);
    assert_int_equal(f->atoll.records, 3);
    free(text);
}

static void a_line_without_end_is_refused(void **state)
{
    fixture *f = *state;
    size_t bytes = ATOLL_CLIENT_LINE_MAX_BYTES + 2;
    char *text = malloc(bytes);
    memset(text, 'x', bytes);
    memcpy(text, "{}\n", 3);
    assert_int_equal(ingest(f, text, bytes - 1), 0);
    char *more = malloc(bytes + 3);
    memset(more, 'x', bytes + 3);
    memcpy(more, "{}\n", 3);
    assert_int_equal(ingest(f, more, bytes + 3), 1);
    assert_non_null(strstr(f->err, "body_too_large: line 2"));
    free(text);
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_go_out_in_batches, start, stop),
        cmocka_unit_test_setup_teardown(rejected_lines_are_named_by_their_number_in_the_file, start, stop),
        cmocka_unit_test_setup_teardown(only_the_first_rejections_are_named, start, stop),
        cmocka_unit_test_setup_teardown(a_batch_of_nothing_but_bad_lines_is_named_too, start, stop),
        cmocka_unit_test_setup_teardown(a_last_line_without_end_counts, start, stop),
        cmocka_unit_test_setup_teardown(nothing_in_nothing_out, start, stop),
        cmocka_unit_test_setup_teardown(a_busy_server_is_asked_again, start, stop),
        cmocka_unit_test_setup_teardown(a_failure_says_how_far_it_came, start, stop),
        cmocka_unit_test_setup_teardown(a_batch_that_is_kept_is_counted_though_it_fails, start, stop),
        cmocka_unit_test_setup_teardown(long_lines_make_shorter_batches, start, stop),
        cmocka_unit_test_setup_teardown(a_line_without_end_is_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
