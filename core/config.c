#include "core/config.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cron.h"
#include "core/json.h"
#include "core/text.h"
#include "core/writer.h"

typedef enum kind { U32, U64, REAL, WORD, DURATION, CRON, TEXT } kind;

static const char *const kind_names[] = {"integer", "integer", "number", "word", "duration", "cron", "text"};

enum { WORDS = 4 }; /* most that a setting may choose from */

/*
 * A row of the table. A number lies in least..most, a duration too, in milliseconds. A word is stored as its
 * place among the row's words.
 */
typedef struct spec {
    const char *path, *standard, *range, *about;
    kind kind;
    bool fixed;
    size_t offset; /* in atoll_config */
    double least, most;
    uint32_t multiple;  /* the number is one of; 0: any */
    bool power_of_two;
    const char *words[WORDS];
    size_t room;                     /* of a text, with its zero */
    bool (*allows)(const char *text); /* a text that is not empty; NULL: any */
} spec;

/*
 * An http or https address of printable ASCII, with a host. No name or password in it: settings are shown to whoever
 * may look at the model.
 */
static bool is_url(const char *text)
{
    size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
    if (!scheme || strcspn(text + scheme, "/?#") == 0 || text[scheme] == ':')
        return false;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '\\' || *c == '#')
            return false;
    return !memchr(text + scheme, '@', strcspn(text + scheme, "/?"));
}

