/*
 * The demonstration: a labelled stream whose domains arrive one after another is sent to a model that is never told of
 * the domains; then the model is examined on records that were held back. Every number shown is measured in this run.
 */
#ifndef ATOLL_API_DEMO_H
#define ATOLL_API_DEMO_H

#include <stdio.h>

#include "api/client_session.h"

/*
 * Shows it on `out`. `stream` is a file of NDJSON records with `text`, `label`, `domain` and perhaps `id`; every 20th
 * record of each domain is held back. Returns the exit status; what went wrong is told on `err`.
 */
int atoll_demo_run(atoll_client_session *session, const char *stream, FILE *out, FILE *err);

#endif
