#include "bench/continual/corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/limits.h"
#include "core/record_json.h"

void corpus_free(corpus *c)
{
    free(c->at);
    atoll_arena_free(&c->owned);
    *c = (corpus){0};
}

static bool fail(char *reason, const char *what, const char *path)
{
    snprintf(reason, CORPUS_REASON_BYTES, "%s %.200s", what, path);
    return false;
}

static const char *keep(corpus *c, const char *data, size_t bytes)
{
    char *copy = atoll_arena_take(&c->owned, bytes + 1);
    if (!copy)
        return NULL;
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}

static bool keep_slice(corpus *c, atoll_slice *slice)
{
    return !slice->data || (slice->data = keep(c, slice->data, slice->bytes)) != NULL;
}

static bool add(corpus *c, const atoll_record *record, const char *domain, corpus_part part)
{
    if (c->count == c->capacity) {
        uint32_t capacity = c->capacity ? 2 * c->capacity : 4096;
        corpus_item *at = realloc(c->at, capacity * sizeof *at);
        if (!at)
            return false;
        c->at = at;
        c->capacity = capacity;
    }
    c->at[c->count++] = (corpus_item){*record, domain, part};
    return true;
}

bool corpus_add(corpus *c, const atoll_record *record, const char *domain, corpus_part part)
{
    atoll_record kept = {.text = record->text, .label = record->label};
    if (domain && !(domain = keep(c, domain, strlen(domain))))
        return false;
    return keep_slice(c, &kept.text) && keep_slice(c, &kept.label) && add(c, &kept, domain, part);
}

/* All that a file or, with `command`, a command writes, with padding behind it: to free(). */
static char *read_all(const char *name, bool command, size_t *bytes)
{
    FILE *in = command ? popen(name, "r") : fopen(name, "rb");
    size_t capacity = 1 << 20, used = 0, got = 0;
    char *text = in ? malloc(capacity + ATOLL_JSON_PADDING) : NULL;
    while (text && (got = fread(text + used, 1, capacity - used, in)) > 0) {
        used += got;
        if (used < capacity)
            continue;
        char *wider = realloc(text, 2 * capacity + ATOLL_JSON_PADDING);
        if (!wider)
            break;
        text = wider;
        capacity *= 2;
    }
    bool whole = in && (command ? pclose(in) : fclose(in)) == 0 && text && used < capacity;
    if (!whole) {
        free(text);
        return NULL;
    }
    memset(text + used, 0, ATOLL_JSON_PADDING);
    *bytes = used;
    return text;
}

static char *read_packed(const char *folder, const char *file, size_t *bytes)
{
    char path[1200], command[1300];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *there = fopen(path, "rb");
    if (!there)
        return NULL;
    fclose(there);
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    return read_all(command, true, bytes);
}

/* ---- NDJSON ---- */

static bool read_lines(corpus *c, const char *text, size_t bytes)
{
    atoll_json_parser *parser = atoll_json_parser_new();
    char *padded = malloc(ATOLL_TEXT_MAX_BYTES + 4096 + ATOLL_JSON_PADDING);
    float *vector = malloc(ATOLL_VECTOR_MAX_DIM * sizeof *vector);
    bool good = parser && padded && vector;
    for (const char *at = text, *end; good && at < text + bytes; at = end + 1) {
        atoll_json root;
        atoll_record record;
        end = memchr(at, '\n', (size_t)(text + bytes - at));
        end = end ? end : text + bytes;
        size_t length = (size_t)(end - at);
        if (length == 0)
            continue;
        if (!(good = length < ATOLL_TEXT_MAX_BYTES))
            break;
        memcpy(padded, at, length);
        memset(padded + length, 0, ATOLL_JSON_PADDING);
        good = atoll_json_parse(parser, padded, length, &root, NULL) == ATOLL_OK &&
               atoll_record_from_json(root, vector, &record, NULL) == ATOLL_OK && record.text.data &&
               record.label.data && keep_slice(c, &record.text) && keep_slice(c, &record.label) &&
               keep_slice(c, &record.domain);
        if (good) {
            atoll_record kept = {.text = record.text, .label = record.label};
            good = add(c, &kept, record.domain.data, CORPUS_LEARNED);
        }
    }
    free(vector);
    free(padded);
    atoll_json_parser_free(parser);
    return good;
}

bool corpus_read_packages(corpus *c, const char *data, char *reason)
{
    size_t bytes;
    (void)data;
    char *text = read_all("command -v apt-cache > /dev/null && sh data/packages.sh --domains", true, &bytes);
    bool good = text && read_lines(c, text, bytes);
    free(text);
    return good && c->count ? true : fail(reason, "apt knows no packages", "here");
}

bool corpus_read_small(corpus *c, const char *data, char *reason)
{
    static const char path[] = "data/atoll-stream.ndjson";
    size_t bytes;
    (void)data;
    char *text = read_all(path, false, &bytes);
    bool good = text && read_lines(c, text, bytes);
    free(text);
    return good && c->count ? true : fail(reason, "cannot read", path);
}

/* ---- CLINC150 ---- */

typedef struct intent {
    const char *name, *domain;
} intent;

/* What the walks below hand on. */
typedef struct clinc {
    corpus *c;
    intent *intents;
    uint32_t count, capacity;
    const char *domain;  /* whose intents are read */
    corpus_part part;    /* of the utterances that are read */
    const char *words[2]; /* of the utterance that is read */
    size_t bytes[2];
    int word;
} clinc;

static bool add_intent(void *arg, const char *name, atoll_json value)
{
    clinc *k = arg;
    const char *text;
    size_t bytes;
    (void)name;
    if (k->count == k->capacity || !atoll_json_string(value, &text, &bytes))
        return false;
    k->intents[k->count] = (intent){keep(k->c, text, bytes), k->domain};
    return k->intents[k->count++].name != NULL;
}

