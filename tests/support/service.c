#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/service.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void service_make(service *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    assert_true(folder_make(s->top));
    snprintf(s->dir, sizeof s->dir, "%s/data", s->top);
    atoll_rng_seed(&s->rng, seed, 0);
}

void service_remove(service *s)
{
    server_kill(&s->server);
    folder_remove(s->top);
}

void service_start(service *s)
{
    assert_true(server_spawn(&s->server, s->dir, NULL));
    assert_true(server_await(&s->server));
    assert_int_equal(atoll_client_session_open(s->server.url, "m", SERVICE_TIMEOUT_MS, &s->session, NULL), ATOLL_OK);
}

void service_kill(service *s)
{
    atoll_client_session_close(&s->session);
    server_kill(&s->server);
}

void service_terminate(service *s)
{
    atoll_client_session_close(&s->session);
    assert_int_equal(server_terminate(&s->server), 0);
}

void service_call(service *s, const char *method, const char *path, const char *body, atoll_json *reply)
{
    atoll_error error = {0};
    atoll_status status = atoll_client_session_model(&s->session, method, path, body, reply, &error);
    if (status)
        print_error("%s %s: %s\n", method, path, error.detail);
    assert_int_equal(status, ATOLL_OK);
}

atoll_json service_stats(service *s)
{
    atoll_json stats;
    service_call(s, "GET", "/stats", NULL, &stats);
    return stats;
}

/* ---- killing ---- */

static void *kill_later(void *arg)
{
    const service_killer *k = arg;
    struct timespec delay = {.tv_sec = k->delay_us / 1000000, .tv_nsec = (long)(k->delay_us % 1000000) * 1000};
    nanosleep(&delay, NULL);
    kill(k->pid, SIGKILL);
    return NULL;
}

void service_send_killer(service *s, service_killer *k, uint32_t least_us, uint32_t most_us)
{
    *k = (service_killer){.pid = s->server.pid, .delay_us = least_us + atoll_rng_below(&s->rng, most_us - least_us)};
    assert_int_equal(pthread_create(&k->thread, NULL, kill_later, k), 0);
}

void service_bury(service *s, service_killer *k)
{
    pthread_join(k->thread, NULL); /* before the wait, so that the process number is still this server's */
    server_kill(&s->server);
}
