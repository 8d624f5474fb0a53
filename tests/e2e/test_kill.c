/*
 * Kills a real server at random moments, again and again, under ingest and while it starts. Nothing that was
 * acknowledged may be missing afterwards, and in the end it must answer as one that ran the same journal undisturbed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/writer.h"
#include "tests/support/service.h"

#ifdef ATOLL_SANITIZE
enum { KILLS = 20 };
#else
enum { KILLS = 56 };
#endif

enum {
    EARLY_EVERY = 7,         /* one kill in so many comes while the server starts */
    EARLY_MOST_US = 60000,
    ENDING_EVERY = 5,        /* one while it ends, in the midst of its last checkpoint */
    ENDING_MOST_US = 40000,
    LATE_EVERY = 9,          /* one about when it writes a checkpoint by itself, a second after its start */
    LATE_LEAST_US = 950000,
    LATE_MOST_US = 1150000,
    UNDER_INGEST_MOST_US = 120000,
    BATCH_MOST = 40,
    DOMAINS = 5,
    LABELS_A_DOMAIN = 4,
    WORDS_A_LABEL = 12,
    VECTOR_DIM = 6,
    QUESTIONS = 80
};

typedef struct run {
    service service;
    uint64_t sent;                    /* records, in requests of whatever fate */
    uint64_t seq, version;            /* the last acknowledged */
    uint64_t acknowledged, early;     /* batches; kills before it listened */
} run;

/* ---- records ---- */

static void put_text(atoll_writer *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    char text[256];
    int used = 0;
    for (int i = 0; i < 6; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "d%ul%uw%u ", domain, label,
                         atoll_rng_below(rng, WORDS_A_LABEL));
    snprintf(text + used, sizeof text - (size_t)used, "common%u", atoll_rng_below(rng, 50));
    atoll_json_name(out, "text");
    atoll_json_put_text(out, text);
}

/* A vector about a place of the label's own. */
static void put_vector(atoll_writer *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    atoll_json_name(out, "vector");
    atoll_json_array_begin(out);
    for (uint32_t i = 0; i < VECTOR_DIM; i++)
        atoll_json_put_double(out, (double)((domain * 7 + label * 3 + i * 5) % 11) + 0.5 * atoll_rng_uniform(rng));
    atoll_json_array_end(out);
}

static void put_record(atoll_writer *out, atoll_rng *rng, uint64_t number, uint32_t domain)
{
    char text[64];
    uint32_t label = atoll_rng_below(rng, LABELS_A_DOMAIN);
    atoll_json_object_begin(out);
    snprintf(text, sizeof text, "r%" PRIu64, number);
    atoll_json_name(out, "id");
    atoll_json_put_text(out, text);
    if (number % 8 != 3)
        put_text(out, rng, domain, label);
    if (number % 4 == 3)
        put_vector(out, rng, domain, label);
    snprintf(text, sizeof text, "d%u-l%u", domain, label);
    atoll_json_name(out, "label");
    atoll_json_put_text(out, text);
    atoll_json_object_end(out);
    atoll_json_newline(out);
}

/* ---- the server's life ---- */

/* Waits until the model has learned up to `version`. */
static void await_version(run *r, uint64_t version)
{
    char body[160];
    atoll_error error = {0};
    snprintf(body, sizeof body, "{\"records\":[{\"text\":\"a\"}],\"min_version\":%" PRIu64 ",\"timeout_ms\":%d}",
             version, SERVICE_TIMEOUT_MS);
    atoll_status status = atoll_client_session_model(&r->service.session, "POST", "/predict", body, NULL, &error);
    if (status)
        print_error("waiting for version %" PRIu64 ": %s\n", version, error.detail);
    assert_int_equal(status, ATOLL_OK);
}

static void check_nothing_is_lost(run *r)
{
    await_version(r, r->version);
    atoll_json stats = service_stats(&r->service);
    assert_true((uint64_t)atoll_client_integer(stats, "version", -1) >= r->version);
    assert_true((uint64_t)atoll_client_integer(stats, "records", -1) >= r->seq);
    assert_true((uint64_t)atoll_client_integer(stats, "records", -1) <= r->sent);
    assert_string_equal(atoll_client_string(stats, "failure", ""), "");
}

/* ---- killing ---- */

