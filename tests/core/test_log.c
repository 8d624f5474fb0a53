#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/timestamp.h"

/* Standard error goes to a file while `run` runs; returns what it holds then. */
static const char *caught(void (*run)(void))
{
    static char out[1 << 20];
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_true(file && kept >= 0);
    dup2(fileno(file), STDERR_FILENO);
    run();
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    size_t bytes = fread(out, 1, sizeof out - 1, file);
    out[bytes] = 0;
    fclose(file);
    return out;
}

static void one_line(void)
{
    atoll_log(ATOLL_LOG_INFO, "expert_born", "model", ATOLL_TEXT("a \"b\"\n"), "expert", ATOLL_UINT(UINT64_MAX),
              "share", ATOLL_REAL(0.25), "none", ATOLL_TEXT(NULL), NULL);
}

static void writes_json_lines(void **state)
{
    (void)state;
    int64_t before = atoll_clock_wall_ms(), time = 0;
    const char *line = caught(one_line);
    const char *head = "{\"time\":\"";
    assert_memory_equal(line, head, strlen(head));
    assert_true(atoll_timestamp_parse(line + strlen(head), 24, &time));
    assert_true(time >= before && time <= atoll_clock_wall_ms());
    assert_string_equal(line + strlen(head) + 24,
                        "\",\"level\":\"info\",\"event\":\"expert_born\",\"model\":\"a \\\"b\\\"\\n\","
                        "\"expert\":18446744073709551615,\"share\":0.25,\"none\":null}\n");
}

static void one_line_about_a_model(void)
{
    atoll_log_about("m");
    atoll_log(ATOLL_LOG_INFO, "checkpoint", "commit", ATOLL_UINT(3), NULL);
    atoll_log_about(NULL);
}

static void names_the_model_that_a_thread_works_for(void **state)
{
    (void)state;
    assert_non_null(strstr(caught(one_line_about_a_model), "\"event\":\"checkpoint\",\"model\":\"m\",\"commit\":3}"));
    assert_null(strstr(caught(one_line), "\"model\":\"m\""));
}

static void all_levels(void)
{
    atoll_log(ATOLL_LOG_DEBUG, "one", NULL);
    atoll_log(ATOLL_LOG_INFO, "two", NULL);
    atoll_log(ATOLL_LOG_WARN, "three", NULL);
    atoll_log(ATOLL_LOG_ERROR, "four", NULL);
}

static int lines(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void leaves_out_what_is_below_the_level(void **state)
{
    (void)state;
    const char *out = caught(all_levels);
    assert_int_equal(lines(out), 3);
    assert_null(strstr(out, "debug"));
    atoll_log_set_level(ATOLL_LOG_ERROR);
    out = caught(all_levels);
    assert_int_equal(lines(out), 1);
    assert_non_null(strstr(out, "\"level\":\"error\",\"event\":\"four\"}"));
    atoll_log_set_level(ATOLL_LOG_DEBUG);
    out = caught(all_levels);
    assert_int_equal(lines(out), 4);
    assert_non_null(strstr(out, "\"level\":\"warn\""));
    atoll_log_set_level(ATOLL_LOG_INFO);
}

static void *chatter(void *arg)
{
    for (int i = 0; i < 200; i++)
        atoll_log(ATOLL_LOG_INFO, "chatter", "who", ATOLL_TEXT(arg), "i", ATOLL_UINT((uint64_t)i), NULL);
    return NULL;
}

static void from_threads(void)
{
    static char name[1000];
    pthread_t threads[4];
    memset(name, 'n', sizeof name - 1);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, chatter, name);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    char *at = (char *)caught(from_threads);
    assert_int_equal(lines(at), 800);
    for (char *end; (end = strchr(at, '\n')); at = end + 1) {
        assert_memory_equal(at, "{\"time\":\"", 9);
        assert_true(end[-1] == '}');
        assert_true(end - at > 1000 && end - at < 1200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_json_lines),
        cmocka_unit_test(names_the_model_that_a_thread_works_for),
        cmocka_unit_test(leaves_out_what_is_below_the_level),
        cmocka_unit_test(lines_of_threads_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
