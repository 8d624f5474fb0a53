/* A server in a folder of its own, a session on its model "m", and kills at random moments. Include cmocka first. */
#ifndef ATOLL_TESTS_SUPPORT_SERVICE_H
#define ATOLL_TESTS_SUPPORT_SERVICE_H

#include <pthread.h>

#include "api/client_session.h"
#include "core/rng.h"
#include "tests/support/server.h"

enum { SERVICE_TIMEOUT_MS = 600000 };

typedef struct service {
    char top[128], dir[160];
    server_process server;
    atoll_client_session session;
    atoll_rng rng;
} service;

/* Makes the folder; nothing runs yet. */
void service_make(service *s, uint64_t seed);
/* Kills what runs and removes the folder. */
void service_remove(service *s);

void service_start(service *s); /* fails the test where it cannot */
void service_kill(service *s);
void service_terminate(service *s); /* fails the test where it does not end well */

/* As atoll_client_session_model; fails the test where the call fails. */
void service_call(service *s, const char *method, const char *path, const char *body, atoll_json *reply);
atoll_json service_stats(service *s);

/* A thread that kills the server after a time that is drawn between `least_us` and `most_us`. */
typedef struct service_killer {
    pthread_t thread;
    pid_t pid;
    uint32_t delay_us;
} service_killer;

void service_send_killer(service *s, service_killer *k, uint32_t least_us, uint32_t most_us);
/* Waits for it and for the server's end. The session, if any, stays open. */
void service_bury(service *s, service_killer *k);

#endif
