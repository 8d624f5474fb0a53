#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"

static void fill(atoll_prediction *p)
{
    memset(p, 0, sizeof *p);
    p->prediction = 255;
    p->labels = 2;
    p->label[0] = (atoll_scored_label){"a\"b", 0.75f};
    p->label[1] = (atoll_scored_label){"c", 0.25f};
    p->experts = 1;
    p->expert[0] = (atoll_used_expert){3, 9, 0.5f};
    p->neighbours = 1;
    strcpy(p->neighbour[0].id, "n");
    p->neighbour[0].label = "c";
    p->neighbour[0].similarity = 0.5f;
    p->voice[ATOLL_VOICE_SHARED] = "c";
    p->novelty = 0.125f;
}

static char *put(const atoll_answer *answer, const atoll_prediction *p)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_answer_put(&out, answer, p);
    assert_true(atoll_writer_terminate(&out));
    return out.data;
}

static void an_answer_is_one_object(void **state)
{
    atoll_service service = {.prediction_prefix = "0123456789abcdef"};
    atoll_answer answer = {.service = &service, .model = "m", .id = {"x", 1}, .top = 5, .explain = true};
    atoll_prediction p;
    (void)state;
    fill(&p);
    char *text = put(&answer, &p), wanted[1024];
    const char *number = strstr(text, "0123456789abcdef-");
    assert_non_null(number);
    snprintf(wanted, sizeof wanted,
             "{\"id\":\"x\",\"prediction_id\":\"%.*s\",\"label\":\"a\\\"b\",\"score\":0.75,\"labels\":["
             "{\"label\":\"a\\\"b\",\"score\":0.75},{\"label\":\"c\",\"score\":0.25}],\"novelty\":0.125,"
             "\"abstain\":false,\"experts\":[{\"id\":3,\"version\":9,\"weight\":0.5}],"
             "\"neighbours\":[{\"id\":\"n\",\"label\":\"c\",\"similarity\":0.5}],\"voices\":{\"shared\":\"c\"}}",
             (int)strcspn(number, "\""), number);
    assert_string_equal(text, wanted);
    assert_non_null(strstr(text, "-ff\""));
    free(text);
}

static void tokens_are_told_to_explain(void **state)
{
    static const atoll_shown_token token[2] = {
        {.word = "fee\"", .experts = 2, .expert = {{3, 0.75f}, {0, 0.25f}}},
        {.vector = 1, .refused = 1, .refuser = {7}, .dropped = true},
    };
    atoll_service service = {.prediction_prefix = "0123456789abcdef"};
    atoll_answer answer = {.service = &service, .model = "m", .top = 5, .explain = true};
    atoll_prediction p;
    (void)state;
    fill(&p);
    p.tokens = 2;
    p.token = token;
    char *text = put(&answer, &p);
    assert_non_null(strstr(text, "\"voices\":{\"shared\":\"c\"},\"token_count\":2,\"tokens\":["
                                 "{\"word\":\"fee\\\"\",\"experts\":[{\"id\":3,\"weight\":0.75},"
                                 "{\"id\":0,\"weight\":0.25}],\"refused\":[],\"dropped\":false},"
                                 "{\"vector\":1,\"experts\":[],\"refused\":[7],\"dropped\":true}]}"));
    free(text);
    answer.explain = false;
    text = put(&answer, &p);
    assert_null(strstr(text, "token"));
    free(text);
}

/* The prediction may hold more, since it was made together with others'. */
static void no_more_is_told_than_was_asked(void **state)
{
    atoll_service service = {.prediction_prefix = "0123456789abcdef"};
    atoll_answer answer = {.service = &service, .model = "m", .top = 1, .degraded = "embedding_refused"};
    atoll_prediction p;
    (void)state;
    fill(&p);
    char *text = put(&answer, &p);
    assert_non_null(strstr(text, "{\"id\":null,"));
    assert_non_null(strstr(text, "\"labels\":[{\"label\":\"a\\\"b\",\"score\":0.75}],"));
    assert_non_null(strstr(text, "\"degraded\":\"embedding_refused\","));
    assert_non_null(strstr(text, "\"neighbours\":[]}"));
    assert_null(strstr(text, "voices"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_one_object),
        cmocka_unit_test(tokens_are_told_to_explain),
        cmocka_unit_test(no_more_is_told_than_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