static bool add_domain(void *arg, const char *name, atoll_json value)
{
    clinc *k = arg;
    k->domain = keep(k->c, name, strlen(name));
    return k->domain && atoll_json_each(value, add_intent, k);
}

static bool add_word(void *arg, const char *name, atoll_json value)
{
    clinc *k = arg;
    (void)name;
    return k->word < 2 && atoll_json_string(value, &k->words[k->word], &k->bytes[k->word]) && ++k->word;
}

static bool add_utterance(void *arg, const char *name, atoll_json value)
{
    clinc *k = arg;
    (void)name;
    k->word = 0;
    if (!atoll_json_each(value, add_word, k) || k->word != 2)
        return false;
    const char *domain = NULL;
    for (uint32_t i = 0; i < k->count && !domain; i++)
        if (strcmp(k->intents[i].name, k->words[1]) == 0)
            domain = k->intents[i].domain;
    atoll_record record = {.text = {k->words[0], k->bytes[0]}, .label = {k->words[1], k->bytes[1]}};
    if (!domain && k->part != CORPUS_OUTSIDE)
        return true;
    return keep_slice(k->c, &record.text) && keep_slice(k->c, &record.label) && add(k->c, &record, domain, k->part);
}

static bool read_clinc(clinc *k, atoll_json_parser *parser, const char *domains, size_t domains_bytes,
                       const char *utterances, size_t utterances_bytes)
{
    static const struct {
        const char *name;
        corpus_part part;
    } parts[] = {{"train", CORPUS_LEARNED}, {"val", CORPUS_LEARNED}, {"test", CORPUS_ASKED},
                 {"oos_test", CORPUS_OUTSIDE}};
    atoll_json root, list;
    if (atoll_json_parse(parser, domains, domains_bytes, &root, NULL) || !atoll_json_each(root, add_domain, k) ||
        atoll_json_parse(parser, utterances, utterances_bytes, &root, NULL))
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        k->part = parts[i].part;
        if (!atoll_json_member(root, parts[i].name, &list) || !atoll_json_each(list, add_utterance, k))
            return false;
    }
    return true;
}

bool corpus_read_clinc(corpus *c, const char *data, char *reason)
{
    enum { INTENTS_MAX = 1024 };
    char folder[1024], path[1100];
    size_t domains_bytes = 0, utterances_bytes = 0;
    snprintf(folder, sizeof folder, "%s/clinc150", data);
    snprintf(path, sizeof path, "%s/domains.json", folder);
    char *domains = read_all(path, false, &domains_bytes);
    char *utterances = domains ? read_packed(folder, "data_full.json.gz", &utterances_bytes) : NULL;
    atoll_json_parser *parser = atoll_json_parser_new();
    clinc k = {.c = c, .intents = malloc(INTENTS_MAX * sizeof *k.intents), .capacity = INTENTS_MAX};
    bool good = utterances && parser && k.intents &&
                read_clinc(&k, parser, domains, domains_bytes, utterances, utterances_bytes);
    free(k.intents);
    atoll_json_parser_free(parser);
    free(domains);
    free(utterances);
    return good ? true : fail(reason, "no CLINC150 in", folder);
}

/* ---- Fashion-MNIST ---- */

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool add_images(corpus *c, const unsigned char *images, size_t images_bytes, const unsigned char *labels,
                       size_t labels_bytes, corpus_part part)
{
    enum { IMAGES_HEAD = 16, LABELS_HEAD = 8 };
    static const char digit[10][2] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    float level[256];
    char text[16];
    if (images_bytes < IMAGES_HEAD || labels_bytes < LABELS_HEAD)
        return false;
    uint32_t count = big_endian(images + 4), size = big_endian(images + 8) * big_endian(images + 12);
    if (size == 0 || size > ATOLL_VECTOR_MAX_DIM || (images_bytes - IMAGES_HEAD) / size < count ||
        labels_bytes - LABELS_HEAD < count)
        return false;
    for (int i = 0; i < 256; i++) { /* as a client would send it: four digits */
        snprintf(text, sizeof text, "%.4f", i / 255.0);
        level[i] = (float)strtod(text, NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned char label = labels[LABELS_HEAD + i];
        float *vector = atoll_arena_take(&c->owned, size * sizeof *vector);
        if (!vector || label > 9)
            return false;
        for (uint32_t k = 0; k < size; k++)
            vector[k] = level[images[IMAGES_HEAD + (size_t)i * size + k]];
        atoll_record record = {.label = {digit[label], 1}, .vector = vector, .vector_dim = size};
        if (!add(c, &record, NULL, part))
            return false;
    }
    return true;
}

bool corpus_read_fashion(corpus *c, const char *data, char *reason)
{
    static const char *const prefix[] = {"train", "t10k"};
    static const corpus_part part[] = {CORPUS_LEARNED, CORPUS_ASKED};
    char folder[1024], file[64];
    bool good = true;
    snprintf(folder, sizeof folder, "%s/fashion_mnist", data);
    for (int i = 0; i < 2 && good; i++) {
        size_t images_bytes = 0, labels_bytes = 0;
        snprintf(file, sizeof file, "%s-images-idx3-ubyte.gz", prefix[i]);
        char *images = read_packed(folder, file, &images_bytes);
        snprintf(file, sizeof file, "%s-labels-idx1-ubyte.gz", prefix[i]);
        char *labels = images ? read_packed(folder, file, &labels_bytes) : NULL;
        good = labels && add_images(c, (unsigned char *)images, images_bytes, (unsigned char *)labels, labels_bytes,
                                    part[i]);
        free(images);
        free(labels);
    }
    return good ? true : fail(reason, "no Fashion-MNIST in", folder);
}
