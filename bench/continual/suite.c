#include "bench/continual/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/continual/case.h"
#include "bench/continual/report.h"
#include "core/clock.h"
#include "core/kernels.h"
#include "core/log.h"

static const char usage[] =
    "usage: ./run bench %s [quick] [--case NAME]... [--variant NAME]... [--orders N] [--first N] [--memory N]\n"
    "           [--limit N] [--stale N] [--config JSON] [--data DIR] [--out FILE] [--against FILE]\n"
    "           [--list]\n"
    "  quick            one order of the cases that are quickly learned, cut short: under two minutes\n"
    "  --case NAME      only this case, with all variants; may be repeated\n"
    "  --variant NAME   only this variant; may be repeated\n"
    "  --orders N       orders, each with a seed of its own (5)\n"
    "  --first N        seed of the first order (1)\n"
    "  --memory N       exemplars, instead of the case's own\n"
    "  --limit N        records learned of a domain (of a whole stream that has none), at most\n"
    "  --stale N        freezes the gate N records into the first phase of the second half until that phase ends,\n"
    "                   and tells how records of all domains, and of the new one, are routed then\n"
    "  --config JSON    settings over every variant's own\n"
    "  --data DIR       where clinc150/ and fashion_mnist/ are (../shared/data)\n"
    "  --out FILE       results as JSON (%s)\n"
    "  --against FILE   such results of before: says what has changed\n"
    "  --list           cases and variants\n";

enum { VARIANTS_MAX = 16, ROWS_MAX = 256, CHOSEN_MAX = 32 };

typedef struct options {
    const suite *suite;
    bool quick;
    const char *cases[CHOSEN_MAX], *variants[CHOSEN_MAX];
    uint32_t case_count, variant_count;
    uint32_t orders, first, memory, limit, stale;
    const char *config, *data, *out, *against;
} options;

static bool number(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (uint32_t)value;
    return *text && !*end && value >= least && value <= most;
}

static void list(const suite *s)
{
    puts("cases:");
    for (uint32_t i = 0; i < bench_case_count; i++)
        printf("  %-20s %6u exemplars%s%s: %s\n", bench_cases[i].name, bench_cases[i].memory,
               bench_cases[i].ablated ? ", all variants" : "", bench_cases[i].quick ? ", quick" : "",
               bench_cases[i].about);
    puts("variants:");
    for (uint32_t i = 0; i < s->variant_count; i++)
        printf("  %-20s %s\n", s->variants[i].name, s->variants[i].about);
}

/* Takes one option with its value; false where it is none. */
static bool take(options *o, const char *name, const char *value)
{
    if (!strcmp(name, "--case") && o->case_count < CHOSEN_MAX)
        return (o->cases[o->case_count++] = value) != NULL;
    if (!strcmp(name, "--variant") && o->variant_count < CHOSEN_MAX)
        return (o->variants[o->variant_count++] = value) != NULL;
    if (!strcmp(name, "--orders"))
        return number(value, 1, REPORT_ORDERS_MAX, &o->orders);
    if (!strcmp(name, "--first"))
        return number(value, 0, 1u << 30, &o->first);
    if (!strcmp(name, "--memory"))
        return number(value, 16, 1u << 24, &o->memory);
    if (!strcmp(name, "--limit"))
        return number(value, 1, 1u << 30, &o->limit);
    if (!strcmp(name, "--stale"))
        return number(value, 1, 1u << 30, &o->stale);
    static const char *const names[] = {"--config", "--data", "--out", "--against"};
    const char **const texts[] = {&o->config, &o->data, &o->out, &o->against};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return (*texts[i] = value) != NULL;
    return false;
}

static bool is_chosen(const char *const *chosen, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(chosen[i], name))
            return true;
    return false;
}

static uint32_t own_cases(const suite *s)
{
    uint32_t count = 0;
    while (s->cases && s->cases[count])
        count++;
    return count;
}

static bool runs_case(const options *o, const bench_case *c)
{
    uint32_t own = own_cases(o->suite);
    for (const bench_case *earlier = bench_cases; (o->memory || own) && earlier < c; earlier++)
        if (!strcmp(earlier->name, c->name))
            return false; /* a case with another memory is the same with the memory that was asked for */
    if (o->case_count)
        return is_chosen(o->cases, o->case_count, c->name);
    return own ? is_chosen(o->suite->cases, own, c->name) : !o->quick || c->quick;
}

static bool runs_variant(const options *o, const bench_case *c, const suite_variant *v)
{
    if (o->variant_count)
        return is_chosen(o->variants, o->variant_count, v->name);
    return v == o->suite->variants || c->ablated || o->case_count || o->suite->cases;
}

/* ---- running ---- */

