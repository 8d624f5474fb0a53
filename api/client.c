#include "api/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/client_ingest.h"
#include "api/client_session.h"
#include "api/client_show.h"
#include "api/demo.h"
#include "core/limits.h"
#include "core/writer.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    TIMEOUT_MS = 10 * 60 * 1000, /* waiting for learning may take long */
    TOP_LABELS = 5
};

/* Which flags a subcommand takes. */
enum { FLAG_WAIT = 1, FLAG_JSON = 2, FLAG_DRY_RUN = 4, FLAG_TOP = 8, FLAG_STREAM = 16 };

typedef struct asked {
    const char *url, *model, *stream;
    bool wait, json, dry_run, help;
    int64_t top;
    int count; /* arguments that are no flags */
    char **arguments;
} asked;

typedef struct subcommand {
    const char *name, *arguments, *summary, *more;
    int flags, least, most; /* most < 0: any number */
    int (*run)(const asked *options, atoll_client_session *session);
} subcommand;

static int report(atoll_status status, const atoll_error *error)
{
    fprintf(stderr, "atoll: %s: ", atoll_status_code(status));
    atoll_client_show_text(stderr, error->detail, sizeof error->detail);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

/* ---- ingest ---- */

static int run_ingest(const asked *options, atoll_client_session *session)
{
    const char *name = options->arguments[0];
    if (strcmp(name, "-") == 0)
        return atoll_client_ingest(session, stdin, "-", options->wait, stdout, stderr);
    FILE *in = fopen(name, "r");
    if (!in) {
        fprintf(stderr, "atoll: %s: %s\n", name, strerror(errno));
        return EXIT_FAILED;
    }
    int result = atoll_client_ingest(session, in, name, options->wait, stdout, stderr);
    fclose(in);
    return result;
}

/* ---- predict ---- */

static bool show_one(void *arg, const char *name, atoll_json prediction)
{
    (void)arg;
    (void)name;
    atoll_client_show_prediction(stdout, prediction);
    return true;
}

static int predict_texts(const asked *options, atoll_client_session *session)
{
    atoll_error error;
    atoll_json reply, predictions;
    atoll_client_reply raw;
    atoll_writer body;
    char target[128];
    snprintf(target, sizeof target, "/v1/models/%s/predict", session->model);
    atoll_writer_init(&body);
    atoll_json_object_begin(&body);
    atoll_json_name(&body, "records");
    atoll_json_array_begin(&body);
    for (int i = 0; i < options->count; i++) {
        atoll_json_object_begin(&body);
        atoll_json_name(&body, "text");
        atoll_json_put_text(&body, options->arguments[i]);
        atoll_json_object_end(&body);
    }
    atoll_json_array_end(&body);
    atoll_json_name(&body, "top");
    atoll_json_put_int(&body, options->top);
    atoll_json_name(&body, "explain");
    atoll_json_put_bool(&body, true);
    atoll_json_object_end(&body);
    atoll_status status = body.failed ? atoll_fail(&error, ATOLL_NO_MEMORY, "for the request") : ATOLL_OK;
    if (!status)
        status = atoll_client_session_call(session, "POST", target, "application/json", body.data, body.bytes, &raw,
                                           &reply, &error);
    atoll_writer_free(&body);
    if (status)
        return report(status, &error);
    if (options->json)
        printf("%.*s\n", (int)raw.bytes, raw.body);
    else if (atoll_json_member(reply, "predictions", &predictions))
        atoll_json_each(predictions, show_one, NULL);
    return 0;
}

/* Prints the answers to one batch of lines; the number of lines that got none is added to *rejected. */
static atoll_status show_lines(const asked *options, atoll_client_session *session, const atoll_client_reply *reply,
                               uint64_t first_line, uint64_t *rejected, atoll_error *error)
{
    const char *end = reply->body + reply->bytes, *next;
    uint64_t number = first_line;
    for (const char *line = reply->body; line < end; line = next, number++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t bytes = (size_t)((newline ? newline : end) - line);
        next = line + bytes + 1;
        if (bytes == 0)
            continue;
        atoll_json answer;
        atoll_status status = atoll_json_parse(session->parser, line, bytes, &answer, error);
        if (status)
            return status;
        const char *code = atoll_client_string(answer, "code", NULL);
        *rejected += code != NULL;
        if (options->json) {
            printf("%.*s\n", (int)bytes, line);
        } else if (code) {
            int64_t at = atoll_client_integer(answer, "line", (int64_t)(number - first_line) + 1);
            fprintf(stderr, "-:%llu: %s: ", (unsigned long long)first_line + (unsigned long long)at - 1, code);
            atoll_client_show_text(stderr, atoll_client_string(answer, "error", ""), 200);
            fputc('\n', stderr);
        } else {
            atoll_client_show_prediction(stdout, answer);
        }
    }
    return ATOLL_OK;
}

static int predict_lines(const asked *options, atoll_client_session *session)
{
    atoll_error error;
    atoll_client_lines lines;
    atoll_writer batch;
    atoll_status status;
    uint64_t rejected = 0;
    char target[160];
    snprintf(target, sizeof target, "/v1/models/%s/predict?explain=true&top=%d", session->model, (int)options->top);
    atoll_client_lines_begin(&lines, stdin);
    atoll_writer_init(&batch);
    for (;;) {
        atoll_client_reply reply;
        status = atoll_client_lines_next(&lines, &batch, &error);
        if (status || batch.bytes == 0)
            break;
        status = atoll_client_session_call(session, "POST", target, "application/x-ndjson", batch.data, batch.bytes,
                                           &reply, NULL, &error);
        if (!status)
            status = show_lines(options, session, &reply, lines.first_line, &rejected, &error);
        if (status)
            break;
    }
    atoll_writer_free(&batch);
    atoll_client_lines_end(&lines);
    if (status)
        return report(status, &error);
    return rejected ? EXIT_FAILED : 0;
}

static int run_predict(const asked *options, atoll_client_session *session)
{
    if (options->count == 1 && strcmp(options->arguments[0], "-") == 0)
        return predict_lines(options, session);
    return predict_texts(options, session);
}

/* ---- looking and governing ---- */

/* Calls, and prints the reply as it is or with `show`. */
static int call_and_show(const asked *options, atoll_client_session *session, const char *method, const char *target,
                         const char *json, void (*show)(FILE *out, atoll_json reply))
{
    atoll_error error;
    atoll_client_reply raw;
    atoll_json reply;
    atoll_status status = atoll_client_session_call(session, method, target, json ? "application/json" : NULL, json,
                                                    json ? strlen(json) : 0, &raw, &reply, &error);
    if (status)
        return report(status, &error);
    if (options->json)
        printf("%.*s\n", (int)raw.bytes, raw.body);
    else
        show(stdout, reply);
    return 0;
}

static int run_experts(const asked *options, atoll_client_session *session)
{
    char target[128];
    snprintf(target, sizeof target, "/v1/models/%s/experts", session->model);
    return call_and_show(options, session, "GET", target, NULL, atoll_client_show_experts);
}

static int run_stats(const asked *options, atoll_client_session *session)
{
    char target[128];
    snprintf(target, sizeof target, "/v1/models/%s/stats", session->model);
    return call_and_show(options, session, "GET", target, NULL, atoll_client_show_members);
}

static bool show_model(void *arg, const char *name, atoll_json model)
{
    (void)name;
    FILE *out = arg;
    char size[ATOLL_CLIENT_SIZE_BYTES];
    fprintf(out, "  %-32s version %-8lld %s\n", atoll_client_string(model, "name", "?"),
            (long long)atoll_client_integer(model, "version", 0),
            atoll_client_size_text(atoll_client_number(model, "bytes", 0), size));
    return true;
}

static void show_models(FILE *out, atoll_json reply)
{
    atoll_json models;
    if (atoll_json_member(reply, "models", &models))
        atoll_json_each(models, show_model, out);
}

static int run_models(const asked *options, atoll_client_session *session)
{
    return call_and_show(options, session, "GET", "/v1/models", NULL, show_models);
}

static void show_plan(FILE *out, atoll_json reply)
{
    atoll_client_show_pruned(out, reply, true);
}

static void show_done(FILE *out, atoll_json reply)
{
    atoll_client_show_pruned(out, reply, false);
}

static int run_prune(const asked *options, atoll_client_session *session)
{
    char target[128];
    snprintf(target, sizeof target, "/v1/models/%s/prune", session->model);
    return call_and_show(options, session, "POST", target, options->dry_run ? "{\"dry_run\":true}" : "{}",
                         options->dry_run ? show_plan : show_done);
}

static int run_restore(const asked *options, atoll_client_session *session)
{
    const char *id = options->arguments[0];
    size_t digits = strspn(id, "0123456789");
    if (digits == 0 || digits > 10 || id[digits]) {
        fprintf(stderr, "atoll: '%s' is not the number of an expert\n", id);
        return EXIT_USAGE;
    }
    char target[160];
    snprintf(target, sizeof target, "/v1/models/%s/experts/%s/restore", session->model, id);
    return call_and_show(options, session, "POST", target, NULL, atoll_client_show_members);
}

static int run_demo(const asked *options, atoll_client_session *session)
{
    if (!options->stream) {
        fputs("atoll: demo needs --stream FILE\n", stderr);
        return EXIT_USAGE;
    }
    return atoll_demo_run(session, options->stream, stdout, stderr);
}

/* ---- the table of subcommands ---- */

static const subcommand commands[] = {
    {"ingest", "FILE|-", "send labelled records, one JSON object a line",
     "  --wait         wait for each batch until it is learned\n"
     "\n"
     "Lines go out in batches of 1,000. The exit status is 1 where lines were rejected; the first of them are named.\n",
     FLAG_WAIT, 1, 1, run_ingest},
    {"predict", "TEXT…|-", "ask for the label of texts, or of records on standard input",
     "  --json         print the server's answers as they are\n"
     "  --top N        labels in each answer, 1 to 256 (5)\n"
     "\n"
     "Each argument is one text. With - records are read from standard input, one JSON object a line.\n",
     FLAG_JSON | FLAG_TOP, 1, -1, run_predict},
    {"experts", "", "list the experts with the labels they hold",
     "  --json         print the server's answer as it is\n", FLAG_JSON, 0, 0, run_experts},
    {"stats", "", "show what the model has learned and how well",
     "  --json         print the server's answer as it is\n", FLAG_JSON, 0, 0, run_stats},
    {"models", "", "list the server's models", "  --json         print the server's answer as it is\n", FLAG_JSON, 0, 0,
     run_models},
    {"prune", "", "archive idle experts, and merge those of one domain, now",
     "  --dry-run      only tell which, and why\n"
     "  --json         print the server's answer as it is\n",
     FLAG_DRY_RUN | FLAG_JSON, 0, 0, run_prune},
    {"restore", "ID", "bring an archived expert back",
     "  --json         print the server's answer as it is\n", FLAG_JSON, 1, 1, run_restore},
    {"demo", "--stream FILE", "stream records with domains one after another, then examine the model",
     "  --stream FILE  records with text, label and domain, one JSON object a line\n", FLAG_STREAM, 0, 0, run_demo},
};

void atoll_client_list(FILE *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char call[64];
        snprintf(call, sizeof call, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  atoll %-22s %s\n", call, commands[i].summary);
    }
}

static void show_usage(FILE *out, const subcommand *command)
{
    fprintf(out,
            "usage: atoll %s %s%s[options]\n"
            "\n"
            "To %s.\n"
            "\n"
            "  --url URL      the server, http://HOST:PORT (the environment's ATOLL_URL, or http://127.0.0.1:8080)\n"
            "  --model NAME   the model (default)\n"
            "%s",
            command->name, command->arguments, *command->arguments ? " " : "", command->summary, command->more);
}

/* ---- arguments ---- */

/* Reads a flag's value, after '=' or from the next argument. */
static const char *flag_value(const char *name, char **argv, int argc, int *at)
{
    const char *given = argv[*at] + 2;
    size_t length = strlen(name);
    if (strncmp(given, name, length) != 0 || (given[length] && given[length] != '='))
        return NULL;
    if (given[length] == '=')
        return given + length + 1;
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static bool is_flag(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, "--", 2) == 0 && strncmp(argument + 2, name, length) == 0 &&
           (argument[2 + length] == 0 || argument[2 + length] == '=');
}

static bool take_flag(const subcommand *command, asked *options, char **argv, int argc, int *at)
{
    const char *argument = argv[*at], *top = NULL;
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
        return options->help = true;
    if (strcmp(argument, "--wait") == 0 && command->flags & FLAG_WAIT)
        return options->wait = true;
    if (strcmp(argument, "--json") == 0 && command->flags & FLAG_JSON)
        return options->json = true;
    if (strcmp(argument, "--dry-run") == 0 && command->flags & FLAG_DRY_RUN)
        return options->dry_run = true;
    if (is_flag(argument, "url"))
        return (options->url = flag_value("url", argv, argc, at)) != NULL;
    if (is_flag(argument, "model"))
        return (options->model = flag_value("model", argv, argc, at)) != NULL;
    if (is_flag(argument, "stream") && command->flags & FLAG_STREAM)
        return (options->stream = flag_value("stream", argv, argc, at)) != NULL;
    if (is_flag(argument, "top") && command->flags & FLAG_TOP && (top = flag_value("top", argv, argc, at))) {
        char *after;
        options->top = strtol(top, &after, 10);
        return *top && !*after && options->top >= 1 && options->top <= ATOLL_TOP_MAX;
    }
    return false;
}

/* Fills `options`; `arguments` has room for argc pointers. False where an argument cannot be used, which is told. */
static bool take_arguments(const subcommand *command, int argc, char **argv, asked *options)
{
    bool flags = true;
    for (int at = 1; at < argc; at++) {
        const char *argument = argv[at];
        if (flags && strcmp(argument, "--") == 0) {
            flags = false;
        } else if (flags && argument[0] == '-' && argument[1]) {
            if (!take_flag(command, options, argv, argc, &at)) {
                fprintf(stderr, "atoll: %s cannot use '%s'\n", command->name, argument);
                return false;
            }
        } else {
            options->arguments[options->count++] = argv[at];
        }
    }
    if (options->help)
        return true;
    if (options->count < command->least || (command->most >= 0 && options->count > command->most)) {
        fprintf(stderr, "atoll: %s takes %s\n", command->name,
                *command->arguments ? command->arguments : "no arguments");
        return false;
    }
    return true;
}

static int run(const subcommand *command, const asked *options)
{
    atoll_client_session session;
    atoll_error error;
    atoll_status status = atoll_client_session_open(options->url, options->model, TIMEOUT_MS, &session, &error);
    if (status) {
        report(status, &error);
        return EXIT_USAGE;
    }
    int result = command->run(options, &session);
    atoll_client_session_close(&session);
    if (fflush(stdout) != 0 && result == 0)
        result = EXIT_FAILED;
    return result;
}

int atoll_client_main(int argc, char **argv)
{
    const subcommand *command = NULL;
    for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[0], commands[i].name) == 0)
            command = &commands[i];
    }
    if (!command) {
        fprintf(stderr, "atoll: there is no command '%s'; `atoll help` lists them\n", argc > 0 ? argv[0] : "");
        return EXIT_USAGE;
    }
    const char *url = getenv("ATOLL_URL");
    asked options = {.url = url && *url ? url : "http://127.0.0.1:8080", .model = "default", .top = TOP_LABELS};
    options.arguments = malloc((size_t)argc * sizeof *options.arguments);
    if (!options.arguments)
        return EXIT_FAILED;
    int result = EXIT_USAGE;
    if (!take_arguments(command, argc, argv, &options)) {
        fprintf(stderr, "see: atoll %s --help\n", command->name);
    } else if (options.help) {
        show_usage(stdout, command);
        result = 0;
    } else {
        result = run(command, &options);
    }
    free(options.arguments);
    return result;
}
