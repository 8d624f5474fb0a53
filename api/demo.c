#include "api/demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/client_ingest.h"
#include "api/client_progress.h"
#include "api/client_show.h"
#include "api/demo_stream.h"
#include "core/clock.h"
#include "core/writer.h"

enum {
    QUESTIONS = 12,
    QUESTION_LABELS = 4,
    EXAMINED_BATCH = 1000,
    TEXT_COLUMNS = 100,
    DOMAIN_COLUMNS = 24,
    CURL_LEAST_BYTES = 12,
    CURL_MOST_BYTES = 60
};

/* Answers to the records held back of one domain, or of all. */
typedef struct marks {
    uint64_t asked, right, abstained, right_believed;
} marks;

typedef struct demo {
    atoll_client_session *session;
    FILE *out;
    atoll_demo_stream stream;
    marks *then, *now;  /* of each domain: once its last record was learned, and at the end */
    uint64_t sent, rejected;
    uint64_t before;    /* records the model had learned before */
    double before_right;
} demo;

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

/* ---- asking ---- */

static void put_question(atoll_writer *body, const atoll_demo_held *held)
{
    atoll_json_object_begin(body);
    if (*held->id) {
        atoll_json_name(body, "id");
        atoll_json_put_text(body, held->id);
    }
    atoll_json_name(body, "text");
    atoll_json_put_text(body, held->text);
    atoll_json_object_end(body);
}

/* Asks for `count` held records at once; the predictions live until the session's next call. */
static atoll_status ask(demo *show, const atoll_demo_held *const *held, size_t count, int top, bool explain,
                        atoll_json *predictions, atoll_error *error)
{
    char target[128];
    atoll_json reply;
    atoll_writer body;
    atoll_writer_init(&body);
    atoll_json_object_begin(&body);
    atoll_json_name(&body, "records");
    atoll_json_array_begin(&body);
    for (size_t i = 0; i < count; i++)
        put_question(&body, held[i]);
    atoll_json_array_end(&body);
    atoll_json_name(&body, "top");
    atoll_json_put_int(&body, top);
    atoll_json_name(&body, "explain");
    atoll_json_put_bool(&body, explain);
    atoll_json_object_end(&body);
    snprintf(target, sizeof target, "/v1/models/%s/predict", show->session->model);
    atoll_status status = body.failed ? atoll_fail(error, ATOLL_NO_MEMORY, "for a request") : ATOLL_OK;
    if (!status)
        status = atoll_client_session_call(show->session, "POST", target, "application/json", body.data, body.bytes,
                                           NULL, &reply, error);
    if (!status && !atoll_json_member(reply, "predictions", predictions))
        status = atoll_fail(error, ATOLL_INVALID_VALUE, "the server's answer holds no predictions");
    atoll_writer_free(&body);
    return status;
}

typedef struct marking {
    const atoll_demo_held *const *held;
    size_t count, at;
    marks *marks; /* of each domain */
} marking;

static bool mark(void *arg, const char *name, atoll_json prediction)
{
    (void)name;
    marking *run = arg;
    if (run->at == run->count)
        return false;
    const atoll_demo_held *held = run->held[run->at++];
    marks *to = &run->marks[held->domain];
    bool right = strcmp(atoll_client_string(prediction, "label", ""), held->label) == 0;
    bool abstained = atoll_client_flag(prediction, "abstain", false);
    to->asked++;
    to->right += right;
    to->abstained += abstained;
    to->right_believed += right && !abstained;
    return true;
}

/* Examines the model on what was held back of the domains in [first, end). */
static atoll_status examine(demo *show, uint32_t first, uint32_t end, marks *to, atoll_error *error)
{
    const atoll_demo_held *batch[EXAMINED_BATCH];
    const atoll_demo_stream *stream = &show->stream;
    size_t count = 0;
    for (size_t i = 0; i <= stream->held_count; i++) {
        bool last = i == stream->held_count;
        if (!last && stream->held[i].domain >= first && stream->held[i].domain < end)
            batch[count++] = &stream->held[i];
        if (count == 0 || (count < EXAMINED_BATCH && !last))
            continue;
        atoll_json predictions;
        marking run = {.held = batch, .count = count, .marks = to};
        atoll_status status = ask(show, batch, count, 1, false, &predictions, error);
        if (status)
            return status;
        atoll_json_each(predictions, mark, &run);
        if (run.at != count)
            return atoll_fail(error, ATOLL_INVALID_VALUE, "the server answered %zu of %zu records", run.at, count);
        count = 0;
    }
    return ATOLL_OK;
}

/* ---- streaming ---- */

