#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/folder.h"

static char root[64];

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/atoll-folder-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return atoll_folder_delete(root, NULL) ? -1 : 0;
}

static const char *below(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

static bool is_there(const char *path)
{
    return !access(path, F_OK);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0666);
    assert_true(fd >= 0);
    close(fd);
}

static void folders_are_made_with_those_above(void **state)
{
    atoll_error error;
    char wide[ATOLL_PATH_MAX_BYTES + 8];
    (void)state;
    assert_int_equal(atoll_folder_make(below("a/b/c"), &error), ATOLL_OK);
    assert_int_equal(atoll_folder_make(below("a/b/c"), &error), ATOLL_OK);
    assert_true(is_there(below("a/b/c")));
    touch(below("file"));
    assert_int_equal(atoll_folder_make(below("file"), &error), ATOLL_IO);
    assert_int_equal(atoll_folder_make(below("file/x"), &error), ATOLL_IO);
    assert_int_equal(atoll_folder_make("", &error), ATOLL_INVALID_VALUE);
    memset(wide, 'x', sizeof wide);
    wide[sizeof wide - 1] = 0;
    assert_int_equal(atoll_folder_make(wide, &error), ATOLL_INVALID_VALUE);
}

static void a_lock_is_held_once(void **state)
{
    atoll_error error;
    int first, second;
    (void)state;
    assert_int_equal(atoll_folder_lock(below("lock"), 0, &first, &error), ATOLL_OK);
    assert_int_equal(atoll_folder_lock(below("lock"), 0, &second, &error), ATOLL_WRONG_STATE);
    close(first);
    assert_int_equal(atoll_folder_lock(below("lock"), 0, &second, &error), ATOLL_OK);
    close(second);
    assert_int_equal(atoll_folder_lock(below("nowhere/lock"), 0, &second, &error), ATOLL_IO);
}

static void *let_go(void *arg)
{
    close(*(int *)arg);
    return NULL;
}

static void a_lock_is_waited_for(void **state)
{
    atoll_error error;
    pthread_t other;
    int first, second;
    (void)state;
    assert_int_equal(atoll_folder_lock(below("lock"), 0, &first, &error), ATOLL_OK);
    assert_int_equal(atoll_folder_lock(below("lock"), 40, &second, &error), ATOLL_WRONG_STATE);
    pthread_create(&other, NULL, let_go, &first);
    assert_int_equal(atoll_folder_lock(below("lock"), 10000, &second, &error), ATOLL_OK);
    pthread_join(other, NULL);
    close(second);
}

static void a_folder_moves_and_goes_without_following_links(void **state)
{
    atoll_error error;
    (void)state;
    assert_int_equal(atoll_folder_make(below("from/in"), &error), ATOLL_OK);
    assert_int_equal(atoll_folder_make(below("kept"), &error), ATOLL_OK);
    assert_int_equal(atoll_folder_make(below("to"), &error), ATOLL_OK);
    touch(below("kept/file"));
    assert_int_equal(symlink(below("kept"), below("from/link")), 0);
    assert_int_equal(atoll_folder_move(below("from"), below("to/moved"), &error), ATOLL_OK);
    assert_false(is_there(below("from")));
    assert_true(is_there(below("to/moved/in")));
    assert_int_equal(atoll_folder_move(below("absent"), below("to/x"), &error), ATOLL_IO);
    assert_int_equal(atoll_folder_delete(below("to"), &error), ATOLL_OK);
    assert_false(is_there(below("to")));
    assert_true(is_there(below("kept/file")));
    assert_int_equal(atoll_folder_delete(below("to"), &error), ATOLL_OK);
}

static void names_come_in_byte_order(void **state)
{
    atoll_error error;
    char **names;
    unsigned count;
    (void)state;
    touch(below("b"));
    touch(below("a"));
    touch(below("B"));
    assert_int_equal(atoll_folder_names(root, &names, &count, &error), ATOLL_OK);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "B");
    assert_string_equal(names[1], "a");
    assert_string_equal(names[2], "b");
    atoll_folder_names_free(names, count);
    assert_int_equal(atoll_folder_names(below("absent"), &names, &count, &error), ATOLL_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_made_with_those_above, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_is_held_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_moves_and_goes_without_following_links, setup, teardown),
        cmocka_unit_test_setup_teardown(names_come_in_byte_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
