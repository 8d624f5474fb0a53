#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api/client_show.h"

static char *text;
static size_t bytes;

static FILE *open_text(void)
{
    free(text);
    return open_memstream(&text, &bytes);
}

static const char *shown_text(const char *from, size_t columns, size_t used)
{
    FILE *out = open_text();
    assert_int_equal(atoll_client_show_text(out, from, columns), used);
    fclose(out);
    return text;
}

/* What `show` prints of a JSON text. */
static const char *shown(void (*show)(FILE *out, atoll_json value), const char *json)
{
    atoll_json_parser *parser = atoll_json_parser_new();
    atoll_json root;
    size_t length = strlen(json);
    char *padded = calloc(1, length + ATOLL_JSON_PADDING);
    memcpy(padded, json, length);
    assert_int_equal(atoll_json_parse(parser, padded, length, &root, NULL), ATOLL_OK);
    FILE *out = open_text();
    show(out, root);
    fclose(out);
    atoll_json_parser_free(parser);
    free(padded);
    return text;
}

static void text_is_cut_and_cannot_command_a_terminal(void **state)
{
    (void)state;
    assert_string_equal(shown_text("plain", 80, 5), "plain");
    assert_string_equal(shown_text("a\033[2Jb\nc\x7f\xc2\x9b" "d", 80, 11), "a [2Jb c  d");
    assert_string_equal(shown_text("Größe", 5, 5), "Größe");
    assert_string_equal(shown_text("Größen", 5, 5), "Größ…");
    assert_string_equal(shown_text("", 5, 0), "");
}

static void sizes_and_counts_are_readable(void **state)
{
    (void)state;
    char room[ATOLL_CLIENT_SIZE_BYTES];
    assert_string_equal(atoll_client_size_text(0, room), "0 B");
    assert_string_equal(atoll_client_size_text(1023, room), "1023 B");
    assert_string_equal(atoll_client_size_text(1536, room), "1.5 KiB");
    assert_string_equal(atoll_client_size_text(600.0 * 1024 * 1024, room), "600.0 MiB");
    assert_string_equal(atoll_client_count_text(0, room), "0");
    assert_string_equal(atoll_client_count_text(999, room), "999");
    assert_string_equal(atoll_client_count_text(63214, room), "63,214");
    assert_string_equal(atoll_client_count_text(1234567, room), "1,234,567");
    assert_string_equal(atoll_client_count_text(INT64_MAX, room), "9223372036854775807");
}

static void a_prediction_shows_its_evidence(void **state)
{
    (void)state;
    assert_string_equal(
        shown(atoll_client_show_prediction,
              "{\"id\":\"r1\",\"label\":\"red\",\"score\":0.5,\"novelty\":0.91,\"abstain\":true,"
              "\"labels\":[{\"label\":\"red\",\"score\":0.5},{\"label\":\"blue\",\"score\":0.3},"
              "{\"label\":\"a\",\"score\":0.1},{\"label\":\"b\",\"score\":0.05},{\"label\":\"c\",\"score\":0.05}],"
              "\"experts\":[{\"id\":2,\"version\":5,\"weight\":0.6},{\"id\":0,\"version\":6,\"weight\":0.4}],"
              "\"neighbours\":[{\"id\":\"\",\"label\":\"red\",\"similarity\":0.7},"
              "{\"id\":\"n\",\"label\":\"blue\",\"similarity\":0.6}]}"),
        "r1: red  score 0.50  novelty 0.91  (abstains: not to be believed)\n"
        "    then       blue 0.30, a 0.10, b 0.05\n"
        "    experts    #2 (version 5) 0.60, shared (version 6) 0.40\n"
        "    neighbours red 0.70, n = blue 0.60\n");
    assert_string_equal(shown(atoll_client_show_prediction,
                              "{\"label\":null,\"score\":0,\"novelty\":1,\"labels\":[],\"experts\":[]}"),
                        "(no label known yet)  score 0.00  novelty 1.00\n");
    assert_string_equal(shown(atoll_client_show_prediction, "{}"), "(no label known yet)  score 0.00  novelty 0.00\n");
}

static void experts_are_a_table(void **state)
{
    (void)state;
    const char *table =
        shown(atoll_client_show_experts,
              "{\"experts\":[{\"id\":0,\"version\":12,\"state\":\"shared\",\"labels\":[\"x\",\"y\"],\"records\":1234,"
              "\"share\":0.125,\"loss\":0.5,\"bytes\":2048},{\"id\":11,\"state\":\"active\",\"labels\":"
              "[\"a long label of thirty letters\",\"another label of thirty letter\",\"one more\"]}]}");
    assert_non_null(strstr(table, "shared          12      1,234   12.5 %   0.500    2.0 KiB      2  x, y\n"));
    assert_non_null(strstr(table, "3  a long label of thirty letters, …\n"));
    assert_string_equal(shown(atoll_client_show_experts, "{\"experts\":[]}"), "  no experts yet\n");
    assert_string_equal(shown(atoll_client_show_experts, "[]"), "  no experts yet\n");
}

static void show_plan(FILE *out, atoll_json reply)
{
    atoll_client_show_pruned(out, reply, true);
}

static void show_done(FILE *out, atoll_json reply)
{
    atoll_client_show_pruned(out, reply, false);
}

static void pruned_experts_are_told_with_their_reason(void **state)
{
    (void)state;
    assert_string_equal(shown(show_plan, "{\"pruned\":[]}"), "no expert would be archived\n");
    assert_string_equal(shown(show_done, "{}"), "no expert was archived\n");
    assert_string_equal(shown(show_done, "{\"pruned\":[{\"id\":3,\"reason\":\"idle\"},{\"id\":4}]}"),
                        "archived or merged:\n  #3: idle\n  #4: no reason given\n");
}

static void every_member_is_shown(void **state)
{
    (void)state;
    assert_string_equal(
        shown(atoll_client_show_members,
              "{\"a\":1,\"b\":{\"c\":0.25,\"d\":{}, \"e\":{\"f\":true}},\"g\":[1,2,3],\"h\":null,\"i\":\"x\\ny\"}"),
        "  a                           1\n"
        "  b.c                         0.25\n"
        "  b.e.f                       true\n"
        "  g                           [3]\n"
        "  h                           -\n"
        "  i                           x y\n");
}

static int release(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_and_cannot_command_a_terminal),
        cmocka_unit_test(sizes_and_counts_are_readable),
        cmocka_unit_test(a_prediction_shows_its_evidence),
        cmocka_unit_test(experts_are_a_table),
        cmocka_unit_test(pruned_experts_are_told_with_their_reason),
        cmocka_unit_test(every_member_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