/* What the model has learned so far, of this stream: records, and how many of them it predicted right beforehand. */
static void measure(const demo *show, atoll_json stats, uint64_t *records, double *right)
{
    int64_t all = atoll_client_integer(stats, "records", 0);
    *records = (uint64_t)all - show->before;
    *right = atoll_client_number(stats, "prequential", 0) * (double)all - show->before_right;
}

static void show_progress(demo *show, atoll_client_progress *progress, int64_t now_ns)
{
    char text[160], records[ATOLL_CLIENT_SIZE_BYTES], rate[ATOLL_CLIENT_SIZE_BYTES];
    atoll_json stats;
    double seconds = atoll_client_progress_seconds(progress, now_ns);
    int used = snprintf(text, sizeof text, "%s records  %s/s", atoll_client_count_text((int64_t)show->sent, records),
                        atoll_client_count_text(seconds > 0 ? (int64_t)((double)show->sent / seconds) : 0, rate));
    if (atoll_client_session_model(show->session, "GET", "/stats", NULL, &stats, NULL) == ATOLL_OK) {
        uint64_t learned;
        double right;
        measure(show, stats, &learned, &right);
        snprintf(text + used, sizeof text - (size_t)used, "  right beforehand %.1f %%  experts %" PRId64,
                 learned ? 100 * right / (double)learned : 0, atoll_client_integer(stats, "experts_active", 0));
    }
    atoll_client_progress_show(progress, (double)show->sent / (double)show->stream.taught, text, now_ns);
}

/* The examination of every domain whose last record is among the first `sent`; *next is the first not examined yet. */
static atoll_status examine_finished(demo *show, uint32_t *next, atoll_error *error)
{
    const atoll_demo_stream *stream = &show->stream;
    while (*next < stream->domain_count && stream->domains[*next].taught_end <= show->sent) {
        atoll_status status = examine(show, *next, *next + 1, show->then, error);
        if (status)
            return status;
        ++*next;
    }
    return ATOLL_OK;
}

static atoll_status send_stream(demo *show, atoll_client_progress *progress, double *seconds, atoll_error *error)
{
    const atoll_demo_stream *stream = &show->stream;
    uint32_t next = 0;
    int64_t spent_ns = 0;
    while (show->sent < stream->taught) {
        size_t first = (size_t)show->sent, end = first + ATOLL_CLIENT_BATCH_RECORDS;
        if (end > stream->taught)
            end = stream->taught;
        size_t from = first ? stream->ends[first - 1] : 0;
        int64_t began_ns = atoll_clock_monotonic_ns();
        atoll_json report;
        atoll_status status = atoll_client_session_ingest(show->session, stream->lines.data + from,
                                                          stream->ends[end - 1] - from, true, &report, error);
        if (status)
            return status;
        int64_t now_ns = atoll_clock_monotonic_ns();
        spent_ns += now_ns - began_ns;
        show->rejected += (uint64_t)atoll_client_integer(report, "rejected", 0);
        show->sent = end;
        if (atoll_client_progress_due(progress, now_ns) || end == stream->taught)
            show_progress(show, progress, now_ns);
        if ((status = examine_finished(show, &next, error)))
            return status;
    }
    *seconds = (double)spent_ns / 1e9;
    return ATOLL_OK;
}

static atoll_status run_stream(demo *show, atoll_error *error)
{
    const atoll_demo_stream *stream = &show->stream;
    char taught[ATOLL_CLIENT_SIZE_BYTES], held[ATOLL_CLIENT_SIZE_BYTES];
    fprintf(show->out,
            "Streaming %s records of %zu domains, one domain after another, to model '%s' at %s.\n"
            "The model is not told which record is of which domain. %s records are held back for the examination.\n\n",
            atoll_client_count_text((int64_t)stream->taught, taught), stream->domain_count, show->session->model,
            show->session->url, atoll_client_count_text((int64_t)stream->held_count, held));
    fflush(show->out);
    atoll_client_progress progress;
    double seconds = 0;
    atoll_client_progress_begin(&progress, show->out, atoll_clock_monotonic_ns());
    atoll_status status = send_stream(show, &progress, &seconds, error);
    atoll_client_progress_end(&progress);
    if (status)
        return status;

    atoll_json stats;
    if ((status = atoll_client_session_model(show->session, "GET", "/stats", NULL, &stats, error)))
        return status;
    uint64_t learned;
    double right;
    measure(show, stats, &learned, &right);
    fprintf(show->out, "Learned %s records in %.1f s, %.0f a second, each acknowledged on disk and learned at once.\n",
            atoll_client_count_text((int64_t)learned, taught), seconds, seconds > 0 ? (double)learned / seconds : 0);
    fprintf(show->out, "Predicted right before it was learned: %.1f %% of the records",
            learned ? 100 * right / (double)learned : 0);
    double no_change = atoll_client_number(stats, "no_change", -1);
    if (no_change >= 0 && show->before == 0)
        fprintf(show->out, " (repeating the label before: %.1f %%)", 100 * no_change);
    fputs(".\n", show->out);
    if (show->rejected)
        fprintf(show->out, "Rejected: %" PRIu64 " records.\n", show->rejected);
    return ATOLL_OK;
}

