#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"

static atoll_config defaults(void)
{
    atoll_config config;
    atoll_config_defaults(&config);
    return config;
}

static void has_the_defaults_of_the_contract(void **state)
{
    (void)state;
    atoll_config config = defaults();
    assert_int_equal(config.feature_buckets, 1048576);
    assert_int_equal(config.embedding_source, ATOLL_EMBEDDING_HASH);
    assert_int_equal(config.embedding_dim, 256);
    assert_string_equal(config.embedding_url, "");
    assert_string_equal(config.embedding_model, "");
    assert_string_equal(config.embedding_key_env, "");
    assert_int_equal(config.embedding_batch, 256);
    assert_int_equal(config.embedding_timeout_ms, 30000);
    assert_int_equal(config.embedding_ask_timeout_ms, 2000);
    assert_int_equal(config.embedding_cache_bytes, 1073741824);
    assert_int_equal(config.gate, 0);
    assert_int_equal(config.top_k, 2);
    assert_true(config.capacity_factor == 1.2f);
    assert_int_equal(config.overflow, 0);
    assert_int_equal(config.expert_hidden, 64);
    assert_int_equal(config.shared_hidden, 0);
    assert_int_equal(config.experts_max, 256);
    assert_int_equal(config.memory_exemplars, 50000);
    assert_int_equal(config.replays, 4);
    assert_int_equal(config.neighbours, 16);
    assert_int_equal(config.growth_off, 0);
    assert_string_equal(config.prune_schedule, "0 3 * * *");
    assert_int_equal(config.idle_after_ms, INT64_C(7) * 86400000);
    assert_true(config.min_share == 0.001f);
    assert_int_equal(config.checkpoint_every_ms, 30000);
    assert_int_equal(config.journal_keep_bytes, 1073741824);
    assert_int_equal(config.budget_bytes, 1073741824);
    assert_int_equal(config.seed, 1);
}

static const char all_changed[] =
    "{\"features\":{\"buckets\":4096},\"embedding\":{\"source\":\"http\",\"dim\":64,"
    "\"url\":\"https://embed.example:8443/v1\",\"model\":\"some/model 1\",\"key_env\":\"ATOLL_EMBEDDING_KEY_2\","
    "\"batch\":32,\"timeout\":\"1m\",\"ask_timeout\":\"5s\",\"cache_bytes\":2097152},"
    "\"routing\":{\"granularity\":\"record\",\"gate\":\"domain\",\"top_k\":3,\"capacity_factor\":1.75,"
    "\"overflow\":\"drop\",\"balance\":\"load\",\"balance_weight\":0.5,\"z_weight\":0.25},"
    "\"experts\":{\"hidden\":32,\"shared_hidden\":96,\"dense_hidden\":24,\"max\":7,"
    "\"precision\":\"q4\"},"
    "\"memory\":{\"exemplars\":3000,\"replays\":0},\"retrieval\":{\"neighbours\":5,\"when\":\"always\"},"
    "\"training\":{\"freeze\":\"experts\"},"
    "\"growth\":{\"mode\":\"off\",\"merge\":\"off\"},"
    "\"pruning\":{\"schedule\":\"\",\"idle_after\":\"90s\",\"min_share\":0.25},"
    "\"checkpoint\":{\"every\":\"5m\"},\"journal\":{\"keep_bytes\":0},\"budget_bytes\":33554432,\"seed\":42}";