static void kill_while_it_starts(run *r)
{
    service_killer k;
    assert_true(server_spawn(&r->service.server, r->service.dir, NULL));
    service_send_killer(&r->service, &k, 0, EARLY_MOST_US);
    r->early += !server_await(&r->service.server);
    service_bury(&r->service, &k);
}

/* Sends one batch and checks its receipt; false once the server is gone. */
static bool ingest(run *r, uint32_t domain, bool trained)
{
    atoll_writer body;
    atoll_json report;
    atoll_error error = {0};
    uint32_t count = 1 + atoll_rng_below(&r->service.rng, BATCH_MOST);
    uint64_t sent_before = r->sent;
    atoll_writer_init(&body);
    for (uint32_t i = 0; i < count; i++)
        put_record(&body, &r->service.rng, r->sent++, domain);
    assert_false(body.failed);
    atoll_status status = atoll_client_session_ingest(&r->service.session, body.data, body.bytes, trained, &report,
                                                      &error);
    atoll_writer_free(&body);
    if (status) {
        assert_int_equal(status, ATOLL_IO);
        return false;
    }
    uint64_t first = (uint64_t)atoll_client_integer(report, "first_seq", 0);
    uint64_t last = (uint64_t)atoll_client_integer(report, "last_seq", 0);
    assert_int_equal(atoll_client_integer(report, "accepted", 0), count);
    assert_int_equal(last - first + 1, count);
    assert_true(first > r->seq && first <= sent_before + 1);
    r->seq = last;
    r->version = (uint64_t)atoll_client_integer(report, "version", 0);
    r->acknowledged++;
    return true;
}

static void kill_under_ingest(run *r, uint32_t round, uint32_t least_us, uint32_t most_us)
{
    service_killer k;
    service_start(&r->service);
    check_nothing_is_lost(r);
    service_send_killer(&r->service, &k, least_us, most_us);
    for (uint32_t i = 0; ingest(r, round * DOMAINS / KILLS, i % 3 == 2); i++)
        continue;
    service_bury(&r->service, &k);
    atoll_client_session_close(&r->service.session);
}

/* Told to end, it writes a checkpoint. */
static void kill_while_it_ends(run *r, uint32_t round)
{
    service_killer k;
    service_start(&r->service);
    check_nothing_is_lost(r);
    for (int i = 0; i < 3; i++)
        ingest(r, round * DOMAINS / KILLS, false);
    atoll_client_session_close(&r->service.session);
    kill(r->service.server.pid, SIGTERM);
    service_send_killer(&r->service, &k, 0, ENDING_MOST_US);
    service_bury(&r->service, &k);
}

/* ---- what it answers ---- */

static bool put_member(void *arg, const char *name, atoll_json value)
{
    FILE *out = arg;
    double number;
    const char *text;
    size_t bytes;
    if (name && strcmp(name, "prediction_id") == 0)
        return true;
    fprintf(out, "%s=", name ? name : "");
    if (atoll_json_double(value, &number))
        fprintf(out, "%.9g ", number);
    else if (atoll_json_string(value, &text, &bytes))
        fprintf(out, "%s ", text);
    else if (!atoll_json_each(value, put_member, out))
        fprintf(out, "%d ", (int)atoll_json_kind_of(value));
    return true;
}

static bool put_prediction(void *arg, const char *name, atoll_json prediction)
{
    put_member(arg, name, prediction);
    fputc('\n', arg);
    return true;
}

static bool put_expert(void *arg, const char *name, atoll_json expert)
{
    static const char *const counts[] = {"id", "version", "born", "records", "label_count", "parameters", "exemplars"};
    (void)name;
    fprintf(arg, "expert %s", atoll_client_string(expert, "state", "?"));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        fprintf(arg, " %s %" PRId64, counts[i], atoll_client_integer(expert, counts[i], -1));
    fprintf(arg, " loss %.9g\n", atoll_client_number(expert, "loss", -1));
    return true;
}