/* ---- what it learned ---- */

static bool show_answer(void *arg, const char *name, atoll_json prediction)
{
    (void)name;
    atoll_client_show_prediction(arg, prediction);
    return false;
}

/* The held-back records to ask: spread over the domains first, over each domain's records then. */
static size_t choose(const atoll_demo_stream *stream, size_t most, const atoll_demo_held **chosen)
{
    size_t count = 0, step = stream->domain_count > most ? stream->domain_count / most : 1;
    for (size_t round = 0; count < most && round < most; round++) {
        for (size_t d = 0; d < stream->domain_count && count < most; d += step) {
            uint64_t wanted = (2 * round + 1) * stream->domains[d].held / (2 * most), seen = 0;
            for (size_t i = 0; i < stream->held_count && round < stream->domains[d].held; i++) {
                if (stream->held[i].domain == d && seen++ == wanted) {
                    chosen[count++] = &stream->held[i];
                    break;
                }
            }
        }
    }
    return count;
}

static atoll_status ask_questions(demo *show, atoll_error *error)
{
    const atoll_demo_held *chosen[QUESTIONS];
    size_t count = choose(&show->stream, QUESTIONS, chosen);
    fprintf(show->out, "\n%zu questions about records it has never seen, with the evidence of each answer:\n", count);
    for (size_t i = 0; i < count; i++) {
        atoll_json predictions;
        atoll_status status = ask(show, &chosen[i], 1, QUESTION_LABELS, true, &predictions, error);
        if (status)
            return status;
        fputs("\n  \"", show->out);
        atoll_client_show_text(show->out, chosen[i]->text, TEXT_COLUMNS);
        fputs("\"\n    truth      ", show->out);
        atoll_client_show_text(show->out, chosen[i]->label, TEXT_COLUMNS);
        fputs("\n    answer     ", show->out);
        atoll_json_each(predictions, show_answer, show->out);
    }
    return ATOLL_OK;
}

static atoll_status show_experts(demo *show, atoll_error *error)
{
    atoll_json reply;
    atoll_status status = atoll_client_session_model(show->session, "GET", "/experts", NULL, &reply, error);
    if (status)
        return status;
    fputs("\nIts experts, and the labels they hold:\n\n", show->out);
    atoll_client_show_experts(show->out, reply);
    return ATOLL_OK;
}

static atoll_status show_accuracy(demo *show, atoll_error *error)
{
    const atoll_demo_stream *stream = &show->stream;
    atoll_status status = examine(show, 0, (uint32_t)stream->domain_count, show->now, error);
    if (status)
        return status;
    marks all = {0};
    fprintf(show->out, "\nAccuracy on the records held back:\n\n  %-*s %9s %9s %16s %9s\n", DOMAIN_COLUMNS, "domain",
            "records", "held back", "when just learned", "now");
    for (size_t d = 0; d < stream->domain_count; d++) {
        const marks *then = &show->then[d], *now = &show->now[d];
        all.asked += now->asked;
        all.right += now->right;
        all.abstained += now->abstained;
        all.right_believed += now->right_believed;
        fputs("  ", show->out);
        size_t columns = atoll_client_show_text(show->out, stream->domains[d].name, DOMAIN_COLUMNS);
        fprintf(show->out, "%*s %9" PRIu64 " %9" PRIu64 " ", (int)(DOMAIN_COLUMNS - columns), "",
                stream->domains[d].records, now->asked);
        if (now->asked == 0) {
            fprintf(show->out, "%16s %9s\n", "-", "-");
            continue;
        }
        fprintf(show->out, "%14.1f %% %7.1f %%\n", share(then->right, then->asked), share(now->right, now->asked));
    }
    fprintf(show->out, "\n  over all: %" PRIu64 " of %" PRIu64 " right, %.1f %%", all.right, all.asked,
            share(all.right, all.asked));
    if (all.abstained)
        fprintf(show->out, "; it abstained on %.1f %%, and of the others %.1f %% were right",
                share(all.abstained, all.asked), share(all.right_believed, all.asked - all.abstained));
    fputs("\n", show->out);
    return ATOLL_OK;
}

