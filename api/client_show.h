/*
 * How the client prints what the server answers, for people. Whatever came from outside is printed without control
 * characters, so that no text can command a terminal.
 */
#ifndef ATOLL_API_CLIENT_SHOW_H
#define ATOLL_API_CLIENT_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/json.h"

/* UTF-8 text on one line, cut to `columns` characters with a final "…". Returns the characters printed. */
size_t atoll_client_show_text(FILE *out, const char *text, size_t columns);

/* A prediction as the API gives it: the answer on the first line, its evidence indented below. */
void atoll_client_show_prediction(FILE *out, atoll_json prediction);

/* The reply of GET …/experts as a table. */
void atoll_client_show_experts(FILE *out, atoll_json reply);

/* The reply of POST …/prune. */
void atoll_client_show_pruned(FILE *out, atoll_json reply, bool dry_run);

/* Every value of an object on a line of its own, members of inner objects as "outer.inner"; arrays by their length. */
void atoll_client_show_members(FILE *out, atoll_json object);

enum { ATOLL_CLIENT_SIZE_BYTES = 24 };

/* "17 B", "3.4 KiB", "120.0 MiB"; returns `text`. */
const char *atoll_client_size_text(double bytes, char text[ATOLL_CLIENT_SIZE_BYTES]);
/* "63,214"; returns `text`. */
const char *atoll_client_count_text(int64_t count, char text[ATOLL_CLIENT_SIZE_BYTES]);

#endif
