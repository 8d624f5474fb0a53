#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/folder.h"
#include "api/registry.h"
#include "core/log.h"

enum { MAP_BYTES = 64 << 20 };

static char dir[64];
static atoll_registry *registry;
static atoll_config config;

static void reopen(void)
{
    atoll_error error = {0};
    if (atoll_registry_open(dir, MAP_BYTES, &registry, &error))
        fail_msg("%s", error.detail);
}

static int setup(void **state)
{
    (void)state;
    atoll_log_set_level(ATOLL_LOG_ERROR);
    strcpy(dir, "/tmp/atoll-registry-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    atoll_config_defaults(&config);
    reopen();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    atoll_registry_close(registry);
    return atoll_folder_delete(dir, NULL) ? -1 : 0;
}

static bool has_folder(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/models/%s", dir, name);
    return !access(path, F_OK);
}

static void make(const char *name)
{
    atoll_model *model;
    bool created;
    atoll_error error = {0};
    if (atoll_registry_create(registry, name, &config, &model, &created, &error))
        fail_msg("%s", error.detail);
    assert_true(created);
    assert_string_equal(model->name, name);
    atoll_registry_release(registry, model);
}

/* What a removal's callback leaves. */
typedef struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    atoll_status status;
} outcome;

static void tell(void *arg, atoll_status status, const atoll_error *error)
{
    outcome *o = arg;
    (void)error;
    pthread_mutex_lock(&o->lock);
    o->done = true;
    o->status = status;
    pthread_cond_signal(&o->told);
    pthread_mutex_unlock(&o->lock);
}

static void await(outcome *o)
{
    pthread_mutex_lock(&o->lock);
    while (!o->done)
        pthread_cond_wait(&o->told, &o->lock);
    pthread_mutex_unlock(&o->lock);
    assert_int_equal(o->status, ATOLL_OK);
}

static void names_are_checked(void **state)
{
    char wide[ATOLL_NAME_MAX_BYTES + 2];
    static const char *const bad[] = {"", ".", "..", "a/b", "a b", "a%", "\xc3\xa4", "../x"};
    atoll_model *model;
    (void)state;
    memset(wide, 'a', sizeof wide);
    wide[ATOLL_NAME_MAX_BYTES + 1] = 0;
    assert_false(atoll_model_name_valid(wide));
    wide[ATOLL_NAME_MAX_BYTES] = 0;
    assert_true(atoll_model_name_valid(wide));
    assert_true(atoll_model_name_valid("A.z_0-9"));
    assert_true(atoll_model_name_valid("..."));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(atoll_model_name_valid(bad[i]));
        assert_int_equal(atoll_registry_find(registry, bad[i], &model, NULL), ATOLL_INVALID_NAME);
    }
}

static void models_are_made_once_and_found(void **state)
{
    atoll_model *model, *again;
    bool created;
    (void)state;
    assert_int_equal(atoll_registry_find(registry, "m", &model, NULL), ATOLL_UNKNOWN_MODEL);
    make("m");
    assert_int_equal(atoll_registry_create(registry, "m", &config, &model, &created, NULL), ATOLL_OK);
    assert_false(created);
    assert_int_equal(atoll_registry_find(registry, "m", &again, NULL), ATOLL_OK);
    assert_ptr_equal(model, again);
    assert_int_equal(atoll_registry_count(registry), 1);
    atoll_registry_release(registry, model);
    atoll_registry_release(registry, again);
}

static void all_models_come_by_name_and_survive_a_restart(void **state)
{
    static const char *const names[] = {"c", "a", "b"};
    atoll_model **models;
    uint32_t count;
    (void)state;
    for (int i = 0; i < 3; i++)
        make(names[i]);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(atoll_registry_all(registry, &models, &count, NULL), ATOLL_OK);
        assert_int_equal(count, 3);
        assert_string_equal(models[0]->name, "a");
        assert_string_equal(models[1]->name, "b");
        assert_string_equal(models[2]->name, "c");
        atoll_registry_release_all(registry, models, count);
        atoll_registry_close(registry);
        reopen();
    }
}

