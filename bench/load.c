/*
 * A load generator for a running server: several kept-alive connections, each a thread that sends one request after
 * another and times it. Prints one JSON object. Which records go out depends on nothing but the arguments. For servers
 * of others it also speaks the plainest of protocols, a line for a line.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/client_http.h"
#include "core/clock.h"
#include "core/writer.h"

enum { CONNECTIONS_MAX = 256, TIMEOUT_MS = 120000, BATCH_MAX = 100000, SECONDS_MAX = 3600, TIMES_MAX = 1 << 26 };

typedef enum mode { MODE_PREDICT, MODE_PREDICT_BATCH, MODE_INGEST, MODE_GET, MODE_LINES } mode;

static const char *const mode_names[] = {"predict", "predict-batch", "ingest", "get", "lines"};

typedef struct load_plan {
    const char *url, *model, *file, *path;
    mode mode;
    int64_t connections, seconds, batch, port;
    bool wait;
    char *text;      /* the file, each line ended */
    size_t *ends;    /* of each line in `text` */
    size_t records;
    char target[512];
    int64_t stop_ns; /* no request begins after it */
    _Atomic uint64_t next; /* request */
    _Atomic uint64_t failed;
} load_plan;

/* One connection's thread and what it measured. */
typedef struct load_sender {
    load_plan *load;
    pthread_t thread;
    uint64_t records;
    int64_t *times_ns;
    size_t count, capacity;
} load_sender;

/* ---- the file ---- */

static bool add_line(load_plan *load, size_t end, size_t *capacity)
{
    if (load->records == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 1024;
        size_t *more = realloc(load->ends, *capacity * sizeof *more);
        if (!more)
            return false;
        load->ends = more;
    }
    load->ends[load->records++] = end;
    return true;
}

static bool read_file(load_plan *load)
{
    FILE *in = fopen(load->file, "r");
    if (!in)
        return false;
    atoll_writer text;
    atoll_writer_init(&text);
    char *line = NULL;
    size_t line_capacity = 0, capacity = 0;
    bool good = true;
    for (ssize_t got; good && (got = getline(&line, &line_capacity, in)) > 0;) {
        if (line[0] == '\n')
            continue;
        atoll_writer_raw(&text, line, (size_t)got);
        if (line[got - 1] != '\n')
            atoll_writer_raw(&text, "\n", 1);
        good = !text.failed && add_line(load, text.bytes, &capacity);
    }
    free(line);
    fclose(in);
    load->text = text.data;
    return good && load->records > 0;
}

static const char *line_of(const load_plan *load, size_t record, size_t *bytes)
{
    size_t start = record ? load->ends[record - 1] : 0;
    *bytes = load->ends[record] - start;
    return load->text + start;
}

/* ---- sending ---- */

static bool note_time(load_sender *sender, int64_t time_ns)
{
    if (sender->count == sender->capacity) {
        size_t capacity = sender->capacity ? 2 * sender->capacity : 4096;
        int64_t *more = capacity > TIMES_MAX ? NULL : realloc(sender->times_ns, capacity * sizeof *more);
        if (!more)
            return false;
        sender->times_ns = more;
        sender->capacity = capacity;
    }
    sender->times_ns[sender->count++] = time_ns;
    return true;
}

/* The body of request `number`; *records is 0 where the file has been sent to its end. */
static const char *make_body(const load_plan *load, uint64_t number, atoll_writer *space, size_t *bytes,
                             size_t *records)
{
    size_t first = (size_t)number % load->records;
    *records = 1;
    if (load->mode == MODE_GET)
        return NULL;
    if (load->mode == MODE_PREDICT) {
        const char *line = line_of(load, first, bytes);
        space->bytes = 0;
        atoll_writer_text(space, "{\"records\":[");
        atoll_writer_raw(space, line, *bytes);
        atoll_writer_text(space, "]}");
        *bytes = space->bytes;
        return space->data;
    }
    size_t batch = (size_t)load->batch, batches = (load->records + batch - 1) / batch;
    if (load->mode == MODE_INGEST && number >= batches) {
        *records = 0;
        return NULL;
    }
    first = (size_t)number % batches * batch;
    size_t last = first + batch < load->records ? first + batch : load->records;
    size_t start = first ? load->ends[first - 1] : 0;
    *bytes = load->ends[last - 1] - start;
    *records = last - first;
    return load->text + start;
}