/* Of the server's environment only names made for this: a model's settings must not reach its other secrets. */
static bool is_key_name(const char *text)
{
    static const char first[] = "ATOLL_EMBEDDING_KEY";
    if (strncmp(text, first, sizeof first - 1) != 0)
        return false;
    for (const char *c = text; *c; c++)
        if (!isupper((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return false;
    return true;
}

static bool is_printable(const char *text)
{
    while (*text && (unsigned char)*text >= ' ' && *text != 0x7f)
        text++;
    return !*text;
}

#define AT(member) .offset = offsetof(atoll_config, member)
#define ROOM(member) AT(member), .room = sizeof(((atoll_config *)NULL)->member)
#define DAY_MS 86400000.0

static const spec table[] = {
    {"features.buckets", "1048576", "2^10..2^24, a power of two", "buckets of hashed terms",
     U32, true, AT(feature_buckets), .least = 1024, .most = 16777216, .power_of_two = true},
    {"embedding.source", "hash", "hash or http", "where a record's embedding comes from",
     WORD, true, AT(embedding_source), .words = {"hash", "http"}},
    {"embedding.dim", "256", "16..4096, a multiple of 8", "dimension of the embedding",
     U32, true, AT(embedding_dim), .least = 16, .most = 4096, .multiple = 8},
    {"embedding.url", "", "http:// or https://, up to 511 bytes", "the embedding server; see below",
     TEXT, false, ROOM(embedding_url), .allows = is_url},
    {"embedding.model", "", "up to 127 bytes", "the embedding server's name of its model",
     TEXT, true, ROOM(embedding_model), .allows = is_printable},
    {"embedding.key_env", "", "ATOLL_EMBEDDING_KEY…, A-Z 0-9 _", "variable of the server's environment with the key",
     TEXT, false, ROOM(embedding_key_env), .allows = is_key_name},
    {"embedding.batch", "256", "1..2048", "most texts in a call to the embedding server",
     U32, false, AT(embedding_batch), .least = 1, .most = 2048},
    {"embedding.timeout", "30s", "1s..10m", "time for a call when learning",
     DURATION, false, AT(embedding_timeout_ms), .least = 1000, .most = 600000},
    {"embedding.ask_timeout", "2s", "1s..1m", "time for a call when predicting",
     DURATION, false, AT(embedding_ask_timeout_ms), .least = 1000, .most = 60000},
    {"embedding.cache_bytes", "1073741824", "2^20..2^40", "embeddings kept on disk",
     U64, false, AT(embedding_cache_bytes), .least = 0x1p20, .most = 0x1p40},
    {"routing.granularity", "record", "record or token", "what the gate routes: records, or their words and vectors",
     WORD, true, AT(granularity), .words = {"record", "token"}},
    {"routing.gate", "topk", "topk, random, domain or soft",
     "learned, by lot, by the domain that a record names, or learned with every expert answering",
     WORD, false, AT(gate), .words = {"topk", "random", "domain", "soft"}},
    {"routing.top_k", "2", "1..16", "experts that a record, or token, goes to",
     U32, false, AT(top_k), .least = 1, .most = 16},
    {"routing.capacity_factor", "1.2", "1..16", "an expert's places over its even share",
     REAL, false, AT(capacity_factor), .least = 1, .most = 16},
    {"routing.overflow", "keep", "keep, next or drop", "where those beyond the places go; keep: nowhere else",
     WORD, false, AT(overflow), .words = {"keep", "next", "drop"}},
    {"routing.balance", "switch", "switch, importance, load or none", "the loss that balances experts",
     WORD, false, AT(balance), .words = {"switch", "importance", "load", "none"}},
    {"routing.balance_weight", "0.01", "0..1", "its weight in the gate's learning",
     REAL, false, AT(balance_weight), .least = 0, .most = 1},
    {"routing.z_weight", "0.001", "0..1", "weight of the z-loss, against scores that grow without bound",
     REAL, false, AT(z_weight), .least = 0, .most = 1},
    {"experts.hidden", "64", "8..1024, a multiple of 8", "size of an expert: four times its low rank",
     U32, true, AT(expert_hidden), .least = 8, .most = 1024, .multiple = 8},
    {"experts.shared_hidden", "0", "0..4096, a multiple of 8", "the same of the shared expert; 0: as experts.hidden",
     U32, true, AT(shared_hidden), .least = 0, .most = 4096, .multiple = 8},
    {"experts.dense_hidden", "0", "0..1024, a multiple of 8", "width of a ReLU layer over vectors and tokens; 0: none",
     U32, true, AT(dense_hidden), .least = 0, .most = 1024, .multiple = 8},
    {"experts.max", "256", "1..1024", "most experts that live at once",
     U32, false, AT(experts_max), .least = 1, .most = 1024},
    {"experts.precision", "f32", "f32, q8 or q4", "bits of the weights that answers read",
     WORD, false, AT(precision), .words = {"f32", "q8", "q4"}},
    {"memory.exemplars", "50000", "16..16777216", "most records that are remembered",
     U32, true, AT(memory_exemplars), .least = 16, .most = 16777216},
    {"memory.replays", "4", "0..16", "remembered records that are learned again with each new one",
     U32, false, AT(replays), .least = 0, .most = 16},
    {"retrieval.neighbours", "16", "0..16", "remembered records that an answer looks at",
     U32, false, AT(neighbours), .least = 0, .most = 16},
    {"retrieval.when", "auto", "auto or always", "whether an answer that is sure without them looks at them",
     WORD, false, AT(search_always), .words = {"auto", "always"}},
    {"training.freeze", "none", "none, gate or experts", "what learning leaves as it is",
     WORD, false, AT(freeze), .words = {"none", "gate", "experts"}},
    {"growth.mode", "auto", "auto or off", "whether experts are born and split by themselves",
     WORD, false, AT(growth_off), .words = {"auto", "off"}},
    {"growth.merge", "auto", "auto or off", "whether pruning merges experts that serve one domain",
     WORD, false, AT(merge_off), .words = {"auto", "off"}},
    {"pruning.schedule", "0 3 * * *", "five fields in UTC; empty: never",
     "when idle experts are pruned, and those of one domain merged",
     CRON, false, AT(prune_schedule)},
    {"pruning.idle_after", "7d", "1s..3650d", "how long an expert may go without a record",
     DURATION, false, AT(idle_after_ms), .least = 1000, .most = 3650 * DAY_MS},
    {"pruning.min_share", "0.001", "0..0.5", "least share of the records that keeps an expert",
     REAL, false, AT(min_share), .least = 0, .most = 0.5},
    {"checkpoint.every", "30s", "1s..1d", "time from one checkpoint to the next",
     DURATION, false, AT(checkpoint_every_ms), .least = 1000, .most = DAY_MS},
    {"journal.keep_bytes", "1073741824", "0..2^50", "entries kept behind the checkpoint",
     U64, false, AT(journal_keep_bytes), .least = 0, .most = 0x1p50},
    {"budget_bytes", "1073741824", "2^24..2^40", "memory that the model may take",
     U64, false, AT(budget_bytes), .least = 0x1p24, .most = 0x1p40},
    {"seed", "1", "0..2^53", "seed of everything random",
     U64, true, AT(seed), .least = 0, .most = 0x1p53},
};

enum { ROWS = sizeof table / sizeof *table, PATH_SHOWN_BYTES = 80 };

static const struct {
    char letter;
    int64_t ms;
} units[] = {{'w', 604800000}, {'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};

enum { UNITS = sizeof units / sizeof *units };

static void *place(const spec *row, atoll_config *config)
{
    return (char *)config + row->offset;
}

static atoll_status out_of_range(const spec *row, atoll_error *error)
{
    return atoll_fail(error, ATOLL_OUT_OF_RANGE, "%s: outside %s", row->path, row->range);
}

static atoll_status set_number(const spec *row, double value, atoll_config *config, atoll_error *error)
{
    if (row->kind != U32 && row->kind != U64 && row->kind != REAL)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: a string is expected (%s)", row->path, row->range);
    if (!(value >= row->least && value <= row->most))
        return out_of_range(row, error);
    if (row->kind == REAL) {
        *(float *)place(row, config) = (float)value;
        return ATOLL_OK;
    }
    if (value != floor(value))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: an integer is expected (%s)", row->path, row->range);
    uint64_t whole = (uint64_t)value;
    if ((row->multiple && whole % row->multiple != 0) || (row->power_of_two && (whole & (whole - 1)) != 0))
        return out_of_range(row, error);
    if (row->kind == U32)
        *(uint32_t *)place(row, config) = (uint32_t)whole;
    else
        *(uint64_t *)place(row, config) = whole;
    return ATOLL_OK;
}

static atoll_status set_duration(const spec *row, const char *text, atoll_config *config, atoll_error *error)
{
    int64_t count = 0;
    int digits = 0, unit = 0;
    for (; isdigit((unsigned char)text[digits]) && digits < 12; digits++)
        count = 10 * count + text[digits] - '0';
    while (unit < UNITS && units[unit].letter != text[digits])
        unit++;
    if (digits == 0 || unit == UNITS || text[digits + 1] != 0)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: a number with s, m, h, d or w is expected (%s)", row->path,
                          row->range);
    double ms = (double)count * (double)units[unit].ms;
    if (!(ms >= row->least && ms <= row->most))
        return out_of_range(row, error);
    *(int64_t *)place(row, config) = count * units[unit].ms;
    return ATOLL_OK;
}

static atoll_status set_cron(const spec *row, const char *text, atoll_config *config, atoll_error *error)
{
    atoll_cron cron;
    atoll_error why;
    size_t bytes = strlen(text);
    if (bytes >= ATOLL_CRON_MAX_BYTES)
        return atoll_fail(error, ATOLL_INVALID_CRON, "%s: longer than %d bytes", row->path, ATOLL_CRON_MAX_BYTES - 1);
    if (bytes > 0 && atoll_cron_parse(text, &cron, &why) != ATOLL_OK)
        return atoll_fail(error, ATOLL_INVALID_CRON, "%s: %s", row->path, why.detail);
    /* What is behind the end is zeroed so that equal schedules are equal bytes. */
    memset(place(row, config), 0, ATOLL_CRON_MAX_BYTES);
    memcpy(place(row, config), text, bytes);
    return ATOLL_OK;
}

static atoll_status set_string(const spec *row, const char *text, atoll_config *config, atoll_error *error)
{
    size_t bytes = strlen(text);
    if (bytes >= row->room)
        return out_of_range(row, error);
    if (bytes > 0 && row->allows && !row->allows(text))
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: %s is expected", row->path, row->range);
    memset(place(row, config), 0, row->room); /* as for schedules */
    memcpy(place(row, config), text, bytes);
    return ATOLL_OK;
}

static atoll_status set_text(const spec *row, const char *text, atoll_config *config, atoll_error *error)
{
    if (row->kind == TEXT)
        return set_string(row, text, config, error);
    if (row->kind == DURATION)
        return set_duration(row, text, config, error);
    if (row->kind == CRON)
        return set_cron(row, text, config, error);
    if (row->kind != WORD)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: a number is expected (%s)", row->path, row->range);
    for (uint32_t i = 0; i < WORDS && row->words[i]; i++) {
        if (strcmp(text, row->words[i]) == 0) {
            *(uint32_t *)place(row, config) = i;
            return ATOLL_OK;
        }
    }
    return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: %s is expected", row->path, row->range);
}

void atoll_config_defaults(atoll_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < ROWS; i++) {
        const spec *row = &table[i];
        if (row->kind == U32 || row->kind == U64 || row->kind == REAL)
            set_number(row, strtod(row->standard, NULL), config, NULL);
        else
            set_text(row, row->standard, config, NULL);
    }
}

static atoll_status set_value(const spec *row, atoll_json value, atoll_config *config, atoll_error *error)
{
    double number;
    const char *text;
    size_t bytes;
    if (atoll_json_double(value, &number))
        return set_number(row, number, config, error);
    if (atoll_json_string(value, &text, &bytes) && strlen(text) == bytes)
        return set_text(row, text, config, error);
    return atoll_fail(error, ATOLL_INVALID_VALUE, "%s: %s is expected (%s)", row->path,
                      row->kind == U32 || row->kind == U64 || row->kind == REAL ? "a number" : "a string", row->range);
}

/* The members of one object of the configuration, whose path is `group` ("" or "routing."). */
typedef struct merge {
    const char *group;
    atoll_config *config;
    uint64_t *seen;  /* a bit for each row */
    uint64_t groups; /* those of the groups that were seen, where this is the whole */
    atoll_status status;
    atoll_error *error;
} merge;

_Static_assert(ROWS <= 64, "a bit for each");

static bool merge_member(void *arg, const char *name, atoll_json value)
{
    merge *m = arg;
    size_t group = strlen(m->group), bytes = strlen(name);
    uint64_t group_rows = 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (strncmp(table[i].path, m->group, group) != 0 || strncmp(table[i].path + group, name, bytes) != 0)
            continue;
        char next = table[i].path[group + bytes];
        if (next == 0 && !strchr(name, '.')) {
            m->status = *m->seen >> i & 1
                            ? atoll_fail(m->error, ATOLL_INVALID_VALUE, "%s: comes twice", table[i].path)
                            : set_value(&table[i], value, m->config, m->error);
            *m->seen |= UINT64_C(1) << i;
            return m->status == ATOLL_OK;
        }
        if (next == '.' && group == 0)
            group_rows |= UINT64_C(1) << i;
    }
    bool again = m->groups & group_rows;
    m->groups |= group_rows;
    if (!group_rows) {
        m->status = atoll_fail(m->error, ATOLL_UNKNOWN_KEY, "unknown setting \"%s%.*s\"%s", m->group,
                               (int)atoll_utf8_clip(name, bytes, PATH_SHOWN_BYTES), name,
                               group == 0 && strchr(name, '.') ? "; a group of settings is an object" : "");
    } else if (again) {
        m->status = atoll_fail(m->error, ATOLL_INVALID_VALUE, "%s: comes twice", name);
    } else if (atoll_json_kind_of(value) != ATOLL_JSON_OBJECT) {
        m->status = atoll_fail(m->error, ATOLL_INVALID_VALUE, "%s: an object is expected", name);
    } else {
        char path[PATH_SHOWN_BYTES];
        snprintf(path, sizeof path, "%s.", name);
        merge inner = {path, m->config, m->seen, 0, ATOLL_OK, m->error};
        atoll_json_each(value, merge_member, &inner);
        m->status = inner.status;
    }
    return m->status == ATOLL_OK;
}

/* What no setting shows by itself. */
static atoll_status check_whole(const atoll_config *config, atoll_error *error)
{
    bool http = config->embedding_source == ATOLL_EMBEDDING_HTTP;
    if (http && !*config->embedding_url)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "embedding.url: needed where embedding.source is \"http\"");
    if (http && !*config->embedding_model)
        return atoll_fail(error, ATOLL_INVALID_VALUE, "embedding.model: needed where embedding.source is \"http\"");
    if (!http && (*config->embedding_url || *config->embedding_model || *config->embedding_key_env))
        return atoll_fail(error, ATOLL_INVALID_VALUE,
                          "embedding.source: a url, a model or a key_env needs the source \"http\"");
    return ATOLL_OK;
}

atoll_status atoll_config_merge(atoll_config *config, const char *json, size_t bytes, atoll_error *error)
{
    atoll_status status;
    atoll_json root;
    atoll_config merged = *config;
    uint64_t seen = 0;
    merge m = {"", &merged, &seen, 0, ATOLL_OK, error};
    char *padded = malloc(bytes + ATOLL_JSON_PADDING);
    atoll_json_parser *parser = atoll_json_parser_new();
    if (!padded || !parser) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory to read a configuration");
        goto done;
    }
    if (bytes > 0)
        memcpy(padded, json, bytes);
    memset(padded + bytes, 0, ATOLL_JSON_PADDING);
    status = atoll_json_parse(parser, padded, bytes, &root, error);
    if (status != ATOLL_OK)
        goto done;
    if (atoll_json_kind_of(root) != ATOLL_JSON_OBJECT) {
        status = atoll_fail(error, ATOLL_INVALID_VALUE, "the configuration is not an object");
        goto done;
    }
    atoll_json_each(root, merge_member, &m);
    status = m.status;
    if (status == ATOLL_OK && (status = check_whole(&merged, error)) == ATOLL_OK)
        *config = merged;
done:
    atoll_json_parser_free(parser);
    free(padded);
    return status;
}

