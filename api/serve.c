/*
 * The end of a server: it goes unready first, so that balancers send no more; new requests get 503 while those under
 * way are answered; then the workers end, all models end, with a checkpoint where there is time, and tell whoever waits
 * for them that the server goes down; the sockets close last.
 */
#include "api/serve.h"

#include <pthread.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "api/scheduler.h"
#include "api/server.h"
#include "core/log.h"

static int refuse(FILE *errors, const char *doing, const atoll_error *error)
{
    atoll_log(ATOLL_LOG_ERROR, "start_refused", "code", ATOLL_TEXT(atoll_status_code(error->status)), "detail",
              ATOLL_TEXT(error->detail), NULL);
    fprintf(errors, "atoll: cannot %s: %s\n", doing, error->detail);
    return 1;
}

/* Each connection and each store takes files: as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        atoll_log(ATOLL_LOG_WARN, "file_limit_stays", NULL);
}

/* Serves until one of `ends` arrives. */
static int serve(const atoll_options *options, const sigset_t *ends, FILE *out)
{
    atoll_service service;
    atoll_server *server = NULL;
    atoll_scheduler *scheduler = NULL;
    atoll_error error = {0};
    int signal_number = 0, result = 1;
    if (atoll_service_open(&service, options, &error))
        return refuse(stderr, "open the data folder", &error);
    scheduler = atoll_scheduler_new(service.registry);
    if (!scheduler || atoll_scheduler_start(scheduler, &error)) {
        refuse(stderr, "start the scheduler", &error);
        goto close;
    }
    if (atoll_server_start(&service, &server, &error)) {
        refuse(stderr, "serve", &error);
        goto close;
    }
    atoll_service_begin(&service);
    atoll_log(ATOLL_LOG_INFO, "listening", "address", ATOLL_TEXT(atoll_server_address(server)), "models",
              ATOLL_UINT(atoll_registry_count(service.registry)), "workers",
              ATOLL_UINT(atoll_pool_threads(service.pool)), NULL);
    fprintf(out, "listening on http://%s\n", atoll_server_address(server));
    fflush(out);
    sigwait(ends, &signal_number);
    atomic_store(&service.phase, ATOLL_PHASE_DRAINING);
    atoll_log(ATOLL_LOG_INFO, "draining", "signal", ATOLL_TEXT(strsignal(signal_number)), NULL);
    if (!atoll_server_drain(server, (int64_t)options->drain_ms))
        atoll_log(ATOLL_LOG_WARN, "drain_incomplete", "requests", ATOLL_UINT(atomic_load(&service.busy)), NULL);
    result = 0;
close:
    atoll_scheduler_free(scheduler);
    atoll_service_close(&service);
    atoll_server_stop(server);
    atoll_service_free(&service);
    atoll_log(ATOLL_LOG_INFO, "stopped", NULL);
    return result;
}

/*
 * What is free at the end of an arena of the heap is given back when it is more than a commit's buffers; malloc_trim,
 * which models call when they rest, does not reach there. Left to itself glibc keeps as much as twice the largest block
 * ever freed. With 512 MB instead of 1, a model of 12,000 package descriptions held 1.057 of what it counted instead of
 * 1.041, and learned in the same time.
 */
static void keep_heap(void)
{
    enum { KEEP_BYTES = 1 << 20 };
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

int atoll_serve_main(int argc, char **argv, FILE *out)
{
    atoll_options options;
    atoll_error error = {0};
    atoll_log_level level;
    sigset_t ends;
    if (atoll_options_read(&options, argc, argv, &error)) {
        refuse(stderr, "read the arguments", &error);
        return 2;
    }
    if (!atoll_options_log_level(options.log_level, &level, &error))
        atoll_log_set_level(level);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk, not an end */
    keep_heap();
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before there is a second thread: all inherit it */
    raise_file_limit();
    atoll_log(ATOLL_LOG_INFO, "starting", "data_dir", ATOLL_TEXT(options.data_dir), NULL);
    return serve(&options, &ends, out);
}

static void print_line(void *arg, const char *text)
{
    fprintf(arg, "%s\n", text);
}

void atoll_serve_help(FILE *out)
{
    fputs("usage: atoll serve [--FLAG VALUE …]\n\n", out);
    atoll_options_help(print_line, out);
}