/* Everything that the model answers to a set of questions, as text to free(). */
static char *answers(run *r)
{
    atoll_rng rng;
    atoll_writer body;
    atoll_json reply, list;
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    atoll_rng_seed(&rng, 77, 0);
    atoll_writer_init(&body);
    atoll_writer_text(&body, "{\"top\":5,\"explain\":true,\"records\":[");
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        atoll_json_object_begin(&body);
        put_text(&body, &rng, i % DOMAINS, i % LABELS_A_DOMAIN);
        if (i % 2)
            put_vector(&body, &rng, i % DOMAINS, i % LABELS_A_DOMAIN);
        atoll_json_object_end(&body);
    }
    atoll_writer_text(&body, "]}");
    assert_true(atoll_writer_terminate(&body));
    service_call(&r->service, "POST", "/predict", body.data, &reply);
    assert_true(atoll_json_member(reply, "predictions", &list));
    fprintf(out, "version %" PRId64 "\n", atoll_client_integer(reply, "version", -1));
    atoll_json_each(list, put_prediction, out);
    service_call(&r->service, "GET", "/experts", NULL, &reply);
    assert_true(atoll_json_member(reply, "experts", &list));
    atoll_json_each(list, put_expert, out);
    atoll_json stats = service_stats(&r->service);
    fprintf(out, "records %" PRId64 " right %.9g loss %.9g\n", atoll_client_integer(stats, "records", -1),
            atoll_client_number(stats, "prequential", -1), atoll_client_number(stats, "log_loss", -1));
    atoll_writer_free(&body);
    fclose(out);
    return text;
}

/* The answers of a server on folder `dir` once it has learned everything. */
static char *answers_of(run *r, const char *dir, uint64_t *version)
{
    run other = *r;
    snprintf(other.service.dir, sizeof other.service.dir, "%s", dir);
    service_start(&other.service);
    check_nothing_is_lost(&other);
    *version = (uint64_t)atoll_client_integer(service_stats(&other.service), "journal_last", 0);
    await_version(&other, *version);
    char *text = answers(&other);
    service_terminate(&other.service);
    return text;
}

static void check_same(const char *what, char *expected, char *got)
{
    if (strcmp(expected, got) != 0) {
        size_t at = 0;
        while (expected[at] == got[at])
            at++;
        while (at > 0 && expected[at - 1] != '\n')
            at--;
        print_error("%s: expected\n%.*s\ngot\n%.*s\n", what, (int)strcspn(expected + at, "\n"), expected + at,
                    (int)strcspn(got + at, "\n"), got + at);
    }
    assert_string_equal(expected, got);
    free(got);
}

static void nothing_acknowledged_is_lost_and_answers_are_those_of_an_undisturbed_run(void **state)
{
    run *r = *state;
    char fresh[160], journal[256], copied[256];
    uint64_t version, again, replayed;
    if (!server_available())
        skip();
    service_start(&r->service);
    service_call(&r->service, "PUT", "", "{\"embedding\":{\"dim\":64},\"experts\":{\"hidden\":16},"
                 "\"memory\":{\"exemplars\":400},\"checkpoint\":{\"every\":\"1s\"}}", NULL);
    service_kill(&r->service);
    for (uint32_t round = 1; round < KILLS; round++) {
        if (round % EARLY_EVERY == 0)
            kill_while_it_starts(r);
        else if (round % ENDING_EVERY == 0)
            kill_while_it_ends(r, round);
        else if (round % LATE_EVERY == 0)
            kill_under_ingest(r, round, LATE_LEAST_US, LATE_MOST_US);
        else
            kill_under_ingest(r, round, 0, UNDER_INGEST_MOST_US);
    }

    char *expected = answers_of(r, r->service.dir, &version);
    print_message("%d kills (%" PRIu64 " before it listened), %" PRIu64 " batches acknowledged, version %" PRIu64 "\n",
                  KILLS, r->early, r->acknowledged, version);
    assert_true(r->acknowledged > KILLS);
    snprintf(fresh, sizeof fresh, "%s/fresh", r->service.top);
    snprintf(journal, sizeof journal, "%s/models/m/journal", r->service.dir);
    snprintf(copied, sizeof copied, "%s/models/m/journal", fresh);
    assert_true(folder_copy(journal, copied));
    check_same("after a restart", expected, answers_of(r, r->service.dir, &again));
    check_same("from the journal alone", expected, answers_of(r, fresh, &replayed));
    assert_int_equal(again, version);
    assert_int_equal(replayed, version);
    free(expected);
}

static int set_up(void **state)
{
    run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    service_make(&r->service, 20);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    run *r = *state;
    service_remove(&r->service);
    free(r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost_and_answers_are_those_of_an_undisturbed_run,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