static size_t stored_bytes(const spec *row)
{
    static const size_t sizes[] = {[U32] = sizeof(uint32_t),     [U64] = sizeof(uint64_t),
                                   [REAL] = sizeof(float),       [WORD] = sizeof(uint32_t),
                                   [DURATION] = sizeof(int64_t), [CRON] = ATOLL_CRON_MAX_BYTES};
    return row->kind == TEXT ? row->room : sizes[row->kind];
}

atoll_status atoll_config_check_change(const atoll_config *from, const atoll_config *to, atoll_error *error)
{
    for (size_t i = 0; i < ROWS; i++) {
        const spec *row = &table[i];
        const char *was = (const char *)from + row->offset, *is = (const char *)to + row->offset;
        if (row->fixed && memcmp(was, is, stored_bytes(row)) != 0)
            return atoll_fail(error, ATOLL_FIXED_SETTING, "%s: cannot change once the model exists", row->path);
    }
    return ATOLL_OK;
}

static void print_value(atoll_writer *writer, const spec *row, const atoll_config *config)
{
    const void *at = (const char *)config + row->offset;
    if (row->kind == U32) {
        atoll_json_put_uint(writer, *(const uint32_t *)at);
    } else if (row->kind == U64) {
        atoll_json_put_uint(writer, *(const uint64_t *)at);
    } else if (row->kind == REAL) {
        atoll_json_put_double(writer, (double)*(const float *)at);
    } else if (row->kind == WORD) {
        atoll_json_put_text(writer, row->words[*(const uint32_t *)at]);
    } else if (row->kind == CRON || row->kind == TEXT) {
        atoll_json_put_text(writer, at);
    } else {
        int64_t ms = *(const int64_t *)at;
        int unit = 1; /* weeks are read, not written: 7d says more than 1w */
        while (unit < UNITS - 1 && ms % units[unit].ms != 0)
            unit++;
        char text[32];
        snprintf(text, sizeof text, "%lld%c", (long long)(ms / units[unit].ms), units[unit].letter);
        atoll_json_put_text(writer, text);
    }
}

