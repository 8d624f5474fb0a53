#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/embeddings.h"
#include "learner/embedder_inside.h"
#include "tests/support/embedding_fixture.h"

enum { DIM = EMBEDDING_FIXTURE_DIM, TEXTS = 4 };

typedef struct question {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool later, done;
    atoll_status status;
    atoll_embedded *out;
} question;

static void answered(void *arg, atoll_embedded *out, atoll_status status, const atoll_error *error)
{
    question *q = arg;
    (void)error;
    pthread_mutex_lock(&q->mutex);
    q->out = out;
    q->status = status;
    q->done = true;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->mutex);
}

static void begin(embedding_fixture *f, question *q, const char *const *texts, uint32_t count)
{
    atoll_slice slices[TEXTS] = {{NULL, 0}};
    atoll_embedded *out;
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->changed, NULL);
    for (uint32_t i = 0; i < count; i++)
        if (texts[i])
            slices[i] = (atoll_slice){texts[i], strlen(texts[i])};
    assert_int_equal(atoll_embedder_ask(f->embedder, slices, count, answered, q, &out, &q->later, NULL), ATOLL_OK);
    if (!q->later)
        q->out = out;
}

static atoll_embedded *end(question *q)
{
    pthread_mutex_lock(&q->mutex);
    while (q->later && !q->done)
        pthread_cond_wait(&q->changed, &q->mutex);
    pthread_mutex_unlock(&q->mutex);
    return q->out;
}

static atoll_embedded *ask(embedding_fixture *f, const char *const *texts, uint32_t count, bool *later)
{
    question q;
    begin(f, &q, texts, count);
    *later = q.later;
    atoll_embedded *out = end(&q);
    assert_int_equal(q.status, ATOLL_OK);
    return out;
}

static const char *const some[TEXTS] = {"one word", NULL, "two words", "one word"};

static void asks_once_and_remembers(void **state)
{
    embedding_fixture *f = *state;
    bool later;
    atoll_embedded *out = ask(f, some, TEXTS, &later), *again;
    assert_true(later);
    assert_int_equal(out->count, TEXTS);
    assert_int_equal(out->dim, DIM);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_THERE);
    assert_int_equal(out->found[1], ATOLL_EMBEDDING_ABSENT);
    assert_memory_equal(out->vector, out->vector + 3 * DIM, DIM * sizeof *out->vector);
    assert_memory_not_equal(out->vector, out->vector + 2 * DIM, DIM * sizeof *out->vector);
    again = ask(f, some, TEXTS, &later);
    assert_false(later);
    assert_int_equal(f->server.calls, 1);
    assert_memory_equal(out->found, again->found, TEXTS);
    assert_int_equal(embedding_stats(f).looked_up, 6);
    assert_int_equal(embedding_stats(f).found, 3);
    free(out);
    free(again);
}

static void uses_what_was_learned(void **state)
{
    embedding_fixture *f = *state;
    bool later;
    const char *learned = "3 word";
    assert_true(embedding_await(f, embedding_commit(f, 0, 5)));
    atoll_embedded *out = ask(f, &learned, 1, &later);
    assert_false(later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_THERE);
    free(out);
}

static void a_server_that_is_down_delays_one_question_and_not_the_next(void **state)
{
    embedding_fixture *f = *state;
    atoll_error error;
    bool later;
    embedding_server_stop(&f->server);
    atoll_embedded *out = ask(f, some, TEXTS, &later);
    assert_true(later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_ABSENT);
    free(out);
    /* A pause that no machine is too busy to notice. */
    atoll_fail(&error, ATOLL_EMBEDDING_DOWN, "for a test");
    atoll_embed_failed(f->embedder, ATOLL_EMBED_ASK, 60000, &error);
    out = ask(f, some, TEXTS, &later);
    assert_false(later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_ABSENT);
    free(out);
    assert_int_equal(embedding_stats(f).calls, 1);
    assert_true(embedding_stats(f).down);
    embedding_server_again(&f->server);
    atoll_embedder_configure(f->embedder, &f->config); /* does not sit the pause out */
    out = ask(f, some, TEXTS, &later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_THERE);
    free(out);
}

static void a_success_lets_learning_go_on_at_once(void **state)
{
    embedding_fixture *f = *state;
    bool later;
    f->server.mode = EMBEDDING_BUSY; /* which makes the fetcher pause for two seconds */
    uint64_t commit = embedding_commit(f, 0, 3);
    while (!embedding_stats(f).down)
        atoll_embedder_await(f->embedder, commit, 0, 10);
    f->server.mode = EMBEDDING_GOOD;
    free(ask(f, some, TEXTS, &later));
    assert_true(embedding_await(f, commit));
}

static void questions_that_wait_go_in_few_calls(void **state)
{
    enum { MANY = 60 };
    embedding_fixture *f = *state;
    question q[MANY];
    char text[MANY][32];
    f->server.mode = EMBEDDING_SLOW;
    f->server.delay_ms = 100;
    for (uint32_t i = 0; i < MANY; i++) {
        embedding_text(i, text[i]);
        begin(f, &q[i], (const char *const[]){text[i]}, 1);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        atoll_embedded *out = end(&q[i]);
        assert_int_equal(out->found[0], ATOLL_EMBEDDING_THERE);
        free(out);
    }
    assert_in_range(f->server.calls, 1, MANY / 3);
    assert_int_equal(f->server.texts, MANY);
}

static void a_text_without_embedding_is_told_apart(void **state)
{
    embedding_fixture *f = *state;
    bool later;
    const char *const texts[] = {"refuse me", "take me"};
    f->server.mode = EMBEDDING_REFUSING;
    atoll_embedded *out = ask(f, texts, 2, &later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_NONE);
    assert_int_equal(out->found[1], ATOLL_EMBEDDING_THERE);
    free(out);
    out = ask(f, texts, 2, &later);
    assert_false(later);
    assert_int_equal(out->found[0], ATOLL_EMBEDDING_NONE);
    free(out);
}

static void a_request_has_its_limit(void **state)
{
    embedding_fixture *f = *state;
    atoll_embedded *out;
    bool later;
    assert_int_equal(atoll_embedder_ask(f->embedder, NULL, ATOLL_EMBEDDED_MAX_VALUES / DIM + 1, answered, NULL, &out,
                                        &later, NULL), ATOLL_TOO_MANY_RECORDS);
    assert_null(out);
}

static void closing_ends_questions(void **state)
{
    embedding_fixture *f = *state;
    question q[2];
    const char *other = "other words";
    f->server.mode = EMBEDDING_SLOW;
    f->server.delay_ms = 60000;
    begin(f, &q[0], some, TEXTS);
    begin(f, &q[1], &other, 1);
    embedding_close(f);
    for (int i = 0; i < 2; i++) {
        assert_null(end(&q[i]));
        assert_int_equal(q[i].status, ATOLL_SHUTTING_DOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_once_and_remembers, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(uses_what_was_learned, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_down_delays_one_question_and_not_the_next, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(a_success_lets_learning_go_on_at_once, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(questions_that_wait_go_in_few_calls, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(a_text_without_embedding_is_told_apart, embedding_set_up,
                                        embedding_tear_down),
        cmocka_unit_test_setup_teardown(a_request_has_its_limit, embedding_set_up, embedding_tear_down),
        cmocka_unit_test_setup_teardown(closing_ends_questions, embedding_set_up, embedding_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
