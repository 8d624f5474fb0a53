#include "api/client_show.h"

#include <inttypes.h>
#include <string.h>

#include "api/client_session.h"

enum {
    LABEL_COLUMNS = 48,
    ID_COLUMNS = 32,
    OTHER_LABELS = 3,     /* shown behind the answer */
    SHOWN_EXPERTS = 4,
    SHOWN_NEIGHBOURS = 5,
    EXPERT_LABELS_COLUMNS = 60,
    NAME_MAX_BYTES = 128
};

size_t atoll_client_show_text(FILE *out, const char *text, size_t columns)
{
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = 1;
        while ((at[length] & 0xc0) == 0x80)
            length++;
        if (used + 1 == columns && at[length]) {
            fputs("…", out);
            return columns;
        }
        /* C0, delete, and C1, which in UTF-8 is 0xc2 0x80 to 0xc2 0x9f */
        bool control = *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0);
        if (control)
            fputc(' ', out);
        else
            fwrite(at, 1, length, out);
        at += length;
        used++;
    }
    return used;
}

const char *atoll_client_size_text(double bytes, char text[ATOLL_CLIENT_SIZE_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, ATOLL_CLIENT_SIZE_BYTES, "%.*f %s", unit ? 1 : 0, bytes, units[unit]);
    return text;
}

const char *atoll_client_count_text(int64_t count, char text[ATOLL_CLIENT_SIZE_BYTES])
{
    char plain[ATOLL_CLIENT_SIZE_BYTES];
    size_t digits = (size_t)snprintf(plain, sizeof plain, "%" PRIu64, (uint64_t)(count < 0 ? 0 : count));
    if (digits > 15)
        return memcpy(text, plain, sizeof plain);
    char *to = text;
    for (size_t i = 0; i < digits; i++) {
        if (i && (digits - i) % 3 == 0)
            *to++ = ',';
        *to++ = plain[i];
    }
    *to = 0;
    return text;
}

/* ---- a prediction ---- */

typedef struct listing {
    FILE *out;
    unsigned shown, skip, most;
} listing;

static bool next_item(listing *list)
{
    if (list->skip) {
        list->skip--;
        return false;
    }
    if (list->shown++)
        fputs(", ", list->out);
    return true;
}

static bool show_label(void *arg, const char *name, atoll_json value)
{
    (void)name;
    listing *list = arg;
    if (next_item(list)) {
        atoll_client_show_text(list->out, atoll_client_string(value, "label", "?"), LABEL_COLUMNS);
        fprintf(list->out, " %.2f", atoll_client_number(value, "score", 0));
    }
    return list->shown < list->most;
}

static bool show_used_expert(void *arg, const char *name, atoll_json value)
{
    (void)name;
    listing *list = arg;
    if (next_item(list)) {
        int64_t id = atoll_client_integer(value, "id", -1);
        if (id == 0)
            fputs("shared", list->out);
        else
            fprintf(list->out, "#%" PRId64, id);
        fprintf(list->out, " (version %" PRId64 ") %.2f", atoll_client_integer(value, "version", 0),
                atoll_client_number(value, "weight", 0));
    }
    return list->shown < list->most;
}

static bool show_neighbour(void *arg, const char *name, atoll_json value)
{
    (void)name;
    listing *list = arg;
    if (next_item(list)) {
        const char *id = atoll_client_string(value, "id", "");
        if (*id) {
            atoll_client_show_text(list->out, id, ID_COLUMNS);
            fputs(" = ", list->out);
        }
        atoll_client_show_text(list->out, atoll_client_string(value, "label", "?"), LABEL_COLUMNS);
        fprintf(list->out, " %.2f", atoll_client_number(value, "similarity", 0));
    }
    return list->shown < list->most;
}

static bool count_element(void *arg, const char *name, atoll_json value)
{
    (void)name;
    (void)value;
    ++*(size_t *)arg;
    return true;
}

static bool has_elements(atoll_json object, const char *name, atoll_json *array, size_t more_than)
{
    size_t count = 0;
    return atoll_json_member(object, name, array) && atoll_json_kind_of(*array) == ATOLL_JSON_ARRAY &&
           atoll_json_each(*array, count_element, &count) && count > more_than;
}

static void show_list(FILE *out, const char *title, atoll_json array, unsigned skip, unsigned most,
                      atoll_json_visit visit)
{
    listing list = {.out = out, .skip = skip, .most = most};
    fprintf(out, "    %-11s", title);
    atoll_json_each(array, visit, &list);
    fputc('\n', out);
}

void atoll_client_show_prediction(FILE *out, atoll_json prediction)
{
    atoll_json array;
    const char *id = atoll_client_string(prediction, "id", "");
    const char *label = atoll_client_string(prediction, "label", NULL);
    if (*id) {
        atoll_client_show_text(out, id, ID_COLUMNS);
        fputs(": ", out);
    }
    if (label)
        atoll_client_show_text(out, label, LABEL_COLUMNS);
    else
        fputs("(no label known yet)", out);
    fprintf(out, "  score %.2f  novelty %.2f%s\n", atoll_client_number(prediction, "score", 0),
            atoll_client_number(prediction, "novelty", 0),
            atoll_client_flag(prediction, "abstain", false) ? "  (abstains: not to be believed)" : "");
    if (has_elements(prediction, "labels", &array, 1))
        show_list(out, "then", array, 1, OTHER_LABELS, show_label);
    if (has_elements(prediction, "experts", &array, 0))
        show_list(out, "experts", array, 0, SHOWN_EXPERTS, show_used_expert);
    if (has_elements(prediction, "neighbours", &array, 0))
        show_list(out, "neighbours", array, 0, SHOWN_NEIGHBOURS, show_neighbour);
}

