#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/client.h"
#include "tests/api/fake_atoll.h"

enum { ARGUMENTS_MAX = 12, OUTPUT_MAX_BYTES = 256 * 1024 };

/* What a subcommand printed. */
static char printed[OUTPUT_MAX_BYTES], complained[OUTPUT_MAX_BYTES];

static void redirect(int fd, FILE *to, int *kept)
{
    *kept = dup(fd);
    assert_true(*kept >= 0);
    assert_true(dup2(fileno(to), fd) >= 0);
}

static void give_back(int fd, FILE *from, int kept, char *text)
{
    assert_true(dup2(kept, fd) >= 0);
    close(kept);
    rewind(from);
    size_t bytes = fread(text, 1, OUTPUT_MAX_BYTES - 1, from);
    text[bytes] = 0;
    fclose(from);
}

/* Runs a subcommand with `input` as standard input; the arguments end with NULL. */
static int call(const char *input, ...)
{
    char *argv[ARGUMENTS_MAX];
    int argc = 0, out_kept, err_kept, in_kept;
    va_list list;
    va_start(list, input);
    for (char *argument; (argument = va_arg(list, char *));)
        argv[argc++] = argument;
    va_end(list);
    FILE *out = tmpfile(), *err = tmpfile(), *in = tmpfile();
    fputs(input ? input : "", in);
    fflush(in);
    fflush(stdout);
    fflush(stderr);
    redirect(STDOUT_FILENO, out, &out_kept);
    redirect(STDERR_FILENO, err, &err_kept);
    redirect(STDIN_FILENO, in, &in_kept);
    lseek(STDIN_FILENO, 0, SEEK_SET);
    clearerr(stdin);
    int status = atoll_client_main(argc, argv);
    fflush(stdout);
    fflush(stderr);
    give_back(STDOUT_FILENO, out, out_kept, printed);
    give_back(STDERR_FILENO, err, err_kept, complained);
    assert_true(dup2(in_kept, STDIN_FILENO) >= 0);
    close(in_kept);
    fclose(in);
    return status;
}

static int start(void **state)
{
    fake_atoll *atoll = malloc(sizeof *atoll);
    fake_atoll_start(atoll);
    setenv("ATOLL_URL", atoll->server.url, 1);
    *state = atoll;
    return 0;
}

static int stop(void **state)
{
    fake_atoll *atoll = *state;
    fake_atoll_stop(atoll);
    free(atoll);
    return 0;
}

static void an_unknown_subcommand_is_two(void **state)
{
    (void)state;
    assert_int_equal(call(NULL, "dance", NULL), 2);
    assert_int_equal(atoll_client_main(0, NULL), 2);
}

static void usage_is_shown_when_asked_and_told_when_wrong(void **state)
{
    (void)state;
    static const char *const names[] = {"ingest", "predict", "experts", "stats", "models", "prune", "restore", "demo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(call(NULL, names[i], "--help", NULL), 0);
        assert_non_null(strstr(printed, "usage: atoll "));
        assert_non_null(strstr(printed, "--url URL"));
        assert_int_equal(call(NULL, names[i], "--no-such-flag", NULL), 2);
        assert_non_null(strstr(complained, "--no-such-flag"));
    }
    assert_int_equal(call(NULL, "ingest", NULL), 2);
    assert_int_equal(call(NULL, "ingest", "a", "b", NULL), 2);
    assert_int_equal(call(NULL, "predict", NULL), 2);
    assert_int_equal(call(NULL, "stats", "more", NULL), 2);
    assert_int_equal(call(NULL, "restore", "seven", NULL), 2);
    assert_int_equal(call(NULL, "demo", NULL), 2);
    assert_int_equal(call(NULL, "stats", "--url", NULL), 2);
    assert_int_equal(call(NULL, "stats", "--url", "ftp://x", NULL), 2);
    assert_int_equal(call(NULL, "stats", "--model", "a/b", NULL), 2);
    assert_int_equal(call(NULL, "stats", "--model=..", NULL), 2);
    assert_int_equal(call(NULL, "predict", "--top", "0", "x", NULL), 2);
    assert_int_equal(call(NULL, "predict", "--top=257", "x", NULL), 2);
    assert_int_equal(call(NULL, "predict", "--top", "3x", "x", NULL), 2);
    assert_int_equal(call(NULL, "experts", "--wait", NULL), 2);
}

static void every_subcommand_is_listed(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    atoll_client_list(out);
    fclose(out);
    assert_non_null(strstr(text, "atoll ingest FILE|-"));
    assert_non_null(strstr(text, "atoll demo --stream FILE"));
    free(text);
}

static void texts_are_predicted(void **state)
{
    (void)state;
    assert_int_equal(call(NULL, "predict", "--model=m", "red as \"roses\"", "--", "--blue sky", NULL), 0);
    assert_non_null(strstr(printed, "red  score 0.75  novelty 0.25\n"));
    assert_non_null(strstr(printed, "--blue  score"));
    assert_non_null(strstr(printed, "then       second 0.20"));
    assert_non_null(strstr(printed, "#3 (version 7) 0.90, shared (version 7) 0.10"));
    assert_non_null(strstr(printed, "near = first 0.80"));
    assert_string_equal(complained, "");
    assert_int_equal(call(NULL, "predict", "--json", "--top", "2", "red", NULL), 0);
    assert_memory_equal(printed, "{\"model\":", 9);
}