static void a_removal_waits_for_who_holds_the_model(void **state)
{
    outcome o = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, ATOLL_OK};
    atoll_model *held, *other;
    bool created;
    (void)state;
    make("m");
    assert_int_equal(atoll_registry_find(registry, "m", &held, NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_remove(registry, "m", tell, &o, NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_find(registry, "m", &other, NULL), ATOLL_UNKNOWN_MODEL);
    assert_int_equal(atoll_registry_remove(registry, "m", tell, &o, NULL), ATOLL_UNKNOWN_MODEL);
    assert_int_equal(atoll_registry_create(registry, "m", &config, &other, &created, NULL), ATOLL_WRONG_STATE);
    assert_true(has_folder("m"));
    atoll_stats stats;
    atoll_learner_stats(held->learner, &stats); /* still of use */
    assert_int_equal(atoll_registry_count(registry), 0);
    atoll_registry_release(registry, held);
    await(&o);
    assert_false(has_folder("m"));
    make("m");
}

static void let_go(void *arg, atoll_status status, const atoll_error *error)
{
    (void)error;
    assert_int_equal(status, ATOLL_UNKNOWN_MODEL);
    atoll_registry_release(registry, arg);
}

/* Who waits for what is yet to be learned does not keep it. */
static void a_removal_ends_waiting(void **state)
{
    outcome o = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, ATOLL_OK};
    atoll_model *held;
    (void)state;
    make("m");
    assert_int_equal(atoll_registry_find(registry, "m", &held, NULL), ATOLL_OK);
    assert_int_equal(atoll_learner_wait(held->learner, 1000, INT32_MAX, let_go, held, NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_remove(registry, "m", tell, &o, NULL), ATOLL_OK);
    await(&o);
    assert_false(has_folder("m"));
}

typedef struct companions {
    atoll_model *first, *others[2];
    bool told;
} companions;

static void ignore_pruned(void *arg, atoll_status status, const atoll_pruned *pruned, uint32_t count,
                          uint64_t version, const atoll_error *error)
{
    (void)arg, (void)status, (void)pruned, (void)count, (void)version, (void)error;
}

/* Before the first of them is closed, all were told to end: they take no more. */
static void look_at_others(void *arg, atoll_status status, const atoll_error *error)
{
    companions *c = arg;
    (void)error;
    c->told = status == ATOLL_SHUTTING_DOWN;
    for (int i = 0; i < 2; i++) {
        c->told &= atoll_learner_prune(c->others[i]->learner, ignore_pruned, NULL, NULL) == ATOLL_SHUTTING_DOWN;
        atoll_registry_release(registry, c->others[i]);
    }
    atoll_registry_release(registry, c->first);
}

/* Not one patience after another. */
static void all_models_end_at_one_time(void **state)
{
    companions c = {0};
    (void)state;
    make("a");
    make("b");
    make("c"); /* told last, closed first */
    assert_int_equal(atoll_registry_find(registry, "a", &c.others[0], NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_find(registry, "b", &c.others[1], NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_find(registry, "c", &c.first, NULL), ATOLL_OK);
    assert_int_equal(atoll_learner_wait(c.first->learner, 1000, INT32_MAX, look_at_others, &c, NULL), ATOLL_OK);
    atoll_registry_close(registry);
    reopen();
    assert_true(c.told);
}

static void closing_finishes_a_removal(void **state)
{
    outcome o = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, ATOLL_OK};
    atoll_model *held;
    (void)state;
    make("m");
    assert_int_equal(atoll_registry_find(registry, "m", &held, NULL), ATOLL_OK);
    assert_int_equal(atoll_registry_remove(registry, "m", tell, &o, NULL), ATOLL_OK);
    atoll_registry_close(registry);
    assert_true(o.done);
    assert_false(has_folder("m"));
    reopen();
    assert_int_equal(atoll_registry_count(registry), 0);
}

static void a_folder_serves_one_registry(void **state)
{
    atoll_registry *second;
    atoll_error error;
    (void)state;
    assert_int_equal(atoll_registry_open(dir, MAP_BYTES, &second, &error), ATOLL_WRONG_STATE);
    assert_non_null(strstr(error.detail, "another server"));
}

static void leftovers_do_not_hinder_the_start(void **state)
{
    char path[128];
    (void)state;
    atoll_registry_close(registry);
    snprintf(path, sizeof path, "%s/models/unfinished", dir);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/models/no name", dir);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/trash/old.1", dir);
    assert_int_equal(mkdir(path, 0777), 0);
    reopen();
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(atoll_registry_count(registry), 0);
    make("unfinished");
}

static void *make_and_remove(void *arg)
{
    for (int i = 0; i < 20; i++) {
        atoll_model *model;
        bool created;
        if (!atoll_registry_create(registry, "shared", &config, &model, &created, NULL))
            atoll_registry_release(registry, model);
        if (!atoll_registry_find(registry, "shared", &model, NULL)) {
            atoll_stats stats;
            atoll_learner_stats(model->learner, &stats);
            atoll_registry_release(registry, model);
        }
        if (i % 5 == 4)
            atoll_registry_remove(registry, "shared", NULL, NULL, NULL);
    }
    return arg;
}

static void many_threads_may_make_and_remove(void **state)
{
    pthread_t threads[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, make_and_remove, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(models_are_made_once_and_found, setup, teardown),
        cmocka_unit_test_setup_teardown(all_models_come_by_name_and_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removal_waits_for_who_holds_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removal_ends_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(all_models_end_at_one_time, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_finishes_a_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_serves_one_registry, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_do_not_hinder_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads_may_make_and_remove, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
