#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "api/serve.h"
#include "tests/api/harness.h"

/* A server in a process of its own. */
typedef struct served {
    pid_t pid;
    FILE *out;
    uint16_t port;
} served;

static served start(const char *dir)
{
    served s;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    s.pid = fork();
    assert_true(s.pid >= 0);
    if (!s.pid) {
        const char *argv[] = {"--data-dir", dir, "--listen=127.0.0.1:0", "--map-bytes", "64M", "--log-level", "error",
                              NULL};
        close(ends[0]);
        FILE *out = fdopen(ends[1], "w");
        int result = atoll_serve_main(7, (char **)(uintptr_t)argv, out);
        fclose(out);
        _exit(result);
    }
    close(ends[1]);
    s.out = fdopen(ends[0], "r");
    unsigned port = 0;
    if (fscanf(s.out, "listening on http://127.0.0.1:%u", &port) != 1)
        port = 0;
    s.port = (uint16_t)port;
    return s;
}

static int end(served *s, int signal_number)
{
    int status;
    if (signal_number)
        kill(s->pid, signal_number);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    fclose(s->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_server_serves_until_it_is_told_to_end(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    char dir[256];
    (void)state;
    harness_folder(dir);
    for (int i = 0; i < 2; i++) {
        served s = start(dir);
        assert_true(s.port);
        http_reply reply = {0};
        while (reply.status != 200) { /* the journal of the former server is learned first */
            http_free(&reply);
            reply = http_call(s.port, "GET", "/readyz", NULL, NULL);
            assert_true(reply.status);
        }
        http_free(&reply);
        reply = http_call(s.port, "POST", "/v1/models/m/ingest", NDJSON, "{\"text\":\"x y\",\"label\":\"a\"}");
        assert_int_equal(reply.status, 200);
        assert_int_equal(number_in(&reply, "first_seq"), i + 1);
        http_free(&reply);
        assert_int_equal(end(&s, signals[i]), 0);
    }
    harness_delete(dir);
}

static void a_server_that_cannot_start_says_so(void **state)
{
    char dir[256];
    (void)state;
    harness_folder(dir);
    served first = start(dir);
    served second = start(dir);
    assert_int_equal(second.port, 0);
    assert_int_equal(end(&second, 0), 1);
    assert_int_equal(end(&first, SIGTERM), 0);
    harness_delete(dir);
    char flag[] = "--nonsense", *nonsense[] = {flag, NULL};
    assert_int_equal(atoll_serve_main(1, nonsense, stdout), 2);
}

static void help_lists_the_flags(void **state)
{
    char text[4096] = "";
    (void)state;
    FILE *out = fmemopen(text, sizeof text, "w");
    atoll_serve_help(out);
    fclose(out);
    assert_non_null(strstr(text, "--data-dir"));
    assert_non_null(strstr(text, "ATOLL_LISTEN"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_serves_until_it_is_told_to_end),
        cmocka_unit_test(a_server_that_cannot_start_says_so),
        cmocka_unit_test(help_lists_the_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
