#include "api/demo_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/client_ingest.h"
#include "api/client_session.h"
#include "core/limits.h"

/* Room for one more element behind `count`. */
static atoll_status grow(void **array, size_t count, size_t *capacity, size_t element_bytes, atoll_error *error)
{
    if (count < *capacity)
        return ATOLL_OK;
    size_t more = *capacity ? 2 * *capacity : 64;
    void *moved = realloc(*array, more * element_bytes);
    if (!moved)
        return atoll_fail(error, ATOLL_NO_MEMORY, "for the stream");
    *array = moved;
    *capacity = more;
    return ATOLL_OK;
}

static atoll_status find_domain(atoll_demo_stream *stream, const char *name, uint32_t *out, atoll_error *error)
{
    /* A domain's records mostly stand together: the newest is the likeliest. */
    for (size_t i = stream->domain_count; i-- > 0;) {
        if (strcmp(stream->domains[i].name, name) == 0) {
            *out = (uint32_t)i;
            return ATOLL_OK;
        }
    }
    if (stream->domain_count == ATOLL_DOMAINS_MAX)
        return atoll_fail(error, ATOLL_OUT_OF_RANGE, "more than %d domains", ATOLL_DOMAINS_MAX);
    atoll_status status = grow((void **)&stream->domains, stream->domain_count, &stream->domain_capacity,
                               sizeof *stream->domains, error);
    if (status)
        return status;
    char *copy = strdup(name);
    if (!copy)
        return atoll_fail(error, ATOLL_NO_MEMORY, "for the stream");
    *out = (uint32_t)stream->domain_count;
    stream->domains[stream->domain_count++] = (atoll_demo_domain){.name = copy};
    return ATOLL_OK;
}

static atoll_status hold(atoll_demo_stream *stream, uint32_t domain, const char *id, const char *text,
                         const char *label, atoll_error *error)
{
    atoll_status status = grow((void **)&stream->held, stream->held_count, &stream->held_capacity,
                               sizeof *stream->held, error);
    if (status)
        return status;
    atoll_demo_held *held = &stream->held[stream->held_count++];
    *held = (atoll_demo_held){strdup(id), strdup(text), strdup(label), domain};
    stream->domains[domain].held++;
    return held->id && held->text && held->label ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "for the stream");
}

static atoll_status teach(atoll_demo_stream *stream, uint32_t domain, const char *id, const char *text,
                          const char *label, atoll_error *error)
{
    atoll_status status = grow((void **)&stream->ends, stream->taught, &stream->taught_capacity,
                               sizeof *stream->ends, error);
    if (status)
        return status;
    atoll_json_object_begin(&stream->lines);
    if (*id) {
        atoll_json_name(&stream->lines, "id");
        atoll_json_put_text(&stream->lines, id);
    }
    atoll_json_name(&stream->lines, "text");
    atoll_json_put_text(&stream->lines, text);
    atoll_json_name(&stream->lines, "label");
    atoll_json_put_text(&stream->lines, label);
    atoll_json_object_end(&stream->lines);
    atoll_json_newline(&stream->lines);
    if (stream->lines.failed)
        return atoll_fail(error, ATOLL_NO_MEMORY, "for the stream");
    stream->ends[stream->taught++] = stream->lines.bytes;
    stream->domains[domain].taught_end = stream->taught;
    return ATOLL_OK;
}

static atoll_status take(atoll_demo_stream *stream, atoll_json record, atoll_error *error)
{
    const char *text = atoll_client_string(record, "text", NULL);
    const char *label = atoll_client_string(record, "label", NULL);
    const char *id = atoll_client_string(record, "id", "");
    uint32_t domain = 0;
    if (!text || !label)
        return atoll_fail(error, ATOLL_INVALID_RECORD, "no %s", text ? "label" : "text");
    atoll_status status = find_domain(stream, atoll_client_string(record, "domain", "(none)"), &domain, error);
    if (status)
        return status;
    uint64_t number = stream->domains[domain].records++;
    if (number % ATOLL_DEMO_HOLD_EVERY == ATOLL_DEMO_HOLD_FIRST)
        return hold(stream, domain, id, text, label, error);
    return teach(stream, domain, id, text, label, error);
}

/* Takes each line of a batch, which has JSON's padding behind its `bytes`. */
static atoll_status take_batch(atoll_demo_stream *stream, atoll_json_parser *parser, const char *batch, size_t bytes,
                               uint64_t first_line, atoll_error *error)
{
    const char *end = batch + bytes, *next;
    uint64_t number = first_line;
    for (const char *line = batch; line < end; line = next + 1, number++) {
        atoll_json record;
        atoll_error why;
        next = memchr(line, '\n', (size_t)(end - line));
        if (next == line)
            continue;
        atoll_status status = atoll_json_parse(parser, line, (size_t)(next - line), &record, &why);
        if (!status)
            status = take(stream, record, &why);
        if (status)
            return atoll_fail(error, status, "line %" PRIu64 ": %.200s", number, why.detail);
    }
    return ATOLL_OK;
}

atoll_status atoll_demo_stream_load(FILE *in, atoll_demo_stream *out, atoll_error *error)
{
    static const char padding[ATOLL_JSON_PADDING];
    atoll_writer batch;
    atoll_client_lines lines;
    atoll_status status;
    *out = (atoll_demo_stream){0};
    atoll_writer_init(&out->lines);
    atoll_writer_init(&batch);
    atoll_client_lines_begin(&lines, in);
    atoll_json_parser *parser = atoll_json_parser_new();
    if (!parser) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "for a JSON parser");
        goto out;
    }
    while ((status = atoll_client_lines_next(&lines, &batch, error)) == ATOLL_OK && batch.bytes) {
        size_t bytes = batch.bytes;
        atoll_writer_raw(&batch, padding, sizeof padding);
        status = batch.failed ? atoll_fail(error, ATOLL_NO_MEMORY, "for the stream")
                              : take_batch(out, parser, batch.data, bytes, lines.first_line, error);
        if (status)
            break;
    }
out:
    atoll_client_lines_end(&lines);
    atoll_writer_free(&batch);
    atoll_json_parser_free(parser);
    return status;
}

void atoll_demo_stream_free(atoll_demo_stream *stream)
{
    for (size_t i = 0; i < stream->held_count; i++) {
        free(stream->held[i].id);
        free(stream->held[i].text);
        free(stream->held[i].label);
    }
    for (size_t i = 0; i < stream->domain_count; i++)
        free(stream->domains[i].name);
    free(stream->held);
    free(stream->domains);
    free(stream->ends);
    atoll_writer_free(&stream->lines);
    *stream = (atoll_demo_stream){0};
}