static void merges_every_setting(void **state)
{
    (void)state;
    atoll_config config = defaults();
    atoll_error error;
    assert_int_equal(atoll_config_merge(&config, all_changed, strlen(all_changed), &error), ATOLL_OK);
    assert_int_equal(config.feature_buckets, 4096);
    assert_int_equal(config.embedding_source, ATOLL_EMBEDDING_HTTP);
    assert_int_equal(config.embedding_dim, 64);
    assert_string_equal(config.embedding_url, "https://embed.example:8443/v1");
    assert_string_equal(config.embedding_model, "some/model 1");
    assert_string_equal(config.embedding_key_env, "ATOLL_EMBEDDING_KEY_2");
    assert_int_equal(config.embedding_batch, 32);
    assert_int_equal(config.embedding_timeout_ms, 60000);
    assert_int_equal(config.embedding_ask_timeout_ms, 5000);
    assert_int_equal(config.embedding_cache_bytes, 2097152);
    assert_int_equal(config.gate, 2);
    assert_int_equal(config.top_k, 3);
    assert_true(config.capacity_factor == 1.75f);
    assert_int_equal(config.overflow, 2);
    assert_int_equal(config.balance, 2);
    assert_true(config.balance_weight == 0.5f && config.z_weight == 0.25f);
    assert_int_equal(config.expert_hidden, 32);
    assert_int_equal(config.shared_hidden, 96);
    assert_int_equal(config.dense_hidden, 24);
    assert_int_equal(config.experts_max, 7);
    assert_int_equal(config.precision, 2);
    assert_int_equal(config.memory_exemplars, 3000);
    assert_int_equal(config.replays, 0);
    assert_int_equal(config.neighbours, 5);
    assert_int_equal(config.search_always, 1);
    assert_int_equal(config.freeze, ATOLL_FREEZE_EXPERTS);
    assert_int_equal(config.growth_off, 1);
    assert_int_equal(config.merge_off, 1);
    assert_string_equal(config.prune_schedule, "");
    assert_int_equal(config.idle_after_ms, 90000);
    assert_true(config.min_share == 0.25f);
    assert_int_equal(config.checkpoint_every_ms, 300000);
    assert_int_equal(config.journal_keep_bytes, 0);
    assert_int_equal(config.budget_bytes, 33554432);
    assert_int_equal(config.seed, 42);
    char *print = atoll_config_print(&config);
    assert_string_equal(print, all_changed);
    free(print);
}

static void printing_and_merging_are_inverse(void **state)
{
    (void)state;
    atoll_config config = defaults(), again = defaults();
    atoll_error error;
    char *print = atoll_config_print(&config);
    assert_non_null(print);
    assert_int_equal(atoll_config_merge(&again, all_changed, strlen(all_changed), &error), ATOLL_OK);
    assert_memory_not_equal(&config, &again, sizeof config);
    assert_int_equal(atoll_config_merge(&again, print, strlen(print), &error), ATOLL_OK);
    assert_memory_equal(&config, &again, sizeof config);
    free(print);
}

static void what_is_left_out_stays(void **state)
{
    (void)state;
    atoll_config config = defaults(), before;
    atoll_error error;
    assert_int_equal(atoll_config_merge(&config, "{\"routing\":{\"top_k\":5}}", 23, &error), ATOLL_OK);
    assert_int_equal(config.top_k, 5);
    before = config;
    assert_int_equal(atoll_config_merge(&config, "{}", 2, &error), ATOLL_OK);
    assert_int_equal(atoll_config_merge(&config, "{\"routing\":{}}", 14, &error), ATOLL_OK);
    assert_memory_equal(&config, &before, sizeof config);
}

