#include "bench/continual/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/writer.h"

/* Mean and standard deviation over the orders that have the value; how many they are. */
static uint32_t spread(const report_row *row, int measure, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < row->orders; i++) {
        double x = row->order[i].at[measure];
        if (isnan(x))
            continue;
        sum += x;
        count++;
    }
    *mean = count ? sum / count : NAN;
    for (uint32_t i = 0; i < row->orders; i++)
        if (!isnan(row->order[i].at[measure]))
            squares += pow(row->order[i].at[measure] - *mean, 2);
    *deviation = count > 1 ? sqrt(squares / (count - 1)) : 0;
    return count;
}

static bool any(const report_row *rows, uint32_t count, int measure)
{
    double mean, deviation;
    for (uint32_t i = 0; i < count; i++)
        if (spread(&rows[i], measure, &mean, &deviation))
            return true;
    return false;
}

static void print_table(FILE *out, const report_row *rows, uint32_t count, const int *column, int columns)
{
    enum { FIRST = 22, WIDTH = 15 };
    fprintf(out, "%-*s", FIRST, "");
    for (int c = 0; c < columns; c++)
        fprintf(out, "%*s", WIDTH, measure_kinds[column[c]].name);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "\n%-*s", FIRST, rows[i].variant);
        for (int c = 0; c < columns; c++) {
            char cell[64] = "-";
            double mean, deviation;
            int decimals = measure_kinds[column[c]].decimals;
            uint32_t have = spread(&rows[i], column[c], &mean, &deviation);
            if (have > 1)
                snprintf(cell, sizeof cell, "%.*f %.*f", decimals, mean, decimals, deviation);
            else if (have)
                snprintf(cell, sizeof cell, "%.*f", decimals, mean);
            fprintf(out, "%*s", WIDTH, cell);
        }
    }
    fputs("\n\n", out);
}

void report_print(FILE *out, const report_row *rows, uint32_t count)
{
    enum { COLUMNS = 8 };
    int column[COLUMNS], columns = 0;
    fprintf(out, "%s, %u exemplars, %u order%s: mean%s\n\n", rows->of_case, rows->memory, rows->orders,
            rows->orders > 1 ? "s" : "", rows->orders > 1 ? " and standard deviation" : "");
    for (int m = 0; m < MEASURE_COUNT; m++) {
        /* A table of accuracy, one of cost and size, one of routing, one of what each voice would be alone. */
        bool next = m == MEASURE_BYTES || m == MEASURE_PURITY || m == MEASURE_OUTSIDE_RECALL;
        if (columns && (columns == COLUMNS || next)) {
            print_table(out, rows, count, column, columns);
            columns = 0;
        }
        if (any(rows, count, m))
            column[columns++] = m;
    }
    if (columns)
        print_table(out, rows, count, column, columns);
    fflush(out);
}

bool report_write(const char *path, const char *mode, const report_row *rows, uint32_t count)
{
    atoll_writer w;
    atoll_writer_init(&w);
    atoll_json_object_begin(&w);
    atoll_json_name(&w, "mode");
    atoll_json_put_text(&w, mode);
    atoll_json_name(&w, "rows");
    atoll_json_array_begin(&w);
    for (uint32_t i = 0; i < count; i++) {
        atoll_json_object_begin(&w);
        atoll_writer_text(&w, "\n");
        atoll_json_name(&w, "case");
        atoll_json_put_text(&w, rows[i].of_case);
        atoll_json_name(&w, "memory");
        atoll_json_put_uint(&w, rows[i].memory);
        atoll_json_name(&w, "variant");
        atoll_json_put_text(&w, rows[i].variant);
        atoll_json_name(&w, "orders");
        atoll_json_put_uint(&w, rows[i].orders);
        for (int m = 0; m < MEASURE_COUNT; m++) {
            double mean, deviation;
            if (!spread(&rows[i], m, &mean, &deviation))
                continue;
            atoll_json_name(&w, measure_kinds[m].json);
            atoll_json_array_begin(&w);
            atoll_json_put_double(&w, mean);
            atoll_json_put_double(&w, deviation);
            atoll_json_array_end(&w);
        }
        atoll_json_object_end(&w);
    }
    atoll_json_array_end(&w);
    atoll_json_object_end(&w);
    atoll_writer_text(&w, "\n");
    FILE *out = w.failed ? NULL : fopen(path, "w");
    bool good = out && fwrite(w.data, 1, w.bytes, out) == w.bytes;
    if (out)
        good &= fclose(out) == 0;
    atoll_writer_free(&w);
    return good;
}

/* ---- comparing ---- */

typedef struct comparison {
    FILE *out;
    const report_row *rows;
    uint32_t count, found;
} comparison;

static bool is_text(atoll_json object, const char *name, const char *expected)
{
    atoll_json value;
    const char *text;
    size_t bytes;
    return atoll_json_member(object, name, &value) && atoll_json_string(value, &text, &bytes) &&
           strcmp(text, expected) == 0;
}

static bool first_number(void *arg, const char *name, atoll_json value)
{
    (void)name;
    atoll_json_double(value, arg);
    return false;
}

static bool compare_row(void *arg, const char *unused, atoll_json was)
{
    comparison *c = arg;
    atoll_json value;
    int64_t memory;
    (void)unused;
    for (uint32_t i = 0; i < c->count; i++) {
        const report_row *row = &c->rows[i];
        if (!is_text(was, "case", row->of_case) || !is_text(was, "variant", row->variant) ||
            !atoll_json_member(was, "memory", &value) || !atoll_json_int64(value, &memory) || memory != row->memory)
            continue;
        c->found++;
        fprintf(c->out, "%s, %u exemplars, %s:", row->of_case, row->memory, row->variant);
        for (int m = 0; m < MEASURE_COUNT; m++) {
            double before = NAN, now, deviation, least = 0.5 * pow(10, -measure_kinds[m].decimals);
            if (!spread(row, m, &now, &deviation) || !atoll_json_member(was, measure_kinds[m].json, &value))
                continue;
            atoll_json_each(value, first_number, &before);
            if (fabs(now - before) >= least)
                fprintf(c->out, "  %s %.*f %+.*f", measure_kinds[m].name, measure_kinds[m].decimals, now,
                        measure_kinds[m].decimals, now - before);
        }
        fputc('\n', c->out);
    }
    return true;
}

bool report_compare(FILE *out, const char *path, const report_row *rows, uint32_t count)
{
    enum { MOST = 16 << 20 };
    FILE *in = fopen(path, "r");
    char *text = calloc(1, MOST + ATOLL_JSON_PADDING);
    size_t bytes = in && text ? fread(text, 1, MOST, in) : 0;
    atoll_json_parser *parser = atoll_json_parser_new();
    comparison c = {out, rows, count, 0};
    atoll_json root, list;
    bool good = parser && bytes && atoll_json_parse(parser, text, bytes, &root, NULL) == ATOLL_OK &&
                atoll_json_member(root, "rows", &list);
    if (good) {
        fprintf(out, "since %s (mean, and by how much it has changed):\n", path);
        atoll_json_each(list, compare_row, &c);
        if (c.found == 0)
            fputs("nothing to compare\n", out);
    }
    if (in)
        fclose(in);
    atoll_json_parser_free(parser);
    free(text);
    return good;
}