static void a_prediction_asks_for_its_evidence(void **state)
{
    fake_atoll *atoll = *state;
    assert_int_equal(call(NULL, "predict", "--top=2", "a \"b\"", NULL), 0);
    fake_server_stop(&atoll->server);
    assert_string_equal(atoll->last, "POST /v1/models/default/predict "
                                     "{\"records\":[{\"text\":\"a \\\"b\\\"\"}],\"top\":2,\"explain\":true}");
    fake_server_start(&atoll->server, fake_atoll_answer, atoll);
}

static void lines_are_predicted(void **state)
{
    (void)state;
    const char *lines = "{\"text\":\"red\"}\n{\"text\":\"green\"}\n";
    assert_int_equal(call(lines, "predict", "-", NULL), 0);
    assert_non_null(strstr(printed, "red  score"));
    assert_non_null(strstr(printed, "green  score"));
    assert_int_equal(call(lines, "predict", "--json", "-", NULL), 0);
    assert_memory_equal(printed, "{\"label\":\"red\"", 14);
    assert_non_null(strstr(printed, "}\n{\"label\":\"green\""));
    assert_int_equal(call("{\"text\":\"red\"}\nnonsense\n", "predict", "-", NULL), 1);
    assert_non_null(strstr(printed, "red  score"));
    assert_non_null(strstr(complained, "-:2: invalid_json: not JSON"));
    assert_int_equal(call("", "predict", "-", NULL), 0);
    assert_string_equal(printed, "");
}

static void standard_input_is_ingested(void **state)
{
    fake_atoll *atoll = *state;
    assert_int_equal(call("{\"text\":\"a\",\"label\":\"b\"}\n", "ingest", "--wait", "-", NULL), 0);
    assert_non_null(strstr(printed, "accepted 1, rejected 0"));
    assert_int_equal(atoll->records, 1);
    assert_int_equal(atoll->trained, 1);
}

static void a_file_is_ingested(void **state)
{
    fake_atoll *atoll = *state;
    char path[] = "/tmp/atoll-client-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(write(fd, "{}\n{}\n", 6) == 6);
    close(fd);
    assert_int_equal(call(NULL, "ingest", path, NULL), 0);
    unlink(path);
    assert_int_equal(atoll->records, 2);
    assert_int_equal(atoll->trained, 0);
    assert_int_equal(call(NULL, "ingest", path, NULL), 1);
    assert_non_null(strstr(complained, path));
}

static void what_the_server_knows_is_shown(void **state)
{
    fake_atoll *atoll = *state;
    atoll->known = true;
    assert_int_equal(call(NULL, "experts", NULL), 0);
    assert_non_null(strstr(printed, "shared"));
    assert_non_null(strstr(printed, "12,345"));
    assert_non_null(strstr(printed, "a, b"));
    assert_int_equal(call(NULL, "stats", NULL), 0);
    assert_non_null(strstr(printed, "prequential"));
    assert_non_null(strstr(printed, "nested.flag"));
    assert_int_equal(call(NULL, "stats", "--json", NULL), 0);
    assert_memory_equal(printed, "{\"version\"", 10);
    assert_int_equal(call(NULL, "models", NULL), 0);
    assert_non_null(strstr(printed, "default"));
    assert_non_null(strstr(printed, "2.0 MiB"));
}

static void experts_are_pruned_and_restored(void **state)
{
    fake_atoll *atoll = *state;
    assert_int_equal(call(NULL, "prune", "--dry-run", NULL), 0);
    assert_non_null(strstr(printed, "would be archived"));
    assert_non_null(strstr(printed, "#4: idle for 8 days"));
    assert_int_equal(call(NULL, "prune", NULL), 0);
    assert_int_equal(strncmp(printed, "archived", 8), 0);
    assert_int_equal(call(NULL, "restore", "7", "--model", "m", NULL), 0);
    assert_non_null(strstr(printed, "active"));
    fake_server_stop(&atoll->server);
    assert_int_equal(strncmp(atoll->last, "POST /v1/models/m/experts/7/restore", 35), 0);
    fake_server_start(&atoll->server, fake_atoll_answer, atoll);
}

static void a_problem_is_told_with_its_code(void **state)
{
    (void)state;
    assert_int_equal(call(NULL, "experts", "--model", "nobody", NULL), 1);
    assert_non_null(strstr(complained, "unknown_model: no model has this name: nobody (HTTP 404)"));
    assert_string_equal(printed, "");
}

static void a_server_that_is_not_there_is_told(void **state)
{
    fake_atoll *atoll = *state;
    fake_server_stop(&atoll->server);
    assert_int_equal(call(NULL, "stats", NULL), 1);
    assert_non_null(strstr(complained, "cannot connect to 127.0.0.1"));
    fake_server_start(&atoll->server, fake_atoll_answer, atoll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_subcommand_is_two, start, stop),
        cmocka_unit_test_setup_teardown(usage_is_shown_when_asked_and_told_when_wrong, start, stop),
        cmocka_unit_test(every_subcommand_is_listed),
        cmocka_unit_test_setup_teardown(texts_are_predicted, start, stop),
        cmocka_unit_test_setup_teardown(a_prediction_asks_for_its_evidence, start, stop),
        cmocka_unit_test_setup_teardown(lines_are_predicted, start, stop),
        cmocka_unit_test_setup_teardown(standard_input_is_ingested, start, stop),
        cmocka_unit_test_setup_teardown(a_file_is_ingested, start, stop),
        cmocka_unit_test_setup_teardown(what_the_server_knows_is_shown, start, stop),
        cmocka_unit_test_setup_teardown(experts_are_pruned_and_restored, start, stop),
        cmocka_unit_test_setup_teardown(a_problem_is_told_with_its_code, start, stop),
        cmocka_unit_test_setup_teardown(a_server_that_is_not_there_is_told, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
