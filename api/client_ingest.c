#include "api/client_ingest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/client_progress.h"
#include "api/client_show.h"
#include "core/clock.h"

enum { SHOWN_REJECTIONS = 10 };

/* ---- lines into batches ---- */

void atoll_client_lines_begin(atoll_client_lines *lines, FILE *in)
{
    *lines = (atoll_client_lines){.in = in, .next_line = 1};
}

void atoll_client_lines_end(atoll_client_lines *lines)
{
    free(lines->line);
    lines->line = NULL;
}

atoll_status atoll_client_lines_next(atoll_client_lines *lines, atoll_writer *batch, atoll_error *error)
{
    batch->bytes = 0;
    lines->first_line = lines->next_line;
    for (int count = 0; count < ATOLL_CLIENT_BATCH_RECORDS; count++) {
        ssize_t got = lines->held ? lines->held_bytes : getline(&lines->line, &lines->capacity, lines->in);
        if (got < 0 && ferror(lines->in))
            return atoll_fail(error, ATOLL_IO, "the input cannot be read");
        if (got < 0)
            break;
        if (got > ATOLL_CLIENT_LINE_MAX_BYTES)
            return atoll_fail(error, ATOLL_BODY_TOO_LARGE, "line %" PRIu64, lines->next_line);
        lines->held = batch->bytes && batch->bytes + (size_t)got > ATOLL_CLIENT_BATCH_BYTES;
        lines->held_bytes = got;
        if (lines->held)
            break;
        atoll_writer_raw(batch, lines->line, (size_t)got);
        if (lines->line[got - 1] != '\n')
            atoll_writer_raw(batch, "\n", 1);
        lines->read_bytes += (uint64_t)got;
        lines->next_line++;
    }
    return batch->failed ? atoll_fail(error, ATOLL_NO_MEMORY, "for a batch of lines") : ATOLL_OK;
}

/* ---- sending them ---- */

typedef struct ingestion {
    atoll_client_session *session;
    FILE *out, *err;
    const char *name;
    bool trained;
    atoll_client_lines lines;
    atoll_client_progress progress;
    uint64_t total_bytes; /* 0 where the input's size is not known */
    uint64_t accepted, rejected, version;
    int shown;            /* rejections */
} ingestion;

static bool show_rejection(void *arg, const char *name, atoll_json rejection)
{
    (void)name;
    ingestion *run = arg;
    if (run->shown == 0)
        atoll_client_progress_end(&run->progress);
    if (run->shown++ >= SHOWN_REJECTIONS)
        return false;
    int64_t line = atoll_client_integer(rejection, "line", 0);
    fprintf(run->err, "%s:%" PRIu64 ": %s: ", run->name, run->lines.first_line + (uint64_t)(line > 0 ? line - 1 : 0),
            atoll_client_string(rejection, "code", "rejected"));
    atoll_client_show_text(run->err, atoll_client_string(rejection, "error", ""), 200);
    fputc('\n', run->err);
    return true;
}

/* What is kept is counted also where it could not be learned; what is to be sent begins behind it then. */
static atoll_status send_batch(ingestion *run, const atoll_writer *batch, atoll_error *error)
{
    atoll_json report, errors;
    atoll_status status = atoll_client_session_ingest(run->session, batch->data, batch->bytes, run->trained, &report,
                                                      error);
    if (status && !report.document)
        return status;
    run->accepted += (uint64_t)atoll_client_integer(report, "accepted", 0);
    run->rejected += (uint64_t)atoll_client_integer(report, "rejected", 0);
    run->version = (uint64_t)atoll_client_integer(report, "version", (int64_t)run->version);
    if (atoll_json_member(report, "errors", &errors))
        atoll_json_each(errors, show_rejection, run);
    if (status)
        run->lines.first_line = run->lines.next_line;
    return status;
}

static void show_progress(ingestion *run, int64_t now_ns)
{
    char text[128], records[ATOLL_CLIENT_SIZE_BYTES], rate[ATOLL_CLIENT_SIZE_BYTES];
    double seconds = atoll_client_progress_seconds(&run->progress, now_ns);
    int used = snprintf(text, sizeof text, "%s records  %s/s",
                        atoll_client_count_text((int64_t)run->accepted, records),
                        atoll_client_count_text(seconds > 0 ? (int64_t)((double)run->accepted / seconds) : 0, rate));
    atoll_json stats;
    if (atoll_client_session_model(run->session, "GET", "/stats", NULL, &stats, NULL) == ATOLL_OK) {
        double right = atoll_client_number(stats, "prequential", -1);
        if (right >= 0)
            snprintf(text + used, sizeof text - (size_t)used, "  right before learning %.1f %%", 100 * right);
    }
    double done = run->total_bytes ? (double)run->lines.read_bytes / (double)run->total_bytes : -1;
    atoll_client_progress_show(&run->progress, done, text, now_ns);
}

static atoll_status send_all(ingestion *run, atoll_writer *batch, atoll_error *error)
{
    for (;;) {
        atoll_status status = atoll_client_lines_next(&run->lines, batch, error);
        if (status || !batch->bytes)
            return status;
        if ((status = send_batch(run, batch, error)))
            return status;
        int64_t now_ns = atoll_clock_monotonic_ns();
        if (atoll_client_progress_due(&run->progress, now_ns))
            show_progress(run, now_ns);
    }
}

static void show_sum(const ingestion *run, double seconds)
{
    char accepted[ATOLL_CLIENT_SIZE_BYTES], rejected[ATOLL_CLIENT_SIZE_BYTES], rate[ATOLL_CLIENT_SIZE_BYTES];
    fprintf(run->out, "accepted %s, rejected %s, in %.1f s (%s records/s), version %" PRIu64 "%s\n",
            atoll_client_count_text((int64_t)run->accepted, accepted),
            atoll_client_count_text((int64_t)run->rejected, rejected), seconds,
            atoll_client_count_text(seconds > 0 ? (int64_t)((double)run->accepted / seconds) : 0, rate), run->version,
            run->trained ? "" : " once learned");
}

int atoll_client_ingest(atoll_client_session *session, FILE *in, const char *name, bool trained, FILE *out, FILE *err)
{
    ingestion run = {.session = session, .out = out, .err = err, .name = name, .trained = trained};
    atoll_error error;
    atoll_writer batch;
    struct stat about;
    if (fstat(fileno(in), &about) == 0 && S_ISREG(about.st_mode))
        run.total_bytes = (uint64_t)about.st_size;
    atoll_writer_init(&batch);
    atoll_client_lines_begin(&run.lines, in);
    atoll_client_progress_begin(&run.progress, err, atoll_clock_monotonic_ns());

    atoll_status status = send_all(&run, &batch, &error);

    atoll_client_progress_end(&run.progress);
    if (run.shown > SHOWN_REJECTIONS)
        fprintf(err, "%s: and more lines were rejected\n", name);
    if (status)
        fprintf(err, "%s: from line %" PRIu64 " on: %s: %s\n", name, run.lines.first_line, atoll_status_code(status),
                error.detail);
    show_sum(&run, atoll_client_progress_seconds(&run.progress, atoll_clock_monotonic_ns()));
    atoll_client_lines_end(&run.lines);
    atoll_writer_free(&batch);
    return status || run.rejected ? 1 : 0;
}