static void tell_failure(load_plan *load, atoll_status status, const atoll_client_reply *reply,
                         const atoll_error *error)
{
    if (atomic_fetch_add(&load->failed, 1))
        return;
    if (status)
        fprintf(stderr, "load: %s: %s\n", atoll_status_code(status), error->detail);
    else
        fprintf(stderr, "load: the server answered %d: %.200s\n", reply->status, reply->body);
}

static void *send_requests(void *arg)
{
    load_sender *sender = arg;
    load_plan *load = sender->load;
    atoll_client_http *http;
    atoll_error error;
    atoll_client_reply reply;
    atoll_writer space;
    const char *type = load->mode == MODE_GET       ? NULL
                       : load->mode == MODE_PREDICT ? "application/json"
                                                    : "application/x-ndjson";
    atoll_status status = atoll_client_http_open(load->url, TIMEOUT_MS, &http, &error);
    if (status) {
        tell_failure(load, status, NULL, &error);
        return NULL;
    }
    atoll_writer_init(&space);
    for (;;) {
        size_t bytes = 0, records;
        const char *body = make_body(load, atomic_fetch_add(&load->next, 1), &space, &bytes, &records);
        int64_t began_ns = atoll_clock_monotonic_ns();
        if (records == 0 || began_ns > load->stop_ns)
            break;
        status = atoll_client_http_call(http, type ? "POST" : "GET", load->target, type, body, bytes, &reply, &error);
        int64_t time_ns = atoll_clock_monotonic_ns() - began_ns;
        if (status || reply.status != 200) {
            tell_failure(load, status, &reply, &error);
            if (status)
                break;
            continue;
        }
        sender->records += records;
        if (!note_time(sender, time_ns))
            break;
    }
    atoll_writer_free(&space);
    atoll_client_http_close(http);
    return NULL;
}

/* ---- a line for a line ---- */

static int open_lines(const load_plan *load)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address) &&
        !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Sends a line and reads what comes back up to the end of a line. */
static bool call_line(int fd, const char *line, size_t bytes)
{
    char answer[4096];
    if (send(fd, line, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
        return false;
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got <= 0)
            return false;
        if (answer[got - 1] == '\n')
            return true;
    }
}

