#include "api/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/record_json.h"

enum {
    BLOCK_BYTES = 256 * 1024,       /* usual size of a block, and what is kept between requests */
    RECORDS_KEPT = 4096             /* places for records kept between requests */
};

struct atoll_batch_block {
    atoll_batch_block *next;
    size_t used, capacity;
    _Alignas(16) char data[];
};

static atoll_batch_block *block_new(size_t capacity)
{
    atoll_batch_block *block = malloc(sizeof *block + capacity);
    if (!block)
        return NULL;
    block->next = NULL;
    block->used = 0;
    block->capacity = capacity;
    return block;
}

/* Bytes that live until the next reset, aligned for floats. */
static void *take(atoll_batch *batch, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    atoll_batch_block *block = batch->blocks;
    if (!block || block->capacity - block->used < bytes) {
        block = block_new(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES);
        if (!block)
            return NULL;
        block->next = batch->blocks;
        batch->blocks = block;
    }
    void *place = block->data + block->used;
    block->used += bytes;
    return place;
}

atoll_batch *atoll_batch_new(void)
{
    atoll_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->vector_space = malloc(ATOLL_NUMBERS_MAX * sizeof *batch->vector_space);
    if (!batch->vector_space) {
        free(batch);
        return NULL;
    }
    return batch;
}

void atoll_batch_free(atoll_batch *batch)
{
    if (!batch)
        return;
    while (batch->blocks) {
        atoll_batch_block *block = batch->blocks;
        batch->blocks = block->next;
        free(block);
    }
    free(batch->records);
    free(batch->vector_space);
    free(batch);
}

void atoll_batch_reset(atoll_batch *batch)
{
    atoll_batch_block *kept = NULL;
    while (batch->blocks) {
        atoll_batch_block *block = batch->blocks;
        batch->blocks = block->next;
        if (!kept && block->capacity == BLOCK_BYTES)
            kept = block;
        else
            free(block);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    batch->blocks = kept;
    batch->count = 0;
    if (batch->capacity > RECORDS_KEPT) {
        free(batch->records);
        batch->records = NULL;
        batch->capacity = 0;
    }
}

static bool make_room(atoll_batch *batch)
{
    if (batch->count < batch->capacity)
        return true;
    uint32_t capacity = batch->capacity ? 2 * batch->capacity : 64;
    atoll_record *records = realloc(batch->records, capacity * sizeof *records);
    if (!records)
        return false;
    batch->records = records;
    batch->capacity = capacity;
    return true;
}

/* Copies what the slice views to *space and moves that on. */
static void own(atoll_slice *slice, char **space)
{
    if (!slice->data)
        return;
    memcpy(*space, slice->data, slice->bytes);
    slice->data = *space;
    *space += slice->bytes;
}

atoll_status atoll_batch_add(atoll_batch *batch, atoll_json value, atoll_error *error)
{
    atoll_record record;
    atoll_status status = atoll_record_from_json(value, batch->vector_space, &record, error);
    if (status)
        return status;
    if (!make_room(batch))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the records");
    size_t vector_bytes = atoll_record_numbers(&record) * sizeof *record.vector;
    char *space = take(batch, vector_bytes + record.id.bytes + record.text.bytes + record.label.bytes +
                                  record.domain.bytes + 1);
    if (!space)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the records");
    if (record.vector) {
        memcpy(space, record.vector, vector_bytes);
        record.vector = (const float *)(void *)space;
        space += vector_bytes;
    }
    own(&record.id, &space);
    own(&record.text, &space);
    own(&record.label, &space);
    own(&record.domain, &space);
    batch->records[batch->count++] = record;
    return ATOLL_OK;
}

atoll_status atoll_batch_parse(atoll_batch *batch, atoll_json_parser *parser, const char *text, size_t bytes,
                               atoll_error *error)
{
    atoll_json root;
    atoll_status status = atoll_json_parse(parser, text, bytes, &root, error);
    return status ? status : atoll_batch_add(batch, root, error);
}

void atoll_batch_drop(atoll_batch *batch)
{
    batch->count--;
}

static bool blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

bool atoll_lines_next(atoll_lines *lines, const char **line, size_t *bytes)
{
    while (lines->at < lines->end) {
        const char *start = lines->at;
        const char *stop = memchr(start, '\n', (size_t)(lines->end - start));
        lines->at = stop ? stop + 1 : lines->end;
        *line = start;
        *bytes = (size_t)((stop ? stop : lines->end) - start);
        lines->number++;
        if (!blank(start, *bytes))
            return true;
    }
    return false;
}
