#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/client_progress.h"

#define MS(n) ((int64_t)(n) * 1000000)

static void a_log_gets_a_plain_line_every_few_seconds(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    atoll_client_progress progress;
    FILE *out = open_memstream(&text, &bytes);
    atoll_client_progress_begin(&progress, out, MS(1000));
    assert_false(progress.terminal);
    assert_false(atoll_client_progress_due(&progress, MS(1100)));
    assert_true(atoll_client_progress_due(&progress, MS(4000)));
    atoll_client_progress_show(&progress, 0.256, "working", MS(4000));
    assert_false(atoll_client_progress_due(&progress, MS(6999)));
    assert_true(atoll_client_progress_due(&progress, MS(7000)));
    atoll_client_progress_show(&progress, -1, "working", MS(7000));
    atoll_client_progress_end(&progress);
    assert_true(atoll_client_progress_seconds(&progress, MS(3500)) == 2.5);
    fclose(out);
    assert_string_equal(text, "   26 %  working\n  working\n");
    free(text);
}

static void a_terminal_is_drawn_over_within_its_width(void **state)
{
    (void)state;
    int leader = posix_openpt(O_RDWR | O_NOCTTY);
    if (leader < 0 || grantpt(leader) || unlockpt(leader))
        skip();
    int follower = open(ptsname(leader), O_RDWR | O_NOCTTY);
    assert_true(follower >= 0);
    struct winsize window = {.ws_row = 24, .ws_col = 46};
    assert_int_equal(ioctl(follower, TIOCSWINSZ, &window), 0);
    FILE *out = fdopen(follower, "w");
    atoll_client_progress progress;
    atoll_client_progress_begin(&progress, out, 0);
    assert_true(progress.terminal);
    assert_true(atoll_client_progress_due(&progress, MS(100)));
    atoll_client_progress_show(&progress, 0.5, "0123456789", MS(100));
    char got[256];
    ssize_t count = read(leader, got, sizeof got - 1);
    assert_true(count > 0);
    got[count] = 0;
    assert_string_equal(got, "\r\033[K  [############------------]  50 %  012345678");
    atoll_client_progress_end(&progress);
    count = read(leader, got, sizeof got - 1);
    got[count > 0 ? count : 0] = 0;
    assert_string_equal(got, "\r\033[K");
    fclose(out);
    close(leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_gets_a_plain_line_every_few_seconds),
        cmocka_unit_test(a_terminal_is_drawn_over_within_its_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