static atoll_status show_counts(demo *show, atoll_error *error)
{
    atoll_json stats;
    char size[ATOLL_CLIENT_SIZE_BYTES];
    atoll_status status = atoll_client_session_model(show->session, "GET", "/stats", NULL, &stats, error);
    if (status)
        return status;
    fprintf(show->out, "\nExperts: %" PRId64 " born, %" PRId64 " pruned, %" PRId64 " alive",
            atoll_client_integer(stats, "born", 0), atoll_client_integer(stats, "pruned", 0),
            atoll_client_integer(stats, "experts_active", 0));
    /* What is replaced or under way is much right after learning, and soon gone. */
    int64_t counted = atoll_client_integer(stats, "counted_bytes", 0);
    int64_t passing = atoll_client_integer(stats, "retired_bytes", 0) + atoll_client_integer(stats, "writing_bytes", 0);
    fprintf(show->out, ". The model takes %s", atoll_client_size_text((double)(counted - passing), size));
    if (passing > 0)
        fprintf(show->out, "; %s more wait for readers or for the disk", atoll_client_size_text((double)passing, size));
    fputs(".\n", show->out);
    return ATOLL_OK;
}

/* A beginning of a text that a shell and JSON take as it is; of a long one, whole words. */
static int plain_bytes(const char *text)
{
    size_t plain = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;()+-_/");
    if (!text[plain] && plain <= CURL_MOST_BYTES)
        return (int)plain;
    size_t cut = plain < CURL_MOST_BYTES ? plain : CURL_MOST_BYTES;
    while (cut > 0 && text[cut] != ' ')
        cut--;
    return (int)cut;
}

static void show_way_on(const demo *show)
{
    const char *text = "hello";
    for (size_t i = show->stream.held_count; i-- > 0;) {
        if (plain_bytes(show->stream.held[i].text) >= CURL_LEAST_BYTES)
            text = show->stream.held[i].text;
    }
    fprintf(show->out,
            "\nThe dashboard: %s/\n"
            "Ask it yourself:\n\n"
            "  curl -s %s/v1/models/%s/predict -H 'Content-Type: application/json' \\\n"
            "       -d '{\"records\":[{\"text\":\"%.*s\"}],\"explain\":true}'\n",
            show->session->url, show->session->url, show->session->model, plain_bytes(text), text);
}

/* ---- the whole ---- */

/* A model that has learned before is gone on with; what it knew is taken off what is shown. */
static atoll_status look_before(demo *show, atoll_error *error)
{
    atoll_json stats;
    atoll_status status = atoll_client_session_model(show->session, "GET", "/stats", NULL, &stats, error);
    if (status == ATOLL_UNKNOWN_MODEL)
        return ATOLL_OK;
    if (status)
        return status;
    uint64_t records;
    measure(show, stats, &records, &show->before_right);
    show->before = records;
    if (records)
        fprintf(show->out, "The model has learned %" PRIu64 " records before; the stream is added to them.\n", records);
    return ATOLL_OK;
}

static atoll_status run(demo *show, atoll_error *error)
{
    atoll_status status = look_before(show, error);
    if (!status)
        status = run_stream(show, error);
    if (!status)
        status = ask_questions(show, error);
    if (!status)
        status = show_experts(show, error);
    if (!status)
        status = show_accuracy(show, error);
    if (!status)
        status = show_counts(show, error);
    if (!status)
        show_way_on(show);
    return status;
}

int atoll_demo_run(atoll_client_session *session, const char *stream, FILE *out, FILE *err)
{
    demo show = {.session = session, .out = out};
    atoll_error error = {0};
    FILE *in = fopen(stream, "r");
    if (!in) {
        fprintf(err, "atoll: %s: %s\n", stream, strerror(errno));
        return 1;
    }
    atoll_status status = atoll_demo_stream_load(in, &show.stream, &error);
    fclose(in);
    if (!status && show.stream.taught == 0)
        status = atoll_fail(&error, ATOLL_INVALID_RECORD, "there is no record in it");
    if (status)
        fprintf(err, "atoll: %s: %s: %s\n", stream, atoll_status_code(status), error.detail);
    if (!status) {
        show.then = calloc(show.stream.domain_count, sizeof *show.then);
        show.now = calloc(show.stream.domain_count, sizeof *show.now);
        status = show.then && show.now ? run(&show, &error) : atoll_fail(&error, ATOLL_NO_MEMORY, "for the marks");
        if (status)
            fprintf(err, "atoll: %s: %s\n", atoll_status_code(status), error.detail);
    }
    fflush(out);
    free(show.then);
    free(show.now);
    atoll_demo_stream_free(&show.stream);
    return status ? 1 : 0;
}