static atoll_status configure(const options *o, const bench_case *c, const suite_variant *v, const run_sizes *sizes,
                              atoll_config *config, atoll_error *error)
{
    char json[256];
    snprintf(json, sizeof json, v->config, v->size == SUITE_TOTAL ? sizes->total_hidden : sizes->active_hidden);
    atoll_config_defaults(config);
    config->memory_exemplars = o->memory ? o->memory : c->memory;
    config->prune_schedule[0] = '\0';
    atoll_status status = atoll_config_merge(config, json, strlen(json), error);
    return status ? status : atoll_config_merge(config, o->config, strlen(o->config), error);
}

/* All variants on one order; the mixture is run first even if unasked, where a size has to be known. */
static bool run_order(const options *o, const bench_case *c, const corpus *from, uint32_t order, report_row **row)
{
    stream s;
    atoll_error error = {0};
    run_sizes sizes = {0};
    uint32_t limit = o->limit ? o->limit : o->quick ? c->quick_limit : 0;
    bool good = c->order(from, o->first + order, limit, &s), sized = false;
    for (uint32_t i = 0; i < o->suite->variant_count && good; i++) {
        const suite_variant *v = &o->suite->variants[i];
        if (!row[i])
            continue;
        measures unasked;
        run_request request = {.stream = &s, .batch = c->batch, .stale = o->stale, .hinted = v->hinted};
        if (v->size != SUITE_NO_SIZE && !sized)
            good = configure(o, c, o->suite->variants, &sizes, &request.config, &error) == ATOLL_OK &&
                   run_measure(&request, &unasked, &sizes, &error) == ATOLL_OK;
        sized |= v->size != SUITE_NO_SIZE || i == 0;
        request.timed = o->suite->timed;
        request.stand_in = v->stand_in;
        int64_t start = atoll_clock_monotonic_ns();
        good = good && configure(o, c, v, &sizes, &request.config, &error) == ATOLL_OK &&
               run_measure(&request, &row[i]->order[order], i == 0 ? &sizes : NULL, &error) == ATOLL_OK;
        if (good) {
            row[i]->orders = order + 1;
            fprintf(stderr, "%s, order %u, %s: ACC %.4f, %.1f s\n", c->name, o->first + order, v->name,
                    row[i]->order[order].at[MEASURE_ACC], (double)(atoll_clock_monotonic_ns() - start) * 1e-9);
        } else {
            fprintf(stderr, "bench: %s, %s: %s\n", c->name, v->name, error.detail);
        }
    }
    stream_free(&s);
    return good;
}

/* Adds the case's rows; false where it was to run and failed. */
static bool run_case(const options *o, const bench_case *c, report_row *rows, uint32_t *count)
{
    const char *reason;
    report_row *row[VARIANTS_MAX] = {0};
    uint32_t first = *count;
    const corpus *from = bench_case_corpus(c, o->data, &reason);
    if (!from) {
        printf("%s, %u exemplars: not run, %s\n\n", c->name, c->memory, reason);
        return true;
    }
    for (uint32_t i = 0; i < o->suite->variant_count && i < VARIANTS_MAX; i++)
        if (*count < ROWS_MAX && runs_variant(o, c, &o->suite->variants[i])) {
            row[i] = &rows[(*count)++];
            *row[i] = (report_row){.of_case = c->name, .variant = o->suite->variants[i].name,
                                   .memory = o->memory ? o->memory : c->memory};
        }
    for (uint32_t order = 0; order < o->orders; order++)
        if (!run_order(o, c, from, order, row))
            return false;
    if (*count > first)
        report_print(stdout, rows + first, *count - first);
    return true;
}

int suite_main(const suite *s, int argc, char **argv)
{
    options o = {.suite = s, .first = 1, .config = "{}", .data = "../shared/data", .out = s->out};
    int at = 1;
    if (at < argc && !strcmp(argv[at], "quick")) {
        o.quick = true;
        at++;
    }
    for (; at < argc; at += 2) {
        if (!strcmp(argv[at], "--list"))
            return list(s), 0;
        if (at + 1 == argc || !take(&o, argv[at], argv[at + 1]))
            return fprintf(stderr, usage, s->name, s->out), 2;
    }
    if (!o.orders)
        o.orders = o.quick ? 1 : 5;
    atoll_error error = {0};
    report_row *rows = calloc(ROWS_MAX, sizeof *rows);
    uint32_t count = 0;
    bool good = rows && atoll_kernels_init(&error) == ATOLL_OK;
    atoll_log_set_level(ATOLL_LOG_ERROR);
    for (uint32_t i = 0; i < bench_case_count && good; i++)
        if (runs_case(&o, &bench_cases[i]))
            good = run_case(&o, &bench_cases[i], rows, &count);
    if (good && o.against && !report_compare(stdout, o.against, rows, count))
        fprintf(stderr, "bench: cannot read %s\n", o.against);
    if (count && !report_write(o.out, o.quick ? "quick" : "full", rows, count))
        fprintf(stderr, "bench: cannot write %s\n", o.out);
    bench_corpora_free();
    free(rows);
    return good ? 0 : 1;
}
