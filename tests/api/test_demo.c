#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/demo.h"
#include "tests/api/fake_atoll.h"

typedef struct fixture {
    fake_atoll atoll;
    atoll_client_session session;
    char path[64], *out, *err;
    size_t out_bytes, err_bytes;
} fixture;

/* Two domains of 1,500 and 700 records; the stand-in's answers are right where a text begins with its label. */
static void write_stream(fixture *f)
{
    strcpy(f->path, "/tmp/atoll-demo-XXXXXX");
    FILE *out = fdopen(mkstemp(f->path), "w");
    assert_non_null(out);
    for (int i = 0; i < 1500; i++)
        fprintf(out, "{\"id\":\"%d\",\"text\":\"red thing number %d\",\"label\":\"red\",\"domain\":\"first\"}\n", i, i);
    for (int i = 0; i < 700; i++)
        fprintf(out, "{\"text\":\"green thing number %d\",\"label\":\"%s\",\"domain\":\"second\"}\n", i,
                i % 40 == 10 ? "green" : "blue");
    fclose(out);
}

static int start(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    write_stream(f);
    fake_atoll_start(&f->atoll);
    assert_int_equal(atoll_client_session_open(f->atoll.server.url, "m", 5000, &f->session, NULL), ATOLL_OK);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    fixture *f = *state;
    unlink(f->path);
    atoll_client_session_close(&f->session);
    fake_atoll_stop(&f->atoll);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

static int run(fixture *f, const char *path)
{
    free(f->out);
    free(f->err);
    FILE *out = open_memstream(&f->out, &f->out_bytes), *err = open_memstream(&f->err, &f->err_bytes);
    int status = atoll_demo_run(&f->session, path, out, err);
    fclose(out);
    fclose(err);
    return status;
}

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        count++;
    return count;
}

static void a_stream_is_taught_and_examined(void **state)
{
    fixture *f = *state;
    assert_int_equal(run(f, f->path), 0);
    assert_string_equal(f->err, "");
    /* 75 and 35 records are held back, and every batch is waited for. */
    assert_int_equal(f->atoll.records, 1425 + 665);
    assert_int_equal(f->atoll.batches, 3);
    assert_int_equal(f->atoll.trained, 3);
    assert_false(f->atoll.domain_seen);
    /* Each held-back record once when its domain was learned and once at the end, and the questions. */
    assert_int_equal(f->atoll.predicted, 2 * (75 + 35) + 12);
    assert_non_null(strstr(f->out, "Streaming 2,090 records of 2 domains"));
    assert_non_null(strstr(f->out, "110 records are held back"));
    assert_non_null(strstr(f->out, "Learned 2,090 records in"));
    assert_non_null(strstr(f->out, "75.0 % of the records (repeating the label before: 50.0 %)"));
    assert_int_equal(count_of(f->out, "    truth      "), 12);
    assert_int_equal(count_of(f->out, "    truth      red\n"), 6);
    assert_int_equal(count_of(f->out, "    answer     green"), 6);
    assert_int_equal(count_of(f->out, "near = first 0.80"), 12);
    assert_non_null(strstr(f->out, "12,345"));
    assert_non_null(strstr(f->out, "  first                         1500        75          100.0 %   100.0 %\n"));
    assert_non_null(strstr(f->out, "  second                         700        35           51.4 %    51.4 %\n"));
    assert_non_null(strstr(f->out, "over all: 93 of 110 right, 84.5 %"));
    assert_non_null(strstr(f->out, "Experts: 3 born, 1 pruned, 2 alive. The model takes 1.5 MiB; "
                                   "1.5 MiB more wait for readers or for the disk.\n"));
    assert_non_null(strstr(f->out, "/v1/models/m/predict"));
    assert_non_null(strstr(f->out, "\"text\":\"red thing number 10\""));
    assert_null(strchr(f->out, '\033'));
    assert_null(strchr(f->out, '\r'));
}

static void what_was_known_before_is_taken_off(void **state)
{
    fixture *f = *state;
    f->atoll.known = true;
    f->atoll.records = 400;
    assert_int_equal(run(f, f->path), 0);
    assert_non_null(strstr(f->out, "The model has learned 400 records before"));
    assert_non_null(strstr(f->out, "Learned 2,090 records in"));
    assert_non_null(strstr(f->out, "75.0 % of the records.\n"));
}

static void wrong_answers_are_counted_as_wrong(void **state)
{
    fixture *f = *state;
    f->atoll.wrong = true;
    assert_int_equal(run(f, f->path), 0);
    assert_non_null(strstr(f->out, "over all: 0 of 110 right, 0.0 %"));
}

static void a_failure_ends_it(void **state)
{
    fixture *f = *state;
    f->atoll.fail_after = 2;
    assert_int_equal(run(f, f->path), 1);
    assert_non_null(strstr(f->err, "no_space: the disk is full"));
    assert_int_equal(run(f, "/nonexistent/stream"), 1);
    assert_non_null(strstr(f->err, "/nonexistent/stream: "));
    assert_int_equal(run(f, "/dev/null"), 1);
    assert_non_null(strstr(f->err, "there is no record in it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stream_is_taught_and_examined, start, stop),
        cmocka_unit_test_setup_teardown(what_was_known_before_is_taken_off, start, stop),
        cmocka_unit_test_setup_teardown(wrong_answers_are_counted_as_wrong, start, stop),
        cmocka_unit_test_setup_teardown(a_failure_ends_it, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
