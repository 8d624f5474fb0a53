#include "core/model.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

atoll_status atoll_names_init(atoll_names *names, uint32_t limit, atoll_error *error)
{
    *names = (atoll_names){.limit = limit, .places = 64};
    names->name = calloc(limit, sizeof *names->name);
    names->table = calloc(names->places, sizeof *names->table);
    if (names->name && names->table)
        return ATOLL_OK;
    atoll_names_free(names);
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for names");
}

void atoll_names_free(atoll_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    free(names->table);
    *names = (atoll_names){0};
}

uint64_t atoll_names_bytes(const atoll_names *names)
{
    return names->text_bytes + names->count * sizeof *names->name + names->places * sizeof *names->table;
}

/* The place of the name, or the empty one where it belongs. */
static uint32_t place_of(const atoll_names *names, const char *data, size_t bytes)
{
    uint32_t place = (uint32_t)atoll_hash64(data, bytes, 0) & (names->places - 1);
    while (names->table[place]) {
        const char *name = names->name[names->table[place] - 1];
        if (strlen(name) == bytes && memcmp(name, data, bytes) == 0)
            break;
        place = (place + 1) & (names->places - 1);
    }
    return place;
}

/* Twice the places, for a table that is half full. */
static bool grow_table(atoll_names *names)
{
    uint32_t *old = names->table, *table = calloc((size_t)2 * names->places, sizeof *table);
    if (!table)
        return false;
    names->table = table;
    names->places *= 2;
    for (uint32_t i = 0; i < names->count; i++)
        table[place_of(names, names->name[i], strlen(names->name[i]))] = i + 1;
    free(old);
    return true;
}

uint32_t atoll_names_find(const atoll_names *names, const char *data, size_t bytes)
{
    return names->table[place_of(names, data, bytes)] - 1;
}

atoll_status atoll_names_add(atoll_names *names, const char *data, size_t bytes, uint32_t *number, atoll_error *error)
{
    uint32_t place = place_of(names, data, bytes);
    if (names->table[place]) {
        *number = names->table[place] - 1;
        return ATOLL_OK;
    }
    if (names->count == names->limit)
        return atoll_fail(error, ATOLL_TOO_MANY_LABELS, "at most %u names", names->limit);
    char *name = malloc(bytes + 1);
    if (name && 2 * (names->count + 1) > names->places) {
        if (grow_table(names)) {
            place = place_of(names, data, bytes);
        } else {
            free(name);
            name = NULL;
        }
    }
    if (!name)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a name");
    memcpy(name, data, bytes);
    name[bytes] = '\0';
    names->text_bytes += bytes + 1;
    *number = names->count;
    names->name[names->count++] = name;
    names->table[place] = names->count;
    return ATOLL_OK;
}

uint32_t atoll_model_expert_of(const atoll_model *model, uint32_t domain)
{
    for (uint32_t e = 1; e < model->experts; e++)
        if (model->expert[e].domain == domain && model->expert[e].state == ATOLL_EXPERT_ACTIVE)
            return e;
    return 0;
}

atoll_status atoll_model_reserve(atoll_model *model, atoll_error *error)
{
    if (model->experts < model->capacity)
        return ATOLL_OK;
    uint32_t capacity = model->capacity ? 2 * model->capacity : 8;
    atoll_expert *expert = realloc(model->expert, capacity * sizeof *expert);
    if (!expert)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for an expert");
    model->expert = expert;
    model->capacity = capacity;
    return ATOLL_OK;
}

atoll_model *atoll_model_freeze(const atoll_model *model)
{
    size_t experts = model->experts * sizeof *model->expert;
    atoll_model *frozen = malloc(sizeof *frozen + experts);
    if (!frozen)
        return NULL;
    *frozen = *model;
    frozen->expert = (atoll_expert *)(frozen + 1);
    frozen->capacity = model->experts;
    if (experts)
        memcpy(frozen->expert, model->expert, experts);
    return frozen;
}