static void *send_lines(void *arg)
{
    load_sender *sender = arg;
    load_plan *load = sender->load;
    int fd = open_lines(load);
    bool good = fd >= 0;
    while (good) {
        size_t bytes;
        const char *line = line_of(load, (size_t)atomic_fetch_add(&load->next, 1) % load->records, &bytes);
        int64_t began_ns = atoll_clock_monotonic_ns();
        if (began_ns > load->stop_ns)
            break;
        good = call_line(fd, line, bytes) && note_time(sender, atoll_clock_monotonic_ns() - began_ns);
        sender->records += good;
    }
    if (!good && !atomic_fetch_add(&load->failed, 1))
        fprintf(stderr, "load: port %" PRId64 " does not answer\n", load->port);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* ---- the report ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The least time that a share of the requests did not exceed, in milliseconds. */
static double quantile_ms(const int64_t *times_ns, size_t count, double share)
{
    if (!count)
        return 0;
    size_t at = (size_t)(share * (double)count);
    return (double)times_ns[at < count ? at : count - 1] / 1e6;
}

static bool print_report(const load_plan *load, load_sender *senders, double seconds)
{
    size_t count = 0, at = 0;
    uint64_t records = 0;
    for (int64_t i = 0; i < load->connections; i++) {
        count += senders[i].count;
        records += senders[i].records;
    }
    int64_t *all_ns = malloc((count ? count : 1) * sizeof *all_ns);
    if (!all_ns)
        return false;
    for (int64_t i = 0; i < load->connections; i++) {
        if (senders[i].count)
            memcpy(all_ns + at, senders[i].times_ns, senders[i].count * sizeof *all_ns);
        at += senders[i].count;
    }
    qsort(all_ns, count, sizeof *all_ns, compare);
    printf("{\"mode\":\"%s\",\"connections\":%" PRId64 ",\"seconds\":%.3f,\"requests\":%zu,\"failed\":%" PRIu64
           ",\"requests_per_s\":%.1f",
           mode_names[load->mode], load->connections, seconds, count, (uint64_t)load->failed, (double)count / seconds);
    if (load->mode != MODE_GET)
        printf(",\"records\":%" PRIu64 ",\"records_per_s\":%.1f", records, (double)records / seconds);
    printf(",\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n", quantile_ms(all_ns, count, 0.5),
           quantile_ms(all_ns, count, 0.9), quantile_ms(all_ns, count, 0.99), quantile_ms(all_ns, count, 1));
    free(all_ns);
    return true;
}

static bool run(load_plan *load)
{
    load_sender *senders = calloc((size_t)load->connections, sizeof *senders);
    if (!senders)
        return false;
    int64_t began_ns = atoll_clock_monotonic_ns(), started = 0;
    load->stop_ns = load->seconds ? began_ns + load->seconds * 1000000000 : INT64_MAX;
    for (; started < load->connections; started++) {
        senders[started].load = load;
        if (pthread_create(&senders[started].thread, NULL, load->mode == MODE_LINES ? send_lines : send_requests,
                           &senders[started]))
            break;
    }
    for (int64_t i = 0; i < started; i++)
        pthread_join(senders[i].thread, NULL);
    double seconds = (double)(atoll_clock_monotonic_ns() - began_ns) / 1e9;
    bool good = started == load->connections && print_report(load, senders, seconds) && load->failed == 0;
    for (int64_t i = 0; i < load->connections; i++)
        free(senders[i].times_ns);
    free(senders);
    return good;
}

/* ---- arguments ---- */

static int show_usage(FILE *out)
{
    fputs("usage: load [options]\n"
          "\n"
          "  --url URL            the server (http://127.0.0.1:8080)\n"
          "  --model NAME         the model (default)\n"
          "  --file FILE          records, one JSON object a line; they are sent as they are\n"
          "  --connections N      kept alive, each with a request under way (1)\n"
          "  --seconds N          how long (10; ingest: until the file has been sent)\n"
          "\n"
          "one of, else single records are predicted:\n"
          "  --predict-batch N    predict NDJSON of N records a request\n"
          "  --ingest N [--wait]  ingest NDJSON of N records a request; --wait: until they are learned\n"
          "  --path PATH          GET a path\n"
          "  --lines PORT         send each line of the file over TCP and wait for a line\n",
          out);
    return out == stdout ? 0 : 2;
}

static bool number(const char *text, int64_t least, int64_t most, int64_t *out)
{
    char *after;
    *out = strtoll(text, &after, 10);
    return *text && !*after && *out >= least && *out <= most;
}

static bool take_option(load_plan *load, const char *name, const char *value)
{
    if (strcmp(name, "--url") == 0)
        return (load->url = value);
    if (strcmp(name, "--model") == 0)
        return (load->model = value);
    if (strcmp(name, "--file") == 0)
        return (load->file = value);
    if (strcmp(name, "--connections") == 0)
        return number(value, 1, CONNECTIONS_MAX, &load->connections);
    if (strcmp(name, "--seconds") == 0)
        return number(value, 1, SECONDS_MAX, &load->seconds);
    if (strcmp(name, "--path") == 0) {
        load->mode = MODE_GET;
        return (load->path = value);
    }
    if (strcmp(name, "--lines") == 0) {
        load->mode = MODE_LINES;
        return number(value, 1, 65535, &load->port);
    }
    bool ingest = strcmp(name, "--ingest") == 0;
    load->mode = ingest ? MODE_INGEST : MODE_PREDICT_BATCH;
    return (ingest || strcmp(name, "--predict-batch") == 0) && number(value, 1, BATCH_MAX, &load->batch);
}

int main(int argc, char **argv)
{
    load_plan load = {.url = "http://127.0.0.1:8080", .model = "default", .connections = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return show_usage(stdout);
        if (strcmp(argv[i], "--wait") == 0)
            load.wait = true;
        else if (i + 1 == argc || !take_option(&load, argv[i], argv[i + 1]))
            return show_usage(stderr);
        else
            i++;
    }
    if (load.mode != MODE_GET && !load.file)
        return show_usage(stderr);
    if (load.mode != MODE_INGEST && load.seconds == 0)
        load.seconds = 10;
    if (load.mode == MODE_GET)
        snprintf(load.target, sizeof load.target, "%s", load.path);
    else
        snprintf(load.target, sizeof load.target, "/v1/models/%s/%s%s", load.model,
                 load.mode == MODE_INGEST ? "ingest" : "predict", load.wait ? "?wait=trained" : "");
    if (load.file && !read_file(&load)) {
        fprintf(stderr, "load: %s cannot be read, or holds nothing\n", load.file);
        return 1;
    }
    bool good = run(&load);
    free(load.text);
    free(load.ends);
    return good ? 0 : 1;
}