static const struct {
    const char *json;
    atoll_status status;
    const char *named;
} wrong[] = {
    {"", ATOLL_INVALID_JSON, ""},
    {"{", ATOLL_INVALID_JSON, ""},
    {"\"\xff\"", ATOLL_INVALID_UTF8, ""},
    {"[]", ATOLL_INVALID_VALUE, "configuration"},
    {"{\"sede\":1}", ATOLL_UNKNOWN_KEY, "sede"},
    {"{\"see\":1}", ATOLL_UNKNOWN_KEY, "see"},
    {"{\"\":1}", ATOLL_UNKNOWN_KEY, ""},
    {"{\"seed\":{\"x\":1}}", ATOLL_INVALID_VALUE, "seed"},
    {"{\"routing.top_k\":1}", ATOLL_UNKNOWN_KEY, "\"routing.top_k\"; a group of settings is an object"},
    {"{\"routing\":{\"topk\":1}}", ATOLL_UNKNOWN_KEY, "routing.topk"},
    {"{\"routing\":{\"routing\":{\"top_k\":1}}}", ATOLL_UNKNOWN_KEY, "routing.routing"},
    {"{\"rout\":{\"top_k\":1}}", ATOLL_UNKNOWN_KEY, "rout"},
    {"{\"routing\":3}", ATOLL_INVALID_VALUE, "routing"},
    {"{\"routing\":{\"top_k\":0}}", ATOLL_OUT_OF_RANGE, "routing.top_k"},
    {"{\"routing\":{\"top_k\":17}}", ATOLL_OUT_OF_RANGE, "routing.top_k"},
    {"{\"routing\":{\"top_k\":1.5}}", ATOLL_INVALID_VALUE, "routing.top_k"},
    {"{\"routing\":{\"top_k\":\"2\"}}", ATOLL_INVALID_VALUE, "routing.top_k"},
    {"{\"routing\":{\"top_k\":null}}", ATOLL_INVALID_VALUE, "routing.top_k"},
    {"{\"routing\":{\"top_k\":[2]}}", ATOLL_INVALID_VALUE, "routing.top_k"},
    {"{\"routing\":{\"capacity_factor\":0.5}}", ATOLL_OUT_OF_RANGE, "routing.capacity_factor"},
    {"{\"routing\":{\"overflow\":\"spill\"}}", ATOLL_INVALID_VALUE, "routing.overflow"},
    {"{\"routing\":{\"overflow\":true}}", ATOLL_INVALID_VALUE, "routing.overflow"},
    {"{\"routing\":{\"overflow\":1}}", ATOLL_INVALID_VALUE, "routing.overflow"},
    {"{\"routing\":{\"overflow\":\"next\\u0000\"}}", ATOLL_INVALID_VALUE, "routing.overflow"},
    {"{\"routing\":{\"gate\":\"hard\"}}", ATOLL_INVALID_VALUE, "routing.gate"},
    {"{\"training\":{\"freeze\":\"all\"}}", ATOLL_INVALID_VALUE, "training.freeze"},
    {"{\"memory\":{\"replays\":17}}", ATOLL_OUT_OF_RANGE, "memory.replays"},
    {"{\"retrieval\":{\"neighbours\":17}}", ATOLL_OUT_OF_RANGE, "retrieval.neighbours"},
    {"{\"experts\":{\"shared_hidden\":4}}", ATOLL_OUT_OF_RANGE, "experts.shared_hidden"},
    {"{\"experts\":{\"dense_hidden\":1032}}", ATOLL_OUT_OF_RANGE, "experts.dense_hidden"},
    {"{\"routing\":{\"granularity\":\"word\"}}", ATOLL_INVALID_VALUE, "routing.granularity"},
    {"{\"embedding\":{\"source\":\"vector\"}}", ATOLL_INVALID_VALUE, "embedding.source"},
    {"{\"embedding\":{\"source\":\"http\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"source\":\"http\",\"url\":\"http://h\"}}", ATOLL_INVALID_VALUE, "embedding.model"},
    {"{\"embedding\":{\"url\":\"http://h\"}}", ATOLL_INVALID_VALUE, "embedding.source"},
    {"{\"embedding\":{\"url\":3}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"ftp://h\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"file:///etc/passwd\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"http://\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"http:///path\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"http://name:word@h/\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"http://h/a b\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"url\":\"http://h/\\r\\nX: 1\"}}", ATOLL_INVALID_VALUE, "embedding.url"},
    {"{\"embedding\":{\"model\":\"a\\u0007\"}}", ATOLL_INVALID_VALUE, "embedding.model"},
    {"{\"embedding\":{\"key_env\":\"AWS_SECRET_ACCESS_KEY\"}}", ATOLL_INVALID_VALUE, "embedding.key_env"},
    {"{\"embedding\":{\"key_env\":\"ATOLL_EMBEDDING_KEY=x\"}}", ATOLL_INVALID_VALUE, "embedding.key_env"},
    {"{\"embedding\":{\"batch\":0}}", ATOLL_OUT_OF_RANGE, "embedding.batch"},
    {"{\"embedding\":{\"timeout\":\"11m\"}}", ATOLL_OUT_OF_RANGE, "embedding.timeout"},
    {"{\"embedding\":{\"dim\":100}}", ATOLL_OUT_OF_RANGE, "embedding.dim"},
    {"{\"features\":{\"buckets\":1000000}}", ATOLL_OUT_OF_RANGE, "features.buckets"},
    {"{\"features\":{\"buckets\":512}}", ATOLL_OUT_OF_RANGE, "features.buckets"},
    {"{\"features\":{\"buckets\":33554432}}", ATOLL_OUT_OF_RANGE, "features.buckets"},
    {"{\"pruning\":{\"schedule\":\"61 * * * *\"}}", ATOLL_INVALID_CRON, "pruning.schedule: minute"},
    {"{\"pruning\":{\"schedule\":3}}", ATOLL_INVALID_VALUE, "pruning.schedule"},
    {"{\"pruning\":{\"idle_after\":\"7\"}}", ATOLL_INVALID_VALUE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":\"d\"}}", ATOLL_INVALID_VALUE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":\"7 d\"}}", ATOLL_INVALID_VALUE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":\"7dd\"}}", ATOLL_INVALID_VALUE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":7}}", ATOLL_INVALID_VALUE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":\"0s\"}}", ATOLL_OUT_OF_RANGE, "pruning.idle_after"},
    {"{\"pruning\":{\"idle_after\":\"999999999999w\"}}", ATOLL_OUT_OF_RANGE, "pruning.idle_after"},
    {"{\"pruning\":{\"min_share\":0.6}}", ATOLL_OUT_OF_RANGE, "pruning.min_share"},
    {"{\"budget_bytes\":1000}", ATOLL_OUT_OF_RANGE, "budget_bytes"},
    {"{\"seed\":-1}", ATOLL_OUT_OF_RANGE, "seed"},
    {"{\"seed\":18446744073709551615}", ATOLL_OUT_OF_RANGE, "seed"},
    {"{\"seed\":5,\"experts\":{\"max\":2000}}", ATOLL_OUT_OF_RANGE, "experts.max"},
    {"{\"seed\":5,\"seed\":5}", ATOLL_INVALID_VALUE, "seed: comes twice"},
    {"{\"experts\":{\"max\":5},\"seed\":5,\"experts\":{\"max\":6}}", ATOLL_INVALID_VALUE, "experts: comes twice"},
    {"{\"experts\":{\"max\":5,\"max\":6}}", ATOLL_INVALID_VALUE, "experts.max: comes twice"},
    {"{\"experts\":{\"max\":5},\"experts\":{\"hidden\":64}}", ATOLL_INVALID_VALUE, "experts: comes twice"},
};

static void refuses_and_names_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        atoll_config config = defaults(), before = config;
        atoll_error error = {0};
        assert_int_equal(atoll_config_merge(&config, wrong[i].json, strlen(wrong[i].json), &error), wrong[i].status);
        assert_int_equal(error.status, wrong[i].status);
        assert_non_null(strstr(error.detail, wrong[i].named));
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static void refuses_a_long_schedule_and_key(void **state)
{
    (void)state;
    char json[512];
    atoll_config config = defaults();
    atoll_error error;
    int bytes = snprintf(json, sizeof json, "{\"pruning\":{\"schedule\":\"0%*s3 * * *\"}}", ATOLL_CRON_MAX_BYTES, "");
    assert_int_equal(atoll_config_merge(&config, json, (size_t)bytes, &error), ATOLL_INVALID_CRON);
    bytes = snprintf(json, sizeof json, "{\"%0400d\":1}", 0);
    assert_int_equal(atoll_config_merge(&config, json, (size_t)bytes, &error), ATOLL_UNKNOWN_KEY);
    assert_true(strlen(error.detail) < 120);
}

static void fixed_settings_stay(void **state)
{
    (void)state;
    static const struct {
        const char *json, *fixed;
    } cases[] = {
        {"{\"features\":{\"buckets\":2048}}", "features.buckets"},
        {"{\"embedding\":{\"dim\":128}}", "embedding.dim"},
        {"{\"experts\":{\"hidden\":8}}", "experts.hidden"},
        {"{\"memory\":{\"exemplars\":16}}", "memory.exemplars"},
        {"{\"seed\":2}", "seed"},
        {"{\"experts\":{\"shared_hidden\":8}}", "experts.shared_hidden"},
        {"{\"experts\":{\"dense_hidden\":8}}", "experts.dense_hidden"},
        {"{\"routing\":{\"gate\":\"random\"},\"memory\":{\"replays\":0},\"retrieval\":{\"neighbours\":0}}", NULL},
        {"{\"routing\":{\"top_k\":1,\"capacity_factor\":2,\"overflow\":\"drop\"},\"experts\":{\"max\":2}}", NULL},
        {"{\"growth\":{\"mode\":\"off\"},\"pruning\":{\"schedule\":\"\",\"idle_after\":\"1w\",\"min_share\":0}}", NULL},
        {"{\"checkpoint\":{\"every\":\"1s\"},\"journal\":{\"keep_bytes\":1},\"budget_bytes\":16777216}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atoll_config from = defaults(), to = from;
        atoll_error error = {0};
        assert_int_equal(atoll_config_merge(&to, cases[i].json, strlen(cases[i].json), &error), ATOLL_OK);
        assert_int_equal(atoll_config_check_change(&from, &to, &error),
                         cases[i].fixed ? ATOLL_FIXED_SETTING : ATOLL_OK);
        if (cases[i].fixed)
            assert_memory_equal(error.detail, cases[i].fixed, strlen(cases[i].fixed));
    }
}

#ifdef ATOLL_SOURCE_DIR
typedef struct page {
    char text[65536];
    size_t settings;
} page;

static void find_in_page(void *arg, const atoll_setting *setting)
{
    page *in = arg;
    char row[512];
    in->settings++;
    snprintf(row, sizeof row, "| `%s` | `%s` | %s | %s | %s | %s |\n", setting->path, setting->standard,
             setting->range, setting->kind, setting->fixed ? "yes" : "no", setting->about);
    if (!strstr(in->text, row))
        fail_msg("docs/configuration.md lacks the row: %s", row);
}

static void the_page_shows_the_table(void **state)
{
    (void)state;
    static page in;
    FILE *file = fopen(ATOLL_SOURCE_DIR "/docs/configuration.md", "r");
    assert_non_null(file);
    size_t bytes = fread(in.text, 1, sizeof in.text - 1, file), rows = 0;
    fclose(file);
    in.text[bytes] = 0;
    atoll_config_each(find_in_page, &in);
    for (const char *at = in.text; (at = strstr(at, "\n| `")); at++)
        rows++;
    assert_int_equal(rows, in.settings);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_defaults_of_the_contract),
        cmocka_unit_test(merges_every_setting),
        cmocka_unit_test(printing_and_merging_are_inverse),
        cmocka_unit_test(what_is_left_out_stays),
        cmocka_unit_test(refuses_and_names_what_is_wrong),
        cmocka_unit_test(refuses_a_long_schedule_and_key),
        cmocka_unit_test(fixed_settings_stay),
#ifdef ATOLL_SOURCE_DIR
        cmocka_unit_test(the_page_shows_the_table),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
