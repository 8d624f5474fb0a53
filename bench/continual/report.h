/* Results gathered over orders: tables, a file of them, and what has changed since another such file. */
#ifndef ATOLL_BENCH_CONTINUAL_REPORT_H
#define ATOLL_BENCH_CONTINUAL_REPORT_H

#include <stdio.h>

#include "bench/continual/measure.h"

enum { REPORT_ORDERS_MAX = 64 };

/* One variant on one case, over orders. */
typedef struct report_row {
    const char *of_case, *variant;
    uint32_t memory, orders;
    measures order[REPORT_ORDERS_MAX];
} report_row;

/* Tables of the rows, which are of one case. */
void report_print(FILE *out, const report_row *rows, uint32_t count);

/* The `mode` and all rows as JSON, a line for each; false where it cannot be written. */
bool report_write(const char *path, const char *mode, const report_row *rows, uint32_t count);

/* Prints each mean that is not as in the file; false where that cannot be read. */
bool report_compare(FILE *out, const char *path, const report_row *rows, uint32_t count);

#endif