char *atoll_config_print(const atoll_config *config)
{
    atoll_writer writer;
    atoll_writer_init(&writer);
    const char *group = ""; /* the path that begins with the open inner object, whose length is: */
    size_t open = 0;
    atoll_json_object_begin(&writer);
    for (size_t i = 0; i < ROWS; i++) {
        const char *path = table[i].path, *dot = strchr(path, '.');
        size_t length = dot ? (size_t)(dot - path) : 0;
        if (length != open || strncmp(path, group, length) != 0) {
            if (open > 0)
                atoll_json_object_end(&writer);
            group = path;
            open = length;
            if (open > 0) {
                char name[PATH_SHOWN_BYTES];
                snprintf(name, sizeof name, "%.*s", (int)length, path);
                atoll_json_name(&writer, name);
                atoll_json_object_begin(&writer);
            }
        }
        atoll_json_name(&writer, dot ? dot + 1 : path);
        print_value(&writer, &table[i], config);
    }
    if (open > 0)
        atoll_json_object_end(&writer);
    atoll_json_object_end(&writer);
    if (!atoll_writer_terminate(&writer)) {
        atoll_writer_free(&writer);
        return NULL;
    }
    return writer.data;
}

void atoll_config_each(atoll_setting_visit visit, void *arg)
{
    for (size_t i = 0; i < ROWS; i++) {
        const spec *row = &table[i];
        const char *standard = *row->standard ? row->standard : "\"\"";
        atoll_setting setting = {row->path, standard, kind_names[row->kind], row->range, row->about, row->fixed};
        visit(arg, &setting);
    }
}
