/*
 * A real server whose model takes its embeddings from another one that comes and goes: what is ingested meanwhile is
 * acknowledged and learned later, and after a kill everything is as it was, without that server.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/writer.h"
#include "tests/support/embedding_server.h"
#include "tests/support/service.h"

enum {
    DIM = 256,
    LABELS = 4,
    WORDS = 8,
    BATCH = 100,
    QUESTIONS = 30,
    KILLS = 6,
    KILL_MOST_US = 1700000 /* a checkpoint is written every second */
};

typedef struct run {
    service service;
    embedding_server embedding;
    uint64_t version;
} run;

/* ---- what is sent ---- */

static void put_text(atoll_writer *out, atoll_rng *rng, uint32_t label)
{
    char text[128];
    int used = 0;
    for (int i = 0; i < 5; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%sl%uw%u", i ? " " : "", label,
                         atoll_rng_below(rng, WORDS));
    atoll_json_name(out, "text");
    atoll_json_put_text(out, text);
}

/* A vector of the record's own, so that the answer does not depend on what is stored. */
static void put_vector(atoll_writer *out, atoll_rng *rng)
{
    atoll_json_name(out, "vector");
    atoll_json_array_begin(out);
    for (int i = 0; i < DIM; i++)
        atoll_json_put_double(out, (double)atoll_rng_normal(rng));
    atoll_json_array_end(out);
}

static atoll_status ingest(run *r, bool trained, atoll_json *report)
{
    atoll_writer body;
    atoll_json ignored;
    atoll_error error = {0};
    atoll_writer_init(&body);
    for (uint32_t i = 0; i < BATCH; i++) {
        char label[16];
        uint32_t number = atoll_rng_below(&r->service.rng, LABELS);
        snprintf(label, sizeof label, "l%u", number);
        atoll_json_object_begin(&body);
        put_text(&body, &r->service.rng, number);
        atoll_json_name(&body, "label");
        atoll_json_put_text(&body, label);
        atoll_json_object_end(&body);
        atoll_json_newline(&body);
    }
    atoll_status status = atoll_client_session_ingest(&r->service.session, body.data, body.bytes, trained,
                                                      report ? report : &ignored, &error);
    atoll_writer_free(&body);
    return status;
}

/* `timeout`: for a call when learning, and at most for who waits for learning while there is no server. */
static atoll_status put_model(run *r, const char *url, const char *timeout)
{
    char config[512];
    snprintf(config, sizeof config, "{\"embedding\":{\"source\":\"http\",\"url\":\"%s\",\"model\":\"fake\",\"dim\":%d,"
             "\"timeout\":\"%s\",\"ask_timeout\":\"1m\",\"cache_bytes\":1048576},\"experts\":{\"hidden\":16},"
             "\"memory\":{\"exemplars\":300},\"checkpoint\":{\"every\":\"1s\"}}", url, DIM, timeout);
    return atoll_client_session_model(&r->service.session, "PUT", "", config, NULL, NULL);
}

/* ---- the server ---- */

static atoll_status await_version(run *r, uint64_t version, int timeout_ms)
{
    char body[128];
    snprintf(body, sizeof body, "{\"records\":[],\"min_version\":%" PRIu64 ",\"timeout_ms\":%d}", version, timeout_ms);
    return atoll_client_session_model(&r->service.session, "POST", "/predict", body, NULL, NULL);
}

/* Until all that is durable is learned, acknowledged or not; a server that is back again is asked after a pause. */
static void await_all(run *r)
{
    enum { TRIES = 100 };
    atoll_status status = ATOLL_EMBEDDING_DOWN;
    atoll_json stats = service_stats(&r->service);
    assert_true((uint64_t)atoll_client_integer(stats, "journal_last", 0) >= r->version);
    r->version = (uint64_t)atoll_client_integer(stats, "journal_last", 0);
    for (int i = 0; status == ATOLL_EMBEDDING_DOWN && i < TRIES; i++)
        status = await_version(r, r->version, SERVICE_TIMEOUT_MS);
    assert_int_equal(status, ATOLL_OK);
}

static void check_state(run *r, const char *wanted)
{
    atoll_json embedding;
    assert_true(atoll_json_member(service_stats(&r->service), "embedding", &embedding));
    assert_string_equal(atoll_client_string(embedding, "state", "?"), wanted);
}

/* ---- what it answers ---- */

typedef struct seen {
    FILE *out;
    uint32_t degraded, right, number;
} seen;

static bool see(void *arg, const char *name, atoll_json prediction)
{
    seen *s = arg;
    char label[16];
    (void)name;
    snprintf(label, sizeof label, "l%u", s->number++ % LABELS);
    s->degraded += *atoll_client_string(prediction, "degraded", "") != 0;
    s->right += strcmp(atoll_client_string(prediction, "label", ""), label) == 0;
    fprintf(s->out, "%s %.9g %.9g\n", atoll_client_string(prediction, "label", ""),
            atoll_client_number(prediction, "score", -1), atoll_client_number(prediction, "novelty", -1));
    return true;
}