/* ---- experts ---- */

static bool show_expert_label(void *arg, const char *name, atoll_json value)
{
    (void)name;
    listing *list = arg;
    const char *label;
    size_t bytes;
    if (!atoll_json_string(value, &label, &bytes))
        return true;
    if (list->shown && list->shown + bytes + 2 > list->most) {
        fputs(", …", list->out);
        return false;
    }
    fputs(list->shown ? ", " : "", list->out);
    atoll_client_show_text(list->out, label, LABEL_COLUMNS);
    list->shown += (unsigned)bytes + 2;
    return true;
}

static bool show_expert(void *arg, const char *name, atoll_json expert)
{
    (void)name;
    FILE *out = arg;
    atoll_json labels;
    size_t known = 0;
    char records[ATOLL_CLIENT_SIZE_BYTES], bytes[ATOLL_CLIENT_SIZE_BYTES];
    if (has_elements(expert, "labels", &labels, 0))
        atoll_json_each(labels, count_element, &known);
    int64_t all = atoll_client_integer(expert, "label_count", (int64_t)known); /* only the first may be named */
    fprintf(out, "  %4" PRId64 "  %-9.9s %8" PRId64 " %10s %6.1f %% %7.3f %10s %6" PRId64 "  ",
            atoll_client_integer(expert, "id", -1), atoll_client_string(expert, "state", "?"),
            atoll_client_integer(expert, "version", 0),
            atoll_client_count_text(atoll_client_integer(expert, "records", 0), records),
            100 * atoll_client_number(expert, "share", 0), atoll_client_number(expert, "loss", 0),
            atoll_client_size_text(atoll_client_number(expert, "bytes", 0), bytes), all);
    if (known) {
        listing list = {.out = out, .most = EXPERT_LABELS_COLUMNS};
        atoll_json_each(labels, show_expert_label, &list);
    }
    fputc('\n', out);
    return true;
}

void atoll_client_show_experts(FILE *out, atoll_json reply)
{
    atoll_json experts;
    if (!has_elements(reply, "experts", &experts, 0)) {
        fputs("  no experts yet\n", out);
        return;
    }
    fprintf(out, "  %4s  %-9s %8s %10s %8s %7s %10s %6s\n", "id", "state", "version", "records", "share", "loss",
            "size", "labels");
    atoll_json_each(experts, show_expert, out);
}

static bool show_pruned_expert(void *arg, const char *name, atoll_json expert)
{
    (void)name;
    FILE *out = arg;
    fprintf(out, "  #%" PRId64 ": ", atoll_client_integer(expert, "id", -1));
    atoll_client_show_text(out, atoll_client_string(expert, "reason", "no reason given"), 100);
    fputc('\n', out);
    return true;
}

void atoll_client_show_pruned(FILE *out, atoll_json reply, bool dry_run)
{
    atoll_json pruned;
    if (!has_elements(reply, "pruned", &pruned, 0)) {
        fputs(dry_run ? "no expert would be archived\n" : "no expert was archived\n", out);
        return;
    }
    fputs(dry_run ? "would be archived:\n" : "archived or merged:\n", out);
    atoll_json_each(pruned, show_pruned_expert, out);
}

/* ---- anything ---- */

typedef struct path {
    FILE *out;
    char text[NAME_MAX_BYTES];
    size_t bytes;
} path;

static void show_value(FILE *out, atoll_json value)
{
    int64_t whole;
    double number;
    bool flag;
    const char *text;
    size_t bytes, count = 0;
    if (atoll_json_int64(value, &whole))
        fprintf(out, "%" PRId64, whole);
    else if (atoll_json_double(value, &number))
        fprintf(out, "%.6g", number);
    else if (atoll_json_bool(value, &flag))
        fputs(flag ? "true" : "false", out);
    else if (atoll_json_string(value, &text, &bytes))
        atoll_client_show_text(out, text, 200);
    else if (atoll_json_kind_of(value) == ATOLL_JSON_ARRAY && atoll_json_each(value, count_element, &count))
        fprintf(out, "[%zu]", count);
    else
        fputs("-", out);
}

static bool show_member(void *arg, const char *name, atoll_json value)
{
    path *outer = arg;
    path here = *outer;
    int room = (int)(sizeof here.text - here.bytes);
    int wrote = snprintf(here.text + here.bytes, (size_t)room, "%s%s", here.bytes ? "." : "", name ? name : "");
    here.bytes += (size_t)(wrote < room ? wrote : room - 1);
    if (atoll_json_kind_of(value) == ATOLL_JSON_OBJECT) {
        atoll_json_each(value, show_member, &here);
        return true;
    }
    fputs("  ", here.out);
    atoll_client_show_text(here.out, here.text, NAME_MAX_BYTES);
    fprintf(here.out, "%*s", here.bytes < 28 ? (int)(28 - here.bytes) : 1, "");
    show_value(here.out, value);
    fputc('\n', here.out);
    return true;
}

void atoll_client_show_members(FILE *out, atoll_json object)
{
    path top = {.out = out};
    atoll_json_each(object, show_member, &top);
}