/* The answers to a set of questions, as text to free(). */
static char *answers(run *r, uint64_t seed, bool own, seen *s)
{
    atoll_rng rng;
    atoll_writer body;
    atoll_json reply, list;
    char *text;
    size_t bytes;
    *s = (seen){.out = open_memstream(&text, &bytes)};
    atoll_rng_seed(&rng, seed, 0);
    atoll_writer_init(&body);
    atoll_writer_text(&body, "{\"records\":[");
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        atoll_json_object_begin(&body);
        put_text(&body, &rng, i % LABELS);
        if (own)
            put_vector(&body, &rng);
        atoll_json_object_end(&body);
    }
    atoll_writer_text(&body, "]}");
    assert_true(atoll_writer_terminate(&body));
    service_call(&r->service, "POST", "/predict", body.data, &reply);
    assert_true(atoll_json_member(reply, "predictions", &list));
    atoll_json_each(list, see, s);
    atoll_writer_free(&body);
    fclose(s->out);
    return text;
}

static void an_embedding_server_may_come_and_go(void **state)
{
    run *r = *state;
    atoll_json report;
    seen s;
    if (!server_available())
        skip();
    service_start(&r->service);
    embedding_server_stop(&r->embedding);
    assert_int_equal(put_model(r, r->embedding.url, "1s"), ATOLL_OK);

    /* Down: acknowledged, not learned, and it says so. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ingest(r, false, &report), ATOLL_OK);
        assert_int_equal(atoll_client_integer(report, "accepted", 0), BATCH);
        r->version = (uint64_t)atoll_client_integer(report, "version", 0);
    }
    assert_int_equal(await_version(r, r->version, 50), ATOLL_TIMEOUT);
    assert_int_equal(ingest(r, true, NULL), ATOLL_EMBEDDING_DOWN);
    r->version++;
    free(answers(r, 1, false, &s));
    assert_int_equal(s.degraded, QUESTIONS);
    check_state(r, "down");

    /* Up: learned by itself. The same text never gets the same embedding twice. */
    r->embedding.mode = EMBEDDING_DRIFTING;
    embedding_server_again(&r->embedding);
    put_model(r, r->embedding.url, "1m"); /* counts at once, whether or not it waits in vain */
    await_all(r);
    char *before = answers(r, 1, false, &s);
    assert_int_equal(s.degraded, 0);
    assert_true(s.right > QUESTIONS * 9 / 10);
    check_state(r, "ok");

    /* Killed, and started again without it: what was learned is learned again, what was asked is answered alike. */
    service_kill(&r->service);
    embedding_server_stop(&r->embedding);
    service_start(&r->service);
    await_all(r);
    char *after = answers(r, 1, false, &s);
    assert_int_equal(s.degraded, 0);
    assert_string_equal(before, after);
    free(before);
    free(after);
    free(answers(r, 2, false, &s));
    assert_true(s.degraded > QUESTIONS / 2 && s.right > QUESTIONS * 8 / 10);

    /* At another address, and from a checkpoint. */
    embedding_server other;
    embedding_server_start(&other, DIM);
    assert_int_equal(put_model(r, other.url, "1m"), ATOLL_OK);
    assert_int_equal(ingest(r, true, NULL), ATOLL_OK);
    before = answers(r, 3, true, &s);
    service_terminate(&r->service);
    service_start(&r->service);
    after = answers(r, 3, true, &s);
    assert_string_equal(before, after);
    free(before);
    free(after);
    service_terminate(&r->service);
    embedding_server_stop(&other);
}

/*
 * The server never gives the same embedding twice, and not all that it gave is kept. So if anything were learned from
 * before it is durable, or dropped before no replay needs it, the last restart would learn something else, or nothing.
 */
static void killed_at_any_time_it_learns_the_same_again(void **state)
{
    run *r = *state;
    atoll_json report;
    seen s;
    if (!server_available())
        skip();
    r->embedding.mode = EMBEDDING_DRIFTING;
    service_start(&r->service);
    assert_int_equal(put_model(r, r->embedding.url, "1m"), ATOLL_OK);
    for (int round = 0; round < KILLS; round++) {
        service_killer k;
        service_send_killer(&r->service, &k, 0, KILL_MOST_US);
        for (int i = 0; ingest(r, i % 2, &report) == ATOLL_OK; i++)
            r->version = (uint64_t)atoll_client_integer(report, "version", 0);
        service_bury(&r->service, &k);
        atoll_client_session_close(&r->service.session);
        service_start(&r->service);
    }
    await_all(r);
    char *before = answers(r, 1, true, &s);
    service_kill(&r->service);
    embedding_server_stop(&r->embedding);
    service_start(&r->service);
    await_all(r);
    char *after = answers(r, 1, true, &s);
    assert_string_equal(before, after);
    free(before);
    free(after);
    service_terminate(&r->service);
}

static int set_up(void **state)
{
    run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    service_make(&r->service, 5);
    embedding_server_start(&r->embedding, DIM);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    run *r = *state;
    service_remove(&r->service);
    embedding_server_stop(&r->embedding);
    free(r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_embedding_server_may_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_at_any_time_it_learns_the_same_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
